"""What training asks of a layer, whatever its kind."""

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float, Int, Num
from torch import Tensor

from fastpath.competition import Competition
from fastpath.data.preprocess import Preprocess


@runtime_checkable
class Layer(Protocol):
    """A layer that `training.loop.train` can train, save, resume and follow."""

    @property
    def weights(self) -> Float[Tensor, "unit input"]:
        """The receptive field of each unit, a row."""
        ...

    @property
    def p(self) -> float:
        """Exponent of the norm of a row that the history shows."""
        ...

    @property
    def state(self) -> dict[str, Tensor]:
        """All that `learn` changes, in place: what a checkpoint holds."""
        ...

    def prepare(
        self,
        x: Num[Tensor, "all *shape"],
        index: Int[Tensor, " image"],
        preprocess: Preprocess,
        mean: Float[Tensor, " pixel"],
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
