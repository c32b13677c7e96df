"""Layers that learn: their weights, drive, features, and one learning step."""

from fastpath.layers.base import Deep as Deep
from fastpath.layers.base import Encoder as Encoder
from fastpath.layers.base import Layer as Layer
from fastpath.layers.base import LayerSettings as LayerSettings
from fastpath.layers.base import field_shape as field_shape
from fastpath.layers.dense import Dense as Dense
from fastpath.layers.dense import DenseSettings as DenseSettings
from fastpath.layers.stack import Stack as Stack
from fastpath.layers.stack_settings import StackSettings as StackSettings

# The layer kinds of runs that are saved, by the names that configurations give them.
KINDS: dict[str, type[LayerSettings]] = {
    "Dense": DenseSettings,
    "Stack": StackSettings,
}
