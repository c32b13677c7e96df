"""Training, observing and testing: what changes, what is recorded, how it continues."""

from dataclasses import replace

import numpy as np
import pytest

from neurodyn import (
    Backend,
    DiehlCook,
    PairSTDP,
    PoissonPresentation,
    SpikeRecording,
    SpikingInhibition,
    SpikingNetwork,
    traces,
)
from neurodyn.engine import spiking_runs

EVERYTHING = SpikeRecording(spikes=("input", "exc", "inh"), samples_ms=0.5, weights_every=2)
SAMPLED = replace(EVERYTHING, weights_every=None)
GIVEN = np.random.default_rng(2)
WEIGHTS = GIVEN.random((3, 6)) * 1.5 + 0.3
IMAGES = GIVEN.random((5, 6)) * 0.6 + 0.4
RULE = DiehlCook(eta_pre=0.05, eta_post=0.2, w_max=4.0, total=6.0)
# Cells are reset to a potential that is not their rest, and are active at any time.
CIRCUIT = SpikingInhibition(
    tau_exc_ms=20.0, reset_exc_mv=-56.0, theta_plus_mv=0.3, w_ie=5.0, num_inh=2
)
NOISY = SpikingInhibition(tau_exc_ms=20.0, reset_exc_mv=-56.0, noise_mv=2.0, w_ie=5.0)
SHARED_NOISY = replace(CIRCUIT, noise_mv=20.0)  # that decides who fires
OWN = SpikingInhibition(tau_exc_ms=20.0, reset_exc_mv=-56.0, w_ie=5.0)


def shown(*, reset=False, **settings):
    rates = {"rate_hz": 100.0, "raise_hz": 50.0, "max_rate_hz": 200.0}
    given = {"image_ms": 15.0, "rest_ms": 1.0, "min_spikes": 3} | rates | settings
    return PoissonPresentation(**given, reset=reset)


def network(
    *, circuit=CIRCUIT, rule=RULE, backend="numpy", seed=1, reset=False, **settings
):
    return SpikingNetwork(
        circuit,
        WEIGHTS,
        plasticity=rule,
        stimulus=shown(reset=reset, **settings),
        backend=backend,
        seed=seed,
    )


def again(built):
    """Return a network at its start, with the compiled parts of another."""
    new = network()
    new._networks = built._networks
    return new


def train(built, order=range(5), **settings):
    return built.train(IMAGES, order=[*order], progress=False, **settings)


def observe(built, order=range(5), **settings):
    return built.observe(IMAGES, order=[*order], progress=False, **settings)


def same(one, other):
    """Refuse traces that differ in anything but their computing time and their chunks."""
    for name in {*one.variables, *other.variables}:
        np.testing.assert_array_equal(one[name].values, other[name].values, err_msg=name)
        assert one[name].dims == other[name].dims


@pytest.fixture
def one_by_one(monkeypatch):
    """Each run is one presentation."""
    monkeypatch.setattr(spiking_runs, "FIRST_SLOTS", 1)
    monkeypatch.setattr(spiking_runs, "RUN_SECONDS", 0.0)


@pytest.fixture(scope="module")
def whole():
    """A training without interruptions, in which images are shown up to three times."""
    built = network()
    return built, train(built, recording=EVERYTHING)


def test_training_changes_weights_and_thresholds_observing_nothing(whole):
    built, learned = whole
    before = built.weights, built.theta_mv
    assert built.num_trained == 5
    np.testing.assert_array_equal(before[0], learned["weights"])
    np.testing.assert_array_equal(before[1], learned["theta"])
    assert abs(before[0] - WEIGHTS).min() > 1e-3
    assert (before[1] > 20).all()
    seen = observe(built)
    tested = built.test(IMAGES, progress=False)
    for frozen in (seen, tested):
        np.testing.assert_array_equal(frozen["weights"], before[0])
        np.testing.assert_array_equal(frozen["theta"], before[1])
        assert frozen["counts"].sum() > 0
    assert (seen["input_spikes"] != tested["input_spikes"]).any()
    assert built.num_trained == 5
    np.testing.assert_array_equal(built.weights, before[0])
    np.testing.assert_array_equal(built.theta_mv, before[1])


