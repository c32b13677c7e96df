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
from typing import TYPE_CHECKING

from neurodyn import checks
from neurodyn.checks import convert, number, time_ms
from neurodyn.engine.timeline import LEARNING, Timeline

if TYPE_CHECKING:
    import brian2 as b2

# While an image is on, as `shown` and `running` are for cells.
STEP = """
on = int(t_in_timesteps % period_steps >= rest_steps)
learns = on*int(t_in_timesteps < last_step)
W = clip(W + learns*rate*r_pre*(r_post - rho), 0, inf)
"""


@dataclass(frozen=True, kw_only=True)
class Homeostatic:
    """Plasticity of inhibitory synapses to a target rate (Vogels et al. 2011)."""

    target: float = 0.1
    """Target rate ρ of the receiving cells."""
    tau_l_ms: float = 1e5
    """Time constant τ_L of the weights [ms]."""

    def __post_init__(self) -> None:
        convert(self, target=number, tau_l_ms=time_ms)
        checks.positive("tau_l_ms", self.tau_l_ms)
        checks.not_negative("target", self.target, "a rate")

    def learn(self, synapses: "b2.Synapses", timeline: Timeline) -> None:
        """Make synapses learn, whose cells have a state r."""
        synapses.namespace.update(
            timeline.namespace
            | {"rate": timeline.dt_ms / self.tau_l_ms, "rho": self.target}
        )
        synapses.run_regularly(STEP, clock=timeline.steps, when="groups", order=LEARNING)
