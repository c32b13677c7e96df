"""Controls of a network whose layers learn: the same network with weights that do not."""

from dataclasses import replace
from typing import Any

from fastpath.layers import StackSettings
from fastpath.layers.stages import LearningStage
from fastpath.layers.stages.starts import NAMES
from fastpath.runs.config import RunConfig

RANDOM = "random"  # the weights as they start in the run
CONTROLS = (RANDOM, *NAMES[1:])


def control_of(config: RunConfig, name: str) -> RunConfig:
    """Return the settings of a control.

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
            f"--control {RANDOM} (for k-means of images, see scenarios.hidden_size)"
        )
    stages = tuple(
        replace(stage, start_from=name) if isinstance(stage, LearningStage) else stage
        for stage in layer.stages
    )
    layer = replace(layer, stages=stages, greedy=True)
    return replace(config, training=training, layer=layer)
