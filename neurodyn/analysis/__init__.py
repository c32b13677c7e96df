"""What traces say: functions from DataArray to DataArray."""

from neurodyn.analysis.activity import (
    active_units,
    e_i_balance,
    explained_variance,
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
