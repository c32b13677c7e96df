"""What may leak into fastpath from the caller's process, and out of it.

In: nothing that changes a number. Out: nothing. Every entry point that computes is called
in every world (a setting of PyTorch, NumPy, ... that a caller may have made), and has to
return the numbers of a clean world bit for bit; and to leave the world as it found it, also
when it fails.
"""

import functools
import logging
import os
import signal
import subprocess
import sys
import threading
import warnings
from contextlib import contextmanager, nullcontext

import matplotlib as mpl
import numpy as np
import pytest
import torch
import xarray as xr

from fastpath import ambient, baselines, competition, experiment, plots, readout
from fastpath.cli import main
from fastpath.competition import Equilibrium, Ranking, Soft
from fastpath.compute import Compute
from fastpath.data import datasets
from fastpath.data.preprocess import Preprocess
from fastpath.layers import Dense, DenseSettings, constraints
from fastpath.plasticity import delta_w
from fastpath.readout import Readout, Streamed
from fastpath.runs import storage
from fastpath.training.callbacks import EachEpoch
from fastpath.training.loop import Training, train
from fastpath.training.snapshots import Snapshots, snapshot_epochs

PREPROCESS = Preprocess(subtract_mean=True, center_images=True, unit_norm=True)
HEAD = Readout(epochs=2)


def seeded(seed=0):
    return torch.Generator("cpu").manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float32, device="cpu")


@functools.cache
def digits():
    found = datasets.load("digits")
    return datasets.Images(
        found.x_train[:300],
        found.y_train[:300],
        found.x_test[:60],
        found.y_test[:60],
        "digits",
        found.classes,
    )


def digits_split():
    return experiment.split(digits(), validation=40, generator=seeded())


def learned(rule=None, **settings):
    return experiment.learn(
        digits_split(),
        layer=DenseSettings(num_units=12, p=3.0),
        num_classes=10,
        competition=rule or Ranking(),
        training=Training(epochs=2),
        preprocess=PREPROCESS,
        readout=HEAD,
        generator=seeded(),
        progress=False,
        **settings,
    )


def results(run):
    errors = [run.metrics["validation_error"], run.metrics["train_error"]]
    history = [run.history[name].values for name in ("norm_mean", "learning", "head_loss")]
    return [run.weights, run.preprocess.mean, *vars(run.head).values(), *errors, *history]


def features():
    split = digits_split()
    return split, Dense(normal(12, 64)), PREPROCESS.fit(split.x_train)


def held(how):
    """Call with a split, a layer, fitted preprocessing, and the features."""

    def entry():
        split, layer, preprocess = features()
        x = experiment.features(layer, split.x_train, preprocess, HEAD)
        return how(split, layer, preprocess, x)

    return entry


def fitted(split, x, **settings):
    return readout.fit(
        x,
        split.y_train,
        num_classes=10,
        readout=Readout(epochs=2, **settings),
        generator=seeded(),
        progress=False,
    )


def own_loop(kernels="pytorch", rule=None):
    """A loop of the user's own through Dense.learn."""
    split = digits_split()
    preprocess = PREPROCESS.fit(split.x_train)
    layer = Dense.random(12, 64, p=3.0, kernels=kernels, generator=seeded())
    order = torch.arange(len(split.x_train), device="cpu")
    for batch in order.split(50):
        images = layer.prepare(split.x_train, batch, preprocess)
        layer.learn(images, rule or Ranking(), lr=0.02)
    return [layer.weights, layer._signed_power, layer.drive(images)]


def trained():
    split = digits_split()
    layer = Dense.random(12, 64, generator=seeded())
    snapshots = Snapshots(snapshot_epochs(3, 2))
    history = train(
        layer,
        split.x_train,
        competition=Soft(),
        training=Training(epochs=2),
        preprocess=PREPROCESS.fit(split.x_train),
        generator=seeded(),
        progress=False,
        callbacks=[snapshots],
    )
    return [layer.weights, history.norm_max.values, snapshots.as_dataset().weights.values]


def back_propagated(**settings):
    split = digits_split()
    trained = baselines.backprop(
        split,
        num_units=12,
        num_classes=10,
        backprop=baselines.Backprop(epochs=2),
        preprocess=PREPROCESS,
        generator=seeded(),
        progress=False,
        on_epoch_end=lambda _, network: watched.extend(network.state_dict().values()),
        **settings,
    )
    return [*trained.errors.values(), *watched]


watched: list[torch.Tensor] = []


