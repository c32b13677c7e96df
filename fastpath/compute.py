"""What computes: the device, its threads, its precision, and whether a run fits into it."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

# Loaded when they are used: the settings below are flags of commands, whose help is quick.
if TYPE_CHECKING:
    import torch

# A second thread costs 0.1 ms a product where threads sleep while they wait, which is the
# time of 10 MFLOP: measured on two cores, products from 40 MFLOP a thread gain by it.
FLOP_PER_THREAD = 40e6

type Kernels = Literal["triton", "cpp", "pytorch"]


@dataclass(frozen=True, kw_only=True)
class Cores:
    """Where the data lie, and how many cores work on them."""

    data_root: Path | None = None
    """Where data sets lie or are downloaded to [$NEURODYN_DATA, else the user's cache]."""
    threads: int | None = None
    """CPU threads at most; small layers use fewer, and are faster so [all cores]."""

    def ready(self) -> "torch.device":
        """Set the number of threads; return the CPU.

        They stay so to the end of the command, or of another `isolated` function that this
        is called in; else for the process.

        Raises
        ------
        ValueError
            If it is none.
        """
        import torch

        from fastpath import ambient, checks

        threads = num_cores() if self.threads is None else self.threads
        ambient.use_threads(checks.count("threads", threads))
        return torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Processor(Cores):
    """Where the data lie and what computes."""

    device: Literal["cpu", "cuda"] = "cpu"
    """What computes."""
    precision: Literal["float32", "tf32"] = "float32"
    """CUDA's matrix products: exact float32, or tf32 (10 bits of mantissa), faster."""

    def ready(self) -> "torch.device":
        """Check that the device is there; set its precision and the number of threads.

        They stay so as `Cores.ready` says.

        Raises
        ------
        ValueError
            If there is no such device, or a setting is not possible on it.
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
    """Where the data lie and what computes, learning by the local rule included."""

    kernels: Kernels | None = None
    """What computes the rest of a step; they round otherwise [the fastest there is]."""

    def ready(self) -> "torch.device":
        """Check that device and kernels are there; see `Processor.ready`."""
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
    """Use as many threads as pay for products of this size, of those that are allowed."""
    import torch

    allowed = torch.get_num_threads()
    torch.set_num_threads(max(1, min(allowed, int(flop / FLOP_PER_THREAD))))
    try:
        yield
    finally:
        torch.set_num_threads(allowed)


def free_memory(device: "torch.device") -> int | None:
    """Return the bytes that are free on a device, or None where nothing tells."""
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
    """Refuse what does not fit, before it costs anything.

    Parameters
    ----------
    needed
        Bytes of each large thing that must be held at once, by its name.
    advice
        What to lower, as the end of a sentence.

    Raises
    ------
    ValueError
        If the sum is more than what is free on the device.
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
