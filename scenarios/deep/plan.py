"""Which networks the study trains, by question."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from fastpath.baselines import Backprop
from fastpath.competition import Equilibrium, Ranking, Soft
from fastpath.layers import StackSettings
from fastpath.layers.stages import (
    BatchNorm,
    Convolution,
    Decorrelate,
    Interneurons,
    OnOff,
    Stage,
    Triangle,
)
from fastpath.readout import Readout
from fastpath.training.loop import Training
from scenarios.deep.networks import PLAIN, Accuracy, Filters, Mirrors, View
from scenarios.deep.robust import Robust
from scenarios.deep.stacks import SOFTHEBB, Layer, changed, layers, stack
from scenarios.support.trials import Source

type Question = Literal["records", "ablation", "layers", "dale", "faces"]
QUESTIONS: tuple[Question, ...] = Question.__value__.__args__
LEARNED, RANDOM, BACKPROP = "learned", "random", "back-propagation"
KMEANS, PATCHES = "k-means", "patches"
DEPTH = 3
UPRIGHT = ("mnist", "digits")  # mirror images of these are other things
WHITE_TEMPERATURE = 0.25
H_STAR = 0.2  # for patches of unit norm
# Weights of one sign grow without bound if losers unlearn as much as winners learn.
DALE_DELTA = 0.3
INTERNEURONS = 4  # excitatory units for each interneuron
FACE_TRAINING = replace(SOFTHEBB, epochs=4)  # there are few faces
RANDOM_TRAINING = replace(SOFTHEBB, epochs=0)
HEAD = Readout(
    epochs=50,
    power=1.0,
    scaling="none",
    loss="cross-entropy",
    dropout=0.5,
    lr=1e-3,
    schedule="halved",
    batch_size=64,
)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Sizes of the networks, which depend on the preset."""

    record: int
    """Filters of the first layer where the accuracy is to be high."""
    ablation: int
    """The same in the ablation."""
    small: int
    """The same where many networks are compared."""
    head: Readout
    backprop: Backprop
    held_out: int
    """Training images on which settings are compared."""


