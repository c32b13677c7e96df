"""Progress of long work: a bar in terminals and notebooks, else a line once a minute."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from tqdm import tqdm

LINE_SECONDS = 60


@contextmanager
def progress_bar(
    total: float | None, *, what: str, unit: str, initial: float = 0, show: bool = True
) -> Iterator[Callable[[float], object]]:
    """Show progress on stderr; yield a function to call with the amount just done.

    Nothing is shown for work of less than a second.

    Parameters
    ----------
    total, initial
        Total amount of work (None: unknown), and the amount done before.
    what
        Name of the work, such as "training".
    unit
        Unit of the amount, such as "img".
    show
        False: print nothing.
    """
    if not show or (total is not None and total <= initial) or sys.stderr is None:
        yield lambda _: None
    elif _in_notebook() or sys.stderr.isatty():
        with _bar()(
            total=total,
            initial=initial,
            desc=what,
            unit=unit,
            unit_scale=True,
            delay=1,
            miniters=0,  # else the bar stops after many small steps
        ) as bar:
            yield bar.update
    else:
        yield _Lines(total, initial, what, unit).advance


class _Lines:
    """Print a line with the remaining time, once a minute."""

    def __init__(self, total: float | None, initial: float, what: str, unit: str) -> None:
        self._total, self._initial, self._what, self._unit = total, initial, what, unit
        self._done = initial
        self._start = self._last = time.monotonic()

    def advance(self, more: float) -> None:
        now = time.monotonic()
        if self._done == self._initial and not more:  # the time before was preparation
            self._start = self._last = now
        self._done += more
        finished = self._total is not None and self._done >= self._total
        if finished or now - self._last < LINE_SECONDS or self._done <= self._initial:
            return
        self._last = now
        spent = now - self._start
        print(f"{self._what}: {self._status(spent)}", file=sys.stderr, flush=True)

    def _status(self, spent: float) -> str:
        if self._total is None:
            return f"{self._done:g}{self._unit} done, {duration(spent)} spent"
        left = spent * (self._total - self._done) / (self._done - self._initial)
        return (
            f"{self._done / self._total:.1%} done, {duration(spent)} spent, about "
            f"{duration(max(left, 0))} left"
        )


def duration(seconds: float) -> str:
    """Return a duration as text: 40 s, 12 min, 3 h 05 min."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"


def _in_notebook() -> bool:
    """Return whether the code runs in a Jupyter kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    # Some services derive their shell from this class.
    return any(base.__name__ == "ZMQInteractiveShell" for base in type(shell).__mro__)


def _bar() -> type[tqdm]:
    """Return the bar of notebooks if its widgets are installed, else the text bar."""
    if not _in_notebook() or find_spec("ipywidgets") is None:
        return tqdm
    from tqdm.notebook import tqdm_notebook

    return tqdm_notebook
