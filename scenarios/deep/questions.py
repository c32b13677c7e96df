"""The networks of each question."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from fastpath.competition import Equilibrium, Ranking
from fastpath.layers import StackSettings
from fastpath.layers.stages import (
    BatchNorm,
    Convolution,
    Decorrelate,
    Interneurons,
    OnOff,
    Stage,
)
from scenarios.deep.kinds import Kind, channels, chosen_layers, first_only, kinds, with_rule
from scenarios.deep.movement import Movement
from scenarios.deep.networks import Accuracy, OfFilters, View
from scenarios.deep.plan import (
    ALL_LAYERS,
    BACKPROP,
    BACKPROP_RATES,
    BRIEF,
    BRIEF_EPOCHS,
    FACE_EPOCHS,
    FIRST,
    HEADS,
    KMEANS,
    LEARNED,
    PATCHES,
    RANDOM,
    RANDOM_TRAINING,
    RATE_EPOCHS,
    Plan,
    Question,
)
from scenarios.deep.robust import Robust
from scenarios.deep.stacks import SOFTHEBB, stack

UPRIGHT = ("mnist", "digits")  # mirror images of these are other things
WHITE_TEMPERATURE = 0.25
H_STAR = 0.2  # for patches of unit norm
DELTAS = (0.1, 0.3, 1.0)  # of filters that see ON and OFF cells, compared
FAST = 10  # steps of upper layers, in units of the published ones


def records(plan: Plan) -> list[Accuracy]:
    """Return the networks whose accuracy is to be high, of learned and random filters.

    Random filters have the last view only: a readout takes as long as the features.
    """
    settings = stack(chosen_layers(plan.source, plan.scale.record))

    def views(kind: str) -> tuple[View, ...]:
        alone, together = plan.views(kind)[-2:]
        if plan.source.origin in UPRIGHT:
            return alone, together
        return alone, *plan.views(kind, mirrored="mean")[-2:]

    return [
        plan.network(LEARNED, settings, views(LEARNED)),
        plan.network(RANDOM, settings, views(RANDOM)[-1:], training=RANDOM_TRAINING),
    ]


def readouts(plan: Plan) -> list[Accuracy]:
    """Return all readouts of each kind of filters, scored on held-out images."""
    views = tuple(
        View(name=name, layers=ALL_LAYERS, readout=plan.head(name)) for name in HEADS
    )
    held_out = plan.scale.held_out
    made = [
        plan.network(name, settings, views, training=training, validation=held_out)
        for name, (settings, training, backprop) in kinds(plan, plan.scale.small).items()
        if backprop is None
    ]
    settings, training, _ = kinds(plan, plan.scale.small)[BACKPROP]
    best = plan.scale.backprop
    trained = {
        f"{BACKPROP}, {lr:g}": replace(best, lr=lr, epochs=RATE_EPOCHS)
        for lr in BACKPROP_RATES
    }
    for epochs in BRIEF_EPOCHS:
        trained[f"{BRIEF}, epochs {epochs}"] = replace(best, epochs=epochs)
    for name, backprop in trained.items():
        made.append(
            plan.network(
                name,
                settings,
                views,
                training=training,
                validation=held_out,
                backprop=backprop,
            )
        )
    return made


def ablation(plan: Plan) -> list[Accuracy]:
    """Return networks that differ in one thing or two, scored on held-out images."""
    chosen = chosen_layers(plan.source, plan.scale.ablation)
    inputs = channels(plan.source, chosen)
    held_out = {"validation": plan.scale.held_out}

    def views(kind: str) -> tuple[View, ...]:
        last, together = plan.views(kind)[-2:]
        drawn, _ = plan.views(kind, mirrored="drawn")[-2:]
        mean, together_mean = plan.views(kind, mirrored="mean")[-2:]
        return last, drawn, mean, together, together_mean

    def soft(**changes: Any) -> StackSettings:
        return stack(chosen, change=lambda _, filters: [with_rule(filters, **changes)])

    def settled(index: int, filters: Convolution) -> list[Stage]:
        norm = (filters.kernel_size**2 * inputs[index]) ** 0.5  # of a patch, about
        return [replace(filters, competition=Equilibrium(h_star=H_STAR * norm))]

    def ranked(_: int, filters: Convolution) -> list[Stage]:
        return [replace(filters, competition=Ranking())]

    def whitened(index: int, filters: Convolution) -> list[Stage]:
        if index:
            return [filters]
        return [replace(with_rule(filters, temperature=WHITE_TEMPERATURE), whiten=0.01)]

    def together(index: int, filters: Convolution) -> list[Stage]:
        return whitened(index, with_rule(filters, delta=2.0))

    def decorrelated(index: int, filters: Convolution) -> list[Stage]:
        return [Decorrelate(ridge=0.1, learned=True), filters] if index else [filters]

    def fast(index: int, filters: Convolution) -> list[Stage]:
        return [replace(filters, lr_scale=(FAST if index else 1) * filters.lr_scale)]

    plain, every = stack(chosen), views(LEARNED)
    few = every[0], every[2]
    return [
        plan.network(LEARNED, plain, every, **held_out),
        plan.network(RANDOM, plain, views(RANDOM), training=RANDOM_TRAINING, **held_out),
        *(
            plan.network(name, settings, few, **held_out)
            for name, settings in {
                "twice as wide": stack(chosen_layers(plan.source, 2 * plan.scale.ablation)),
                "statistics of mini-batches": stack(chosen, norm=BatchNorm(exact=False)),
                "patches whitened": stack(chosen, change=whitened),
                "patches whitened, losers unlearn double": stack(chosen, change=together),
                "losers do not learn": soft(delta=0.0),
                "losers unlearn half": soft(delta=0.5),
                "losers unlearn double": soft(delta=2.0),
                "losers learn": soft(anti=False),
                "equilibrium": stack(chosen, change=settled),
                "ranking": stack(chosen, change=ranked),
                "layer by layer": replace(plain, greedy=True),
                FIRST: first_only(chosen),
                f"upper layers learn {FAST} times as fast": stack(chosen, change=fast),
                "layer by layer, decorrelated": stack(
                    chosen, change=decorrelated, greedy=True
                ),
            }.items()
        ),
        plan.network("mirror images learned", plain, every, flips=True, **held_out),
    ]


def by_layer(plan: Plan) -> list[Accuracy]:
    """Return filters of each kind, read from each layer."""
    compared = kinds(plan, plan.scale.small)
    settings, training, backprop = compared[BACKPROP]
    assert backprop is not None
    compared[BRIEF] = settings, training, replace(backprop, epochs=plan.scale.brief)
    chosen = chosen_layers(plan.source, plan.scale.small)
    compared[FIRST] = first_only(chosen), SOFTHEBB, None
    return [
        plan.network(
            name,
            settings,
            plan.views(LEARNED if name == FIRST else name),
            kind=Robust,
            training=training,
            backprop=backprop,
        )
        for name, (settings, training, backprop) in compared.items()
    ]


def movement(plan: Plan) -> list[Movement]:
    """Return the filters that learn without labels, of the records and of the ablation."""
    wide, *_ = records(replace(plan, question="records"))
    compared = {f"{LEARNED}, {plan.scale.record} filters": wide}
    compared |= {
        trial.network: trial
        for trial in ablation(replace(plan, question="ablation"))
        if trial.network != RANDOM
    }
    kept = ("source", "num_units", "seed", "preprocess", "validation", "device", "filters")
    return [
        Movement(
            **{field: getattr(trial, field) for field in kept},
            network=name,
            question=plan.question,
        )
        for name, trial in compared.items()
    ]


def free_signs(_: int, filters: Convolution) -> list[Stage]:
    """Return filters with weights of any sign, from ON and OFF cells."""
    return [OnOff(), filters]


def excitatory(_: int, filters: Convolution) -> list[Stage]:
    """Return filters whose weights are 0 or more, from ON and OFF cells."""
    return [OnOff(), replace(filters, inhibitory=0)]


def interneurons(number: int, filters: Convolution) -> list[Stage]:
    """Return filters that interneurons inhibit, excited by ON and OFF cells.

    There is an interneuron for an ON and an OFF cell. With as many as both, inhibition
    outweighs excitation: drives are negative, and the rule lengthens weights.
    """
    relay: dict[str, Any] = vars(filters) | {
        "num_units": number,
        "padding": filters.kernel_size // 2,
        "inhibitory": 0,
    }
    scaled = BatchNorm(center=False)
    return [OnOff(), Interneurons(**relay), scaled, replace(filters, inhibitory=number)]


# Signs of the weights, and the strength of unlearning that is best on held-out images.
SIGNS: dict[str, tuple[Callable[[int, Convolution], list[Stage]], float]] = {
    "free signs": (free_signs, 0.1),
    "excitatory": (excitatory, 0.3),
    "interneurons": (interneurons, 0.3),
}


def on_and_off(plan: Plan, first: int, signs: str, delta: float) -> StackSettings:
    """Return layers that see ON and OFF cells; losers unlearn with strength `delta`."""
    units, _ = SIGNS[signs]
    chosen = chosen_layers(plan.source, first)
    inputs = channels(plan.source, chosen)
    return stack(
        chosen,
        change=lambda index, filters: units(inputs[index], with_rule(filters, delta=delta)),
    )


def unlearning(plan: Plan) -> list[Accuracy]:
    """Return strengths of unlearning with ON and OFF cells, scored on held-out images."""
    return [
        plan.network(
            f"{signs}, strength {delta:g}",
            on_and_off(plan, plan.scale.ablation, signs, delta),
            plan.views(LEARNED)[-1:],
            validation=plan.scale.held_out,
        )
        for signs in SIGNS
        for delta in DELTAS
    ]


def dale(plan: Plan) -> list[Accuracy]:
    """Return networks that obey Dale's law, and those that do not."""
    compared = {"free signs": stack(chosen_layers(plan.source, plan.scale.small))}
    for signs, (_, delta) in SIGNS.items():
        compared[f"{signs}, ON and OFF"] = on_and_off(plan, plan.scale.small, signs, delta)
    return [
        plan.network(name + suffix, settings, plan.views(kind)[-2:], training=training)
        for name, settings in compared.items()
        for kind, suffix, training in (
            (LEARNED, "", SOFTHEBB),
            (RANDOM, f", {RANDOM}", RANDOM_TRAINING),
        )
    ]


