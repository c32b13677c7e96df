"""The triplet rule: potentiation grows with the rate of the receiving cell.

Each cell has two traces of its spikes that decay exponentially, x and x_slow of the sender,
y and y_slow of the receiver; all spikes count:

    at a spike of the sender
        W ← W − y (a_minus_2 + a_minus_3 x_slow),   then x ← x + 1, x_slow ← x_slow + 1
    at a spike of the receiver
        W ← W + x (a_plus_2 + a_plus_3 y_slow),     then y ← y + 1, y_slow ← y_slow + 1

W is clipped to 0 and w_max. The defaults are the fit to cells of the visual cortex ("full
model, all to all"). Without the triplet terms it is the additive pair rule.

Source: J.-P. Pfister & W. Gerstner, J. Neurosci. 26:9673 (2006), eq. 2-4 and table 3.
"""

from dataclasses import dataclass

from neurodyn import checks
from neurodyn.checks import convert, number, optional, time_ms
from neurodyn.plasticity.bounds import check_bounds, in_ms


@dataclass(frozen=True, kw_only=True)
class TripletSTDP:
    """Plasticity by pairs and triplets of spikes."""

    a_plus_2: float = 5e-10
    """Potentiation by a pair."""
    a_plus_3: float = 6.2e-3
    """Potentiation by a triplet post, pre, post."""
    a_minus_2: float = 7e-3
    """Depression by a pair."""
    a_minus_3: float = 2.3e-4
    """Depression by a triplet pre, post, pre."""
    tau_plus_ms: float = 16.8
    """Time constant of the trace x of the sender [ms]."""
    tau_minus_ms: float = 33.7
    """Time constant of the trace y of the receiver [ms]."""
    tau_x_ms: float = 101.0
    """Time constant of the slow trace of the sender [ms]."""
    tau_y_ms: float = 125.0
    """Time constant of the slow trace of the receiver [ms]."""
    w_max: float = 1.0
    """Largest weight."""
    total: float | None = None
    """Sum of the weights into a cell, restored before each presentation; None: not."""

    pre_traces = "dx/dt = -x/tau_plus : 1\ndx_slow/dt = -x_slow/tau_x : 1"
    post_traces = "dy/dt = -y/tau_minus : 1\ndy_slow/dt = -y_slow/tau_y : 1"
    at_pre = "x += 1\nx_slow += 1"
    at_post = "y += 1\ny_slow += 1"
    on_pre = "W = clip(W - y_post*(a_minus_2 + a_minus_3*x_slow_pre), 0, w_max)"
    on_post = "W = clip(W + x_pre*(a_plus_2 + a_plus_3*y_slow_post), 0, w_max)"

    def __post_init__(self) -> None:
        sizes = ("a_plus_2", "a_plus_3", "a_minus_2", "a_minus_3")
        taus = ("tau_plus_ms", "tau_minus_ms", "tau_x_ms", "tau_y_ms")
        convert(self, **dict.fromkeys(sizes, number), **dict.fromkeys(taus, time_ms))
        convert(self, w_max=number, total=optional(number))
        for name in sizes:
            checks.not_negative(name, getattr(self, name), "the size of a change")
        for name in taus:
            checks.positive(name, getattr(self, name), "a time constant")
        check_bounds(self.w_max, self.total)

    @property
    def parameters(self) -> dict[str, object]:
        """Values of the names in the equations."""
        names = ("a_plus_2", "a_plus_3", "a_minus_2", "a_minus_3")
        taus = ("plus", "minus", "x", "y")
        return {name: getattr(self, name) for name in names} | {
            f"tau_{name}": in_ms(getattr(self, f"tau_{name}_ms")) for name in taus
        }
