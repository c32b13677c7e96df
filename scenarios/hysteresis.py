"""Who wins when w_inh > 1 and activity is carried over?

Above w_inh = 1 one unit wins alone, and the initial activity decides which: any unit u with
w_inh I_u > I_v for all others v is a stable winner. The circuit sees a sequence of images.
Activity is either set to 0 before each image, or carried over through rests of several
lengths. The scenario counts how often the unit of largest drive wins, and how often the
previous winner does. After a reset the largest drive always wins. Without one it wins 80 %
of the images at w_inh = 1.2 and 5 % at 2.
"""

import json
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

import neurodyn
from fastpath import checks
from fastpath.data import datasets
from neurodyn import analysis, backends
from scenarios.support.checks import check_increasing
from scenarios.support.circuit import RANKING, TAU_MS, CircuitConfig, Learned
from scenarios.support.command import command
from scenarios.support.results import axis, dataset, write

SAMPLE_MS = 0.2 * TAU_MS
RESET = np.inf  # a rest that never ends: activity starts at 0


@dataclass(frozen=True, kw_only=True)
class Config(CircuitConfig):
    """Settings of network, sequence of images and inhibition."""

    seed: int = 0
    """Seed of the weights."""
    num_images: int = 60
    """Held-out images shown to the circuit in sequence."""
    duration: float = 20
    """Presentation time T of each image, in time constants τ."""
    w_inh: tuple[float, ...] = (0.9, 1.0, 1.2, 1.5, 2, 5)
    """Strengths of lateral inhibition."""
    rests: tuple[float, ...] = (0, 2, 5, 10)
    """Rests before each image, in time constants τ, over which activity decays."""
    backend: str = "cpp"
    """Backend of Brian2: numpy, cython, cpp, auto. Strong inhibition needs short steps."""

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.seed("seed", self.seed)
        check_increasing(w_inh=self.w_inh, rests=self.rests)
        if self.num_images < 2:
            raise ValueError("num_images is 1: at least 2 are needed, as a sequence")
        for w_inh in self.w_inh:
            neurodyn.LateralInhibition(w_inh=w_inh)
        for rest in self.rests:
            neurodyn.Presentation(image_ms=self.duration * TAU_MS, rest_ms=rest * TAU_MS)


def main(config: Config) -> xr.Dataset:
    """Run the scenario, write its results and figure, and return the results."""
    torch.set_num_threads(1)
    backend = backends.resolve(config.backend)  # a mistake should not cost the training
    out, figure = config.paths("hysteresis")
    images = datasets.load(config.data, config.data_root)
    learned = config.learn(images, seed=config.seed)
    rests = [*config.rests, RESET]
    runs = [simulate(config, learned, rest) for rest in rests]
    result = xr.concat(
        [measure(config, run) for run in runs],
        dim=axis("rest", np.array(rests)),
        data_vars=["winner", "active_units"],  # also if they are equal at all rests
        coords="minimal",
        compat="equals",
    )
    result.attrs = {
        "title": "Who wins when activity is carried over",
        "source": "scenarios.hysteresis",
        "references": "Krotov & Hopfield 2019, PNAS 116:7723, eq. 8",
        "data": images.name,
        "backend": backend,
    }
    write(result, config, out)
    draw(result, runs[0], runs[-1], config).savefig(figure, dpi=110)
    print(table(result))
    print(f"\nWrote {out}/{{results.nc,config.json}} and {figure}")
    return result


def simulate(config: Config, learned: Learned, rest: float) -> xr.Dataset:
    """Simulate the sequence at all strengths of inhibition (dim `trial`)."""
    carried = rest != RESET
    return neurodyn.sweep(
        [neurodyn.LateralInhibition(tau_ms=TAU_MS, w_inh=w) for w in config.w_inh],
        learned.held_out.numpy(),
        learned.weights.numpy(),
        stimulus=neurodyn.Presentation(
            image_ms=config.duration * TAU_MS,
            rest_ms=rest * TAU_MS if carried else 0.0,
            reset=not carried,
        ),
        recording=neurodyn.Recording(activity_ms=SAMPLE_MS, by_image=False),
        backend=config.backend,
    )


def measure(config: Config, run: xr.Dataset) -> xr.Dataset:
    """Return the winner and the number of eligible winners of each image."""
    h = run["final_activity"].transpose("trial", "image", "unit")
    drive = run["drive"].isel(trial=0).transpose("image", "unit").values
    w_inh, image = axis("w_inh", config.w_inh), axis("image", np.arange(len(drive)))
    eligible = [eligible_winners(drive, w_inh=w).sum(axis=1) for w in config.w_inh]
    at = (w_inh, image)
    return dataset(
        winner=(at, analysis.winners(h), "1", "unit of largest activity at the end"),
        active_units=(at, analysis.active_units(h), "1", "active units at the end"),
        largest_drive=((image,), drive.argmax(axis=1), "1", "unit of largest drive"),
        eligible=(at, eligible, "1", "stable states with a single winner"),
    )


