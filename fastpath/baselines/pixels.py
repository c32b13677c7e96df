"""A linear classifier of the pixels: the control without a hidden layer."""

from dataclasses import replace

import torch

from fastpath import checks
from fastpath.ambient import isolated
from fastpath.data.preprocess import Preprocess
from fastpath.experiment import Split
from fastpath.readout import Readout, error, fit


@isolated(grad=False)
def linear(
    split: Split,
    *,
    num_classes: int,
    preprocess: Preprocess,
    readout: Readout,
    generator: torch.Generator,
    progress: bool = True,
) -> dict[str, float]:
    """Train a linear classifier of the pixels; return its errors in percent.

    Each pixel is standardised over the training images. `readout` gives the loss and the
    settings of training; its power and scaling of features are not used.
    """
    split = checks.instance("split", split, Split)
    preprocess = checks.instance("preprocess", preprocess, Preprocess)
    readout = checks.instance("readout", readout, Readout)
    split.check_classes(num_classes)
    preprocess.check(split.x_train)
    fitted = preprocess.fit(split.x_train)
    learned, scored = (
        torch.cat([fitted(block) for block in x.split(4096)])
        for x in (split.x_train, split.x_eval)
    )
    head = fit(
        learned,
        split.y_train,
        num_classes=num_classes,
        readout=replace(readout, scaling="unit"),
        generator=generator,
        progress=progress,
    )
    return {
        f"{split.scored_on}_error": error(head, scored, split.y_eval),
        "train_error": error(head, learned, split.y_train),
    }
