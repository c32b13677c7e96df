"""Circuits and rules written outside the package: they run, learn, are saved and drawn.

Each against a loop in NumPy that is written from its equations.
"""

from dataclasses import dataclass, field
from typing import ClassVar

import matplotlib.pyplot as plt
import numpy as np
import pytest

import neurodyn
from neurodyn import Presentation, Recording, analysis, plots, traces
from neurodyn.checks import lacking
from neurodyn.circuits import (
    CIRCUITS,
    BuiltCircuit,
    Circuit,
    ThresholdLinear,
    Trace,
    stability,
)
from neurodyn.circuits.populations import connect, population
from neurodyn.engine.timeline import SUMS
from neurodyn.plasticity import (
    FEEDFORWARD_RULES,
    RECURRENT_RULES,
    TIMINGS,
    FeedforwardRule,
    Gated,
    RecurrentRule,
    Settled,
    Timing,
)

NUM_UNITS, NUM_PIXELS, NUM_SOM = 4, 5, 2
DT_MS, IMAGE_MS, TAU_MS, TAU_SOM_MS, TAU_L_MS = 0.5, 20.0, 10.0, 5.0, 200.0
CPP = pytest.param("cpp", marks=pytest.mark.slow)


@dataclass(frozen=True, kw_only=True)
class SomInhibition(ThresholdLinear):
    """Hidden units that are inhibited by cells which the units excite, each by a weight 1.

    τ dh_u/dt = I_u − Σ_s W_us r(q_s) − h_u,   τ_s dq_s/dt = mean_u r(h_u) − q_s
    """

    traces: ClassVar = {
        "som_activity": Trace(("time", "som"), "activity of the SOM cells"),
        "weights_som": Trace(("unit", "som"), "inhibitory weights of the SOM cells"),
        "som": Trace(("som",), "SOM cell"),
    }
    synapses: ClassVar = {"som_to_exc": "weights_som"}
    learning_names: ClassVar = ("som_to_exc",)

    w_som: np.ndarray
    p: float = 2.0
    tau_ms: float = TAU_MS

    @property
    def populations(self):
        return {"som": self.w_som.shape[1]}

    def matrices(self, num_units):
        return {"som_to_exc": self.w_som}

    def cells(self, num_units):
        num_som = self.w_som.shape[1]
        taus = np.repeat([self.tau_ms, TAU_SOM_MS], [num_units, num_som])
        excitation = np.full((num_som, num_units), 1 / num_units)
        return stability.Cells(
            taus,
            np.block(
                [
                    [np.zeros((num_units, num_units)), -self.w_som],
                    [excitation, np.zeros((num_som, num_som))],
                ]
            ),
        )

    def parameters(self, timeline, num_units, *, copies=1):
        weights = self.w_som[self.pairs(num_units, "som_to_exc")]
        return {
            ("hidden", "tau"): self.tau_ms * timeline.ms,
            ("som", "tau"): TAU_SOM_MS * timeline.ms,
            ("som_to_exc", "W"): np.tile(weights, copies),
        }

    def build(self, drive, timeline, *, reset, copies=1):
        import brian2 as b2

        equations = {
            "hidden": "dh/dt = running*(I*shown + noise - inhibition - h)/tau : 1\n"
            "r = h*int(h > 0) : 1\nI : 1 (linked)\ninhibition : 1 (linked)\n",
            "som": "dh/dt = running*(noise + excitation - h)/tau : 1\n"
            "r = h*int(h > 0) : 1\nexcitation : 1 (linked)\n",
        }
        num_units, num_som = len(drive) // copies, self.w_som.shape[1]
        hidden, som = (
            population(size, equations[name], timeline, name=name, reset=reset)
            for name, size in (("hidden", len(drive)), ("som", num_som * copies))
        )
        settings = {"clock": timeline.steps, "namespace": {}}
        into_hidden, into_som = (
            b2.NeuronGroup(len(group), text, order=SUMS, name=f"into_{name}", **settings)
            for group, name, text in (
                (hidden, "hidden", "inhibition : 1\nr : 1 (linked)\n"),
                (som, "som", "excitation : 1\n"),
            )
        )
        hidden.I = b2.linked_var(drive, "I")
        hidden.inhibition = b2.linked_var(into_hidden, "inhibition")
        into_hidden.r = b2.linked_var(hidden, "r")
        som.excitation = b2.linked_var(into_som, "excitation")
        excite = b2.Synapses(
            hidden,
            into_som,
            f"excitation_post = r_pre/{num_units} : 1 (summed)",
            name="exc_to_som",
            **settings,
        )
        pairs = np.meshgrid(np.arange(num_som), np.arange(num_units))
        connect(excite, pairs[1].ravel(), pairs[0].ravel(), copies=copies)
        inhibit = b2.Synapses(
            som,
            into_hidden,
            "W : 1\nlast_step : integer (shared, constant)\n"
            "inhibition_post = W*r_pre : 1 (summed)",
            name="som_to_exc",
            **settings,
        )
        receiving, sending = self.pairs(num_units, "som_to_exc")
        connect(inhibit, sending, receiving, copies=copies)
        return BuiltCircuit(
            units=hidden,
            others=[som, into_hidden, into_som, excite, inhibit],
            samples={"activity": (hidden, "h"), "som_activity": (som, "h")},
            state=[(hidden, "h"), (som, "h")],
            synapses={"som_to_exc": inhibit},
        )


