"""A convolution learns as a dense layer does from all patches, which loops unfold here."""

import copy
import itertools

import numpy as np
import pytest
import torch

from fastpath import kernels
from fastpath.competition import Equilibrium, Ranking, Soft
from fastpath.kernels.pytorch import PyTorchKernels
from fastpath.layers import Dense
from fastpath.layers.stages import Convolution, FullyConnected
from fastpath.plasticity import delta_w, signed_power
from tests.fastpath.stage_loops import normal, patches, started

CPU = torch.device("cpu")
SHAPE = (7, 6, 2)
UNITS, SIZE, IMAGES = 5, 3, 4
WINDOWS = [  # all paddings, both modes and both strides
    {"stride": stride, "padding": padding, "padding_mode": mode}
    for stride, (padding, mode) in itertools.product(
        (1, 2), ((0, "zeros"), (1, "zeros"), (2, "zeros"), (1, "reflect"), (2, "reflect"))
    )
]
RULES = {
    "ranking": Ranking(k=3),
    "equilibrium": Equilibrium(w_inh=0.4, h_star=0.5),
    "soft": Soft(temperature=2.0),
    "soft, anti": Soft(temperature=2.0, anti=True),
    "soft, weakly anti": Soft(temperature=2.0, anti=True, delta=0.3),
}


@pytest.fixture(params=["pytorch", "cpp"])
def name(request):
    if reason := kernels.why_not(request.param, CPU, torch.float64):
        pytest.skip(reason)
    return request.param


@pytest.fixture(params=WINDOWS, ids=lambda window: " ".join(map(str, window.values())))
def window(request):
    return request.param


def unfolded(x, window, size=SIZE):
    rest = {"stride": window["stride"], "padding": window["padding"]}
    return patches(x.numpy(), size=size, mode=window["padding_mode"], **rest)


