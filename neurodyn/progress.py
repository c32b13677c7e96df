"""How far long work is: a bar in terminals and notebooks, else a line once a minute."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from tqdm import tqdm

LINE_SECONDS = 60


@contextmanager
def shown(
    total: float | None, *, what: str, unit: str, initial: float = 0, wanted: bool = True
) -> Iterator[Callable[[float], object]]:
    """Yield what is called with how much more is done; show it on stderr.

    Work of less than a second shows nothing.

    Parameters
    ----------
    total, initial
        How much there is to do (None: unknown), and how much of it was done before.
    what
        The work, a noun: "training".
    unit
        What is counted: "img".
    wanted
        False: show nothing.
    """
    if not wanted or (total is not None and total <= initial) or sys.stderr is None:
        yield lambda _: None
    elif _in_notebook() or sys.stderr.isatty():
        with _bar()(
            total=total,
            initial=initial,
            desc=what,
            unit=unit,
            unit_scale=True,
            delay=1,
            miniters=0,  # else a bar stands still after many small steps
        ) as bar:
            yield bar.update
    else:
        yield _Lines(total, initial, what, unit).advance


class _Lines:
    """A line with the remaining time, where one more minute has passed."""

    def __init__(self, total: float | None, initial: float, what: str, unit: str) -> None:
        self._total, self._initial, self._what, self._unit = total, initial, what, unit
        self._done = initial
        self._start = self._last = time.monotonic()

    def advance(self, more: float) -> None:
        now = time.monotonic()
        if self._done == self._initial and not more:  # what came before was preparation
            self._start = self._last = now
        self._done += more
        over = self._total is not None and self._done >= self._total
        if over or now - self._last < LINE_SECONDS or self._done <= self._initial:
            return
        self._last = now
        spent = now - self._start
        print(f"{self._what}: {self._said(spent)}", file=sys.stderr, flush=True)

    def _said(self, spent: float) -> str:
        if self._total is None:
            return f"{self._done:g}{self._unit} done, {duration(spent)} spent"
        left = spent * (self._total - self._done) / (self._done - self._initial)
        return (
            f"{self._done / self._total:.1%} done, {duration(spent)} spent, about "
            f"{duration(max(left, 0))} left"
        )


def duration(seconds: float) -> str:
    """Return seconds as people say them: 40 s, 12 min, 3 h 05 min."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min"


def _in_notebook() -> bool:
    """Tell whether a Jupyter kernel runs this."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    # That of some services is derived from it.
    return any(one.__name__ == "ZMQInteractiveShell" for one in type(shell).__mro__)


def _bar() -> type[tqdm]:
    """Return the bar that suits: that of notebooks needs widgets, the other does not."""
    if not _in_notebook() or find_spec("ipywidgets") is None:
        return tqdm
    from tqdm.notebook import tqdm_notebook

    return tqdm_notebook
