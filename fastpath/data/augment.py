"""Augmentation: random changes of training images, drawn for each image.

Draws come from a generator on the CPU, as whole numbers: coordinates with 16 fractional
bits. What follows is integer arithmetic, so one seed gives the same images, bit for bit, in
C++, in PyTorch and on CUDA.
"""

import functools
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int32, Num, UInt8
from torch import Tensor

from fastpath import checks
from fastpath.ambient import isolated

ONE = 1 << 16  # in coordinates
MOST = 1024  # pixels of a side; coordinates fit into 32 bits up to the limits below
MOST_DEGREES, MOST_ZOOM, MOST_SHEAR = 180, 3, 2
MOST_OF_PROGRAM = 1 << 16  # pixels, times channels, of an image that Triton changes
BLOCK = 2048  # images that PyTorch changes at a time, and a thread of C++
COLUMNS = 12  # of draws: see `Augment.draw`


@dataclass(frozen=True, kw_only=True)
class Augment:
    """Random changes of training images, in this order; scored images stay as they are.

    What is moved in from beyond an edge, or erased, is 0.
    """

    use: str = "both"
    """Which training sees changed images: that of the features, of the readout, or both."""
    flip: float | int = 0.0
    """Probability of the mirror image, left and right swapped."""
    crop: int = 0
    """Largest shift, in pixels, up or down and left or right: a random crop of the image
    padded by so many pixels."""
    affine: float | int = 1.0
    """Probability of a rotation, zoom and shear."""
    rotate: float | int = 0.0
    """Largest rotation to either side, in degrees, up to 180."""
    zoom: float | int = 0.0
    """Largest enlargement: the factor is 1 / (1 + zoom) to 1 + zoom, log-uniform; up to
    3."""
    shear: float | int = 0.0
    """Largest horizontal shift of a row, as a share of its distance from the centre, up to
    2."""
    jitter: float | int = 1.0
    """Probability of other contrast and brightness."""
    contrast: float | int = 0.0
    """Largest relative change of the differences from the image's mean, up to 1."""
    brightness: float | int = 0.0
    """Largest change of brightness, as a share of white."""
    erase: float | int = 0.0
    """Probability that a square is erased; its centre is any pixel."""
    erase_size: float | int = 0.5
    """Side of that square, as a share of the image's shorter side."""

    def __post_init__(self) -> None:
        checks.fields(
            self,
            use=checks.one_of("features", "readout", "both"),
            crop=functools.partial(checks.count, least=0),
            rotate=functools.partial(_up_to, MOST_DEGREES),
            zoom=functools.partial(_up_to, MOST_ZOOM),
            shear=functools.partial(_up_to, MOST_SHEAR),
            brightness=_share,
            contrast=_share,
            erase_size=_share,
            **dict.fromkeys(("flip", "affine", "jitter", "erase"), _share),
        )

    @property
    def changes(self) -> bool:
        """Whether anything is changed."""
        moved = self.affine and (self.rotate or self.zoom or self.shear)
        recoloured = self.jitter and (self.contrast or self.brightness)
        erased = self.erase and self.erase_size
        return bool(self.flip or self.crop or moved or recoloured or erased)

    def of(self, part: Literal["features", "readout"]) -> "Augment | None":
        """Return this policy if a training sees changed images, else None."""
        return self if self.changes and self.use in (part, "both") else None

    def check(self, x: Num[Tensor, "image *shape"]) -> None:
        """Raise ValueError unless these are images that can be changed."""
        if x.dtype != torch.uint8 or x.ndim not in (3, 4) or max(x.shape[1:3]) > MOST:
            raise ValueError(
                f"the images to augment are {x.dtype} of shape {tuple(x.shape)}: uint8 of "
                "shape (image, height, width) or (image, height, width, channel) is "
                f"needed, at most {MOST} pixels wide and high; or leave augmentation out. "
                "For floats in [0, 1]: (255 * x).round().to(torch.uint8)"
            )
        if self.crop >= min(x.shape[1:3]):
            raise ValueError(
                f"crop is {self.crop}, but images have {tuple(x.shape[1:3])} pixels: less "
                "is needed, so that something is left"
            )

    def draw(
        self, number: int, shape: tuple[int, ...], generator: torch.Generator
    ) -> Int32[Tensor, "image 12"]:
        """Return random numbers for so many images of (height, width[, channel]).

        The columns are: yy, yx, y, xy, xx, x (a pixel in row r and column c of the result
        comes from row yy·r + yx·c + y and column xy·r + xx·c + x of the image, in units of
        2^-16 pixels); top, bottom, left, right of the erased square; contrast in 1/256;
        brightness in gray levels.
        """
        height, width = shape[:2]
        rand = functools.partial(torch.rand, generator=generator, dtype=torch.float64)
        happens, between = rand(4, number), 2 * rand(7, number) - 1
        where = rand(2, number)
        flip, moved, recoloured, erased = (
            chance < share
            for chance, share in zip(
                happens, (self.flip, self.affine, self.jitter, self.erase), strict=True
            )
        )
        shifts = (
            ((2 * self.crop + 1) * (between[:2] + 1) / 2).floor().clamp(max=2 * self.crop)
        )
        dy, dx = shifts - self.crop
        matrix = self._matrix(between[2:5] * moved)
        matrix[:, 1] *= 1 - 2 * flip.double()
        centre = torch.tensor([(height - 1) / 2, (width - 1) / 2], dtype=torch.float64)
        moved_centre = (matrix * centre[:, None]).sum(dim=1)
        start = centre[:, None] - moved_centre - torch.stack([dy, dx])
        coordinates = torch.cat([matrix, start[:, None]], dim=1).flatten(0, 1)
        contrast = 256 * (1 + self.contrast * between[5] * recoloured)
        brightness = 255 * self.brightness * between[6] * recoloured
        drawn = [*(ONE * coordinates), *self._square(where, erased, height, width)]
        return torch.stack([*drawn, contrast, brightness], dim=1).round().int()

    def _matrix(
        self, between: Float[Tensor, "three image"]
    ) -> Float[Tensor, "two two image"]:
        """Return the matrix from pixels of the result to those of the image."""
        angle = math.radians(self.rotate) * between[0]
        zoom = torch.exp(math.log1p(self.zoom) * between[1])
        cos, sin, shear = angle.cos() / zoom, angle.sin() / zoom, self.shear * between[2]
        rows = [cos - sin * shear, -sin], [sin + cos * shear, cos]
        return torch.stack([torch.stack(row) for row in rows])

    def _square(
        self, where: Tensor, erased: Tensor, height: int, width: int
    ) -> list[Tensor]:
        """Return top, bottom, left and right of the erased square, cut at the edges."""
        side = round(self.erase_size * min(height, width))
        edges = []
        for place, length in zip(where, (height, width), strict=True):
            first = (length * place).floor() - side // 2
            edges += [first.clamp(0, length), (first + side).clamp(0, length)]
        return [edge * erased for edge in edges]


