"""Guards of spiking networks: rules of one's own, what they learn, state files, θ."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from brian2 import ms

from neurodyn import (
    DiehlCook,
    PairSTDP,
    PoissonPresentation,
    SpikeRecording,
    SpikingInhibition,
    SpikingNetwork,
    analysis,
)
from neurodyn.engine import spiking, spiking_rules
from tests.neurodyn.spiking_reference import FADING, Fading

BRIGHT = np.full((2, 4), 0.5)
SHORT = PoissonPresentation(
    image_ms=40.0, rest_ms=10.0, rate_hz=190.0, max_rate_hz=190.0, min_spikes=0
)
TRACED = replace(
    FADING,
    pre_traces="dx/dt = -x/tau_x : 1",
    at_pre="x += 1",
    on_post="W = clip(W + 0.1*x_pre, 0, w_max)",
    parameters={"loss": 0.01, "tau_x": 20 * ms},
)


def network(rule=None, *, weights=None, circuit=None, **settings):
    return SpikingNetwork(
        SpikingInhibition() if circuit is None else circuit,
        np.full((3, 4), 5.0) if weights is None else weights,
        plasticity=rule,
        **({"backend": "numpy", "stimulus": SHORT} | settings),
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"pre_traces": "x : 1"},
            "pre_traces of Fading has 'x' without an equation: give one, such as dx/dt = "
            "-x/tau : 1, or dx/dt = 0/second : 1 if it does not decay",
        ),
        (
            {"parameters": {"loss": np.nan, "tau_x": 20 * ms}},
            "parameters of Fading: 'loss' is nan, but a finite number is needed",
        ),
        (
            {"parameters": {"loss": 0.1, "tau_x": 0 * ms}},
            r"parameters of Fading: 'tau_x' is 0. s, but times must be positive",
        ),
        (
            {"parameters": {3: 1.0}},
            "parameters of Fading has the name 3: give a string",
        ),
        ({"parameters": 3}, "parameters of Fading is 3: a mapping by name is needed"),
        (
            {"on_pre": "W = clip(W - loss*rand(), 0, w_max)"},
            "on_pre of Fading has rand, whose random numbers do not follow from the seed",
        ),
        (
            {"post_traces": "dx/dt = -x/tau_x : 1"},  # a state of noise in E cells
            "trace or parameter named x, which are names of the network",
        ),
    ],
)
def test_refuses_rules_of_ones_own(changes, message):
    with pytest.raises(ValueError, match=message):
        network(replace(TRACED, **changes))


@pytest.mark.parametrize("noise_mv", [0.0, 1.0])
def test_every_name_in_the_code_of_the_network_is_refused(noise_mv):
    """Brian2 would take the network's value for a parameter of that name."""
    circuit = SpikingInhibition(noise_mv=noise_mv)
    rule = DiehlCook(total=2.0, w_max=5.0)
    layout = network(rule, circuit=circuit)._layout("train", SpikeRecording(), 1)
    built = spiking.Network(layout).built
    own = {*layout.rule.parameters, *"xyz"}
    names = {
        name
        for group in (built.pixels, built.circuit.exc, built.feedforward)
        for name in {*group.variables, *group.namespace}
        if not name.endswith(("_pre", "_post")) and name.isidentifier() and name[0] != "_"
    } - own
    assert {"rest_steps", "w_max", "g_exc", "total_weight", "table"} <= names
    for name in sorted(names):
        with pytest.raises(ValueError, match=f"or parameter named {name}, which are names"):
            spiking_rules.check_rule(replace(FADING, parameters={name: 1.0, "loss": 0.1}))


@pytest.mark.parametrize(
    ("code", "total"),
    [("W = W - 0.5", None), ("W = 12", None), ("W = W - 6", 20.0), ("W = sqrt(-W)", 20.0)],
)
@pytest.mark.filterwarnings("ignore:invalid value encountered in sqrt")
def test_weights_that_leave_their_bounds_are_refused(code, total, tmp_path):
    built = network(Fading(on_pre=code, total=total), weights=np.full((3, 4), 0.4))
    file = tmp_path / "state.nc"
    with pytest.raises(ValueError, match=r"weights left the bounds of Fading .*one is .*"):
        built.train(BRIGHT, checkpoint=file, progress=False)
    assert not file.exists()
    np.testing.assert_array_equal(built.weights, 0.4)
    assert built.num_trained == 0


def test_potentiation_above_the_largest_weight_is_finite():
    """Scaling to a sum may lift weights above w_max, where (w_max − W)^μ is not real."""
    rule = PairSTDP(mu=0.5, total=30.0, w_max=9.0)
    built = network(rule, weights=np.array([[8.0, 8.0, 8.0, 0.1]] * 3))
    dark = np.array([[0.5, 0.5, 0.0, 0.5]])  # nothing clips weights from a dark pixel
    traces = built.train(dark, progress=False)
    assert traces["counts"].sum() > 0
    assert built.weights[0, 2] == pytest.approx(9.0)
    assert (built.weights > 0).all()


