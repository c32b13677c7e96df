"""Controls of a network whose layers learn: the same network with weights that do not."""

from dataclasses import replace
from typing import Any

from fastpath.baselines.end_to_end import Backprop
from fastpath.layers import StackSettings
from fastpath.layers.stages import LearningStage, Rectifier, Stage, Triangle
from fastpath.layers.stages.starts import NAMES
from fastpath.runs.config import RunConfig

RANDOM = "random"  # the weights as they start in the run
BACKPROP = "backprop"  # the same stages trained end to end, with labels
CONTROLS = (RANDOM, *NAMES[1:], BACKPROP)


def control_of(config: RunConfig, name: str) -> RunConfig:
    """Return the settings of a control.

    Back-propagation starts from rows of norm √2 (He et al. 2015), and activations have
    power 1, as other powers have no finite slope at 0.

    Raises
    ------
    ValueError
        If a dense layer is to have another control than random weights.
    """
    training = replace(config.training, epochs=0)
    if name == RANDOM:
        return replace(config, training=training)
    layer: Any = config.layer
    if not isinstance(layer, StackSettings):
        raise ValueError(
            f"control is '{name}', which only the layers of a stack can start from: give "
            f"--control {RANDOM}; `fastpath backprop` trains it by back-propagation, "
            "scenarios.hidden_size has k-means"
        )
    if name == BACKPROP:
        stages = tuple(_for_backprop(stage) for stage in layer.stages)
        layer = replace(layer, stages=stages)
        return replace(config, training=training, layer=layer, backprop=Backprop())
    stages = tuple(
        replace(stage, start_from=name) if isinstance(stage, LearningStage) else stage
        for stage in layer.stages
    )
    layer = replace(layer, stages=stages, greedy=True)
    return replace(config, training=training, layer=layer)


def _for_backprop(stage: Stage) -> Stage:
    if isinstance(stage, LearningStage):
        return replace(stage, initial_norm=2**0.5)
    return replace(stage, power=1.0) if isinstance(stage, Triangle | Rectifier) else stage
