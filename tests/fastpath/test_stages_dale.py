"""Convolutions under Dale's law: signs by input channel, and feed-forward interneurons."""

import numpy as np
import pytest
import torch

from fastpath.competition import Ranking, Soft
from fastpath.layers import Dense, StackSettings
from fastpath.layers.constraints import column_signs
from fastpath.layers.stages import (
    BatchNorm,
    Convolution,
    FullyConnected,
    Interneurons,
    MaxPool,
    OnOff,
    Triangle,
)
from tests.fastpath.stage_loops import normal, patches, seeded, started

SHAPE, UNITS, RELAYS = (5, 6, 3), 4, 2
WINDOW = {"kernel_size": 3, "padding": 1, "padding_mode": "reflect"}
RULES = [Ranking(k=2, delta=1.5), Soft(anti=True, delta=1.5)]


def relays(**settings):
    return Interneurons(**{"num_units": RELAYS, "initial_norm": 1.0} | WINDOW | settings)


def units(**settings):
    return Convolution(**{"num_units": UNITS, "initial_norm": 1.0} | WINDOW | settings)


def excitatory(number, seed=0):
    return normal(number, *SHAPE, seed=seed).abs()


def test_interneurons_join_the_inputs():
    stack = started((relays(), units(inhibitory=RELAYS)), SHAPE)
    part, x = stack.parts[0], excitatory(4)
    rows, dims = patches(x.numpy(), size=3, padding=1, mode="reflect")
    rates = np.maximum(rows @ part.weights.numpy().T, 0).reshape(*dims, RELAYS)
    expected = np.concatenate([x.numpy(), rates], axis=-1)
    # Measured 4e-15: sums in another order.
    np.testing.assert_allclose(part(x), expected, rtol=0, atol=1e-12)
    assert stack.settings.input_shapes(SHAPE)[1] == (5, 6, 3 + RELAYS)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_step_is_that_of_dense_layers_with_column_signs(rule):
    """Of both at once: the units learn from the rates before the step."""
    stack = started((relays(), units(inhibitory=RELAYS)), SHAPE)
    lower, upper = (stack.parts[i] for i in stack.learners)
    signs = {lower: torch.ones(27), upper: torch.tensor([1, 1, 1, -1, -1]).repeat(9)}
    dense = {
        part: Dense(part.weights, constraint=column_signs(sign.long()))
        for part, sign in signs.items()
    }
    for seed in range(4):
        x = excitatory(3, seed)
        outputs = lower(x).numpy()
        stack.learn(x.flatten(1), rule, lr=0.3)
        for part, seen in ((lower, x.numpy()), (upper, outputs)):
            rows, _ = patches(seen, size=3, padding=1, mode="reflect")
            dense[part].learn(torch.from_numpy(rows), rule, lr=0.3)
            # Measured 2e-15.
            torch.testing.assert_close(
                part.weights, dense[part].weights, rtol=0, atol=1e-12
            )
    for part, sign in signs.items():
        assert ((part.weights * sign) >= 0).all()
        assert (part.weights == 0).any()  # the constraint was at work


def test_all_layers_can_obey():
    """Rates stay positive where batch normalization does not centre them."""
    norm = BatchNorm(center=False)
    stack = started(
        (
            norm,
            relays(),
            norm,
            units(inhibitory=RELAYS),
            Triangle(),
            MaxPool(size=2),
            norm,
            FullyConnected(num_units=5, inhibitory=0),
        ),
        SHAPE,
    )
    for seed in range(3):
        stack.learn(excitatory(4, seed).flatten(1), Soft(), lr=0.05)
    seen = {i: stack.parts[i] for i in (0, 1, 2, 4, 5, 6)}  # a drive itself may be negative
    outputs = stack.outputs(excitatory(4).flatten(1), seen.keys())
    assert all(rates.min() >= 0 for rates in outputs.values())
    assert (stack.parts[3].weights.view(UNITS, 9, 5)[..., 3:] <= 0).all()


def test_excitatory_filters_of_on_and_off_cells_have_both_signs():
    """On x they act as (W_on - W_off) / 2, and on |x| as (W_on + W_off) / 2."""
    stack = started((OnOff(), units(inhibitory=0)), SHAPE)
    x = normal(4, *SHAPE)
    for seed in range(3):
        stack.learn(normal(4, *SHAPE, seed=seed).flatten(1), Soft(anti=True), lr=0.1)
    part = stack.parts[1]
    assert (part.weights >= 0).all()
    on, off = part.weights.view(UNITS, 9, 2, 3).unbind(2)
    signed, even = ((on - off) / 2).flatten(1), ((on + off) / 2).flatten(1)
    rows, dims = patches(x.numpy(), size=3, padding=1, mode="reflect")
    rows = torch.from_numpy(rows)
    expected = rows @ signed.T + rows.abs() @ even.T
    torch.testing.assert_close(part(stack.parts[0](x)).flatten(0, 2), expected)
    assert dims == (4, 5, 6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: relays(inhibitory=None), "interneurons are driven by excitatory inputs"),
        (lambda: relays(kernel_size=2), "need an odd kernel_size, stride 1 and padding"),
        (lambda: relays(stride=2), "kernel_size is 3, stride 2 and padding 1: inter"),
        (lambda: relays(padding=0), "stride 1 and padding 0: interneurons need an odd"),
        (lambda: units(inhibitory=-1), "inhibitory is -1: at least 0 is needed"),
        (
            lambda: units(inhibitory=1, start_from="patches"),
            "inhibitory is 1, so that weights keep their signs, which start_from 'patches' "
            "would change",
        ),
        (
            lambda: units(inhibitory=1, whiten=0.1, orthogonal=True),
            "which whiten 0.1 and orthogonal would change: leave out one of them",
        ),
        (
            lambda: StackSettings(stages=(units(inhibitory=4),)).start(
                SHAPE, generator=seeded()
            ),
            "inhibitory is 4, but the inputs have 3 channels: take at most 3",
        ),
    ],
)
def test_mistakes_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
