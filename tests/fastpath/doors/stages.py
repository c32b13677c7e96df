"""What stages and stacks refuse, in sentences."""

import copy
import json
import math
from pathlib import Path

import pytest
import torch

from fastpath.competition import Ranking, Soft
from fastpath.data.preprocess import Preprocess
from fastpath.layers import StackSettings
from fastpath.layers.stages import (
    AveragePool,
    BatchNorm,
    Convolution,
    Decorrelate,
    FullyConnected,
    MaxPool,
    Rectifier,
    RecurrentInhibition,
    SubtractMean,
    Triangle,
)
from fastpath.plasticity import KrotovHopfield
from fastpath.runs import storage
from fastpath.runs.config import RunConfig
from fastpath.runs.folder import open_run
from fastpath.training.loop import Training
from tests.fastpath.contracts import configured, executed
from tests.fastpath.stage_loops import images_of, normal, seeded

NAN, INF = math.nan, math.inf
NUMBER = "a number is needed"


def conv(**settings):
    return Convolution(
        **{"num_units": 4, "kernel_size": 3, "competition": Soft()} | settings
    )


def dense(**settings):
    return FullyConnected(num_units=4, competition=Soft(), **settings)


def start(*stages, shape=(5, 6, 1), **settings):
    stack = StackSettings(stages=stages, **settings)
    return stack.start(shape, generator=seeded())


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (
            [conv(kernel_size=9, padding=1)],
            "stage 1 of the stack, Convolution: the window of Convolution has 9 x 9 "
            r"pixels, but the height of its inputs is 5 \+ 2 x 1 of padding: take a "
            "smaller window",
        ),
        ([conv(kernel_size=6)], "height of its inputs is 5: take"),
        ([conv(kernel_size=5), conv(kernel_size=2)], "stage 2.*height of its inputs is 1"),
        (
            [conv(padding=5, padding_mode="reflect")],
            "padding is 5: to reflect images of 5 x 6, it must be below 5",
        ),
        ([conv(), MaxPool(size=4)], "stage 2 of the stack, MaxPool: .* height .* is 3"),
        (
            [conv(), AveragePool(size=6, padding=1)],
            r"height of its inputs is 3 \+ 2 x 1 of",
        ),
        (
            [dense(), conv()],
            r"stage 2 of the stack, Convolution: Convolution needs images of \(height, "
            r"width, channels\), but its inputs have shape \(4,\)",
        ),
        ([dense(), MaxPool(size=2)], "MaxPool needs images of .* or put it below Fully"),
        ([conv(num_units=10, orthogonal=True)], "10 orthogonal filters need"),
    ],
)
def test_stages_that_do_not_fit_their_inputs(stages, message):
    with pytest.raises(ValueError, match=message):
        start(*stages)


def test_the_largest_windows_and_paddings_that_fit():
    x = normal(2, 30, dtype=torch.float32)
    for stages in (
        [conv(kernel_size=5)],
        [conv(kernel_size=7, padding=1)],
        [conv(padding=4, padding_mode="reflect")],
        [conv(kernel_size=1, padding=3)],
        [conv(kernel_size=1, stride=9)],
        [conv(), MaxPool(size=3)],
        [conv(), AveragePool(size=5, padding=2, stride=1)],
    ):
        stack = start(*stages)
        stack.learn(x, Soft(), lr=0.1)
        wanted = stack.settings.num_features((5, 6, 1))
        assert stack.features(x, power=1.0).shape == (2, wanted)


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ((Triangle(),), "no stage of the stack learns: add a Convolution or a Fully"),
        ((), "no stage of the stack learns"),
        ((conv(), Decorrelate()), "Decorrelate stands on a layer that learns.*greedy=True"),
        (
            (conv(), Triangle(), RecurrentInhibition(num_inh=2)),
            "RecurrentInhibition stands on a layer that learns.*greedy=True",
        ),
        ((conv(), Triangle(), SubtractMean()), "SubtractMean stands on a layer"),
        (conv(), "stages is Convolution Convolution.*: a tuple of stages is needed"),
        ("Convolution", "stages is 'Convolution': a tuple of stages is needed"),
        ((conv(), Convolution), "stage 2 of the stack is type .*such as MaxPool"),
        (
            ("Convolution",),
            "stage 1 of the stack is 'Convolution': an object from fastpath",
        ),
        ((None, conv()), "stage 1 of the stack is None"),
    ],
)
def test_stages_that_are_no_stack(stages, message):
    with pytest.raises(ValueError, match=message):
        StackSettings(stages=stages)


