"""Stages of a stack: layers that learn, and what stands between them.

A new stage is a file with its settings and its part, and a line in `KINDS`.
"""

from fastpath.layers.stages.activation import ActivationPart as ActivationPart
from fastpath.layers.stages.activation import Rectifier as Rectifier
from fastpath.layers.stages.activation import Triangle as Triangle
from fastpath.layers.stages.base import Part as Part
from fastpath.layers.stages.base import Stage as Stage
from fastpath.layers.stages.base import canonical as canonical
from fastpath.layers.stages.batch_norm import BatchNorm as BatchNorm
from fastpath.layers.stages.convolution import Convolution as Convolution
from fastpath.layers.stages.decorrelation import Decorrelate as Decorrelate
from fastpath.layers.stages.fully_connected import FullyConnected as FullyConnected
from fastpath.layers.stages.interneurons import Interneurons as Interneurons
from fastpath.layers.stages.learning import LearningPart as LearningPart
from fastpath.layers.stages.learning import LearningStage as LearningStage
from fastpath.layers.stages.on_off import OnOff as OnOff
from fastpath.layers.stages.pooling import AveragePool as AveragePool
from fastpath.layers.stages.pooling import MaxPool as MaxPool
from fastpath.layers.stages.reading import Read as Read
from fastpath.layers.stages.recurrent_inhibition import (
    RecurrentInhibition as RecurrentInhibition,
)
from fastpath.layers.stages.scaling import SubtractMean as SubtractMean
from fastpath.layers.stages.scaling import UnitNorm as UnitNorm

# The stages of runs that are saved.
KINDS: dict[str, type[Stage]] = {
    "Convolution": Convolution,
    "FullyConnected": FullyConnected,
    "Interneurons": Interneurons,
    "BatchNorm": BatchNorm,
    "Triangle": Triangle,
    "Rectifier": Rectifier,
    "OnOff": OnOff,
    "MaxPool": MaxPool,
    "AveragePool": AveragePool,
    "UnitNorm": UnitNorm,
    "SubtractMean": SubtractMean,
    "Decorrelate": Decorrelate,
    "RecurrentInhibition": RecurrentInhibition,
    "Read": Read,
}
