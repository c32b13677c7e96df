"""The parts of a learning step: C++ and PyTorch against the rule written densely."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath import kernels
from fastpath.competition import Equilibrium, Ranking, RunnersUp, Soft, equilibrium
from fastpath.data.preprocess import FittedPreprocess, Preprocess
from fastpath.kernels import Learners, cpp, pytorch
from fastpath.layers import Dense
from fastpath.plasticity import delta_w, signed_power

CPU = torch.device("cpu")
needs_compiler = pytest.mark.skipif(
    cpp.why_not(CPU, torch.float64) is not None,
    reason=str(cpp.why_not(CPU, torch.float64)),
)


def make(name: str, dtype=torch.float64) -> kernels.Kernels:
    if name == "cpp":
        return cpp.CppKernels(CPU, dtype)
    made = pytorch.PyTorchKernels(CPU, dtype)
    made.fixed_sizes = name == "pytorch, as on CUDA"
    return made


ALL = [
    pytest.param("cpp", marks=needs_compiler),
    "pytorch",
    "pytorch, as on CUDA",
]


def normal(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=dtype)


def dense(learners: Learners, drive: torch.Tensor) -> torch.Tensor:
    """Return g (image, unit), and check that each entry brings its own drive."""
    image, unit, g, current = learners
    assert torch.equal(current, drive[image, unit])
    assert (image.diff() >= 0).all()
    return torch.zeros_like(drive).index_put_((image, unit), g)


def test_where_there_is_a_compiler_the_step_is_compiled():
    """On the project's own machines, that is: nothing below may be skipped by accident."""
    if os.environ.get("CI"):
        assert cpp.why_not(CPU, torch.float32) is None
    name = Dense(normal(3, 4)).kernels.name
    assert name == ("pytorch" if cpp.why_not(CPU, torch.float64) else "cpp")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("center_images", [False, True])
@pytest.mark.parametrize("unit_norm", [False, True])
@pytest.mark.parametrize("subtract_mean", [False, True])
@pytest.mark.parametrize("name", ALL)
def test_images_are_prepared_as_preprocess_says(
    name, dtype, subtract_mean, center_images, unit_norm
):
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.integers(0, 256, (11, 53), dtype=np.uint8))
    x[3] = 0
    index = torch.tensor([10, 3, 0, 3])
    preprocess = Preprocess(
        subtract_mean=subtract_mean, center_images=center_images, unit_norm=unit_norm
    )
    mean = preprocess.fit(x).mean.to(dtype)
    v = x.numpy()[index.numpy()].astype(np.float64) / 255
    if subtract_mean:
        v = v - mean.double().numpy()
    if center_images:
        v = v - v.mean(axis=1, keepdims=True)
    if unit_norm:
        v = v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-12)
    out = torch.full((4, 53), torch.nan, dtype=dtype)
    prepared = make(name, dtype).prepare(x, index, preprocess, mean, out)
    assert prepared.data_ptr() == out.data_ptr()
    # Measured 1.2e-7 and 4.4e-16: the sums run in another order.
    np.testing.assert_allclose(out, v, atol=1e-6 if dtype == torch.float32 else 1e-14)


@pytest.mark.parametrize("index", [[0, 5], [-1]])
@pytest.mark.parametrize("name", ALL)
def test_an_image_that_is_not_there_is_refused(name, index):
    x = torch.zeros(5, 4, dtype=torch.uint8)
    out = torch.zeros(len(index), 4, dtype=torch.float64)
    with pytest.raises(IndexError):
        make(name).prepare(
            x, torch.tensor(index), Preprocess(), torch.zeros(4).double(), out
        )


@pytest.mark.parametrize("units", [2, 7, 64, 65, 200, 1000])
@pytest.mark.parametrize("name", ALL)
def test_learners_of_a_ranking(name, units):
    drive = normal(20, units)
    for k in sorted({2, 3, 7, 64, 65, units} & set(range(2, units + 1))):
        rule = Ranking(k=k, delta=0.3)
        assert torch.equal(dense(make(name).learners(rule, drive), drive), rule(drive))


