"""What traces say: functions from DataArray to DataArray.

*Missing values* are NaN. What is computed from each time, image, unit or presentation by
itself is NaN where a value that it depends on is missing, and right elsewhere; a count or a
number of a unit is then a float, as xarray has it. What is fitted to an array as a whole
(spectra, damping, dimensionality, the balance of currents, matches) refuses missing and
infinite values, and says how many there are. What does not exist, such as the damping rate
of a constant, is NaN too. Integers and booleans count as floats.
"""

from neurodyn.analysis.activity import (
    active_units,
    e_i_balance,
    explained_variance,
    over_run,
    participation_ratio,
    population_rate,
    selectivity,
    settling_time,
    winners,
)
from neurodyn.analysis.ringing import (
    damping_rate,
    dominant_frequency,
    power_spectrum,
    ringing_frequency,
)
from neurodyn.analysis.weights import (
    receptive_field_similarity,
    sign_violations,
    weight_norms,
)

__all__ = [
    "active_units",
    "damping_rate",
    "dominant_frequency",
    "e_i_balance",
    "explained_variance",
    "over_run",
    "participation_ratio",
    "population_rate",
    "power_spectrum",
    "receptive_field_similarity",
    "ringing_frequency",
    "selectivity",
    "settling_time",
    "sign_violations",
    "weight_norms",
    "winners",
]
