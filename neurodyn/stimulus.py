"""When which image is shown: a sequence of equal presentations."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neurodyn.clocks import Clocks

if TYPE_CHECKING:
    import brian2 as b2


@dataclass(frozen=True, kw_only=True)
class Presentation:
    """One image after another, each shown for the same time.

    A presentation is `rest_ms` without input, then `image_ms` with the image, so that it
    ends while the image is still on. Activity starts the first one at 0.
    """

    image_ms: float = 300.0
    """How long an image is shown [ms]. Activities settle with τ / (1 − w_inh)."""
    rest_ms: float = 0.0
    """Time without input before each image [ms]."""
    reset: bool = True
    """Set the activity to 0 when a presentation starts; False: carry it over."""

    def __post_init__(self) -> None:
        if not (self.image_ms > 0 and math.isfinite(self.image_ms)):
            raise ValueError(
                f"image_ms is {self.image_ms}: an image must be shown for a positive time"
            )
        if not (self.rest_ms >= 0 and math.isfinite(self.rest_ms)):
            raise ValueError(f"rest_ms is {self.rest_ms}: the rest must be 0 ms or more")

    @property
    def period_ms(self) -> float:
        """Length of one presentation, rest included [ms]."""
        return self.rest_ms + self.image_ms

    def steps(self, dt_ms: float) -> tuple[int, int]:
        """Return the time steps of (rest, whole presentation).

        Raises
        ------
        ValueError
            If image or rest is not a whole number of steps.
        """
        counts = []
        for name in ("rest_ms", "image_ms"):
            length = getattr(self, name)
            if not is_multiple(length, dt_ms):
                raise ValueError(
                    f"{name} is {length:g} ms, not a whole number of time steps of "
                    f"{dt_ms:g} ms: choose a dt_ms that divides it"
                )
            counts.append(round(length / dt_ms))
        rest, image = counts
        return rest, rest + image

    def fitting_step(self, bound_ms: float, *others_ms: float) -> float:
        """Return the largest time step up to `bound_ms` that divides all times.

        Image, rest and `others_ms`, in whole microseconds.

        Raises
        ------
        ValueError
            If the times are below a microsecond.
        """
        lengths = (self.image_ms, self.rest_ms, *others_ms)
        unit_us = math.gcd(*(round(1000 * length) for length in lengths))
        if unit_us == 0:
            raise ValueError(
                f"image_ms is {self.image_ms:g}: give dt_ms for times below a microsecond"
            )
        return unit_us / math.ceil(unit_us / (1000 * bound_ms)) / 1000


def is_multiple(length_ms: float, step_ms: float) -> bool:
    """Return whether a length is a whole number of steps, but for rounding."""
    return abs(round(length_ms / step_ms) * step_ms - length_ms) < 1e-9 * max(1, length_ms)


def pixels(images: NDArray[np.float64], clocks: Clocks) -> "b2.NeuronGroup":
    """Return the input population: state v, set to the next image at each presentation.

    One copy of the images is kept as a table; `image_at` says which row is on.
    """
    import brian2 as b2

    clock = clocks.presentations
    group = b2.NeuronGroup(
        images.shape[1],
        "v : 1",
        clock=clock,
        name="pixels",
        namespace={
            "table": b2.TimedArray(images, dt=clock.dt),
            "image_at": b2.TimedArray(np.arange(len(images)), dt=clock.dt),
            "period": clock.dt,
        },
    )
    group.run_regularly("v = table(image_at(t)*period, i)", clock=clock, when="start")
    return group
