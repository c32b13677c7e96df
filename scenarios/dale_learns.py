"""Does a circuit that obeys Dale's law learn?

Excitatory and inhibitory cells, every weight of one sign: pixels excite the E cells through
plastic weights (eq. 3, 9 of Krotov & Hopfield 2019, clipped at 0), E cells excite I cells
and I cells inhibit E cells through random weights, of which the latter learn too (Vogels et
al. 2011). Shown the digits for some epochs, frozen, and read out as `fastpath` reads out
its own layers. Beside it: the same number of units trained by ranking with weights >= 0,
random weights >= 0, ranking without constraint, and back-propagation.
"""

import json
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import neurodyn
from fastpath import baselines, checkpoint, datasets, experiment
from fastpath.competition import Ranking
from fastpath.constraints import Constraint, same_sign
from fastpath.layers import Dense
from fastpath.preprocess import Preprocess
from fastpath.readout import Readout
from fastpath.train import Training, train
from neurodyn import analysis, animation, backends, plots, stimulus, traces
from neurodyn.flags import refuse_in_vain
from scenarios.support.command import command

# Raw pixels are 0 or more, as rates must be; of unit norm, so that h* suits every image.
PREPROCESS = Preprocess(unit_norm=True)
TAU_MS = 10.0
TARGET_RATE = 1e-4  # step of I→E in one presentation, T / τ_L
DALE, RANKED, RANDOM, FREE = "Dale circuit", "ranking >= 0", "random >= 0", "ranking"
BACKPROP = "back-prop"
BACKPROP_LR = 1e-2  # on 3 validation splits 2.7 % error; with 1e-3 11.3 %
# n of eq. 1, for each network the best of 2, 4.5, 8, 12 on a validation split.
POWER = {DALE: 4.5, RANKED: 8.0, RANDOM: 8.0, FREE: 4.5}


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is trained. Defaults were chosen on validation splits of the training set."""

    units: int = 64
    """Number K of excitatory cells, and of units of the other networks."""
    num_inh: int = 16
    """Number M of inhibitory cells."""
    w_inh: float = 0.9
    """Mean strength with which an E cell inhibits another through all I cells."""
    spread: float = 0.5
    """Random weights E→I and I→E are uniform within ± this share of their mean."""
    h_star: float = 0.3
    """Activity from which a cell learns Hebbian (eq. 9)."""
    delta: float = 0.7
    """Strength of anti-Hebbian learning (eq. 9)."""
    rate: float = 0.03
    """Step of the feed-forward weights at each presentation, T / τ_L."""
    target: float = 0.03
    """Mean rate to which inhibition steers each E cell; 0: I→E does not learn."""
    target_rate: float | None = None
    """Step of I→E in one presentation, T / τ_L [0.0001]."""
    epochs: int = 8
    """Passes of the circuit through the training set."""
    image_ms: float = 50.0
    """How long an image is shown [ms]; the time constants are 10 ms (E) and 1 ms (I)."""
    dt_ms: float = 0.125
    """Time step [ms]."""
    fast_epochs: int = 50
    """Passes of ranking, of the readout and of back-propagation."""
    seeds: int = 3
    """Networks of each kind."""
    validation: int = 0
    """Score on so many images split from the training set instead of the test set."""
    power: float | None = None
    """n of eq. 1 for all networks [chosen on validation splits for each]."""
    max_images: int | None = None
    """Use only the first of the training images."""
    backend: str = "cpp"
    """numpy, cython, cpp or auto."""
    out: Path = Path("runs/dale_learns")
    """Folder of results."""
    figure: Path = Path("figures/dale_learns.png")
    """The picture; the receptive fields as they form go to a .gif of the same name."""
    overwrite: bool = False
    """Replace the results that the folder already holds."""

    def __post_init__(self) -> None:
        names = ("units", "num_inh", "epochs", "fast_epochs", "seeds")
        for name, least in [*((name, 1) for name in names), ("validation", 0)]:
            if (value := getattr(self, name)) < least:
                raise ValueError(f"{name} is {value}: at least {least} is needed")
        if not 0 <= self.spread <= 1:
            raise ValueError(f"spread is {self.spread}: 0 to 1, or weights change sign")
        if not self.rate > 0 < self.step_of_inh:
            raise ValueError(
                f"rate is {self.rate}, target_rate {self.step_of_inh}: steps are positive"
            )
        if not self.target:
            refuse_in_vain(
                self, ["target_rate"], why="with --target 0, where I→E does not learn"
            )
        if self.max_images is not None and self.max_images < 100:
            raise ValueError(f"max_images is {self.max_images}: at least 100 are needed")
        neurodyn.Presentation(image_ms=self.image_ms).steps(self.dt_ms)
        self.rules()
        self.circuit(seed=0)
        if self.power is not None:
            Readout(power=self.power)

    @property
    def step_of_inh(self) -> float:
        """Step of I→E in one presentation."""
        return TARGET_RATE if self.target_rate is None else self.target_rate

    def circuit(self, *, seed: int) -> neurodyn.DaleInhibition:
        """Return the circuit, with random weights between its cells."""
        random = np.random.default_rng(seed)
        low, high = 1 - self.spread, 1 + self.spread
        return neurodyn.DaleInhibition(
            num_inh=self.num_inh,
            tau_exc_ms=TAU_MS,
            tau_inh_ms=TAU_MS / 10,
            w_ei=random.uniform(low, high, (self.num_inh, self.units)),
            w_ie=random.uniform(low, high, (self.units, self.num_inh))
            * (self.w_inh / self.num_inh),
            w_self=self.w_inh,
        )

    def rules(self) -> dict[str, Any]:
        """Return the learning rules of the synapses."""
        rules: dict[str, Any] = {
            "feedforward": neurodyn.KrotovHopfield(
                h_star=self.h_star, delta=self.delta, tau_l_ms=self.image_ms / self.rate
            )
        }
        if self.target:
            rules["inh_to_exc"] = neurodyn.Homeostatic(
                target=self.target,
                tau_l_ms=self.image_ms / self.step_of_inh,
            )
        return rules


def main(config: Config) -> None:
    """Run the scenario and write its results, figure and moving picture."""
    torch.set_num_threads(1)
    backends.resolve(config.backend)  # a mistake should not cost the training
    checkpoint.prepare(config.out, overwrite=config.overwrite)
    moving = config.figure.with_suffix(".gif")
    traces.check_writable(config.figure)
    images = datasets.load("digits")
    runs: list[xr.Dataset] = []
    weights: dict[str, list[torch.Tensor]] = {name: [] for name in POWER}
    errors: dict[str, list[float]] = {name: [] for name in (*POWER, BACKPROP)}
    for seed in range(config.seeds):
        parts = split(config, images, seed)
        runs.append(simulate(config, parts, seed))
        kept = {DALE: torch.from_numpy(runs[-1]["weights"].values).float()}
        kept |= rivals(config, parts, seed)
        for name, one in kept.items():
            weights[name].append(one)
            errors[name].append(read_out(config, parts, name, one, seed))
        errors[BACKPROP].append(back_propagated(config, parts, seed))
    num_images = len(split(config, images, 0).x_learn)
    summary = summarise(config, runs, weights, errors, num_images=num_images)
    run = runs[0]
    traces.save(run, config.out / "traces.nc")
    checkpoint.save_json(config.out / "summary.json", summary)
    draw(config, run, weights, summary, images.shape).savefig(config.figure, dpi=110)
    snapshots = run["weights_snapshots"].rename(snapshot="image")
    chosen = np.unique(np.geomspace(1, snapshots.sizes["image"], 24).astype(int) - 1)
    animation.weight_evolution(
        snapshots.isel(image=chosen), images.shape, moving, frames_per_second=4.0
    )
    checkpoint.save_tensors(  # last, as they say that a run is complete
        config.out / "weights.safetensors",
        {f"{name} {i}": one for name in weights for i, one in enumerate(weights[name])},
    )
    print(table(summary))
    print(
        f"\nWrote {config.out}/{{traces.nc,weights.safetensors,summary.json}}, "
        f"{config.figure} and {moving}"
    )


def split(config: Config, images: datasets.Images, seed: int) -> experiment.Split:
    """Return the images to learn from and those to score on."""
    generator = torch.Generator().manual_seed(seed)
    parts = experiment.split(images, validation=config.validation, generator=generator)
    few = slice(config.max_images)
    return experiment.Split(
        parts.x_learn[few],
        parts.y_learn[few],
        parts.x_score,
        parts.y_score,
        parts.scored_on,
    )


def simulate(config: Config, parts: experiment.Split, seed: int) -> xr.Dataset:
    """Show the training images to the circuit, whose weights learn."""
    x = PREPROCESS(parts.x_learn, PREPROCESS.fit(parts.x_learn)).double().numpy()
    start = abs(np.random.default_rng(seed).standard_normal((config.units, x.shape[1])))
    stride = max(1, len(x) * config.epochs // 1200)
    return neurodyn.simulate(
        config.circuit(seed=seed),
        x,
        start,
        plasticity=config.rules(),
        stimulus=neurodyn.Presentation(image_ms=config.image_ms),
        order=stimulus.epochs(len(x), config.epochs, seed=seed),
        recording=neurodyn.Recording(
            activity_ms=stride * config.image_ms,  # at the end of those presentations
            inhibition=True,
            images_every=stride,
            norms=True,
            weights_every=max(1, len(x) // 12),
        ),
        backend=config.backend,
        dt_ms=config.dt_ms,
    )


def rivals(config: Config, parts: experiment.Split, seed: int) -> dict[str, torch.Tensor]:
    """Return weights trained by ranking, with and without constraint, and random ones."""

    def ranked(constraint: Constraint | None) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        mean = PREPROCESS.fit(parts.x_learn)
        layer = Dense.random(
            config.units, mean.numel(), constraint=constraint, generator=generator
        )
        train(
            layer,
            parts.x_learn,
            competition=Ranking(),
            training=Training(epochs=config.fast_epochs),
            preprocess=PREPROCESS,
            mean=mean,
            generator=generator,
            progress=False,
        )
        return layer.weights

    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(config.units, parts.x_learn[0].numel(), generator=generator)
    positive = same_sign(1)
    return {
        RANKED: ranked(positive),
        RANDOM: positive.mirrored(normal),
        FREE: ranked(None),
    }


def read_out(
    config: Config, parts: experiment.Split, name: str, weights: torch.Tensor, seed: int
) -> float:
    """Return the error of a linear readout of frozen weights, in percent."""
    _, errors = experiment.read_out(
        weights,
        parts,
        num_classes=10,
        preprocess=PREPROCESS,
        mean=PREPROCESS.fit(parts.x_learn),
        head=Readout(epochs=config.fast_epochs, power=config.power or POWER[name]),
        generator=torch.Generator().manual_seed(seed),
        progress=False,
    )
    return errors[f"{parts.scored_on}_error"]


def back_propagated(config: Config, parts: experiment.Split, seed: int) -> float:
    """Return the error of the same network trained end to end, in percent."""
    errors = baselines.backprop(
        parts,
        num_units=config.units,
        num_classes=10,
        backprop=baselines.Backprop(epochs=config.fast_epochs, lr=BACKPROP_LR),
        preprocess=PREPROCESS,
        generator=torch.Generator().manual_seed(seed),
        progress=False,
    )
    return errors[f"{parts.scored_on}_error"]


def summarise(
    config: Config,
    runs: list[xr.Dataset],
    weights: dict[str, list[torch.Tensor]],
    errors: dict[str, list[float]],
    *,
    num_images: int,
) -> dict[str, Any]:
    """Return the results as JSON values."""
    run = runs[0]
    violations = {
        name: sum(int(violated(one[f"{name}_snapshots"]).sum()) for one in runs)
        for name in ("weights", "weights_ie")
        if f"{name}_snapshots" in run
    }
    late = late_samples(run)
    return {
        "presentations": config.epochs * num_images,
        "scored_on": "validation" if config.validation else "test",
        "config": json.loads(json.dumps(asdict(config), default=str)),
        "error": {name: spread(values) for name, values in errors.items()},
        "sign_violations": violations,
        "snapshots_checked": sum(one.sizes["snapshot"] for one in runs),
        "zero_weights": float((run["weights"] == 0).mean()),
        "active_units": float(analysis.active_units(late["activity"]).mean()),
        "hebbian_units": float((late["activity"] >= config.h_star).sum("unit").mean()),
        "units_that_never_win": int(
            (
                ~(run["activity"].isel(time=slice(1, None)) >= config.h_star).any("time")
            ).sum()
        ),
        "balance_of_active_units": float(balance(config, late).median()),
        "norm_median": float(run["weight_norm"].isel(image=-1).median()),
        "run_seconds": sum(one.attrs["run_seconds"] for one in runs),
        "similarity": {
            "to ranking >= 0": similarity(weights[DALE], weights[RANKED]),
            "floor: random >= 0": similarity(weights[DALE], weights[RANDOM]),
            "ceiling: ranking >= 0, two seeds": similarity(
                weights[RANKED], weights[RANKED][1:] + weights[RANKED][:1]
            ),
        },
    }


def violated(snapshots: xr.DataArray) -> xr.DataArray:
    """Return the number of weights below 0 in each snapshot."""
    by_snapshot = snapshots.rename(snapshot="image")  # the dim that is not summed over
    return analysis.sign_violations(by_snapshot, sign=1)


def late_samples(run: xr.Dataset) -> xr.Dataset:
    """Return the last quarter of the recorded presentations, at their ends."""
    return run.isel(time=slice(-(run.sizes["time"] // 4), None))


def balance(config: Config, late: xr.Dataset) -> xr.DataArray:
    """Return (E − I)/(E + I) of the currents into active E cells, elsewhere NaN.

    Excitation is the drive and a cell's own; at the end of a presentation it is, but for
    what still moves, h plus the inhibition.
    """
    h, inhibition = late["activity"], late["inhibition"]
    excitation = (h + inhibition).clip(min=0)
    return analysis.e_i_balance(excitation, inhibition).where(h > 0)


def labelled(weights: torch.Tensor) -> xr.DataArray:
    """Return weights with their dims."""
    return xr.DataArray(weights.double().numpy(), dims=("unit", "pixel"))


def matched(first: torch.Tensor, second: torch.Tensor) -> xr.DataArray:
    """Return cosines of matched receptive fields, less the mean field of each network.

    Fields of weights >= 0 have much in common whatever they learned: raw cosines are high.
    """
    centred = [labelled(one / one.norm(dim=1, keepdim=True)) for one in (first, second)]
    centred = [one - one.mean("unit") for one in centred]
    return analysis.receptive_field_similarity(*centred)


def similarity(first: list[torch.Tensor], second: list[torch.Tensor]) -> dict[str, Any]:
    """Return the mean matched cosine of networks of the same seed, over seeds."""
    pairs = zip(first, second, strict=True)
    return spread([float(matched(one, other).mean()) for one, other in pairs])


def spread(seeds: list[float]) -> dict[str, Any]:
    """Return mean and standard deviation over seeds, with the values."""
    sd = statistics.stdev(seeds) if len(seeds) > 1 else 0.0
    return {"mean": statistics.mean(seeds), "sd": sd, "seeds": seeds}


def verdict(summary: dict[str, Any]) -> str:
    """Return the answer to the question in words."""
    error = summary["error"]

    def compared(other: str) -> str:
        difference = error[DALE]["mean"] - error[other]["mean"]
        noise = max(error[DALE]["sd"], error[other]["sd"])
        if abs(difference) <= noise:
            return f"within the seeds' spread of '{other}'"
        return (
            f"{abs(difference):.1f} points {'better' if difference < 0 else 'worse'} than"
            f" '{other}'"
        )

    return "The Dale circuit is " + ", ".join(compared(o) for o in (RANDOM, RANKED)) + "."


def table(summary: dict[str, Any]) -> str:
    """Return the results as text."""
    config, lines = summary["config"], []
    lines.append(
        f"digits, {config['units']} E and {config['num_inh']} I cells, "
        f"{summary['presentations']} presentations of {config['image_ms']:g} ms"
    )
    for name, error in summary["error"].items():
        power = "" if name == BACKPROP else f", n = {config['power'] or POWER[name]:g}"
        label = f"{summary['scored_on']} error, {name}{power}"
        lines.append(
            f"{label:<44}{error['mean']:5.2f} +- {error['sd']:.2f} %  "
            f"({len(error['seeds'])} seeds)"
        )
    lines.append(verdict(summary))
    lines.append("")
    for name, count in summary["sign_violations"].items():
        kind = {"weights": "pixels to E", "weights_ie": "I to E"}[name]
        label = f"weights of the wrong sign, {kind}"
        lines.append(f"{label:<44}{count:5d} in {summary['snapshots_checked']} snapshots")
    for key, label in (
        ("zero_weights", "share of feed-forward weights at 0"),
        ("active_units", "active E cells per image"),
        ("hebbian_units", "of them above h*"),
        ("units_that_never_win", "E cells that were never above h*"),
        ("balance_of_active_units", "(E - I)/(E + I) of active cells, median"),
        ("norm_median", "norm of a cell's weights, median"),
    ):
        lines.append(f"{label:<44}{summary[key]:5.2f}")
    for name, value in summary["similarity"].items():
        label = f"similarity of fields {name}"
        lines.append(f"{label:<54}{value['mean']:5.2f} +- {value['sd']:.2f}")
    return "\n".join(lines)


def draw(
    config: Config,
    run: xr.Dataset,
    weights: dict[str, list[torch.Tensor]],
    summary: dict[str, Any],
    image_shape: tuple[int, ...],
) -> Figure:
    """Draw fields, norms, errors, signs, rates, balance and similarities."""
    figure = Figure(figsize=(15, 8), layout="constrained")
    axes = figure.subplots(2, 4)
    snapshots = run["weights_snapshots"]
    fields = [
        (snapshots.isel(snapshot=0), "Dale circuit, at the start"),
        (snapshots.isel(snapshot=-1), "Dale circuit, at the end"),
        (labelled(weights[RANKED][0]), "ranking, weights >= 0"),
    ]
    for ax, (shown, title) in zip(axes[0], fields, strict=False):
        plots.receptive_fields(shown, image_shape, ax)
        ax.set_title(title, fontsize=10)
    draw_errors(axes[0, 3], summary)
    plots.weight_norms(run["weight_norm"], axes[1, 0])
    axes[1, 0].axhline(1, color="C3", lw=0.8, ls="--")
    axes[1, 0].locator_params(axis="x", nbins=4)
    count = sum(summary["sign_violations"].values())
    axes[1, 0].set_title(
        f"norms; weights of the wrong sign: {count}\n(pixels→E and I→E, "
        f"{summary['snapshots_checked']} snapshots)",
        fontsize=10,
    )
    late = late_samples(run)
    draw_rates(axes[1, 1], config, late)
    shares = balance(config, late).values.ravel()
    axes[1, 2].hist(shares[np.isfinite(shares)], bins=40, color="0.6")
    axes[1, 2].axvline(0, color="C3", lw=0.8, ls="--")
    axes[1, 2].set(xlabel="balance (E − I) / (E + I)", ylabel="number")
    axes[1, 2].set_title("currents into active E cells", fontsize=10)
    draw_similarity(axes[1, 3], weights)
    figure.supxlabel(caption(config, summary), fontsize=8)
    return figure


def draw_errors(ax: Axes, summary: dict[str, Any]) -> None:
    """Draw the readout errors with their controls."""
    errors = summary["error"]
    means, sds = ([error[key] for error in errors.values()] for key in ("mean", "sd"))
    colors = ["C2", "C0", "0.6", "0.6", "0.6"]
    drawn = ax.bar(range(len(errors)), means, yerr=sds, capsize=4, color=colors)
    ax.bar_label(drawn, fmt="%.1f", fontsize=8, padding=2)
    labels = [name.replace(" ", "\n", 1) for name in errors]
    ax.set_xticks(range(len(errors)), labels, fontsize=8)
    for place, error in enumerate(errors.values()):
        ax.plot([place] * len(error["seeds"]), error["seeds"], ".", color="0.2", ms=4)
    num_seeds = len(next(iter(errors.values()))["seeds"])
    title = f"{summary['scored_on']} error [%], mean ± sd of {num_seeds} seeds"
    ax.set_title(title, fontsize=10)
    ax.margins(y=0.15)


def draw_rates(ax: Axes, config: Config, late: xr.Dataset) -> None:
    """Draw the rates of E cells at the ends of presentations."""
    rates = late["activity"].values
    rates = rates[rates > 0]
    ax.hist(rates, bins=40, color="0.6")
    ax.axvline(config.h_star, color="C3", lw=1, ls="--", label=f"h* = {config.h_star:g}")
    ax.set(xlabel="rate of active E cells", ylabel="number", yscale="log")
    silent = 1 - len(rates) / late["activity"].size
    ax.set_title(f"rates; {silent:.0%} of cells are silent", fontsize=10)
    ax.legend(frameon=False, fontsize=8)


def draw_similarity(ax: Axes, weights: dict[str, list[torch.Tensor]]) -> None:
    """Draw the cosines of matched fields, with floor and ceiling."""
    dale, ranked = weights[DALE][0], weights[RANKED]
    lines = {"Dale, ranking >= 0": matched(dale, ranked[0])}
    lines["floor: Dale, random >= 0"] = matched(dale, weights[RANDOM][0])
    if len(ranked) > 1:
        lines["ceiling: ranking >= 0, two seeds"] = matched(*ranked[:2])
    for color, (name, values) in zip(("C2", "0.6", "C0"), lines.items(), strict=False):
        label = f"{name}: {float(values.mean()):.2f}"
        ax.plot(np.sort(values.values)[::-1], color=color, label=label)
    ax.set(xlabel="matched units, sorted", ylabel="cosine, mean field removed")
    ax.set_title("similarity of receptive fields", fontsize=10)
    ax.legend(frameon=False, fontsize=8)


def caption(config: Config, summary: dict[str, Any]) -> str:
    """Return what the figure shows and by which protocol."""
    learning = (
        f"I→E learn too, target {config.target:g}" if config.target else "I→E are fixed"
    )
    powers = ", ".join(f"{config.power or power:g}" for power in POWER.values())
    return (
        f"Digits, unit norm; {config.units} E and {config.num_inh} I cells, τ_E = "
        f"{TAU_MS:g} ms, τ_I = {TAU_MS / 10:g} ms, w = {config.w_inh:g} ± "
        f"{config.spread:.0%}; {summary['presentations']} presentations of "
        f"{config.image_ms:g} ms, dt = {config.dt_ms:g} ms; one update per presentation, "
        f"T/τ_L = {config.rate:g}, h* = {config.h_star:g}, Δ = {config.delta:g}; "
        f"{learning}.\nChosen on validation splits of the training set, as n of the "
        f"features ({powers}). Others: {config.units} units, {config.fast_epochs} epochs. "
        "Rates and balance: last quarter of the presentations. Fields, norms: first seed.\n"
        + verdict(summary)
    )


if __name__ == "__main__":
    command("dale_learns", main, Config, __doc__)
