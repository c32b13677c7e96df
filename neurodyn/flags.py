"""Parse command lines; refuse empty values and settings without effect.

Both packages and the scenarios use `parsed`. A setting that another setting can make
ineffective is None if it is not given, which stands for its default.
"""

import functools
import itertools
import sys
from collections.abc import Iterable, Sequence
from contextlib import redirect_stderr
from io import StringIO
from typing import Any

import tyro


def parsed[Command](
    command: Any,
    args: Sequence[str] | None,
    *,
    prog: str,
    description: str | None,
    default: Command | None = None,
) -> Command:
    """Return the command, or the settings, of a command line.

    Raises
    ------
    ValueError
        If a value is empty (as a path it would be the current folder), or the class of
        the settings refuses them.
    SystemExit
        After --help, and for unknown flags or wrong types, which tyro reports.
    """
    args = sys.argv[1:] if args is None else [*args]
    for before, part in itertools.pairwise(["", *args]):
        flag, is_assigned, value = part.partition("=")
        is_assigned = is_assigned and flag.startswith("--")
        if not (value if is_assigned else part).strip():
            name = flag if is_assigned else before
            raise ValueError(
                f"{name if name.startswith('--') else 'an argument'} is empty: give a "
                "value, or leave it out (the current folder is .)"
            )
    begin = tyro.MISSING_NONPROP if default is None else default
    read = functools.partial(
        tyro.cli, command, args=args, prog=prog, description=description, default=begin
    )
    try:
        with redirect_stderr(StringIO()):
            return read()
    except SystemExit as stop:
        if isinstance(refused := stop.__context__, ValueError):  # one line is enough
            raise refused from None
        if not stop.code:
            raise
    return read()


def refuse_without_effect(
    settings: object, names: Iterable[str], *, why: str, instead: str = ""
) -> None:
    """Raise ValueError if a setting without effect was given (is not None).

    Parameters
    ----------
    why
        Why they have no effect, the end of a sentence: "with --epochs 0".
    instead
        What would make them effective: "give --epochs 1 or more".
    """
    ineffective = [
        as_flag(name, value)
        for name in names
        if (value := getattr(settings, name)) is not None
    ]
    if ineffective:
        them, have = ("it", "has") if len(ineffective) == 1 else ("them", "have")
        advice = f"leave {them} out" + (f", or {instead}" if instead else "")
        raise ValueError(f"{', '.join(ineffective)} {have} no effect {why}: {advice}")


def as_flag(name: str, value: Any) -> str:
    """Return a setting as its flag on a command line."""
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{flag}" if value else f"--no-{flag}"
    values = value if isinstance(value, tuple) else (value,)
    return " ".join([f"--{flag}", *map(str, values)])
