"""Learning records no gradients and leaves the caller's tensors alone."""

import torch

from fastpath import competition, readout
from fastpath.competition import Ranking, Soft
from fastpath.layers import Dense
from tests.fastpath.entries import HEAD, assert_same, normal, seeded


def test_gradients_are_neither_needed_nor_recorded():
    """Weights, images, means and rates that require them learn like others."""
    images, start = normal(20, 9).abs(), normal(5, 9, seed=1)
    grown = []
    for grad in (False, True):
        given = torch.nn.Parameter(start.clone()) if grad else start
        layer = Dense(given, p=3.0, kernels="pytorch")
        seen = images.clone().requires_grad_(grad)
        layer.learn(seen, Ranking(), lr=0.02)
        layer.learn(seen, Soft(), lr=torch.tensor(0.02, requires_grad=grad))
        layer.learn(seen, lambda drive, seen=seen: drive * seen.mean(), lr=0.02)
        assert not layer.weights.requires_grad
        assert torch.equal(given.detach(), start)
        features = readout.features(Dense(given), seen, HEAD)
        head = readout.fit(
            features,
            torch.arange(20) % 3,
            num_classes=3,
            readout=HEAD,
            generator=seeded(),
            progress=False,
        )
        assert given.grad is None
        assert seen.grad is None
        grown.append([layer.weights, *vars(head).values()])
    assert_same(grown[1], grown[0])


def test_functions_of_tensors_can_still_be_differentiated():
    drive = normal(3, 4).requires_grad_()
    competition.soft(drive, temperature=1.0, anti=False)[:, 0].sum().backward()
    assert drive.grad.abs().sum() > 0


def test_a_layer_does_not_change_the_weights_that_it_was_given():
    given = normal(5, 9)
    before = given.clone()
    layer = Dense(given)
    layer.learn(normal(20, 9, seed=1).abs(), Ranking(), lr=0.02)
    assert torch.equal(given, before)
    assert not torch.equal(layer.weights, before)
