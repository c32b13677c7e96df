"""A team of processes trains the stack that one process does."""

import pytest
import torch

from fastpath.competition import Equilibrium, Ranking, Soft
from fastpath.layers.stages import BatchNorm, Convolution, FullyConnected, MaxPool, Triangle
from fastpath.runs import storage
from fastpath.training import distributed
from tests.fastpath import stack_worker
from tests.fastpath.stage_loops import normal, started
from tests.fastpath.test_distributed import torchrun
from tests.fastpath.test_team import Meeting

RULES = [Ranking(k=3), Equilibrium(w_inh=0.3, h_star=0.5), Soft(anti=True)]


@pytest.fixture(params=[2, 3])
def meeting(request, monkeypatch):
    met = Meeting(request.param)
    monkeypatch.setattr(distributed, "dist", met)
    return met


@pytest.mark.parametrize("kernels", ["pytorch", None])
@pytest.mark.parametrize("p", [2.0, 3.0])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_all_learn_from_their_shares_as_one_does_from_all(meeting, rule, p, kernels):
    stages = (
        BatchNorm(),
        Convolution(num_units=4, kernel_size=3, padding=1, p=p, rate_power=0.5),
        Triangle(power=0.7),
        MaxPool(size=2),
        BatchNorm(),
        FullyConnected(num_units=5, p=p, orthogonal=True),
    )
    batches = [normal(n, 4, 4, 2, seed=n) for n in (7, 3, 1)]  # with shares of no image

    def learned(team):
        stack = started(stages, (4, 4, 2), kernels=kernels)
        for images in batches:
            stack.learn(images.flatten(1), rule, lr=0.05, team=team)
        return stack.state

    alone, begun = learned(None), started(stages, (4, 4, 2)).state
    ours = meeting.all(learned)
    for name, expected in alone.items():
        assert (expected - begun[name]).abs().max() > 1e-3, name
        for found in ours:
            assert torch.equal(found[name], ours[0][name]), name
            # Measured 9e-16: the sums run in another order.
            torch.testing.assert_close(found[name], expected, rtol=0, atol=1e-12)


@pytest.mark.slow
def test_two_processes_train_the_stack_that_one_does(tmp_path):
    started = torchrun(2, str(tmp_path), module="tests.fastpath.stack_worker")
    _, said = started.communicate(timeout=600)
    assert started.returncode == 0, said
    ranks = [storage.load_tensors(tmp_path / f"{rank}.safetensors") for rank in range(2)]
    for setting in stack_worker.SETTINGS:
        # Measured 4e-6 at most, in float32: the sums run in another order, and a ranking
        # near a tie may go the other way, but does not.
        atol = 1e-12 if setting[-1] == torch.float64 else 1e-4
        for name, expected in stack_worker.tensors(*setting, None).items():
            for found in ranks:
                assert torch.equal(found[name], ranks[0][name]), name
                torch.testing.assert_close(found[name], expected, rtol=0, atol=atol)