def _up_to(most: int, name: str, value: Any) -> float | int:
    found = checks.number(name, value)
    if not 0 <= found <= most:
        raise ValueError(f"{name} is {found}: from 0 to {most} is needed")
    return found


_share = functools.partial(_up_to, 1)


class Augmented:
    """The training images, changed anew for each epoch, in memory that is used again.

    On CUDA a captured epoch reads this memory, which always lies at the same place.
    """

    def __init__(self, augment: Augment, x: Num[Tensor, "image *shape"]) -> None:
        augment.check(x)
        self._augment, self._x = augment, x.contiguous()
        self.images = torch.empty_like(self._x)

    @isolated(grad=False)
    def change(self, generator: torch.Generator) -> UInt8[Tensor, "image *shape"]:
        """Change all images by new draws; return them."""
        seed = int(torch.randint(2**63 - 1, (), generator=generator))
        own = torch.Generator().manual_seed(seed)
        draws = self._augment.draw(len(self._x), tuple(self._x.shape[1:]), own)
        return changed(self._x, draws, out=self.images)


@isolated(grad=False)
def changed(
    x: UInt8[Tensor, "image *shape"],
    draws: Int32[Tensor, "image 12"],
    *,
    out: UInt8[Tensor, "image *shape"] | None = None,
) -> UInt8[Tensor, "image *shape"]:
    """Return images changed as drawn: see `Augment.draw`.

    C++ does it on the CPU where there is a compiler, Triton on CUDA, else PyTorch: all give
    the same bits.
    """
    x = x.contiguous()
    out = torch.empty_like(x) if out is None else out
    draws, change = draws.to(x.device), _kernel(x)
    if change is not _by_pytorch and x.device.type == "cuda":
        change(x, draws, out)
        return out
    parts = zip(x.split(BLOCK), draws.split(BLOCK), out.split(BLOCK), strict=True)
    threads = 1 if change is _by_pytorch else torch.get_num_threads()
    if threads == 1 or len(x) <= BLOCK:
        for part in parts:
            change(*part)
        return out
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda part: change(*part), parts))
    return out