@needs_compiler
@settings(deadline=None, max_examples=100, derandomize=True)
@given(st.integers(2, 150), st.integers(0, 10_000))
def test_a_ranking_with_ties_takes_the_first_of_equal_units(units, seed):
    generator = torch.Generator().manual_seed(seed)
    drive = torch.randint(-2, 3, (6, units), generator=generator).double()
    k = 2 + seed % (units - 1)
    found = make("cpp").learners(Ranking(k=k, delta=0.5), drive)
    order = np.argsort(-drive.numpy(), axis=1, kind="stable")
    np.testing.assert_array_equal(found.unit.view(6, 2), order[:, [0, k - 1]])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("units", [2, 7, 64, 65, 66, 200, 1000])
@pytest.mark.parametrize("name", ALL)
def test_learners_of_runners_up(name, units, dtype):
    """As PyTorch lists them, bit for bit; lists of 64 and more are found otherwise."""
    drive = normal(20, units, dtype=dtype)
    for k in sorted({1, 2, 6, 63, 64, 65, units - 1} & set(range(1, units))):
        rule = RunnersUp(k=k, delta=0.3)
        found = make(name, dtype).learners(rule, drive)
        ranked = drive.sort(dim=1, descending=True, stable=True)
        g = torch.tensor([1.0] + k * [-0.3], dtype=dtype)
        for part, expected in zip(
            found,
            (
                torch.arange(20).repeat_interleave(k + 1),
                ranked.indices[:, : k + 1].flatten(),
                g.repeat(20),
                ranked.values[:, : k + 1].flatten(),
            ),
            strict=True,
        ):
            assert torch.equal(part, expected)
        assert torch.equal(dense(found, drive), rule(drive))


@needs_compiler
@settings(deadline=None, max_examples=100, derandomize=True)
@given(st.integers(2, 150), st.integers(0, 10_000))
def test_runners_up_with_ties_are_the_first_of_equal_units(units, seed):
    generator = torch.Generator().manual_seed(seed)
    drive = torch.randint(-2, 3, (6, units), generator=generator).double()
    k = 1 + seed % (units - 1)
    found = make("cpp").learners(RunnersUp(k=k, delta=0.5), drive)
    order = np.argsort(-drive.numpy(), axis=1, kind="stable")
    np.testing.assert_array_equal(found.unit.view(6, k + 1), order[:, : k + 1])


@pytest.mark.parametrize("kind", [Ranking, RunnersUp])
def test_no_unit_is_punished_where_delta_is_zero(kind):
    drive = normal(5, 9)
    for name in ("pytorch", "pytorch, as on CUDA", "cpp"):
        if name == "cpp" and cpp.why_not(CPU, torch.float64):
            continue
        g = dense(make(name).learners(kind(delta=0.0), drive), drive)
        assert torch.equal(g, kind(delta=0.0)(drive))


DRIVES = {
    "normal": normal(40, 150),
    "positive": normal(40, 150).abs(),
    "negative": -normal(40, 150).abs(),
    "zero": torch.zeros(3, 10, dtype=torch.float64),
    "ties": normal(40, 150).round(),
    "close": 1 + 1e-3 * normal(40, 150),
    "one unit": normal(40, 1),
}


@needs_compiler
@pytest.mark.parametrize("delta", [0.0, 0.4])
@pytest.mark.parametrize("kind", DRIVES)
@pytest.mark.parametrize("w_inh", [0.0, 0.01, 0.3, 0.9, 1.0, 1.5])
def test_learners_of_the_equilibrium(w_inh, kind, delta):
    drive = DRIVES[kind]
    for h_star in (0.3, 1.0, 2.0):
        rule = Equilibrium(w_inh=w_inh, h_star=h_star, delta=delta)
        expected = equilibrium(drive, w_inh=w_inh, h_star=h_star, delta=delta)
        assert torch.equal(dense(make("cpp").learners(rule, drive), drive), expected)


@needs_compiler
@settings(deadline=None, max_examples=150, derandomize=True)
@given(st.integers(1, 200), st.floats(0, 1.2), st.floats(0.01, 3), st.integers(0, 9999))
def test_learners_of_any_equilibrium(units, w_inh, h_star, seed):
    drive = normal(4, units, seed=seed)
    rule = Equilibrium(w_inh=w_inh, h_star=h_star)
    assert torch.equal(dense(make("cpp").learners(rule, drive), drive), rule(drive))


