"""Run by `torchrun` in the tests: train a small layer as this process's share of a team."""

import sys
from pathlib import Path

import torch

from fastpath.competition import Equilibrium, Ranking, RunnersUp, Soft
from fastpath.data import datasets
from fastpath.data.preprocess import Preprocess
from fastpath.layers import Dense
from fastpath.runs import storage
from fastpath.training import distributed
from fastpath.training.loop import Training, train

RULES = {
    "ranking": Ranking(k=3),
    "runners-up": RunnersUp(k=4, delta=0.1),
    "few active": Equilibrium(w_inh=0.9, h_star=1.0),
    "many active": Equilibrium(w_inh=0.05, h_star=1.0),
    "soft": Soft(anti=True),
}


def weights(
    name: str, p: float, team: distributed.Team | None, device: str = "cpu"
) -> torch.Tensor:
    """Train on some digits, in float64; the last mini-batch has 4 images."""
    x = torch.from_numpy(datasets.load("digits").x_train[:304]).to(device)
    preprocess = Preprocess(unit_norm=True)
    generator = torch.Generator().manual_seed(0)
    layer = Dense.random(
        40, 64, p=p, generator=generator, device=device, dtype=torch.float64
    )
    train(
        layer,
        x,
        competition=RULES[name],
        training=Training(epochs=5, batch_size=50),
        preprocess=preprocess.fit(x),
        generator=generator,
        progress=False,
        team=team,
    )
    return layer.weights


def main(out: Path, device: str) -> None:
    """Write every process's weights by every rule."""
    team = distributed.join(torch.device(device))
    assert team is not None
    trained = {
        f"{name} {p}": weights(name, p, team, device)
        for name in RULES
        for p in (2.0, 2.5, 3.0)
    }
    storage.save_tensors(out / f"{team.rank}.safetensors", trained)
    team.leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
