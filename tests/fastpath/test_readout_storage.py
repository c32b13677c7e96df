"""Features that are held as float16, in a file, or computed again."""

import re
import shutil
import sys
import tempfile
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from torch import nn

from fastpath import CompetingUnits, experiment, module, readout
from fastpath.competition import Ranking
from fastpath.compute import Compute
from fastpath.data import datasets
from fastpath.data.preprocess import Preprocess
from fastpath.layers import Dense, DenseSettings
from fastpath.readout import Mirrored, Readout, Stored, Streamed, sources, storage
from fastpath.readout.storage import Place
from fastpath.runs.config import RunConfig
from fastpath.runs.execute import execute
from fastpath.training.checkpointing import Checkpoints
from fastpath.training.loop import Training

CPU = torch.device("cpu")
NUM_IMAGES, NUM_FEATURES = 90, 40
EXACT = 4 * NUM_IMAGES * NUM_FEATURES  # bytes as float32
Usage = namedtuple("Usage", "total used free")
HEAD = Readout(epochs=3, power=1.0, scaling="none", batch_size=20)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


class Costly:
    """A layer whose features are rectified products, times a factor."""

    flop = 9_000_000_000

    def __init__(self, factor=1.0, block=None, fail_at=None):
        self.weights = torch.randn(NUM_FEATURES, 20, generator=seeded())
        self.factor, self.sizes, self.fail_at = factor, [], fail_at
        if block is not None:
            self.block = block

    def features(self, images, *, power):
        self.sizes.append(len(images))
        if len(self.sizes) == self.fail_at:
            raise ZeroDivisionError
        return (images @ self.weights.T).clamp_(min=0).mul_(self.factor)

    def to_module(self, *, power):
        return nn.Identity()


def images():
    x = torch.randint(0, 256, (NUM_IMAGES, 4, 5), generator=seeded(1)).byte()
    return experiment.Split(
        x, torch.arange(NUM_IMAGES) % 3, x[:30], torch.arange(30) % 3, "test"
    )


def features(layer, settings=HEAD):
    split = images()
    preprocess = Preprocess().fit(split.x_train)
    return experiment.features(layer, split.x_train, preprocess, settings)


@pytest.fixture
def room(monkeypatch, tmp_path):
    """Return a function that sets the free bytes of the memory and the disk."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def chosen(memory, disk=10**9):
        monkeypatch.setattr(storage, "free_memory", lambda device: int(memory))
        usage = Usage(10**9, 0, int(disk))
        monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)

    return chosen


def mapped():
    """Return how many files of features this process has mapped."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return len({line.split()[4] for line in lines if "/fastpath-" in line or "/#" in line})


# Just enough and just too little for float32 in memory, float16 in memory, a file.
PLACES = [
    (2.01 * EXACT, 0, Place(CPU, torch.float32)),
    (1.99 * EXACT, 0, Place(CPU, torch.float16)),
    (0.5 * EXACT / 0.69, 0, Place(CPU, torch.float16)),
    (0.5 * EXACT / 0.71, 0.051e9, Place(None, torch.float16)),
    (0, 0.05e9 + 0.5 * EXACT, Place(None, torch.float16)),
]


@pytest.mark.parametrize(("memory", "disk", "place"), PLACES)
def test_the_first_place_with_room_is_taken(room, monkeypatch, memory, disk, place):
    room(memory, disk)
    taken = []
    init = Stored.__init__
    monkeypatch.setattr(
        Stored,
        "__init__",
        lambda self, x, place: (taken.append(place), init(self, x, place))[1],
    )
    x = features(Costly())
    assert taken == ([] if place.dtype == torch.float32 else [place])
    assert isinstance(x, torch.Tensor) == (place.dtype == torch.float32)


def test_too_little_room_is_refused_with_the_sizes(room, tmp_path):
    room(0.5 * EXACT / 0.71, 0.05e9 + 0.5 * EXACT - 1)
    with pytest.raises(ValueError, match="40 features of 90 images") as refused:
        features(Costly())
    said = str(refused.value)
    assert "need 0.00 GB as float16" in said
    assert "of memory are free (70 % can be used)" in said
    assert f"and 0.05 GB of the disk of {tmp_path} (0.05 GB must stay free)" in said
    assert said.endswith(
        ": take fewer units or more pooling, or name a folder with more room by TMPDIR=..."
    )
    room(0.5 * EXACT / 0.69, 0)
    features(Costly())
    with pytest.raises(ValueError, match="40 features of 180 images"):
        features(Costly(), Readout(flips=True))


GB = 10**9


