"""Pair-based spike-timing-dependent plasticity with exponential traces.

Each cell has a trace of its spikes, x of the sender and y of the receiver, that decays
exponentially:

    at a spike of the sender      W ← W − a_minus W^μ y,              then x ← x + 1
    at a spike of the receiver    W ← W + a_plus (w_max − W)^μ x,     then y ← y + 1

Every pair of spikes counts ("all to all"), or only the nearest ("nearest": x ← 1, y ← 1).
With μ = 0 changes do not depend on W, which is clipped to 0 and w_max ("additive": weights
end at the bounds). With μ = 1 they shrink towards the bounds ("multiplicative": weights
stay between them). Values of μ between 0 and 1 lie between these.

Source: S. Song, K. D. Miller & L. F. Abbott, Nat. Neurosci. 3:919 (2000), for the additive
rule; R. Gütig, R. Aharonov, S. Rotter & H. Sompolinsky, J. Neurosci. 23:3697 (2003), eq. 2,
for μ; A. Morrison, M. Diesmann & W. Gerstner, Biol. Cybern. 98:459 (2008) for traces.
"""

from dataclasses import dataclass

from neurodyn import checks
from neurodyn.checks import convert, flag, number, optional, time_ms
from neurodyn.plasticity.bounds import check_bounds, in_ms


@dataclass(frozen=True, kw_only=True)
class PairSTDP:
    """Plasticity by pairs of spikes."""

    a_plus: float = 0.01
    """Potentiation by a sender's spike just before one of the receiver, in units of
    w_max^(1−μ)."""
    a_minus: float = 0.0105
    """Depression by a sender's spike just after one of the receiver, in the same units."""
    tau_plus_ms: float = 20.0
    """Time constant of the trace x of the sender [ms]."""
    tau_minus_ms: float = 20.0
    """Time constant of the trace y of the receiver [ms]."""
    mu: float = 0.0
    """Exponent of the dependence on the weight: 0 additive, 1 multiplicative."""
    nearest: bool = False
    """Whether only the nearest spikes form pairs; False: all do."""
    w_max: float = 1.0
    """Largest weight."""
    total: float | None = None
    """Sum of the weights into a cell, restored before each presentation; None: not."""

    pre_traces = "dx/dt = -x/tau_x : 1"
    post_traces = "dy/dt = -y/tau_y : 1"

    def __post_init__(self) -> None:
        convert(self, a_plus=number, a_minus=number, mu=number, nearest=flag)
        convert(self, tau_plus_ms=time_ms, tau_minus_ms=time_ms)
        convert(self, w_max=number, total=optional(number))
        for name in ("tau_plus_ms", "tau_minus_ms"):
            checks.positive(name, getattr(self, name), "a time constant")
        for name in ("a_plus", "a_minus"):
            checks.not_negative(name, getattr(self, name), "the size of a change")
        if not 0 <= self.mu <= 1:
            raise ValueError(
                f"mu is {self.mu}: give 0 (additive) to 1 (multiplicative), the exponent "
                "of the dependence on the weight"
            )
        check_bounds(self.w_max, self.total)

    @property
    def at_pre(self) -> str:
        """What a spike of the sending cell does to its trace."""
        return "x = 1" if self.nearest else "x += 1"

    @property
    def at_post(self) -> str:
        """What a spike of the receiving cell does to its trace."""
        return "y = 1" if self.nearest else "y += 1"

    @property
    def on_pre(self) -> str:
        """Depression, at a spike of the sender."""
        return f"W = clip(W - a_minus*y_post{_power('W', self.mu)}, 0, w_max)"

    @property
    def on_post(self) -> str:
        """Potentiation, at a spike of the receiver."""
        room = "(w_max - W)"
        if 0 < self.mu < 1:  # W above w_max, after scaling to `total`, would give NaN
            room = "clip(w_max - W, 0, w_max)"
        return f"W = clip(W + a_plus*x_pre{_power(room, self.mu)}, 0, w_max)"

    @property
    def parameters(self) -> dict[str, object]:
        """Values of the names in the equations."""
        return {
            "a_plus": self.a_plus,
            "a_minus": self.a_minus,
            "tau_x": in_ms(self.tau_plus_ms),
            "tau_y": in_ms(self.tau_minus_ms),
            **({"mu": self.mu} if 0 < self.mu < 1 else {}),
        }


def _power(base: str, mu: float) -> str:
    """Return "*base**mu", as its value is for 0 and 1: powers are slow."""
    return {0.0: "", 1.0: f"*{base}"}.get(mu, f"*{base}**mu")
