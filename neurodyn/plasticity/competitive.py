"""Hebbian synapses between cells that compete, each type for itself, for a total strength.

All synapses between excitatory and inhibitory cells can learn by one rule. A synapse is
strengthened when both cells are active, and the weights of one type into a cell keep their
Euclidean norm w (Eckmann et al. 2024):

    W_u ← w W' / |W'|,   W'_ui = W_ui + ε r_u r_i,

to first order in ε = dt / τ_L

    τ_L dW_ui/dt = r_u (r_i − W_ui I_u / w²),   I_u = Σ_i W_ui r_i,   W ≥ 0,

with I_u the current of these synapses. It is Oja's rule for each type. The norm of a cell
that is active flows to w from any start: τ_L d|W_u|²/dt = 2 r_u I_u (1 − |W_u|²/w²).

Source: S. Eckmann, E. J. Young & J. Gjorgjieva, PNAS 121:e2305326121 (2024), whose networks
keep the sum of the weights, or this norm; E. Oja, J. Math. Biol. 15:267 (1982).
"""

from dataclasses import dataclass

from neurodyn import checks
from neurodyn.checks import convert, number, time_ms


@dataclass(frozen=True, kw_only=True)
class Competitive:
    """Hebbian plasticity with competition within a type of synapses."""

    norm: float = 1.0
    """Norm w to which the weights of these synapses into each active cell flow."""
    tau_l_ms: float = 1e5
    """Time constant τ_L of the weights [ms]."""

    change = "r_post*(r_pre - W*I_post/norm_2)"

    def __post_init__(self) -> None:
        convert(self, norm=number, tau_l_ms=time_ms)
        checks.positive("tau_l_ms", self.tau_l_ms)
        checks.positive("norm", self.norm)

    @property
    def parameters(self) -> dict[str, float]:
        """Values of the names in `change`."""
        return {"norm_2": self.norm**2}

    def strongest(self, largest_rate: float) -> float:
        """Return the largest |d change / d r_post| at sending rates up to this one."""
        return largest_rate
