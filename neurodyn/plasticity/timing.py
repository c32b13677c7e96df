"""When synapses learn: all the time, in a window, or once at the end of a presentation."""

import math
from dataclasses import dataclass

from neurodyn import checks
from neurodyn.checks import convert, time_ms
from neurodyn.plasticity.protocols import Timing


@dataclass(frozen=True, kw_only=True)
class Continuous:
    """Weights change all the time, with the momentary activity.

    Units that end inactive unlearn until they are inactive; their share of the learning
    falls with τ / T. For the weight update of settled activity (cosine 0.99), show images
    for 100 τ at w_inh = 0.5 and for 300 τ at w_inh = 0.9 (scenarios.ladder).
    """

    def window_ms(self, image_ms: float) -> float:
        """Return how long before the end of a presentation learning starts [ms]."""
        return math.inf


@dataclass(frozen=True, kw_only=True)
class Gated:
    """Weights change in the last part of each presentation, when activity has settled."""

    last_ms: float
    """How long before the end of a presentation learning starts [ms]."""

    def __post_init__(self) -> None:
        convert(self, last_ms=time_ms)
        checks.positive("last_ms", self.last_ms, "the length of the window")

    def window_ms(self, image_ms: float) -> float:
        """Return how long before the end of a presentation learning starts [ms].

        Raises
        ------
        ValueError
            If the image is shown for less time.
        """
        if self.last_ms > image_ms:
            raise ValueError(
                f"last_ms is {self.last_ms:g}, but an image is shown for {image_ms:g} ms: "
                "shorten the window or show images for longer"
            )
        return self.last_ms


@dataclass(frozen=True, kw_only=True)
class Settled:
    """One weight update at the end of each presentation, in proportion to image_ms.

    It is one Euler step of length image_ms, with the final activity. From
    T = 10 τ / (1 − w_inh) on, it is the update by the closed form (scenarios.ladder).
    """

    def window_ms(self, image_ms: float) -> float:
        """Return how long before the end of a presentation learning starts [ms]."""
        return 0.0


def check_timing(timing: Timing) -> None:
    """Raise ValueError if `timing` is not a timing, such as the class of one."""
    checks.satisfies(
        "timing", timing, Timing, "Settled(), Gated(last_ms=...), Continuous()"
    )
