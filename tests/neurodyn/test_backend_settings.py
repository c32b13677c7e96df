"""Threads and the type of weights: what they change, and what not."""

import numpy as np
import pytest

from neurodyn import (
    Backend,
    Continuous,
    DaleInhibition,
    Homeostatic,
    KrotovHopfield,
    LateralInhibition,
    Presentation,
    build,
    simulate,
)

NUM_UNITS, NUM_PIXELS = 30, 20
GIVEN = np.random.default_rng(0)
IMAGES = GIVEN.random((4, NUM_PIXELS))
WEIGHTS = GIVEN.normal(0.3, 1.0, (NUM_UNITS, NUM_PIXELS))
BETWEEN = GIVEN.random((NUM_UNITS, NUM_UNITS)) * 0.02 * (1 - np.eye(NUM_UNITS))


def run(backend, *, p=3.0, dale=False):
    """Every synapse learns: from the pixels, and between the cells."""
    rules = {"feedforward": KrotovHopfield(p=p, h_star=0.5, timing=Continuous())}
    rules["inh_to_exc" if dale else "lateral"] = Homeostatic(tau_l_ms=1e3)
    circuit = (
        DaleInhibition(num_inh=4, p=p, input_sign=0)
        if dale
        else LateralInhibition(w_inh=BETWEEN, p=p)
    )
    return simulate(
        circuit,
        IMAGES,
        WEIGHTS,
        plasticity=rules,
        stimulus=Presentation(image_ms=20.0),
        backend=backend,
        dt_ms=0.25,
        progress=False,
    )


@pytest.mark.parametrize(
    ("name", "dale"),
    [
        ("numpy", False),
        ("numpy", True),
        *(pytest.param(name, False, marks=pytest.mark.slow) for name in ("cython", "cpp")),
    ],
)
def test_weights_in_float32_are_rounded_and_all_else_is_not(name, dale):
    wide = run(Backend(name=name), dale=dale)
    narrow = run(Backend(name=name, weight_dtype="float32"), dale=dale)
    learned = "weights_ie" if dale else "weights_lateral"
    for trace in ("weights", learned):
        values = narrow[trace].values
        assert values.dtype == np.float64
        np.testing.assert_array_equal(values, values.astype(np.float32))
        scale = abs(wide[trace].values).max()
        # measured: 4e-6 of the largest weight after 320 updates
        np.testing.assert_allclose(values, wide[trace], rtol=0, atol=2e-5 * scale)
        assert (values != wide[trace].values).mean() > 0.3
    activity = narrow["activity"].values
    assert (activity != activity.astype(np.float32)).mean() > 0.9
    np.testing.assert_allclose(activity, wide["activity"], rtol=0, atol=1e-4)


@pytest.mark.slow
def test_backends_round_alike():
    found = [
        run(Backend(name=name, weight_dtype="float32"))
        for name in ("numpy", "cython", "cpp")
    ]
    for other in found[1:]:
        # Measured: equal. A sum in another order may round to a neighbouring float32, which
        # at weights up to 4 is 2.4e-7 away.
        np.testing.assert_allclose(other["weights"], found[0]["weights"], rtol=0, atol=1e-6)


@pytest.mark.slow
def test_the_number_of_threads_changes_results_by_rounding_only():
    """Measured 1e-14: loops are vectorised in another way."""
    one, two = (run(Backend(name="cpp", threads=number)) for number in (1, 2))
    for trace in one.data_vars:
        np.testing.assert_allclose(one[trace], two[trace], rtol=0, atol=1e-12)


def test_a_built_simulation_keeps_its_settings():
    how = Backend(name="numpy", weight_dtype="float32")
    circuit = LateralInhibition(w_inh=BETWEEN)
    simulation = build(circuit, IMAGES, WEIGHTS, backend=how)
    simulation.run(IMAGES[:1], progress=False)
    for trace in ("weights", "weights_lateral"):  # static ones, too
        values = simulation.traces()[trace].values
        np.testing.assert_array_equal(values, values.astype(np.float32))
    assert '"weight_dtype": "float32"' in simulation.traces().attrs["config"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"threads": 0}, "threads is 0: at least 1 is needed"),
        ({"threads": 2}, "threads is 2, but backend 'cython' runs on one CPU thread"),
        ({"threads": 1.5}, "threads"),
        ({"weight_dtype": "float16"}, "weight_dtype is 'float16': give one of float64, fl"),
        ({"weight_dtype": np.float32}, "weight_dtype is .*float32.*: give one of"),
        ({"name": "gpu"}, "unknown backend 'gpu': give one of"),
    ],
)
def test_settings_that_do_not_exist_are_refused(given, said):
    with pytest.raises(ValueError, match=said):
        simulate(LateralInhibition(), IMAGES, WEIGHTS, backend=Backend(**given))
