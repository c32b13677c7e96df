"""What may leak into fastpath from the caller's process, and out of it.

In: nothing that changes a number. Out: nothing. Every entry point that computes is called
in every world (a setting of PyTorch, NumPy, ... that a caller may have made), and has to
return the numbers of a clean world bit for bit; and to leave the world as it found it, also
when it fails.
"""

import functools
import threading

import pytest
import torch

from fastpath import ambient, experiment, readout
from fastpath.competition import Ranking
from fastpath.layers import DenseSettings
from fastpath.training.callbacks import EachEpoch
from fastpath.training.loop import Training
from tests.fastpath.entries import (
    ENTRIES,
    HEAD,
    PREPROCESS,
    assert_same,
    digits,
    digits_split,
    held,
    learned,
    own_loop,
    seeded,
)
from tests.fastpath.worlds import WORLDS, changed, state


@functools.cache
def clean(name):
    return ENTRIES[name]()


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("world", WORLDS)
def test_nothing_leaks_in_or_out(world, entry):
    expected = clean(entry)
    digits()
    with WORLDS[world]():
        before = state()
        found = ENTRIES[entry]()
        assert changed(before) == []
    assert_same(found, expected)


class Stopped(Exception):
    pass


def fails(*_):
    raise Stopped


FAILURES = {
    "learn": lambda: learned(fails),
    "callback": lambda: experiment.learn_features(
        digits_split(),
        layer=DenseSettings(num_units=12),
        competition=Ranking(),
        training=Training(epochs=2),
        preprocess=PREPROCESS,
        generator=seeded(),
        progress=False,
        callbacks=[EachEpoch(fails)],
    ),
    "own loop": lambda: own_loop(rule=fails),
    "fit": held(
        lambda s, w, m, x: readout.fit(
            x,
            s.y_train,
            num_classes=10,
            readout=HEAD,
            generator=seeded(),
            progress=False,
            on_epoch_end=fails,
        )
    ),
}


@pytest.mark.parametrize("entry", FAILURES)
@pytest.mark.parametrize("world", WORLDS)
def test_nothing_leaks_out_of_what_fails(world, entry):
    digits()
    with WORLDS[world]():
        before = state()
        with pytest.raises(Stopped):
            FAILURES[entry]()
        assert changed(before) == []
    assert not ambient._thread.isolated
    assert not ambient._precision._inside


def test_all_worlds_at_once_and_in_two_threads():
    expected = clean("learn"), clean("fit")
    found = {}

    def work(name):
        with torch.autocast("cpu", torch.bfloat16), torch.device("meta"):
            found[name] = ENTRIES[name]()

    with WORLDS["float64"](), WORLDS["medium products"]():
        threads = [threading.Thread(target=work, args=[name]) for name in ("learn", "fit")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert torch.get_float32_matmul_precision() == "medium"
    assert_same(found["learn"], expected[0])
    assert_same(found["fit"], expected[1])
