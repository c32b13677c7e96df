"""What is given on a command line: nothing empty, nothing in vain.

Both packages and the scenarios read their command lines by `parsed`. A setting that another
one can leave without effect is None where it is not given, and then has its default.
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
    """Return a command, or settings, as a command line says.

    Raises
    ------
    ValueError
        If a value is empty (a path would be that of the current folder), or settings are
        refused by their class.
    SystemExit
        If help is asked for, or a flag is unknown or of another type: tyro has said so.
    """
    args = sys.argv[1:] if args is None else [*args]
    for before, part in itertools.pairwise(["", *args]):
        flag, is_assigned, value = part.partition("=")
        is_assigned = is_assigned and flag.startswith("--")
        if not (value if is_assigned else part).strip():
            what = flag if is_assigned else before
            raise ValueError(
                f"{what if what.startswith('--') else 'an argument'} is empty: give a "
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
        if isinstance(refused := stop.__context__, ValueError):  # one line says it as well
            raise refused from None
        if not stop.code:
            raise
    return read()


def refuse_in_vain(
    settings: object, names: Iterable[str], *, why: str, instead: str = ""
) -> None:
    """Raise ValueError if one of these settings was given (is not None), all in vain.

    Parameters
    ----------
    why
        What leaves them without effect, the end of a sentence: "with --epochs 0".
    instead
        What would give them one: "give --epochs 1 or more".
    """
    given = [
        shown(name, value)
        for name in names
        if (value := getattr(settings, name)) is not None
    ]
    if given:
        them, have = ("it", "has") if len(given) == 1 else ("them", "have")
        advice = f"leave {them} out" + (f", or {instead}" if instead else "")
        raise ValueError(f"{', '.join(given)} {have} no effect {why}: {advice}")


def shown(name: str, value: Any) -> str:
    """Return a setting as it is given on a command line."""
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{flag}" if value else f"--no-{flag}"
    values = value if isinstance(value, tuple) else (value,)
    return " ".join([f"--{flag}", *map(str, values)])
