"""Synapses in rows: what has rows, and that each backend computes what NumPy does.

The NumPy backend sums in Brian2's own way, and is compared with Euler's method elsewhere
(test_euler.py).
"""

import numpy as np
import pytest

from neurodyn import (
    Continuous,
    DaleInhibition,
    Gated,
    Homeostatic,
    KrotovHopfield,
    LateralInhibition,
    Presentation,
    Recording,
    simulate,
)
from neurodyn.engine import execute, rows, spec

# No size is a multiple of the number of rows that are added together.
NUM_UNITS, NUM_PIXELS, NUM_INH = 37, 21, 11
NOT_ITSELF = 1 - np.eye(NUM_UNITS)


@pytest.fixture(name="rng")
def _rng():
    return np.random.default_rng(3)


def ordered(exist, *, by_source):
    """Return the (sending, receiving) cells of exist (sending, receiving), row by row."""
    if by_source:
        return np.nonzero(exist)
    receiving, sending = np.nonzero(exist.T)
    return sending, receiving


@pytest.mark.parametrize("by_source", [True, False])
@pytest.mark.parametrize("no_diagonal", [True, False])
def test_all_pairs_have_rows(by_source, no_diagonal):
    shape = (4, 4) if no_diagonal else (4, 5)
    exist = 1 - np.eye(4) if no_diagonal else np.ones(shape)
    sizes = {"num_sending": shape[0], "num_receiving": shape[1]}
    sending, receiving = ordered(exist, by_source=by_source)
    found = rows.find(sending, receiving, copies=3, **sizes)
    assert found == rows.Rows(by_source=by_source, no_diagonal=no_diagonal, num_blocks=3)
    # One pair is missing, or is there twice, or the order is another.
    assert rows.find(sending[1:], receiving[1:], **sizes) is None
    sending[0], receiving[0] = sending[1], receiving[1]
    assert rows.find(sending, receiving, **sizes) is None
    sending, receiving = (a[::-1] for a in ordered(exist, by_source=by_source))
    assert rows.find(sending, receiving, **sizes) is None


def test_without_another_pair_there_are_no_rows():
    exist = np.ones((4, 4))
    exist[np.arange(4), [1, 2, 3, 0]] = 0  # as many pairs as without the diagonal
    sending, receiving = ordered(exist, by_source=True)
    assert rows.find(sending, receiving, num_sending=4, num_receiving=4) is None


@pytest.mark.parametrize(
    ("expression", "factor"),
    [
        ("W*r_pre", "r_pre"),
        ("-2*r_pre*W", "-2*r_pre"),
        ("W*r_pre*x_pre", "r_pre*x_pre"),
        ("W", "1"),
        ("W*r_pre*r_post", None),
        ("W*W*r_pre", None),
        ("(W - 1)*r_pre", None),
        ("W*gain*r_pre", None),  # of the synapse, perhaps
        ("r_pre", None),
    ],
)
def test_sums_by_rows_are_of_weights_times_a_factor_of_the_sender(expression, factor):
    assert rows._factor_of_sender(expression) == factor


def cases(rng):
    """Return (circuit, rules, settings) by name."""
    between = rng.random((NUM_UNITS, NUM_UNITS)) * NOT_ITSELF / NUM_UNITS
    dale = DaleInhibition(
        num_inh=NUM_INH,
        w_ie=rng.random((NUM_UNITS, NUM_INH)) * 0.2 + 0.01,
        w_ei=rng.random((NUM_INH, NUM_UNITS)) * 0.1 + 0.01,
        w_ii=0.02,
        w_ee=0.005,
        w_self=0.2,
        input_sign=0,
    )
    homeostatic = Homeostatic(target=0.3, tau_l_ms=1e3)

    def signed(p, timing):
        rule = KrotovHopfield(p=p, h_star=1.0, delta=0.1, tau_l_ms=2e3, timing=timing)
        return LateralInhibition(w_inh=0.1, p=p, input_sign=1), rule

    def free(p, timing):
        return LateralInhibition(w_inh=0.1, p=p), signed(p, timing)[1]

    return {
        "between units": (LateralInhibition(w_inh=between), None, {}),
        "side by side": (LateralInhibition(w_inh=between), None, {"batch_size": 2}),
        "between units, learning": (
            LateralInhibition(w_inh=between),
            {"lateral": homeostatic},
            {},
        ),
        "dale": (dale, None, {}),
        "dale, side by side": (dale, None, {"batch_size": 3}),
        "dale, learning": (
            dale,
            {"inh_to_exc": homeostatic, "inh_to_inh": homeostatic},
            {},
        ),
        "each synapse, p = 2": (*signed(2.0, Continuous()), {}),
        "each synapse, p = 3": (*signed(3.0, Gated(last_ms=10.0)), {}),
        "each synapse, p = 2.5": (*free(2.5, Continuous()), {}),
    }


