"""Synapses that learn: feed-forward synapses, and synapses between cells.

K&H 2019, eq. 3, with the drive I of eq. 2 and a learning activation g(h) that a rule gives:

    τ_L dW_ui/dt = g_u R^p v_i − d_u W_ui,   d_u = g_u I_u

*Settled* learning is one step of it per presentation, and costs one pass over the synapses
per presentation. *Continuous* and *gated* learning take Euler's steps with the activity of
each moment. This seems to need a pass over all synapses at every time step, to sum I and to
update W. For p = 2 it does not: while an image is on, every W_u changes only along itself
and along v, W_u(t) = a_u W_u(0) + b_u v, and Euler's step for W is a step of two numbers,

    I = a I(0) + b |v|²,   b += dt/τ_L (g R² − d b),   a −= dt/τ_L d a,

from (a, b) = (1, 0): the same to rounding. The synapses are touched once per picture.
This method is used for p = 2, if all synapses exist and have no sign constraints; otherwise
every synapse is integrated at every step.

Source: D. Krotov & J. J. Hopfield, PNAS 116:7723 (2019), eq. 2, 3; the reduction to two
numbers is derived here.
"""

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurodyn.engine.feedforward import OF_UNITS, drive_units, feedforward, summed
from neurodyn.engine.rows import current_of, find, learn_by_rows
from neurodyn.engine.timeline import EQUATIONS, GAINS, LEARNING, SUMS, Timeline
from neurodyn.plasticity.protocols import FeedforwardRule, RecurrentRule
from neurodyn.stimulus import Stimulus

if TYPE_CHECKING:
    import brian2 as b2

LISTENING = """
h : 1 (linked)
"""
AT_THE_END = """
running = int(t_in_timesteps > 0) : 1 (shared)
learns = running : 1 (shared)
"""
IN_THE_WINDOW = """
learns = running*shown*int(t_in_timesteps % period_steps >= window_start) : 1 (shared)
"""
# Values that all synapses of a unit share, computed once.
GAINS_OF_UNITS = """
gain : 1
loss : 1
"""
GAIN = """
gain = learns*rate*g*R_p
loss = learns*rate*({decay})
"""
STEP = """
W += gain_post*v_pre - loss_post*W
"""
STEP_BOUNDED = """
W = clip(W + gain_post*v_pre - loss_post*W, lowest, highest)
"""
# Two numbers for each unit instead of its synapses.
REDUCED = """
I : 1
I_start : 1 (linked)
own : 1
image : 1
square : 1 (linked)
"""
REDUCED_STEP = """
I = own*I_start + image*square
image += learns*rate*(g*R_p - ({decay})*image)
own -= learns*rate*({decay})*own
"""
REDUCED_NEXT = """
own = 1
image = 0
"""
MIRRORED = """
own : 1 (linked)
image : 1 (linked)
"""
REDUCED_END = """
W = own_post*W + image_post*v_pre
"""

# Synapses in rows: those of a unit that learns are read and written once a step.
BY_ROWS = """
I : 1
I_sum : 1 (linked)
"""
NEXT_DRIVE = """
I = I_sum
"""
LINKED_GAINS = """
gain : 1 (linked)
loss : 1 (linked)
"""
LEARNS_NOT = "gain_post == 0 and loss_post == 0"

# Of synapses between cells: while an image is on, as `shown` and `running` are for cells.
RECURRENT_STEP = """
on = int(t_in_timesteps % period_steps >= rest_steps)
learns = on*int(t_in_timesteps < last_step)
W = clip(W + learns*rate*({change}), 0, inf)
"""


