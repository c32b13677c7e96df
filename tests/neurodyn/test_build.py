"""A built simulation: run again with other values, and with objects of one's own."""

import brian2 as b2
import numpy as np
import pytest
from scipy import sparse

import neurodyn
from neurodyn import (
    Continuous,
    DaleInhibition,
    Homeostatic,
    KrotovHopfield,
    LateralInhibition,
    Presentation,
    Recording,
    times,
)

NUM_UNITS, NUM_PIXELS = 9, 7
GIVEN = np.random.default_rng(0)
IMAGES = GIVEN.random((4, NUM_PIXELS))
WEIGHTS = GIVEN.normal(0.3, 1.0, (NUM_UNITS, NUM_PIXELS))
OTHERS = GIVEN.random((3, NUM_PIXELS)), GIVEN.normal(0.2, 1.0, (NUM_UNITS, NUM_PIXELS))
DT_MS = 0.5
BETWEEN = GIVEN.random((NUM_UNITS, NUM_UNITS)) * 0.1 * (1 - np.eye(NUM_UNITS))
LEARNING = KrotovHopfield(h_star=0.5, tau_l_ms=2e3)

CYTHON = pytest.param("cython", marks=pytest.mark.slow)
CPP = pytest.param("cpp", marks=pytest.mark.slow)
BACKENDS = pytest.mark.parametrize("backend", ["numpy", CYTHON, CPP])


def settings(backend, **more):
    return {
        "stimulus": Presentation(image_ms=20.0, rest_ms=4.0),
        "backend": backend,
        "dt_ms": DT_MS,
        **more,
    }


def assert_same(found, expected, *, atol=0.0):
    assert set(found) == set(expected)
    for name in expected.data_vars:
        np.testing.assert_allclose(
            found[name], expected[name], rtol=0, atol=atol, err_msg=name
        )


CASES = {
    "static": (LateralInhibition(w_inh=0.5, noise=0.1), {}),
    "settled": (LateralInhibition(w_inh=0.5), {"plasticity": LEARNING}),
    "continuous": (
        LateralInhibition(w_inh=0.5, noise=0.1),
        {"plasticity": KrotovHopfield(h_star=0.5, tau_l_ms=2e3, timing=Continuous())},
    ),
    "each synapse": (
        LateralInhibition(w_inh=0.5, p=3.0),
        {
            "plasticity": KrotovHopfield(
                p=3.0, h_star=0.5, tau_l_ms=2e4, timing=Continuous()
            )
        },
    ),
    "between cells": (
        LateralInhibition(w_inh=BETWEEN),
        {"plasticity": {"feedforward": LEARNING, "lateral": Homeostatic(tau_l_ms=1e3)}},
    ),
    "dale": (DaleInhibition(num_inh=3, input_sign=0), {}),
    "side by side": (LateralInhibition(w_inh=0.5, noise=0.1), {"batch_size": 2}),
}


# A program takes 6 s to compile: those that are given most, and another kind each.
RUNS = [
    *((name, "numpy") for name in CASES),
    pytest.param("static", "cython", marks=pytest.mark.slow),
    *(
        pytest.param(name, "cpp", marks=pytest.mark.slow)
        for name in ("continuous", "each synapse", "between cells", "side by side")
    ),
]


@pytest.mark.parametrize(("name", "backend"), RUNS)
def test_each_run_is_a_simulation_of_its_own(name, backend):
    """With the same values, with others, and with the first once more."""
    circuit, more = CASES[name]
    given = settings(backend, **more)
    simulation = neurodyn.build(circuit, IMAGES, WEIGHTS, **given, seed=1)
    simulation.run(progress=False)
    first = simulation.traces()
    images, weights = OTHERS
    simulation.run(images, weights=weights, seed=5, progress=False)
    second = simulation.traces()
    simulation.run(order=[3, 0], progress=False)
    third = simulation.traces()
    simulation.run(progress=False)
    atol = 0.0 if backend == "numpy" else 1e-12  # measured 1e-14
    by_numpy = {**given, "backend": "numpy", "progress": False}
    simulate = neurodyn.simulate
    expected = simulate(circuit, IMAGES, WEIGHTS, **by_numpy, seed=1)
    assert_same(first, expected, atol=atol)
    assert_same(simulation.traces(), first)
    expected = simulate(circuit, images, weights, **by_numpy, seed=5)
    assert_same(second, expected, atol=atol)
    expected = simulate(circuit, IMAGES, WEIGHTS, **by_numpy, seed=1, order=[3, 0])
    assert_same(third, expected, atol=atol)
    assert second.attrs["config"] != first.attrs["config"]