def _kernel(x: Tensor) -> Callable[[Tensor, Tensor, Tensor], None]:
    """Return the fastest function that changes images on their device."""
    from fastpath.kernels import cpp, triton

    if triton.why_not(x.device, torch.float32) is None and x[0].numel() <= MOST_OF_PROGRAM:
        return triton.augment
    if cpp.why_not(x.device, torch.float32) is None:
        return cpp.augment
    return _by_pytorch


def _by_pytorch(
    x: UInt8[Tensor, "image *shape"],
    draws: Int32[Tensor, "image 12"],
    out: UInt8[Tensor, "image *shape"],
) -> None:
    """Change images as drawn, by PyTorch, on any device."""
    height, width = x.shape[1:3]
    pixels = x.view(len(x), height * width, -1)
    row, column = (
        torch.arange(n, dtype=torch.int32, device=x.device) for n in x.shape[1:3]
    )
    yy, yx, y0, xy, xx, x0 = (each[:, None, None] for each in draws[:, :6].unbind(dim=1))
    y = yy * row[:, None] + yx * column + y0
    x_ = xy * row[:, None] + xx * column + x0
    top, left = y >> 16, x_ >> 16
    fy, fx = (((each >> 8) & 255).flatten(1)[..., None] for each in (y, x_))
    corners = []
    for down in (0, 1):
        for right in (0, 1):
            at, beside = top + down, left + right
            inside = (at >= 0) & (at < height) & (beside >= 0) & (beside < width)
            index = (at.clamp(0, height - 1) * width + beside.clamp(0, width - 1)).long()
            index = index.flatten(1)[..., None].expand(-1, -1, pixels.shape[2])
            found = pixels.gather(1, index).int()
            corners.append(found * inside.flatten(1)[..., None])
    upper = (256 - fx) * corners[0] + fx * corners[1]
    lower = (256 - fx) * corners[2] + fx * corners[3]
    values = ((256 - fy) * upper + fy * lower + 32768) >> 16
    mean = (values.flatten(1).sum(dim=1) // values[0].numel()).int()[:, None, None]
    gain, offset = (draws[:, i, None, None] for i in (10, 11))
    values = ((((values - mean) * gain + 128) >> 8) + mean + offset).clamp(0, 255)
    y1, y2, x1, x2 = (each[:, None, None] for each in draws[:, 6:10].unbind(dim=1))
    kept = (row[:, None] < y1) | (row[:, None] >= y2) | (column < x1) | (column >= x2)
    out.copy_((values * kept.flatten(1)[..., None]).view(out.shape))