@pytest.mark.slow
def test_without_a_rule_only_theta_adapts():
    built = network(rule=None)
    train(built, [0, 1])
    np.testing.assert_array_equal(built.weights, WEIGHTS)
    assert (built.theta_mv > 20).any()


def test_events_and_spikes_are_counted(whole):
    """Synaptic events: spikes times synapses. Counts are of an image's last showing."""
    _, learned = whole
    attempts = learned["attempts"].values
    assert len({*attempts}) > 1
    slots = np.cumsum(attempts + 1) - 1  # the last of each image
    slot = learned["spikes"].values // 16
    of = {
        name: (learned["spike_population"].values == name)
        for name in ("input", "exc", "inh")
    }
    unit = learned["spike_unit"].values
    for number, last in enumerate(slots):
        counted = {name: (of[name] & (slot == last)).sum() for name in of}
        image = learned.isel(image=number)
        cells = np.bincount(unit[of["exc"] & (slot == last)], minlength=3)
        np.testing.assert_array_equal(image["counts"], cells)
        assert image["input_spikes"] == counted["input"]
        assert image["inh_spikes"] == counted["inh"]
        events = 3 * counted["input"] + 2 * counted["exc"] + 3 * counted["inh"]
        assert image["synaptic_events"] == events
    shows = np.repeat(np.arange(5), attempts + 1)
    np.testing.assert_array_equal(learned["spike_image"], shows[slot.astype(int)])
    np.testing.assert_array_equal(learned["presentation"], np.repeat(shows, 32))
    np.testing.assert_array_equal(learned["time"], 0.5 * np.arange(32 * len(shows)))


@pytest.mark.slow
def test_events_of_one_i_cell_per_e_cell():
    """An E cell reaches its own I cell, which reaches all other E cells."""
    seen = observe(network(circuit=OWN), [0, 1])
    expected = (
        3 * seen["input_spikes"] + seen["counts"].sum("unit") + 2 * seen["inh_spikes"]
    )
    np.testing.assert_array_equal(seen["synaptic_events"], expected)
    assert (seen["inh_spikes"] > 0).any()


def test_synapses_of_a_cell_are_counted():
    assert SpikingInhibition().fan_out(5) == (1, 4)
    assert SpikingInhibition(num_inh=2).fan_out(5) == (2, 5)


@pytest.mark.slow
def test_the_order_of_images(whole):
    built, _ = whole
    orders = [4, 0, 4]
    seen = observe(built, orders)
    np.testing.assert_array_equal(seen["shown"], orders)
    same(
        seen.drop_vars("shown"),
        built.observe(IMAGES[orders], progress=False).drop_vars("shown"),
    )


def interrupted(built, tmp_path, monkeypatch, num_runs, order, **settings):
    """Stop a training after some short runs; finish it in another network, in long ones."""
    path, runs = tmp_path / "state.nc", []

    class Stop(Exception):
        pass

    save = SpikingNetwork.save

    def stop(path):
        save(built, path)
        runs.append(path)
        if len(runs) == num_runs:
            raise Stop

    built.save = stop
    with pytest.raises(Stop):
        train(built, order, checkpoint=path, recording=SAMPLED)
    monkeypatch.undo()
    resumed = network(**settings)
    resumed.restore(path)
    assert resumed.num_trained == built.num_trained < len(order)
    out, rest = tmp_path / "rest.nc", order[resumed.num_trained :]
    return resumed, train(resumed, rest, recording=SAMPLED, out=out)


