"""How the weights of a stage start: the controls that learned filters are compared with.

- "normal": independent Gaussian weights.
- "orthogonal": random orthonormal filters; of more filters than inputs, random filters with
  orthonormal columns, each scaled to norm 1.
- "patches": random training patches, whitened (Thiry et al. 2021).
- "kmeans": centres of clusters of whitened patches (Coates, Lee & Ng 2011).

Patches are whitened as by `whitening`. With a patch v, the filter W = Z f has the product
that a filter f has with the whitened patch. Rows are scaled to norm 1.

Sources: A. Coates, H. Lee & A. Y. Ng, AISTATS 2011; L. Thiry et al., ICLR 2021.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from fastpath.layers.orthogonal import orthonormal
from fastpath.layers.stages.whitening import zca

NUM_SAMPLES = 100_000
SAMPLE_SIZE = 2**28  # numbers in all sampled patches: 1 GB
RIDGE = 0.01  # ε, of the mean variance
PASSES = 10  # of k-means through the sampled patches

type Filters = Float[Tensor, "unit input"]


def orthogonal(weights: Filters) -> Filters:
    """Return random orthonormal filters, from Gaussian ones."""
    num_units, num_inputs = weights.shape
    if num_units <= num_inputs:
        return orthonormal(weights)
    return functional.normalize(orthonormal(weights.T).T, dim=1)


def patches(
    samples: Float[Tensor, "patch input"], num_units: int, generator: torch.Generator
) -> Filters:
    """Return random whitened patches."""
    mean, whiten = zca(samples, RIDGE)
    chosen = torch.randperm(len(samples), generator=generator)[:num_units]
    return functional.normalize((samples[chosen] - mean) @ whiten @ whiten, dim=1)


def kmeans(
    samples: Float[Tensor, "patch input"], num_units: int, generator: torch.Generator
) -> Filters:
    """Return the centres of clusters of whitened patches."""
    from sklearn.cluster import MiniBatchKMeans
    from threadpoolctl import threadpool_limits

    mean, whiten = zca(samples, RIDGE)
    seed = int(torch.randint(2**31, (), generator=generator))
    clusters = MiniBatchKMeans(
        num_units,
        init="random",
        n_init=1,
        batch_size=4096,
        max_iter=PASSES,
        random_state=seed,
    )
    with threadpool_limits(torch.get_num_threads()):
        clusters.fit(((samples - mean) @ whiten).cpu().numpy())
    centres = torch.from_numpy(clusters.cluster_centers_).to(samples)
    return functional.normalize(centres @ whiten, dim=1)


# The starts that need training patches.
FROM_PATCHES: dict[str, Callable[[Tensor, int, torch.Generator], Tensor]] = {
    "patches": patches,
    "kmeans": kmeans,
}
NAMES = ("normal", "orthogonal", *FROM_PATCHES)
