"""`fastpath resume`: continue an interrupted run from its last checkpoint."""

import sys
from dataclasses import replace
from pathlib import Path

import torch

from fastpath import kernels
from fastpath.commands.flags import Resume
from fastpath.commands.train import carry_out, checkpoints_of
from fastpath.compute import Compute
from fastpath.data import datasets
from fastpath.runs.execute import unfinished
from fastpath.training import distributed, tensorboard


def resume(command: Resume) -> None:
    """Run `fastpath resume`."""
    config, before = unfinished(command.run)
    if config.tensorboard:
        tensorboard.check_installed()
    root = command.data_root or before["data_root"]
    device = command.device or before["device"]
    target = torch.device(device), torch.float32
    previous = before["kernels"]
    compute = Compute(
        data_root=None if root is None else Path(root),
        device=device,
        threads=before["threads"] if command.threads is None else command.threads,
        precision=before["precision"] if device == "cuda" else "float32",
        kernels=None if kernels.why_not(previous, *target) else previous,
    )
    team = distributed.join(compute.ready())
    is_main = team is None or team.is_main
    now = kernels.choose(*target, compute.kernels).name
    if now != previous and is_main:
        print(
            f"fastpath: begun with the kernels '{previous}', now '{now}': the "
            "result will differ by rounding",
            file=sys.stderr,
        )
    if "test_images" not in before and is_main:
        print(
            "fastpath: begun by an older version, which did not note the test set: whether "
            "it is still the same cannot be checked",
            file=sys.stderr,
        )
    images = datasets.load_for_run(
        config.data, command.data, compute.data_root, command.run
    )
    if command.data is not None:
        config = replace(config, data=datasets.located(command.data))
    carry_out(config, images, checkpoints_of(command, command.run), compute, team)