def with_monitors(backend):
    """Return a simulation with monitors and a second input of its own, and these."""
    circuit = LateralInhibition(w_inh=0.5)
    recording = Recording(activity_ms=DT_MS, by_image=False)
    given = settings(backend, recording=recording)
    simulation = neurodyn.build(circuit, IMAGES, WEIGHTS, **given)
    with simulation:
        hidden = simulation.objects["hidden"]
        pulse = b2.TimedArray([0.0, 2.0, 0.0, 0.0], dt=24 * simulation.ms)
        hidden.namespace["pulse"] = pulse
        hidden.run_regularly("h += pulse(t)*dt/tau", clock=hidden.clock, when="end")
        above = b2.NeuronGroup(
            NUM_UNITS,
            "h : 1 (linked)",
            threshold="h > 1",
            refractory="h > 1",
            clock=hidden.clock,
            name="above",
            namespace={},
        )
        above.h = b2.linked_var(hidden, "h")
        crossings = b2.SpikeMonitor(above, name="crossings")
        pool = simulation.objects["pool"]
        total = b2.StateMonitor(pool, "S", record=True, clock=hidden.clock, name="total")
        simulation.add(above, crossings, total)
    return simulation, crossings, total


@BACKENDS
def test_own_monitors_and_inputs(backend):
    """Against Euler's method in NumPy."""
    simulation, crossings, total = with_monitors(backend)
    h, sums, expected = np.zeros(NUM_UNITS), [], [np.zeros(NUM_UNITS)]
    for step in range(4 * 48):
        image, within = divmod(step, 48)
        h = h * (within > 0)
        r = np.maximum(h, 0)
        sums.append(r.sum())
        current = (IMAGES[image] @ WEIGHTS.T) * (within >= 8) - 0.5 * (r.sum() - r)
        h = h + DT_MS / 10.0 * (current - h) + DT_MS / 10.0 * 2.0 * (image == 1)
        expected.append(h)
    for _ in range(2):  # each run has its own records
        simulation.run(progress=False)
        activity = simulation.traces()["activity"].values
        np.testing.assert_allclose(activity, expected, rtol=0, atol=1e-12)
        # A monitor of Brian2's own records before the sums of its step.
        np.testing.assert_allclose(total.S[0][1 : len(sums)], sums[:-1], atol=1e-12)
        states = np.array(expected[1:])
        states[47::48] = 0  # where the next presentation has begun, but for the last
        upward = (states[1:] > 1) & (states[:-1] <= 1)
        assert crossings.num_spikes > 3
        assert crossings.num_spikes == upward.sum()
    assert simulation.objects["crossings"] is crossings


def test_added_groups_start_each_run_anew():
    simulation = neurodyn.build(LateralInhibition(), IMAGES, WEIGHTS, **settings("numpy"))
    with simulation:
        clock = simulation.objects["hidden"].clock
        counter = b2.NeuronGroup(1, "n : 1", clock=clock, name="counter", namespace={})
        counter.n = 5
        counter.run_regularly("n += 1", clock=clock)
        calls = []
        operation = b2.NetworkOperation(lambda: calls.append(1), clock=clock)
        simulation.add(counter, operation)
    ends = []
    for _ in range(2):
        simulation.run(progress=False)
        ends.append(float(counter.n[0]))
    assert ends[0] == ends[1] > 5 + 4 * 48
    assert len(calls) == 2 * (ends[0] - 5)


@pytest.fixture
def simulation():
    return neurodyn.build(LateralInhibition(), IMAGES, WEIGHTS, **settings("numpy"))