def clustered():
    split = digits_split()
    return [
        baselines.kmeans(
            split.x_train,
            num_units=12,
            kmeans=baselines.KMeans(),
            preprocess=PREPROCESS.fit(split.x_train),
            seed=0,
        )
    ]


def of_pixels():
    errors = baselines.linear(
        digits_split(),
        num_classes=10,
        preprocess=PREPROCESS,
        readout=HEAD,
        generator=seeded(),
        progress=False,
    )
    return [*errors.values()]


def constrained():
    rows, signs = normal(6, 8), torch.tensor([1, -1] * 4, device="cpu")
    kept = constraints.column_signs(signs)
    same = constraints.same_sign(-1)
    return [kept(rows), kept.mirrored(rows), same(rows), kept.violations(rows)]


def user_rule(drive):
    """A rule of the user's own, with tensors of its own."""
    return (drive > torch.tensor([0.5])).to(drive.dtype) - torch.full((1,), 0.25)


def pure():
    g, drive, images, weights = (normal(6, 9, seed=i) for i in range(4))
    return [
        competition.ranking(drive, k=3, delta=0.4),
        competition.settle(drive, w_inh=0.6),
        competition.equilibrium(drive, w_inh=0.6, h_star=0.5, delta=0.4),
        competition.soft(drive, temperature=0.3, anti=True),
        delta_w(g, drive, images, normal(9, 9, seed=4)),
        PREPROCESS(images, weights[0]),
        PREPROCESS.fit(images.abs()).mean,
        readout.features(Dense(weights), images, HEAD),
    ]


def drawn():
    """What is drawn, as numbers."""
    weights = xr.DataArray((normal(4, 9) * 1e-38).numpy(), dims=("unit", "pixel"))
    weights[:, 0] = 1
    counts = np.arange(9).reshape(3, 3)
    shown = xr.DataArray(counts, dims=("label", "answer"), attrs={"units": "1"})
    figure = mpl.figure.Figure()
    axes = figure.subplots(2)
    plots.confusion(shown, axes[0])
    plots.receptive_fields(weights, (3, 3), axes[1])
    images = [np.asarray(image.get_array()) for ax in axes for image in ax.images]
    ends = [image.origin for ax in axes for image in ax.images]
    return [plots.mosaic(weights, (3, 3)), *images, *ends]


ENTRIES = {
    "learn": lambda: results(learned()),
    "learn, pytorch": lambda: results(learned(kernels="pytorch")),
    "learn, equilibrium": lambda: results(learned(Equilibrium(), kernels="pytorch")),
    "learn, a rule of one's own": lambda: results(learned(user_rule)),
    "train": trained,
    "own loop": own_loop,
    "own loop, soft": lambda: own_loop(rule=Soft()),
    "own loop, fastest": lambda: own_loop(None),
    "fit": held(lambda s, w, m, x: [*vars(fitted(s, x)).values()]),
    "fit, cross-entropy": held(
        lambda s, w, m, x: [
            *vars(fitted(s, x, loss="cross-entropy", smoothing=0.1, scaling="set")).values()
        ]
    ),
    "fit, streamed": held(
        lambda s, w, m, x: [
            *vars(fitted(s, Streamed(w, s.x_train, m, HEAD), scaling="unit")).values()
        ]
    ),
    "features": held(lambda s, w, m, x: [x]),
    "head": held(
        lambda s, w, m, x: [(h := fitted(s, x))(x), readout.error(h, x, s.y_train)]
    ),
    "confusion": held(lambda s, w, m, x: [readout.confusion(fitted(s, x), x, s.y_train)]),
    "backprop": back_propagated,
    "backprop, frozen": lambda: back_propagated(first=normal(12, 64), frozen=True),
    "kmeans": clustered,
    "linear": of_pixels,
    "constraints": constrained,
    "functions": pure,
    "plots": drawn,
}


@contextmanager
def undone(set_it, undo):
    set_it()
    try:
        yield
    finally:
        undo()


def float_products(value):
    owners = torch.backends.cuda.matmul, torch.backends.mkldnn.matmul

    def put(value):
        for owner in owners:
            owner.fp32_precision = value

    return undone(lambda: put(value), lambda: put("none"))


@contextmanager
def anomaly():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.autograd.detect_anomaly():
            warnings.simplefilter("error")
            yield


def autocast_cuda():
    put = functools.partial(torch.set_autocast_enabled, "cuda")
    return undone(lambda: put(True), lambda: put(False))


