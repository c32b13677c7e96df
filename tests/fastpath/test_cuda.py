"""The same results on a CUDA device as on the CPU."""

import pytest
import torch

from fastpath.competition import Equilibrium, Ranking, RunnersUp, Soft
from fastpath.data.preprocess import Preprocess
from fastpath.kernels.triton import TritonKernels
from fastpath.layers import Dense
from fastpath.training.loop import Training, train
from fastpath.training.snapshots import Snapshots, snapshot_moments

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("p", [2.0, 3.0])
@pytest.mark.parametrize(
    "rule", [Ranking(k=3), RunnersUp(), Equilibrium(w_inh=0.8), Soft()], ids=str
)
def test_learning_agrees_with_the_cpu(rule, p):
    generator = torch.Generator().manual_seed(0)
    start = Dense.random(40, 30, p=p, generator=generator, dtype=torch.float64).weights
    images = torch.rand(20, 10, 30, generator=generator, dtype=torch.float64)
    layers = [Dense(start.clone(), p=p), Dense(start.cuda(), p=p)]
    for layer in layers:
        for batch in images:
            layer.learn(batch.to(layer.weights.device), rule, lr=0.02)
    torch.testing.assert_close(
        layers[1].weights.cpu(), layers[0].weights, rtol=0, atol=1e-11
    )


def layer_with(kernels, weights, p):
    layer = Dense(weights, p=p, kernels=kernels)
    assert layer.kernels.name == kernels
    return layer


@pytest.mark.parametrize("k", [2, 7])
@pytest.mark.parametrize("p", [2.0, 2.5, 3.0])
def test_the_fused_step_agrees_with_the_plain_one_and_the_cpu(p, k):
    generator = torch.Generator().manual_seed(0)
    start = Dense.random(200, 53, p=p, generator=generator, dtype=torch.float64).weights
    x = torch.randint(0, 256, (500, 53), generator=generator).to(torch.uint8)
    order = torch.randint(0, 500, (50, 20), generator=generator)
    steps = Preprocess(subtract_mean=True, center_images=True, unit_norm=True)
    preprocess = steps.fit(x).to(torch.float64)
    layers = [
        layer_with("pytorch", start.clone(), p),
        layer_with("pytorch", start.cuda(), p),
        layer_with("triton", start.cuda(), p),
    ]
    for layer in layers:
        device = layer.weights.device
        for batch in order:
            images = layer.prepare(x.to(device), batch.to(device), preprocess.to(device))
            layer.learn(images, Ranking(k=k), lr=0.02)
    for layer in layers[1:]:
        torch.testing.assert_close(
            layer.weights.cpu(), layers[0].weights, rtol=0, atol=1e-11
        )


@pytest.mark.parametrize("w_inh", [0.0, 0.3, 0.9, 1.0, 1.5])
def test_the_fused_equilibrium_is_the_sorted_one(w_inh):
    rule = Equilibrium(w_inh=w_inh, h_star=0.5)
    for dtype in (torch.float32, torch.float64):
        drive = torch.randn(100, 2000, generator=torch.Generator().manual_seed(0)).to(dtype)
        drive[1], drive[2] = -drive[1].abs() - 0.1, (2 * drive[2]).round()
        g = (
            TritonKernels(torch.device("cuda:0"), dtype)
            .activation(rule, drive.cuda())
            .cpu()
        )
        # A sum in another order may push an activity over a threshold: in float32, one in
        # 10^7 lies as near to one.
        assert (g != rule(drive)).sum() <= (2 if dtype == torch.float32 else 0)


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
@pytest.mark.parametrize("kernels", ["triton", "pytorch"])
@pytest.mark.parametrize(
    "rule",
    [Ranking(k=7), RunnersUp(), Equilibrium(w_inh=0.8), Soft(), Soft(anti=True)],
    ids=str,
)
def test_learning_never_waits_for_the_device(rule, kernels):
    weights = torch.randn(40, 30, generator=torch.Generator().manual_seed(0)).cuda()
    layer = layer_with(kernels, weights, 3.0)
    x = torch.full((10, 30), 7, dtype=torch.uint8, device="cuda")
    index, preprocess = torch.arange(10, device="cuda"), Preprocess(unit_norm=True).fit(x)
    for mode in ("default", "error"):  # compiled first
        torch.cuda.set_sync_debug_mode(mode)
        try:
            images = layer.prepare(x, index, preprocess)
            layer.learn(images, rule, lr=0.02)
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
def test_a_snapshot_never_waits_for_the_device():
    weights = torch.randn(250, 30, generator=torch.Generator().manual_seed(0))
    here, there = Snapshots([0, 1]), Snapshots([0, 1])
    on_device = weights.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        there.take(on_device, 0)
        there.take(on_device.neg_(), 1)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    here.take(weights, 0)
    here.take(-weights, 1)
    assert there.as_dataset().identical(here.as_dataset())


def test_within_an_epoch_there_are_no_snapshots():
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (46, 30), generator=generator).to(torch.uint8).cuda()
    snapshots = Snapshots(snapshot_moments(9, 2, 5))
    train(
        Dense.random(20, 30, generator=generator, device="cuda"),
        x,
        competition=Ranking(),
        training=Training(epochs=2, batch_size=10),
        preprocess=Preprocess().fit(x),
        generator=generator,
        progress=False,
        callbacks=[snapshots],
    )
    assert [*snapshots.kept] == [0, 1, 2]


@pytest.mark.parametrize(
    "rule", [Ranking(k=7), Equilibrium(w_inh=0.8), Equilibrium(w_inh=1.0), Soft()], ids=str
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_large_layers_and_images_fit(rule, dtype):
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(16_000, 12_288, generator=generator).to("cuda", dtype)
    before = weights.clone()
    layer = layer_with("triton", weights, 3.0)
    x = torch.randint(0, 256, (20, 12_288), generator=generator).to("cuda", torch.uint8)
    preprocess = Preprocess(unit_norm=True).fit(x).to(dtype)
    images = layer.prepare(x, torch.arange(20, device="cuda"), preprocess)
    torch.testing.assert_close(images, preprocess(x), rtol=1e-5, atol=1e-7)
    layer.learn(images, rule, lr=0.02)
    assert layer.weights.isfinite().all()
    largest = (layer.weights - before).abs().max().item()
    assert largest == pytest.approx(0.02, rel=1e-4)


def test_the_command_trains_on_the_device(tmp_path):
    from fastpath.cli import main

    flags = ["--data", "digits", "--units", "20", "--epochs", "3", "--device", "cuda"]
    main(["train", *flags, "--out", str(tmp_path / "run")])
    main(["evaluate", str(tmp_path / "run"), "--device", "cuda"])
