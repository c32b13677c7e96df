"""The same results on a CUDA device as on the CPU."""

import pytest
import torch

from fastpath.competition import Equilibrium, Ranking, Soft
from fastpath.layers import Dense

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("p", [2.0, 3.0])
@pytest.mark.parametrize("rule", [Ranking(k=3), Equilibrium(w_inh=0.8), Soft()], ids=str)
def test_learning_agrees_with_the_cpu(rule, p):
    generator = torch.Generator().manual_seed(0)
    start = Dense.random(40, 30, p=p, generator=generator, dtype=torch.float64).weights
    images = torch.rand(20, 10, 30, generator=generator, dtype=torch.float64)
    layers = [Dense(start.clone(), p=p), Dense(start.cuda(), p=p)]
    for layer in layers:
        for batch in images:
            layer.learn(batch.to(layer.weights.device), rule, lr=0.02)
    torch.testing.assert_close(
        layers[1].weights.cpu(), layers[0].weights, rtol=0, atol=1e-11
    )


def test_the_command_trains_on_the_device(tmp_path):
    from fastpath.cli import main

    flags = ["--data", "digits", "--units", "20", "--epochs", "3", "--device", "cuda"]
    main(["train", *flags, "--out", str(tmp_path / "run")])
    main(["evaluate", str(tmp_path / "run"), "--device", "cuda"])