RC = {
    "image.origin": "lower",
    "image.cmap": "gray",
    "savefig.bbox": "tight",
    "savefig.dpi": 17,
    "figure.dpi": 31,
    "figure.autolayout": True,
}

WORLDS = {
    "float64": lambda: undone(
        lambda: torch.set_default_dtype(torch.float64),
        lambda: torch.set_default_dtype(torch.float32),
    ),
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "autocast cuda": autocast_cuda,
    "device": lambda: torch.device("meta"),
    "default device": lambda: undone(
        lambda: torch.set_default_device("meta"), lambda: torch.set_default_device(None)
    ),
    "medium products": lambda: undone(
        lambda: torch.set_float32_matmul_precision("medium"),
        lambda: torch.set_float32_matmul_precision("highest"),
    ),
    "tf32 products": lambda: float_products("tf32"),
    "deterministic": lambda: undone(
        lambda: torch.use_deterministic_algorithms(True),
        lambda: torch.use_deterministic_algorithms(False),
    ),
    "anomaly": anomaly,
    "denormals flushed": lambda: undone(
        lambda: torch.set_flush_denormal(True), lambda: torch.set_flush_denormal(False)
    ),
    "numpy raises": lambda: np.errstate(all="raise"),
    "numpy prints": lambda: np.printoptions(precision=2, threshold=5, legacy="1.13"),
    "xarray": lambda: xr.set_options(keep_attrs=True, arithmetic_join="exact"),
    "matplotlib": lambda: mpl.rc_context(RC),
}


def state():
    """Return all that a call may have changed, to be compared."""
    owners = torch.backends.cuda.matmul, torch.backends.mkldnn.matmul
    return {
        "dtype": torch.get_default_dtype(),
        "device": str(torch.get_default_device()),
        "grad": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "autocast": [torch.is_autocast_enabled(device) for device in ("cpu", "cuda")],
        "autocast to": torch.get_autocast_dtype("cpu"),
        "products": [owner.fp32_precision for owner in owners],
        "all products": torch.backends.fp32_precision,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "anomaly": torch.is_anomaly_enabled(),
        "threads": torch.get_num_threads(),
        "denormals": sys.float_info.min / 2,
        "modes": torch._C._len_torch_function_stack(),
        "torch random": torch.random.get_rng_state().tolist(),
        "numpy random": str(np.random.get_state()),  # noqa: NPY002
        "numpy errors": np.geterr(),
        "numpy prints": str(np.get_printoptions()),
        "xarray": str(dict(xr.get_options())),
        "matplotlib": dict(mpl.rcParams),
        "backend": mpl.get_backend(),
        "figures": sys.modules["matplotlib.pyplot"].get_fignums(),
        "filters": [*warnings.filters],
        "environment": dict(os.environ),
        "excepthook": (sys.excepthook, threading.excepthook, sys.unraisablehook),
        "signals": [signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)],
        "logging": (logging.root.level, [*logging.root.handlers]),
        "path": [*sys.path],
        "folder": os.getcwd(),
        "recursion": sys.getrecursionlimit(),
        "chosen": ambient._precision.tf32,
    }


def changed(before):
    after = state()
    return [name for name in before if before[name] != after[name]]


@functools.cache
def clean(name):
    watched.clear()
    return ENTRIES[name]()


def assert_same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        if isinstance(one, torch.Tensor):
            assert one.device == other.device
            assert not one.requires_grad
            one, other = one.numpy(), other.numpy()
        np.testing.assert_array_equal(one, other, strict=True)


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("world", WORLDS)
def test_nothing_leaks_in_or_out(world, entry):
    expected = clean(entry)
    digits()
    watched.clear()
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


def test_products_that_inherit_their_precision_go_on_to_inherit_it():
    with float_products("none"):
        pass
    torch.backends.fp32_precision = "tf32"
    try:
        own_loop()
        torch.backends.fp32_precision = "none"
        assert torch.backends.cuda.matmul.fp32_precision == "none"
        assert torch.backends.mkldnn.matmul.fp32_precision == "none"
    finally:
        torch.backends.fp32_precision = "none"


@ambient.isolated()
def precision_inside():
    return torch.backends.cuda.matmul.fp32_precision


