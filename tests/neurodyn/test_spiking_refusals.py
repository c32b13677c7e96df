"""What networks of spiking cells refuse, and what the messages say."""

from dataclasses import replace

import numpy as np
import pytest

import neurodyn
from neurodyn import (
    DaleInhibition,
    DiehlCook,
    KrotovHopfield,
    LateralInhibition,
    PairSTDP,
    PoissonPresentation,
    Presentation,
    SpikeRecording,
    SpikingInhibition,
    SpikingNetwork,
    TripletSTDP,
)
from neurodyn.plasticity.homeostatic import Homeostatic
from neurodyn.spiking import random_weights
from tests.neurodyn.spiking_reference import FADING


class Taken:
    """A rule with a trace named as the potential, and a parameter named as θ's step."""

    pre_traces, post_traces = "dv/dt = -v/tau_v : 1", ""
    at_pre, at_post, on_pre, on_post = "v = 1", "", "", "W = W + v_pre"
    w_max, total, parameters = 1.0, None, {"theta_plus": 1.0}


class Half:
    """Half a rule."""

    pre_traces = post_traces = ""
    parameters = {}  # noqa: RUF012


def network(weights=None, circuit=None, **settings):
    if weights is None:
        weights = np.full((3, 4), 0.5)
    circuit = SpikingInhibition() if circuit is None else circuit
    return SpikingNetwork(circuit, weights, **({"backend": "numpy"} | settings))


SHARED = SpikingInhibition(num_inh=2, w_ei=np.ones((2, 5)))
SHOWN = PoissonPresentation(reset=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"circuit": LateralInhibition()},
            "circuit is a LateralInhibition, whose cells have rates: give a circuit of "
            r"spiking cells, SpikingInhibition\(\), or run it with neurodyn.simulate",
        ),
        ({"circuit": SpikingInhibition}, "circuit is the class SpikingInhibition: give an"),
        ({"circuit": 3}, "circuit is 3: give a circuit of spiking cells, SpikingInh"),
        (
            {"plasticity": KrotovHopfield()},
            "plasticity is a KrotovHopfield, a rule of rates: a spiking circuit learns by "
            r"spikes, so give DiehlCook\(\), PairSTDP\(\), TripletSTDP\(\)",
        ),
        ({"plasticity": Homeostatic()}, "plasticity is a Homeostatic, a rule of rates"),
        ({"plasticity": DiehlCook}, "plasticity is the class DiehlCook: give an instance"),
        (
            {"plasticity": "stdp"},
            r"plasticity is 'stdp': give DiehlCook\(\), .*, or an obj",
        ),
        (
            {"plasticity": Half()},
            "all members of neurodyn.plasticity.protocols.SpikeRule .it lacks at_pre",
        ),
        (
            {"plasticity": Taken()},
            "Taken has a trace or parameter named theta_plus, v, which are names of the "
            "network: choose others",
        ),
        ({"weights": np.ones(3)}, r"weights have shape \(3,\): \(unit, pixel\) is needed"),
        ({"weights": np.ones((0, 3))}, r"weights have shape \(0, 3\)"),
        ({"weights": np.full((2, 2), np.nan)}, "weights: 4 of 4 values are NaN"),
        (
            {"weights": np.array([[1.0, 2.0], [3.0, -0.5]])},
            r"1 of 4 weights are negative, the first of unit 1 from pixel 1 \(-0.5\): the "
            r"input excites E cells, so train with .* \(column_signs\), or clip at 0",
        ),
        (
            {"weights": np.full((2, 2), 1.5), "plasticity": PairSTDP()},
            "the largest weight is 1.5, but the rule keeps weights up to w_max = 1: scale",
        ),
        (
            {"weights": np.repeat([[0.5], [0.0]], [1, 2], axis=0) @ np.ones((1, 80))}
            | {"plasticity": DiehlCook()},
            "2 units have weights of 0 only, the first is 1: the rule cannot scale them to "
            "their sum `total`, so give them some, or total=None",
        ),
        (
            {"plasticity": DiehlCook(total=2.1, w_max=0.5)},
            "total is 2.1, but 4 weights up to w_max = 0.5 have no such sum: give total up "
            r"to 2 \(0.1 for each pixel is published\), or None",
        ),
        (
            {"plasticity": replace(FADING, pre_traces="dx/dt = ")},
            "^Brian2 refuses an equation: Expected end of text, .*$",
        ),
        (
            {"plasticity": replace(FADING, post_traces="dx/dt = -x/ : 1")},
            "^Brian2 refuses an equation: invalid syntax.*$",
        ),
        (
            {"circuit": SHARED},
            r"w_ei has shape \(2, 5\): a number or \(2, 3\) is needed for 3",
        ),
        (
            {"circuit": SpikingInhibition(num_inh=2, w_ie=np.ones((2, 3)))},
            r"w_ie has shape \(2, 3\): a number or \(3, 2\) is needed for 3 E .* 2 I cells",
        ),
        ({"theta_mv": -1.0}, "theta_mv is -1.0: θ must be 0 or more"),
        ({"theta_mv": [1.0, -2.0, 0.0]}, "theta_mv is an array with -2.0: θ must be 0 or"),
        ({"theta_mv": [1.0, 2.0]}, r"theta_mv has shape \(2,\): one number or \(3,\) is n"),
        (
            {"theta_mv": [20.0, 7.0, 20.0]},
            r"^threshold_exc_mv \+ θ is -65 mV, not above rest \(-65 mV\) and reset",
        ),
        (
            {"theta_mv": [20.0, 20.0, 72.0]},
            r"^threshold_exc_mv \+ θ is 0 mV, not below reversal_exc_mv \(0 mV\)",
        ),
        ({"stimulus": Presentation()}, r"stimulus is Presentation.*: give PoissonPresent"),
        ({"dt_ms": 0.0}, "dt_ms is 0.0: the time step must be positive"),
        ({"dt_ms": 0.3}, "image_ms is 350 ms, not a whole number of time steps of 0.3 ms"),
        (
            {"dt_ms": 2.5, "circuit": SpikingInhibition(refractory_exc_ms=4.0)},
            "refractory_exc_ms is 4 ms, not a whole number of time steps of 2.5 ms: choose",
        ),
        (
            {"dt_ms": 2.5, "circuit": SpikingInhibition(refractory_inh_ms=4.0)},
            "refractory_inh_ms is 4 ms, not a whole number",
        ),
        ({"seed": -1}, r"seed is -1: 0 to 2\^64 - 1 is needed"),
        (
            {"backend": "fortran"},
            "unknown backend 'fortran': give one of numpy, cython, cpp",
        ),
    ],
)
def test_refuses_networks(settings, message):
    with pytest.raises(ValueError, match=message):
        network(**settings)


