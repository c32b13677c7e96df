"""An epoch that is captured is the epoch that was launched piece by piece."""

import pytest
import torch

from fastpath.competition import Equilibrium, Ranking, RunnersUp, Soft
from fastpath.data.preprocess import Preprocess
from fastpath.layers import Dense
from fastpath.training.cuda_graph import CapturedEpoch


def test_a_graph_needs_a_cuda_device():
    for changed, where in (([torch.zeros(2, 3)], "on 'cpu'"), ([], "changed is empty")):
        with pytest.raises(
            ValueError, match=f"{where}: tensors on a CUDA device are needed"
        ):
            CapturedEpoch(lambda order, lr: None, 4, changed)


def start(p, kernels=None):
    """Return a layer and its epoch: 5 mini-batches, of which the last one is shorter."""
    generator = torch.Generator().manual_seed(0)
    layer = Dense.random(40, 30, p=p, kernels=kernels, generator=generator, device="cuda")
    x = torch.randint(0, 256, (46, 30), generator=generator).to(torch.uint8).cuda()
    preprocess = Preprocess(unit_norm=True).fit(x)

    def epoch(order, lr, rule):
        for batch in order.split(10):
            layer.learn(layer.prepare(x, batch, preprocess), rule, lr=lr)

    return layer, epoch


@pytest.mark.gpu
@pytest.mark.parametrize("kernels", ["triton", "pytorch"])
@pytest.mark.parametrize("p", [2.0, 3.0])
@pytest.mark.parametrize(
    "rule", [Ranking(k=3), RunnersUp(k=4), Equilibrium(w_inh=0.8), Soft()], ids=str
)
def test_a_replay_equals_the_eager_epoch_bit_for_bit(rule, p, kernels):
    eager, epoch = start(p, kernels)
    replayed, captured = start(p, kernels)
    before = replayed.weights.clone()
    graph = CapturedEpoch(
        lambda order, lr: captured(order, lr, rule), 46, [*replayed.state.values()]
    )
    assert torch.equal(replayed.weights, before)
    for seed, lr in enumerate([0.04, 0.02, 0.01]):
        order = torch.randperm(46, generator=torch.Generator().manual_seed(seed))
        epoch(order.cuda(), torch.tensor(lr, device="cuda"), rule)
        graph(order, lr)
    assert torch.equal(replayed.weights, eager.weights)
    assert torch.equal(replayed._signed_power, eager._signed_power)
    assert not torch.equal(replayed.weights, before)


@pytest.mark.gpu
def test_an_order_of_another_length_is_refused():
    layer, epoch = start(2.0)
    graph = CapturedEpoch(
        lambda order, lr: epoch(order, lr, Ranking()), 46, [*layer.state.values()]
    )
    with pytest.raises(ValueError, match="has 1 images, the captured epoch 46"):
        graph(torch.zeros(1, dtype=torch.int64), 0.1)