def test_without_a_run_there_are_no_traces(simulation):
    with pytest.raises(ValueError, match="there was no complete run"):
        simulation.traces()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"images": np.ones((5, NUM_PIXELS))},
            "are 5 images, but .* built for 4: build it",
        ),
        ({"order": [0] * 5}, "are 5 presentations, but the simulation was built for 4"),
        ({"weights": np.ones((3, NUM_PIXELS))}, r"shape \(3, 7\), .* built for \(9, 7\)"),
        ({"weights": sparse.eye_array(NUM_UNITS, NUM_PIXELS)}, "have other synapses"),
        ({"images": np.ones((2, 3))}, "the weights have 7 pixels per unit, the images 3"),
        ({"weights": np.ones_like(WEIGHTS)}, "Euler's method is not stable"),
        ({"seed": -1}, "seed"),
        ({"images": np.full((2, NUM_PIXELS), np.nan)}, "14 of 14 values are NaN"),
    ],
)
def test_values_that_do_not_fit_are_refused(given, said):
    """With negative weights, nobody is active, and any step is stable."""
    circuit = LateralInhibition(w_inh=0.9, tau_ms=1.0)
    simulation = neurodyn.build(circuit, IMAGES, -abs(WEIGHTS), **settings("numpy"))
    with pytest.raises(ValueError, match=said):
        simulation.run(**given, progress=False)


def test_sparse_weights_of_the_same_synapses_fit():
    stored = sparse.csr_array(WEIGHTS * (WEIGHTS > 0))
    simulation = neurodyn.build(LateralInhibition(), IMAGES, stored, **settings("numpy"))
    simulation.run(weights=stored * 2, progress=False)
    expected = neurodyn.simulate(
        LateralInhibition(), IMAGES, stored * 2, **settings("numpy"), progress=False
    )
    assert_same(simulation.traces(), expected)
    simulation.run(order=[0], progress=False)
    assert simulation.traces().sizes["image"] == 1


def test_what_cannot_be_added_is_refused(simulation):
    with pytest.raises(ValueError, match="3 was given to add: objects of Brian2"):
        simulation.add(3)
    with pytest.raises(ValueError, match="an object is named 'hidden'"):
        simulation.add(simulation.objects["hidden"])
    with pytest.raises(ValueError, match="was not created in a block `with simulation:`"):
        simulation.add(b2.NeuronGroup(1, "v : 1"))
    with simulation:
        late = b2.NeuronGroup(1, "v : 1", name="late")
    simulation.run(progress=False)
    with pytest.raises(ValueError, match="before the first run"):
        simulation.add(late)
    with simulation:
        simulation.objects["hidden"].run_regularly("h = 0")
    with pytest.raises(ValueError, match="before the first run"):
        simulation.run(progress=False)


def test_a_compiled_program_takes_no_function_of_python():
    simulation = neurodyn.build(LateralInhibition(), IMAGES, WEIGHTS, **settings("cpp"))
    with simulation, pytest.raises(ValueError, match="a function of Python, which backend"):
        simulation.add(b2.NetworkOperation(lambda: None))
    simulation.close()


def test_the_callers_brian2_is_left_alone(simulation):
    before = b2.get_device()
    own = b2.NeuronGroup(1, "v : 1")
    with simulation:
        inside = b2.NeuronGroup(1, "v : 1")
        assert b2.get_device() is not before
    assert b2.get_device() is before
    assert inside.name == "neurongroup"  # as if there were no other
    assert own in b2.collect()


def test_blocks_within_blocks(simulation):
    with simulation:
        inside = b2.get_device()
        with simulation:
            simulation.describe()
        assert b2.get_device() is inside
    assert b2.get_device() is not inside


def test_two_simulations_take_turns(simulation):
    other = neurodyn.build(LateralInhibition(), *OTHERS, **settings("numpy"))
    simulation.run(progress=False)
    before = simulation.traces()
    with simulation, other:
        pass
    other.run(progress=False)
    simulation.run(progress=False)
    assert_same(simulation.traces(), before)
    assert other.traces().sizes["image"] == 3


def test_a_run_with_added_objects_is_not_cut_into_pieces(monkeypatch):
    monkeypatch.setattr(times, "MOST_STEPS", 2 * 48)
    simulation = neurodyn.build(LateralInhibition(), IMAGES, WEIGHTS, **settings("numpy"))
    with simulation:
        clock = simulation.objects["hidden"].clock
        simulation.add(b2.NeuronGroup(1, "v : 1", clock=clock, name="own", namespace={}))
    with pytest.raises(ValueError, match=r"4 presentations, but .* at most 2: show fewer"):
        simulation.run(progress=False)
    simulation.run(order=[0, 1], progress=False)
    assert simulation.traces().sizes["image"] == 2
