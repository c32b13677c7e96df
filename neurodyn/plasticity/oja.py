"""Oja's rule: a linear unit that finds the leading principal component.

Equation 3 of K&H 2019 with g(h) = h and p = 2; for one unit, h settles to I, and

    τ_L dW_i/dt = I (R² v_i − I W_i)

whose stable fixed point is R times the leading eigenvector of the correlations ⟨v v^T⟩.
Competing units do not all find the same eigenvector.

Source: E. Oja, J. Math. Biol. 15:267 (1982), eq. 3.
"""

from dataclasses import dataclass, field

from neurodyn import checks
from neurodyn.checks import convert, number, time_ms
from neurodyn.plasticity.protocols import Timing
from neurodyn.plasticity.timing import Settled, check_timing

ACTIVATION = """
g = h : 1
"""


@dataclass(frozen=True, kw_only=True)
class Oja:
    """Plasticity of the feed-forward synapses in proportion to the activity."""

    tau_l_ms: float = 1e5
    """Time constant τ_L of the weights [ms] at activity 1."""
    radius: float = 1.0
    """R, the norm to which the weights flow."""
    timing: Timing = field(default_factory=Settled)
    """When the weights move: Settled(), Gated(last_ms=...), or Continuous()."""

    activation = ACTIVATION
    decay = "g*I"
    p = 2.0

    def __post_init__(self) -> None:
        convert(self, tau_l_ms=time_ms, radius=number)
        check_timing(self.timing)
        checks.positive("tau_l_ms", self.tau_l_ms)
        checks.positive("radius", self.radius)

    @property
    def parameters(self) -> dict[str, float]:
        """Values of the names in `activation`: there are none."""
        return {}

    @property
    def states(self) -> dict[str, float]:
        """Further states in `activation`: there are none."""
        return {}

    def strongest(self, lowest: float, highest: float) -> float:
        """Return the largest |g| at activities from `lowest` to `highest`."""
        return max(abs(lowest), abs(highest))