def eligible_winners(drive: NDArray[np.float64], *, w_inh: float) -> NDArray[np.bool_]:
    """Return which units can win alone (image, unit): w_inh I_u > I_v for all v ≠ u.

    If u wins alone, it has h = I_u > 0, and the others have h = I_v − w_inh I_u < 0.
    """
    top, second = -np.sort(-drive, axis=1)[:, :2].T
    others = np.where(drive == top[:, None], second[:, None], top[:, None])
    return (drive > 0) & (w_inh * drive > others)


def shares(result: xr.Dataset) -> xr.Dataset:
    """Return the shares of images (all but the first) with each kind of outcome."""
    winner = result["winner"]
    before = winner.shift(image=1, fill_value=-1)
    later = slice(1, None)
    wrong = winner != result["largest_drive"]
    outcomes = {
        "right": ~wrong,
        "held": wrong & (winner == before),
        "not_alone": result["active_units"] != 1,
    }
    return xr.Dataset(
        {name: each.isel(image=later).mean("image") for name, each in outcomes.items()}
    )


def table(result: xr.Dataset) -> str:
    """Return the results as text."""
    share = shares(result)
    num_images = result.sizes["image"]
    names = [rest_name(rest) for rest in result["rest"].values]
    titles = {
        "right": "share of images won by the unit of largest drive",
        "held": "share where another unit wins, the winner of the image before",
        "not_alone": "share without a lone winner",
    }
    lines = [
        f"{num_images} held-out images of {result.attrs['data']} in sequence (the first is "
        "not counted)"
    ]
    for key, title in titles.items():
        lines += ["", title, f"  {'w_inh':<8}" + "".join(f"{name:>12}" for name in names)]
        for w_inh in result["w_inh"].values:
            values = share[key].sel(w_inh=w_inh).values
            entries = "".join(f"{value:>12.3f}" for value in values)
            lines.append(f"  {w_inh:<8g}{entries}")
    lines += ["", "stable single-winner states of an image (mean, fewest, most)"]
    for w_inh in result["w_inh"].values:
        count = result["eligible"].sel(w_inh=w_inh)
        lines.append(
            f"  {w_inh:<8g}{float(count.mean()):>12.2f}{int(count.min()):>6}"
            f"{int(count.max()):>6}"
        )
    return "\n".join(lines)


def rest_name(rest: float) -> str:
    """Return the name of a rest in tables and figures."""
    return "reset" if rest == RESET else f"rest {rest:g} τ"


def draw(
    result: xr.Dataset, carried: xr.Dataset, reset: xr.Dataset, config: Config
) -> Figure:
    """Draw the results, and an example in which a winner keeps winning."""
    figure = Figure(figsize=(13.5, 8), layout="constrained")
    axes = figure.subplots(2, 3)
    draw_shares(axes[0, 0], result)
    draw_rests(axes[0, 1], result)
    draw_eligible(axes[0, 2], result)
    trial, image = example(result)
    for ax, run, name in (
        (axes[1, 0], carried, rest_name(config.rests[0])),
        (axes[1, 1], reset, "reset"),
    ):
        draw_example(ax, run.isel(trial=trial), image)
        w_inh = config.w_inh[trial]
        ax.set_title(
            f"images {image - 1} and {image}, w_inh = {w_inh:g}, {name}", fontsize=10
        )
    draw_lone(axes[1, 2], result)
    steps = step_text(carried), step_text(reset)
    figure.supxlabel(
        f"{result.attrs['data']}: {config.units} units trained by ranking (p = 2, k = "
        f"{RANKING.k}, Δ = {RANKING.delta:g}), seed {config.seed}; one sequence of "
        f"{config.num_images} held-out images (the first not counted), T = "
        f"{config.duration:g} τ, τ = {TAU_MS:g} ms; Brian2 ({result.attrs['backend']}),\n"
        f"Euler dt = {steps[0]} ms, with reset {steps[1]} ms. Bars: binomial standard "
        "error. Rest: no input, activity decays with τ; reset: activity set to 0.",
        fontsize=8,
    )
    return figure


def step_text(run: xr.Dataset) -> str:
    """Return the time step of a sweep as text [ms]."""
    return f"{json.loads(run.attrs['config'])[0]['dt_ms']:g}"


def draw_shares(ax: Axes, result: xr.Dataset) -> None:
    """Draw the shares of each kind of winner against inhibition."""
    share, num = shares(result), result.sizes["image"] - 1
    first = float(result["rest"][0])
    for rest, color, name in (
        (RESET, "C0", "reset"),
        (first, "C3", rest_name(first)),
    ):
        right = share["right"].sel(rest=rest)
        error = np.sqrt(right * (1 - right) / num)
        ax.errorbar(
            positions(result),
            right,
            error,
            fmt="o-",
            color=color,
            ms=5,
            capsize=3,
            label=f"largest drive wins, {name}",
        )
    held = share["held"].sel(rest=first)
    ax.plot(positions(result), held, "s--", color="C3", ms=4, label="last winner kept on")
    mark_inhibition(ax, result)
    ax.set(ylabel="share of images", ylim=(-0.03, 1.05))
    ax.set_title("who wins", fontsize=10)
    ax.legend(fontsize=7)


