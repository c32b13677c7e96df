"""The results as tables of text."""

from collections.abc import Iterator

import numpy as np
import xarray as xr

from scenarios.deep.plan import QUESTIONS
from scenarios.deep.robust import STRENGTHS
from scenarios.support.statistics import entry

HOUR = 3600
# Best published accuracy in percent of strictly local rules (Journé et al., ICLR 2023).
PUBLISHED = {"cifar10": 80.31, "cifar100": 56.0, "mnist": 99.4}
# Points that Dale's law costs in a dense layer, by the study `dale_training`.
DENSE_COST = {"excitatory": 0.10, "interneurons": 0.04}


def text(result: xr.Dataset) -> list[str]:
    """Return a table for each question and data set on record."""
    found = []
    for question in QUESTIONS:
        for data in data_of(result, question):
            found.append(table(result, question, data))
    return found


def names_of(result: xr.Dataset) -> list[tuple[str, str, str]]:
    """Return data set, question and network of each name in the record."""
    return [
        (data, question, network)
        for data, question, network in (
            str(name).split(", ", 2) for name in result["network"].values
        )
    ]


def data_of(result: xr.Dataset, question: str) -> list[str]:
    """Return the data sets on record for a question."""
    return list(dict.fromkeys(d for d, q, _ in names_of(result) if q == question))


def networks_of(result: xr.Dataset, question: str, data: str) -> list[str]:
    """Return the networks on record for a question and data set."""
    return [n for d, q, n in names_of(result) if (d, q) == (data, question)]


def of(result: xr.Dataset, question: str, data: str, network: str) -> xr.Dataset:
    """Return the results of a network, with the seeds that it has."""
    mine = result.sel(network=f"{data}, {question}, {network}")
    return mine.isel(seed=mine["seconds"].notnull().values)


def views_of(result: xr.Dataset) -> Iterator[tuple[str, xr.Dataset]]:
    """Yield the views of a network, each with its results."""
    for name in sorted(map(str, result["view"].values), key=_order):
        mine = result.sel(view=name)
        if bool(mine["error"].notnull().any()):
            yield name, mine


def _order(view: str) -> tuple[int, bool, str]:
    """Order views: without mirror images first, all layers after single ones."""
    layers, _, mirrored = view.partition(", ")
    return len(mirrored.split()), layers.startswith("all"), view


def hours(result: xr.Dataset) -> float:
    """Return the mean hours of a network: learning, features and all its readouts."""
    return float((result["seconds"] + result["learn_seconds"]).mean()) / HOUR


def accuracy(result: xr.Dataset, name: str = "error") -> str:
    """Return the accuracy in percent, mean ± sd over the seeds."""
    return entry(100 - np.atleast_1d(result[name].values))


def compared(result: xr.Dataset, data: str) -> dict[str, dict[tuple[str, str], float]]:
    """Return the errors on held-out images by network and readout, by kind of filters.

    A network with its own settings is named after its kind, then these settings.
    """
    found: dict[str, dict[tuple[str, str], float]] = {}
    for network in networks_of(result, "readouts", data):
        kind, _, _ = network.partition(",")
        for view, seen in views_of(of(result, "readouts", data, network)):
            error = float(seen["error"].mean())
            found.setdefault(kind, {})[network, view] = error
    return found


def best(result: xr.Dataset, data: str) -> dict[str, tuple[str, str]]:
    """Return the network and readout with the least held-out error of each kind."""
    return {
        kind: min(errors, key=errors.__getitem__)
        for kind, errors in compared(result, data).items()
    }


def as_accurate(result: xr.Dataset, data: str, kind: str, wanted: str) -> tuple[str, str]:
    """Return the network of a kind whose least error is nearest to that of another kind.

    With it comes the readout that has this least error.
    """
    found = compared(result, data)
    least: dict[str, tuple[float, str]] = {}
    for (network, view), error in found[kind].items():
        least[network] = min((error, view), least.get(network, (error, view)))
    goal = min(found[wanted].values())
    network = min(least, key=lambda network: abs(least[network][0] - goal))
    return network, least[network][1]


def table(result: xr.Dataset, question: str, data: str) -> str:
    """Return the accuracies of all networks of a question and data set."""
    if question == "movement":
        return moved(result, data)
    first = of(result, question, data, networks_of(result, question, data)[0])
    share = float(first["largest_class"].mean())
    title = f"{data}, {question}: accuracy in % (largest class {share:.1f})"
    lines = [title, f"{'':<42}{'readout sees':<28}{'accuracy':>16}{'balanced':>16}{'h':>8}"]
    for network in networks_of(result, question, data):
        mine = of(result, question, data, network)
        for i, (view, seen) in enumerate(views_of(mine)):
            lines.append(
                f"{network if not i else '':<42}{view:<28}{accuracy(seen):>16}"
                f"{accuracy(seen, 'balanced_error'):>16}"
                + (f"{hours(mine):>8.2f}" if not i else "")
            )
    return "\n".join(lines + list(robustness(result, question, data)))


def moved(result: xr.Dataset, data: str) -> str:
    """Return how far the filters of each layer moved."""
    title = f"{data}, movement: median cosine of filters with their start; median norm"
    lines = [title]
    for network in networks_of(result, "movement", data):
        mine = of(result, "movement", data, network).mean("seed")
        values = [
            f"{cosine:>8.3f} {norm:>6.1f}"
            for cosine, norm in zip(mine["cosine"].values, mine["norm"].values, strict=True)
            if np.isfinite(cosine)
        ]
        lines.append(f"{network:<42}" + "".join(values))
    return "\n".join(lines)


def robustness(result: xr.Dataset, question: str, data: str) -> Iterator[str]:
    """Yield lines of the accuracies under perturbations, where they were measured."""
    for name, values in STRENGTHS.items():
        variable = f"{name}_error"
        for network in networks_of(result, question, data):
            mine = of(result, question, data, network)
            if variable not in mine or not bool(mine[variable].notnull().any()):
                continue
            entries = "".join(
                f"{accuracy(mine.isel({name: i}), variable):>16}"
                for i in range(len(values))
            )
            strengths = ", ".join(f"{value:.3g}" for value in values)
            yield f"{name + ' ' + strengths:<32}{network:<20}{entries}"
