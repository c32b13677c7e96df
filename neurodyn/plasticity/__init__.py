"""Learning rules of synapses, one file each; `protocols` has their protocols."""

from neurodyn.plasticity.competitive import Competitive
from neurodyn.plasticity.homeostatic import Homeostatic
from neurodyn.plasticity.krotov_hopfield import KrotovHopfield
from neurodyn.plasticity.oja import Oja
from neurodyn.plasticity.protocols import FeedforwardRule, RecurrentRule, Timing
from neurodyn.plasticity.timing import Continuous, Gated, Settled

__all__ = [
    "FEEDFORWARD_RULES",
    "RECURRENT_RULES",
    "TIMINGS",
    "Competitive",
    "Continuous",
    "FeedforwardRule",
    "Gated",
    "Homeostatic",
    "KrotovHopfield",
    "Oja",
    "RecurrentRule",
    "Settled",
    "Timing",
]
# All rules and timings: the contract tests are derived from these lists.
FEEDFORWARD_RULES = (KrotovHopfield, Oja)
RECURRENT_RULES = (Homeostatic, Competitive)
TIMINGS = (Continuous, Gated, Settled)