def test_a_restored_training_ends_as_if_uninterrupted(whole, tmp_path, monkeypatch):
    """Interrupted before an image is shown again, while cells are refractory."""
    built = again(whole[0])
    resumed, rest = interrupted(built, tmp_path, monkeypatch, 2, [*range(5)])
    assert built.num_trained == 3
    assert built._state["presenter", "attempt"] > 0
    assert built._state["exc", "ready"].max() > 2  # steps that are left
    assert built._state["inh", "ready"].max() > 2
    np.testing.assert_array_equal(resumed.weights, whole[0].weights)
    np.testing.assert_array_equal(resumed.theta_mv, whole[0].theta_mv)
    by_image = whole[1].isel(image=[3, 4])
    for name in ("counts", "attempts", "input_spikes", "inh_spikes"):
        np.testing.assert_array_equal(rest[name], by_image[name])
    ends = whole[1]["potential"][-rest.sizes["time"] :]
    np.testing.assert_array_equal(rest["potential"], ends)
    rest.close()


@pytest.mark.slow
def test_cells_that_are_refractory_stay_so_in_the_network_that_continues(whole, tmp_path):
    built, resumed = network(), network()
    train(built, range(4))
    assert built._state["exc", "ready"].max() > 5  # steps that are left
    built.save(tmp_path / "state.nc")
    resumed.restore(tmp_path / "state.nc")
    train(resumed, [4])
    np.testing.assert_array_equal(resumed.weights, whole[0].weights)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.* presentations had no spike")
@pytest.mark.usefixtures("one_by_one")
@pytest.mark.parametrize(
    ("case", "num_runs"),
    [({}, 2), ({}, 11), ({"circuit": NOISY}, 5), ({"circuit": NOISY, "reset": True}, 11)],
)
def test_a_training_may_be_interrupted_anywhere(case, num_runs, tmp_path, monkeypatch):
    order = [*range(5), *range(5), *range(3)]
    resumed, rest = interrupted(
        network(**case), tmp_path, monkeypatch, num_runs, order, **case
    )
    uninterrupted = network(**case)
    train(uninterrupted, order)
    rest.close()
    assert uninterrupted.num_trained == resumed.num_trained == 13
    np.testing.assert_array_equal(resumed.weights, uninterrupted.weights)
    np.testing.assert_array_equal(resumed.theta_mv, uninterrupted.theta_mv)
    one, other = (
        train(built, [1, 2], recording=EVERYTHING) for built in (resumed, uninterrupted)
    )
    same(one, other)


@pytest.mark.slow
def test_training_on_continues_from_the_state_of_now():
    """Image by image, without saving: the second call goes on."""
    built = network()
    parts = [
        train(built, [0, 1], recording=EVERYTHING),
        train(built, [2], recording=EVERYTHING),
    ]
    at_once = train(network(), [0, 1, 2], recording=EVERYTHING)
    for name in ("counts", "attempts", "potential"):
        joined = np.concatenate([part[name].values for part in parts])
        np.testing.assert_array_equal(joined, at_once[name])
    np.testing.assert_array_equal(built.weights, at_once["weights"])


@pytest.mark.parametrize(
    "circuit",
    [
        SHARED_NOISY,
        *(pytest.param(each, marks=pytest.mark.slow) for each in (CIRCUIT, OWN, NOISY)),
    ],
)
def test_images_side_by_side_are_as_one_by_one(circuit):
    """From rest, whatever cells did in the image before; noise is of the image shown."""
    built = network(circuit=circuit, reset=True)
    order = [0, 1, 2, 3, 1]
    one, many = (observe(built, order, batch_size=size) for size in (1, 3))
    same(one, many)
    assert many["attempts"].max() > 0


@pytest.mark.slow
def test_a_file_has_the_same_traces_with_runs_of_other_lengths(
    whole, tmp_path, monkeypatch
):
    monkeypatch.setattr(spiking_runs, "FIRST_SLOTS", 1)
    out = tmp_path / "traces.nc"
    written = train(again(whole[0]), recording=EVERYTHING, out=out)
    same(written, whole[1])
    written.close()
    same(traces.open(out), whole[1])
    np.testing.assert_array_equal(whole[1]["snapshot"], [0, 2, 4])
    np.testing.assert_array_equal(whole[1]["weights_snapshots"][0], WEIGHTS)