@dataclass(frozen=True, kw_only=True, eq=False)
class PlasticInput:
    """The groups between pixels and hidden units when the synapses learn."""

    drive: "b2.NeuronGroup"
    """Sums over the synapses."""
    source: "b2.NeuronGroup"
    """Its I drives the hidden units."""
    learner: "b2.NeuronGroup"
    """It computes the learning activation g from h, to be linked to the hidden units."""
    step: str
    """Code of the weight update, in terms of `namespace`."""
    moment: dict[str, Any]
    """When the update runs: arguments of run_regularly."""
    namespace: dict[str, Any]
    others: "list[b2.NeuronGroup]" = field(default_factory=list)
    start: dict[str, float] = field(default_factory=dict)
    """Values of the learner's own states at the start of a simulation."""
    by_rows: bool = False
    """Whether the update also sums the drive of the next step."""

    def connect(
        self,
        pixels: "b2.NeuronGroup",
        weights: NDArray[np.float64],
        *,
        connected: NDArray[np.bool_] | None,
        p: float,
        dtype: type[np.floating[Any]],
    ) -> "b2.Synapses":
        """Return the learning synapses, once h is linked."""
        synapses = feedforward(
            pixels,
            self.drive,
            weights,
            connected=connected,
            p=p,
            dtype=dtype,
            namespace=self.namespace,
        )
        runner = synapses.run_regularly(self.step, **self.moment)
        if self.by_rows:
            target = synapses.variables["I_post"]
            learn_by_rows(
                runner, OF_UNITS, skip=LEARNS_NOT, target=target, summed=summed(p)
            )
        return synapses


def plastic_input(
    num_units: int,
    *,
    rule: FeedforwardRule,
    sign: int,
    stimulus: Stimulus,
    timeline: Timeline,
    images: NDArray[np.float64],
    all_exist: bool = True,
    norms: "b2.Clock | None" = None,
) -> PlasticInput:
    """Return the groups of feed-forward synapses that learn.

    `sign` is the sign of all weights, kept at every step (0: free); `all_exist` says
    whether every unit has a synapse from every pixel.
    """
    given = {name: timeline.stretched(value) for name, value in rule.parameters.items()}
    namespace: dict[str, Any] = {**given, "R_p": rule.radius**rule.p}
    namespace["lowest"] = 0.0 if sign > 0 else -np.inf
    namespace["highest"] = 0.0 if sign < 0 else np.inf
    window_ms = min(rule.timing.window_ms(stimulus.image_ms), stimulus.image_ms)
    if not window_ms:
        namespace["rate"] = stimulus.image_ms / rule.tau_l_ms
        clock, learning = timeline.frames, AT_THE_END
        when, gains, moved = "before_start", 0, 1
        moment = timeline.presentations
    else:
        window_start = timeline.period_steps - round(window_ms / timeline.dt_ms)
        namespace |= timeline.namespace | {"window_start": window_start}
        namespace["rate"] = timeline.dt_ms / rule.tau_l_ms
        if rule.p == 2 and not sign and all_exist:
            return _reduced(num_units, rule, namespace, timeline, images, norms)
        if all_exist:
            return _by_rows(num_units, rule, namespace, timeline, norms=norms, sign=sign)
        clock = moment = timeline.steps
        learning = EQUATIONS + IN_THE_WINDOW
        when, gains, moved = "groups", GAINS, LEARNING
    drive = drive_units(
        num_units,
        clock,
        p=rule.p,
        equations=learning + LISTENING + rule.activation + GAINS_OF_UNITS,
        namespace=namespace,
        norms=norms,
    )
    gain = GAIN.format(decay=rule.decay)
    drive.run_regularly(gain, clock=moment, when=when, order=gains)
    # Further states of the rule: after the gains, which depend on them.
    drive.state_updater.when, drive.state_updater.order = when, moved
    return PlasticInput(
        drive=drive,
        source=drive,
        learner=drive,
        step=STEP_BOUNDED if sign else STEP,
        moment={"clock": moment, "when": when, "order": moved},
        namespace=namespace,
    )


def _learner(
    num_units: int,
    rule: FeedforwardRule,
    equations: str,
    namespace: dict[str, Any],
    timeline: Timeline,
) -> "b2.NeuronGroup":
    """Return the group that computes the activation g at every step, and more."""
    import brian2 as b2

    return b2.NeuronGroup(
        num_units,
        EQUATIONS + LISTENING + IN_THE_WINDOW + rule.activation + equations,
        method="euler",
        clock=timeline.steps,
        order=LEARNING,
        name="learner",
        namespace=namespace,
    )


