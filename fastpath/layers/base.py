"""What training, readout and runs ask of a layer, whatever its kind."""

from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor, nn

from fastpath.competition import Competition
from fastpath.data.preprocess import FittedPreprocess
from fastpath.kernels import Name


@runtime_checkable
class Encoder(Protocol):
    """What a readout reads: images as the layer sees them, to features."""

    @property
    def weights(self) -> Float[Tensor, "unit input"]:
        """The receptive field of each unit, a row."""
        ...

    def features(
        self, images: Float[Tensor, "image pixel"], *, power: float
    ) -> Float[Tensor, "image feature"]:
        """Return the features of images, none negative, to this power (n of eq. 1)."""
        ...

    def to_module(self, *, power: float) -> nn.Module:
        """Return `features` as an `nn.Module` that `torch.export` can trace."""
        ...


@runtime_checkable
class Layer(Encoder, Protocol):
    """A layer that `training.loop.train` can train, save, resume and follow."""

    @property
    def p(self) -> float:
        """Exponent of the norm of a row that the history shows."""
        ...

    @property
    def state(self) -> dict[str, Tensor]:
        """The tensors that `learn` changes in place, which a checkpoint holds.

        Those named `weights`, or `....weights`, are weight matrices (unit, input): the
        history shows the norms of their rows.
        """
        ...

    def prepare(
        self,
        x: Num[Tensor, "all *shape"],
        index: Int[Tensor, " image"],
        preprocess: FittedPreprocess,
    ) -> Float[Tensor, "image pixel"]:
        """Return images x[index] as the layer sees them."""
        ...

    def drive(self, images: Float[Tensor, "image pixel"]) -> Float[Tensor, "image *unit"]:
        """Return the drive I of the units."""
        ...

    def learn(
        self,
        images: Float[Tensor, "image pixel"],
        competition: Competition,
        *,
        lr: Float[Tensor, ""] | float,
        normalize: Any,
        team: Any,
    ) -> None:
        """Change the weights by one mini-batch."""
        ...


@runtime_checkable
class Deep(Layer, Protocol):
    """A layer that consists of several: `train` also tells it where it stands."""

    def phases(self, epochs: int) -> list[int]:
        """Return the number of epochs of each phase, given that of the run.

        There is a phase for each layer if one learns after another, otherwise one for all.
        """
        ...

    def begin_phase(
        self,
        phase: int,
        x: Num[Tensor, "image *shape"],
        preprocess: FittedPreprocess,
        *,
        resumed: bool,
    ) -> None:
        """Get ready for a phase, from 0, of training on images x.

        `resumed` says that the phase began before the checkpoint that was restored.
        """
        ...

    def end(self, x: Num[Tensor, "image *shape"], preprocess: FittedPreprocess) -> None:
        """Finish after the last epoch."""
        ...


@runtime_checkable
class LayerSettings(Protocol):
    """Settings of a layer, a frozen dataclass: what a run is configured with.

    `input_shape` is the shape of one image as it is given: (height, width, channel), or
    (pixel,).
    """

    @property
    def num_units(self) -> int:
        """Number of hidden units, the rows of `Layer.weights`."""
        ...

    def num_features(self, input_shape: tuple[int, ...]) -> int:
        """Return the number of features that a readout gets."""
        ...

    def start(
        self,
        input_shape: tuple[int, ...],
        *,
        generator: torch.Generator,
        device: torch.device | str,
        kernels: Name | None,
    ) -> Layer:
        """Return the layer before training, its random weights drawn from `generator`."""
        ...

    def load(self, tensors: dict[str, Tensor], *, input_shape: tuple[int, ...]) -> Layer:
        """Return the layer with the tensors of a finished run."""
        ...

    def shapes(self, input_shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the tensors that `load` needs, by name; all of float32."""
        ...

    def memory(self, input_shape: tuple[int, ...], *, batch_size: int) -> dict[str, int]:
        """Return the bytes that training holds beside the images, by what holds them."""
        ...


def field_shape(
    settings: LayerSettings | None, input_shape: tuple[int, ...]
) -> tuple[int, ...]:
    """Return the shape of a row of `Layer.weights` as a picture, such as (5, 5, 3).

    Settings may have a method `field_shape(input_shape)` that returns (height, width,
    channel). Without one, or without settings, a row has the shape of an image.
    """
    own = getattr(settings, "field_shape", None)
    return tuple(input_shape) if own is None else tuple(own(input_shape))