@pytest.mark.slow
def test_images_side_by_side_in_a_file(tmp_path):
    built = network(reset=True)
    in_memory = observe(built, batch_size=2)
    written = observe(built, batch_size=2, out=tmp_path / "traces.nc")
    same(written, in_memory)
    written.close()


@pytest.mark.slow
def test_snapshots_are_those_of_shorter_trainings(whole):
    recorded = train(network(), recording=SpikeRecording(weights_every=1))
    built = network()
    for number in range(5):
        train(built, [number])
        found = recorded.sel(snapshot=number + 1)
        np.testing.assert_array_equal(found["weights_snapshots"], built.weights)
        np.testing.assert_array_equal(found["theta_snapshots"], built.theta_mv)
    np.testing.assert_array_equal(built.weights, whole[0].weights)


@pytest.mark.parametrize(
    ("backend", "case"),
    [
        pytest.param("cython", {}, marks=pytest.mark.slow),
        pytest.param("cpp", {"circuit": NOISY, "reset": True}, marks=pytest.mark.slow),
        pytest.param("cuda", {}, marks=pytest.mark.gpu),
        pytest.param("cuda", {"circuit": NOISY, "reset": True}, marks=pytest.mark.gpu),
    ],
)
def test_backends_agree(backend, case):
    """Spikes are the same; the rest but for rounding."""
    expected = train(network(**case), recording=EVERYTHING)
    found = train(network(backend=backend, **case), recording=EVERYTHING)
    for name in expected.variables:
        if expected[name].dtype.kind == "f":
            np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=1e-11)
        else:
            np.testing.assert_array_equal(found[name], expected[name])


@pytest.mark.slow
def test_weights_of_32_bits():
    """Learned in 32 bits: near, but not equal."""
    double, single = (
        train(
            network(backend=Backend(name="numpy", weight_dtype=dtype), rate_hz=200.0), [0]
        )
        for dtype in ("float64", "float32")
    )
    difference = abs(double["weights"] - single["weights"]).values.max()
    assert 0 < difference < 1e-5


SINGLE = Backend(name="numpy", weight_dtype="float32")


@pytest.mark.parametrize(
    ("settings", "difference"),
    [
        ({"circuit": replace(CIRCUIT, w_ie=9.5)}, "circuit.w_ie = 5.0, this one has 9.5"),
        (
            {"circuit": replace(CIRCUIT, num_inh=None)},
            "circuit.num_inh = 2, this one has None",
        ),
        (
            {"rule": replace(RULE, eta_post=0.1)},
            "plasticity.eta_post = 0.2, this one has 0.1",
        ),
        ({"rule": PairSTDP(w_max=4.0)}, r"plasticity\.\w+ = .*, this one has "),
        ({"rule": None}, "plasticity.name = DiehlCook, this one has none"),
        ({"min_spikes": 4}, "stimulus.min_spikes = 3, this one has 4"),
        ({"seed": 2}, "seed = 1, this one has 2"),
        ({"backend": SINGLE}, "weight_dtype = float64, this one has float32"),
    ],
)
def test_a_state_of_other_settings_is_refused(settings, difference, tmp_path):
    network().save(tmp_path / "state.nc")
    message = f"is of a network with {difference}.*: give the network the same settings"
    with pytest.raises(ValueError, match=message):
        network(**settings).restore(tmp_path / "state.nc")


def test_a_file_that_is_no_state_is_refused(tmp_path, whole):
    path = tmp_path / "state.nc"
    built = network()
    with pytest.raises(ValueError, match="there is no file"):
        built.restore(path)
    traces.save(whole[1], path)
    with pytest.raises(ValueError, match="has no state of a spiking network: give a file"):
        built.restore(path)
    built.save(path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match="is damaged or not netCDF"):
        built.restore(path)
    np.testing.assert_array_equal(built.weights, WEIGHTS)


def test_a_state_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"cannot write .*; choose another path"):
        network().save(tmp_path / "file" / "state.nc")
