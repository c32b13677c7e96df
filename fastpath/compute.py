"""The device, its threads and precision, and whether a run fits into its memory."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

# PyTorch is imported where it is used: the settings below are flags of commands, and their
# help must be quick.
if TYPE_CHECKING:
    import torch

# Waking a second thread costs 0.1 ms a product, the time of 10 MFLOP. Measured on two
# cores, products from 40 MFLOP a thread become faster by it.
FLOP_PER_THREAD = 40e6

type Kernels = Literal["triton", "cpp", "pytorch"]


@dataclass(frozen=True, kw_only=True)
class Cores:
    """The folder of the data sets and the number of threads."""

    data_root: Path | None = None
    """Folder of the data sets, and of downloads [$NEURODYN_DATA, else the user's cache]."""
    threads: int | None = None
    """Largest number of CPU threads; small layers are faster with fewer [all cores]."""

    def ready(self) -> "torch.device":
        """Set the number of threads; return the CPU.

        The number holds until the outermost `isolated` function ends, such as a command;
        outside of any, for the process.

        Raises
        ------
        ValueError
            If the number of threads is no whole number, or less than 1.
        """
        import torch

        from fastpath import ambient, checks

        threads = num_cores() if self.threads is None else self.threads
        ambient.use_threads(checks.count("threads", threads))
        return torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Processor(Cores):
    """The folder of the data sets, the threads, the device and its precision."""

    device: Literal["cpu", "cuda"] = "cpu"
    """Device that computes."""
    precision: Literal["float32", "tf32"] = "float32"
    """Matrix products on CUDA: exact float32, or faster tf32 (10 bits of mantissa)."""

    def ready(self) -> "torch.device":
        """Check that the device exists; set its precision and the number of threads.

        Both hold as long as `Cores.ready` says.

        Raises
        ------
        ValueError
            If there is no such device, or it does not support a setting.
        """
        import torch

        from fastpath import ambient, checks

        checks.one_of("cpu", "cuda")("device", self.device)
        checks.one_of("float32", "tf32")("precision", self.precision)
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ValueError(
                "device is 'cuda', but PyTorch sees no CUDA device here: give --device "
                "cpu, or check the driver (nvidia-smi)"
            )
        if self.precision == "tf32" and self.device == "cpu":
            raise ValueError(
                "precision is 'tf32', which only CUDA devices have: give --device cuda, or "
                "leave --precision float32"
            )
        cpu = super().ready()
        ambient.allow_tf32(self.precision == "tf32")
        if self.device == "cpu":
            return cpu
        local = os.environ.get("LOCAL_RANK")
        return torch.device("cuda", int(local)) if local else torch.device("cuda")


@dataclass(frozen=True, kw_only=True)
class Compute(Processor):
    """The settings of `Processor`, and the kernels that learn by the local rule."""

    kernels: Kernels | None = None
    """Kernels of a learning step; each rounds differently [the fastest available]."""

    def ready(self) -> "torch.device":
        """Check that the device and the kernels are available; see `Processor.ready`."""
        import torch

        from fastpath.kernels import choose

        device = super().ready()
        if self.kernels is not None:
            choose(device, torch.float32, self.kernels)
        return device


def num_cores() -> int:
    """Return the number of cores that this process may use, its share under `torchrun`."""
    if sys.platform == "linux":
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


@contextmanager
def enough_threads(flop: float | int) -> Iterator[None]:
    """Limit the threads to the number that makes products of this size faster."""
    import torch

    allowed = torch.get_num_threads()
    torch.set_num_threads(max(1, min(allowed, int(flop / FLOP_PER_THREAD))))
    try:
        yield
    finally:
        torch.set_num_threads(allowed)


def free_memory(device: "torch.device") -> int | None:
    """Return the free bytes of a device, or None if they are unknown."""
    if device.type == "cuda":
        import torch

        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(line for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return None
    return 1024 * int(free.split()[1])


def check_memory(needed: dict[str, int], advice: str, device: "torch.device") -> None:
    """Raise ValueError if the device has less free memory than a run needs.

    Parameters
    ----------
    needed
        Bytes of each large object that must be in memory at the same time, by its name.
    advice
        How to need less, as the end of a sentence: "lower the number of units".

    Raises
    ------
    ValueError
        If the sum exceeds the free memory.
    """
    free = free_memory(device)
    total = sum(needed.values())
    if free is None or total <= free:
        return
    parts = ", ".join(f"{name} {size / 1e9:.2f}" for name, size in needed.items())
    raise ValueError(
        f"this needs {total / 1e9:.2f} GB on {device} ({parts}), but {free / 1e9:.2f} GB "
        f"are free: {advice}"
    )
