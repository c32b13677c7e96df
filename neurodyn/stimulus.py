"""Which image is shown, and for how long: a sequence of equal presentations."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurodyn.timeline import LOOKUP, Timeline

if TYPE_CHECKING:
    import brian2 as b2


@dataclass(frozen=True, kw_only=True)
class Presentation:
    """One image after another, each shown for the same time.

    A presentation is `rest_ms` without input, then `image_ms` with the image, so that it
    ends while the image is still on. Activity starts the first one at 0.
    """

    image_ms: float = 1000.0
    """How long an image is shown [ms]. Activities settle with τ / (1 − w_inh). After 10 of
    these, one update of the weights is that of the settled activity (scenarios.ladder); the
    default is 10 at w_inh = 0.9 and τ = 10 ms. See `Continuous` for synapses that learn all
    the time."""
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


def epochs(num_images: int, num_epochs: int, *, seed: int) -> NDArray[np.intp]:
    """Return an order that shows all images in each epoch, shuffled anew each time.

    Raises
    ------
    ValueError
        If a number is not positive.
    """
    if num_images < 1 or num_epochs < 1:
        raise ValueError(
            f"{num_images} images for {num_epochs} epochs: at least 1 of each is needed"
        )
    generator = np.random.default_rng(seed)
    return np.concatenate([generator.permutation(num_images) for _ in range(num_epochs)])


def checked_order(order: ArrayLike | None, num_images: int) -> NDArray[np.intp]:
    """Return the order of presentations (presentation,), by default each image once.

    Raises
    ------
    ValueError
        If it names images that the bank does not have.
    """
    if order is None:
        return np.arange(num_images)
    values = np.asarray(order)
    if values.ndim != 1 or values.size == 0 or not np.issubdtype(values.dtype, np.integer):
        raise ValueError(
            f"order has shape {values.shape} and type {values.dtype}: a list of image "
            "numbers is needed, one for each presentation"
        )
    if outside := np.count_nonzero((values < 0) | (values >= num_images)):
        raise ValueError(
            f"order names {outside} images that the bank does not have (from {values.min()}"
            f" to {values.max()}): it has {num_images}, numbered from 0; repeat numbers to "
            "show images again"
        )
    return values.astype(np.intp)


def pixels(images: NDArray[np.float64], timeline: Timeline) -> "b2.NeuronGroup":
    """Return the input population: state v, set to the next image at each presentation.

    One copy of the images is kept as a table; `Timeline.image_at` says which row is on.
    """
    import brian2 as b2

    clock = timeline.presentations
    group = b2.NeuronGroup(
        images.shape[1],
        "v : 1",
        clock=clock,
        name="pixels",
        namespace=timeline.lookup(images),
    )
    group.run_regularly(f"v = {LOOKUP}, i)", clock=clock, when="start")
    return group