@pytest.mark.parametrize("name", ["pytorch", pytest.param("cpp", marks=needs_compiler)])
def test_learners_of_a_competition_of_the_users_own(name):
    drive = normal(5, 9)

    def oja(drive):
        return torch.where(drive > 0.5, drive, 0.0)

    assert torch.equal(dense(make(name).learners(oja, drive), drive), oja(drive))
    assert make(name).learners(Soft(), drive) is None


@pytest.mark.parametrize("normalize", ["max", None])
@pytest.mark.parametrize("p", [2.0, 2.5, 3.0, 3.7, 4.0])
@pytest.mark.parametrize("pixels", [1, 64, 131])
@pytest.mark.parametrize("rule", [Ranking(k=3, delta=0.4), RunnersUp(k=4)], ids=str)
@pytest.mark.parametrize("name", ALL)
def test_changes_are_those_of_the_dense_rule(name, rule, pixels, p, normalize):
    """Units that win several images, and win one and lose another, among them."""
    weights, images = normal(9, pixels), normal(30, pixels, seed=1)
    drive = images @ signed_power(weights, p=p).T
    step = make(name)
    found = step.learners(rule, drive)
    spread = Learners(*torch.stack([part.double() for part in found], dim=1).unbind(1))
    spread = spread._replace(image=spread.image.long(), unit=spread.unit.long())
    assert not spread.g.is_contiguous()  # as they come from other processes
    changes = step.changes(spread, images, weights)
    expected = delta_w(rule(drive), drive, images, weights)
    # Measured 2e-14 with entries of size 10 to 100.
    assert float(changes.largest) == pytest.approx(expected.abs().max().item(), rel=1e-13)
    torch.testing.assert_close(
        changes.change, expected[changes.rows], rtol=1e-13, atol=1e-12
    )
    idle = set(range(9)) - set(changes.rows.tolist())
    assert not expected[sorted(idle)].any()
    after = weights.clone()
    signed_powers = signed_power(after, p=p)  # for p = 2 the weights themselves
    step.apply(changes, after, signed_powers, p=p, lr=0.1, normalize=normalize)
    size = 0.1 / expected.abs().max() if normalize else 0.1
    torch.testing.assert_close(after, weights + size * expected, rtol=1e-13, atol=1e-12)
    torch.testing.assert_close(
        signed_powers, signed_power(after, p=p), rtol=1e-12, atol=1e-12
    )


@needs_compiler
@pytest.mark.parametrize(
    "rule",
    [Ranking(k=2), Ranking(k=99), Equilibrium(w_inh=0.5), RunnersUp(), RunnersUp(k=99)],
)
def test_drives_that_are_not_numbers_do_no_harm(rule):
    """Training that diverges is reported at the end of its epoch: it must get there."""
    drive = normal(4, 100)
    drive[0], drive[1, 5], drive[2, ::2] = torch.nan, torch.inf, torch.nan
    learners = make("cpp").learners(rule, drive)
    assert (learners.unit >= 0).all()
    assert (learners.unit < 100).all()


def test_layers_of_other_numbers_learn_with_plain_kernels():
    weights = torch.ones(3, 4, dtype=torch.bfloat16)
    layer = Dense(weights)
    assert layer.kernels.name == "pytorch"
    images = torch.tensor([[1.0, 2, 3, 4], [4, 3, 2, 0]]).bfloat16()
    layer.learn(images, Ranking(), lr=0.1)
    assert not torch.equal(layer.weights, weights)


@pytest.mark.parametrize("p", [2.0, 3.0])
@pytest.mark.parametrize(
    "rule",
    [
        Ranking(k=3),
        RunnersUp(),
        Equilibrium(w_inh=0.6, h_star=4.0),
        Soft(anti=True, delta=0.6),
    ],
    ids=str,
)
def test_plain_and_compiled_kernels_train_alike(rule, p):
    layers = {}
    for name in ("pytorch", "cpp"):
        if name == "cpp" and (reason := cpp.why_not(CPU, torch.float64)):
            pytest.skip(reason)
        layers[name] = Dense(normal(40, 30), p=p, kernels=name)
        assert layers[name].kernels.name == name
        for seed in range(20):
            layers[name].learn(normal(10, 30, seed=seed).abs(), rule, lr=0.02)
    # Measured 8.9e-16.
    torch.testing.assert_close(
        layers["pytorch"].weights, layers["cpp"].weights, rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64, torch.bool])