def _reduced(
    num_units: int,
    rule: FeedforwardRule,
    namespace: dict[str, Any],
    timeline: Timeline,
    images: NDArray[np.float64],
    norms: "b2.Clock | None",
) -> PlasticInput:
    import brian2 as b2

    clock = timeline.frames
    drive = drive_units(num_units, clock, p=2.0, equations=MIRRORED, norms=norms)
    lengths = b2.NeuronGroup(
        1,
        "square : 1",
        clock=clock,
        name="lengths",
        namespace=timeline.lookup(squares(images)),
    )
    lengths.run_regularly(f"square = {timeline.entry})", clock=clock, when="start")
    learner = _learner(num_units, rule, REDUCED, namespace, timeline)
    learner.square = b2.linked_var(lengths, "square")
    learner.I_start = b2.linked_var(drive, "I")
    drive.own = b2.linked_var(learner, "own")
    drive.image = b2.linked_var(learner, "image")
    step = REDUCED_STEP.format(decay=rule.decay)
    learner.run_regularly(step, clock=timeline.steps, when="groups", order=LEARNING)
    learner.run_regularly(REDUCED_NEXT, clock=clock, when="start")
    return PlasticInput(
        drive=drive,
        source=learner,
        learner=learner,
        step=REDUCED_END,
        moment={"clock": clock, "when": "before_start", "order": 1},
        namespace={},
        others=[lengths],
        start={"own": 1.0, "image": 0.0},
    )


def _by_rows(
    num_units: int,
    rule: FeedforwardRule,
    namespace: dict[str, Any],
    timeline: Timeline,
    *,
    norms: "b2.Clock | None",
    sign: int,
) -> PlasticInput:
    """Return the groups of synapses that learn at every step, all of which exist.

    When a picture appears, its drive is summed. Then only units that learn change theirs.
    """
    import brian2 as b2

    drive = drive_units(
        num_units, timeline.frames, p=rule.p, equations=LINKED_GAINS, norms=norms
    )
    learner = _learner(num_units, rule, BY_ROWS + GAINS_OF_UNITS, namespace, timeline)
    learner.I_sum = b2.linked_var(drive, "I")
    drive.gain = b2.linked_var(learner, "gain")
    drive.loss = b2.linked_var(learner, "loss")
    clock = timeline.steps
    learner.run_regularly(NEXT_DRIVE, clock=clock, when="groups", order=SUMS)
    gain = GAIN.format(decay=rule.decay)
    learner.run_regularly(gain, clock=clock, when="groups", order=GAINS)
    return PlasticInput(
        drive=drive,
        source=learner,
        learner=learner,
        step=STEP_BOUNDED if sign else STEP,
        moment={"clock": clock, "when": "groups", "order": LEARNING},
        namespace=namespace,
        by_rows=True,
    )


def squares(images: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return |v|² of images (image, pixel)."""
    return (images**2).sum(axis=1)


def make_plastic(
    synapses: "b2.Synapses",
    rule: RecurrentRule,
    timeline: Timeline,
    pairs: tuple[NDArray[np.intp], NDArray[np.intp]],
) -> None:
    """Let synapses between cells learn, which have W and last_step; cells have a rate r.

    `pairs` are their (receiving, sending) cells.
    """
    given = {name: timeline.stretched(value) for name, value in rule.parameters.items()}
    synapses.namespace.update(
        {**given, **timeline.namespace, "rate": timeline.dt_ms / rule.tau_l_ms}
    )
    change = rule.change
    if re.search(r"\bI_post\b", change):
        change = re.sub(r"\bI_post\b", current_of(synapses), change)
    step = RECURRENT_STEP.format(change=change)
    runner = synapses.run_regularly(
        step, clock=timeline.steps, when="groups", order=LEARNING
    )
    receiving, sending = pairs
    rows = find(
        sending,
        receiving,
        num_sending=len(synapses.source),
        num_receiving=len(synapses.target),
    )
    learn_by_rows(runner, rows)