LARGE = SpikeRecording(samples_ms=0.5, weights_every=1, limit_gib=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"images": np.ones((2, 5))},
            "images have 5 pixels, the weights 4 per unit: give images of the size that",
        ),
        ({"images": np.ones(4)}, r"images have shape \(4,\): \(image, pixel\)"),
        ({"images": np.full((1, 4), 255)}, "images are whole numbers up to 255"),
        (
            {"images": np.full((1, 4), -0.5)},
            "the smallest pixel is -0.5: pixels fire at rates in proportion .* 0 or more",
        ),
        (
            {"images": np.full((1, 4), 2.0)},
            r"pixels fire at up to 382.5 Hz \(value 2 times 191.25 Hz\), 0.191 spikes in a "
            "time step of 0.5 ms: at most 0.1 are allowed, so give dt_ms up to 0.261, or "
            "lower the rates",
        ),
        ({"order": [4]}, "order names 1 images that the bank does not have .* it has 2"),
        ({"recording": 3}, r"recording is 3: give SpikeRecording\(\)"),
        (
            {"recording": SpikeRecording(samples_ms=0.7)},
            "samples_ms is 0.7 ms, not a whole number of time steps of 0.5 ms",
        ),
        (
            {"recording": LARGE},
            r"would take 0.000134 GiB, more than limit_gib = 1e-06: record less often",
        ),
        ({"out": 3}, "out is 3: the path of a file is needed"),
        ({"checkpoint": 3}, "checkpoint is 3: the path of a file is needed"),
        ({"progress": 1}, "progress is 1: True or False is needed"),
    ],
)
def test_refuses_trainings(settings, message):
    given = {"images": np.full((2, 4), 0.5)} | settings
    with pytest.raises(ValueError, match=message):
        network().train(given.pop("images"), **given)


