"""The time of a learning step on the CPU, compared with its floor and with other code.

A step goes from uint8 images to updated weights. Its floor is the forward matrix product.
The images are centred noise, so that winners are many: the worst case for a step that
computes only the rows that learn. Step and floor are timed alternately in one run. Ratios
are medians over pairs of neighbouring measurements.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import UInt8
from threadpoolctl import threadpool_limits
from torch import Tensor

from fastpath.competition import Competition, Equilibrium, Ranking, Soft
from fastpath.compute import enough_threads
from fastpath.data.preprocess import Preprocess
from fastpath.layers import Dense
from scenarios.bench import rivals

SHAPES = {"mnist": (784, 100), "cifar10": (3072, 1000)}  # pixels, images of a mini-batch
PREPROCESS = Preprocess(subtract_mean=True)
BATCHES = 5
WARM_UP = 3


def noise(num_images: int, num_pixels: int) -> UInt8[Tensor, "image pixel"]:
    """Return images of independent pixels."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(
        256, (num_images, num_pixels), dtype=torch.uint8, generator=generator
    )


def rules(units: int) -> dict[str, Competition]:
    """Return the competitions, with thresholds that suit drives of N(0, 1) weights."""
    return {
        "ranking": Ranking(k=2),
        "equilibrium": Equilibrium(w_inh=0.9, h_star=10.0),
        "soft": Soft(temperature=5.0),
    }


class Step:
    """A layer and its mini-batches; each call learns from the next one."""

    def __init__(
        self,
        shape: str,
        units: int,
        *,
        p: float,
        competition: Competition,
        device: str = "cpu",
    ) -> None:
        self.num_pixels, self.batch = SHAPES[shape]
        self.device = device
        self.x = noise(BATCHES * self.batch, self.num_pixels).to(device)
        generator = torch.Generator().manual_seed(1)
        self.layer = Dense.random(
            units, self.num_pixels, p=p, generator=generator, device=device
        )
        self.competition = competition
        self.preprocess = PREPROCESS.fit(self.x)
        order = torch.randperm(len(self.x), generator=generator).to(device)
        self.batches = order.split(self.batch)
        self.calls = 0

    def __call__(self) -> None:
        """Learn from the next mini-batch, with weights that hardly move."""
        index = self.batches[self.calls % BATCHES]
        self.calls += 1
        images = self.layer.prepare(self.x, index, self.preprocess)
        self.layer.learn(images, self.competition, lr=1e-6)

    def images(self) -> Tensor:
        """Return one preprocessed mini-batch."""
        return self.preprocess(self.x[self.batches[0]])

    def product(self) -> Callable[[], Any]:
        """Return a function that computes the forward product in allocated memory."""
        images, weights = self.images(), self.layer.weights.clone()
        out = images.new_empty(len(images), len(weights))
        return lambda: torch.mm(images, weights.T, out=out)

    def num_bytes(self) -> int:
        """Return the bytes of the weights and of the buffers that steps reuse."""
        held = [*self.layer.state.values()]
        for owner in (self.layer, self.layer.kernels):
            held += vars(owner).get("_buffers", {}).values()
        return sum(tensor.nbytes for tensor in held)

    def flop(self) -> int:
        """Return the number of floating-point operations of the forward product."""
        return 2 * self.batch * self.layer.weights.numel()


def in_turn(*works: Callable[[], Any], seconds: float = 2.0) -> list[list[float]]:
    """Return the times of each work; they are repeated alternately for about `seconds`."""
    for _ in range(WARM_UP):
        for work in works:
            work()
    taken: list[list[float]] = [[] for _ in works]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(taken[0]) < 5:
        for work, times in zip(works, taken, strict=True):
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
    return taken


def ratio(first: list[float], second: list[float]) -> tuple[float, float, float]:
    """Return median and quartiles of the ratios of neighbouring measurements."""
    ratios = sorted(a / b for a, b in zip(first, second, strict=True))
    low, _, high = statistics.quantiles(ratios, n=4)
    return statistics.median(ratios), low, high


def against_the_floor(shape: str, units: int, *, p: float, k: int) -> dict[str, Any]:
    """Measure a step, the forward product alone, and the two rivals."""
    step = Step(shape, units, p=p, competition=Ranking(k=k))
    with enough_threads(step.flop()), threadpool_limits(torch.get_num_threads()):
        step_s, product_s = in_turn(step, step.product())
        settings = {"p": p, "k": k, "delta": 0.4, "lr": 1e-6}
        images, weights = step.images(), step.layer.weights
        wide, narrow = weights.double().numpy().copy(), weights.clone()
        doubled = images.double().numpy()
        again, numpy_s, topk_s = in_turn(
            step,
            lambda: rivals.published(wide, doubled, **settings),
            lambda: rivals.dense_topk(narrow, images, **settings),
            seconds=3.0,
        )
        threads = torch.get_num_threads()
    median, low, high = ratio(step_s, product_s)
    seconds = statistics.median(step_s)
    return {
        "shape": shape,
        "units": units,
        "batch": step.batch,
        "p": p,
        "k": k,
        "kernels": step.layer.kernels.name,
        "threads": threads,
        "step_ms": 1e3 * seconds,
        "product_ms": 1e3 * statistics.median(product_s),
        "ratio": median,
        "ratio_q1": low,
        "ratio_q3": high,
        "numpy_x": ratio(numpy_s, again)[0],
        "topk_x": ratio(topk_s, again)[0],
        "images_per_s": step.batch / seconds,
        "gflop_per_s": step.flop() / seconds / 1e9,
        "memory_mb": step.num_bytes() / 1e6,
    }


def competitions(shape: str, units: int) -> list[dict[str, Any]]:
    """Measure a step with each competition, relative to the ranking and the product."""
    rows = []
    ranking = Step(shape, units, p=2.0, competition=Ranking())
    for name, competition in rules(units).items():
        step = Step(shape, units, p=2.0, competition=competition)
        with enough_threads(step.flop()):
            step_s, ranking_s, product_s = in_turn(step, ranking, step.product())
        rows.append(
            {
                "shape": shape,
                "units": units,
                "competition": name,
                "step_ms": 1e3 * statistics.median(step_s),
                "to_ranking": ratio(step_s, ranking_s)[0],
                "to_product": ratio(step_s, product_s)[0],
            }
        )
    return rows


def threads(shape: str, units: int) -> dict[str, Any]:
    """Measure a step with at most one thread, and with at most two, alternately."""
    step = Step(shape, units, p=2.0, competition=Ranking())
    allowed, used = torch.get_num_threads(), {}

    def with_threads(number: int) -> None:
        torch.set_num_threads(number)
        with enough_threads(step.flop()):
            used[number] = torch.get_num_threads()
            for _ in range(BATCHES):
                step()

    single, double = in_turn(lambda: with_threads(1), lambda: with_threads(2), seconds=3.0)
    torch.set_num_threads(allowed)
    return {
        "shape": shape,
        "units": units,
        "threads_used_of_2": used[2],
        "one_ms": 1e3 * statistics.median(single) / BATCHES,
        "two_ms": 1e3 * statistics.median(double) / BATCHES,
        "two_to_one": ratio(double, single)[0],
    }
