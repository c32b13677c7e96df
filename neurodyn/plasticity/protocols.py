"""The protocols of learning rules: a rule of your own is any object with these members.

In circuits of rates, a `FeedforwardRule` changes the weights from pixels to hidden units, a
`RecurrentRule` those between cells. In circuits of spiking cells, a `SpikeRule` changes the
weights from the input.
"""

from collections.abc import Mapping
from typing import Any, Protocol

FEEDFORWARD = "feedforward"  # name of the synapses from pixels to hidden units


class Timing(Protocol):
    """When feed-forward synapses learn (`Continuous`, `Gated`, `Settled`)."""

    def window_ms(self, image_ms: float) -> float:
        """Return how long before the end of a presentation learning starts [ms].

        0: one update at the end, in proportion to image_ms; infinite: all the time.

        Raises
        ------
        ValueError
            If the image is shown for less time.
        """
        ...


class FeedforwardRule(Protocol):
    """A rule τ_L dW_ui/dt = g_u R^p v_i − d_u W_ui, with g and d of the unit.

    In eq. 3 of K&H 2019, d = g I (`KrotovHopfield`, `Oja`).
    """

    @property
    def p(self) -> float:
        """Exponent of the metric, equal to that of the circuit."""
        ...

    @property
    def radius(self) -> float:
        """R, the p-norm to which the weights of a winner flow."""
        ...

    @property
    def tau_l_ms(self) -> float:
        """Time constant τ_L of the weights [ms]."""
        ...

    @property
    def timing(self) -> Timing:
        """When the weights move."""
        ...

    @property
    def activation(self) -> str:
        """Brian2's equation for g, of the unit's activity h and drive I: "g = h : 1".

        Equations of further states may follow, as "dx/dt = running*(h - x)/tau_x : 1". They
        are integrated with the activity if learning is continuous or gated, and once per
        presentation if it is settled. `running` is 1 until the last presentation ends.
        """
        ...

    @property
    def decay(self) -> str:
        """Brian2's expression for d, of g, h and I: "g*I" in eq. 3, or "0"."""
        ...

    @property
    def states(self) -> Mapping[str, float]:
        """Values of the further states in `activation` at the start; {}: there are none."""
        ...

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Values of the other names in `activation`: numbers, or Brian2 quantities."""
        ...

    def strongest(self, lowest: float, highest: float) -> float:
        """Return the largest |g| at activities from `lowest` to `highest`.

        A step in which weights may relax by more than themselves, |g I| / τ_L, is refused.
        """
        ...


class RecurrentRule(Protocol):
    """A rule τ_L dW/dt = change, W ≥ 0, while an image is on.

    Examples: `Homeostatic`, `Competitive`.
    """

    @property
    def tau_l_ms(self) -> float:
        """Time constant τ_L of the weights [ms]."""
        ...

    @property
    def change(self) -> str:
        """Brian2's expression for the change, of W, r_pre, r_post and I_post.

        r_pre and r_post are the rates of the cells, 0 or more. I_post = Σ W r_pre is the
        current into the receiving cell through all these synapses.
        """
        ...

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Values of the other names in `change`: numbers, or Brian2 quantities."""
        ...

    def strongest(self, largest_rate: float) -> float:
        """Return the largest |d change / d r_post| at sending rates up to this one."""
        ...


class SpikeRule(Protocol):
    """Spike-timing-dependent plasticity of the synapses from the input to E cells.

    Each cell carries traces of its own spikes: states that decay and jump. A weight changes
    at the spikes of either cell, by the traces as they are before the jumps of this time
    step. So two spikes in the same step do not act on each other; the change at the
    sender's spike comes first.

    Examples: `DiehlCook`, `PairSTDP`, `TripletSTDP`.
    """

    @property
    def pre_traces(self) -> str:
        """Brian2's equations for the traces of the sending cell: "dx/dt = -x/tau_x : 1".

        They start at 0, and are integrated by the exponential Euler method.
        """
        ...

    @property
    def post_traces(self) -> str:
        """The same for the traces of the receiving cell."""
        ...

    @property
    def at_pre(self) -> str:
        """What a spike of the sending cell does to its traces: "x += 1"."""
        ...

    @property
    def at_post(self) -> str:
        """What a spike of the receiving cell does to its traces."""
        ...

    @property
    def on_pre(self) -> str:
        """The change at a spike of the sender: "W = clip(W - a*y_post, 0, w_max)"."""
        ...

    @property
    def on_post(self) -> str:
        """The change at a spike of the receiver: "W = clip(W + a*x_pre, 0, w_max)"."""
        ...

    @property
    def w_max(self) -> float:
        """The largest weight that a change may reach. Scaling to `total` may exceed it."""
        ...

    @property
    def total(self) -> float | None:
        """Sum of a cell's weights, to which they are scaled before each presentation.

        None: they are not scaled.
        """
        ...

    @property
    def parameters(self) -> Mapping[str, Any]:
        """Values of the other names: numbers, or Brian2 quantities; w_max is known."""
        ...
