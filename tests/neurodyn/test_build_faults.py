"""Runs that fail or are refused leave nothing behind, and say why in one line."""

import gc
from dataclasses import dataclass, field
from typing import Any

import brian2 as b2
import numpy as np
import pytest
from scipy import sparse

import neurodyn
from neurodyn import (
    Continuous,
    DaleInhibition,
    KrotovHopfield,
    LateralInhibition,
    Presentation,
)

GIVEN = np.random.default_rng(0)
IMAGES, WEIGHTS = GIVEN.random((4, 7)), abs(GIVEN.normal(0.3, 1.0, (9, 7)))
SETTINGS = {"stimulus": Presentation(image_ms=20.0), "backend": "numpy", "dt_ms": 0.5}
BETWEEN = GIVEN.random((9, 9)) * 0.1 * (1 - np.eye(9))
LEARNING = KrotovHopfield(h_star=0.5, tau_l_ms=2e3, timing=Continuous())


def simulate(circuit=None, images=IMAGES, weights=WEIGHTS, **more):
    circuit = circuit or LateralInhibition()
    return neurodyn.simulate(circuit, images, weights, **SETTINGS, progress=False, **more)


def test_an_interrupted_run_leaves_nothing_for_the_next():
    """In the middle of a presentation, when two numbers stand for a unit's synapses."""
    simulation = neurodyn.build(
        LateralInhibition(), IMAGES, WEIGHTS, plasticity=LEARNING, **SETTINGS
    )
    steps = []

    def interrupt():
        steps.append(1)
        if len(steps) == 55:
            raise KeyboardInterrupt

    with simulation:
        clock = simulation.objects["hidden"].clock
        simulation.add(b2.NetworkOperation(interrupt, clock=clock, name="interrupt"))
    with pytest.raises(KeyboardInterrupt):
        simulation.run(progress=False)
    simulation.run(progress=False)
    found, expected = simulation.traces(), simulate(plasticity=LEARNING)
    for name in ("activity", "weights"):
        np.testing.assert_array_equal(found[name], expected[name])


def test_images_of_a_run_that_could_not_be_compiled_are_not_lost():
    simulation = neurodyn.build(LateralInhibition(), IMAGES, WEIGHTS, **SETTINGS)
    with simulation:
        clock = simulation.objects["hidden"].clock
        model = "dx/dt = (q - x)/(10*ms) : 1"
        own = b2.NeuronGroup(
            2, model, clock=clock, method="euler", name="own", namespace={"ms": b2.ms}
        )
        simulation.add(own)
    with pytest.raises(
        ValueError, match=r"Brian2 refuses an equation \(in 'own\w*'\): .*q"
    ):
        simulation.run(IMAGES[::-1], progress=False)
    with pytest.raises(ValueError, match="there was no complete run"):
        simulation.traces()
    own.namespace["q"] = 1.0
    simulation.run(IMAGES[::-1], progress=False)
    expected = simulate(images=IMAGES[::-1])
    np.testing.assert_array_equal(simulation.traces()["activity"], expected["activity"])


def test_brian2_says_nothing_more_of_what_was_refused(caplog):
    @dataclass(frozen=True, kw_only=True)
    class Misspelt(neurodyn.Oja):
        activation = "g = hh : 1"

    with pytest.raises(ValueError, match=r"Brian2 refuses an equation .*hh"):
        simulate(plasticity=Misspelt())
    gc.collect()
    assert not [each.message for each in caplog.records if each.levelname == "WARNING"]


def test_objects_of_a_block_that_failed_can_be_added_later():
    """With what belongs to them: thresholds, pathways, the recorder of a monitor."""
    simulation = neurodyn.build(LateralInhibition(), IMAGES, WEIGHTS, **SETTINGS)
    made = []

    def mistaken():
        with simulation:
            clock = simulation.objects["hidden"].clock
            settings = {"clock": clock, "namespace": {}}
            cells = b2.NeuronGroup(2, "v : 1", threshold="v < 1", name="own", **settings)
            synapses = b2.Synapses(
                cells, cells, "w : 1", on_pre="w += 1", name="synapse", **settings
            )
            synapses.connect(i=[0], j=[1])
            made.extend([cells, synapses, b2.SpikeMonitor(cells, name="spikes")])
            raise KeyError("a user's mistake")

    with pytest.raises(KeyError, match="mistake"):
        mistaken()
    _, synapses, spikes = made
    simulation.add(*made)
    simulation.run(progress=False)
    assert len(spikes.i) > 0
    assert synapses.w[0] == len(spikes.i) / 2


def test_after_a_refused_run_there_are_no_traces():
    simulation = neurodyn.build(LateralInhibition(), IMAGES, WEIGHTS, **SETTINGS)
    simulation.run(progress=False)
    with pytest.raises(ValueError, match="order names 1 images"):
        simulation.run(order=[99])
    with pytest.raises(ValueError, match="there was no complete run"):
        simulation.traces()


