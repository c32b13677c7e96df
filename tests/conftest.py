import os
import signal
from pathlib import Path

import matplotlib as mpl
import pytest
import torch

mpl.use("Agg")
# A shell's background jobs ignore Ctrl-C, which tests send to themselves.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Folder with the real data sets; without it the tests that need them are skipped."""
    root = Path(os.environ.get("NEURODYN_DATA", ""))
    needed = [
        root / "MNIST" / "raw",
        root / "FashionMNIST" / "raw",
        root / "cifar-10-batches-py",
    ]
    if "NEURODYN_DATA" in os.environ and all(folder.is_dir() for folder in needed):
        return root
    reason = "set NEURODYN_DATA to a folder with MNIST, Fashion-MNIST and CIFAR-10 on disk"
    if os.environ.get("NEURODYN_REQUIRE_DATA"):
        pytest.fail(reason)
    pytest.skip(reason)
