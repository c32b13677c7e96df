"""Run by `torchrun` in the tests: train small stacks as this process's share of a team."""

import itertools
import sys
from pathlib import Path

import torch

from fastpath.competition import Ranking, Soft
from fastpath.data import datasets
from fastpath.data.preprocess import Preprocess
from fastpath.layers import StackSettings
from fastpath.layers.stages import BatchNorm, Convolution, MaxPool, Triangle
from fastpath.runs import storage
from fastpath.training import distributed
from fastpath.training.loop import Training, train

RULES = {"ranking": Ranking(k=3), "soft": Soft(anti=True)}
SETTINGS = [
    *itertools.product(RULES, (False, True), (torch.float64,)),
    *itertools.product(RULES, (False,), (torch.float32,)),
]


def tensors(
    name: str, greedy: bool, dtype: torch.dtype, team: distributed.Team | None
) -> dict[str, torch.Tensor]:
    """Train on some digits; the last mini-batch has 1 image."""
    x = torch.from_numpy(datasets.load("digits").x_train[:41])
    stages = (
        BatchNorm(),
        Convolution(num_units=6, kernel_size=3, padding=1, rate_power=0.5),
        Triangle(),
        MaxPool(size=2),
        BatchNorm(),
        Convolution(num_units=7, kernel_size=3),
        Triangle(),
        BatchNorm(),
    )
    generator = torch.Generator().manual_seed(0)
    stack = StackSettings(stages=stages, greedy=greedy).start(
        (8, 8, 1), generator=generator
    )
    for part in stack.parts:
        part.to(dtype)
    train(
        stack,
        x,
        competition=RULES[name],
        training=Training(epochs=2, batch_size=20),
        preprocess=Preprocess().fit(x),
        generator=generator,
        progress=False,
        team=team,
    )
    return {f"{name} {greedy} {dtype} {key}": value for key, value in stack.state.items()}


def main(out: Path) -> None:
    """Write every process's tensors by every rule."""
    team = distributed.join(torch.device("cpu"))
    assert team is not None
    trained: dict[str, torch.Tensor] = {}
    for setting in SETTINGS:
        trained |= tensors(*setting, team)
    storage.save_tensors(out / f"{team.rank}.safetensors", trained)
    team.leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
