"""The time of an epoch on CUDA, compared with three floors.

The epoch has 600 mini-batches of the shape of MNIST, or 50 of CIFAR-10. It is replayed as
one graph, as in training. The floors are:

- products: the same number of forward products alone, replayed as a graph;
- bytes: the bytes that must move, at the bandwidth of a copy on the device;
- launches: a graph with as many empty kernels as the epoch has launches.
"""

import statistics
from collections.abc import Callable
from typing import Any

import torch

from fastpath import ambient, experiment
from fastpath.competition import Ranking
from fastpath.data import datasets
from fastpath.data.preprocess import Preprocess
from fastpath.layers import DenseSettings
from fastpath.readout import Readout
from fastpath.training.cuda_graph import CapturedEpoch
from fastpath.training.loop import Training
from scenarios.bench.learning import SHAPES, Step

NUM_BATCHES = {"mnist": 600, "cifar10": 50}
REPEATS = 20


def machine() -> dict[str, Any]:
    """Return the GPU, the CUDA version, and the measured bandwidth and launch time."""
    properties = torch.cuda.get_device_properties(0)
    return {
        "gpu": properties.name,
        "cuda": torch.version.cuda,
        "bandwidth_gb_per_s": bandwidth() / 1e9,
        "launch_us": 1e6 * launch(),
    }


def measure(units: tuple[int, ...], shapes: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return a row for each size, rule and precision.

    Raises
    ------
    ValueError
        If there is no CUDA device.
    """
    if not torch.cuda.is_available():
        raise ValueError("device is 'cuda', but PyTorch sees no CUDA device here")
    speed, each = bandwidth(), launch()
    return [
        epoch(shape, num_units, p=p, k=k, tf32=tf32, bandwidth=speed, launch=each)
        for shape in shapes
        for num_units in units
        for p, k in ((2.0, 2), (3.0, 7))
        for tf32 in (False, True)
    ]


@ambient.isolated()
def precision(epochs: int = 20, seeds: int = 3) -> list[dict[str, Any]]:
    """Return the test errors with tf32 and with float32, from the same initial weights.

    Networks have 500 units and learn from MNIST if it is on disk, else from the digits.
    `moved` is the largest difference of weights from float32; rows of weights have norm 1.
    """
    try:
        images = datasets.load("mnist", download=False)
    except ValueError:
        images = datasets.load("digits")
    rows, weights = [], {}
    for seed in range(seeds):
        for tf32 in (False, True):
            ambient.allow_tf32(tf32)
            generator = torch.Generator().manual_seed(seed)
            run = experiment.learn(
                experiment.split(images, validation=0, generator=generator, device="cuda"),
                layer=DenseSettings(num_units=500),
                num_classes=10,
                competition=Ranking(),
                training=Training(epochs=epochs),
                preprocess=Preprocess(),
                readout=Readout(),
                generator=generator,
                progress=False,
            )
            weights[tf32] = run.weights
            rows.append(
                {
                    "data": images.name,
                    "seed": seed,
                    "precision": "tf32" if tf32 else "float32",
                    "test_error": run.metrics["test_error"],
                    "train_seconds": run.metrics["train_seconds"],
                    "moved": (weights[tf32] - weights[False]).abs().max().item(),
                }
            )
    return rows


@ambient.isolated(grad=False)
def epoch(
    shape: str,
    units: int,
    *,
    p: float,
    k: int,
    tf32: bool,
    bandwidth: float,
    launch: float,
) -> dict[str, Any]:
    """Measure an epoch of training and its floors."""
    ambient.allow_tf32(tf32)
    torch.cuda.reset_peak_memory_stats()
    step = Step(shape, units, p=p, competition=Ranking(k=k), device="cuda")
    num_pixels, batch = SHAPES[shape]
    repeats = NUM_BATCHES[shape]
    order = torch.arange(repeats * batch) % len(step.x)

    def learn(order: torch.Tensor, lr: torch.Tensor) -> None:
        for index in order.split(batch):
            images = step.layer.prepare(step.x, index, step.preprocess)
            step.layer.learn(images, step.competition, lr=lr)

    captured_epoch = CapturedEpoch(learn, len(order), changed=[*step.layer.state.values()])
    seconds = timed(lambda: captured_epoch(order, 1e-6))
    product = captured(step.product(), repeats)
    product_seconds = timed(product.replay)
    # Read images, write and read drives, read and write the rows that learn.
    rows = min(units, 2 * batch)
    copies = 2 if p == 2 else 3
    moved = batch * num_pixels * (1 + 4 + 4) + 2 * 4 * batch * units
    moved += 4 * num_pixels * (units + copies * rows)
    return {
        "shape": shape,
        "units": units,
        "batch": batch,
        "p": p,
        "k": k,
        "precision": "tf32" if tf32 else "float32",
        "kernels": step.layer.kernels.name,
        "epoch_ms": 1e3 * seconds,
        "step_us": 1e6 * seconds / repeats,
        "products_ms": 1e3 * product_seconds,
        "in_products": product_seconds / seconds,
        "bytes_floor_ms": 1e3 * repeats * moved / bandwidth,
        "launch_floor_ms": 1e3 * repeats * 5 * launch,
        "images_per_s": repeats * batch / seconds,
        "tflop_per_s": repeats * step.flop() / seconds / 1e12,
        "peak_mb": torch.cuda.max_memory_allocated() / 1e6,
    }


def timed(work: Callable[[], Any], repeats: int = REPEATS) -> float:
    """Return the median seconds of work on the device."""
    work()
    times = []
    for _ in range(repeats):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        work()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / 1e3)
    return statistics.median(times)


def captured(work: Callable[[], Any], repeats: int) -> torch.cuda.CUDAGraph:
    """Return a CUDA graph that does the work `repeats` times."""
    work()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(repeats):
            work()
    return graph


def bandwidth(num_bytes: int = 2**30) -> float:
    """Return the bandwidth of a copy on the device: bytes per second, read and written."""
    source = torch.empty(num_bytes, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return 2 * num_bytes / timed(lambda: target.copy_(source))


def launch(number: int = 1000) -> float:
    """Return the seconds per launch of a graph of nearly empty kernels."""
    counter = torch.zeros(1, device="cuda")
    graph = captured(lambda: counter.add_(1), number)
    return timed(graph.replay) / number
