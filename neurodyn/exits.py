"""How commands end: at a user's mistake, or stopped from outside, with one line and a code.

Nothing heavy is imported here: a command that is stopped while it loads ends no worse.
"""

import io
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

MISTAKE = 2  # the exit code
# Who sends them: people, batch systems and `torchrun`, terminals that are closed.
WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
if hasattr(signal, "SIGHUP"):  # not on Windows
    WORDS[signal.SIGHUP] = "hung up"


@dataclass
class Ending:
    """What a command that is stopped leaves behind."""

    left: Callable[[], str] = lambda: "nothing was saved"


class Stopped(KeyboardInterrupt):
    """As a KeyboardInterrupt, by a signal; says what was saved where that is known."""

    def __init__(self, number: int = signal.SIGINT, saved: str = "") -> None:
        super().__init__(number, saved)
        self.number, self.saved = number, saved

    def __str__(self) -> str:
        return f"{WORDS[signal.Signals(self.number)]}; {self.saved or 'nothing was saved'}"


@contextmanager
def orderly(program: str) -> Iterator[Ending]:
    """End the command `program` by one line on stderr, and an exit code, where it must.

    2 after a ValueError, an OSError or for want of memory; 128 and the number of the signal
    that stopped it, which raises `Stopped` in it.
    """
    end = Ending()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors != "backslashreplace":
            stream.reconfigure(errors="replace")  # τ, on a terminal that only knows ASCII
    try:
        with _signals_stop():
            yield end
    except KeyboardInterrupt as stop:
        stopped = stop if isinstance(stop, Stopped) else Stopped()
        stopped.saved = stopped.saved or end.left()
        print(f"{program}: {stopped}", file=sys.stderr)
        sys.exit(128 + stopped.number)
    except (ValueError, OSError, MemoryError) as error:
        mistake(program, error)


def not_empty(args: Sequence[str] | None) -> list[str]:
    """Return the arguments of a command, those of the process by default.

    Raises
    ------
    ValueError
        If one is empty: a path that is would be the current folder.
    """
    given = sys.argv[1:] if args is None else [*args]
    for before, one in zip(["", *given], given, strict=False):
        name, _, value = one.partition("=")
        if not (value if name.startswith("--") and "=" in one else one).strip():
            raise ValueError(
                f"{name.strip() or before or 'an argument'} is empty: give it a value, or "
                "leave it out"
            )
    return given


def mistake(program: str, error: Exception) -> NoReturn:
    """End the command by what went wrong, and what is noted with it."""
    said = [str(error) or type(error).__name__, *getattr(error, "__notes__", ())]
    print(f"{program}: {' '.join('; '.join(said).split())}", file=sys.stderr)
    sys.exit(MISTAKE)


@contextmanager
def _signals_stop() -> Iterator[None]:
    """Let the other signals that end a process do so as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():  # never interrupted
        yield
        return

    def stop(number: int, _: object) -> NoReturn:
        signal.signal(number, signal.SIG_IGN)  # once is enough: what is left is to say so
        raise Stopped(number)

    before: Mapping[signal.Signals, Any] = {
        number: signal.getsignal(number)
        for number in WORDS
        # What a command was started to ignore (`nohup`), it shall.
        if number != signal.SIGINT and signal.getsignal(number) is not signal.SIG_IGN
    }
    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def held_back() -> Iterator[None]:
    """Let signals that end a process wait until what must not be left half done is done."""
    if threading.current_thread() is not threading.main_thread():  # never interrupted
        yield
        return
    came: list[int] = []
    before: Mapping[signal.Signals, Any] = {
        number: handler
        for number in WORDS
        if (handler := signal.getsignal(number)) not in (None, signal.SIG_IGN)
    }
    for number in before:
        signal.signal(number, lambda sent, _: came.append(sent))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for number in came[:1]:
        signal.raise_signal(number)
