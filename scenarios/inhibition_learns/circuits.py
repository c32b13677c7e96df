"""The circuits, the patches that they see, and what is measured."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

import neurodyn
from fastpath.layers.stages.whitening import zca
from neurodyn import Competitive, DaleInhibition, LateralInhibition, analysis
from scenarios.support.trials import Network

type Matrix = NDArray[np.float64]

POOLED = "pooled inhibition"
EXCHANGE = ("exc_to_inh", "inh_to_exc")
TAU_MS = 10.0  # of E and I cells
RIDGE = 0.02  # ε of the whitening
MATRICES = {
    "exc_to_inh": ("w_ei", "weights_ei"),
    "inh_to_exc": ("w_ie", "weights_ie"),
    "inh_to_inh": ("w_ii", "weights_ii"),
}


@dataclass(frozen=True, kw_only=True)
class Supralinear(neurodyn.Oja):
    """Oja's rule for a cell whose learning grows with the square of its rate.

    Eckmann et al. (2024) have rates that grow with the square of the potential.
    """

    activation = "g = h**2*int(h > 0) : 1"

    def strongest(self, lowest: float, highest: float) -> float:
        """Return the largest g at activities from `lowest` to `highest`."""
        return max(highest, 0.0) ** 2


@dataclass(frozen=True, kw_only=True)
class Fields(Network):
    """A circuit that learns from patches; num_units is the number of E cells."""

    num_inh: int
    """Number of I cells."""
    side: int
    """Height and width of a patch [pixels]."""
    presentations: int
    """Number of patches that it learns from."""
    scored: int
    """Number of patches of held-out images on which rates are measured."""
    learns: tuple[str, ...]
    """Names of the synapses that learn."""
    norm: float = 1.0
    """Norm of the E→I synapses into an I cell, and of the I→E synapses into an E cell."""
    norm_ii: float = 0.0
    """Norm of the I→I synapses into an I cell; 0: there are none."""
    w_inh: float = 0.5
    """Strength of pooled inhibition."""
    tau_ff_ms: float = 50.0
    """Time constant of feed-forward weights at a rate of 1 [ms]."""
    tau_ei_ms: float = 100.0
    """Time constant of E→I and I→I weights at rates of 1 [ms]."""
    tau_ie_ms: float = 50.0
    """Time constant of I→E weights at rates of 1 [ms]."""
    image_ms: float = 100.0
    """Time for which a patch is shown [ms]."""
    dt_ms: float = 0.25
    """Time step [ms]."""
    backend: str = field(default="cpp", repr=False, compare=False)
    """Backend of Brian2 on the CPU."""

    def compute(self) -> xr.Dataset:
        """Return the fields and the measures."""
        _, split, _ = self.begin()
        random = np.random.default_rng(self.seed)
        shown = patches(split.x_train, self.presentations, self.side, random)
        held_out = patches(split.x_eval, self.scored, self.side, random)
        mean, whitening = (each.numpy() for each in zca(torch.from_numpy(shown), RIDGE))
        x, x_eval = (on_off((each - mean) @ whitening) for each in (shown, held_out))
        start = of_norm(abs(random.standard_normal((self.num_units, x.shape[1]))), 1.0)
        circuit = self.circuit(random)
        traces = self.simulated(
            circuit, x, start, plasticity=self.rules(), activity_ms=None, images_every=None
        )
        weights = traces["weights"].values
        found = self.measured(with_learned(circuit, traces), x_eval, weights)
        fields, before = (on_minus_off(each) for each in (weights, start))
        return found.assign(
            fields=(("unit", "pixel"), fields.astype(np.float32)),
            changed=float((row_cosines(fields, before) < 0.5).mean()),
            nearest=float(nearest(fields).mean()),
            learn_seconds=traces.attrs["run_seconds"],
        )

    def circuit(self, random: np.random.Generator) -> DaleInhibition | LateralInhibition:
        """Return the circuit before learning."""
        if self.network == POOLED:
            return LateralInhibition(tau_ms=TAU_MS, w_inh=self.w_inh, input_sign=1)
        num_exc, num_inh = self.num_units, self.num_inh

        def uniform(receiving: int, sending: int) -> Matrix:
            return random.random((receiving, sending))

        w_ii = uniform(num_inh, num_inh) * (1 - np.eye(num_inh))
        return DaleInhibition(
            num_inh=num_inh,
            tau_exc_ms=TAU_MS,
            tau_inh_ms=TAU_MS,
            w_ei=of_norm(uniform(num_inh, num_exc), self.norm),
            w_ie=of_norm(uniform(num_exc, num_inh), self.norm),
            w_ii=of_norm(w_ii, self.norm_ii) if self.norm_ii else 0.0,
            w_self=0.0,
        )

    def rules(self) -> dict[str, Any]:
        """Return the rules of the synapses that learn."""
        norm, tau_ei = self.norm, self.tau_ei_ms
        rules = {
            "feedforward": Supralinear(tau_l_ms=self.tau_ff_ms),
            "exc_to_inh": Competitive(norm=norm, tau_l_ms=tau_ei),
            "inh_to_exc": Competitive(norm=norm, tau_l_ms=self.tau_ie_ms),
            "inh_to_inh": Competitive(norm=self.norm_ii or 1.0, tau_l_ms=tau_ei),
        }
        return {name: rules[name] for name in self.learns}

    def simulated(
        self,
        circuit: DaleInhibition | LateralInhibition,
        x: Matrix,
        weights: Matrix,
        *,
        plasticity: dict[str, Any] | None = None,
        **recording: Any,
    ) -> xr.Dataset:
        """Return the traces of patches, each shown from rest."""
        return neurodyn.simulate(
            circuit,
            x,
            weights,
            plasticity=plasticity,
            stimulus=neurodyn.Presentation(image_ms=self.image_ms),
            recording=neurodyn.Recording(**recording),
            backend="cuda" if self.device == "cuda" else self.backend,
            dt_ms=self.dt_ms,
            progress=False,
        )

    def measured(
        self, circuit: DaleInhibition | LateralInhibition, x: Matrix, weights: Matrix
    ) -> xr.Dataset:
        """Return what the rates to held-out patches are like."""
        traces = self.simulated(
            circuit, x, weights, activity_ms=self.image_ms, inhibition=True
        )
        rates = traces["final_activity"].clip(min=0)
        drive, inhibition = traces["drive"], traces["inhibition"].isel(time=-1)
        spread = rates.std("image")
        equal = (rates / spread).isel(unit=spread.values > 0)
        return xr.Dataset(
            {
                "correlation": mean_correlation(rates.values),
                "drive_correlation": mean_correlation(drive.values),
                "dimension": float(analysis.participation_ratio(equal, dim="image")),
                "active": float((rates > 0).mean()),
                "balance": float(xr.corr(drive, inhibition, dim="image").mean()),
            }
        )


def with_learned(
    circuit: DaleInhibition | LateralInhibition, traces: xr.Dataset
) -> DaleInhibition | LateralInhibition:
    """Return the circuit with the weights at the end of a simulation."""
    if isinstance(circuit, LateralInhibition):
        return circuit
    changes: dict[str, Any] = {
        parameter: traces[trace].values
        for parameter, trace in MATRICES.values()
        if trace in traces
    }
    return replace(circuit, **changes)


def patches(
    images: torch.Tensor, number: int, side: int, random: np.random.Generator
) -> Matrix:
    """Return (patch, pixel) of mean 0 and norm 1, of the half with more contrast.

    Raises
    ------
    ValueError
        If most patches have no contrast, or images are smaller than a patch.
    """
    x = images.squeeze(-1).double().cpu().numpy()
    _, height, width = x.shape
    if side > min(height, width):
        raise ValueError(
            f"images have {height} x {width} pixels: patches of {side} x {side} are shown, "
            "so give larger ones"
        )
    image = random.integers(len(x), size=3 * number)
    top = random.integers(height - side + 1, size=3 * number)
    left = random.integers(width - side + 1, size=3 * number)
    windows = np.lib.stride_tricks.sliding_window_view(x, (side, side), axis=(1, 2))
    drawn = windows[image, top, left].reshape(3 * number, -1)
    drawn = drawn - drawn.mean(axis=1, keepdims=True)
    contrast = np.linalg.norm(drawn, axis=1)
    chosen = drawn[(contrast >= np.median(contrast)) & (contrast > 0)]
    if len(chosen) < number:
        raise ValueError(
            f"of {len(drawn)} patches of {side} x {side} pixels, {len(chosen)} have any "
            f"contrast, but {number} are needed: give images with fewer blank areas"
        )
    return of_norm(chosen[:number], 1.0)


def on_off(x: Matrix) -> Matrix:
    """Return ON and OFF rates of unit norm, (patch, 2 pixel)."""
    return of_norm(np.concatenate([np.maximum(x, 0), np.maximum(-x, 0)], axis=1), 1.0)


def on_minus_off(weights: Matrix) -> Matrix:
    """Return the receptive fields (unit, pixel) of weights from ON and OFF cells."""
    on, off = np.split(weights, 2, axis=1)
    return on - off


def of_norm(rows: Matrix, norm: float) -> Matrix:
    """Return rows scaled to a norm."""
    return norm * rows / np.linalg.norm(rows, axis=1, keepdims=True)


def row_cosines(one: Matrix, other: Matrix) -> Matrix:
    """Return the cosine of each row with the same row of another matrix."""
    return (of_norm(one, 1.0) * of_norm(other, 1.0)).sum(axis=1)


def nearest(fields: Matrix) -> Matrix:
    """Return for each field its cosine with the most similar other one."""
    unit = of_norm(fields, 1.0)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -1)
    return similarity.max(axis=1)


def mean_correlation(values: Matrix) -> float:
    """Return the mean |correlation| of two units over images, of those that vary."""
    varying = values[:, values.std(axis=0) > 0]
    matrix = np.corrcoef(varying.T)
    return float(abs(matrix[np.triu_indices(len(matrix), 1)]).mean())
