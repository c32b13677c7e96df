"""What does learning during the transient change?

By eq. 9 a unit with 0 ≤ h < h* unlearns. While activity settles, many units that will end
inactive are briefly positive, so synapses that learn all the time unlearn images that the
settled circuit would leave alone. How far does that turn the weight change away from that
of the settled activity, for presentations of several lengths T, and does it help to learn
in the last half of T only, or once at its end?

The weights hardly move within the images shown, so that ΔW is linear in g averaged over the
time of learning. That average comes from traces at every time step of circuits with static
weights. Plastic synapses are then simulated for some of the images, and must give the same.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

import neurodyn
from fastpath import datasets
from fastpath.plasticity import delta_w
from neurodyn import backends, equilibrium
from scenarios.quickstart import RANKING, TAU_MS, Learned, single_winner_threshold
from scenarios.settling import (
    axis,
    check_counts,
    check_increasing,
    dataset,
    learn,
    places,
    step_ms,
    write,
)
from scenarios.support.command import command

TIMINGS = ("continuous", "gated", "settled")
BLOCK = 10  # images whose traces are in memory together
# Bound on how much weights change while they learn: where doubling it doubles the
# difference from the traces. From about 1e-6 down, rounding of single steps is larger.
RELATIVE_CHANGE = 1e-4
SHOWN = 40  # τ after onset, in the traces of the figure


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is shown to which circuit."""

    data: str = "digits"
    """digits, mnist, fashion_mnist, cifar10, cifar100, an .npz file or an image folder."""
    data_root: Path | None = None
    """Where data sets lie [$NEURODYN_DATA, else the user's cache]."""
    units: int = 100
    """Number of hidden units."""
    epochs: int | None = None
    """Passes of learning by ranking [50 on the digits, else 5]."""
    seeds: int = 3
    """Networks trained."""
    num_images: int = 50
    """Held-out images over which the weight change is summed."""
    plastic_images: int = 50
    """The first of them, for which plastic synapses are simulated too."""
    plastic_duration: float = 20
    """T/τ with which they are, one of `durations`."""
    w_inh: tuple[float, ...] = (0.7, 0.9)
    """Strengths of lateral inhibition, below 1; plastic synapses are simulated with the
    last."""
    durations: tuple[float, ...] = (5, 10, 20, 50, 100, 300)
    """Presentation times T, in time constants τ."""
    backend: str = "cython"
    """numpy, cython, cpp (compiles for each simulation) or auto."""
    out: Path | None = None
    """Folder of results [runs/continuous_plasticity]."""
    figure: Path | None = None
    """File of the figure [figures/continuous_plasticity.png]."""
    overwrite: bool = False
    """Replace the results that the folder already holds."""

    def __post_init__(self) -> None:
        names = "units", "num_images", "epochs", "seeds", "plastic_images"
        check_counts(self, *names)
        check_increasing(w_inh=self.w_inh, durations=self.durations)
        if not (self.w_inh[0] >= 0 and self.w_inh[-1] < 1):
            raise ValueError(
                f"w_inh is {self.w_inh}: strengths from 0 to below 1 have a unique fixed "
                "point, whose weight change is the reference"
            )
        if not self.durations[0] > 0:
            raise ValueError(f"durations are {self.durations}: times must be positive")
        if self.plastic_duration not in self.durations:
            raise ValueError(
                f"plastic_duration is {self.plastic_duration:g}: give one of the "
                f"durations, {', '.join(f'{t:g}' for t in self.durations)}"
            )
        if self.plastic_images > self.num_images:
            raise ValueError(
                f"plastic_images is {self.plastic_images}: of num_images, "
                f"{self.num_images}, not more can be shown"
            )


