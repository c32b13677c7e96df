"""Layers that learn: their weights, their drive, one learning step."""

from fastpath.layers.base import Layer as Layer
from fastpath.layers.dense import Dense as Dense
