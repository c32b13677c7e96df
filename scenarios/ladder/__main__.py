"""The command: python -m scenarios.ladder."""

import sys

import tyro

from scenarios import ladder

if __name__ == "__main__":
    try:
        ladder.main(tyro.cli(ladder.Config, description=ladder.__doc__))
    except (ValueError, OSError) as error:
        print(f"ladder: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("ladder: interrupted; finished parts are kept", file=sys.stderr)
        sys.exit(130)
