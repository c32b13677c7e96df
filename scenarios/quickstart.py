"""What does each step down the ladder change, on one small set of images?

Trains 100 units by ranking on the digits (seconds), simulates held-out images with the same
weights in continuous time, and compares circuit, equilibrium and ranking: activities, who
learns, the weight change that follows, the cost. The readout error stands beside the same
network with random weights and trained by back-propagation.
"""

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from matplotlib.figure import Figure

import neurodyn
from fastpath import baselines, checkpoint, datasets, experiment
from fastpath.competition import Equilibrium, Ranking
from fastpath.defaults import defaults_for
from fastpath.layers import Dense
from fastpath.plasticity import delta_w
from fastpath.readout import Readout
from fastpath.train import Training
from neurodyn import analysis, backends, equilibrium, plots, traces
from scenarios.support.command import command

RANKING = Ranking(k=2, delta=0.4)
HEBB_ONLY = Ranking(k=2, delta=0.0)
TAU_MS = 10.0


@dataclass(frozen=True, kw_only=True)
class Config:
    """What the quickstart does."""

    data: str = "digits"
    """digits, mnist, fashion_mnist, cifar10, cifar100, an .npz file or an image folder."""
    data_root: Path | None = None
    """Where data sets lie [$NEURODYN_DATA, else the user's cache]."""
    units: int = 100
    """Number of hidden units."""
    epochs: int | None = None
    """Passes of learning, of the readout and of back-propagation [50 on the digits, else
    5]."""
    seeds: int = 3
    """Networks trained; the first one's weights are simulated."""
    num_images: int = 50
    """Held-out images shown to the circuit."""
    image_ms: float = 1000.0
    """How long each is shown [ms]; the time constant is 10 ms."""
    w_inh: tuple[float, ...] = (0.5, 0.9)
    """Strengths of lateral inhibition."""
    backend: str = "cpp"
    """numpy, cython, cpp or auto. Compiling twice is cheaper here than 200,000 steps in
    Python's loop."""
    out: Path | None = None
    """Folder of results [runs/quickstart]."""
    figure: Path | None = None
    """File of the figure [quickstart.png in the folder of results]."""
    overwrite: bool = False
    """Replace the results that the folder already holds."""

    def __post_init__(self) -> None:
        if not self.w_inh:
            raise ValueError("w_inh is empty: give one strength of inhibition or more")
        for w_inh in self.w_inh:
            neurodyn.LateralInhibition(w_inh=w_inh)
        neurodyn.Presentation(image_ms=self.image_ms)
        for name in ("seeds", "num_images", "epochs"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"{name} is {value}: at least 1 is needed")

    @property
    def name(self) -> str:
        """Name of results and figure, one for each data set."""
        stem = Path(self.data).stem
        return "quickstart" if stem == "digits" else f"quickstart_{stem}"


@dataclass(frozen=True)
class Learned:
    """What the comparison starts from."""

    weights: torch.Tensor
    """Of the first network, (unit, pixel), float64."""
    held_out: torch.Tensor
    """Test images as the layer sees them, (image, pixel), float64."""
    seen: torch.Tensor
    """Training images likewise, on which h* is chosen."""
    test_error: dict[str, list[float]]
    """Percent, by network, one for each seed."""


def main(config: Config) -> None:
    """Run the scenario and write its results and figure."""
    torch.set_num_threads(1)
    out = config.out or Path("runs") / config.name
    backends.resolve(config.backend)  # a mistake should not cost the training
    datasets.check_root(config, config.data)
    checkpoint.prepare(out, overwrite=config.overwrite)
    figure = config.figure or out / f"{config.name}.png"
    traces.check_writable(figure)
    images = datasets.load(config.data, config.data_root)
    if config.num_images > len(images.x_test):
        raise ValueError(
            f"num_images is {config.num_images}: {len(images.x_test)} images are held out"
        )
    learned = learn(config, images)
    runs, rows = [], []
    for w_inh in config.w_inh:
        runs.append(simulate(config, learned, w_inh))
        rows.append(compare(runs[-1], learned, w_inh=w_inh))
    summary = {
        "data": images.name,
        "units": config.units,
        "power": defaults_for(images.origin).readout.power,
        "random_power": defaults_for(images.origin).random.power,
        "num_images": config.num_images,
        "T_over_tau": config.image_ms / TAU_MS,
        "test_error": {name: spread(seeds) for name, seeds in learned.test_error.items()},
        "ladder": rows,
        "seconds_per_1000_images": {
            "circuit": 1000 * runs[-1].attrs["run_seconds"] / config.num_images,
            **cost(learned, w_inh=config.w_inh[-1]),
        },
    }
    trials = xr.concat(runs, dim="trial", combine_attrs="drop_conflicts")
    trials = trials.assign_coords(
        w_inh=("trial", list(config.w_inh), {"units": "1", "long_name": "inhibition"})
    )
    trials.attrs["config"] = json.dumps([json.loads(run.attrs["config"]) for run in runs])
    traces.save(trials, out / "traces.nc")
    checkpoint.save_tensors(out / "weights.safetensors", {"weights": learned.weights})
    checkpoint.save_json(out / "summary.json", summary)
    draw(trials, summary, images.shape).savefig(figure, dpi=110)
    print(table(summary))
    print(f"\nWrote {out}/{{traces.nc,weights.safetensors,summary.json}} and {figure}")


