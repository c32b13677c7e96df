"""How do inhibition and presentation time shape the competition?

Shows held-out images to the circuit, with trained and with random weights, at many
strengths of inhibition; looks at the activity after several times T, and compares it with
the fixed point in closed form: how many units are active, how far h is away, whether the
active sets are the same, and how long it takes beside the time constant τ / (1 − w_inh).

One long presentation serves all T: its activity is sampled, not simulated again.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

import neurodyn
from fastpath import checkpoint, checks, datasets
from fastpath.defaults import defaults_for
from fastpath.layers import Dense
from fastpath.train import Training, train
from neurodyn import backends, equilibrium, plots, traces
from neurodyn.times import is_multiple
from scenarios.quickstart import RANKING, TAU_MS, Learned
from scenarios.support.command import command

SAMPLE_MS = 0.2 * TAU_MS
TOLERANCE = 0.01  # of the largest drive: closer than that to the fixed point is settled
KINDS = ("trained", "random")


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
    seed: int = 0
    """Of the weights."""
    num_images: int = 100
    """Held-out images shown, side by side."""
    w_inh: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
    """Strengths of lateral inhibition, below 1: the fixed point is then unique."""
    durations: tuple[float, ...] = (5, 10, 20, 50, 100)
    """Times T at which the activity is looked at, in time constants τ."""
    backend: str = "cython"
    """numpy, cython, cpp (compiles for each strength) or auto."""
    out: Path | None = None
    """Folder of results [runs/settling]."""
    figure: Path | None = None
    """File of the figure [figures/settling.png]."""
    overwrite: bool = False
    """Replace the results that the folder already holds."""

    def __post_init__(self) -> None:
        checks.seed("seed", self.seed)
        check_counts(self, "units", "num_images", "epochs")
        check_increasing(w_inh=self.w_inh, durations=self.durations)
        if not (self.w_inh[0] >= 0 and self.w_inh[-1] < 1):
            raise ValueError(
                f"w_inh is {self.w_inh}: strengths from 0 to below 1 have a unique fixed "
                "point to compare with (from 1 on see scenarios.hysteresis)"
            )
        if not all(t > 0 and is_multiple(t * TAU_MS, SAMPLE_MS) for t in self.durations):
            raise ValueError(
                f"durations are {self.durations}: positive multiples of "
                f"{SAMPLE_MS / TAU_MS:g} are needed, at which the activity is sampled"
            )


def main(config: Config) -> xr.Dataset:
    """Run the scenario, write its results and figure, and return the results."""
    torch.set_num_threads(1)
    backends.resolve(config.backend)  # a mistake should not cost the training
    out, figure = places(config, "settling")
    images = datasets.load(config.data, config.data_root)
    measured, examples = [], {}
    for kind in KINDS:
        learned = learn(
            images,
            units=config.units,
            epochs=config.epochs if kind == "trained" else 0,
            seed=config.seed,
            num_images=config.num_images,
        )
        rows = []
        for w_inh in config.w_inh:
            run = simulate(config, learned, w_inh)
            rows.append(measure(config, run, w_inh))
            if kind == "trained":
                examples[w_inh] = first_presentation(run)
        measured.append(xr.concat(rows, dim=axis("w_inh", config.w_inh)))
    result = xr.concat(measured, dim=axis("weights", list(KINDS)))
    result.attrs = {
        "title": "How inhibition and presentation time shape the competition",
        "source": "scenarios.settling",
        "references": "Krotov & Hopfield 2019, PNAS 116:7723, eq. 8",
        "data": images.name,
        "backend": backends.resolve(config.backend),
    }
    write(result, config, out)
    draw(result, examples, config).savefig(figure, dpi=110)
    print(table(result))
    print(f"\nWrote {out}/{{results.nc,config.json}} and {figure}")
    return result


class Placed(Protocol):
    """A configuration that says where results go."""

    @property
    def data(self) -> str:
        """Data set."""
        ...

    @property
    def out(self) -> Path | None:
        """Folder."""
        ...

    @property
    def figure(self) -> Path | None:
        """File."""
        ...

    @property
    def overwrite(self) -> bool:
        """Whether to replace results."""
        ...


def places(config: Placed, name: str) -> tuple[Path, Path]:
    """Return the folder of results and the file of the figure, both checked.

    Raises
    ------
    ValueError
        If the folder holds results that are not to be replaced, or cannot be written to.
    """
    datasets.check_root(config, config.data)
    stem = Path(config.data).stem
    name = name if stem == "digits" else f"{name}_{stem}"
    out = config.out or Path("runs") / name
    figure = config.figure or Path("figures") / f"{name}.png"
    checkpoint.prepare(out, overwrite=config.overwrite)
    traces.check_writable(figure)
    return out, figure


def write(result: xr.Dataset, config: Any, out: Path) -> None:
    """Save results, every variable with its units, and the configuration."""
    for name, variable in result.variables.items():
        missing = {"units", "long_name"} - set(variable.attrs)
        if missing:
            raise ValueError(f"'{name}' has no attribute {' and '.join(sorted(missing))}")
    checkpoint.save_dataset(out / "results.nc", result)
    settings = {
        key: str(value) if isinstance(value, Path) else value
        for key, value in asdict(config).items()
    }
    checkpoint.save_json(out / checkpoint.CONFIG, settings)


def check_counts(config: Any, *names: str) -> None:
    """Refuse numbers of things below 1 (None stands for a default)."""
    for name in names:
        if (value := getattr(config, name)) is not None and value < 1:
            raise ValueError(f"{name} is {value}: at least 1 is needed")


def check_increasing(**sequences: tuple[float, ...]) -> None:
    """Refuse sequences that are empty or do not increase."""
    for name, values in sequences.items():
        if not values or not all(np.diff(values) > 0):
            raise ValueError(f"{name} is {values}: give one value or more, increasing")


def learn(
    images: datasets.Images, *, units: int, epochs: int | None, seed: int, num_images: int
) -> Learned:
    """Train a layer by ranking, and take images that it has not seen.

    Parameters
    ----------
    epochs
        None: 50 on the digits, else 5. 0: the weights stay as random as they start.

    Raises
    ------
    ValueError
        If fewer than `num_images` are held out.
    """
    if num_images > len(images.x_test):
        raise ValueError(
            f"num_images is {num_images}: {len(images.x_test)} images are held out"
        )
    if epochs is None:
        epochs = 50 if images.origin == "digits" else 5
    preprocess = defaults_for(images.origin).preprocess
    x = torch.from_numpy(images.x_train)
    mean = preprocess.fit(x)
    generator = torch.Generator().manual_seed(seed)
    layer = Dense.random(units, mean.numel(), p=2.0, generator=generator)
    train(
        layer,
        x,
        competition=RANKING,
        training=Training(epochs=epochs),
        preprocess=preprocess,
        mean=mean,
        generator=generator,
        progress=False,
    )
    generator = torch.Generator().manual_seed(0)  # sets may be sorted by class
    held_out, seen = (
        preprocess(
            torch.from_numpy(x)[torch.randperm(len(x), generator=generator)[:count]], mean
        ).double()
        for x, count in ((images.x_test, num_images), (images.x_train, 1000))
    )
    return Learned(layer.weights.double(), held_out, seen, {})


LONG_NAMES = {
    "weights": "weights",
    "w_inh": "strength of lateral inhibition",
    "duration": "presentation time T / τ",
    "image": "held-out image",
    "seed": "seed of the weights",
    "timing": "when the synapses learn",
    "rest": "rest before each image, in τ (inf: activity is set to 0)",
    "time": "time since onset",
}


def axis(name: str, values: ArrayLike) -> xr.DataArray:
    """Return a coordinate with its description."""
    units = "ms" if name == "time" else "1"
    return xr.DataArray(
        np.asarray(values),
        dims=name,
        name=name,
        attrs={"units": units, "long_name": LONG_NAMES[name]},
    )


def dataset(
    **variables: tuple[tuple[xr.DataArray, ...], ArrayLike, str, str],
) -> xr.Dataset:
    """Return a Dataset of variables, each given as (axes, values, units, long_name)."""
    return xr.Dataset(
        {
            name: xr.DataArray(
                np.asarray(values),
                dims=[str(one.name) for one in axes],
                coords={str(one.name): one for one in axes},
                attrs={"units": units, "long_name": long_name},
            )
            for name, (axes, values, units, long_name) in variables.items()
        }
    )


def simulate(config: Config, learned: Learned, w_inh: float) -> xr.Dataset:
    """Show all images for the longest T, side by side."""
    return neurodyn.simulate(
        neurodyn.LateralInhibition(tau_ms=TAU_MS, w_inh=w_inh),
        learned.held_out.numpy(),
        learned.weights.numpy(),
        stimulus=neurodyn.Presentation(image_ms=config.durations[-1] * TAU_MS),
        recording=neurodyn.Recording(activity_ms=SAMPLE_MS),
        backend=config.backend,
        batch_size=config.num_images,
    )


def measure(config: Config, run: xr.Dataset, w_inh: float) -> xr.Dataset:
    """Return what the activity is at each T, beside the closed form."""
    drive = run["drive"].values
    settled = equilibrium.settle(drive, w_inh=w_inh)
    h = run["activity"].values[1:].reshape(len(drive), -1, drive.shape[1])
    away = abs(h - settled[:, None]).max(axis=2) / drive.max(axis=1, keepdims=True)
    same = ((h > 0) == (settled > 0)[:, None]).all(axis=2)
    samples = [round(t * TAU_MS / SAMPLE_MS) - 1 for t in config.durations]
    image = axis("image", np.arange(len(drive)))
    at = (image, axis("duration", np.array(config.durations, dtype=float)))
    return dataset(
        active_units=(at, (h > 0).sum(axis=2)[:, samples], "1", "active units at T"),
        distance=(at, away[:, samples], "1", "largest |h(T) - h_eq| / I_max of a unit"),
        same_set=(at, same[:, samples], "1", "active set is that of the closed form"),
        settled_units=(
            (image,),
            (settled > 0).sum(axis=1),
            "1",
            "active units, closed form",
        ),
        settling_ms=(
            (image,),
            settling_ms(away),
            "ms",
            f"time until all units stay within {TOLERANCE:g} I_max of the closed form "
            "(inf: later than the longest T)",
        ),
        dt_ms=((), step_ms(run), "ms", "time step of Euler's method"),
    )


def step_ms(run: xr.Dataset) -> float:
    """Return the time step that a simulation was run with."""
    return float(json.loads(run.attrs["config"])["dt_ms"])


def settling_ms(away: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return when distances (image, sample) fall below TOLERANCE for good [ms]."""
    inside = (away <= TOLERANCE)[:, ::-1]
    stays = np.where(inside.all(axis=1), away.shape[1], np.argmin(inside, axis=1))
    return np.where(stays > 0, (away.shape[1] - stays + 1) * SAMPLE_MS, np.inf)