@dataclass(frozen=True, kw_only=True)
class Rectified:
    """Feed-forward: active units learn in proportion to their rate."""

    p: float = 2.0
    radius: float = 1.0
    tau_l_ms: float = TAU_L_MS
    timing: Timing = field(default_factory=Settled)
    activation = "g = scale*h*int(h > 0) : 1"
    decay = "g*I"
    states: ClassVar = {}
    parameters: ClassVar = {"scale": 0.5}

    def strongest(self, lowest, highest):
        return 0.5 * max(highest, 0.0)


@dataclass(frozen=True, kw_only=True)
class Covariance:
    """Between cells: dW = r_pre (r_post − W)."""

    tau_l_ms: float = TAU_L_MS
    change = "r_pre*(r_post - W)"
    parameters: ClassVar = {}

    def strongest(self, largest_rate):
        return largest_rate


@pytest.fixture
def given():
    """Images, weights of the units, and weights of the SOM cells, one of them 0."""
    rng = np.random.default_rng(11)
    w_som = rng.random((NUM_UNITS, NUM_SOM))
    w_som[1, 1] = 0.0
    return rng.random((3, NUM_PIXELS)), rng.random((NUM_UNITS, NUM_PIXELS)), w_som


def euler(images, weights, w_som, order):
    """Both rules, activity carried over; return (activity, som, weights, w_som)."""
    h, q = np.zeros(NUM_UNITS), np.zeros(NUM_SOM)
    activity, som, exists = [h], [q], w_som > 0
    for image in order:
        drive = weights @ images[image]
        for _ in range(round(IMAGE_MS / DT_MS)):
            r, s = np.maximum(h, 0), np.maximum(q, 0)
            moved = w_som + DT_MS / TAU_L_MS * s * (r[:, None] - w_som)
            slope = drive - w_som @ s - h
            h, q = h + DT_MS / TAU_MS * slope, q + DT_MS / TAU_SOM_MS * (r.mean() - q)
            w_som = np.where(exists, np.maximum(moved, 0), 0)
            activity.append(h)
            som.append(q)
        g = 0.5 * np.maximum(h, 0)
        change = g[:, None] * (images[image] - drive[:, None] * weights)
        weights = weights + IMAGE_MS / TAU_L_MS * change
    return activity, som, weights, w_som


ORDER = [0, 2, 1, 1, 0]


def simulated(given, **settings):
    images, weights, w_som = given
    return neurodyn.simulate(
        SomInhibition(w_som=w_som),
        images,
        weights,
        plasticity={"feedforward": Rectified(), "som_to_exc": Covariance()},
        stimulus=Presentation(image_ms=IMAGE_MS, reset=False),
        order=ORDER,
        recording=Recording(by_image=False, activity_ms=DT_MS, weights_every=1),
        dt_ms=DT_MS,
        **settings,
    )


@pytest.mark.parametrize("backend", ["numpy", CPP])
def test_a_circuit_and_rules_of_ones_own_are_their_equations(given, backend):
    found = simulated(given, backend=backend)
    activity, som, weights, w_som = euler(*given, ORDER)
    for name, expected in (
        ("activity", activity),
        ("som_activity", som),
        ("weights", weights),
        ("weights_som", w_som),
    ):  # measured: 1e-15
        np.testing.assert_allclose(found[name], expected, rtol=0, atol=1e-12)
    assert abs(found["weights"] - given[1]).max() > 0.05
    assert abs(found["weights_som"] - given[2]).max() > 0.05
    assert found["weights_som_snapshots"].dims == ("snapshot", "unit", "som")


def test_their_traces_are_written_by_chunks_and_read_back(given, tmp_path):
    written = simulated(given, backend="numpy", out=tmp_path / "t.nc").load()
    held = simulated(given, backend="numpy")
    read = traces.open(tmp_path / "t.nc")
    for name, variable in held.variables.items():
        np.testing.assert_array_equal(read[name], variable, err_msg=name)
        assert read[name].attrs == variable.attrs == written[name].attrs
    traces.save(held, tmp_path / "saved.nc")
    assert traces.open(tmp_path / "saved.nc").identical(held)
    assert read["som"].attrs["long_name"] == "SOM cell"