def positions(result: xr.Dataset) -> NDArray[np.intp]:
    """Return the x of each strength of inhibition: equally spaced."""
    return np.arange(result.sizes["w_inh"])


def mark_inhibition(ax: Axes, result: xr.Dataset) -> None:
    """Label the x axis with the strengths of inhibition."""
    ax.set_xticks(positions(result), [f"{w:g}" for w in result["w_inh"].values])
    ax.set(xlabel="inhibition w_inh")


def draw_rests(ax: Axes, result: xr.Dataset) -> None:
    """Draw the share of images won by the largest drive against the rest."""
    share = shares(result)
    x = np.arange(result.sizes["rest"])
    for number, w_inh in enumerate(result["w_inh"].values):
        right = share["right"].sel(w_inh=w_inh)
        ax.plot(x, right, "o-", color=f"C{number}", ms=4, label=f"{w_inh:g}")
    names = [rest_name(rest).removeprefix("rest ") for rest in result["rest"].values]
    ax.set_xticks(x, names)
    ax.set(xlabel="rest before each image", ylabel="share of images", ylim=(-0.03, 1.05))
    ax.set_title("largest drive wins", fontsize=10)
    ax.legend(title="w_inh", fontsize=7, title_fontsize=7, loc="lower right")


def draw_eligible(ax: Axes, result: xr.Dataset) -> None:
    """Draw the number of units that could win each image."""
    counts = result["eligible"].transpose("w_inh", "image").values
    ax.boxplot(list(counts), positions=positions(result), whis=(0, 100), widths=0.5)
    means = counts.mean(axis=1)
    ax.plot(positions(result), means, "D", color="C2", ms=4, label="mean")
    mark_inhibition(ax, result)
    ax.set_yscale("symlog", linthresh=1)
    ax.set(ylabel="units that could win alone", ylim=(-0.1, None))
    ax.set_title("stable single-winner states of an image", fontsize=10)
    ax.legend(fontsize=7)


def draw_lone(ax: Axes, result: xr.Dataset) -> None:
    """Draw the share of images without a lone winner."""
    lone = shares(result)["not_alone"]
    first = float(result["rest"][0])
    for rest, style in ((RESET, "oC0-"), (first, "xC3--")):
        values = lone.sel(rest=rest)
        ax.plot(positions(result), values, style, ms=7, label=rest_name(rest))
    mark_inhibition(ax, result)
    ax.set(ylabel="share of images", ylim=(-0.03, 1.05))
    ax.set_title("no lone winner at the end of T", fontsize=10)
    ax.legend(fontsize=7)


def example(result: xr.Dataset) -> tuple[int, int]:
    """Return the indices of w_inh and of the image whose traces are drawn.

    The image is the first that the previous winner keeps winning, at the strength nearest
    to 2 that has such an image. If there is none, it is the second image.
    """
    winner = result["winner"].isel(rest=0).transpose("w_inh", "image").values
    alone = result["active_units"].isel(rest=0).transpose("w_inh", "image").values == 1
    right = result["largest_drive"].values
    kept = (winner[:, 1:] == winner[:, :-1]) & (winner[:, 1:] != right[1:])
    kept &= alone[:, 1:] & alone[:, :-1] & (winner[:, :-1] == right[:-1])
    by_nearness = np.argsort(abs(result["w_inh"].values - 2), kind="stable")
    for trial in by_nearness:
        if kept[trial].any():
            return int(trial), int(np.argmax(kept[trial])) + 1
    return int(by_nearness[0]), 1


def draw_example(ax: Axes, run: xr.Dataset, image: int) -> None:
    """Draw two presentations: their units of largest drive in colour, drives dashed."""
    activity = run["activity"].sel(time=run["presentation"].isin([image - 1, image]))
    time = (activity["time"] - float(activity["time"][0])) / TAU_MS
    drive = run["drive"].sel(image=[image - 1, image]).values
    first, second = drive.argmax(axis=1)
    ax.plot(time, activity, color="0.85", lw=0.6)
    middle = float(time[-1]) / 2
    for unit, color, name in ((first, "C3", image - 1), (second, "C0", image)):
        label = f"unit {unit}, largest drive of image {name}"
        ax.plot(time, activity.sel(unit=unit), color=color, lw=1.6, label=label)
        for begin, level in ((0, drive[0, unit]), (middle, drive[1, unit])):
            ax.plot([begin, begin + middle], [level, level], "--", color=color, lw=0.8)
    ax.axvline(middle, color="0.5", lw=0.8)
    ax.axhline(0, color="0.7", lw=0.6, zorder=0)
    limits = -1.1 * float(drive.max()), 1.5 * float(drive.max())
    ax.set(xlabel="time / τ", ylabel="activity h (dashes: drive I)", ylim=limits)
    ax.legend(fontsize=7, loc="upper right")


if __name__ == "__main__":
    command("hysteresis", main, Config, __doc__)
