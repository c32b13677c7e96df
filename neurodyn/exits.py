"""How commands end: at a user's mistake, or stopped from outside, with one line and a code.

Nothing heavy is imported here: until these lines run, Ctrl-C leaves a traceback.
"""

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

# As `typing` has it, which alone takes longer to import than all of the others.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any, NoReturn

MISTAKE = 2  # the exit code
# Who sends them: people, batch systems and `torchrun`, terminals that are closed.
WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
if hasattr(signal, "SIGHUP"):  # not on Windows
    WORDS[signal.SIGHUP] = "hung up"


class Ending:
    """What a command that is stopped leaves behind."""

    def __init__(self) -> None:
        self.left: Callable[[], str] = lambda: "nothing was saved"


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
        if getattr(stream, "errors", "") in ("strict", "surrogateescape"):
            # τ, on a terminal that only knows ASCII.
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
    """Let signals end the process on the spot; return what puts back how it was.

    For as long as packages are loaded: nothing can be lost yet, and an exception would not
    get through all of their imports.
    """

    def end(number: int, _: object) -> "NoReturn":
        _say(program, Stopped(number))
        os._exit(128 + number)

    return _handle(end)


def mistake(program: str, error: Exception) -> "NoReturn":
    """End the command by what went wrong, and what is noted with it."""
    said = [str(error) or type(error).__name__, *getattr(error, "__notes__", ())]
    _say(program, " ".join("; ".join(said).split()))
    sys.exit(MISTAKE)


def _say(program: str, what: object) -> None:
    with suppress(OSError):  # the terminal may be closed
        print(f"{program}: {what}", file=sys.stderr, flush=True)


def _handle(handler: "Callable[[int, Any], object]") -> Callable[[], None]:
    """Call this when a signal would end the process; return what puts back how it was."""
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():  # others get no signals
        before = {number: signal.getsignal(number) for number in WORDS}
    for number, handles in list(before.items()):
        # What a command was started to ignore (`nohup`), it shall.
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
    """Raise `Stopped` at the first signal, and let those behind it pass."""
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
    """What raises `Stopped`, and again where Python drops it.

    Python drops an exception in `__del__` and in callbacks of weak references, which are in
    every import: it prints a traceback, and goes on.
    """

    def __init__(self) -> None:
        self.begun = False
        self.lock = threading.Lock()  # while a signal is sent again
        self.drop = sys.unraisablehook
        self._sender: threading.Thread | None = None

    def stop(self, number: int, frame: "FrameType | None") -> None:
        """Handle a signal."""
        if self.begun:  # once is enough: what is left is to say so
            return
        if not _is_within(self.dropped, frame):
            self.begun = True
            raise Stopped(number)
        # Here it would be dropped for good.
        if not _is_under_way(self._sender):
            self._send_again(number)

    def dropped(self, what: "Any") -> None:
        """Handle an exception that Python drops."""
        if isinstance(what.exc_value, Stopped):
            self.begun = False
            self._send_again(what.exc_value.number)
        else:
            self.drop(what)

    def _send_again(self, number: int) -> None:
        self._sender = threading.Thread(target=self._send, args=[number], daemon=True)
        self._sender.start()

    def _send(self, number: int) -> None:
        # More than once: Python sees none that comes just before it begins to wait.
        while not self.begun:
            time.sleep(0.01)
            with self.lock:
                if not self.begun:
                    _to_main(number)


def _is_under_way(thread: threading.Thread | None) -> bool:
    """Tell whether a thread has not ended, or is about to begin."""
    return thread is not None and (thread.ident is None or thread.is_alive())


def _is_within(function: "Any", frame: "FrameType | None") -> bool:
    """Tell whether a function is running, called from a frame or from one that calls it."""
    while frame is not None:
        if frame.f_code is function.__code__:
            return True
        frame = frame.f_back
    return False


def _to_main(number: int) -> None:
    """Send the main thread a signal, also where it waits."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:  # Windows
        signal.raise_signal(number)


def _end_silently() -> None:
    """Let signals end a process that ends anyway: it has said what there is to say."""
    for number in WORDS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def held_back() -> Iterator[None]:
    """Let signals that end a process wait until what must not be left half done is done."""
    came: list[int] = []
    back = _handle(lambda number, _: came.append(number))
    try:
        yield
    finally:
        back()
    for number in came[:1]:
        signal.raise_signal(number)
