"""What each data set is learned with unless told otherwise: the one place for it.

All of it was chosen on a validation split of the training images, never on test images.
"""

from dataclasses import dataclass, field

from fastpath.competition import Ranking
from fastpath.preprocess import Preprocess
from fastpath.readout import Readout
from fastpath.train import Training

CENTRED = Preprocess(subtract_mean=True, unit_norm=True)
# Of colour images each one's own mean as well: brightness says little of what they show.
COLOUR = Preprocess(subtract_mean=True, center_images=True, unit_norm=True)


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """How a layer learns from a data set, how it is read out, and so for its controls.

    Each kind of weights has the power n of the readout's features that is best for it.
    """

    preprocess: Preprocess = CENTRED
    p: float = 3.0
    competition: Ranking = field(default_factory=lambda: Ranking(k=7, delta=0.4))
    training: Training = field(default_factory=lambda: Training(epochs=20, lr=0.2))
    readout: Readout = field(default_factory=lambda: Readout(power=3.0))
    random_power: float = 1.0
    """n for random weights."""
    kmeans_power: float = 3.0
    """n for the centres of clusters."""


def defaults_for(name: str) -> Defaults:
    """Return the defaults for a data set, by its `Images.name`."""
    match name:
        case "digits":
            return Defaults(
                preprocess=Preprocess(),
                p=2.0,
                competition=Ranking(k=2, delta=0.4),
                training=Training(epochs=100),
                readout=Readout(power=4.5),
            )
        case "mnist":
            return Defaults(
                preprocess=Preprocess(),
                training=Training(epochs=60),
                readout=Readout(power=6.0),
            )
        case "cifar10" | "cifar100":
            return Defaults(preprocess=COLOUR)
        case _:
            return Defaults()
