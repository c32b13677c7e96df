"""What the study compares: kinds of filters, readouts, sizes, and networks from these."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from fastpath.baselines import Backprop
from fastpath.layers import StackSettings
from fastpath.readout import Readout
from fastpath.training.loop import Training
from scenarios.deep.networks import PLAIN, Accuracy, Filters, Mirrors, View
from scenarios.deep.sources import unlabelled
from scenarios.deep.stacks import SOFTHEBB
from scenarios.support.trials import Source

type Question = Literal[
    "records",
    "readouts",
    "ablation",
    "layers",
    "movement",
    "unlearning",
    "dale",
    "sizes",
    "faces",
]
QUESTIONS: tuple[Question, ...] = Question.__value__.__args__
LEARNED, RANDOM, BACKPROP = "learned", "random", "back-propagation"
KMEANS, PATCHES = "k-means", "patches"
BRIEF = "brief back-propagation"  # as accurate as learned filters
FIRST = "only layer 1 learns"  # the others keep their random start
ALL_LAYERS = (1, 2, 3)
RANDOM_TRAINING = replace(SOFTHEBB, epochs=0)
# The readout of the records is trained as published.
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
# That of comparisons needs less than half the time. With 48-192-768 filters of CIFAR-10,
# it is right for 80.49 % of held-out images in place of 80.97 % (one seed).
SHORT_HEAD = replace(HEAD, epochs=20, lr=2e-3, batch_size=256)
# Readouts that are compared on held-out images (scaling, and step size in units of the
# usual one), and the best for each kind of filters.
HEADS = {
    "as they are": ("none", 1.0),
    "standardized": ("unit", 0.3),
    "standardized, small steps": ("unit", 0.1),
}
BEST_HEAD = {
    LEARNED: "standardized",
    RANDOM: "standardized",
    KMEANS: "standardized",
    PATCHES: "standardized, small steps",
    BACKPROP: "standardized",
    BRIEF: "as they are",
}
# Compared in the same way; the best are in `FULL`.
BACKPROP_RATES = (3e-4, 1e-3, 3e-3, 1e-2)
RATE_EPOCHS = 3
BRIEF_EPOCHS = (1, 2)
FACE_EPOCHS = 4  # of learning, in units of those elsewhere: there are few faces


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Sizes of the networks, which depend on the preset."""

    record: int
    """Filters of the first layer where the accuracy is to be high."""
    ablation: int
    """The same in the ablation."""
    small: int
    """The same where many networks are compared."""
    record_head: Readout
    """The readout where the accuracy is to be high, and of faces, which are few."""
    head: Readout
    """The readout elsewhere."""
    backprop: Backprop
    brief: int
    """Epochs of back-propagation with which held-out accuracy is nearest to that of learned
    filters."""
    held_out: int
    """Training images on which settings are compared."""
    held_out_faces: int
    """The same of faces."""


FULL = Scale(
    record=96,
    ablation=24,
    small=24,
    record_head=HEAD,
    head=SHORT_HEAD,
    backprop=Backprop(epochs=6, batch_size=64, lr=3e-3),
    brief=1,
    held_out=10_000,
    held_out_faces=1500,
)
QUICK = Scale(
    record=4,
    ablation=3,
    small=2,
    record_head=replace(HEAD, epochs=2),
    head=replace(HEAD, epochs=2),
    backprop=Backprop(epochs=2, batch_size=100),
    brief=1,
    held_out=200,
    held_out_faces=200,
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
    ) -> Accuracy:
        """Return a network with its readouts."""
        common: dict[str, Any] = {
            "num_units": settings.sizes[-1],
            "seed": self.seed,
            "preprocess": PLAIN,
            "validation": validation,
            "device": self.device,
        }
        filters = Filters(
            **common,
            source=self.source if backprop else unlabelled(self.source),
            network="filters",
            stack=settings,
            training=training,
            flips=flips,
            backprop=backprop,
        )
        return kind(
            **common,
            source=self.source,
            network=name,
            question=self.question,
            filters=filters,
            views=views,
        )

    def views(
        self,
        kind: str = LEARNED,
        *,
        mirrored: Mirrors = "no",
        trained: Readout | None = None,
    ) -> tuple[View, ...]:
        """Return the views of each layer alone and of all together.

        The best readout is that of all layers. Single layers have the one that is best for
        most kinds. Both are trained as `trained` says [as the question says].
        """
        alone, best = (
            self.head(name, trained) for name in ("standardized", BEST_HEAD[kind])
        )
        return (
            *(view((n,), mirrored, alone) for n in ALL_LAYERS),
            view(ALL_LAYERS, mirrored, best),
        )

    def head(self, name: str, trained: Readout | None = None) -> Readout:
        """Return one of the readouts."""
        long = self.question in ("records", "faces")
        head = trained or (self.scale.record_head if long else self.scale.head)
        scaling, steps = HEADS[name]
        return replace(head, scaling=scaling, lr=steps * head.lr)


def view(shown: tuple[int, ...], mirrored: Mirrors, head: Readout) -> View:
    """Return a view, named by its layers and its mirror images."""
    layers = "all layers" if len(shown) > 1 else f"layer {shown[0]}"
    how = {"no": "", "drawn": ", mirror images drawn", "mean": ", mirror mean"}[mirrored]
    return View(name=layers + how, layers=shown, mirrored=mirrored, readout=head)
