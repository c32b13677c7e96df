"""Units whose weights are the centres of k-means clusters of images."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Num
from torch import Tensor

from fastpath import checks
from fastpath.ambient import isolated
from fastpath.data.preprocess import FittedPreprocess


@dataclass(frozen=True, kw_only=True)
class KMeans:
    """Settings of mini-batch k-means (Sculley 2010)."""

    passes: int = 10
    """Largest number of passes through the images; fewer if the centres stop moving."""
    batch_size: int = 4096

    def __post_init__(self) -> None:
        checks.fields(self, passes=checks.count, batch_size=checks.count)


@isolated(grad=False, numpy=True)
def kmeans(
    x: Num[Tensor, "image *shape"],
    *,
    num_units: int,
    kmeans: KMeans,
    preprocess: FittedPreprocess,
    seed: int,
) -> Float[Tensor, "unit pixel"]:
    """Return the centres of clusters of images as the weights of a layer.

    The initial centres are `num_units` random images: k-means++ would take longer than the
    clustering. scikit-learn computes it, on as many threads as PyTorch would use.

    Raises
    ------
    ValueError
        If there are fewer images than clusters, or all images are alike.
    """
    kmeans = checks.instance("kmeans", kmeans, KMeans)
    preprocess = checks.instance("preprocess", preprocess, FittedPreprocess)
    x, seed = checks.images("x", x), checks.seed("seed", seed)
    num_units = checks.whole("units", num_units)
    from sklearn.cluster import MiniBatchKMeans
    from threadpoolctl import threadpool_limits

    if not 1 <= num_units <= len(x):
        raise ValueError(
            f"units is {num_units}: 1 to {len(x)}, the number of images, are needed"
        )
    preprocess.steps.check(x)
    v = torch.cat([preprocess(block) for block in x.split(4096)]).cpu().numpy()
    clusters = MiniBatchKMeans(
        num_units,
        init="random",
        n_init=1,
        batch_size=kmeans.batch_size,
        max_iter=kmeans.passes,
        # scikit-learn does not accept larger seeds directly.
        random_state=seed
        if seed < 2**32
        else np.random.RandomState([seed % 2**32, seed // 2**32]),
    )
    with threadpool_limits(torch.get_num_threads()):
        clusters.fit(v)
    return torch.from_numpy(clusters.cluster_centers_).to(preprocess.mean)