def test_thresholds_that_decay_until_cells_fire_alone_are_told():
    circuit = SpikingInhibition(tau_theta_ms=20.0, theta_plus_mv=0.0)
    built = network(circuit=circuit)
    message = (
        "θ of 3 of 3 cells has decayed, the lowest to .* mV: they fire without input, so "
        r"give a longer tau_theta_ms \(it is 20\) or a higher threshold_exc_mv"
    )
    with pytest.warns(UserWarning, match=message):
        built.train(BRIGHT, progress=False)
    for phase in (built.observe, built.test):
        with pytest.raises(ValueError, match=message):
            phase(BRIGHT, progress=False)


def test_samples_do_not_depend_on_where_runs_are_cut():
    recording = SpikeRecording(samples_ms=20.0)
    message = "samples_ms is 20, which does not divide the 50 ms from one image to the next"
    with pytest.raises(ValueError, match=message):
        network().observe(BRIGHT, recording=recording, progress=False)
    cut = SpikeRecording(samples_ms=25.0, weights_every=1)
    traces = network().train(BRIGHT, recording=cut, progress=False)
    np.testing.assert_array_equal(traces["time"], [0.0, 25.0, 50.0, 75.0])


def test_traces_and_network_go_to_two_files(tmp_path):
    file = tmp_path / "a.nc"
    with pytest.raises(ValueError, match=r"checkpoint and out are both .*a\.nc: give"):
        network().train(BRIGHT, checkpoint=file, out=tmp_path / "." / "a.nc")


def test_the_highest_rate_is_the_one_that_occurs():
    assert replace(SHORT, rate_hz=20.0, raise_hz=0.0).highest_hz == 20.0
    raised = replace(SHORT, rate_hz=20.0, raise_hz=100.0, min_spikes=3)
    assert raised.highest_hz == 120.0
    dark = network(stimulus=raised)
    with pytest.warns(UserWarning, match=r"even at the highest rate \(120 Hz\): numbers 0"):
        dark.observe(np.zeros((1, 4)), progress=False)
    bright = network(stimulus=raised, dt_ms=0.5)
    bright.observe(np.full((1, 4), 1.6), progress=False)  # 0.096 spikes in a step
    with pytest.raises(ValueError, match=r"up to 30600 Hz .*, so divide images by 255, or"):
        bright.observe(np.full((1, 4), 255.0), progress=False)


def test_intervals_and_spikes_are_told_apart_by_attempt():
    raised = replace(SHORT, rate_hz=60.0, raise_hz=60.0, min_spikes=40)
    weights = np.full((3, 4), 8.0)
    traces = network(weights=weights, stimulus=raised).observe(
        BRIGHT, recording=SpikeRecording(spikes=("exc",)), progress=False
    )
    attempts, spikes = traces["attempts"], traces["spikes"]
    assert attempts.max() > 0
    period = np.floor(spikes.values / 50.0)
    first = np.concatenate([[0], np.cumsum(attempts + 1)])
    slot = first[spikes["spike_image"]] + spikes["spike_attempt"].values
    np.testing.assert_array_equal(period, slot)
    last = spikes[spikes.spike_attempt == attempts[spikes.spike_image]]
    assert len(last) == int(traces["counts"].sum()) < len(spikes)
    intervals = analysis.inter_spike_intervals(spikes)
    expected = []
    for unit in range(3):
        for image in range(2):
            for attempt in range(int(attempts[image]) + 1):
                chosen = (spikes.spike_unit == unit) & (spikes.spike_image == image)
                chosen &= spikes.spike_attempt == attempt
                expected += list(np.diff(spikes.values[chosen]))
    np.testing.assert_allclose(np.sort(intervals), np.sort(expected))
    assert (intervals.values < 50.0).all()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data.drop_vars("feedforward.W"), "damaged: feedforward.W is missing"),
        (
            lambda data: data.isel({"feedforward.W_cell": slice(5)}),
            "damaged: feedforward.W",
        ),
        (lambda data: data.assign({"exc.v": data["exc.v"] * np.nan}), "damaged: exc.v is"),
        (lambda data: data.assign({"feedforward.W": -data["feedforward.W"]}), "rd.W is"),
        (lambda data: data.drop_attrs().assign_attrs(settings=data.settings), "number of"),
    ],
)
def test_damaged_states_are_refused(damage, message, tmp_path):
    file = tmp_path / "state.nc"
    built = network()
    built.save(file)
    data = damage(xr.load_dataset(file, engine="h5netcdf"))
    data.to_netcdf(file, engine="h5netcdf")
    with pytest.raises(ValueError, match=message):
        built.restore(file)
    assert np.isfinite(built.weights).all()


def test_more_images_side_by_side_than_there_are():
    shown = replace(SHORT, reset=True)
    few = network(stimulus=shown).observe(BRIGHT, batch_size=10**30, progress=False)
    one = network(stimulus=shown).observe(BRIGHT, progress=False)
    np.testing.assert_array_equal(few["counts"], one["counts"])
