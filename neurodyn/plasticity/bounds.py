"""Shared parts of rules that act at spikes: bounds of weights, and times."""

from typing import TYPE_CHECKING

from neurodyn import checks

if TYPE_CHECKING:
    import brian2 as b2


def check_bounds(w_max: float, total: float | None) -> None:
    """Refuse a largest weight or a sum of weights that is not positive."""
    checks.positive("w_max", w_max, "the largest weight")
    if total is not None:
        checks.positive("total", total, "the sum of the weights into a cell")


def in_ms(time_ms: float) -> "b2.Quantity":
    """Return a time in Brian2's units."""
    import brian2 as b2

    return b2.Quantity(time_ms * 1e-3, dim=b2.second.dim)
