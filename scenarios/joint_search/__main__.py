"""The command: python -m scenarios.joint_search."""

from scenarios import joint_search
from scenarios.support import study

if __name__ == "__main__":
    study.command(
        "joint_search", joint_search.main, joint_search.Config, joint_search.__doc__
    )
