"""Pictures of a search: history, importances, slices, parallel coordinates."""

import html
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import optuna
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.importance import get_param_importances
from optuna.trial import FrozenTrial

from fastpath.search.study import whole_trials
from neurodyn.files import whole

PAGE = "search.html"
ERROR = "error on held-out images [%]"
LEAST = 4  # trials with settings, below which pictures show nothing
IN_A_ROW = 4  # panels of slices


def draw(study: optuna.Study, searched: list[str], folder: Path) -> list[str]:
    """Draw the pictures as PNG, and interactive in one page; return the file names."""
    pictures: dict[str, Callable[[], Figure]] = {
        "history.png": lambda: _history(study),
        "importances.png": lambda: _importances(study, searched),
        "slices.png": lambda: slices(study, searched),
        "parallel.png": lambda: _parallel(study, searched),
    }
    for name, drawn in pictures.items():
        with mpl.rc_context():  # Optuna sets a style for all
            try:
                figure = drawn()
                with whole(folder / name) as part:
                    figure.savefig(part, dpi=110, format="png", bbox_inches="tight")
            finally:
                plt.close("all")
    with whole(folder / PAGE) as part:
        part.write_text(_page(study, searched), encoding="utf-8")
    return [*pictures, PAGE]


def importances(study: optuna.Study, searched: list[str]) -> dict[str, float]:
    """Return the importance of each setting, from 0; they sum to 1 (PED-ANOVA).

    Source: S. Watanabe, A. Bansal & F. Hutter, IJCAI 2023.
    """
    return get_param_importances(study, params=searched)


def slices(study: optuna.Study, searched: list[str]) -> Figure:
    """Draw the error against each setting, with the worst trials left out."""
    trials, title = _near(study)
    rows = -(-len(searched) // IN_A_ROW)
    columns = min(len(searched), IN_A_ROW)
    figure, panels = plt.subplots(
        rows,
        columns,
        figsize=(1.2 + 2.2 * columns, 0.6 + 2.2 * rows),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for ax, name in zip(panels.flat, searched, strict=False):
        having = [trial for trial in trials if name in trial.params]
        values = [trial.params[name] for trial in having]
        kinds = [trial.distributions[name] for trial in having]
        if any(isinstance(kind, CategoricalDistribution) for kind in kinds):
            values = [str(value) for value in values]
            ax.margins(x=0.3)
        elif any(getattr(kind, "log", False) for kind in kinds):
            ax.set_xscale("log")
        points = ax.scatter(
            values,
            _errors(having),
            s=18,
            c=[trial.number for trial in having],
            norm=plt.Normalize(0, max(trial.number for trial in trials)),
            edgecolors="0.4",
            linewidths=0.5,
            cmap="viridis_r",
        )
        ax.set_xlabel(name)
        _plain(ax, integers=any(isinstance(kind, IntDistribution) for kind in kinds))
    for ax in panels.flat[len(searched) :]:
        ax.axis("off")
    for ax in panels[:, 0]:
        ax.set_ylabel("held-out error [%]")
    figure.colorbar(points, ax=panels, label="trial", pad=0.01, fraction=0.04)
    if title:
        figure.suptitle(title, fontsize=9)
    return figure


def _history(study: optuna.Study) -> Figure:
    """Draw the errors of the trials, and the best so far, with the worst left out."""
    from optuna.visualization import matplotlib as drawn

    trials, title = _near(study)
    ax = drawn.plot_optimization_history(study, target_name=ERROR)
    low, top = _range(trials)
    ax.set_ylim(low - 0.05 * (top - low), top + 0.05 * (top - low))
    ax.set_title(title, fontsize=9)
    ax.legend(["a trial", "the best so far"], fontsize=8)
    return _sized(ax, 6.4, 4.0)


def _importances(study: optuna.Study, searched: list[str]) -> Figure:
    from optuna.visualization import matplotlib as drawn

    ax = drawn.plot_param_importances(
        _copy(_complete(study)), params=searched, target_name=ERROR
    )
    ax.set_title("", loc="left")
    if legend := ax.get_legend():
        legend.remove()
    ax.set(xlabel="importance (PED-ANOVA)", ylabel="")
    return _sized(ax, 6.4, 1.2 + 0.3 * len(searched))


def _parallel(study: optuna.Study, searched: list[str]) -> Figure:
    from optuna.visualization import matplotlib as drawn

    trials, title = _near(study)
    ax = drawn.plot_parallel_coordinate(
        _copy(trials), params=searched, target_name="error [%]"
    )
    ax.set_title(title, fontsize=9, pad=20)
    figure = _sized(ax, max(6.4, 1.3 * len(searched)), 4.8)
    for other in figure.axes:
        _plain(other)
    return figure


def _sized(ax: Axes, width: float, height: float) -> Figure:
    """Return the figure of an axes, in this size [inches]."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.set_size_inches(width, height)
    return figure


def _plain(ax: Axes, *, integers: bool = False) -> None:
    """Write the numbers of axes small, few and without powers of ten."""
    ax.tick_params(labelsize=8)
    for axis, integer in ((ax.xaxis, integers), (ax.yaxis, False)):
        if axis.get_scale() == "log":
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter("{x:g}")
            axis.set_minor_formatter(NullFormatter())
        elif isinstance(axis.get_major_locator(), MaxNLocator):
            axis.set_major_locator(MaxNLocator(5, steps=(1, 2, 5, 10), integer=integer))


def _complete(study: optuna.Study) -> list[FrozenTrial]:
    """Return the complete trials in their order, without that of the defaults.

    The defaults would be drawn as settings of their own.
    """
    trials = [trial for trial in whole_trials(study) if trial.params]
    return sorted(trials, key=lambda trial: trial.number)


def _near(study: optuna.Study) -> tuple[list[FrozenTrial], str]:
    """Return the complete trials without the worst, and a line on how many these are."""
    trials = _complete(study)
    _, most = _range(trials)
    near = [trial for trial in trials if _errors([trial])[0] <= most]
    worse = len(trials) - len(near)
    return near, f"without {worse} worse trials" if worse else ""


def _range(trials: list[FrozenTrial]) -> tuple[float, float]:
    """Return the range of errors to draw: without those that would flatten the rest."""
    low, middle, high = np.quantile(_errors(trials), [0, 0.5, 1])
    return low, min(high, max(2 * middle - low, 1.05 * low))


def _errors(trials: list[FrozenTrial]) -> np.ndarray:
    return np.array([trial.value for trial in trials], dtype=float)


def _copy(trials: list[FrozenTrial]) -> optuna.Study:
    """Return a study of these trials."""
    copy = optuna.create_study()
    copy.add_trials(trials)
    return copy


def _page(study: optuna.Study, searched: list[str]) -> str:
    """Return one page with the same pictures, interactive."""
    from optuna import visualization as shown

    settled = _copy(_complete(study))
    figures = [
        shown.plot_optimization_history(study, target_name=ERROR),
        shown.plot_param_importances(settled, params=searched, target_name=ERROR),
        shown.plot_slice(settled, params=searched, target_name=ERROR),
        shown.plot_parallel_coordinate(settled, params=searched, target_name=ERROR),
    ]
    parts = [
        figure.to_html(full_html=False, include_plotlyjs=not i)
        for i, figure in enumerate(figures)
    ]
    title = html.escape(f"Search {study.study_name}")
    return f"<!doctype html><meta charset=utf-8><title>{title}</title>{''.join(parts)}"
