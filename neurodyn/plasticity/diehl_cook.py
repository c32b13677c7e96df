"""The learning rule of Diehl & Cook: two spikes of the receiving cell strengthen a synapse.

Each cell has traces of its last spike: x of the sender, y and z of the receiver. They are
set to 1 by a spike and decay exponentially.

    at a spike of the sender      W ← W − η_pre y
    at a spike of the receiver    W ← W + η_post x z     (z before this spike)

so that a synapse is strengthened in the order post, pre, post: a reduced triplet rule. Each
change is clipped to 0 and w_max. The sum of the weights into a cell is restored before each
presentation, so that synapses of one cell compete; it may lift weights above w_max.

Source: P. U. Diehl & M. Cook, Front. Comput. Neurosci. 9:99 (2015), as in the authors'
code; J.-P. Pfister & W. Gerstner, J. Neurosci. 26:9673 (2006) for triplets.
"""

from dataclasses import dataclass

from neurodyn import checks
from neurodyn.checks import convert, number, optional, time_ms
from neurodyn.plasticity.bounds import check_bounds, in_ms


@dataclass(frozen=True, kw_only=True)
class DiehlCook:
    """Plasticity of the synapses from the input, as in Diehl & Cook 2015."""

    eta_pre: float = 1e-4
    """Strength of depression at a spike of the sender."""
    eta_post: float = 1e-2
    """Strength of potentiation at a spike of the receiver."""
    tau_pre_ms: float = 20.0
    """Time constant of the trace x of the sender [ms]."""
    tau_post_1_ms: float = 20.0
    """Time constant of the trace y of the receiver [ms]."""
    tau_post_2_ms: float = 40.0
    """Time constant of the slower trace z of the receiver [ms]."""
    w_max: float = 1.0
    """Largest weight."""
    total: float | None = 78.0
    """Sum of the weights into a cell, restored before each presentation; None: not. The
    default is for 784 pixels."""

    pre_traces = "dx/dt = -x/tau_x : 1"
    post_traces = "dy/dt = -y/tau_y : 1\ndz/dt = -z/tau_z : 1"
    at_pre = "x = 1"
    at_post = "y = 1\nz = 1"
    on_pre = "W = clip(W - eta_pre*y_post, 0, w_max)"
    on_post = "W = clip(W + eta_post*x_pre*z_post, 0, w_max)"

    def __post_init__(self) -> None:
        convert(self, eta_pre=number, eta_post=number, w_max=number, total=optional(number))
        convert(self, tau_pre_ms=time_ms, tau_post_1_ms=time_ms, tau_post_2_ms=time_ms)
        for name in ("tau_pre_ms", "tau_post_1_ms", "tau_post_2_ms"):
            checks.positive(name, getattr(self, name), "a time constant")
        for name in ("eta_pre", "eta_post"):
            checks.not_negative(name, getattr(self, name), "a learning rate")
        check_bounds(self.w_max, self.total)

    @property
    def parameters(self) -> dict[str, object]:
        """Values of the names in the equations."""
        return {
            "eta_pre": self.eta_pre,
            "eta_post": self.eta_post,
            "tau_x": in_ms(self.tau_pre_ms),
            "tau_y": in_ms(self.tau_post_1_ms),
            "tau_z": in_ms(self.tau_post_2_ms),
        }