def test_their_traces_are_analysed_and_drawn(given):
    found = simulated(given, backend="numpy")
    rate = analysis.population_rate(found["som_activity"].rename(som="unit"))
    assert plots.population_rate(rate).lines[0].get_ydata()[-1] == pytest.approx(
        float(np.maximum(found["som_activity"][-1], 0).mean())
    )
    portrait = plots.phase_portrait(found["activity"], found["som_activity"])
    assert len(portrait.lines[0].get_xdata()) == found.sizes["time"]
    plt.close("all")


def test_images_side_by_side_are_images_in_turn_for_a_circuit_of_ones_own(given):
    images, weights, w_som = given
    in_turn, beside = (
        neurodyn.simulate(
            SomInhibition(w_som=w_som),
            images,
            weights,
            stimulus=Presentation(image_ms=IMAGE_MS),
            backend="numpy",
            dt_ms=DT_MS,
            batch_size=size,
        )
        for size in (1, 3)
    )
    for name, variable in in_turn.variables.items():
        np.testing.assert_allclose(beside[name], variable, rtol=0, atol=1e-12)


class Nothing:
    p = 2.0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"circuit": Nothing()}, r"circuit is .*Nothing.*it lacks .*\.\.\."),
        ({"plasticity": Nothing()}, "it lacks radius, tau_l_ms, timing, activation"),
        ({"plasticity": {"lateral": Nothing()}}, "RecurrentRule .it lacks tau_l_ms"),
        ({"plasticity": Rectified(tau_l_ms=0.0)}, "tau_l_ms is 0.0: it must be positive"),
        ({"plasticity": Rectified(timing=Settled)}, "timing is the class Settled"),
        ({"plasticity": Covariance()}, "Covariance cannot learn the synapses 'feedforw"),
        ({"recording": Recording(inhibition=True)}, "SomInhibition has no trace of inhib"),
    ],
)
def test_what_keeps_no_protocol_is_refused(given, settings, said):
    images, weights, w_som = given
    circuit = SomInhibition(w_som=w_som)
    with pytest.raises(ValueError, match=said):
        neurodyn.simulate(
            settings.pop("circuit", circuit), images, weights, backend="numpy", **settings
        )


def test_an_activation_that_is_no_equation_for_g_is_refused(given):
    class Wordless(Rectified):
        activation = "learn whenever you are active"

    with pytest.raises(ValueError, match=r"the activation of Wordless is .*'g = int"):
        neurodyn.simulate(
            SomInhibition(w_som=given[2]),
            *given[:2],
            plasticity=Wordless(),
            backend="numpy",
        )


def test_a_change_that_is_no_expression_is_refused(given):
    class Computed(Covariance):
        def change(self, r_pre, r_post):
            return r_pre * r_post

    with pytest.raises(ValueError, match=r"the change of Computed is .*: give Brian2's"):
        neurodyn.simulate(
            SomInhibition(w_som=given[2]), *given[:2], plasticity={"som_to_exc": Computed()}
        )


KEPT = [(Circuit, circuit) for circuit in CIRCUITS]
KEPT += [(FeedforwardRule, rule) for rule in FEEDFORWARD_RULES]
KEPT += [(RecurrentRule, rule) for rule in RECURRENT_RULES]
KEPT += [(Timing, timing) for timing in TIMINGS]


@pytest.mark.parametrize(("protocol", "kind"), KEPT)
def test_all_built_in_pieces_keep_their_protocol(protocol, kind):
    assert lacking(kind(last_ms=1.0) if kind is Gated else kind(), protocol) == []


@pytest.mark.parametrize("kind", CIRCUITS)
def test_each_circuit_declares_what_it_records(kind):
    circuit = kind()
    assert set(circuit.synapses.values()) <= set(circuit.traces)
    assert set(circuit.matrices(3)) <= set(circuit.synapses)
    assert set(circuit.learning_names) <= set(circuit.synapses)
    assert set(circuit.populations) <= set(circuit.traces)
    found = neurodyn.simulate(
        circuit,
        np.ones((2, 1)),
        np.ones((3, 1)),
        stimulus=Presentation(image_ms=5.0),
        recording=Recording(by_image=False, inhibition="inhibition" in circuit.traces),
        backend="numpy",
    )
    own = {name: one for name, one in circuit.traces.items() if one.dims[0] == "time"}
    for name, trace in own.items():
        assert found[name].dims == trace.dims
        assert found[name].attrs["long_name"] == trace.long_name


@pytest.mark.parametrize("kind", FEEDFORWARD_RULES)
@pytest.mark.parametrize("circuit", CIRCUITS)
def test_each_rule_moves_the_weights_of_each_circuit(kind, circuit):
    found = neurodyn.simulate(
        circuit(),
        np.ones((2, 1)),
        np.full((3, 1), 0.5),
        plasticity=kind(tau_l_ms=100.0),
        stimulus=Presentation(image_ms=20.0),
        backend="numpy",
    )
    assert abs(found["weights"] - 0.5).max() > 1e-3
