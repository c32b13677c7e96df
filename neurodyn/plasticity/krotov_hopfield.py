"""The Krotov-Hopfield rule: winners learn Hebbian, weakly active units anti-Hebbian.

K&H 2019, eq. 3 with the learning activation of eq. 9:

    τ_L dW_ui/dt = g(h_u) (R^p v_i − I_u W_ui)
    g(h) = 0 for h < 0,   −Δ for 0 ≤ h < h*,   1 for h ≥ h*

For g I > 0 the p-norm Σ_i |W_ui|^p flows to R^p. For a unit that learns anti-Hebbian it is
repelled from R^p, so that weights diverge if Δ is large.

Source: D. Krotov & J. J. Hopfield, PNAS 116:7723 (2019).
"""

from dataclasses import dataclass, field

from neurodyn import checks
from neurodyn.checks import convert, number, time_ms
from neurodyn.plasticity.protocols import Timing
from neurodyn.plasticity.timing import Settled, check_timing

ACTIVATION = """
g = int(h >= h_star) - delta*int(h >= 0)*int(h < h_star) : 1
"""


@dataclass(frozen=True, kw_only=True)
class KrotovHopfield:
    """Plasticity of the feed-forward synapses by eq. 3 and 9."""

    p: float = 2.0
    """Exponent of the metric (eq. 2, 3); the circuit's must be the same."""
    delta: float = 0.4
    """Strength Δ of anti-Hebbian learning."""
    h_star: float = 0.2
    """Threshold of activity for Hebbian learning, in units of the drive.

    For weights and images of norm 1, drives are at most 1; for other images, multiply by
    their norm. Learning is best, and least sensitive, with 0.2 to 0.3. From 0.5 on, winners
    below the threshold unlearn the images that they should learn (scenarios.ladder)."""
    tau_l_ms: float = 1e5
    """Time constant τ_L of the weights [ms]: image_ms / τ_L is the learning rate."""
    radius: float = 1.0
    """R, the p-norm to which the weights of a winner flow."""
    timing: Timing = field(default_factory=Settled)
    """When the weights move: Settled(), Gated(last_ms=...), or Continuous()."""

    activation = ACTIVATION
    decay = "g*I"

    def __post_init__(self) -> None:
        convert(
            self, p=number, delta=number, h_star=number, tau_l_ms=time_ms, radius=number
        )
        check_timing(self.timing)
        checks.exponent(self.p)
        checks.positive("tau_l_ms", self.tau_l_ms)
        checks.positive("radius", self.radius)
        checks.not_negative(
            "delta", self.delta, "the strength of unlearning, subtracted by the rule,"
        )
        checks.not_negative("h_star", self.h_star, "the threshold of learning")

    @property
    def parameters(self) -> dict[str, float]:
        """Values of the names in `activation`."""
        return {"delta": self.delta, "h_star": self.h_star}

    @property
    def states(self) -> dict[str, float]:
        """Further states in `activation`: there are none."""
        return {}

    def strongest(self, lowest: float, highest: float) -> float:
        """Return the largest |g| at activities from `lowest` to `highest`."""
        return max(1.0, self.delta) if highest >= 0 else 0.0
