"""A seed decides every random number of a protocol: another seed, other numbers."""

from itertools import combinations

import numpy as np
import pytest

from fastpath import cli
from tests.learners import FULL, LEARNERS, some
from tests.test_leaks import HELD_OUT, assert_same
from tests.watching import NUM_TRAIN, Drawn, given, images, watched

# Draws at the end that are meant to be the same for every seed: which images are shown.
SHOWN = {"quickstart": 2, "settling": 2}
# And at the start, by which a configuration checks its circuit.
CHECKED = {"dale_learns": 2}


def found(name, folder, seed):
    validation = HELD_OUT if name in FULL else 0
    return watched(
        LEARNERS[name],
        folder,
        shown=images(),
        seed=seed,
        validation=validation,
        draws=Drawn(),
    )


def assert_drawn_anew(first, other):
    """Compare all random numbers of two seeds: as many and of one kind, but others."""
    assert first
    assert len(first) == len(other)
    for (kind, one), (same_kind, two) in zip(first, other, strict=True):
        assert (kind, one.shape) == (same_kind, two.shape)
        assert not np.array_equal(one, two), kind


@pytest.mark.parametrize("name", some(name for name in LEARNERS if name != "quickstart"))
def test_a_seed_decides_every_random_number(name, tmp_path):
    first, again, other = (found(name, tmp_path, seed) for seed in (0, 0, 1))
    assert_same(first.results, again.results)
    assert_same(first.learned, again.learned)
    begin, count = CHECKED.get(name, 0), len(first.drawn) - SHOWN.get(name, 0)
    assert_drawn_anew(first.drawn[begin:count], other.drawn[begin:count])
    if name in FULL and name != "dale_learns":  # whose rivals have one start
        assert_all_differ(first.drawn[:count])
    for (_, one), (_, two) in zip(first.drawn[count:], other.drawn[count:], strict=True):
        np.testing.assert_array_equal(one, two)


def test_each_seed_of_the_quickstart_draws_anew(tmp_path):
    first, both = (found("quickstart", tmp_path, seed) for seed in (0, 1))
    count = len(first.drawn) - SHOWN["quickstart"]
    assert len(both.drawn) == 2 * count + SHOWN["quickstart"]
    assert_drawn_anew(both.drawn[:count], both.drawn[count : 2 * count])


def assert_all_differ(drawn):
    """Each epoch has an order of its own, each layer a start; but for the images held out,
    which are the same for all that a network is made of.
    """
    orders = [numbers for _, numbers in drawn if numbers.shape == (NUM_TRAIN,)]
    others = [numbers for _, numbers in drawn if numbers.shape != (NUM_TRAIN,)]
    for order in orders:
        np.testing.assert_array_equal(order, orders[0])
    for one, two in combinations(others, 2):
        assert not np.array_equal(one, two)


def test_the_seed_draws_the_images_that_are_exported(tmp_path):
    run = tmp_path / "run"
    with given(images()):
        LEARNERS["command train"](0, 0, tmp_path)
        exported = []
        for place, seed in enumerate((0, 0, 1)):
            out = tmp_path / f"{place}.npz"
            flags = ["--out", str(out), "--num-images", "6", "--seed", str(seed)]
            flags += ["--data", "given"]
            cli.main(["export", str(run), *flags])
            with np.load(out) as arrays:
                exported.append(arrays["images"])
    np.testing.assert_array_equal(exported[0], exported[1])
    assert not np.array_equal(exported[0], exported[2])
