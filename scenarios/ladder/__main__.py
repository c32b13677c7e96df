"""The command: python -m scenarios.ladder."""

import tyro

from neurodyn import exits
from scenarios import ladder

if __name__ == "__main__":
    with exits.orderly("ladder") as end:
        end.left = lambda: "finished parts are kept"
        ladder.main(tyro.cli(ladder.Config, description=ladder.__doc__))
