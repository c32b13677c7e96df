"""How far does strictly local learning go in stacks of convolutions?

Trains layers of SoftHebb (Journé et al. 2023) without labels, on CIFAR-10, CIFAR-100,
MNIST, Fashion-MNIST and faces. Asks for the accuracy of a linear readout, what each
ingredient adds, what each layer adds over random filters, k-means, patches and
back-propagation, what Dale's law costs, and how robust the features are.
"""

from dataclasses import dataclass

import xarray as xr

from fastpath.runs import storage
from scenarios.deep import questions, tables
from scenarios.deep.figure import draw
from scenarios.deep.networks import OfFilters
from scenarios.deep.page import page
from scenarios.deep.plan import FULL, QUESTIONS, QUICK, Plan, Question
from scenarios.deep.sources import FACES, source_of
from scenarios.support import study
from scenarios.support.study import Study

# The data sets of each question.
SETS: dict[Question, tuple[str, ...]] = {
    "records": ("cifar10", "cifar100", "fashion_mnist", "mnist"),
    "readouts": ("cifar10",),
    "ablation": ("cifar10",),
    "layers": ("cifar10",),
    "movement": ("cifar10",),
    "unlearning": ("cifar10",),
    "dale": ("cifar10", "mnist"),
    "sizes": ("gender",),
    "faces": FACES,
}
# Those whose networks are scored on held-out images, and their filters.
ONE_SEED: tuple[Question, ...] = (
    "readouts",
    "ablation",
    "movement",
    "unlearning",
    "sizes",
)
PROTOCOL = (
    "Accuracy on the test set after the last epoch; of readouts, ablation, strengths of "
    "unlearning and numbers of filters for faces, on training images that were held out "
    "(10,000; faces: 1500). One epoch of learning without labels (faces: four), then a "
    "linear readout. Settings were compared on held-out images, with one seed. All filters "
    "have the same stages, but rates of back-propagation are not raised to powers. The "
    "readout of all layers is the best one of each kind of filters."
)


@dataclass(frozen=True, kw_only=True)
class Config(Study):
    """Which networks to train. Results already on record are shown too."""

    questions: tuple[Question, ...] = QUESTIONS
    """Questions to answer: records (the best accuracy), readouts (the best readout of each
    kind of filters), ablation (what each ingredient adds), layers (what each layer adds
    over controls; robustness), movement (how far filters move from their start), unlearning
    (its strength with ON and OFF cells), dale (what Dale's law costs), sizes (numbers of
    filters for faces), faces."""
    data: tuple[str, ...] | None = None
    """Data sets [those of each question; quick: digits]."""

    def sets(self, question: Question) -> tuple[str, ...]:
        """Return the data sets of a question."""
        if self.quick:
            return self.data or ("digits",)
        return tuple(
            data for data in SETS[question] if self.data is None or data in self.data
        )

    def seeds_for(self, question: Question) -> range:
        """Return the seeds of the networks of a question."""
        if self.seeds is not None:
            return range(self.seeds)
        return range(1 if self.quick or question in ONE_SEED else 3)


def main(config: Config) -> xr.Dataset:
    """Train missing networks, print the tables, draw the figure; return all results."""
    where = study.paths(config, "deep")
    recorded = study.filled(
        config,
        where,
        trials(config),
        title="Accuracy of stacks of convolutions that learn locally",
        protocol=PROTOCOL,
    )
    print("\n\n".join(tables.text(recorded)))
    study.save(draw(recorded), where.figure)
    text = where.figure.with_suffix(".md")
    with storage.whole(text) as part:
        part.write_text(page(recorded, where.figure.name), encoding="utf-8")
    print(f"wrote {where.record}, {where.figure} and {text}")
    return recorded


def trials(config: Config) -> list[OfFilters]:
    """Return the networks of all questions asked."""
    scale = QUICK if config.quick else FULL
    made: list[OfFilters] = []
    for question in config.questions:
        for data in config.sets(question):
            source = source_of(data, config.data_root)
            for seed in config.seeds_for(question):
                asked = Plan(
                    question=question,
                    source=source,
                    seed=seed,
                    scale=scale,
                    device=config.device,
                )
                made += questions.NETWORKS[question](asked)
    return made
