"""Which inhibition and threshold bring the circuit's equilibrium closest to a ranking?

For each k and Δ of a ranking, a search over w_inh and h* of eq. 9 maximises the cosine of
ΔW on validation images. The cosine is reported on other validation images. The equilibrium
has the Δ of the ranking, or the best of several.
"""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from fastpath import competition
from fastpath.plasticity import delta_w
from scenarios.ladder.networks import Network

STRENGTHS = (0.3, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.975, 0.99)
QUANTILES = tuple(np.linspace(0, 0.9, 10))
SHARES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99)
FREE = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
KINDS = ("fixed", "share", "share, any delta")


@dataclass(frozen=True, kw_only=True)
class Mimic:
    """The best imitation of rankings by the equilibrium, for one network."""

    network: Network
    stage: str
    num_images: int
    ks: tuple[int, ...]
    deltas: tuple[float, ...]

    @property
    def coords(self) -> dict[str, Hashable]:
        """Coordinates at which the result is stacked, by dim."""
        return self.network.coords

    def compute(self, network: xr.Dataset) -> xr.Dataset:
        """Return the best w_inh, h* and Δ, and their cosine on other images."""
        weights = torch.from_numpy(network["weights"].sel(stage=self.stage).values).double()
        x = self.network.source.validation().x_eval[: 2 * self.num_images]
        halves = [half for half in self.network.source.seen(x).tensor_split(2)]
        drives = [v @ weights.T for v in halves]
        tried, scores = [], []
        for w_inh in STRENGTHS:
            settled = [competition.settle(drive, w_inh=w_inh) for drive in drives]
            largest = [h.amax(dim=1) for h in settled]
            for quantile in QUANTILES:
                h_star = largest[0].quantile(quantile)
                tried.append(("fixed", w_inh, float(h_star)))
                scores.append(
                    self.scored(settled, [h_star, h_star], halves, drives, weights)
                )
            for share in SHARES:
                tried.append(("share", w_inh, share))
                each = [(share * top)[:, None] for top in largest]
                scores.append(self.scored(settled, each, halves, drives, weights))
        score = np.stack(scores)  # (tried, half, k, delta, own delta)
        return self.best(tried, score, self.floor(halves, drives, weights))

    def scored(
        self,
        settled: list[Tensor],
        h_star: list[Tensor],
        halves: list[Tensor],
        drives: list[Tensor],
        weights: Tensor,
    ) -> np.ndarray:
        """Return cosines with the rankings (half, k, delta, own delta)."""
        result = []
        for h, threshold, v, drive in zip(settled, h_star, halves, drives, strict=True):
            above = (h >= threshold).double()
            anti = (h >= 0).double() - above
            result.append(self.cosines(above, anti, v, drive, weights))
        return np.stack(result)

    def cosines(
        self, above: Tensor, anti: Tensor, v: Tensor, drive: Tensor, weights: Tensor
    ) -> np.ndarray:
        """Return cosines (k, delta, own delta) of ΔW; the first own Δ is the ranking's."""
        mine = [delta_w(one, drive, v, weights).flatten() for one in (above, anti)]
        result = np.zeros((len(self.ks), len(self.deltas), 1 + len(FREE)))
        for i, k in enumerate(self.ks):
            order = drive.topk(k, dim=1).indices
            parts = [
                torch.zeros_like(drive).scatter_(1, order[:, rank : rank + 1], 1.0)
                for rank in (0, k - 1)
            ]
            theirs = [delta_w(one, drive, v, weights).flatten() for one in parts]
            vectors = torch.stack(mine + theirs)
            product = (vectors @ vectors.T).numpy()
            for j, delta in enumerate(self.deltas):
                b = np.array([0, 0, 1, -delta])
                for column, own in enumerate((delta, *FREE)):
                    a = np.array([1, -own, 0, 0])
                    size = np.sqrt((a @ product @ a) * (b @ product @ b))
                    result[i, j, column] = a @ product @ b / size if size else 0.0
        return result

    def floor(
        self, halves: list[Tensor], drives: list[Tensor], weights: Tensor
    ) -> np.ndarray:
        """Return cosines (k, delta) of learning by the winner alone, on the second half."""
        winner = torch.zeros_like(drives[1])
        winner.scatter_(1, drives[1].argmax(dim=1, keepdim=True), 1.0)
        none = torch.zeros_like(winner)
        return self.cosines(winner, none, halves[1], drives[1], weights)[..., 0]

    def best(
        self, tried: list[tuple[str, float, float]], score: np.ndarray, floor: np.ndarray
    ) -> xr.Dataset:
        """Return the settings best on the first half, with their cosine on the second."""
        shape = (len(self.ks), len(self.deltas), len(KINDS))
        result = {
            name: np.full(shape, np.nan)
            for name in ("mimic_w_inh", "mimic_h_star", "mimic_delta", "mimic_cosine")
        }
        for index in np.ndindex(shape):
            i, j, kind = index
            family = KINDS[kind].split(",")[0]
            rows = [
                row for row, (threshold, _, _) in enumerate(tried) if threshold == family
            ]
            own = slice(None) if "any" in KINDS[kind] else slice(0, 1)
            chosen = score[rows, 0, i, j][:, own]
            row, delta = np.unravel_index(chosen.argmax(), chosen.shape)
            _, w_inh, h_star = tried[rows[row]]
            result["mimic_w_inh"][index] = w_inh
            result["mimic_h_star"][index] = h_star
            result["mimic_delta"][index] = (self.deltas[j], *FREE)[delta]
            result["mimic_cosine"][index] = score[rows[row], 1, i, j, delta]
        dims = ("k", "delta", "threshold")
        return xr.Dataset(
            {name: (dims, values) for name, values in result.items()}
            | {"mimic_floor": (("k", "delta"), floor)},
            coords={
                "k": list(self.ks),
                "delta": list(self.deltas),
                "threshold": list(KINDS),
            },
        )
