"""Run a scenario from the command line."""

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
    """Run a scenario; report a user's mistake in one line, with exit code 2.

    Parameters
    ----------
    left
        Message about what an interrupted run leaves behind.
    default
        Default settings [those of the class].
    """
    with exits.orderly(name) as end:
        end.left = lambda: left
        prog = f"python -m scenarios.{name}"
        settings: Config = parsed(
            config, None, prog=prog, description=description, default=default
        )
        main(settings)
