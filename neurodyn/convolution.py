"""Convolution layers in continuous time: patches, shared filters, surround inhibition.

At every position of a window, the filters of a layer see one patch of the image. Two
circuits correspond to such a layer.

*Each position alone.* Every patch is an image for the filters:

    simulate(LateralInhibition(w_inh=w), windows.patches(images), filters)

*Neighbouring positions together.* Each pair (position, filter) is a unit, which sees its
own window of the image. Units at near positions inhibit each other:

    simulate(
        LateralInhibition(w_inh=local_inhibition(windows.grid, filters, w_inh=w, ...)),
        windows.padded(images),
        windows.weights(filters),
    )

Units are in the order (row, column, filter).

This circuit learns one filter at each position. A convolution layer has the same filters
everywhere: `Windows.shared` adds up what all positions learned. **Sharing is not local**: a
synapse would have to know what the synapses at all other positions learned. Without it the
layer is locally connected, and learns locally.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from neurodyn import checks

if TYPE_CHECKING:
    from scipy import sparse

__all__ = ["Windows", "local_inhibition"]

# What NumPy calls them.
MODES: dict[str, Literal["constant", "reflect"]] = {
    "zeros": "constant",
    "reflect": "reflect",
}


@dataclass(frozen=True, kw_only=True)
class Windows:
    """The windows through which filters see images.

    Filters are (filter, input), with the inputs of a patch in the order (row, column,
    channel): the weights of a convolution layer of `fastpath`.
    """

    image_shape: tuple[int, int, int]
    """(height, width, channel)."""
    kernel_size: int
    """Height and width of a window in pixels."""
    stride: int = 1
    """Pixels between neighbouring positions."""
    padding: int = 0
    """Pixels that are added on each side."""
    padding_mode: str = "zeros"
    """"zeros", or "reflect": the pixels beside the border, mirrored."""

    def __post_init__(self) -> None:
        shape = checks.indices("image_shape", self.image_shape)
        if len(shape) != 3 or shape.min() < 1:
            raise ValueError(
                f"image_shape is {self.image_shape}: (height, width, channel) is needed, "
                "each 1 or more"
            )
        object.__setattr__(self, "image_shape", tuple(map(int, shape)))
        whole = checks.whole
        checks.convert(self, kernel_size=whole, stride=whole, padding=whole)
        checks.at_least_one("kernel_size", self.kernel_size, "pixel is needed")
        checks.at_least_one("stride", self.stride, "pixel is needed")
        checks.not_negative("padding", self.padding, "the number of added pixels")
        if self.padding_mode not in MODES:
            raise ValueError(
                f"padding_mode is {self.padding_mode!r}: give one of {', '.join(MODES)}"
            )
        smallest = int(shape[:2].min())
        if self.padding_mode == "reflect" and self.padding >= smallest:
            raise ValueError(
                f"padding is {self.padding}: to reflect images of {shape[0]} x {shape[1]}, "
                f"it must be below {smallest}"
            )
        if self.kernel_size > smallest + 2 * self.padding:
            raise ValueError(
                f"kernel_size is {self.kernel_size}, but the padded image is only "
                f"{smallest + 2 * self.padding} pixels wide: take a smaller window, or "
                "more padding"
            )

    @property
    def padded_shape(self) -> tuple[int, int, int]:
        """(height, width, channel) of padded images."""
        height, width, channels = self.image_shape
        return height + 2 * self.padding, width + 2 * self.padding, channels

    @property
    def grid(self) -> tuple[int, int]:
        """Numbers of (rows, columns) of positions."""
        height, width, _ = self.padded_shape
        size, stride = self.kernel_size, self.stride
        return (height - size) // stride + 1, (width - size) // stride + 1

    @property
    def num_inputs(self) -> int:
        """Number of inputs of a filter."""
        return self.kernel_size**2 * self.image_shape[2]

    def padded(self, images: ArrayLike) -> NDArray[np.float64]:
        """Return images (image, pixel) with the pixels that padding adds.

        Parameters
        ----------
        images
            Input rates (image, height, width[, channel]) or (image, pixel).

        Returns
        -------
        NDArray
            Input rates (image, pixel), float64, pixels in the order (row, column, channel).

        Raises
        ------
        ValueError
            If the images are not rates, or not of `image_shape`.
        """
        padded = self._padded(images)
        return padded.reshape(len(padded), -1)

    def _padded(self, images: ArrayLike) -> NDArray[np.float64]:
        """Return padded images (image, height, width, channel)."""
        rates = checks.rates("images", images)
        shape = np.shape(images)[1:]
        height, width, channels = self.image_shape
        fitting = [self.image_shape, (height * width * channels,)]
        fitting += [(height, width)] * (channels == 1)
        if shape not in fitting:
            raise ValueError(
                f"images have shape {np.shape(images)}, but image_shape is "
                f"{self.image_shape}: give (image, height, width, channel)"
            )
        added = self.padding, self.padding
        return np.pad(
            rates.reshape(-1, *self.image_shape),
            ((0, 0), added, added, (0, 0)),
            mode=MODES[self.padding_mode],
        )

    def patches(self, images: ArrayLike) -> NDArray[np.float64]:
        """Return all patches (image x position, input), in the order (image, row, column).

        Raises
        ------
        ValueError
            As `padded`.
        """
        return self._patches(self._padded(images))

    def _patches[Number: np.generic](self, padded: NDArray[Number]) -> NDArray[Number]:
        sides = self.kernel_size, self.kernel_size
        windows = np.lib.stride_tricks.sliding_window_view(padded, sides, axis=(1, 2))
        windows = windows[:, :: self.stride, :: self.stride]
        # from (image, row, column, channel, kernel row, kernel column)
        return np.moveaxis(windows, 3, -1).reshape(-1, self.num_inputs)

    @property
    def _pixels(self) -> NDArray[np.intp]:
        """The pixel of the padded image that each input is (position, input)."""
        pixels = np.arange(np.prod(self.padded_shape)).reshape(1, *self.padded_shape)
        return self._patches(pixels)

    def weights(self, filters: ArrayLike) -> "sparse.csr_array":
        """Return weights (position x filter, pixel): the filters at every position.

        A unit has synapses only from the pixels of the padded image in its window.

        Raises
        ------
        ValueError
            If the filters do not fit the windows.
        """
        from scipy import sparse

        filters, pixels = self._filters(filters), self._pixels
        shape = len(pixels), *filters.shape
        units = np.arange(shape[0] * shape[1]).reshape(*shape[:2], 1)
        of_unit, of_pixel, values = (
            np.broadcast_to(each, shape).ravel()
            for each in (units, pixels[:, None], filters)
        )
        size = units.size, int(np.prod(self.padded_shape))
        return sparse.csr_array((values, (of_unit, of_pixel)), shape=size)

    def shared(self, weights: ArrayLike, filters: ArrayLike) -> NDArray[np.float64]:
        """Return the filters (filter, input) after what all positions learned.

        Each filter changes by the sum of the changes at all positions. This is not local:
        see the module.

        Parameters
        ----------
        weights
            Weights (position x filter, pixel) after learning: traces["weights"].
        filters
            The filters from which all positions started (filter, input).

        Raises
        ------
        ValueError
            If the weights or the filters do not fit the windows.
        """
        filters, pixels = self._filters(filters), self._pixels
        weights = checks.array("weights", weights, ("unit", "pixel"))
        shape = len(pixels) * len(filters), int(np.prod(self.padded_shape))
        if weights.shape != shape:
            raise ValueError(
                f"weights have shape {weights.shape}, but {len(filters)} filters at "
                f"{len(pixels)} positions have {shape}: give the traces' weights of a "
                "simulation that started from Windows.weights(filters)"
            )
        by_position = weights.reshape(len(pixels), len(filters), -1)
        learned = np.take_along_axis(by_position, pixels[:, None], axis=2)
        return filters + (learned - filters).sum(axis=0)

    def _filters(self, filters: ArrayLike) -> NDArray[np.float64]:
        values = checks.array("filters", filters, ("unit", "pixel"))
        if values.ndim != 2 or values.shape[1] != self.num_inputs or not len(values):
            raise ValueError(
                f"filters have shape {values.shape}: (filter, {self.num_inputs}) is needed "
                f"for windows of {self.kernel_size} x {self.kernel_size} pixels with "
                f"{self.image_shape[2]} channels"
            )
        return values


def local_inhibition(
    grid: tuple[int, int],
    filters: ArrayLike,
    *,
    w_inh: float,
    space_sigma: float | None = None,
    feature_sigma: float | None = None,
    reach: int | None = None,
) -> NDArray[np.float64]:
    """Return inhibition (unit, unit) that falls with distance in space and in feature.

        w_ab = w_inh exp(−d² / 2 space_sigma²) exp(−f² / 2 feature_sigma²),   w_aa = 0

    for units a, b = (position, filter): d is the distance between their positions, f that
    between their filters scaled to norm 1, f = 2 sin(angle / 2).

    For w_inh < 1 without `reach`, the circuit has one fixed point, to which it settles from
    any initial values (`equilibrium.settle`): 1 + W is (1 − w_inh) plus w_inh times a
    product of two Gaussian kernels, so it is positive definite.

    Parameters
    ----------
    grid
        Numbers of (rows, columns) of positions, as `Windows.grid`.
    filters
        Filters (filter, input).
    w_inh
        Strength of inhibition at distance 0.
    space_sigma
        Width of the surround in positions. None or 0: only units at the same position
        inhibit each other. J. J. Nimmo & E. Mondragón, Neural Networks 190:107628 (2025),
        use Gaussian surrounds of 1.2 and 1.4.
    feature_sigma
        Width in distance f, which is 1 at 60°, 1.41 at 90° and 2 at 180°. None: all filters
        inhibit each other alike.
    reach
        Largest distance in rows or in columns at which units inhibit each other: 2 is a
        surround of 5 x 5 positions. None: no limit.

    Raises
    ------
    ValueError
        If a number is out of its range, or the filters are not a matrix or one is 0.
    """
    lengths = checks.indices("grid", grid)
    if len(lengths) != 2 or lengths.min() < 1:
        raise ValueError(f"grid is {grid}: (rows, columns) is needed, each 1 or more")
    w_inh = checks.number("w_inh", w_inh)
    checks.not_negative("w_inh", w_inh, "the strength of inhibition")
    vectors = checks.array("filters", filters, ("unit", "pixel"))
    if vectors.ndim != 2 or 0 in vectors.shape:
        raise ValueError(f"filters have shape {vectors.shape}: (filter, input) is needed")
    positions = np.indices(tuple(lengths)).reshape(2, -1).T.astype(np.float64)
    apart = abs(positions[:, None] - positions)
    space = _gaussian((apart**2).sum(axis=-1), "space_sigma", space_sigma or 0.0)
    if reach is not None:
        checks.not_negative("reach", checks.whole("reach", reach), "a distance")
        space = space * (apart.max(axis=-1) <= reach)
    feature = np.ones((len(vectors), len(vectors)))
    if feature_sigma is not None:
        checks.positive("feature_sigma", checks.number("feature_sigma", feature_sigma))
        feature = _gaussian(_squared_distances(vectors), "feature_sigma", feature_sigma)
    weights = (w_inh * np.kron(space, feature)).astype(np.float64)
    np.fill_diagonal(weights, 0.0)
    return weights


def _gaussian(square: NDArray[np.float64], name: str, sigma: float) -> NDArray[np.float64]:
    """Return exp(−square / 2σ²); for σ = 0, whether the square is 0."""
    sigma = checks.number(name, sigma)
    checks.not_negative(name, sigma, "a width")
    if not sigma:
        return (square == 0).astype(np.float64)
    return np.exp(-square / (2 * sigma**2))


def _squared_distances(filters: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return f² (filter, filter) of filters scaled to norm 1, symmetric to the bit."""
    norms = np.linalg.norm(filters, axis=1, keepdims=True)
    if not norms.all():
        raise ValueError(
            f"{np.count_nonzero(norms == 0)} filters are 0 and have no direction: leave "
            "them out, or give feature_sigma=None"
        )
    directions = filters / norms
    return ((directions[:, None] - directions) ** 2).sum(axis=-1)
