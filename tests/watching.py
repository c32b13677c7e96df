"""What a learner is given, what it draws at random, and what it learned: see `learners`."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.cluster
import torch
import xarray as xr
from torch.overrides import TorchFunctionMode

from fastpath import experiment
from fastpath.data import datasets
from fastpath.data.datasets import Images
from fastpath.layers import StackSettings
from scenarios.ladder import networks as ladder
from scenarios.support import trials

type Results = dict[str, np.ndarray]
type Learner = Callable[[int, int, Path], Results]
SIDE, CLASSES, NUM_TRAIN, NUM_TEST = 3, 3, 132, 14
# Results that are of the images scored on, or of the clock.
OF_SCORED = {
    *("error", "test_error", "validation_error", "accuracy", "confusion"),
    *("balanced_error", "largest_class"),
    *("noise_error", "occlusion_error", "shift_error", "attack_error"),
    *("dead", "winless", "used", "active", "held_out"),
    *("dimension", "correlation", "drive_correlation", "balance"),
    *("silent", "spikes_per_image", "elements"),
}
OF_CLOCK = {
    *("learn_seconds", "train_seconds", "layer_seconds", "head_seconds", "run_seconds"),
    "read_seconds",
    *("images_per_second", "peak_megabytes"),
}


def images(kind: str = "one") -> Images:
    """Return images for training, the same, and for the test of a kind: one, other, both.

    Those of the other kind are brighter, the more so the higher, and of other labels.
    """
    rng = np.random.default_rng(5)
    shape = (SIDE, SIDE, 1)
    x_train = rng.integers(0, 256, (NUM_TRAIN, *shape), np.uint8)
    one = rng.integers(0, 200, (NUM_TEST, *shape), np.uint8)
    other = 255 - rng.integers(0, 90, (NUM_TEST, *shape)) * np.arange(SIDE)[:, None, None]
    y_train = np.arange(NUM_TRAIN) % CLASSES
    y_one, y_other = np.arange(NUM_TEST) % CLASSES, np.arange(NUM_TEST)[::-1] ** 2 % CLASSES
    x, y = {
        "one": (one, y_one),
        "other": (other, y_other),
        "both": (np.concatenate([one, other]), np.concatenate([y_one, y_other])),
    }[kind]
    names = tuple(map(str, range(CLASSES)))
    return Images(x_train, y_train, x.astype(np.uint8), y, "given", names)


class Drawn(TorchFunctionMode):
    """Notes what is drawn from any of PyTorch's generators."""

    def __init__(self) -> None:
        self.numbers: list[tuple[str, np.ndarray]] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if (kwargs or {}).get("generator") is not None:
            values = result.detach().numpy().copy()
            self.numbers.append((getattr(func, "__name__", str(func)), values))
        return result

    def unnoted(self, load: Callable) -> Callable:
        """Return the function; what it draws is not noted, as it is overwritten."""

        def loaded(*args: Any, **kwargs: Any) -> Any:
            number = len(self.numbers)
            result = load(*args, **kwargs)
            del self.numbers[number:]
            return result

        return loaded


class Noted(np.random.Generator):
    """Notes what is drawn from one of NumPy's generators."""

    def __init__(self, seed: int, numbers: list[tuple[str, np.ndarray]]) -> None:
        super().__init__(np.random.PCG64(seed))
        self._numbers = numbers

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name not in ("permutation", "random", "uniform", "normal", "standard_normal"):
            return found

        def noted(*args: Any, **kwargs: Any) -> Any:
            values = found(*args, **kwargs)
            self._numbers.append((name, np.array(values)))
            return values

        return noted


@dataclass
class Watched:
    """What a learner found out."""

    results: Results
    learned: Results
    """The results that are not of the images scored on, and all that Adam moved."""
    drawn: list[tuple[str, np.ndarray]]
    """All random numbers, in their order."""
    held_out: list[torch.Tensor]
    """What each split of the data left to be scored on."""


@contextlib.contextmanager
def given(shown: Images) -> Iterator[list[torch.Tensor]]:
    """Let everything load these images; yield what each split leaves to be scored on."""
    held_out: list[torch.Tensor] = []
    plain = experiment.split

    def split(*args: Any, **kwargs: Any) -> experiment.Split:
        split = plain(*args, **kwargs)
        held_out.append(split.x_eval)
        return split

    cached = (trials._loaded, ladder._loaded, ladder._split)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "load", lambda *_, **__: shown)
        patch.setattr(experiment, "split", split)
        for cache in cached:
            cache.cache_clear()
        yield held_out
    for cache in cached:
        cache.cache_clear()


def watched(
    learner: Learner,
    folder: Path,
    *,
    shown: Images,
    seed: int = 0,
    validation: int = 0,
    draws: Drawn | None = None,
) -> Watched:
    """Call a learner with these images; `draws` notes its random numbers, and is slow."""
    moved: list[torch.Tensor] = []

    class Adam(torch.optim.Adam):
        def __init__(self, params, *args, **kwargs) -> None:
            params = list(params)
            moved.extend(params)
            super().__init__(params, *args, **kwargs)

    class MiniBatchKMeans(sklearn.cluster.MiniBatchKMeans):
        def fit(self, x):
            draws.numbers.append(("k-means", np.array([float(self.random_state)])))
            return super().fit(x)

    with given(shown) as held_out, pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim, "Adam", Adam)
        if draws is not None:
            patch.setattr(sklearn.cluster, "MiniBatchKMeans", MiniBatchKMeans)
            patch.setattr(StackSettings, "load", draws.unnoted(StackSettings.load))
            patch.setattr(np.random, "default_rng", lambda seed: Noted(seed, draws.numbers))
        with draws or contextlib.nullcontext():
            results = learner(seed, validation, folder)
    results = {name: one for name, one in results.items() if kind(name) not in OF_CLOCK}
    learned = {name: one for name, one in results.items() if kind(name) not in OF_SCORED}
    learned |= {f"Adam {i}": one.detach().numpy() for i, one in enumerate(moved)}
    return Watched(results, learned, draws.numbers if draws else [], held_out)


def kind(name: str) -> str:
    """Return the name of a variable without the number of the network that it is of."""
    return name.split()[0]


def numbers(result: xr.Dataset) -> Results:
    """Return the variables of a result."""
    return {str(name): np.asarray(one) for name, one in result.data_vars.items()}
