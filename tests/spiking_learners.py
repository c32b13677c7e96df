"""The spiking networks of `diehl_cook`, small: see `learners`."""

from dataclasses import replace

from neurodyn import PoissonPresentation
from scenarios import diehl_cook
from scenarios.diehl_cook.experiment import Spiking
from scenarios.support.trials import Source

BRIEF = PoissonPresentation(
    image_ms=6.0, rest_ms=0.0, reset=True, rate_hz=90.0, max_rate_hz=90.0, min_spikes=0
)


def networks(source: Source) -> list[Spiking]:
    """Return the networks as the scenario makes them, of 4 cells, shown 12 images."""
    config = diehl_cook.Config(preset="quick", units=(4,), seeds=1, backend="numpy")
    return [
        replace(trial, seen=(8, 12), labelled=9, stimulus=BRIEF, dt_ms=1.0)
        for trial in diehl_cook.trials(config, source)
    ]
