"""The time of changing the images of a learning step at random, compared with the step."""

import statistics
from typing import Any

import torch

from fastpath.competition import Ranking
from fastpath.compute import enough_threads
from fastpath.data.augment import Augment, changed
from scenarios.bench.learning import BATCHES, Step, in_turn, noise, ratio

POLICIES = {
    "flip, crop": Augment(flip=0.5, crop=4),
    "all": Augment(
        flip=0.5,
        crop=4,
        rotate=15.0,
        zoom=0.1,
        shear=0.1,
        contrast=0.3,
        brightness=0.2,
        erase=0.5,
    ),
}
NUM_IMAGES = 5000  # changed at once; a training changes all of its images
IMAGES = {"mnist": (28, 28, 1), "cifar10": (32, 32, 3)}


def measure(shape: str, units: int) -> list[dict[str, Any]]:
    """Measure each policy; the ratio is the time of the changes to that of the step."""
    step = Step(shape, units, p=2.0, competition=Ranking())
    x = noise(NUM_IMAGES, step.num_pixels).view(-1, *IMAGES[shape])
    out, generator = torch.empty_like(x), torch.Generator().manual_seed(0)

    def learn() -> None:
        for _ in range(BATCHES):
            step()

    rows, learned = [], BATCHES * step.batch
    for name, policy in POLICIES.items():

        def change(policy: Augment = policy) -> None:
            changed(x, policy.draw(len(x), IMAGES[shape], generator), out=out)

        with enough_threads(step.flop()):
            change_s, step_s = in_turn(change, learn)
        rows.append(
            {
                "shape": shape,
                "form": name,
                "units": units,
                "change_us": 1e6 * statistics.median(change_s) / len(x),
                "step_us": 1e6 * statistics.median(step_s) / learned,
                "ratio": ratio(change_s, step_s)[0] * learned / len(x),
            }
        )
    return rows