BATCH = {"batch_size": 2}


@pytest.mark.parametrize("phase", ["observe", "test"])
@pytest.mark.parametrize(
    ("reset", "settings", "message"),
    [
        (True, {"batch_size": 0}, "batch_size is 0: at least 1 image is shown at a time"),
        (
            False,
            BATCH,
            "batch_size is 2, but cells carry their potentials over .* reset=True, or show",
        ),
        (
            True,
            BATCH | {"recording": SpikeRecording(spikes=("exc",))},
            r"batch_size is 2, but spikes and samples .* one by one \(batch_size=1\)",
        ),
        (
            True,
            BATCH | {"recording": SpikeRecording(samples_ms=1.0)},
            "batch_size is 2, but spikes and samples are recorded along the time of one",
        ),
        (
            True,
            {"recording": SpikeRecording(weights_every=3)},
            "weights_every is 3, but (observe|test) does not change weights: leave it out",
        ),
    ],
)
def test_refuses_observing(phase, reset, settings, message):
    built = network(stimulus=PoissonPresentation(reset=reset))
    with pytest.raises(ValueError, match=message):
        getattr(built, phase)(np.full((2, 4), 0.5), **settings)


def test_bounds_are_allowed():
    """Inhibition may end at rest, a sum may be the largest, a count as large as spikes."""
    SpikingInhibition(reversal_inh_of_exc_mv=-65.0, reversal_inh_of_inh_mv=-60.0)
    network(plasticity=DiehlCook(total=4.0), theta_mv=[7.001, 20.0, 71.99])
    assert PoissonPresentation(min_spikes=10**6).min_spikes == 10**6


def test_refuses_a_checkpoint_before_it_trains(tmp_path):
    (tmp_path / "file").touch()
    built = network(plasticity=PairSTDP())
    for path in (tmp_path, tmp_path / "file" / "state.nc"):
        with pytest.raises(ValueError, match=r"^cannot write .*; choose another path"):
            built.train(np.full((1, 4), 0.5), checkpoint=path, progress=False)
    assert built.num_trained == 0
    assert not built._networks  # nothing was built
    np.testing.assert_array_equal(built.weights, 0.5)


ZERO = "must be positive and finite"
RULES = [
    *((DiehlCook, name, 0.0, ZERO) for name in ("tau_pre_ms", "tau_post_1_ms")),
    (DiehlCook, "tau_post_2_ms", np.inf, ZERO),
    *(
        (DiehlCook, name, -1.0, "a learning rate must be 0 or more")
        for name in ("eta_pre", "eta_post")
    ),
    *((PairSTDP, f"tau_{name}_ms", -1.0, ZERO) for name in ("plus", "minus")),
    *(
        (PairSTDP, name, -1.0, "the size of a change must be 0 or more")
        for name in ("a_plus", "a_minus")
    ),
    (PairSTDP, "mu", 1.5, r"give 0 \(additive\) to 1 \(multiplicative\), the exponent"),
    (PairSTDP, "mu", np.nan, "give 0"),
    (PairSTDP, "nearest", 1, "True or False is needed"),
    *((TripletSTDP, f"tau_{name}_ms", 0.0, ZERO) for name in ("plus", "minus", "x", "y")),
    *(
        (TripletSTDP, name, -1e-3, "the size of a change must be 0 or more")
        for name in ("a_plus_2", "a_plus_3", "a_minus_2", "a_minus_3")
    ),
    *(
        (rule, name, bad, f"{what} {ZERO}")
        for rule in (DiehlCook, PairSTDP, TripletSTDP)
        for name, bad, what in (
            ("w_max", 0.0, "the largest weight"),
            ("w_max", np.inf, "the largest weight"),
            ("total", -1.0, "the sum of the weights into a cell"),
        )
    ),
    (PoissonPresentation, "image_ms", 0.0, "the time an image is shown must be positive"),
    (PoissonPresentation, "rest_ms", -1.0, "the rest must be 0 or more"),
    (PoissonPresentation, "reset", 1, "True or False is needed"),
    (PoissonPresentation, "rate_hz", 0.0, f"the rate of a pixel of value 1 {ZERO}"),
    (PoissonPresentation, "raise_hz", -1.0, "the rise of the rate must be 0 or more"),
    *(
        (PoissonPresentation, "min_spikes", bad, "of spikes from 0 to 1000000 is needed")
        for bad in (-1, 10**6 + 1)
    ),
    (PoissonPresentation, "min_spikes", 0.5, "a whole number is needed"),
    (
        PoissonPresentation,
        "max_rate_hz",
        50.0,
        "images are first shown at rate_hz = 63.75: it must be as high or higher, and fin",
    ),
    (
        PoissonPresentation,
        "max_rate_hz",
        np.inf,
        "it must be as high or higher, and finite",
    ),
    (SpikeRecording, "samples_ms", 0.0, f"the interval {ZERO}"),
    (SpikeRecording, "weights_every", 0, "at least 1 image is needed"),
    (SpikeRecording, "limit_gib", -1.0, f"the largest size {ZERO}"),
]


