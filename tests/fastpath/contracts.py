"""A competition from outside the package, and runs of any settings on the digits."""

from dataclasses import dataclass
from typing import ClassVar

import fastpath
import fastpath.commands.train  # before tests add to the lists, from which it takes flags
from fastpath.competition import Ranking, Rule
from fastpath.compute import Compute
from fastpath.data.preprocess import Preprocess
from fastpath.layers import DenseSettings
from fastpath.readout import Readout
from fastpath.runs.config import RunConfig
from fastpath.runs.execute import execute, save
from fastpath.training.checkpointing import Checkpoints
from fastpath.training.loop import Training


@dataclass(frozen=True, kw_only=True)
class Threshold(Rule):
    """Every unit above the mean drive of the image learns, by its share."""

    gain: float = 1.0
    calls: ClassVar[list[int]] = []  # after so many there is an interruption

    def __call__(self, drive):
        if self.calls:
            self.calls[0] -= 1
            if not self.calls[0]:
                self.calls.clear()
                raise KeyboardInterrupt
        above = (drive - drive.mean(dim=1, keepdim=True)).clamp(min=0)
        return self.gain * above / above.sum(dim=1, keepdim=True).clamp(min=1e-12)


def configured(**changes):
    settings = {
        "data": "digits",
        "layer": DenseSettings(num_units=20),
        "seed": 0,
        "validation": 0,
        "competition": Ranking(),
        "training": Training(epochs=3),
        "preprocess": Preprocess(unit_norm=True),
        "readout": Readout(epochs=2),
    }
    return RunConfig(**settings | changes)


def executed(config, folder):
    images, compute = fastpath.load("digits"), Compute(threads=1)
    folder.mkdir()
    checkpoints = Checkpoints(folder=folder, epochs=1, minutes=None)
    trained = execute(config, images, checkpoints, compute=compute)
    save(folder, trained, config, images, compute)
    return trained