@pytest.mark.parametrize(
    ("flop", "epochs", "again"),
    [(2 * 8000 * 784, 20, True), (2 * 8000 * 3072, 30, True), (900_000_000, 20, False)],
)
def test_what_costs_little_is_computed_again_and_what_costs_much_is_held(
    room, flop, epochs, again
):
    """8000 dense units on MNIST and CIFAR-10, and a layer of 0.9 GFLOP an image."""
    room(5 * GB)
    size = 50_000, 24_576
    found = storage.place_of(size, torch.float32, CPU, flop=epochs * flop)
    assert found == (None if again else Place(CPU, torch.float16))


@pytest.mark.parametrize(
    ("flop", "num_images", "dtype"),
    [
        (6e9, 20_346, torch.float16),
        (6e9, 20_345, torch.float32),
        (1e9, 50_000, torch.float32),
    ],
)
def test_large_features_that_cost_much_are_float16_though_all_would_fit(
    room, flop, num_images, dtype
):
    """Memory that depends on the run alone; 24,576 features of 20,346 images are 2 GB."""
    room(100 * GB)
    found = storage.place_of((num_images, 24_576), torch.float32, CPU, flop=flop)
    assert found == Place(CPU, dtype)


def test_the_cost_of_a_layer_is_its_flop_or_that_of_one_product(room):
    room(0)
    dense = features(Dense(Costly().weights))
    assert isinstance(dense, Streamed)
    assert dense.flop(3) == 3 * 2 * NUM_FEATURES * 20
    x = images().x_train
    costly = Streamed(Costly(), x, Preprocess().fit(x), HEAD)
    assert costly.flop(2) == 18_000_000_000


@pytest.mark.parametrize("place", [Place(CPU, torch.float16), Place(None, torch.float16)])
def test_float16_holds_rows_to_its_precision_and_gives_the_same_answers(room, place):
    room(0)
    x = images().x_train
    streamed = Streamed(Costly(block=32), x, Preprocess().fit(x), HEAD)
    held, exact = Stored(streamed, place), streamed[:]
    assert len(held) == NUM_IMAGES
    assert torch.equal(held[:], exact.half().float())
    assert torch.equal(held[-3:], exact[-3:].half().float())
    chosen = torch.tensor([5, 89, 5, 0])
    assert torch.equal(held[chosen], exact[chosen].half().float())
    assert held[chosen].dtype == torch.float32
    assert [len(block) for block in held.blocks()] == [32, 32, 26]
    torch.testing.assert_close(torch.cat([*held.blocks()]), exact, rtol=5e-4, atol=1e-7)
    y = images().y_train
    for scaling in ("set", "unit", "none"):
        settings = Readout(epochs=20, scaling=scaling, batch_size=20)
        heads = [
            readout.fit(
                rows,
                y,
                num_classes=3,
                readout=settings,
                generator=seeded(),
                progress=False,
            )
            for rows in (exact, held)
        ]
        torch.testing.assert_close(heads[1].scale, heads[0].scale, rtol=1e-3, atol=0)
        torch.testing.assert_close(heads[1](exact), heads[0](exact), rtol=0, atol=0.05)
        answers = [readout.confusion(head, exact, y) for head in heads]
        assert torch.equal(answers[0], answers[1])
        assert torch.equal(readout.confusion(heads[1], held, y), answers[1])


def read_out(layer, split=None, settings=HEAD):
    split = split or images()
    return experiment.read_out(
        layer,
        Preprocess().fit(split.x_train),
        split,
        num_classes=3,
        readout=settings,
        generator=seeded(),
        progress=False,
    )


@pytest.mark.parametrize("flips", [False, True])
def test_a_file_is_read_like_memory_and_is_gone_afterwards(room, tmp_path, flips):
    settings = Readout(epochs=3, scaling="none", batch_size=20, flips=flips)
    room(10 * EXACT)
    _, expected = read_out(Costly(), settings=settings)
    room(0)
    x = features(Costly(), settings)
    assert isinstance(x, Mirrored if flips else Stored)
    assert list(tmp_path.iterdir()) == []  # without a name from the start
    if sys.platform == "linux":
        assert mapped() == 1
        del x
        assert mapped() == 0
    _, found = read_out(Costly(), settings=settings)
    assert found == pytest.approx(expected, abs=1.2)  # one of 90 images
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/maps")
@pytest.mark.parametrize("call", [3, 5])
def test_a_file_is_gone_after_an_exception(room, tmp_path, call):
    """While features are stored, or in the answers to the test images."""
    room(0)
    with pytest.raises(ZeroDivisionError):
        read_out(Costly(block=30, fail_at=call))
    assert list(tmp_path.iterdir()) == []
    assert mapped() == 0


