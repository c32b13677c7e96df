"""Settings of `continuous_plasticity`."""

from dataclasses import dataclass

from scenarios.support.checks import check_counts, check_increasing
from scenarios.support.circuit import CircuitConfig

TIMINGS = ("continuous", "gated", "settled")
BLOCK = 10  # images whose traces are in memory at the same time
# Bound on the change of plastic weights. Doubling it doubles the difference from the
# traces. Below about 1e-6, rounding errors of single steps would be larger.
RELATIVE_CHANGE = 1e-4
SHOWN = 40  # τ after onset, in the traces of the figure


@dataclass(frozen=True, kw_only=True)
class Config(CircuitConfig):
    """Settings of networks, images, inhibition and presentation times."""

    seeds: int = 3
    """Number of trained networks."""
    plastic_images: int = 50
    """Number of images for which plastic synapses are simulated too, the first ones."""
    plastic_duration: float = 20
    """T/τ of the simulation of plastic synapses, one of `durations`."""
    w_inh: tuple[float, ...] = (0.7, 0.9)
    """Strengths of lateral inhibition, below 1. Plastic synapses are simulated with the
    last one."""
    durations: tuple[float, ...] = (5, 10, 20, 50, 100, 300)
    """Presentation times T, in time constants τ."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_counts(self, "seeds", "plastic_images")
        check_increasing(w_inh=self.w_inh, durations=self.durations)
        if not (self.w_inh[0] >= 0 and self.w_inh[-1] < 1):
            raise ValueError(
                f"w_inh is {self.w_inh}: strengths from 0 to below 1 have a unique fixed "
                "point, whose weight change is the reference"
            )
        if not self.durations[0] > 0:
            raise ValueError(f"durations are {self.durations}: times must be positive")
        if self.plastic_duration not in self.durations:
            raise ValueError(
                f"plastic_duration is {self.plastic_duration:g}: give one of the "
                f"durations, {', '.join(f'{t:g}' for t in self.durations)}"
            )
        if self.plastic_images > self.num_images:
            raise ValueError(
                f"plastic_images is {self.plastic_images}: num_images is "
                f"{self.num_images}, not more can be shown"
            )