def learn(config: Config, images: datasets.Images) -> Learned:
    """Train `seeds` networks of each kind, and score them on the test set, once."""
    known = defaults_for(images.origin)
    epochs = config.epochs or (50 if images.origin == "digits" else 5)
    errors: dict[str, list[float]] = {"ranking": [], "random weights": [], "back-prop": []}
    trained = []
    for seed in range(config.seeds):
        for name, passes, power in (
            ("ranking", epochs, known.readout.power),
            ("random weights", 0, known.random.power),
        ):
            generator = torch.Generator().manual_seed(seed)
            run = experiment.learn(
                experiment.split(images, validation=0, generator=generator),
                num_units=config.units,
                num_classes=len(images.classes),
                p=2.0,
                competition=RANKING,
                training=Training(epochs=passes),
                preprocess=known.preprocess,
                head=Readout(epochs=epochs, power=power),
                generator=generator,
            )
            errors[name].append(run.metrics["test_error"])
            trained.append(run)
        generator = torch.Generator().manual_seed(seed)
        score = baselines.backprop(
            experiment.split(images, validation=0, generator=generator),
            num_units=config.units,
            num_classes=len(images.classes),
            backprop=replace(known.backprop, epochs=epochs),
            preprocess=known.backprop_preprocess,
            generator=generator,
        )
        errors["back-prop"].append(score["test_error"])
    first = trained[0]
    generator = torch.Generator().manual_seed(0)  # sets may be sorted by class
    held_out, seen = (
        known.preprocess(
            torch.from_numpy(x)[torch.randperm(len(x), generator=generator)[:count]],
            first.mean,
        ).double()
        for x, count in ((images.x_test, config.num_images), (images.x_train, 1000))
    )
    return Learned(first.weights.double(), held_out, seen, errors)


def simulate(config: Config, learned: Learned, w_inh: float) -> xr.Dataset:
    """Show the held-out images to the circuit."""
    return neurodyn.simulate(
        neurodyn.LateralInhibition(tau_ms=TAU_MS, w_inh=w_inh),
        learned.held_out.numpy(),
        learned.weights.numpy(),
        stimulus=neurodyn.Presentation(image_ms=config.image_ms),
        backend=config.backend,
        recording=neurodyn.Recording(activity_ms=2.0),
    )


def compare(run: xr.Dataset, learned: Learned, *, w_inh: float) -> dict[str, float]:
    """Return what the ladder says at one strength of inhibition.

    g of the circuit and of the equilibrium follow eq. 9 with one fixed h*, chosen on
    training images: the one for which most of them have exactly one Hebbian unit.
    """
    drive, h = run["drive"].values, run["final_activity"].values
    settled = equilibrium.settle(drive, w_inh=w_inh)
    away = abs(h - settled) / drive.max(axis=1, keepdims=True)
    in_order = np.take_along_axis(h, drive.argsort(axis=1), axis=1)
    h_star = single_winner_threshold(learned, w_inh=w_inh)
    rule = Equilibrium(w_inh=w_inh, h_star=h_star, delta=RANKING.delta)
    drive = torch.from_numpy(drive)
    g_circuit = np.where(h >= h_star, 1.0, np.where(h >= 0, -RANKING.delta, 0.0))
    g = {"equilibrium": rule(drive), "ranking": RANKING(drive), "hebb": HEBB_ONLY(drive)}
    change = {
        name: delta_w(activation, drive, learned.held_out, learned.weights).flatten()
        for name, activation in g.items()
    }
    cosine = {
        name: torch.cosine_similarity(change[name], change["ranking"], dim=0).item()
        for name in ("equilibrium", "hebb")
    }
    return {
        "w_inh": w_inh,
        "h_star": h_star,
        "dt_ms": json.loads(run.attrs["config"])["dt_ms"],
        "active_units": float(analysis.active_units(run["final_activity"]).mean()),
        "order_equal": float((np.diff(in_order, axis=1) >= 0).all(axis=1).mean()),
        "distance_max": float(away.max()),
        "distance_median": float(np.median(away)),
        "active_sets_equal": float(((h > 0) == (settled > 0)).all(axis=1).mean()),
        "g_circuit": float((g_circuit == g["equilibrium"].numpy()).all(axis=1).mean()),
        "g_equal": (g["equilibrium"] == g["ranking"]).all(dim=1).double().mean().item(),
        "cosine": cosine["equilibrium"],
        "cosine_hebb_only": cosine["hebb"],
    }


