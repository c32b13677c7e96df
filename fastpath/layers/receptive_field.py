"""The receptive field of a unit of a stack in the images."""

from collections.abc import Sequence
from typing import Any


def receptive_field(stages: Sequence[Any], i: int) -> tuple[int, int, int] | None:
    """Return size, stride and start of the receptive fields of stage i in the images.

    The output at position n of a side depends on the pixels from start + n · stride to
    start + n · stride + size − 1 of this side. Pixels outside of the image are padding.
    None stands for the whole image. That `UnitNorm` divides all pixels of an image by one
    number is left aside.

    A stage says what it does by `window`: the size, stride and padding of the windows that
    it moves over its inputs, or None if each output depends on all of them.

    Raises
    ------
    ValueError
        If there is no stage i, or a stage has no `window`.
    """
    if not 0 <= i < len(stages):
        raise ValueError(f"i is {i}: there are stages 0 to {len(stages) - 1}")
    size, stride, start = 1, 1, 0
    for stage in stages[: i + 1]:
        if not hasattr(stage, "window"):
            raise ValueError(
                f"{type(stage).__name__} has no `window`: give it the size, stride and "
                "padding of its windows, or None if they span the image"
            )
        if stage.window is None:
            return None
        width, step, padding = stage.window
        start -= padding * stride
        size += (width - 1) * stride
        stride *= step
    return size, stride, start