@pytest.mark.parametrize("p", [2.0, 3.0])
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_step_is_that_of_a_dense_layer_on_all_patches(rule, p, window, name):
    stage = Convolution(num_units=UNITS, kernel_size=SIZE, p=p, competition=rule, **window)
    stack = started((stage,), SHAPE, kernels=name)
    dense = Dense(stack.weights, p=p, kernels=name)
    for seed, (lr, normalize) in enumerate(((0.02, "max"), (1e-3, None))):
        x = normal(IMAGES, *SHAPE, seed=seed)
        rows, dims = unfolded(x, window)
        drive = stack.drive(x.flatten(1)).clone()
        assert drive.shape == (*dims, UNITS)
        torch.testing.assert_close(
            drive.flatten(0, -2), dense.drive(torch.from_numpy(rows)), rtol=0, atol=1e-12
        )
        before = stack.weights.clone()
        stack.learn(x.flatten(1), Ranking(), lr=lr, normalize=normalize)
        dense.learn(torch.from_numpy(rows), rule, lr=lr, normalize=normalize)
        assert (stack.weights - before).abs().max() > 1e-3
        # Measured 0: the same kernels get the same rows in the same order.
        torch.testing.assert_close(stack.weights, dense.weights, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_the_competition_of_the_run_serves_a_stage_without_its_own(rule, name):
    stages = [
        Convolution(num_units=UNITS, kernel_size=SIZE, competition=own)
        for own in (None, rule)
    ]
    ours, theirs = (started((stage,), SHAPE, kernels=name) for stage in stages)
    x = normal(IMAGES, *SHAPE).flatten(1)
    ours.learn(x, rule, lr=0.02)
    theirs.learn(x, Ranking(k=2, delta=0.1), lr=0.02)
    assert torch.equal(ours.weights, theirs.weights)


@pytest.mark.parametrize("rate_power", [0.5, 1.0])
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_unit_far_from_norm_one_learns_faster(rule, rate_power, name):
    """And lr_scale scales lr: the step of unit u is lr |‖W_u‖ − 1|^rate_power."""
    stage = FullyConnected(
        num_units=UNITS, p=3.0, competition=rule, rate_power=rate_power, lr_scale=0.5
    )
    stack = started((stage,), (6,), kernels=name)
    x, w = normal(9, 6), stack.weights.clone()
    drive = x @ signed_power(w, p=3.0).T
    change = delta_w(rule(drive), drive, x, w)
    norms = (w.abs() ** 3).sum(dim=1, keepdim=True) ** (1 / 3)
    expected = w + 0.01 * (norms - 1).abs() ** rate_power * change / change.abs().max()
    stack.learn(x, Ranking(), lr=0.02)
    # Measured 0; sums may run in another order.
    torch.testing.assert_close(stack.weights, expected, rtol=0, atol=1e-13)
    # And the next drive is that of the new weights.
    expected = x @ signed_power(stack.weights, p=3.0).T
    torch.testing.assert_close(stack.drive(x), expected, rtol=0, atol=1e-12)


def test_images_that_move_no_filter_leave_it_alone(name):
    stage = Convolution(
        num_units=3, kernel_size=2, competition=Equilibrium(w_inh=0.5), rate_power=0.5
    )
    stack = started((stage,), (4, 4, 1), kernels=name)
    stack.weights.copy_(-torch.ones(3, 4))
    stack.learn(torch.ones(2, 16, dtype=torch.float64), Ranking(), lr=0.1)
    assert torch.equal(stack.weights, -torch.ones(3, 4, dtype=torch.float64))


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_as_on_a_gpu_the_number_of_learners_may_be_fixed(rule):
    stage = Convolution(num_units=UNITS, kernel_size=SIZE, competition=rule, rate_power=0.5)
    ours, plain = (started((stage,), SHAPE, kernels="pytorch") for _ in range(2))
    fixed = PyTorchKernels(CPU, torch.float64)
    fixed.fixed_sizes = True
    vars(ours.first.bank)["kernels"] = fixed
    x = normal(IMAGES, *SHAPE).flatten(1)
    for stack in (ours, plain):
        stack.learn(x, Ranking(), lr=0.02)
    # Measured 0; sums may run in another order.
    torch.testing.assert_close(ours.weights, plain.weights, rtol=0, atol=1e-13)


@pytest.mark.parametrize("response", ["product", "cosine"])
@pytest.mark.parametrize("p", [2.0, 3.0])
def test_outputs_are_products_or_cosines_with_each_patch(response, p, window):
    stage = Convolution(num_units=UNITS, kernel_size=SIZE, p=p, response=response, **window)
    stack = started((stage,), SHAPE)
    [part] = stack.parts
    x = normal(IMAGES, *SHAPE)
    x[1, :4, :4] = 0  # patches of norm 0
    rows, dims = unfolded(x, window)
    ours, of_rows = part.rows(x)
    assert of_rows == dims
    np.testing.assert_array_equal(ours, rows)
    w = stack.weights.numpy().copy()
    expected = np.zeros((len(rows), UNITS))
    for i, row in enumerate(rows):
        for u in range(UNITS):
            expected[i, u] = sum(row * w[u])
            if response == "cosine":
                norms = np.sqrt(sum(row * row)) * np.sqrt(sum(w[u] * w[u]))
                expected[i, u] = expected[i, u] / norms if norms else 0
    expected = torch.from_numpy(expected).unflatten(0, dims)
    out = part(x)
    assert out.shape == (IMAGES, *stage.output_shape(SHAPE))
    # Measured 5e-15 of products up to 20: sums in another order.
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-13)
    # While it learns, the outputs are those before the change.
    learned = part.learn(x, Ranking(), lr=0.1, normalize="max", team=None)
    torch.testing.assert_close(learned, expected, rtol=0, atol=1e-13)
    assert not torch.equal(stack.weights, torch.from_numpy(w))


def test_pixels_that_lie_elsewhere_in_memory_give_the_same_patches():
    stage = Convolution(num_units=2, kernel_size=2, padding=1, padding_mode="reflect")
    [part] = started((stage,), (4, 5, 3)).parts
    x = normal(3, 4, 5, 3)
    other = x.movedim(-1, 1).contiguous().movedim(1, -1)
    assert not other.is_contiguous()
    expected = part.rows(x)[0].clone()
    assert torch.equal(part.rows(other)[0], expected)
    assert torch.equal(part.rows(torch.cat([other, x])[3:])[0], expected)
    every_second = x.repeat_interleave(2, dim=0)[::2]
    assert torch.equal(part.rows(every_second)[0], expected)


def test_a_bank_is_moved_with_its_part_and_copied():
    stage = Convolution(
        num_units=4, kernel_size=2, p=3.0, orthogonal=True, rate_power=0.5, stride=2
    )
    stack = started((stage,), (4, 4, 1))
    [part] = stack.parts
    before = stack.weights.clone()
    part.to("cpu")
    assert torch.equal(part.weights, before)  # not orthonormalized again
    assert part.bank.weights is part.weights
    twin = copy.deepcopy(stack)
    x = normal(3, 16)
    for each in (stack, twin):
        each.learn(x, Ranking(), lr=0.1)
    assert torch.equal(stack.weights, twin.weights)
    assert not torch.equal(stack.weights, before)
    assert part.half().weights.dtype == part.bank.weights.dtype == torch.float16