@pytest.mark.parametrize(
    ("factor", "reason"),
    [(1e5, "one is .*, and float16 ends at 65504"), (1e-8, r"would round \d+\.\d % of")],
)
@pytest.mark.parametrize("memory", [1.45 * EXACT, 0])
def test_features_that_float16_would_change_are_held_as_float32(
    room, capsys, factor, reason, memory
):
    room(memory)
    x = features(Costly(factor))
    assert isinstance(x, Stored)
    split = images()
    exact = Streamed(Costly(factor), split.x_train, Preprocess().fit(split.x_train), HEAD)
    assert torch.equal(x[:], exact[:])
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("fastpath: features are held as float32: ")
    assert re.search(reason, said)


def test_no_room_for_float32_either_is_refused(room, capsys):
    room(0.9 * EXACT, 0)
    with pytest.raises(ValueError, match="as float32, but"):
        features(Costly(1e5))
    assert "ends at 65504" in capsys.readouterr().err


def learned(split, settings):
    return experiment.learn(
        split,
        layer=DenseSettings(num_units=5),
        num_classes=10,
        competition=Ranking(),
        training=Training(epochs=1),
        preprocess=Preprocess(),
        readout=settings,
        generator=seeded(),
    )


def executed(digits, folder):
    config = RunConfig(
        data="digits",
        layer=DenseSettings(num_units=5),
        seed=0,
        validation=0,
        competition=Ranking(),
        training=Training(epochs=1),
        preprocess=Preprocess(),
        readout=HEAD,
    )
    return execute(config, digits, Checkpoints(folder=folder), compute=Compute())


def test_room_is_checked_before_the_layer_is_trained(room, monkeypatch, tmp_path):
    room(0, 0)
    monkeypatch.setattr(storage, "RECOMPUTED", 0)
    digits, trained = datasets.load("digits"), []

    def train(*args, **kwargs):
        trained.append(1)
        raise KeyboardInterrupt

    monkeypatch.setattr(experiment, "train", train)
    split = experiment.split(digits, validation=0, generator=seeded())
    for begin in (
        lambda: learned(split, HEAD),
        lambda: executed(digits, tmp_path),
        lambda: CompetingUnits(5, readout=HEAD).fit(digits),
        lambda: CompetingUnits(5, readout=HEAD).fit(digits.x_train, digits.y_train),
    ):
        with pytest.raises(ValueError, match=r"5 features of 1\d+ images need .* TMPDIR"):
            begin()
    assert not trained
    room(10**9)
    for begin in (lambda: learned(split, HEAD), lambda: executed(digits, tmp_path)):
        with pytest.raises(KeyboardInterrupt):
            begin()
    room(0, 0)  # without labels there is no readout
    with pytest.raises(KeyboardInterrupt):
        CompetingUnits(5, readout=HEAD).fit(digits.x_train)
    assert len(trained) == 3


@pytest.mark.parametrize("free", [0, 10**9])
def test_a_layer_computes_no_more_images_at_a_time_than_it_asks_for(room, free):
    room(free)
    layer = Costly(block=7)
    read_out(layer, settings=Readout(epochs=1, scaling="unit", batch_size=20))
    x = images().x_train
    streamed = Streamed(layer, x, Preprocess().fit(x), HEAD)
    chosen = torch.arange(50, 70)
    torch.testing.assert_close(streamed[chosen], torch.cat([*streamed.blocks()])[chosen])
    assert max(layer.sizes) == 7
    assert sources.block_of(layer) == 7
    assert sources.block_of(Costly(block=10**6)) == sources.BLOCK

    class Counting(nn.Module):
        block, sizes = 4, []

        def forward(self, x):
            self.sizes.append(len(x))
            return x

    model = nn.Sequential(nn.Flatten(), Counting())
    x = torch.rand(10, 2, 3)
    assert torch.equal(module.outputs(model, x), x.flatten(1))
    assert model[1].sizes == [4, 4, 2]


@pytest.mark.gpu
@pytest.mark.parametrize("where", ["cuda", "cpu", None])
def test_rows_held_elsewhere_come_back_to_the_device(where):
    x = readout.Held(torch.rand(50, 30, generator=seeded()).cuda())
    place = Place(None if where is None else torch.device(where), torch.float16)
    held = Stored(x, place)
    chosen = torch.tensor([3, 49, 3])
    assert held[chosen].device == x[:1].device
    assert torch.equal(held[chosen], x[chosen].half().float())
    heads = [
        readout.fit(
            held,
            torch.arange(50) % 3,
            num_classes=3,
            readout=Readout(epochs=2, dropout=0.5, batch_size=20),
            generator=seeded(),
            progress=False,
        )
        for _ in range(2)
    ]
    assert torch.equal(heads[0].weights, heads[1].weights)
