"""The timing of presentations, and the order of the images."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurodyn import checks, times
from neurodyn.checks import convert, flag, indices, number, time_ms, whole
from neurodyn.engine.timeline import Timeline

__all__ = ["PoissonPresentation", "Presentation", "Stimulus", "epochs"]

if TYPE_CHECKING:
    import brian2 as b2


MOST_ATTEMPTS = 60  # at one image
MOST_SPIKES = 10**6  # of all cells in a presentation


class Stimulus(Protocol):
    """What is shown, and when; `Presentation` shows still images.

    A stimulus of your own is a subclass of `Presentation` with another `num_frames` and
    `frames`, or any object with these members.
    """

    @property
    def image_ms(self) -> float:
        """Time an image is shown [ms]."""
        ...

    @property
    def rest_ms(self) -> float:
        """Time without input before each image [ms]."""
        ...

    @property
    def period_ms(self) -> float:
        """Length of one presentation, rest included [ms]."""
        ...

    @property
    def reset(self) -> bool:
        """Whether activity is set to 0 when a presentation starts."""
        ...

    @property
    def num_frames(self) -> int:
        """Number of pictures that are shown one after another in place of an image."""
        ...

    def frames(self, images: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the pictures (image, frame, pixel) of images (image, pixel)."""
        ...

    def steps(self, dt_ms: float) -> tuple[int, int]:
        """Return the numbers of time steps of (rest, whole presentation)."""
        ...

    def fitting_step(self, bound_ms: float, *others_ms: float) -> float:
        """Return the longest time step [ms] up to `bound_ms` that divides all times."""
        ...


