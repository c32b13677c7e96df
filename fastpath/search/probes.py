"""Errors before the end of a training, from which a search sees what is not worth it."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from fastpath import readout
from fastpath.data.preprocess import FittedPreprocess
from fastpath.experiment import Split
from fastpath.layers import Deep, Encoder
from fastpath.readout import LinearHead, Streamed
from fastpath.runs.config import RunConfig
from fastpath.training.callbacks import Callback, Progress

SHARES = (0.25, 0.5)  # of the epochs, after which the error is looked at
MOST = 5000  # images that a probe learns from, and that it is scored on
RIDGE = 1e-3  # of the mean square of the features


class Probes(Callback):
    """Reports the error on held-out images at a quarter and at half of a training.

    The epochs are those of the layer, and the error that of a ridge classifier of its
    features. A stack cannot be read before its end, so there the epochs and the error are
    those of the readout.

    Parameters
    ----------
    config, split
        The run, and the images that its layer learns from.
    scored
        The images and labels that the readout learns from and is scored on.
    report
        Called with the percentage of the epochs that are done, and the error.
    """

    def __init__(
        self,
        config: RunConfig,
        split: Split,
        *,
        scored: Split,
        num_classes: int,
        report: Callable[[int, float], None],
    ) -> None:
        self._config, self._split, self._report = config, scored, report
        self._x_train = split.x_train
        self._num_classes = num_classes
        self._layer: Encoder | None = None
        self._preprocess: FittedPreprocess | None = None

    def on_train_begin(self, progress: Progress) -> None:
        """Note the layer."""
        self._layer = progress.layer
        self._preprocess = self._config.preprocess.fit(self._x_train)

    def on_epoch_end(self, progress: Progress) -> None:
        """Report the error of a ridge classifier of the features, if it is time."""
        percent = due(progress.epoch, self._config.training.epochs)
        if percent is None or isinstance(progress.layer, Deep):
            return
        split = self._split
        some = _spread(len(split.x_train)), _spread(len(split.x_eval))
        learned, scored = (
            self._features(x[index])
            for x, index in zip((split.x_train, split.x_eval), some, strict=True)
        )
        labels, answers = split.y_train[some[0]], split.y_eval[some[1]]
        said = ridge(learned, labels, scored, num_classes=self._num_classes)
        self._report(percent, 100 * float((said != answers).double().mean()))

    def on_readout_epoch(self, epoch: int, head: LinearHead) -> None:
        """Report the error of the readout of a stack, if it is time."""
        percent = due(epoch, self._config.readout.epochs)
        if percent is None or not isinstance(self._layer, Deep):
            return
        some = _spread(len(self._split.x_eval))
        features = self._streamed(self._split.x_eval[some])
        self._report(percent, readout.error(head, features, self._split.y_eval[some]))

    def _features(self, x: Tensor) -> Float[Tensor, "image feature"]:
        return torch.cat(list(self._streamed(x).blocks()))

    def _streamed(self, x: Tensor) -> Streamed:
        assert self._layer is not None
        assert self._preprocess is not None
        return Streamed(self._layer, x, self._preprocess, self._config.readout)


def _spread(number: int) -> slice:
    """Return a slice that takes at most `MOST` images, from all parts of a set."""
    return slice(None, None, math.ceil(number / MOST))


def due(epoch: int, num_epochs: int) -> int | None:
    """Return the percentage of the epochs after which a probe is due now, or None."""
    for share in SHARES:
        if epoch < num_epochs and epoch == math.ceil(share * num_epochs):
            return round(100 * share)
    return None


def ridge(
    x: Float[Tensor, "image feature"],
    y: Int[Tensor, " image"],
    x_eval: Float[Tensor, "eval feature"],
    *,
    num_classes: int,
) -> Int[Tensor, " eval"]:
    """Return the classes that a ridge classifier of features x gives to x_eval.

    It regresses on targets of ±1, with the penalty `RIDGE` times the mean square of the
    centred features, and is solved in the smaller of the two dimensions.
    """
    mean = x.mean(dim=0)
    x, x_eval = (x - mean).double(), (x_eval - mean).double()
    target = 2 * functional.one_hot(y, num_classes).to(x) - 1
    bias = target.mean(dim=0)
    dual = len(x) < x.shape[1]
    gram = x @ x.T if dual else x.T @ x
    penalty = RIDGE * gram.trace().clamp(min=1e-30) / len(gram)
    gram.diagonal().add_(penalty)
    right = target - bias
    solved = torch.linalg.solve(gram, right if dual else x.T @ right)
    output = x_eval @ (x.T @ solved if dual else solved)
    return (output + bias).argmax(dim=1)