ELSEWHERE = np.roll(BETWEEN * (BETWEEN > 0.05), 1, axis=0) * (1 - np.eye(9))


@pytest.mark.parametrize(
    "circuits",
    [
        [LateralInhibition(p=2.0), LateralInhibition(p=3.0)],
        [LateralInhibition(input_sign=0), LateralInhibition(input_sign=1)],
        [LateralInhibition(w_inh=ELSEWHERE), LateralInhibition(w_inh=ELSEWHERE.T)],
        [
            DaleInhibition(num_inh=2, w_ie=np.tile(row, (9, 1)))
            for row in ([1.0, 0.0], [0.0, 1.0])
        ],
    ],
    ids=["p", "sign", "lateral synapses", "synapses of Dale"],
)
def test_circuits_of_a_sweep_have_the_same_structure(circuits):
    with pytest.raises(ValueError, match="may differ only in the values of parameters"):
        neurodyn.sweep(circuits, IMAGES, WEIGHTS, **SETTINGS, progress=False)


def test_a_matrix_of_zeros_is_no_inhibition():
    found = simulate(LateralInhibition(w_inh=np.zeros((9, 9))))
    expected = simulate(LateralInhibition(w_inh=0.0))
    np.testing.assert_allclose(found["activity"], expected["activity"], rtol=0, atol=1e-12)
    assert LateralInhibition(w_inh=np.zeros((9, 9))).learning_names == ()


def test_without_any_synapse_nothing_is_driven():
    with pytest.raises(ValueError, match="weights have no stored entry"):
        simulate(weights=sparse.csr_array((9, 7)))


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule with a state, of which a test changes one member."""

    p: float = 2.0
    radius: float = 1.0
    tau_l_ms: float = 1e4
    timing: Any = field(default_factory=Continuous)
    activation: Any = "g = h - theta : 1\ndtheta/dt = running*(h - theta)/tau : 1"
    decay: Any = "g*I"
    states: Any = field(default_factory=lambda: {"theta": 0.0})
    parameters: Any = field(default_factory=lambda: {"tau": 50 * b2.ms})
    most: float = 10.0

    def strongest(self, lowest, highest):
        return self.most


def test_the_rule_is_right_as_it_is():
    assert abs(simulate(plasticity=Rule())["weights"] - WEIGHTS).max() > 1e-3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"states": {"rate": 0.0}}, "states of Rule has the name 'rate', which the engine"),
        ({"parameters": {"p": 4.0}}, "parameters of Rule has the name 'p', which the en"),
        ({"parameters": {"tau": "fast"}}, "parameters of Rule: 'tau' is 'fast', but a fin"),
        ({"parameters": {"tau": np.ones(3)}}, "'tau' is .*, but a finite number"),
        ({"states": {"theta": np.nan}}, "states of Rule: 'theta' is nan, but a finite"),
        ({"states": {"theta": 0.0, "phi": 0.0}}, r"activation has no equation dphi/dt = "),
        ({"states": {}}, r"states of Rule are \[\], but .* has an equation dtheta/dt = "),
        ({"states": None}, "states of Rule is None: a mapping by name is needed"),
        ({"decay": ""}, "the decay of Rule is '': Brian2's expression is needed"),
        ({"decay": None}, "the decay of Rule is None: Brian2's expression is needed"),
        ({"decay": "foo*I"}, r"Brian2 refuses an equation \(in 'learner.*foo"),
        ({"decay": "g*("}, "Brian2 refuses an equation"),
        ({"activation": "g = h* : 1\ndtheta/dt = -theta/tau : 1"}, "Brian2 refuses an eq"),
        ({"activation": "g = nope : 1\ndtheta/dt = -theta/tau : 1"}, "refuses .*nope"),
        ({"parameters": {"tau": 50.0}}, "Brian2 refuses an equation"),
        ({"most": np.nan}, "strongest of the rule gave nan: a finite number is needed"),
    ],
)
def test_mistakes_in_a_rule_are_said_in_one_line(change, said):
    with pytest.raises(ValueError, match=said) as refused:
        simulate(plasticity=Rule(**change))
    assert "\n" not in str(refused.value)


class Odd(Presentation):
    """Frames with a unit, or that are none."""

    def __init__(self, value):
        super().__init__(image_ms=20.0)
        object.__setattr__(self, "value", value)

    def frames(self, images):
        return self.value


@pytest.mark.parametrize(
    "value", [IMAGES[:, None] * b2.mV, IMAGES[:, None] * 1j, "pictures", [[1, 2], [3]]]
)
def test_frames_are_checked_as_images_are(value):
    with pytest.raises(ValueError, match="frames"):
        neurodyn.simulate(
            LateralInhibition(), IMAGES, WEIGHTS, stimulus=Odd(value), backend="numpy"
        )
