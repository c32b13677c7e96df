"""Analyses of traces and spikes: functions from DataArray to DataArray.

*Missing values* are NaN. Analyses of each time, image, unit or presentation by itself
return NaN where a value that they depend on is missing, and are right elsewhere; counts and
unit numbers are then floats. Analyses of a whole array (spectra, damping, dimensionality,
the balance of currents, matches, spike times, votes) refuse missing and infinite values,
and say how many there are. Undefined results, such as the damping rate of a constant, are
NaN too. Integers and booleans are converted to floats.
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
from neurodyn.analysis.counts import fano_factor, firing_rate, pairwise_correlation
from neurodyn.analysis.ringing import (
    damping_rate,
    dominant_frequency,
    power_spectrum,
    ringing_frequency,
)
from neurodyn.analysis.spikes import cv, inter_spike_intervals, smooth_rate
from neurodyn.analysis.votes import (
    assign_labels,
    class_responses,
    confusion_matrix,
    vote,
    weighted_vote,
)
from neurodyn.analysis.weights import (
    receptive_field_similarity,
    sign_violations,
    weight_norms,
)

__all__ = [
    "active_units",
    "assign_labels",
    "class_responses",
    "confusion_matrix",
    "cv",
    "damping_rate",
    "dominant_frequency",
    "e_i_balance",
    "explained_variance",
    "fano_factor",
    "firing_rate",
    "inter_spike_intervals",
    "over_run",
    "pairwise_correlation",
    "participation_ratio",
    "population_rate",
    "power_spectrum",
    "receptive_field_similarity",
    "ringing_frequency",
    "selectivity",
    "settling_time",
    "sign_violations",
    "smooth_rate",
    "vote",
    "weight_norms",
    "weighted_vote",
    "winners",
]
