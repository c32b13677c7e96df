"""Settings of the readout."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fastpath import checks
from fastpath.losses import LOSSES
from fastpath.readout.scalings import SCALINGS
from fastpath.readout.schedules import SCHEDULES


@dataclass(frozen=True, kw_only=True)
class Readout:
    """Settings of the head and its training."""

    epochs: int = 20
    power: float = 4.5
    """n of eq. 1."""
    scaling: str = "image"
    """"image": each image's features are brought to one sum; "set": one factor for all
    images, so that those of the training set have this sum on average; "unit": each unit's
    feature is standardised over the training images; "none": features as they are."""
    loss: str = "tanh"
    """"tanh" (eq. 12) or "cross-entropy": see `losses`."""
    m: float | int = 6.0
    """Exponent of the tanh loss, eq. 12."""
    beta: float = 1.0
    """Steepness of the tanh."""
    smoothing: float = 0.0
    """Cross-entropy: share of each target that is spread over all classes."""
    lr: float = 5e-3
    schedule: str = "cosine"
    """"cosine": from lr to 0; "step": lr halved every fifth of the epochs; "halved": lr
    halved at 20, 35, 50, 60, 70, 80 and 90 % of the steps."""
    batch_size: int = 100
    dropout: float = field(default=0.0, metadata={"neutral": 0.0})
    """Share of the scaled features that each step of training sets to 0; the others are
    divided by 1 - dropout."""
    flips: bool = field(default=False, metadata={"neutral": False})
    """Whether each epoch of training shows each image or its mirror image (left and right
    swapped), each with probability 1/2. Errors are those of the images themselves."""

    def __post_init__(self) -> None:
        wanted: dict[str, Callable[[str, Any], Any]] = {
            "epochs": checks.count,
            "power": checks.positive,
            "scaling": checks.one_of(*SCALINGS),
            "loss": checks.one_of(*LOSSES),
            "m": checks.positive,
            "beta": checks.positive,
            "smoothing": _below_one,
            "lr": checks.positive,
            "schedule": checks.one_of(*SCHEDULES),
            "batch_size": checks.count,
            "dropout": _below_one,
            "flips": checks.flag,
        }
        checks.fields(self, **{name: _of_readout(check) for name, check in wanted.items()})


def _of_readout(check: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
    """Return a check that says whose setting it is: the layer has some of these names."""
    more = {"m": "exponent m"}
    return lambda name, value: check(f"the readout's {more.get(name, name)}", value)


def _below_one(name: str, value: Any) -> float | int:
    found = checks.number(name, value)
    if not 0 <= found < 1:
        raise ValueError(f"{name} is {found}: from 0 to below 1 is needed")
    return found