def test_a_list_of_stages_is_taken_and_greedy_is_a_flag():
    assert StackSettings(stages=[conv()]).stages == (conv(),)
    StackSettings(stages=(Decorrelate(), conv()))  # nothing below it learns
    StackSettings(stages=(conv(), Decorrelate()), greedy=True)
    with pytest.raises(ValueError, match="greedy is 'no': True or False is needed"):
        StackSettings(stages=(conv(),), greedy="no")


COUNTS = ["3", 0, -1, 2.5, NAN, INF, True, None, (3, 3)]
POSITIVE = ["1", 0, -1, NAN, INF, True]
BAD = [
    (Convolution, "num_units", COUNTS),
    (Convolution, "kernel_size", COUNTS),
    (Convolution, "stride", COUNTS),
    (Convolution, "padding", ["same", -1, NAN, True, None]),
    (Convolution, "padding_mode", ["circular", None, 0]),
    (Convolution, "p", ["2", 1.5, NAN, INF, True, None]),
    (Convolution, "competition", ["soft", Soft, 3, Ranking(k=5)]),
    (Convolution, "plasticity", ["hebb", None, KrotovHopfield]),
    (Convolution, "lr_scale", POSITIVE),
    (Convolution, "rate_power", ["1", -1, NAN, INF, True, None]),
    (Convolution, "initial_norm", POSITIVE),
    (Convolution, "orthogonal", ["no", 2, None]),
    (Convolution, "response", ["dot", None, 1]),
    (MaxPool, "size", COUNTS),
    (MaxPool, "stride", [n for n in COUNTS if n is not None]),
    (AveragePool, "padding", ["1", -1, NAN, True, None, 2]),
    (BatchNorm, "momentum", ["1", 0, 1.1, NAN, True, None]),
    (BatchNorm, "epsilon", [*POSITIVE, None]),
    (Triangle, "power", [*POSITIVE, None]),
    (Rectifier, "power", [*POSITIVE, None]),
    (Decorrelate, "ridge", [*POSITIVE, None]),
    (Decorrelate, "learned", ["no", 2, None]),
    (RecurrentInhibition, "num_inh", COUNTS),
    (RecurrentInhibition, "norm_ei", [*POSITIVE, None]),
    (RecurrentInhibition, "norm_ie", [*POSITIVE, None]),
    (RecurrentInhibition, "norm_ii", ["1", -1, NAN, INF, True, None]),
    (RecurrentInhibition, "learned", ["no", 2, None]),
]
NEEDED = {
    Convolution: {"num_units": 4, "kernel_size": 3},
    MaxPool: {"size": 2},
    AveragePool: {"size": 2},
    RecurrentInhibition: {"num_inh": 2},
}


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [(kind, name, value) for kind, name, values in BAD for value in values],
)
def test_wrong_settings_name_themselves_and_what_is_needed(kind, name, value):
    said = {"num_units": "num_units", "competition": "competition|k is 5, but only 4"}
    pattern = rf"^({said.get(name, name)}).*(is|:)"
    with pytest.raises(ValueError, match=pattern) as refused:
        kind(**NEEDED.get(kind, {}) | {name: value})
    text = str(refused.value)
    assert any(word in text for word in ("needed", "must", "give one of", "at most"))


def test_images_of_another_kind():
    stack, x = start(conv()), torch.rand(3, 30, generator=seeded())
    calls = {
        "learn": lambda x: stack.learn(x, Soft(), lr=0.1),
        "features": lambda x: stack.features(x, power=1.0),
        "drive": stack.drive,
    }
    for call in calls.values():
        for wrong in (x[:, :25], x.view(3, 5, 6, 1), x[0]):
            with pytest.raises(
                ValueError, match=r"images have shape .* images of \(5, 6, 1\), flattened"
            ):
                call(wrong)
        for wrong in (x.double(), x.byte()):
            with pytest.raises(ValueError, match="must be alike"):
                call(wrong)
        with pytest.raises(ValueError, match=r"images is list .* a tensor"):
            call([1.0])
    fitted, index = Preprocess().fit(images_of(4, 5, 6, 1)), torch.arange(4)
    expected = images_of(4, 5, 6, 1).flatten(1) / 255
    for shape in ((4, 5, 6, 1), (4, 5, 6), (4, 30)):
        seen = stack.prepare(images_of(4, 5, 6, 1).view(shape), index, fitted)
        torch.testing.assert_close(seen, expected, rtol=1e-6, atol=0)
    for shape in ((4, 6, 5, 1), (4, 1, 5, 6), (4, 6, 5), (3, 40), (6, 5, 4, 1)):
        wrong = torch.ones(shape, dtype=torch.uint8)
        with pytest.raises(ValueError, match=r"the images are .* sees images of \(5, 6, 1"):
            stack.prepare(wrong, index[:3], fitted)
    with pytest.raises(ValueError, match="k is 5, but only 4 units compete"):
        start(conv(competition=None)).learn(x, Ranking(k=5), lr=0.1)
    with pytest.raises(ValueError, match="lr is nan"):
        stack.learn(x, Soft(), lr=NAN)
    with pytest.raises(ValueError, match="normalize is 'min'"):
        stack.learn(x, Soft(), lr=0.1, normalize="min")


