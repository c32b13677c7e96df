"""The command: python -m scenarios.faces."""

from scenarios import faces
from scenarios.support import study

if __name__ == "__main__":
    study.command("faces", faces.main, faces.Config, faces.__doc__)
