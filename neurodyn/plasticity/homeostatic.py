"""Inhibitory synapses that bring each cell to a target rate.

Vogels et al. 2011 strengthen an inhibitory synapse when both cells are active together, and
weaken it when the inhibitory cell is active alone. In rates r = max(h, 0), with W the
strength of inhibition of cell u by cell i:

    τ_L dW_ui/dt = r_i (r_u − ρ),   W ≥ 0

(their spike rule, Δw = η (x_post − α) at inhibitory spikes and η x_pre at excitatory ones
with α = 2 ρ τ_STDP, averaged over independent Poisson spikes). Cells whose drive is above ρ
are brought to it; those below lose their inhibition. Every cell is steered to ρ: a target
above the mean rate of a sparse code destroys it.

Source: T. P. Vogels, H. Sprekeler, F. Zenke, C. Clopath & W. Gerstner, Science 334:1569
(2011).
"""

from dataclasses import dataclass

from neurodyn import checks
from neurodyn.checks import convert, number, time_ms


@dataclass(frozen=True, kw_only=True)
class Homeostatic:
    """Plasticity of inhibitory synapses to a target rate (Vogels et al. 2011)."""

    target: float = 0.1
    """Target rate ρ of the receiving cells."""
    tau_l_ms: float = 1e5
    """Time constant τ_L of the weights [ms]."""

    change = "r_pre*(r_post - rho)"

    def __post_init__(self) -> None:
        convert(self, target=number, tau_l_ms=time_ms)
        checks.positive("tau_l_ms", self.tau_l_ms)
        checks.not_negative("target", self.target, "a rate")

    @property
    def parameters(self) -> dict[str, float]:
        """Values of the names in `change`."""
        return {"rho": self.target}

    def strongest(self, largest_rate: float) -> float:
        """Return the largest |d change / d r_post| at sending rates up to this one."""
        return largest_rate
