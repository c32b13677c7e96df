"""How far filters move from their random start while they learn."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from scenarios.deep.networks import OfFilters


@dataclass(frozen=True, kw_only=True)
class Movement(OfFilters):
    """Median cosine of filters and their start in each layer, and their median norm."""

    def compute(self, *needed: xr.Dataset) -> xr.Dataset:
        """Return cosine, norm and norm of the start by layer, from the learned filters."""
        [learned] = needed
        _, split, generator = self.filters.begin_learning()
        start = self.filters.stack.start(
            split.x_train.shape[1:], generator=generator, device=split.x_train.device
        )
        found: dict[str, list[float]] = {"cosine": [], "norm": [], "start_norm": []}
        for index in start.learners:
            weights = f"{index}.weights"
            before, after = start.state[weights].cpu().numpy(), learned[weights].values
            norms = [np.linalg.norm(w, axis=1) for w in (before, after)]
            cosines = (before * after).sum(axis=1) / (norms[0] * norms[1])
            for name, values in zip(found, (cosines, norms[1], norms[0]), strict=True):
                found[name].append(float(np.median(values)))
        by_layer = {name: ("layer", values) for name, values in found.items()}
        return xr.Dataset({**by_layer, "learn_seconds": learned["learn_seconds"]})