@pytest.mark.parametrize(("kind", "name", "value", "message"), RULES)
def test_refuses_parameters(kind, name, value, message):
    with pytest.raises(ValueError, match=rf"^{name} is {value:.7g}(\.0)?[:,].*{message}"):
        kind(**{name: value})


def test_refuses_unknown_populations():
    message = "spikes names 'I': the populations are input, exc, inh"
    with pytest.raises(ValueError, match=message):
        SpikeRecording(spikes=("exc", "I"))
    for wrong in (None, 3, {"exc"}):
        with pytest.raises(
            ValueError, match=r"^spikes is .*: give populations, of input, e"
        ):
            SpikeRecording(spikes=wrong)
    assert SpikeRecording(spikes="exc").spikes == ("exc",)
    assert SpikeRecording(spikes=("exc", "exc")).spikes == ("exc",)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_units": 0}, "num_units is 0: at least 1 is needed"),
        ({"num_pixels": -1}, "num_pixels is -1: at least 1 is needed"),
        ({"largest": 0.0}, "largest is 0.0: the largest weight must be positive"),
        (
            {"largest": np.nan},
            "largest is nan: the largest weight must be positive and fin",
        ),
        ({"largest": "0.3"}, "largest is '0.3': a number is needed"),
        ({"largest": [0.3, 0.4]}, r"largest is \[0.3, 0.4\]: one number is needed"),
        ({"seed": -1}, "seed is -1: a seed must be 0 or more"),
        ({"seed": 0.5}, "seed is 0.5: a whole number is needed"),
        ({"seed": None}, "seed is None: a whole number is needed"),
    ],
)
def test_refuses_random_weights(settings, message):
    with pytest.raises(ValueError, match=message):
        random_weights(**({"num_units": 2, "num_pixels": 2} | settings))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"circuit": SpikingInhibition()},
            "circuit is a SpikingInhibition, whose cells spike: give it to neurodyn.Spik",
        ),
        (
            {"plasticity": DiehlCook()},
            "the rule for 'feedforward' is a DiehlCook, which learns by spikes: cells of "
            r"this circuit have rates, so give KrotovHopfield\(\), .*SpikingNetwork",
        ),
        (
            {"plasticity": PairSTDP()},
            "the rule for 'feedforward' is a PairSTDP, which learns",
        ),
        (
            {"plasticity": {"inh_to_exc": TripletSTDP()}, "circuit": DaleInhibition()},
            "Tripl",
        ),
        (
            {"stimulus": PoissonPresentation()},
            "stimulus is a PoissonPresentation, of spike trains, but the cells of this "
            r"circuit have rates: give Presentation\(\), or use neurodyn.SpikingNetwork",
        ),
        (
            {"recording": SpikeRecording()},
            r"recording is SpikeRecording.*: give Recording\(\)",
        ),
    ],
)
def test_simulations_of_rates_refuse_spiking_parts(settings, message):
    given = {"circuit": LateralInhibition(), "backend": "numpy"} | settings
    with pytest.raises(ValueError, match=message):
        neurodyn.simulate(given.pop("circuit"), np.eye(2), np.ones((3, 2)), **given)