def sizes(plan: Plan) -> list[Accuracy]:
    """Return two numbers of filters and readouts for faces, scored on held-out images."""
    views = tuple(
        replace(plan.views(mirrored="mean", trained=head)[-1], name=name)
        for name, head in {
            "short readout": plan.scale.head,
            "long readout": plan.scale.record_head,
        }.items()
    )
    return [
        plan.network(
            name, settings, views, training=training, validation=plan.scale.held_out_faces
        )
        for name, (settings, training, _) in of_faces(plan, LEARNED, RANDOM).items()
    ]


def faces(plan: Plan) -> list[Accuracy]:
    """Return filters of each kind, on faces and their mirror images."""
    return [
        plan.network(
            name,
            settings,
            plan.views(name.partition(", ")[0], mirrored="mean")[-2:],
            training=training,
            backprop=backprop,
        )
        for name, (settings, training, backprop) in of_faces(
            plan, LEARNED, RANDOM, KMEANS, PATCHES, BACKPROP
        ).items()
    ]


def of_faces(plan: Plan, *names: str) -> dict[str, Kind]:
    """Return some kinds of filters for faces, and learned and random ones of twice as many.

    There are few faces, so learning has more epochs.
    """
    small, wide = plan.scale.small, 2 * plan.scale.small
    found = {name: kinds(plan, small)[name] for name in names}
    found |= {
        f"{name}, {wide} filters": kinds(plan, wide)[name] for name in (LEARNED, RANDOM)
    }
    return {
        name: (
            settings,
            replace(training, epochs=FACE_EPOCHS * training.epochs),
            backprop and replace(backprop, epochs=FACE_EPOCHS * backprop.epochs),
        )
        for name, (settings, training, backprop) in found.items()
    }


# The networks of each question.
NETWORKS: dict[Question, Callable[[Plan], Sequence[OfFilters]]] = {
    "records": records,
    "readouts": readouts,
    "ablation": ablation,
    "layers": by_layer,
    "movement": movement,
    "unlearning": unlearning,
    "dale": dale,
    "sizes": sizes,
    "faces": faces,
}