CASES = cases(np.random.default_rng(0))


def simulated(name, backend, rng):
    circuit, rules, settings = CASES[name]
    weights = rng.normal(0.3, 1.0, (NUM_UNITS, NUM_PIXELS))
    return simulate(
        circuit,
        rng.random((5, NUM_PIXELS)),
        abs(weights) if circuit.input_sign else weights,
        plasticity=rules,
        stimulus=Presentation(image_ms=20.0, rest_ms=5.0),
        recording=Recording(norms=rules is not None),
        backend=backend,
        dt_ms=0.5,
        progress=False,
        **settings,
    )


# One for each loop and kernel, where compiling takes longest.
SOME = ("between units", "dale, learning", "each synapse, p = 3")
RUNS = [
    *(pytest.param(name, "cpp", marks=pytest.mark.slow) for name in CASES),
    *(pytest.param(name, "cython", marks=pytest.mark.slow) for name in SOME),
    *(pytest.param(name, "cuda", marks=pytest.mark.gpu) for name in SOME),
]


@pytest.mark.parametrize(("name", "backend"), RUNS)
def test_every_backend_computes_what_numpy_does(name, backend):
    expected, found = (
        simulated(name, each, np.random.default_rng(4)) for each in ("numpy", backend)
    )
    assert set(expected) == set(found)
    for trace in expected.data_vars:
        scale = abs(expected[trace].values).max()
        # measured: 3e-14 (CPU)
        np.testing.assert_allclose(
            found[trace], expected[trace], rtol=0, atol=1e-12 * scale, err_msg=trace
        )
    if name.startswith("each synapse"):
        start = simulated(name, "numpy", np.random.default_rng(4))["weight_norm"]
        assert (start.isel(image=-1) != start.isel(image=0)).mean() > 0.5


@pytest.mark.parametrize(
    ("name", "file", "loop"),
    [
        ("between units", "lateral_summed", "Rows<double> _rows("),
        ("dale", "exc_to_inh_summed", "Rows<double> _rows("),
        ("dale", "inh_to_exc_summed", "Rows<double> _rows("),
        ("dale, learning", "inh_to_inh_run_regularly", "_part < 2"),
        ("each synapse, p = 3", "feedforward_run_regularly", "_sum += _synaptic_var"),
    ],
)
def test_where_all_synapses_exist_no_index_is_read(name, file, loop, tmp_path, rng):
    circuit, rules, settings = CASES[name]
    job = spec.validate(
        circuit,
        rng.random((5, NUM_PIXELS)),
        abs(rng.normal(0.3, 1.0, (NUM_UNITS, NUM_PIXELS))),
        plasticity=rules,
        stimulus=Presentation(image_ms=20.0),
        order=None,
        recording=None,
        backend="cpp",
        dt_ms=0.5,
        **{"batch_size": 1, "seed": 0} | settings,
    )
    execute.write_source(job, tmp_path, make=False)
    (source,) = (tmp_path / "code_objects").glob(f"{file}*.cpp")
    body = source.read_text().split("scalar code")[1]
    assert loop in body
    assert "_synaptic_pre[" not in body
    assert "_synaptic_post[" not in body