def main(config: Config) -> xr.Dataset:
    """Run the scenario, write its results and figure, and return the results."""
    torch.set_num_threads(1)
    backend = backends.resolve(config.backend)  # a mistake should not cost the training
    out, figure = places(config, "continuous_plasticity")
    images = datasets.load(config.data, config.data_root)
    by_seed, check = [], xr.Dataset()
    for seed in range(config.seeds):
        learned = learn(
            images,
            units=config.units,
            epochs=config.epochs,
            seed=seed,
            num_images=config.num_images,
        )
        rows = []
        for w_inh in config.w_inh:
            h_star = single_winner_threshold(learned, w_inh=w_inh)
            rule = neurodyn.KrotovHopfield(delta=RANKING.delta, h_star=h_star)
            traced, result = trace(config, learned, rule, w_inh)
            rows.append(result)
            if seed == 0 and w_inh == config.w_inh[-1]:
                check = check_plastic(config, learned, rule, traced, w_inh)
        by_seed.append(xr.concat(rows, dim=axis("w_inh", config.w_inh), join="outer"))
    result = xr.concat(by_seed, dim=axis("seed", np.arange(config.seeds)), join="outer")
    result = result.merge(check)
    result.attrs = {
        "title": "What learning during the transient changes",
        "source": "scenarios.continuous_plasticity",
        "references": "Krotov & Hopfield 2019, PNAS 116:7723, eq. 3, 8, 9",
        "data": images.name,
        "backend": backend,
    }
    write(result, config, out)
    draw(result, config).savefig(figure, dpi=110)
    print(table(result))
    print(f"\nWrote {out}/{{results.nc,config.json}} and {figure}")
    return result


@dataclass(frozen=True, kw_only=True)
class Traced:
    """What the traces of the static circuit say about learning."""

    dt_ms: float
    mean_g: dict[str, NDArray[np.float64]]
    """g averaged over the time of learning (duration, image, unit), by timing."""


def trace(
    config: Config, learned: Learned, rule: neurodyn.KrotovHopfield, w_inh: float
) -> tuple[Traced, xr.Dataset]:
    """Simulate with static weights, and return what would be learned at each T."""
    circuit = neurodyn.LateralInhibition(tau_ms=TAU_MS, w_inh=w_inh)
    bank, weights = learned.held_out.numpy(), learned.weights.numpy()
    drive = bank @ weights.T
    lengths = [t * TAU_MS for t in config.durations]
    longest = neurodyn.Presentation(image_ms=lengths[-1])
    halves = [length / 2 for length in lengths]
    # Who learns in the first steps depends on who overshoots in them: nobody shall. Halves
    # of τ / 20, so that most networks have the same step.
    bound = TAU_MS / 20
    while bound > circuit.safe_step_ms(drive, reset=True):
        bound /= 2
    dt_ms = longest.fitting_step(bound, *lengths, *halves)
    num_shown = min(round(SHOWN * TAU_MS / dt_ms), round(lengths[-1] / dt_ms))
    parts, learning, first = [], np.zeros((2, num_shown)), np.zeros(0)
    for start in range(0, len(bank), BLOCK):
        block = np.arange(start, min(start + BLOCK, len(bank)))
        run = neurodyn.simulate(
            circuit,
            bank,
            weights,
            stimulus=longest,
            order=block,
            recording=neurodyn.Recording(activity_ms=dt_ms),
            backend=config.backend,
            dt_ms=dt_ms,
            batch_size=len(block),
        )
        h = run["activity"].values[1:].reshape(len(block), -1, config.units)
        for one in h:
            states = np.concatenate([np.zeros((1, config.units)), one])
            g = activation(states, rule)
            parts.append(averages(g, states, config, dt_ms))
            shown = g[:num_shown]
            learning += [(shown > 0).sum(axis=1), (shown < 0).sum(axis=1)]
            first = states[:num_shown] if not len(first) else first
    mean_g = {name: np.stack([part[0][name] for part in parts], axis=1) for name in TIMINGS}
    wasted, spent = (
        {name: np.sum([part[i][name] for part in parts], axis=0) for name in TIMINGS}
        for i in (1, 2)
    )
    settled_g = activation(equilibrium.settle(drive, w_inh=w_inh), rule)
    reference = change(settled_g, learned)
    changes = [[change(g, learned) for g in mean_g[name]] for name in TIMINGS]
    at = axis("timing", list(TIMINGS)), axis("duration", list(map(float, config.durations)))
    time = axis("time", dt_ms * np.arange(num_shown))
    unit = xr.DataArray(
        np.arange(config.units),
        dims="unit",
        name="unit",
        attrs={"units": "1", "long_name": "hidden unit"},
    )
    shares = [
        wasted[name] / np.where(spent[name] > 0, spent[name], np.nan) for name in TIMINGS
    ]
    result = dataset(
        cosine=(
            at,
            [[cosine(one, reference) for one in row] for row in changes],
            "1",
            "cosine of ΔW with that of the settled activity",
        ),
        norm=(
            at,
            [
                [np.linalg.norm(one) / np.linalg.norm(reference) for one in row]
                for row in changes
            ],
            "1",
            "size of ΔW per time of learning, relative to that of the settled activity",
        ),
        floor=(
            (),
            cosine(change(np.maximum(settled_g, 0), learned), reference),
            "1",
            "cosine if nothing unlearned: ΔW of the settled activity without −Δ",
        ),
        wasted=(at, shares, "1", "share of unlearning by units that end inactive"),
        hebbian=((time,), learning[0] / len(bank), "1", "units with g = 1, mean of images"),
        unlearning=(
            (time,),
            learning[1] / len(bank),
            "1",
            "units with g = −Δ, mean of images",
        ),
        hebbian_settled=((), (settled_g > 0).sum() / len(bank), "1", "the same, settled"),
        unlearning_settled=((), (settled_g < 0).sum() / len(bank), "1", "same, settled"),
        h_star=((), rule.h_star, "1", "threshold h* of Hebbian learning"),
        dt_ms=((), dt_ms, "ms", "time step of Euler's method"),
        example=((time, unit), first, "1", "activity h of the first image"),
    )
    return Traced(dt_ms=dt_ms, mean_g=mean_g), result


