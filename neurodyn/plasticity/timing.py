"""When synapses learn: all the time, in a window, or once at the end of a presentation."""

import math
from dataclasses import dataclass

from neurodyn import checks
from neurodyn.checks import convert, time_ms
from neurodyn.plasticity.protocols import Timing


@dataclass(frozen=True, kw_only=True)
class Continuous:
    """Weights move all the time, with the activity of the moment.

    Units that end inactive unlearn until they are; their share falls with τ / T. To learn
    what the settled activity would (cosine 0.99), images must be shown for 100 τ at w_inh
    0.5 and 300 τ at 0.9 (scenarios.ladder).
    """

    def window_ms(self, image_ms: float) -> float:
        """Return how long before the end of a presentation learning starts [ms]."""
        return math.inf


@dataclass(frozen=True, kw_only=True)
class Gated:
    """Weights move in the last part of each presentation, once activity has settled."""

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
            If the image is not shown for so long.
        """
        if self.last_ms > image_ms:
            raise ValueError(
                f"last_ms is {self.last_ms:g}, but an image is shown for {image_ms:g} ms: "
                "shorten the window or show images for longer"
            )
        return self.last_ms


@dataclass(frozen=True, kw_only=True)
class Settled:
    """One update at the end of each presentation, as large as the image was long.

    It is Euler's step of the length of the image, with the activity reached at its end.
    From T = 10 τ / (1 − w_inh) on, it is what the closed form gives (scenarios.ladder).
    """

    def window_ms(self, image_ms: float) -> float:
        """Return how long before the end of a presentation learning starts [ms]."""
        return 0.0


def check_timing(timing: Timing) -> None:
    """Raise ValueError for what is no timing, such as the class of one."""
    checks.satisfies(
        "timing", timing, Timing, "Settled(), Gated(last_ms=...), Continuous()"
    )