FULL = Scale(
    record=96,
    ablation=24,
    small=24,
    head=HEAD,
    backprop=Backprop(epochs=12, batch_size=64),
    held_out=10_000,
)
QUICK = Scale(
    record=4,
    ablation=3,
    small=2,
    head=replace(HEAD, epochs=2),
    backprop=Backprop(epochs=2, batch_size=100),
    held_out=200,
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The networks of one question, data set and seed."""

    question: Question
    source: Source
    seed: int
    scale: Scale
    device: str

    def network(
        self,
        name: str,
        settings: StackSettings,
        views: tuple[View, ...],
        *,
        kind: type[Accuracy] = Accuracy,
        training: Training = SOFTHEBB,
        validation: int = 0,
        flips: bool = False,
        backprop: Backprop | None = None,
        **more: Any,
    ) -> Accuracy:
        """Return a network with its readouts."""
        common: dict[str, Any] = {
            "source": self.source,
            "num_units": settings.sizes[-1],
            "seed": self.seed,
            "preprocess": PLAIN,
            "validation": validation,
            "device": self.device,
        }
        filters = Filters(
            **common,
            network="filters",
            stack=settings,
            training=training,
            flips=flips,
            backprop=backprop,
        )
        return kind(
            **common,
            network=name,
            question=self.question,
            filters=filters,
            views=views,
            **more,
        )

    def views(
        self, depth: int, *, mirrored: Mirrors = "no", head: Readout | None = None
    ) -> tuple[View, ...]:
        """Return the views of each layer alone and of all together."""
        chosen: list[tuple[int, ...]] = [(n,) for n in range(1, depth + 1)]
        if depth > 1:
            chosen.append(tuple(range(1, depth + 1)))
        head = head or self.scale.head
        return tuple(view(shown, mirrored, head) for shown in chosen)


def view(shown: tuple[int, ...], mirrored: Mirrors, head: Readout) -> View:
    """Return a view, named by its layers and its mirror images."""
    layers = "all layers" if len(shown) > 1 else f"layer {shown[0]}"
    how = {"no": "", "drawn": ", mirror images drawn", "mean": ", mirror mean"}[mirrored]
    return View(name=layers + how, layers=shown, mirrored=mirrored, readout=head)


def chosen_layers(source: Source, first: int) -> tuple[Layer, ...]:
    """Return three layers for images of this size, with `first` filters in the first."""
    height = source.load().shape[0]
    sides = (height // 2, height // 4, height // 8)  # positions after each pooling
    return tuple(
        replace(layer, grid=min(4, side))
        for layer, side in zip(layers(first), sides, strict=True)
    )


def records(plan: Plan) -> list[Accuracy]:
    """Return the networks whose accuracy is to be high, of learned and random filters."""
    settings = stack(chosen_layers(plan.source, plan.scale.record))
    mirrored = "no" if plan.source.origin in UPRIGHT else "mean"
    last, together = plan.views(DEPTH, mirrored=mirrored)[-2:]
    plain = plan.views(DEPTH)[-2:-1] if mirrored != "no" else ()
    views = (*plain, last, together)
    return [
        plan.network(name, settings, views, training=training)
        for name, training in ((LEARNED, SOFTHEBB), (RANDOM, RANDOM_TRAINING))
    ]


def ablation(plan: Plan) -> list[Accuracy]:
    """Return networks that each differ in one thing, scored on held-out images."""
    chosen = chosen_layers(plan.source, plan.scale.ablation)
    held_out = {"validation": plan.scale.held_out}
    last, together = plan.views(DEPTH)[-2:]
    means = plan.views(DEPTH, mirrored="mean")[-2:]
    drawn = plan.views(DEPTH, mirrored="drawn")[-2:-1]
    every = (last, *drawn, means[0], together, means[1])

    def soft(**changes: Any) -> StackSettings:
        def change(_: int, filters: Convolution) -> list[Stage]:
            competition: Any = filters.competition
            return [replace(filters, competition=replace(competition, **changes))]

        return stack(chosen, change=change)

    def settled(index: int, filters: Convolution) -> list[Stage]:
        channels = chosen[index - 1].num_units if index else plan.source.load().shape[2]
        norm = (filters.kernel_size**2 * channels) ** 0.5  # of a patch, about
        return [replace(filters, competition=Equilibrium(h_star=H_STAR * norm))]

    def ranked(_: int, filters: Convolution) -> list[Stage]:
        return [replace(filters, competition=Ranking())]

    def whitened(index: int, filters: Convolution) -> list[Stage]:
        if index:
            return [filters]
        competition = Soft(temperature=WHITE_TEMPERATURE, anti=True)
        return [replace(filters, whiten=0.01, competition=competition)]

    def decorrelated(index: int, filters: Convolution) -> list[Stage]:
        return [Decorrelate(ridge=0.1), filters] if index else [filters]

    plain = stack(chosen)
    return [
        plan.network(LEARNED, plain, every, **held_out),
        plan.network(RANDOM, plain, every, training=RANDOM_TRAINING, **held_out),
        *(
            plan.network(name, settings, (last, means[0]), **held_out)
            for name, settings in {
                "statistics of mini-batches": stack(chosen, norm=BatchNorm(exact=False)),
                "patches whitened": stack(chosen, change=whitened),
                "losers do not learn": soft(delta=0.0),
                "losers unlearn half": soft(delta=0.5),
                "losers learn": soft(anti=False),
                "equilibrium": stack(chosen, change=settled),
                "ranking": stack(chosen, change=ranked),
                "layer by layer": replace(plain, greedy=True),
                "layer by layer, decorrelated": stack(
                    chosen, change=decorrelated, greedy=True
                ),
            }.items()
        ),
        plan.network("mirror images learned", plain, every, flips=True, **held_out),
    ]


def by_layer(plan: Plan) -> list[Accuracy]:
    """Return filters of each kind, read from each layer."""
    return [
        plan.network(
            name,
            settings,
            plan.views(DEPTH),
            kind=Robust,
            training=training,
            backprop=backprop,
        )
        for name, (settings, training, backprop) in kinds(plan).items()
    ]


def kinds(plan: Plan) -> dict[str, tuple[StackSettings, Training, Backprop | None]]:
    """Return settings of the filters of each kind, of equal width."""
    plain = stack(chosen_layers(plan.source, plan.scale.small))
    random = RANDOM_TRAINING
    linear = tuple(
        replace(stage, power=1.0) if isinstance(stage, Triangle) else stage
        for stage in changed(plain, initial_norm=2**0.5).stages
    )
    return {
        LEARNED: (plain, SOFTHEBB, None),
        RANDOM: (plain, random, None),
        KMEANS: (changed(plain, start_from="kmeans"), random, None),
        PATCHES: (changed(plain, start_from="patches"), random, None),
        BACKPROP: (replace(plain, stages=linear), random, plan.scale.backprop),
    }


def dale(plan: Plan) -> list[Accuracy]:
    """Return networks that obey Dale's law, and those that do not."""
    chosen = chosen_layers(plan.source, plan.scale.small)
    scaled = BatchNorm(center=False)

    def free(_: int, filters: Convolution) -> list[Stage]:
        return [OnOff(), filters]

    def weaker(filters: Convolution) -> Convolution:
        competition: Any = filters.competition
        return replace(filters, competition=replace(competition, delta=DALE_DELTA))

    def excitatory(_: int, filters: Convolution) -> list[Stage]:
        return [OnOff(), replace(weaker(filters), inhibitory=0)]

    def interneurons(_: int, filters: Convolution) -> list[Stage]:
        number, filters = max(1, filters.num_units // INTERNEURONS), weaker(filters)
        relay = vars(filters) | {"num_units": number, "inhibitory": 0}
        units = replace(filters, inhibitory=number)
        return [OnOff(), Interneurons(**relay), scaled, units]

    views = plan.views(DEPTH)[-2:]
    return [
        plan.network(name + suffix, settings, views, training=training)
        for name, settings in {
            "free signs": stack(chosen),
            "free signs, ON and OFF": stack(chosen, change=free),
            "excitatory, ON and OFF": stack(chosen, change=excitatory),
            "interneurons, ON and OFF": stack(chosen, change=interneurons),
        }.items()
        for suffix, training in (("", SOFTHEBB), (", random", RANDOM_TRAINING))
    ]


def faces(plan: Plan) -> list[Accuracy]:
    """Return filters of each kind, on faces and their mirror images."""
    last, together = plan.views(DEPTH, mirrored="mean")[-2:]
    return [
        plan.network(
            name,
            settings,
            (last, together),
            training=training if name != LEARNED else FACE_TRAINING,
            backprop=backprop,
        )
        for name, (settings, training, backprop) in kinds(plan).items()
    ]


NETWORKS: dict[Question, Callable[[Plan], list[Accuracy]]] = {
    "records": records,
    "ablation": ablation,
    "layers": by_layer,
    "dale": dale,
    "faces": faces,
}