def activation(
    h: NDArray[np.float64], rule: neurodyn.KrotovHopfield
) -> NDArray[np.float64]:
    """Return g(h) of eq. 9."""
    return np.where(h >= rule.h_star, 1.0, np.where(h >= 0, -rule.delta, 0.0))


type ByTiming = dict[str, NDArray[np.float64]]


def averages(
    g: NDArray[np.float64], h: NDArray[np.float64], config: Config, dt_ms: float
) -> tuple[ByTiming, ByTiming, ByTiming]:
    """Return what one image (step, unit) teaches at each T, by timing.

    g averaged over the time of learning (duration, unit); the unlearning of units that end
    inactive, and of all (duration). A step of learning takes the state before it.
    """
    ends = [round(t * TAU_MS / dt_ms) for t in config.durations]
    sums, unlearned = (
        np.concatenate([np.zeros((1, g.shape[1])), one.cumsum(axis=0)])
        for one in (g, (g < 0).astype(float))
    )
    inactive = np.array([h[end] < 0 for end in ends])
    means, wasted, spent = {}, {}, {}
    starts = {"continuous": [0] * len(ends), "gated": [end // 2 for end in ends]}
    for name, begins in starts.items():
        pairs = list(zip(begins, ends, strict=True))
        means[name] = np.array([(sums[e] - sums[b]) / (e - b) for b, e in pairs])
        by_unit = np.array([unlearned[e] - unlearned[b] for b, e in pairs])
        wasted[name] = (by_unit * inactive).sum(axis=1)
        spent[name] = by_unit.sum(axis=1)
    means["settled"] = g[ends]
    wasted["settled"], spent["settled"] = np.zeros(len(ends)), (g[ends] < 0).sum(axis=1)
    return means, wasted, spent


def change(g: NDArray[np.float64], learned: Learned) -> NDArray[np.float64]:
    """Return ΔW for g (image, unit) of the first images, by eq. 3 per τ_L."""
    v = learned.held_out[: len(g)]
    drive = v @ learned.weights.T
    return delta_w(torch.from_numpy(g), drive, v, learned.weights).numpy()


def cosine(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the cosine of two arrays; NaN if one is 0."""
    size = np.linalg.norm(first) * np.linalg.norm(second)
    return float((first * second).sum() / size) if size else np.nan


def check_plastic(
    config: Config,
    learned: Learned,
    rule: neurodyn.KrotovHopfield,
    traced: Traced,
    w_inh: float,
) -> xr.Dataset:
    """Simulate synapses that learn, and compare their change with that from the traces."""
    shown, place = (
        slice(config.plastic_images),
        config.durations.index(config.plastic_duration),
    )
    drive = learned.held_out[shown] @ learned.weights.T
    settled_g = activation(equilibrium.settle(drive.numpy(), w_inh=w_inh), rule)
    reference = change(settled_g, learned)
    cosines, errors, halved = [], [], []
    for timing in TIMINGS:
        expected = change(traced.mean_g[timing][place, shown], learned)
        whole, half = (
            simulate_plastic(
                config, learned, rule, traced, timing, w_inh, relative_change=relative
            )
            for relative in (RELATIVE_CHANGE, RELATIVE_CHANGE / 2)
        )
        cosines.append(cosine(whole, reference))
        errors.append(abs(whole - expected).max() / abs(expected).max())
        halved.append(abs(half - expected).max() / abs(expected).max())
    at = (axis("timing", list(TIMINGS)),)
    return dataset(
        plastic_cosine=(at, cosines, "1", "cosine, plastic synapses"),
        plastic_error=(
            at,
            errors,
            "1",
            "largest difference of ΔW, plastic synapses and traces, relative to max |ΔW|",
        ),
        plastic_error_halved=(at, halved, "1", "the same with half the learning rate"),
    )


def simulate_plastic(
    config: Config,
    learned: Learned,
    rule: neurodyn.KrotovHopfield,
    traced: Traced,
    timing: str,
    w_inh: float,
    *,
    relative_change: float,
) -> NDArray[np.float64]:
    """Return ΔW per time of learning and τ_L, of plastic synapses in Brian2.

    τ_L is so long that the weights change by `relative_change` or less.
    """
    image_ms = config.plastic_duration * TAU_MS
    timings: dict[str, tuple[Any, float]] = {
        "continuous": (neurodyn.Continuous(), image_ms),
        "gated": (neurodyn.Gated(last_ms=image_ms / 2), image_ms / 2),
        "settled": (neurodyn.Settled(), image_ms),
    }
    when, learning_ms = timings[timing]
    bank, weights = learned.held_out.numpy(), learned.weights.numpy()
    strongest = float(abs(bank @ weights.T).max())
    total_ms = learning_ms * config.plastic_images
    tau_l_ms = total_ms * strongest / relative_change
    run = neurodyn.simulate(
        neurodyn.LateralInhibition(tau_ms=TAU_MS, w_inh=w_inh),
        bank,
        weights,
        plasticity=neurodyn.KrotovHopfield(
            delta=rule.delta, h_star=rule.h_star, tau_l_ms=tau_l_ms, timing=when
        ),
        stimulus=neurodyn.Presentation(image_ms=image_ms),
        order=np.arange(config.plastic_images),
        recording=neurodyn.Recording(activity_ms=None, images_every=None),
        backend=config.backend,
        dt_ms=traced.dt_ms,
    )
    assert step_ms(run) == traced.dt_ms
    return (run["weights"].values - weights) * (tau_l_ms / learning_ms)


def table(result: xr.Dataset) -> str:
    """Return the results as text."""
    sizes = result.sizes
    lines = [
        f"Summed weight change of held-out images of {result.attrs['data']}, "
        f"{sizes['seed']} networks",
        "cosine with the change of the settled activity, mean ± sd (relative size)",
    ]
    for w_inh, at_w in result.groupby("w_inh"):
        one = at_w.squeeze("w_inh")
        floor = one["floor"]
        lines += [
            "",
            f"w_inh = {w_inh:g}; nothing unlearned: {float(floor.mean()):.3f} ± "
            f"{float(spread(floor)):.3f}",
            f"  {'T / τ':<8}" + "".join(f"{name:>26}" for name in TIMINGS),
        ]
        for duration in result["duration"].values:
            cells = []
            for timing in TIMINGS:
                values = one["cosine"].sel(timing=timing, duration=duration)
                size = float(one["norm"].sel(timing=timing, duration=duration).mean())
                cells.append(
                    f"{float(values.mean()):.3f} ± {float(spread(values)):.3f} ({size:.2f})"
                )
            lines.append(f"  {duration:<8g}" + "".join(f"{cell:>26}" for cell in cells))
        wasted = one["wasted"].sel(timing="continuous").mean("seed").values
        lines.append(
            "  unlearning by units that end inactive, continuous: "
            + ", ".join(f"{share:.2f}" for share in wasted)
        )
    error, halved = result["plastic_error"].max(), result["plastic_error_halved"].max()
    lines.append(
        f"\nPlastic synapses against traces: ΔW differs by {float(error):.1e} at most, "
        f"{float(halved):.1e} with half the rate"
    )
    return "\n".join(lines)


def spread(values: xr.DataArray) -> xr.DataArray:
    """Return the standard deviation over seeds, 0 of one."""
    return values.std("seed", ddof=min(1, values.sizes["seed"] - 1))


def draw(result: xr.Dataset, config: Config) -> Figure:
    """Draw the results, and the learning of one image."""
    figure = Figure(figsize=(13.5, 8), layout="constrained")
    axes = figure.subplots(2, 3)
    w_inh = config.w_inh[-1]
    main_result = result.sel(w_inh=w_inh)
    draw_cosine(axes[0, 0], main_result, plastic=config.plastic_duration)
    draw_cosine(axes[0, 1], result.sel(w_inh=config.w_inh[0]))
    draw_norm(axes[0, 2], result)
    draw_example(axes[1, 0], main_result.isel(seed=0))
    draw_learners(axes[1, 1], main_result)
    draw_wasted(axes[1, 2], result)
    steps = ", ".join(f"{step:g}" for step in np.unique(result["dt_ms"].values))
    figure.supxlabel(
        f"{result.attrs['data']}: {config.units} units trained by ranking (p = 2, k = "
        f"{RANKING.k}, Δ = {RANKING.delta:g}); ΔW summed over {config.num_images} held-out "
        f"images, each from h = 0; mean ± sd of {config.seeds} networks; τ = {TAU_MS:g} "
        f"ms; Brian2 ({result.attrs['backend']}), Euler dt = {steps} ms.\n"
        "Reference: ΔW with g of the closed form. h*: chosen on training images, for each "
        "network and w_inh. Floor: the reference without −Δ. Crosses: plastic synapses, "
        f"first network, {config.plastic_images} images, weights moved by less than "
        f"{RELATIVE_CHANGE:g}.",
        fontsize=8,
    )
    return figure


COLORS = dict(zip(TIMINGS, ("C3", "C1", "C0"), strict=True))
LABELS = {
    "continuous": "all the time",
    "gated": "last half of T",
    "settled": "once, at the end of T",
}


def draw_cosine(ax: Axes, result: xr.Dataset, *, plastic: float | None = None) -> None:
    """Draw the cosine with the reference against T."""
    duration = result["duration"]
    floor, sd = float(result["floor"].mean()), float(spread(result["floor"]))
    ax.axhspan(floor - sd, floor + sd, color="0.88", lw=0)
    ax.axhline(floor, color="0.5", lw=1, ls="--", label="floor: nothing unlearned")
    for timing, color in COLORS.items():
        values = result["cosine"].sel(timing=timing)
        middle, sd = values.mean("seed"), spread(values)
        ax.fill_between(duration, middle - sd, middle + sd, color=color, alpha=0.25, lw=0)
        ax.plot(duration, middle, "o-", color=color, ms=4, label=LABELS[timing])
        if plastic is not None:
            checked = float(result["plastic_cosine"].sel(timing=timing))
            ax.plot(plastic, checked, "x", color=color, ms=9, mew=2)
    ax.set_xscale("log")
    ax.set_xticks(duration, [f"{t:g}" for t in duration.values])
    ax.minorticks_off()
    ax.set(xlabel="T / τ", ylabel="cos(ΔW, ΔW settled)", ylim=(None, 1.03))
    ax.set_title(f"direction of learning, w_inh = {float(result['w_inh']):g}", fontsize=10)
    ax.legend(fontsize=7, loc="lower right")


def draw_norm(ax: Axes, result: xr.Dataset) -> None:
    """Draw the size of the weight change against T."""
    lines = ("-", "--", ":")
    for place, w_inh in enumerate(result["w_inh"].values):
        for timing, color in COLORS.items():
            values = result["norm"].sel(w_inh=w_inh, timing=timing).mean("seed")
            label = f"{LABELS[timing]}, w = {w_inh:g}"
            style = lines[place % len(lines)]
            ax.plot(values["duration"], values, style, color=color, lw=1.2, label=label)
    ax.axhline(1, color="0.7", lw=0.6, zorder=0)
    ax.set_xscale("log")
    duration = result["duration"].values
    ax.set_xticks(duration, [f"{t:g}" for t in duration])
    ax.minorticks_off()
    ax.set(xlabel="T / τ", ylabel="|ΔW| / |ΔW settled|, per time of learning")
    ax.set_title("size of the weight change", fontsize=10)
    ax.legend(fontsize=6)


def draw_example(ax: Axes, result: xr.Dataset) -> None:
    """Draw the activity of one image, coloured by what each unit learns at the time."""
    h_star = float(result["h_star"])
    h = result["example"].dropna("time").transpose("time", "unit")
    time = h["time"].values / TAU_MS
    names = {"C3": "g = 1", "C0": "g = −Δ", "0.8": "g = 0"}
    for values in h.values.T:
        middle = (values[1:] + values[:-1]) / 2
        points = np.stack([time, values], axis=1)
        segments = np.stack([points[:-1], points[1:]], axis=1)
        colors = np.where(middle >= h_star, "C3", np.where(middle >= 0, "C0", "0.8"))
        lines = LineCollection(list(segments), colors=list(colors), linewidths=0.9)
        ax.add_collection(lines)
    for color, name in names.items():
        ax.plot([], [], color=color, label=name)
    ax.axhline(h_star, color="k", lw=0.8, ls="--", label="h*")
    ax.set(xlabel="time / τ", ylabel="activity h", xlim=(0, time[-1]))
    low = float(np.quantile(h, 0.1))
    ax.set_ylim(min(low, -0.1 * h_star), 1.05 * float(h.max()))
    ax.set_title(f"who learns, image 0, w_inh = {float(result['w_inh']):g}", fontsize=10)
    ax.legend(fontsize=7, loc="center right")


def draw_learners(ax: Axes, result: xr.Dataset) -> None:
    """Draw how many units learn and unlearn, against time."""
    for name, color in (("hebbian", "C3"), ("unlearning", "C0")):
        count = result[name].mean("seed", skipna=True).dropna("time")
        settled = float(result[f"{name}_settled"].mean())
        label = "g = 1" if name == "hebbian" else "g = −Δ"
        ax.plot(count["time"] / TAU_MS, count, color=color, label=label)
        ax.axhline(settled, color=color, ls="--", lw=0.8, label=f"settled: {settled:.2f}")
    ax.set_yscale("symlog", linthresh=1)
    ax.set(xlabel="time / τ", ylabel="units, mean over images", ylim=(0, None))
    ax.set_title(f"units that learn, w_inh = {float(result['w_inh']):g}", fontsize=10)
    ax.legend(fontsize=7)


def draw_wasted(ax: Axes, result: xr.Dataset) -> None:
    """Draw the share of unlearning by units that end inactive."""
    for place, w_inh in enumerate(result["w_inh"].values):
        for timing in ("continuous", "gated"):
            values = result["wasted"].sel(w_inh=w_inh, timing=timing)
            style = ("-", "--", ":")[place % 3]
            label = f"{LABELS[timing]}, w = {w_inh:g}"
            middle, sd = values.mean("seed"), spread(values)
            color, duration = COLORS[timing], values["duration"]
            ax.fill_between(duration, middle - sd, middle + sd, color=color, alpha=0.15)
            ax.plot(duration, middle, "o" + style, color=color, ms=3, label=label)
    ax.set_xscale("log")
    duration = result["duration"].values
    ax.set_xticks(duration, [f"{t:g}" for t in duration])
    ax.minorticks_off()
    ax.set(xlabel="T / τ", ylabel="share of all unlearning", ylim=(0, 1.03))
    ax.set_title("unlearning by units that end inactive", fontsize=10)
    ax.legend(fontsize=7)


if __name__ == "__main__":
    command("continuous_plasticity", main, Config, __doc__)
