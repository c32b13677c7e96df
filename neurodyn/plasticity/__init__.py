"""Learning rules of synapses, one file each; `protocols` has their protocols."""

from neurodyn.plasticity.competitive import Competitive
from neurodyn.plasticity.diehl_cook import DiehlCook
from neurodyn.plasticity.homeostatic import Homeostatic
from neurodyn.plasticity.krotov_hopfield import KrotovHopfield
from neurodyn.plasticity.oja import Oja
from neurodyn.plasticity.pair_stdp import PairSTDP
from neurodyn.plasticity.protocols import (
    FeedforwardRule,
    RecurrentRule,
    SpikeRule,
    Timing,
)
from neurodyn.plasticity.timing import Continuous, Gated, Settled
from neurodyn.plasticity.triplet_stdp import TripletSTDP

__all__ = [
    "FEEDFORWARD_RULES",
    "RECURRENT_RULES",
    "SPIKE_RULES",
    "TIMINGS",
    "Competitive",
    "Continuous",
    "DiehlCook",
    "FeedforwardRule",
    "Gated",
    "Homeostatic",
    "KrotovHopfield",
    "Oja",
    "PairSTDP",
    "RecurrentRule",
    "Settled",
    "SpikeRule",
    "Timing",
    "TripletSTDP",
]
# All rules and timings: the contract tests are derived from these lists.
FEEDFORWARD_RULES = (KrotovHopfield, Oja)
RECURRENT_RULES = (Homeostatic, Competitive)
SPIKE_RULES = (DiehlCook, PairSTDP, TripletSTDP)
TIMINGS = (Continuous, Gated, Settled)
