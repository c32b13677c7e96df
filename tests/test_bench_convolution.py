"""The rival of the convolution layer makes the same step, and rows are whole."""

import math

import pytest
import torch

from fastpath.competition import Ranking, Soft
from fastpath.layers.stages import Convolution
from scenarios.bench import convolution, rivals


@pytest.mark.parametrize("competition", [Ranking(k=3, delta=0.3), Soft(), Soft(anti=True)])
@pytest.mark.parametrize("kernel", [3, 5])
def test_both_forms_of_a_step_agree(competition, kernel):
    shape = convolution.Shape(filters=7, kernel=kernel, channels=2, size=6)
    stage = Convolution(
        num_units=7, kernel_size=kernel, padding=kernel // 2, padding_mode="reflect"
    )
    generator = torch.Generator().manual_seed(0)
    part = stage.start((6, 6, 2), generator=generator, kernels=None).double()
    x = torch.randn(4, 6, 6, 2, generator=generator, dtype=torch.float64)
    filters = convolution.nchw(part.weights, shape)
    start = part.weights.clone()
    for _ in range(3):
        part.learn(x, competition, lr=0.1, normalize="max", team=None)
        rivals.by_two_convolutions(
            filters, x.movedim(-1, 1), padding=kernel // 2, competition=competition, lr=0.1
        )
    own = part.weights.unflatten(1, (kernel, kernel, 2)).movedim(-1, 1)
    # Sums in another order: 2e-15 measured.
    torch.testing.assert_close(own, filters, rtol=0, atol=1e-12)
    assert (part.weights - start).abs().max() > 0.05


def test_a_row_has_finite_ratios(monkeypatch):
    times = [[2.0, 4.0, 6.0], [1.0, 2.0, 3.0], [6.0, 12.0, 18.0]]

    def once(*works):
        for work in works:
            work()
        return times

    monkeypatch.setattr(convolution, "in_turn", once)
    shape = convolution.Shape(filters=5, kernel=3, channels=2, size=6)
    row = convolution.step(shape, 2, "ranking", Ranking())
    assert row["layer"] == "5@3x3x2"
    assert (row["ratio"], row["rival_x"]) == (2.0, 3.0)
    assert row["step_ms"] == 4000.0
    assert all(math.isfinite(v) for v in row.values() if isinstance(v, float))
