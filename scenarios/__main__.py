"""List the scenarios: python -m scenarios [--names] [group ...]."""

import ast
import sys
from pathlib import Path

# The scenarios in the order of the listing. Each is a file or a folder beside this file.
GROUPS = {
    "circuit": (
        "settling",
        "continuous_plasticity",
        "hysteresis",
        "dale_oscillations",
        "dale_learns",
    ),
    "training": (
        "hidden_size",
        "hebbian_first_layer",
        "multilayer",
        "deep",
        "inhibition_learns",
        "diehl_cook",
        "dale_training",
        "faces",
        "joint_search",
        "augmentation",
    ),
    "both": ("quickstart", "ladder", "spiking_ladder", "bench"),
}


def question(name: str) -> str:
    """Return the first line of a scenario's docstring: its question."""
    file = Path(__file__).parent / f"{name}.py"
    if not file.exists():
        file = file.with_suffix("") / "__init__.py"
    return (ast.get_docstring(ast.parse(file.read_text())) or "").partition("\n")[0]


def main(words: list[str]) -> None:
    """Print the scenarios of the groups named in `words`, or of all groups."""
    groups = [word for word in words if word != "--names"] or list(GROUPS)
    for group in groups:
        if group not in GROUPS:
            sys.exit(f"scenarios: there is no group {group!r}: {', '.join(GROUPS)}")
        for name in GROUPS[group]:
            print(name if "--names" in words else f"{name:<24}{question(name)}")


if __name__ == "__main__":
    main(sys.argv[1:])
