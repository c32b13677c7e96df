"""The command: python -m scenarios.multilayer."""

from scenarios import multilayer
from scenarios.support import study

if __name__ == "__main__":
    study.command("multilayer", multilayer.main, multilayer.Config, multilayer.__doc__)