@dataclass(frozen=True, kw_only=True)
class Presentation:
    """Timing of presentations: one image after another, each shown for the same time.

    A presentation is `rest_ms` without input, then `image_ms` with the image on. Activity
    is 0 at the start of the first presentation.
    """

    image_ms: float = 1000.0
    """Time an image is shown [ms]. Activity settles with the time constant τ / (1 − w_inh).
    After 10 such time constants, a weight update is that of the settled activity
    (scenarios.ladder); the default is 10 of them at w_inh = 0.9 and τ = 10 ms. For
    continuous learning see `Continuous`."""
    rest_ms: float = 0.0
    """Time without input before each image [ms]."""
    reset: bool = True
    """Set the activity to 0, and draw the noise anew, when a presentation starts; False:
    carry both over."""

    def __post_init__(self) -> None:
        convert(self, image_ms=time_ms, rest_ms=time_ms, reset=flag)
        checks.positive("image_ms", self.image_ms, "the time an image is shown")
        checks.not_negative("rest_ms", self.rest_ms, "the rest")

    @property
    def period_ms(self) -> float:
        """Length of one presentation, rest included [ms]."""
        return self.rest_ms + self.image_ms

    @property
    def num_frames(self) -> int:
        """Number of pictures that are shown for an image: 1, it is still."""
        return 1

    def frames(self, images: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the pictures (image, frame, pixel) of images (image, pixel)."""
        return images[:, None]

    def steps(self, dt_ms: float) -> tuple[int, int]:
        """Return the numbers of time steps of (rest, whole presentation).

        Raises
        ------
        ValueError
            If image_ms or rest_ms is not a whole number of steps, or steps are too many.
        """
        rest, image = (
            times.steps(name, getattr(self, name), dt_ms)
            for name in ("rest_ms", "image_ms")
        )
        if rest + image > times.MOST_STEPS:
            raise ValueError(
                f"a presentation of {self.period_ms:g} ms has {rest + image} time steps of "
                f"{dt_ms:g} ms: at most {times.MOST_STEPS} are allowed, so shorten the "
                "presentation, or give a longer dt_ms"
            )
        return rest, rest + image

    def fitting_step(self, bound_ms: float, *others_ms: float) -> float:
        """Return the longest time step [ms] up to `bound_ms` that divides all times.

        The times are image_ms, rest_ms and `others_ms`.

        Raises
        ------
        ValueError
            If no step of useful length divides them all.
        """
        return times.common_step(bound_ms, self.image_ms, self.rest_ms, *others_ms)


@dataclass(frozen=True, kw_only=True)
class PoissonPresentation(Presentation):
    """Presentations of images as spike trains, for spiking circuits.

    A presentation is `rest_ms` without input, then `image_ms` in which each pixel fires at
    random, at a rate in proportion to its value. An image to which the E cells answer with
    fewer than `min_spikes` spikes is shown again, at a higher rate. Defaults: Diehl & Cook
    2015. (There the rest follows the image, which is the same for cells, and rates may rise
    without end.)

    In each time step dt a pixel fires with probability rate·dt, at most once: the intervals
    between its spikes have the mean 1/rate, and a coefficient of variation of
    √(1 − rate·dt), which is 1 for a Poisson process. A step with rate·dt above 0.1 is
    refused.
    """

    image_ms: float = 350.0
    """Time an image is shown [ms]."""
    rest_ms: float = 150.0
    """Time without input before each image [ms]."""
    reset: bool = False
    """Set potentials, conductances and traces to rest when a presentation starts; False:
    carry them over. Weights and θ are always carried over."""
    rate_hz: float = 63.75
    """Rate of a pixel of value 1 [Hz]."""
    raise_hz: float = 31.875
    """By how much the rate is raised to show an image again [Hz]."""
    max_rate_hz: float = 191.25
    """Highest rate of a pixel of value 1 [Hz]: after it, the next image is shown."""
    min_spikes: int = 5
    """Number of spikes of all E cells that is enough to go on."""

    def __post_init__(self) -> None:
        super().__post_init__()
        rates = ("rate_hz", "raise_hz", "max_rate_hz")
        convert(self, **dict.fromkeys(rates, number), min_spikes=whole)
        checks.positive("rate_hz", self.rate_hz, "the rate of a pixel of value 1")
        checks.not_negative("raise_hz", self.raise_hz, "the rise of the rate")
        if not 0 <= self.min_spikes <= MOST_SPIKES:
            raise ValueError(
                f"min_spikes is {self.min_spikes}: a number of spikes from 0 to "
                f"{MOST_SPIKES} is needed"
            )
        if not self.rate_hz <= self.max_rate_hz < math.inf:
            raise ValueError(
                f"max_rate_hz is {self.max_rate_hz:g}, but images are first shown at "
                f"rate_hz = {self.rate_hz:g}: it must be as high or higher, and finite"
            )
        if self.last_attempt > MOST_ATTEMPTS:
            raise ValueError(
                f"from rate_hz = {self.rate_hz:g} to max_rate_hz = {self.max_rate_hz:g} "
                f"there are {self.last_attempt:.6g} rises of {self.raise_hz:g} Hz: at most "
                f"{MOST_ATTEMPTS} are possible, so give a larger raise_hz"
            )

    @property
    def highest_hz(self) -> float:
        """Highest rate at which a pixel of value 1 fires [Hz], up to `max_rate_hz`."""
        return self.rate_hz + self.last_attempt * self.raise_hz

    @property
    def last_attempt(self) -> int:
        """How often the rate is raised at most."""
        if not self.raise_hz:
            return 0
        rises = (self.max_rate_hz - self.rate_hz) / self.raise_hz
        return math.floor(min(rises, 1e9) + 1e-9)


def from_rest(stimulus: Stimulus) -> bool:
    """Return whether each picture is shown to a circuit whose activity is 0."""
    return stimulus.reset and stimulus.num_frames == 1


def epochs(num_images: int, num_epochs: int, *, seed: int) -> NDArray[np.intp]:
    """Return an order of presentations: all images in each epoch, shuffled anew.

    Raises
    ------
    ValueError
        If a number is not positive.
    """
    num_images = whole("num_images", num_images)
    num_epochs, seed = whole("num_epochs", num_epochs), whole("seed", seed)
    checks.at_least_one("num_images", num_images)
    checks.at_least_one("num_epochs", num_epochs)
    generator = np.random.default_rng(seed)
    return np.concatenate([generator.permutation(num_images) for _ in range(num_epochs)])


def checked_order(order: ArrayLike | None, num_images: int) -> NDArray[np.intp]:
    """Return the order of presentations (presentation,), by default each image once.

    Raises
    ------
    ValueError
        If an index is outside the bank of images.
    """
    if order is None:
        return np.arange(num_images)
    values = indices("order", order)
    if outside := np.count_nonzero((values < 0) | (values >= num_images)):
        raise ValueError(
            f"order names {outside} images that the bank does not have (from {values.min()}"
            f" to {values.max()}): it has {num_images}, numbered from 0; repeat numbers to "
            "show images again"
        )
    return values


def pixels(images: NDArray[np.float64], timeline: Timeline) -> "b2.NeuronGroup":
    """Return the input population: state v, set to the next picture at each tick.

    The pictures (image and frame, pixel) are stored once, as a table.
    """
    import brian2 as b2

    clock = timeline.frames
    group = b2.NeuronGroup(
        images.shape[1],
        "v : 1",
        clock=clock,
        name="pixels",
        namespace=timeline.lookup(images),
    )
    group.run_regularly(f"v = {timeline.entry}, i)", clock=clock, when="start")
    return group
