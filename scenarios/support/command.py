"""How a scenario is run as a command."""

from collections.abc import Callable

from neurodyn import exits
from neurodyn.flags import parsed


def command[Config](
    name: str,
    main: Callable[[Config], object],
    config: type[Config],
    description: str | None,
    *,
    left: str = "nothing was saved",
    default: Config | None = None,
) -> None:
    """Run a scenario: a user's mistake is one line and exit code 2.

    Parameters
    ----------
    left
        What it leaves when it is stopped.
    default
        Settings where none are given [those of the class].
    """
    with exits.orderly(name) as end:
        end.left = lambda: left
        prog = f"python -m scenarios.{name}"
        given: Config = parsed(
            config, None, prog=prog, description=description, default=default
        )
        main(given)
