"""End commands with one line and an exit code, after a user's mistake or a signal.

Nothing heavy is imported here: before this code runs, Ctrl-C leaves a traceback.
"""

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

# As in `typing`, which takes longer to import than all modules above.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, NoReturn

MISTAKE = 2  # the exit code
# Sent by people; by batch systems and `torchrun`; by terminals that are closed.
WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
if hasattr(signal, "SIGHUP"):  # not on Windows
    WORDS[signal.SIGHUP] = "hung up"


class Ending:
    """The end of a command; `left` returns what a stopped command has saved."""

    def __init__(self) -> None:
        self.left: Callable[[], str] = lambda: "nothing was saved"


class Stopped(KeyboardInterrupt):
    """A KeyboardInterrupt raised by a signal; its text says what was saved, if known."""

    def __init__(self, number: int = signal.SIGINT, saved: str = "") -> None:
        super().__init__(number, saved)
        self.number, self.saved = number, saved

    def __str__(self) -> str:
        return f"{WORDS[signal.Signals(self.number)]}; {self.saved or 'nothing was saved'}"


@contextmanager
def orderly(program: str) -> Iterator[Ending]:
    """Report errors and signals of the command `program` in one line on stderr, and exit.

    The exit code is 2 after a ValueError, an OSError or a MemoryError. A signal raises
    `Stopped` in the command, and the exit code is 128 plus the signal's number.
    """
    end = Ending()
    for stream in (sys.stdout, sys.stderr):
        if getattr(stream, "errors", "") in ("strict", "surrogateescape"):
            # A terminal that has only ASCII cannot print τ.
            stream.reconfigure(errors="replace")  # pyrefly: ignore[missing-attribute]
    try:
        with _stoppable():
            try:
                yield end
            except KeyboardInterrupt as stop:
                stopped = stop if isinstance(stop, Stopped) else Stopped()
                stopped.saved = stopped.saved or end.left()
                _say(program, stopped)
                sys.exit(128 + stopped.number)
    except (ValueError, OSError, MemoryError) as error:
        mistake(program, error)


def at_once(program: str) -> Callable[[], None]:
    """Let signals end the process at once; return a function that restores the handlers.

    For the time of imports: no result can be lost yet, and some imports would catch an
    exception.
    """

    def end(number: int, _: object) -> "NoReturn":
        _say(program, Stopped(number))
        os._exit(128 + number)

    return _handle(end)


def mistake(program: str, error: Exception) -> "NoReturn":
    """Print an error and its notes in one line, and exit with code 2."""
    parts = [str(error) or type(error).__name__, *getattr(error, "__notes__", ())]
    _say(program, " ".join("; ".join(parts).split()))
    sys.exit(MISTAKE)


def _say(program: str, message: object) -> None:
    with suppress(OSError):  # the terminal may be closed
        print(f"{program}: {message}", file=sys.stderr, flush=True)


def _handle(handler: "Callable[[int, Any], object]") -> Callable[[], None]:
    """Handle signals that end the process; return a function that restores the handlers."""
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():  # only it receives signals
        before = {number: signal.getsignal(number) for number in WORDS}
    for number, handles in list(before.items()):
        # Signals that the command was started to ignore (`nohup`) stay ignored.
        if handles in (signal.SIG_IGN, None):
            del before[number]
        else:
            signal.signal(number, handler)

    def back() -> None:
        for number, handles in before.items():
            signal.signal(number, handles)

    return back


@contextmanager
def _stoppable() -> Iterator[None]:
    """Raise `Stopped` at the first signal, and ignore later ones."""
    stopping = _Stopping()
    sys.unraisablehook, back = stopping.dropped, _handle(stopping.stop)
    try:
        yield
    finally:
        with stopping.lock:
            stopping.begun = True
        sys.unraisablehook = stopping.drop
        back()
        atexit.unregister(_end_silently)
        atexit.register(_end_silently)


class _Stopping:
    """Handler that raises `Stopped`, and raises it again if Python drops it.

    Python drops exceptions in `__del__` and in callbacks of weak references, which run in
    every import: it prints a traceback, and goes on.
    """

    def __init__(self) -> None:
        self.begun = False
        self.lock = threading.Lock()  # while a signal is sent again
        self.drop = sys.unraisablehook
        self._sender: threading.Thread | None = None

    def stop(self, number: int, frame: "FrameType | None") -> None:
        """Handle a signal."""
        if self.begun:  # the command ends already
            return
        if not _is_within(self.dropped, frame):
            self.begun = True
            raise Stopped(number)
        # Raised here, it would be dropped for good.
        if not _is_under_way(self._sender):
            self._send_again(number)

    def dropped(self, unraisable: "Any") -> None:
        """Handle an exception that Python drops."""
        if isinstance(unraisable.exc_value, Stopped):
            self.begun = False
            self._send_again(unraisable.exc_value.number)
        else:
            self.drop(unraisable)

    def _send_again(self, number: int) -> None:
        self._sender = threading.Thread(target=self._send, args=[number], daemon=True)
        self._sender.start()

    def _send(self, number: int) -> None:
        # Repeatedly: Python misses a signal that comes just before it begins to wait.
        while not self.begun:
            time.sleep(0.01)
            with self.lock:
                if not self.begun:
                    _to_main(number)


def _is_under_way(thread: threading.Thread | None) -> bool:
    """Return whether a thread is running, or about to start."""
    return thread is not None and (thread.ident is None or thread.is_alive())


def _is_within(function: "Any", frame: "FrameType | None") -> bool:
    """Return whether a function is running in a frame or in one of its callers."""
    while frame is not None:
        if frame.f_code is function.__code__:
            return True
        frame = frame.f_back
    return False


def _to_main(number: int) -> None:
    """Send a signal to the main thread, also while it waits."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:  # Windows
        signal.raise_signal(number)


def _end_silently() -> None:
    """Let signals end the process silently: it has reported its end already."""
    for number in WORDS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def held_back() -> Iterator[None]:
    """Delay signals that end the process until the end of the block."""
    received: list[int] = []
    back = _handle(lambda number, _: received.append(number))
    try:
        yield
    finally:
        back()
    for number in received[:1]:
        signal.raise_signal(number)