CONFIG = configured(
    layer=StackSettings(stages=(BatchNorm(), conv(), Triangle(), MaxPool(size=2))),
    training=Training(epochs=1, batch_size=500),
)
KINDS = "this version has Convolution, FullyConnected, Interneurons, BatchNorm"


def changed(change):
    values = copy.deepcopy(json.loads(json.dumps(CONFIG.as_json())))
    change(values["layer"])
    return values


def test_a_configuration_is_read_as_it_was_written():
    assert RunConfig.from_json(changed(lambda layer: None), Path("c.json")) == CONFIG


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda layer: layer["stages"].insert(0, {"name": "Foo"}), f"is 'Foo': {KINDS}"),
        (lambda layer: layer["stages"].insert(0, "BatchNorm"), f"is 'BatchNorm': {KINDS}"),
        (lambda layer: layer["stages"][0].pop("name"), f"is None: {KINDS}"),
        (lambda layer: layer["stages"].insert(0, None), "stage 1 of the stack is None"),
        (lambda layer: layer["stages"][1].update(foo=1), r"unknown here: stages\.foo"),
        (lambda layer: layer["stages"][3].pop("size"), r"missing: stages\.size"),
        (
            lambda layer: layer["stages"][3].update(size=0),
            "size is 0: at least 1 is needed",
        ),
        (lambda layer: layer["stages"][3].update(size="2"), "size is '2': a number"),
        (
            lambda layer: layer["stages"][1]["competition"].update(name="Hard"),
            "competition is 'Hard': this version has Ranking",
        ),
        (
            lambda layer: layer["stages"][1]["competition"].update(temperature=-1),
            "temperature is -1: it must be positive",
        ),
        (lambda layer: layer["stages"][1].update(competition=[]), "competition is tuple"),
        (lambda layer: layer.update(stages=layer["stages"][1]), "a tuple of stages is"),
        (lambda layer: layer.update(stages="x"), f"is 'x': {KINDS}"),
        (lambda layer: layer.update(stages=None), "stages is None: a tuple of stages"),
        (lambda layer: layer.update(stages=[]), "no stage of the stack learns"),
        (lambda layer: layer.update(stages=[layer["stages"]]), "stage 1 of the stack is"),
        (lambda layer: layer.pop("stages"), r"missing: layer\.stages"),
        (lambda layer: layer.update(greedy="no"), "greedy is 'no': True or False"),
    ],
)
def test_a_configuration_that_was_altered_is_refused(change, message):
    with pytest.raises(ValueError, match=rf"^c\.json.*{message}"):
        RunConfig.from_json(changed(change), Path("c.json"))


def test_a_run_whose_tensors_do_not_fit_is_refused(tmp_path):
    executed(CONFIG, tmp_path / "run")
    path = tmp_path / "run" / storage.WEIGHTS
    tensors = storage.load_tensors(path)
    loaded = CONFIG.layer.load(tensors, input_shape=(8, 8, 1))
    assert torch.equal(loaded.weights, tensors["1.weights"])
    for name, value, message in (
        ("1.weights", tensors["1.weights"][:3], r"of shape \(3, 9\), but .* \(4, 9\) is"),
        (
            "1.weights",
            tensors["1.weights"][:, :1],
            r"of shape \(4, 1\), but .* \(4, 9\) is",
        ),
        ("1.weights", tensors["1.weights"].double(), r"float64 .* but float32"),
        ("1.weights", tensors["1.weights"] * NAN, "36 values that are NaN"),
        ("0.mean", torch.zeros(2), r"'0\.mean' .* \(2,\), but .* \(1,\) is needed"),
        ("0.variance", None, r"not a complete run: '0\.variance' missing"),
    ):
        altered = {n: t for n, t in tensors.items() if n != name}
        altered |= {} if value is None else {name: value}
        storage.save_tensors(path, altered)
        with pytest.raises(ValueError, match=message):
            open_run(tmp_path / "run")
        if value is not None and value.shape != tensors[name].shape:
            with pytest.raises(ValueError, match=rf"'{name}' has shape .* needs \("):
                CONFIG.layer.load(altered, input_shape=(8, 8, 1))
