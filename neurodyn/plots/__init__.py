"""Plots of traces, weights and spikes: functions from DataArray and Axes to Axes.

They take traces as `simulate` returns them. Activity (image, time, unit) is drawn along one
time axis; of snapshots, the last is drawn.
"""

from neurodyn.plots.activity import (
    active_units,
    activity_traces,
    e_i_balance,
    participation,
    phase_portrait,
    population_rate,
    raster,
    ringing,
    selectivity,
    settling_time,
    spectrum,
    winners,
)
from neurodyn.plots.spikes import (
    confusion,
    fano_factor,
    firing_rates,
    intervals,
    pairwise_correlation,
    smooth_rate,
    spike_raster,
)
from neurodyn.plots.weights import (
    receptive_field_similarity,
    receptive_fields,
    sign_violations,
    weight_norms,
)

__all__ = [
    "active_units",
    "activity_traces",
    "confusion",
    "e_i_balance",
    "fano_factor",
    "firing_rates",
    "intervals",
    "pairwise_correlation",
    "participation",
    "phase_portrait",
    "population_rate",
    "raster",
    "receptive_field_similarity",
    "receptive_fields",
    "ringing",
    "selectivity",
    "settling_time",
    "sign_violations",
    "smooth_rate",
    "spectrum",
    "spike_raster",
    "weight_norms",
    "winners",
]