def first_presentation(run: xr.Dataset) -> xr.Dataset:
    """Return activity and drive of the first image."""
    first = run[["activity"]].sel(time=run["presentation"] == 0)
    return first.assign(drive=run["drive"].isel(image=0))


def table(result: xr.Dataset) -> str:
    """Return the results as text."""
    lines = [
        f"{result.sizes['image']} held-out images of {result.attrs['data']}, T in τ = "
        f"{TAU_MS:g} ms"
    ]
    for kind in KINDS:
        chosen = result.sel(weights=kind)
        lines += ["", f"{kind} weights: mean number of active units"]
        lines.append(row("w_inh", [f"T = {t:g}" for t in result["duration"].values], "eq."))
        for w_inh, one in chosen.groupby("w_inh"):
            means = one["active_units"].mean("image").values.ravel()
            closed = float(one["settled_units"].mean())
            lines.append(row(f"{w_inh:g}", [f"{m:.2f}" for m in means], f"{closed:.2f}"))
        lines.append("median / largest |h(T) - h_eq| / I_max; share of equal active sets")
        for w_inh, one in chosen.groupby("w_inh"):
            cells = [
                f"{float(at.median()):.0e}/{float(at.max()):.0e} {float(same.mean()):.2f}"
                for (_, at), (_, same) in zip(
                    one["distance"].groupby("duration"),
                    one["same_set"].groupby("duration"),
                    strict=True,
                )
            ]
            lines.append(row(f"{w_inh:g}", cells))
        lines.append(f"time to stay within {TOLERANCE:g} I_max, in τ (median, 90 %)")
        for w_inh, one in chosen.groupby("w_inh"):
            middle, late = quantiles(one["settling_ms"].values.ravel() / TAU_MS)
            slow = 1 / (1 - w_inh)
            lines.append(
                row(f"{w_inh:g}", [f"{middle:.3g}, {late:.3g}"], f"1/(1-w) {slow:.3g}")
            )
    return "\n".join(lines)