def test_tf32_is_what_fastpath_was_told_never_what_pytorch_was():
    with float_products("tf32"):
        assert precision_inside() == "ieee"
    assert precision_inside() in ("ieee", "none")

    @ambient.isolated()
    def told():
        ambient.allow_tf32(True)
        return precision_inside()

    assert told() == "tf32"
    assert precision_inside() in ("ieee", "none")
    ambient.allow_tf32(True)
    try:
        assert precision_inside() == "tf32"
        assert torch.backends.cuda.matmul.fp32_precision in ("ieee", "none")
    finally:
        ambient.allow_tf32(False)


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


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ambient") / "run"
    flags = ["--data", "digits", "--units", "9", "--epochs", "2", "--head-epochs", "2"]
    main(["train", *flags, "--out", str(folder), "--snapshots", "2"])
    return flags, folder


@contextmanager
def another_world():
    names = ("float64", "no_grad", "autocast", "device", "medium products", "numpy raises")
    with (
        WORLDS[names[0]](),
        WORLDS[names[1]](),
        WORLDS[names[2]](),
        WORLDS[names[3]](),
        WORLDS[names[4]](),
        WORLDS[names[5]](),
        WORLDS["xarray"](),
        WORLDS["denormals flushed"](),
    ):
        yield


@pytest.mark.parametrize("command", ["train", "evaluate", "export", "backprop", "refused"])
def test_a_command_leaves_the_process_of_a_notebook_as_it_was(
    run, tmp_path, capsys, command
):
    flags, folder = run
    threads = ["--threads", "2"]
    given = {
        "train": ["train", *flags, "--out", str(tmp_path / "run"), "--snapshots", "2"],
        "evaluate": ["evaluate", str(folder)],
        "export": ["export", str(folder), "--num-images", "5", "--out", "IMAGES"],
        "backprop": ["backprop", "--data", "digits", "--units", "9", "--epochs", "1"],
        "refused": ["train", *flags, "--out", str(folder)],
    }[command]
    said = []
    for world, name in ((another_world, "a.npz"), (WORLDS["xarray"], "b.npz")):
        images = str(tmp_path / name)
        with world():
            before = state()
            refused = pytest.raises(SystemExit) if command == "refused" else nullcontext()
            with refused:
                main([word.replace("IMAGES", images) for word in given] + threads)
            assert changed(before) == []
        lines = capsys.readouterr().out.splitlines()
        said.append([line for line in lines if "error" in line])
        if command == "train":
            break
    if command == "train":
        for name, tensor in storage.load_tensors(folder / storage.WEIGHTS).items():
            path = tmp_path / "run" / storage.WEIGHTS
            assert torch.equal(storage.load_tensors(path)[name], tensor)
    elif command == "export":
        one, other = (dict(np.load(tmp_path / name)) for name in ("a.npz", "b.npz"))
        assert_same([*one.values()], [*other.values()])
    else:
        assert said[0] == said[1]


@pytest.mark.slow
def test_pictures_are_the_same_whatever_matplotlib_was_told(run, tmp_path):
    folders = tmp_path / "clean", tmp_path / "other"
    for folder, world in zip(
        folders, (WORLDS["xarray"], WORLDS["matplotlib"]), strict=True
    ):
        with world(), np.errstate(all="raise"):
            before = state()
            main(["plot", str(run[1]), "--out", str(folder)])
            assert changed(before) == []
    for name in storage.PICTURES:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


def test_threads_and_precision_of_a_command_end_with_it():
    before = torch.get_num_threads()

    @ambient.isolated()
    def command():
        Compute(threads=before + 1).ready()
        return torch.get_num_threads()

    assert command() == before + 1
    assert torch.get_num_threads() == before


IMPORTED = """
import os
before = dict(os.environ)
{}
import fastpath.runs.execute, fastpath.baselines, fastpath.runs.figures
import torch
assert dict(os.environ) == before, set(os.environ.items()) ^ set(before.items())

import random  # here, since in the tests' own process beartype draws some numbers
from tests.fastpath.test_ambient import clustered, learned, own_loop
before = random.getstate()
learned(), own_loop(), clustered()
assert random.getstate() == before
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "policy"),
    [
        ("import fastpath.commands.work", "passive"),
        ("import torch; import fastpath.commands.work", None),
    ],
)
def test_a_fresh_process_keeps_its_environment_and_random_numbers(first, policy):
    """And in a command idle threads sleep: OpenMP says what it has read."""
    environment = {k: v for k, v in os.environ.items() if k != ambient.OPENMP}
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED.format(first)],
        env=environment | {"OMP_DISPLAY_ENV": "verbose"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    spins = [s for s in done.stderr.splitlines() if "GOMP_SPINCOUNT" in s]
    if not spins:
        pytest.skip("this OpenMP is not GNU's, or does not say what it has read")
    assert (spins[0].strip() == "GOMP_SPINCOUNT = '0'") == (policy == "passive")
