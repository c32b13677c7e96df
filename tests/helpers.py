"""What several tests share: short studies, mistakes at the command line, drawn figures."""

import runpy
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fastpath.cli import main
from fastpath.data import datasets


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    """Return normally distributed numbers of float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def run_scenario(name: str, *flags: str) -> None:
    """Run a scenario as a command, loaded anew."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [name, *flags])
        for module in (f"scenarios.{name}", f"scenarios.{name}.__main__"):
            if not hasattr(sys.modules.get(module), "__path__"):  # a package stays
                patch.delitem(sys.modules, module, raising=False)
        runpy.run_module(f"scenarios.{name}", run_name="__main__")


def mistake(capsys: pytest.CaptureFixture[str], name: str, *flags: str) -> str:
    """Return the one line that a scenario says of a mistake, with exit code 2."""
    with pytest.raises(SystemExit) as stopped:
        run_scenario(name, *flags)
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


def refused(capsys: pytest.CaptureFixture[str], *args: object) -> str:
    """Return the one line that `fastpath` says of a mistake, with exit code 2."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main(list(map(str, args)))
    assert stopped.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("fastpath: ")
    assert said.err.count("\n") == 1, said.err
    return said.err


@contextmanager
def figures_saved() -> Iterator[list[Figure]]:
    """Yield the figures that are saved meanwhile."""
    figures: list[Figure] = []
    save = Figure.savefig

    def noted(figure: Figure, *args: object, **kwargs: object) -> None:
        figures.append(figure)
        save(figure, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", noted)
        yield figures


def panels(figure: Figure) -> dict[str, Axes]:
    """Return the panels of a figure by their titles; each must show something."""
    found = {ax.get_title() or ax.get_title("left"): ax for ax in figure.axes}
    for title, ax in found.items():
        assert ax.has_data() or not ax.axison, f"nothing is drawn in {title!r}"
    return found


def heights(ax: Axes) -> list[float]:
    """Return the heights of the bars of a panel."""
    return [bar.get_height() for bar in ax.patches]


def small_study(module: Any, tmp_path: Path, **changes: Any) -> Any:
    """Return the settings of a study on the digits, with one seed."""
    given = {"preset": "quick", "seeds": 1, "out": tmp_path / "run"}
    return module.Config(**given | changes)


def save_digits(folder: Path, *names: str) -> None:
    """Save the digits in files of these names."""
    images = datasets.load("digits")
    arrays = {name: getattr(images, name) for name in datasets.ARRAYS}
    for name in names:
        np.savez(folder / f"{name}.npz", **arrays)


def few_digits(tmp_path: Path, name: str) -> str:
    """Return the path of a file of 7 x 7 pixels of four classes of the digits."""
    images = datasets.load("digits")
    arrays = {
        f"{kind}_{part}": getattr(images, f"{kind}_{part}")[
            getattr(images, f"y_{part}") < 4
        ][:120]
        for kind in "xy"
        for part in ("train", "test")
    }
    arrays |= {part: arrays[part][:, 1:, 1:] for part in ("x_train", "x_test")}
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    np.savez(path, **arrays)
    return str(path)
