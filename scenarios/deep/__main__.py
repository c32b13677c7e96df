"""Run the study from the command line."""

from scenarios import deep
from scenarios.support.study import command

if __name__ == "__main__":
    command("deep", deep.main, deep.Config, deep.__doc__)