def row(first: str, cells: list[str], last: str = "") -> str:
    """Return a line of a table."""
    return (
        f"  {first:<6}" + "".join(f"{cell:>19}" for cell in cells) + f"{last:>14}"
    ).rstrip()


def quantiles(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the median and the 90 % quantile, as values that occur (inf may be one)."""
    middle, late = np.quantile(values, [0.5, 0.9], method="higher")
    return float(middle), float(late)


def draw(result: xr.Dataset, examples: dict[float, xr.Dataset], config: Config) -> Figure:
    """Draw the results and two examples."""
    figure = Figure(figsize=(13.5, 8), layout="constrained")
    axes = figure.subplots(2, 3)
    draw_active(axes[0, 0], result)
    draw_distance(axes[0, 1], result.sel(weights="trained"))
    draw_agreement(axes[0, 2], result.sel(weights="trained"))
    draw_settling(axes[1, 0], result)
    for ax, wanted in zip(axes[1, 1:], (0.5, 0.9), strict=True):
        w_inh = min(examples, key=lambda w: abs(w - wanted))
        draw_example(ax, examples[w_inh], w_inh)
    steps_ms = ", ".join(f"{step:g}" for step in np.unique(result["dt_ms"].values))
    figure.supxlabel(
        f"{result.attrs['data']}: {config.units} units, trained by ranking (p = 2, k = "
        f"{RANKING.k}, Δ = {RANKING.delta:g}) or random N(0, 1), seed {config.seed}; "
        f"{config.num_images} held-out images, each from h = 0; τ = {TAU_MS:g} ms; "
        f"Brian2 ({result.attrs['backend']}), Euler dt = {steps_ms} ms.\n"
        "Closed form: neurodyn.equilibrium. Error: the unit that is furthest from the "
        "fixed point, relative to the image's largest drive.",
        fontsize=8,
    )
    return figure


def draw_active(ax: Axes, result: xr.Dataset) -> None:
    """Draw the number of active units against inhibition."""
    last = float(result["duration"][-1])
    for kind, color in zip(KINDS, ("C0", "C1"), strict=True):
        means = result.sel(weights=kind).mean("image")
        w_inh = means["w_inh"]
        ax.plot(w_inh, means["settled_units"], color=color, lw=1.5, label=f"{kind}, eq.")
        at_last = means["active_units"].sel(duration=last)
        ax.plot(w_inh, at_last, "o", color=color, ms=5, label=f"{kind}, T = {last:g} τ")
        for duration in result["duration"].values[:-1]:
            early = means["active_units"].sel(duration=duration)
            ax.plot(w_inh, early, ":", color=color, lw=0.8)
            if kind == "trained":
                end = (float(w_inh[-1]), float(early[-1]))
                ax.annotate(
                    f"{duration:g}",
                    end,
                    xytext=(3, -2),
                    textcoords="offset points",
                    fontsize=7,
                )
    ax.set_yscale("log")
    ax.set_xlim(right=1.08)
    ax.set(xlabel="inhibition w_inh", ylabel="active units, mean")
    ax.set_title("competitors left (dotted: at shorter T / τ)", fontsize=10)
    ax.legend(fontsize=7)


def draw_distance(ax: Axes, trained: xr.Dataset) -> None:
    """Draw the distance from the fixed point against T, with the slow mode's slope."""
    duration = trained["duration"].values
    chosen = [w for w in (0.5, 0.8, 0.9, 0.99) if w in trained["w_inh"].values]
    for place, w_inh in enumerate(chosen or list(trained["w_inh"].values)):
        distance = trained["distance"].sel(w_inh=w_inh)
        color = f"C{place}"
        ax.plot(
            duration, distance.median("image"), "o-", color=color, ms=4, label=f"{w_inh:g}"
        )
        ax.plot(duration, distance.max("image"), "-", color=color, lw=0.6)
        fine = np.linspace(0, duration[-1], 200)
        ax.plot(fine, np.exp(-(1 - w_inh) * fine), "--", color=color, lw=0.8)
    ax.set_yscale("log")
    ax.set_ylim(1e-16, 3)
    ax.set(xlabel="T / τ", ylabel="|h(T) − h_eq| / I_max")
    ax.set_title("error: median, largest (thin), exp(−(1 − w) T / τ) (dashes)", fontsize=10)
    ax.legend(title="w_inh (trained)", fontsize=7, title_fontsize=7)


def draw_agreement(ax: Axes, trained: xr.Dataset) -> None:
    """Draw the share of images with the active set of the fixed point."""
    share = trained["same_set"].mean("image").transpose("duration", "w_inh")
    ax.imshow(share, cmap="viridis", vmin=0, vmax=1, aspect="auto", origin="lower")
    for (y, x), value in np.ndenumerate(share.values):
        color = "w" if value < 0.6 else "k"
        ax.text(x, y, f"{value:.2f}", ha="center", va="center", color=color, fontsize=8)
    ax.set_xticks(range(share.sizes["w_inh"]), [f"{w:g}" for w in share["w_inh"].values])
    ax.set_yticks(
        range(share.sizes["duration"]), [f"{t:g}" for t in share["duration"].values]
    )
    ax.set(xlabel="inhibition w_inh", ylabel="T / τ")
    ax.set_title("share of images with the right active set (trained)", fontsize=10)


def draw_settling(ax: Axes, result: xr.Dataset) -> None:
    """Draw the time to settle against the slow time constant."""
    slow = 1 / (1 - result["w_inh"].values)
    longest = float(result["duration"][-1])
    for kind, color in zip(KINDS, ("C0", "C1"), strict=True):
        times = result["settling_ms"].sel(weights=kind).transpose("w_inh", "image") / TAU_MS
        middle, late = np.array([quantiles(values) for values in times.values]).T
        ax.plot(slow, middle, "o-", color=color, ms=4, label=f"{kind}, median")
        ax.plot(slow, late, "^:", color=color, ms=4, label=f"{kind}, 90 %")
    for factor in (1, 5):
        name = "τ / (1 − w)"
        label = name if factor == 1 else f"{factor} {name}"
        ax.plot(
            slow,
            factor * slow,
            "--",
            color=f"{0.2 * factor - 0.2:.1f}",
            lw=0.8,
            label=label,
        )
    ax.axhline(longest, color="0.8", lw=0.8, zorder=0)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_ylim(top=1.3 * longest)
    ax.set(xlabel="1 / (1 − w_inh)", ylabel="time to settle / τ")
    ax.set_title(f"time until all within {TOLERANCE:.0%} of I_max, for good", fontsize=10)
    ax.legend(fontsize=7)


def draw_example(ax: Axes, first: xr.Dataset, w_inh: float) -> None:
    """Draw how the first image settles."""
    drive = first["drive"]
    settled = drive.copy(data=equilibrium.settle(drive.values, w_inh=w_inh))
    largest = drive.sortby(-drive)["unit"].values[:12]
    end = min(12 / (1 - w_inh) * TAU_MS, float(first["time"][-1]))
    shown = first["activity"].sel(time=slice(0, end), unit=largest)
    plots.activity_traces(shown, ax, settled=settled.sel(unit=largest))
    ax.set_title(f"image 0, w_inh = {w_inh:g}; dashes: closed form", fontsize=10)


if __name__ == "__main__":
    command("settling", main, Config, __doc__)
