"""The command: python -m scenarios.hebbian_first_layer."""

from scenarios import hebbian_first_layer
from scenarios.support import study

if __name__ == "__main__":
    study.command(
        "hebbian_first_layer",
        hebbian_first_layer.main,
        hebbian_first_layer.Config,
        hebbian_first_layer.__doc__,
    )
