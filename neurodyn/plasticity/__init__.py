"""Rules by which synapses learn, one file each; `protocols` says what a rule has."""

from neurodyn.plasticity.homeostatic import Homeostatic
from neurodyn.plasticity.krotov_hopfield import KrotovHopfield
from neurodyn.plasticity.oja import Oja
from neurodyn.plasticity.protocols import FeedforwardRule, RecurrentRule, Timing
from neurodyn.plasticity.timing import Continuous, Gated, Settled

__all__ = [
    "FEEDFORWARD_RULES",
    "RECURRENT_RULES",
    "TIMINGS",
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
# All that there are: the tests of contracts take them from here.
FEEDFORWARD_RULES = (KrotovHopfield, Oja)
RECURRENT_RULES = (Homeostatic,)
TIMINGS = (Continuous, Gated, Settled)