def test_g_of_another_number_format_is_converted(dtype):
    layers = [Dense(normal(6, 5, dtype=torch.float32)) for _ in range(2)]
    images = normal(4, 5, seed=1, dtype=torch.float32)
    for layer, kind in zip(layers, (torch.float32, dtype), strict=True):
        layer.learn(images, lambda drive, kind=kind: (drive > 1).to(kind), lr=0.1)
    assert torch.equal(layers[0].weights, layers[1].weights)
    with pytest.raises(ValueError, match="returned g of shape"):
        layers[0].learn(images, lambda drive: drive[:, :2], lr=0.1)


def test_views_are_prepared_like_copies_and_other_formats_refused():
    layer = Dense(normal(6, 5))
    x = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (20, 5), dtype=np.uint8))
    wide, mean = torch.zeros(10).double(), torch.zeros(5).double()
    index = torch.tensor([3, 1])
    steps = Preprocess(subtract_mean=True)
    fitted = FittedPreprocess(steps, mean)
    for view in (x[::2], x[:1].expand(20, 5), x.T.contiguous().T):
        prepared = layer.prepare(view, index, FittedPreprocess(steps, wide[::2]))
        assert torch.equal(prepared, fitted(view[index]))
    for arguments, message in (
        ((x.int(), index, fitted), "images are torch.int32: uint8"),
        ((x, index.int(), fitted), "index is torch.int32: int64"),
        ((x, index, FittedPreprocess(steps, mean[:3])), "of shape \\(3,\\), the weights"),
        ((x, index, fitted.to(torch.float32)), "is torch.float32"),
    ):
        # The shapes in the signature are checked in tests alone; so by hand here.
        with pytest.raises((ValueError, TypeError), match=f"{message}|Type-check"):
            layer.prepare(*arguments)


@needs_compiler
def test_inhibition_that_rounds_to_one_lets_the_winner_take_all():
    drive = normal(5, 9, dtype=torch.float32)
    found = make("cpp", torch.float32).learners(Equilibrium(w_inh=1 - 1e-9), drive)
    winners = Equilibrium(w_inh=1.0)(drive)
    assert torch.equal(dense(found, drive), winners)


def test_kernels_by_name():
    message = r"kernels is 'fast': give one of 'triton', 'cpp', 'pytorch'|Type-check"
    with pytest.raises((ValueError, TypeError), match=message):
        Dense(normal(3, 4), kernels="fast")
    with pytest.raises(ValueError, match="it runs on CUDA, not on 'cpu': leave it away"):
        Dense(normal(3, 4), kernels="triton")
    with pytest.raises(ValueError, match=r"not for torch\.bfloat16"):
        Dense(torch.ones(3, 4, dtype=torch.bfloat16), kernels="cpp")


BUILD = """
import torch
from fastpath.kernels import cpp
from fastpath.layers import Dense
from fastpath.competition import Ranking
layer = Dense(torch.randn(5, 6, generator=torch.Generator().manual_seed(0)))
layer.learn(torch.ones(2, 6), Ranking(), lr=0.1)
print(layer.kernels.name, cpp.why_not(torch.device("cpu"), torch.float32))
"""


def build(cache, **environment) -> subprocess.Popen:
    """Start a process that needs the library."""
    return subprocess.Popen(
        [sys.executable, "-c", BUILD],
        env={**os.environ, "XDG_CACHE_HOME": str(cache), **environment},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@needs_compiler
def test_two_processes_build_at_once_and_leave_one_library(tmp_path):
    both = [build(tmp_path) for _ in range(2)]
    assert [process.communicate()[0] for process in both] == ["cpp None\n"] * 2
    assert len([*(tmp_path / "neurodyn" / "kernels").iterdir()]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("lack", ["compiler", "working compiler", "cache"])
def test_without_a_compiler_or_a_cache_training_goes_on(tmp_path, lack):
    (tmp_path / "file").touch()
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho cannot compile >&2\nexit 1\n")
    broken.chmod(0o755)
    environment, reason = {
        "compiler": ({"PATH": str(tmp_path), "CXX": ""}, "there is no C++ compiler"),
        "working compiler": ({"CXX": str(broken)}, "cannot compile"),
        "cache": ({"XDG_CACHE_HOME": str(tmp_path / "file")}, "it cannot be built"),
    }[lack]
    with build(tmp_path / "cache", **environment) as process:
        said = process.communicate()[0]
    assert said.startswith("pytorch ")
    assert reason in said
