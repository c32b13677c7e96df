"""Nothing that is learned depends on the images scored on, in all that learns."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from scenarios.ladder import networks as ladder
from scenarios.ladder.one_step import FIXED, Step
from tests import learners, watching
from tests.learners import FULL, LEARNERS, some
from tests.watching import NUM_TEST, images, watched

HELD_OUT = 22
OF_ERROR = ("test_error", "validation_error", "error")


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)


def wrong(found, count):
    """Return how many of so many images were answered wrongly, by network and epoch."""
    errors = [found.results[name] for name in OF_ERROR if name in found.results]
    return errors[0] * count / 100 if errors else np.zeros(1)


@pytest.mark.parametrize("name", some(LEARNERS))
def test_the_test_set_teaches_nothing(name, tmp_path):
    """And an answer to an image is the same whatever other images are scored."""
    one, other, both = (
        watched(LEARNERS[name], tmp_path, shown=images(kind))
        for kind in ("one", "other", "both")
    )
    assert_same(one.learned, other.learned)
    together = wrong(one, NUM_TEST) + wrong(other, NUM_TEST)
    np.testing.assert_allclose(wrong(both, 2 * NUM_TEST), together, atol=1e-4)


def with_others(shown, held_out):
    """Return images of which those held out of the training set are others."""
    x, y = shown.x_train.copy(), shown.y_train.copy()
    which = [(x == image).all(axis=(1, 2, 3)).argmax() for image in held_out.numpy()]
    assert len(set(which)) == HELD_OUT
    x[which] //= 3
    y[which] = (y[which] + 1) % watching.CLASSES
    return replace(shown, x_train=x, y_train=y)


@pytest.mark.parametrize("name", some(FULL))
def test_validation_images_teach_nothing_and_the_test_set_is_not_looked_at(name, tmp_path):
    def found(shown):
        return watched(FULL[name], tmp_path, shown=shown, validation=HELD_OUT)

    first = found(images())
    other_test = found(images("other"))
    assert_same(first.results, other_test.results)
    assert_same(first.learned, other_test.learned)
    other_validation = found(with_others(images(), first.held_out[0]))
    assert_same(first.learned, other_validation.learned)
    # What a network stands on has held out the same images.
    assert all(torch.equal(images, first.held_out[0]) for images in first.held_out)


@pytest.fixture
def trained():
    """The weights of a network of the ladder, before and after learning."""
    with watching.given(images()):
        yield learners.one_step("late", 5).network.compute()


def changed(monkeypatch, which):
    """Let the ladder see other validation images in some places."""
    parts = ladder._split("given", None, 0)
    x = parts.x_eval.clone()
    x[which] = 255 - x[which]
    other = replace(parts, x_eval=x)
    monkeypatch.setattr(ladder, "_split", lambda *_: other)


def test_the_threshold_of_the_ladder_is_chosen_on_images_that_are_not_shown(
    trained, monkeypatch
):
    trial = learners.one_step("late", 5)
    before = Step.of(trial, trained)
    changed(monkeypatch, slice(None, 5))
    after = Step.of(trial, trained)
    assert not torch.equal(after.v, before.v)
    np.testing.assert_array_equal(after.thresholds[FIXED], before.thresholds[FIXED])
    assert after.num_ranks == before.num_ranks


def test_an_imitation_is_scored_on_images_that_it_was_not_chosen_on(trained, monkeypatch):
    monkeypatch.setattr("scenarios.ladder.mimic.STRENGTHS", (0.5, 0.7, 0.9))
    chosen = ["mimic_w_inh", "mimic_h_star", "mimic_delta"]
    before = learners.imitation().compute(trained)
    changed(monkeypatch, slice(11, None))
    after = learners.imitation().compute(trained)
    assert before[chosen].equals(after[chosen])
    assert not before["mimic_cosine"].equals(after["mimic_cosine"])
    assert not before["mimic_floor"].equals(after["mimic_floor"])
