"""What each data set is learned with unless told otherwise: the one place for it.

All of it was chosen on a validation split of the training images, never on test images.
"""

from dataclasses import dataclass

from fastpath.competition import Ranking
from fastpath.preprocess import Preprocess
from fastpath.readout import Readout
from fastpath.train import Training

CENTRED = Preprocess(subtract_mean=True, unit_norm=True)
# Of colour images each one's own mean as well: brightness says little of what they show.
COLOUR = Preprocess(subtract_mean=True, center_images=True, unit_norm=True)


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """How a layer learns from a data set and is read out.

    Its controls are read out their own best way.
    """

    preprocess: Preprocess
    p: float
    competition: Ranking
    training: Training
    readout: Readout
    random: Readout
    """For random weights."""
    kmeans: Readout
    """For weights that are the centres of clusters."""


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
                preprocess=CENTRED,
                p=3.0,
                competition=Ranking(k=7, delta=0.4),
                training=Training(epochs=30, lr=0.1),
                readout=Readout(power=2.5, scaling="set", m=4),
            )
        case "cifar10" | "cifar100":
            return Defaults(
                preprocess=COLOUR,
                p=3.0,
                competition=Ranking(k=7, delta=0.4),
                training=Training(epochs=10, lr=0.2),
                readout=Readout(epochs=30, power=3.0, scaling="set", m=4),
            )
        case _:
            return Defaults(
                preprocess=CENTRED,
                p=3.0,
                competition=Ranking(k=7, delta=0.4),
                training=Training(epochs=20, lr=0.1),
                readout=Readout(epochs=15, power=2.0, scaling="set", m=4),
            )