def single_winner_threshold(learned: Learned, *, w_inh: float) -> float:
    """Return the h* above which most of the training images have exactly one unit."""
    h = equilibrium.settle(learned.seen @ learned.weights.T, w_inh=w_inh)
    candidates = np.quantile(h.max(axis=1), np.linspace(0, 1, 201))
    single = [((h >= h_star).sum(axis=1) == 1).mean() for h_star in candidates]
    return float(candidates[np.argmax(single)])


def cost(learned: Learned, *, w_inh: float) -> dict[str, float]:
    """Return seconds per 1000 images of the other levels, drive included (one thread)."""
    layer = Dense(learned.weights.float())
    v = learned.seen.float()
    v = v.repeat(-(-1000 // len(v)), 1)[:1000]
    rule = Equilibrium(w_inh=w_inh, h_star=1.0, delta=RANKING.delta)
    return {
        "equilibrium": median_seconds(lambda: rule(layer.drive(v))),
        "ranking": median_seconds(lambda: RANKING(layer.drive(v))),
    }


def median_seconds(work: Callable[[], Any], repeats: int = 20) -> float:
    """Return the median time of a call, after one that is not counted."""
    work()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def spread(seeds: list[float]) -> dict[str, Any]:
    """Return mean and standard deviation over seeds, with the values."""
    sd = statistics.stdev(seeds) if len(seeds) > 1 else 0.0
    return {"mean": statistics.mean(seeds), "sd": sd, "seeds": seeds}


ROWS = (
    ("order_equal", "order of h = order of I (share of images)", ".3f"),
    ("distance_max", "largest |h_ODE - h_eq| / I_max", ".1e"),
    ("distance_median", "median |h_ODE - h_eq| / I_max", ".1e"),
    ("active_sets_equal", "active sets equal (share of images)", ".3f"),
    ("active_units", "active units per image", ".2f"),
    ("g_circuit", "g(circuit) = g(equilibrium) (share of images)", ".3f"),
    ("g_equal", "g(equilibrium) = g(ranking) (share of images)", ".3f"),
    ("cosine", "cos(dW equilibrium, dW ranking)", ".3f"),
    ("cosine_hebb_only", "  floor: cos(dW Hebb only, dW ranking)", ".3f"),
)


def table(summary: dict[str, Any]) -> str:
    """Return the results as text."""
    ladder = summary["ladder"]
    lines = [
        f"{summary['num_images']} held-out images of {summary['data']}, "
        f"{summary['units']} units, T = {summary['T_over_tau']:g} tau",
        f"{'':<48}" + "".join(f"w_inh = {row['w_inh']:<6g}" for row in ladder),
    ]
    for key, label, form in ROWS:
        lines.append(f"{label:<48}" + "".join(f"{row[key]:<14{form}}" for row in ladder))
    lines.append("")
    for name, error in summary["test_error"].items():
        label = f"test error, {name}"
        lines.append(
            f"{label:<48}{error['mean']:.2f} +- {error['sd']:.2f} %  "
            f"({len(error['seeds'])} seeds)"
        )
    lines.append("")
    for level, seconds in summary["seconds_per_1000_images"].items():
        label = f"seconds per 1000 images, {level}"
        lines.append(f"{label:<48}{seconds:.2g}")
    return "\n".join(lines)


def draw(
    trials: xr.Dataset, summary: dict[str, Any], image_shape: tuple[int, ...]
) -> Figure:
    """Draw traces of three images settling, the receptive fields, and the table's bars."""
    figure = Figure(figsize=(13, 7.5), layout="constrained")
    grid = figure.add_gridspec(2, 12)
    for row, (trial, w_inh) in enumerate(enumerate(trials["w_inh"].values)):
        if row > 1:
            break
        for column in range(min(3, trials.sizes["image"])):
            ax = figure.add_subplot(grid[row, 2 * column : 2 * column + 2])
            draw_settling(ax, trials.isel(trial=trial), column, float(w_inh))
    ax = figure.add_subplot(grid[0, 6:9])
    plots.receptive_fields(trials["weights"].isel(trial=0), image_shape, ax)
    ax.set_title(f"weights of {summary['units']} units", fontsize=10)
    draw_agreement(figure.add_subplot(grid[0, 9:]), summary)
    draw_errors(figure.add_subplot(grid[1, 6:9]), summary)
    draw_cost(figure.add_subplot(grid[1, 9:]), summary)
    figure.supxlabel(caption(summary), fontsize=8)
    return figure


def caption(summary: dict[str, Any]) -> str:
    """Return what the figure shows and by which protocol."""
    dt = ", ".join(f"{row['dt_ms']:g}" for row in summary["ladder"])
    thresholds = ", ".join(f"{row['h_star']:.2g}" for row in summary["ladder"])
    return (
        f"{summary['data']}: {summary['units']} units trained by ranking (p = 2, k = "
        f"{RANKING.k}, Δ = {RANKING.delta:g}); {summary['num_images']} held-out images, "
        f"T = {summary['T_over_tau']:g} τ, Euler dt = {dt} ms. Lines: Brian2, the 12 units "
        "of largest drive; dashes: closed form.\n"
        f"h* = {thresholds}, chosen on training images. Test error of the last epoch; "
        "nothing was chosen on the test set. Features max(W·v, 0)^n, n = "
        f"{summary['power']:g}; random weights n = {summary['random_power']:g}, better for "
        "them."
    )


def draw_settling(ax: Any, run: xr.Dataset, image: int, w_inh: float) -> None:
    """Draw one presentation, with the closed form as dashes."""
    shown = run["activity"].sel(time=run["presentation"] == image)
    period = float(run["time"][-1]) / run.sizes["image"]
    since = shown["time"] - image * period
    since.attrs["units"] = "ms since onset"
    shown = shown.assign_coords(time=since).sel(
        time=slice(0, 12 * TAU_MS / max(0.1, 1 - w_inh))
    )
    drive = run["drive"].sel(image=image)
    settled = drive.copy(data=equilibrium.settle(drive.values, w_inh=w_inh))
    largest = drive.sortby(-drive)["unit"].values[:12]
    plots.activity_traces(shown.sel(unit=largest), ax, settled=settled.sel(unit=largest))
    ax.set_title(f"image {image}, w_inh = {w_inh:g}", fontsize=10)


def draw_agreement(ax: Any, summary: dict[str, Any]) -> None:
    """Draw how far the levels agree, for each strength of inhibition."""
    bars = {
        "active sets\nODE = eq.": "active_sets_equal",
        "g equal\neq. = ranking": "g_equal",
        "cos ΔW\neq., ranking": "cosine",
        "cos ΔW floor\n(Hebb only)": "cosine_hebb_only",
    }
    width = 0.8 / len(summary["ladder"])
    for i, row in enumerate(summary["ladder"]):
        x = np.arange(len(bars)) + i * width
        drawn = ax.bar(
            x, [row[key] for key in bars.values()], width, label=f"{row['w_inh']:g}"
        )
        ax.bar_label(drawn, fmt="%.2f", fontsize=7)
    ax.set_xticks(np.arange(len(bars)) + 0.4 - width / 2, list(bars), fontsize=6)
    ax.set(ylim=(min(0, ax.get_ylim()[0]), 1.3))
    ax.set_title("agreement of the levels", fontsize=10)
    ax.legend(title="w_inh", fontsize=7, title_fontsize=7, loc="upper right", ncols=2)


def draw_errors(ax: Any, summary: dict[str, Any]) -> None:
    """Draw the readout error with its controls."""
    errors = summary["test_error"]
    means, sds = ([error[key] for error in errors.values()] for key in ("mean", "sd"))
    drawn = ax.bar(list(errors), means, yerr=sds, capsize=4, color=["C2", "0.6", "0.6"])
    ax.bar_label(drawn, fmt="%.1f", fontsize=8, padding=2)
    num_seeds = len(next(iter(errors.values()))["seeds"])
    ax.set_title(f"test error [%], mean ± sd of {num_seeds} seeds", fontsize=10)
    ax.tick_params(axis="x", labelsize=8)
    ax.margins(y=0.15)


def draw_cost(ax: Any, summary: dict[str, Any]) -> None:
    """Draw what 1000 images cost on each level."""
    cost = summary["seconds_per_1000_images"]
    drawn = ax.bar(list(cost), list(cost.values()), color="C4")
    ax.bar_label(drawn, fmt="%.2g", fontsize=8)
    ax.set_yscale("log")
    ax.set_title("seconds per 1000 images", fontsize=10)
    ax.tick_params(axis="x", labelsize=8)
    ax.margins(y=0.15)


if __name__ == "__main__":
    command("quickstart", main, Config, __doc__)
