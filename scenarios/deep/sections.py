"""Sections of the page on records, ablation, layers and robustness."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from scenarios.deep.plan import (
    BACKPROP,
    BEST_HEAD,
    BRIEF,
    FIRST,
    FULL,
    KMEANS,
    LEARNED,
    PATCHES,
    RANDOM,
)
from scenarios.deep.robust import DESCRIBED, STRENGTHS
from scenarios.deep.tables import (
    HOUR,
    PUBLISHED,
    accuracy,
    data_of,
    hours,
    networks_of,
    of,
    views_of,
)

ANSWERS = 10_000  # to the test images of each data set whose accuracy is to be high
LONG = {
    LEARNED: "learned locally",
    FIRST: "layer 1 learned locally, others random",
    RANDOM: "random",
    KMEANS: "k-means of whitened patches",
    PATCHES: "whitened patches",
    BACKPROP: "back-propagation",
}


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def mean(result: xr.Dataset, view: str) -> float:
    """Return the mean accuracy of a view over seeds in percent."""
    return 100 - float(result["error"].sel(view=view).mean())


def ahead(
    result: xr.Dataset,
    question: str,
    data: str,
    network: str,
    other: str,
    *,
    view: str | None = None,
    name: str = "error",
) -> float:
    """Return how many points a network is ahead of another, by default in the last view."""
    found, compared = (of(result, question, data, n) for n in (network, other))
    view = view or last(found)
    # Only seeds that both have count.
    gap = compared[name].sel(view=view) - found[name].sel(view=view)
    return float(gap.mean())


def standard_error(*accuracies: float) -> float:
    """Return that of the difference of two accuracies in percent, as of separate images.

    Networks answer the same images, so that it is too large rather than too small.
    """
    shares = np.asarray(accuracies) / 100
    return float(100 * np.sqrt((shares * (1 - shares)).sum() / ANSWERS))


def last(result: xr.Dataset) -> str:
    """Return the last view of a network."""
    return list(views_of(result))[-1][0]


def titled(network: str) -> str:
    """Return the name of a network in a table: its kind in full, and its settings."""
    kind, *settings = network.split(", ")
    return ", ".join([LONG.get(kind, kind), *settings])


def records(result: xr.Dataset, _: str) -> list[str]:
    """Return the section on the best accuracies."""
    rows, said = [], []
    for data in data_of(result, "records"):
        networks = networks_of(result, "records", data)
        for network in networks:
            mine = of(result, "records", data, network)
            for i, (view, seen) in enumerate(views_of(mine)):
                rows.append(
                    [
                        data if not i and network == networks[0] else "",
                        titled(network) if not i else "",
                        view,
                        accuracy(seen),
                        f"{hours(mine):.2f}" if not i else "",
                    ]
                )
        best = of(result, "records", data, LEARNED)
        found = mean(best, last(best))
        text = f"**{data}: {found:.2f} %** ({last(best)})"
        if data in PUBLISHED:
            alone = next(name for name, _ in views_of(best) if not name.startswith("all"))
            text += (
                f"; {mean(best, alone):.2f} % with the view that was published ({alone}), "
                f"where {PUBLISHED[data]} % were published"
            )
        if RANDOM in networks:
            gap = ahead(result, "records", data, LEARNED, RANDOM)
            text += f"; learning adds {gap:.2f} points to random filters"
            margin = 2 * standard_error(found, found - gap)
            if abs(gap) < margin:
                text += f", which may be chance (two standard errors: {margin:.2f} points)"
        said.append(f"- {text}.")
    known = ", ".join(f"{data} {value}" for data, value in PUBLISHED.items())
    return [
        "## Best accuracy",
        "\n".join(said),
        table(
            ["data", "filters", "readout sees", "test accuracy in %", "hours of one core"],
            rows,
        ),
        f"Published best accuracies of strictly local rules in percent: {known} (Journé et "
        "al., ICLR 2023), of one pipeline for all data sets, read from the last layer "
        "without mirror images. The readout here has their epochs and dropout, but "
        "standardized features and smaller steps (see the readouts). Back-propagation was "
        "not run with so many filters: see the layers. Standard errors are those of the "
        f"difference of two accuracies, each of {ANSWERS:,} answers.",
    ]


# What the names of networks of the ablation do not say.
SETTINGS = {
    LEARNED: "SoftHebb",
    "patches whitened": "patches of layer 1 whitened, its temperature 0.25",
    "patches whitened, losers unlearn double": "patches of layer 1 whitened, its "
    "temperature 0.25; losers unlearn double",
    "equilibrium": "equilibrium, not tuned",
    "ranking": "ranking, not tuned",
    "layer by layer": "layer by layer, as published",
    FIRST: "only layer 1 learns, others keep their random start",
}


def ablation(result: xr.Dataset, data: str) -> list[str]:
    """Return the section on what each ingredient adds."""
    base = of(result, "ablation", data, LEARNED)
    views = [name for name, _ in views_of(base)]
    turned = cosines(result, data)
    rows = []
    for network in networks_of(result, "ablation", data):
        mine = of(result, "ablation", data, network)
        seen = dict(views_of(mine))
        row = [SETTINGS.get(network, network), turned.get(network, "")]
        for view in views:
            if view not in seen:
                row.append("")
                continue
            gap = ahead(result, "ablation", data, network, LEARNED, view=view)
            text = accuracy(seen[view])
            row.append(text if network == LEARNED else f"{text}, {gap:+.2f}")
        rows.append([*row, f"{float(mine['learn_seconds'].mean()) / HOUR:.2f}"])
    said = (
        "Accuracy on held-out training images in percent, and its difference from "
        "SoftHebb: rule, layers and steps as published, but a quarter of the filters, all "
        "layers learning at once, and exact statistics of batch normalization. All rows "
        "have its readout. One seed: the standard error of 10,000 answers is 0.4 to 0.5 "
        "points."
    )
    repeated = twice_read(result, data)
    if repeated:
        said += f" Two readouts of the same filters differ by {repeated} points."
    columns = ["network", "cosine with start", *views, "hours of learning"]
    found = [f"## What each ingredient adds ({data})", said]
    if {RANDOM, FIRST} <= set(networks_of(result, "ablation", data)):
        both, alone = (
            ahead(result, "ablation", data, network, RANDOM, view=views[0])
            for network in (LEARNED, FIRST)
        )
        found.insert(
            1,
            f"- **Learning adds {both:.1f} points to random filters, read from {views[0]}. "
            f"If only layer 1 learns, it adds {alone:.1f}.**",
        )
    if turned:
        found.append(moved(result, data))
    return [*found, table(columns, rows)]


def cosines(result: xr.Dataset, data: str) -> dict[str, str]:
    """Return how far the filters of each network turned: median cosine by layer."""
    found = {}
    for network in networks_of(result, "movement", data):
        values = of(result, "movement", data, network)["cosine"].mean("seed").values
        found[network] = ", ".join(f"{value:.3f}" for value in values[np.isfinite(values)])
    return found


def moved(result: xr.Dataset, data: str) -> str:
    """Return a sentence on the filters of the records, and what the cosine is."""
    said = (
        "The cosine is that of a filter after learning with its random start, the median "
        "of each layer: with 1 it has not turned."
    )
    for network, values in cosines(result, data).items():
        if network.startswith(f"{LEARNED}, "):
            mine = of(result, "movement", data, network)
            before, after = (
                ", ".join(f"{norm:.1f}" for norm in mine[name].mean("seed").values)
                for name in ("start_norm", "norm")
            )
            filters = network.partition(", ")[2]
            said += (
                f" Of the record ({filters} in layer 1) it is {values}; median norms fell "
                f"from {before} to {after}."
            )
    return said


def twice_read(result: xr.Dataset, data: str) -> str:
    """Return the differences of two readouts of the same filters, random and learned."""
    gaps = []
    for network in (LEARNED, RANDOM):
        names = ("readouts", "ablation")
        if any(network not in networks_of(result, name, data) for name in names):
            return ""
        first, second = (of(result, name, data, network) for name in names)
        heads = mean(first, BEST_HEAD[network]), mean(second, "all layers")
        gaps.append(f"{abs(heads[0] - heads[1]):.2f}")
    return " and ".join(gaps)


def by_layer(result: xr.Dataset, data: str) -> list[str]:
    """Return the sections on what each layer adds, and on robustness."""
    networks = networks_of(result, "layers", data)
    views = [name for name, _ in views_of(of(result, "layers", data, networks[0]))]
    rows = []
    for network in networks:
        mine = of(result, "layers", data, network)
        seen = dict(views_of(mine))
        rows.append(
            [
                titled(network),
                *(accuracy(seen[view]) for view in views),
                f"{hours(mine):.2f}",
            ]
        )
    gaps = [
        f"- Learned locally minus {LONG[other]}, in points: "
        + ", ".join(
            f"{ahead(result, 'layers', data, LEARNED, other, view=view):+.1f} ({view})"
            for view in views
        )
        for other in (FIRST, RANDOM, KMEANS, PATCHES, BACKPROP)
        if {LEARNED, other} <= set(networks)
    ]
    return [
        f"## Accuracy read from each layer ({data})",
        "\n".join(gaps),
        f"Back-propagation has {FULL.backprop.epochs} epochs, brief back-propagation "
        f"{FULL.brief}, through a linear layer on all layers. Its accuracy still rises "
        "with more epochs: it is no upper bound.",
        table(
            ["filters", *(f"{view}, test accuracy in %" for view in views), "hours"], rows
        ),
        *robustness(result, data),
    ]


def robustness(result: xr.Dataset, data: str) -> list[str]:
    """Return the section on perturbed images."""
    networks = [
        network
        for network in networks_of(result, "layers", data)
        if "noise_error" in of(result, "layers", data, network)
    ]
    found = {network: of(result, "layers", data, network) for network in networks}
    clean = {n: mine.sel(view=last(mine)) for n, mine in found.items()}
    rows = [["none", *(accuracy(seen) for seen in clean.values())]]
    for name, values in STRENGTHS.items():
        for i, value in enumerate(values):
            entries = (
                accuracy(mine.isel({name: i}), f"{name}_error") for mine in found.values()
            )
            rows.append([f"{name} {value:.3g}", *entries])
    described = "; ".join(f"{name}: {text}" for name, text in DESCRIBED.items())
    said = []
    if {LEARNED, BRIEF} <= set(networks):
        gaps = ", ".join(
            f"{lead(found, f'{name}_error', {name: len(values) // 2}):+.1f} ({name} "
            f"{values[len(values) // 2]:.3g})"
            for name, values in STRENGTHS.items()
        )
        said = [
            f"- Learned locally minus back-propagation of {FULL.brief} epoch, in points: "
            f"{lead(clean, 'error'):+.1f} (no perturbation), {gaps}"
        ]
    return [
        f"## Robustness ({data})",
        *said,
        "Test accuracy in percent of perturbed images, read from all layers. "
        f"{described}. Brief back-propagation has {FULL.brief} epoch, so that it is about "
        "as accurate as learned filters (on held-out images, see the readouts). The "
        "standard error of 10,000 answers is up to 0.5 points.",
        table(["perturbation", *map(titled, networks)], rows),
    ]


def lead(
    found: dict[str, xr.Dataset], name: str, at: dict[str, int] | None = None
) -> float:
    """Return how many points learned filters are ahead of brief back-propagation."""
    brief, learned = (found[n].isel(at or {})[name] for n in (BRIEF, LEARNED))
    return float((brief - learned).mean())  # over seeds that both have
