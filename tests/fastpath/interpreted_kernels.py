"""The Triton kernels against `pytorch`, in Triton's interpreter: no GPU is needed.

`test_triton.py` runs this file in a process of its own, because Triton decides when it is
imported whether it interprets.

Tolerances: 0 where nothing is rounded differently. Elsewhere sums run in another order:
the largest difference measured is 4.4 units of the last place of the largest value; 50 are
allowed, as other processors sum in other orders still.
"""

import itertools
import os

import pytest
import torch

from fastpath.competition import Equilibrium, Ranking, RunnersUp, Soft
from fastpath.data import augment
from fastpath.data.augment import Augment
from fastpath.data.preprocess import FittedPreprocess, Preprocess
from fastpath.kernels import Changes, Learners, triton
from fastpath.kernels.pytorch import PyTorchKernels
from fastpath.kernels.triton import TritonKernels
from fastpath.layers import Dense
from fastpath.plasticity import Hebb, Instar, KrotovHopfield, signed_power, with_decay

assert os.environ.get("TRITON_INTERPRET") == "1", "set TRITON_INTERPRET=1"

CPU = torch.device("cpu")
SIZES = [(7, 37), (1, 37), (3, 2000)]


@pytest.fixture(params=[torch.float32, torch.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.fixture
def kernels(dtype):
    plain = PyTorchKernels(CPU, dtype)
    plain.fixed_sizes = True
    return TritonKernels(CPU, dtype), plain


@pytest.fixture
def small_blocks(monkeypatch):
    """53 pixels are two blocks, the entries of 17 images too."""
    monkeypatch.setattr(triton, "MOST_PIXELS", 32)
    monkeypatch.setattr(triton, "MOST_ENTRIES", 32)


def assert_close(actual, expected):
    scale = expected.abs().max().item()
    tolerance = 50 * torch.finfo(expected.dtype).eps * scale
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance)


def random(*shape, dtype, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def drives(num_images, num_units, dtype):
    """Images in turn: drives of both signs, none above 0, ties, nothing but a tie."""
    drive = random(num_images, num_units, dtype=dtype)
    drive[1::4] = -drive[1::4].abs() - 0.1
    drive[2::4] = (drive[2::4] * 2).round()
    drive[3::4] = 0.7
    return drive


@pytest.mark.parametrize("steps", [*itertools.product([False, True], repeat=3)], ids=str)
def test_images_are_prepared(kernels, dtype, steps):
    names = ("subtract_mean", "center_images", "unit_norm")
    preprocess = Preprocess(**dict(zip(names, steps, strict=True)))
    x = torch.randint(0, 256, (20, 53), generator=torch.Generator().manual_seed(0))
    x = x.to(torch.uint8)
    x[3] = 0
    index = torch.tensor([19, 3, 0, 3, 7, 8, 9])
    mean = random(53, dtype=dtype).abs()
    actual, expected = (
        each.prepare(x, index, preprocess, mean, torch.empty(7, 53, dtype=dtype))
        for each in kernels
    )
    assert_close(actual, expected)


def test_an_image_that_is_not_there_is_nan(kernels, dtype):
    x, index = torch.ones(5, 53, dtype=torch.uint8), torch.tensor([4, 5, -1])
    out = torch.empty(3, 53, dtype=dtype)
    kernels[0].prepare(x, index, Preprocess(), torch.zeros(53, dtype=dtype), out)
    assert out.isnan().all(dim=1).tolist() == [False, True, True]


@pytest.mark.parametrize("k", [2, 3, 7])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_ranks_are_those_of_a_stable_sort(kernels, dtype, size, k):
    rule, drive = Ranking(k=k, delta=0.4), drives(*size, dtype)
    ranked = drive.sort(dim=1, descending=True, stable=True)
    learners = kernels[0].learners(rule, drive)
    assert torch.equal(learners.unit[0::2], ranked.indices[:, 0])
    assert torch.equal(learners.unit[1::2], ranked.indices[:, k - 1])
    assert torch.equal(learners.drive[0::2], ranked.values[:, 0])
    assert torch.equal(learners.drive[1::2], ranked.values[:, k - 1])
    expected = kernels[1].learners(rule, drive)
    assert torch.equal(learners.image, expected.image)
    assert torch.equal(learners.g, expected.g)


def test_units_are_units_even_where_the_drive_is_not_finite(kernels, dtype):
    drive = random(3, 37, dtype=dtype)
    drive[0, 5], drive[1], drive[2] = torch.nan, torch.nan, -torch.inf
    learners = kernels[0].learners(Ranking(k=7), drive)
    assert learners.unit[0] == 5
    assert learners.drive[0].isnan()
    assert ((learners.unit >= 0) & (learners.unit < 37)).all()


@pytest.mark.parametrize("w_inh", [0.0, 0.3, 0.9, 1.0, 1.5])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_equilibrium_needs_no_sort(kernels, dtype, size, w_inh):
    rule = Equilibrium(w_inh=w_inh, h_star=0.5, delta=0.4)
    drive = drives(*size, dtype)
    assert kernels[0].learners(rule, drive) is None
    assert torch.equal(kernels[0].activation(rule, drive), rule(drive))


@pytest.mark.parametrize("delta", [1.0, 0.3])
@pytest.mark.parametrize("anti", [False, True])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_softmax(kernels, dtype, size, anti, delta):
    rule = Soft(temperature=0.7, anti=anti, delta=delta)
    drive = drives(*size, dtype)
    actual, expected = kernels[0].activation(rule, drive), rule(drive)
    if anti:  # which of equal drives keeps its sign is arbitrary
        alone = (drive == drive.amax(dim=1, keepdim=True)).sum(dim=1) == 1
        actual, expected = actual[alone], expected[alone]
    assert_close(actual, expected)


def test_a_competition_of_ones_own_is_called(kernels, dtype):
    drive = random(7, 37, dtype=dtype)
    assert kernels[0].learners(torch.relu, drive) is None
    assert torch.equal(kernels[0].activation(torch.relu, drive), drive.relu())


def some_learners(dtype, num_images, num_units=37):
    """Units that win several images, that win one and are second of another, and both."""
    drive = random(num_images, num_units, dtype=dtype)
    drive[: num_images // 2, 3] += 3
    return PyTorchKernels(CPU, dtype).learners(Ranking(k=2, delta=0.4), drive)


def first_places(rows):
    rows = rows.tolist()
    return torch.tensor([row not in rows[:place] for place, row in enumerate(rows)])


@pytest.mark.parametrize("num_images", [1, 7, 17])
def test_changes_of_each_unit_stand_at_its_first_entry(
    kernels, dtype, num_images, small_blocks
):
    images, weights = random(num_images, 53, dtype=dtype), random(37, 53, dtype=dtype)
    learners = some_learners(dtype, num_images)
    actual, expected = (each.changes(learners, images, weights) for each in kernels)
    assert torch.equal(actual.rows, expected.rows)
    first = first_places(actual.rows)
    assert_close(actual.change[first], expected.change[first])
    assert actual.largest.max() == actual.change[first].abs().max()


@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize("rule", [KrotovHopfield(), Hebb(), Instar()], ids=str)
def test_changes_of_runners_up_are_those_of_loops(kernels, dtype, rule, k, small_blocks):
    """17 images have 85 entries, three blocks of them."""
    images, weights = random(17, 53, dtype=dtype), random(9, 53, dtype=dtype, seed=1)
    drive, competition = images @ weights.T, RunnersUp(k=k, delta=0.4)
    learners = kernels[0].learners(competition, drive)
    expected = torch.zeros(9, 53, dtype=torch.float64)
    for v, currents in zip(images, drive, strict=True):
        order = currents.argsort(descending=True)
        for place, u in enumerate(order[: k + 1]):
            c = {KrotovHopfield: currents[u], Hebb: 0, Instar: 1}[type(rule)]
            expected[u] += (1 if place == 0 else -0.4) * (v - c * weights[u]).double()
    changes = kernels[0].changes(with_decay(rule, learners), images, weights)
    first = first_places(changes.rows)
    assert_close(changes.change[first], expected[changes.rows[first]].to(dtype))
    after, halves = weights.clone(), (weights * weights.abs()).clone()
    kernels[0].apply(changes, after, halves, p=3.0, lr=0.02, normalize="max")
    assert_close(after, (weights + 0.02 * expected / expected.abs().max()).to(dtype))


def test_one_unit_may_win_every_image(kernels, dtype):
    images, weights = random(40, 53, dtype=dtype), random(2, 53, dtype=dtype)
    learners = Learners(
        torch.arange(80) // 2,
        torch.tensor([1, 0]).repeat(40),
        random(80, dtype=dtype),
        random(80, dtype=dtype, seed=1),
    )
    actual, expected = (each.changes(learners, images, weights) for each in kernels)
    assert_close(actual.change[:2], expected.change[:2])


def test_learners_may_come_as_columns_of_a_matrix(kernels, dtype):
    images, weights = random(7, 53, dtype=dtype), random(37, 53, dtype=dtype)
    learners = some_learners(dtype, 7)
    apart = Learners(*(torch.stack([part, part], dim=1)[:, 0] for part in learners))
    expected, actual = (
        kernels[0].changes(found, images, weights).change.clone()
        for found in (learners, apart)
    )
    first = first_places(learners.unit)
    assert torch.equal(actual[first], expected[first])


@pytest.mark.parametrize(
    ("p", "normalize", "num_images"),
    [(2.0, "max", 3), (2.5, None, 3), (3.0, "max", 17), (4.0, None, 3), (5.5, "max", 3)],
)
def test_a_row_is_changed_once_however_often_it_stands_there(
    kernels, dtype, p, normalize, num_images, small_blocks
):
    images, start = random(num_images, 53, dtype=dtype), random(37, 53, dtype=dtype)
    start[3, :3] = 0
    learners = some_learners(dtype, num_images)
    results = []
    for each, lr in zip(kernels, (0.02, torch.tensor(0.02, dtype=dtype)), strict=True):
        weights, signed_powers = start.clone(), signed_power(start, p=p).clone()
        changes = each.changes(learners, images, weights)
        each.apply(changes, weights, signed_powers, p=p, lr=lr, normalize=normalize)
        results += [weights, signed_powers]
    assert_close(results[0], results[2])
    assert_close(results[1], results[3])


@pytest.mark.parametrize("p", [2.0, 3.0])
def test_all_rows_are_changed_where_none_are_named(kernels, dtype, p):
    start, change = random(37, 53, dtype=dtype), random(37, 53, dtype=dtype, seed=1)
    for largest in (2.0, torch.tensor(2.0, dtype=dtype)):
        results = []
        for each in kernels:
            weights, signed_powers = start.clone(), signed_power(start, p=p).clone()
            changes = Changes(None, change, largest)
            each.apply(changes, weights, signed_powers, p=p, lr=0.02, normalize="max")
            results += [weights, signed_powers]
        assert_close(results[0], results[2])
        assert_close(results[1], results[3])


@pytest.mark.parametrize("place", [0, 52])
def test_nothing_hides_a_change_that_is_not_a_number(kernels, dtype, place, small_blocks):
    images, weights = random(7, 53, dtype=dtype), random(37, 53, dtype=dtype)
    images[0, place] = torch.nan
    learners = some_learners(dtype, 7)
    changes = kernels[0].changes(learners, images, weights)
    assert changes.largest.isnan().any()
    kernels[0].apply(changes, weights, weights, p=2.0, lr=0.02, normalize="max")
    assert weights[learners.unit].isnan().all()


def test_where_nothing_changes_nothing_is_divided_by_zero(kernels, dtype):
    weights = random(3, 53, dtype=dtype)
    before, change = weights.clone(), torch.zeros(2, 53, dtype=dtype)
    changes = Changes(torch.tensor([0, 2]), change, torch.zeros(2, dtype=dtype))
    kernels[0].apply(changes, weights, weights, p=2.0, lr=0.02, normalize="max")
    assert torch.equal(weights, before)


@pytest.mark.parametrize(
    ("rule", "p"),
    [
        (Ranking(k=3), 2.0),
        (RunnersUp(k=4), 3.0),
        (Equilibrium(w_inh=0.9), 2.5),
        (Soft(), 3.0),
    ],
    ids=str,
)
def test_a_layer_learns_the_same(kernels, dtype, rule, p):
    layers = []
    for each in kernels:
        layer = Dense(random(37, 53, dtype=dtype), p=p)
        layer.kernels = each
        for seed in range(2):
            images = random(7, 53, dtype=dtype, seed=seed).abs()
            layer.learn(images, rule, lr=0.02)
        layers.append(layer)
    assert_close(layers[0].weights, layers[1].weights)


class LeastLearns:
    """The smallest drive gets 1, whatever the class says that this is mixed into."""

    def __call__(self, drive):
        return torch.zeros_like(drive).scatter_(1, drive.argmin(1, keepdim=True), 1.0)


@pytest.mark.parametrize("shape", [(28, 28), (9, 7, 3), (8, 8, 2)], ids=str)
def test_images_are_changed_to_the_same_bits(shape):
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(256, (20, *shape), generator=generator).to(torch.uint8)
    policy = Augment(
        flip=0.5,
        crop=3,
        rotate=40,
        zoom=0.4,
        shear=0.3,
        contrast=0.5,
        brightness=0.3,
        erase=0.5,
    )
    draws = policy.draw(20, shape, generator)
    found, expected = torch.empty_like(x), torch.empty_like(x)
    triton.augment(x, draws, found)
    augment._by_pytorch(x, draws, expected)
    assert torch.equal(found, expected)


class OwnRanking(LeastLearns, Ranking):
    pass


class OwnEquilibrium(LeastLearns, Equilibrium):
    pass


class OwnSoft(LeastLearns, Soft):
    pass


class Negative(Preprocess):
    def __call__(self, x, mean, *, out=None):
        return 1 - x.flatten(1).to(mean.dtype) / 255


@pytest.mark.parametrize("rule", [OwnRanking(), OwnEquilibrium(), OwnSoft()], ids=str)
def test_a_rule_of_ones_own_is_never_computed_otherwise(kernels, dtype, rule):
    drive = random(7, 37, dtype=dtype)
    assert kernels[0].learners(rule, drive) is None
    assert torch.equal(kernels[0].activation(rule, drive), LeastLearns()(drive))
    layers = []
    for each, own in zip(kernels, (rule, LeastLearns()), strict=True):
        layer = Dense(random(37, 53, dtype=dtype), p=3.0)
        layer.kernels = each
        layer.learn(random(7, 53, dtype=dtype).abs(), own, lr=0.02)
        layers.append(layer)
    assert_close(layers[0].weights, layers[1].weights)


def test_images_are_prepared_by_a_subclass_itself(kernels, dtype):
    x = torch.randint(0, 256, (20, 53), generator=torch.Generator().manual_seed(0))
    x, index, mean = x.to(torch.uint8), torch.tensor([19, 3]), torch.zeros(53, dtype=dtype)
    layer = Dense(random(37, 53, dtype=dtype))
    layer.kernels = kernels[0]
    prepared = layer.prepare(x, index, FittedPreprocess(Negative(), mean))
    assert torch.equal(prepared, 1 - x[index].to(dtype) / 255)
