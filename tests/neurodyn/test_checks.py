"""The door: what may enter as a number, a time or a setting, and as what."""

import json
from dataclasses import dataclass, field
from datetime import timedelta

import brian2 as b2
import numpy as np
import pytest
import torch
import xarray as xr

import neurodyn
from neurodyn import (
    Continuous,
    DaleInhibition,
    Gated,
    Homeostatic,
    KrotovHopfield,
    LateralInhibition,
    Oja,
    Presentation,
    Recording,
    Settled,
    checks,
    equilibrium,
)
from neurodyn.circuits import dale, lateral

RNG_SEED = 6


SHOWN = Presentation(image_ms=5.0)


def inputs():
    rng = np.random.default_rng(RNG_SEED)
    return rng.random((3, 6)), rng.random((4, 6))


def run(circuit=None, images=None, weights=None, **settings):
    known, trained = inputs()
    return neurodyn.simulate(
        LateralInhibition(w_inh=0.5) if circuit is None else circuit,
        known if images is None else images,
        trained if weights is None else weights,
        **({"backend": "numpy", "dt_ms": 0.5, "stimulus": SHOWN} | settings),
    )


def same(one, two):
    for name, variable in two.variables.items():
        np.testing.assert_array_equal(one[name], variable, err_msg=name)


TIMES = [
    10 * b2.ms,
    0.01 * b2.second,
    b2.Quantity(10_000.0, dim=b2.second.dim) * 1e-6,
    10,
    np.int64(10),
    np.float32(10),
    np.array(10.0),
    torch.tensor(10.0, requires_grad=True),
    timedelta(milliseconds=10),
    np.timedelta64(10_000, "us"),
]


@pytest.mark.parametrize("ten", TIMES, ids=lambda ten: type(ten).__name__)
@pytest.mark.parametrize(
    ("kind", "name", "others"),
    [
        (LateralInhibition, "tau_ms", {}),
        (LateralInhibition, "noise_tau_ms", {}),
        (DaleInhibition, "tau_exc_ms", {}),
        (DaleInhibition, "tau_inh_ms", {}),
        (KrotovHopfield, "tau_l_ms", {}),
        (Oja, "tau_l_ms", {}),
        (Homeostatic, "tau_l_ms", {}),
        (Gated, "last_ms", {}),
        (Presentation, "image_ms", {}),
        (Presentation, "rest_ms", {}),
        (Recording, "activity_ms", {}),
    ],
)
def test_a_time_is_in_ms_or_knows_its_unit(kind, name, others, ten):
    value = getattr(kind(**{name: ten}, **others), name)
    assert value == 10.0
    assert type(value) is float


@pytest.mark.parametrize("number", [0.1, 0.3, 0.7, 1.1, 33.3, 1e-3, 123.456])
def test_a_converted_time_is_the_number_that_was_written(number):
    assert Presentation(image_ms=number * b2.ms).image_ms == number


@pytest.mark.parametrize(("units", "number"), [("ms", 10.0), ("s", 0.01), ("us", 1e4)])
def test_a_labelled_time_is_in_the_unit_it_names(units, number):
    given = xr.DataArray(number, attrs={"units": units})
    assert Presentation(image_ms=given).image_ms == 10.0


def test_each_cells_own_time_may_have_a_unit():
    expected = [10.0, 20.0]
    for given in ([10, 20] * b2.ms, [10 * b2.ms, 20 * b2.ms], (10 * b2.ms, 20 * b2.ms)):
        np.testing.assert_array_equal(LateralInhibition(tau_ms=given).tau_ms, expected)


def test_a_simulation_with_quantities_is_the_one_with_numbers():
    rule = KrotovHopfield(tau_l_ms=1 * b2.second, timing=Gated(last_ms=2 * b2.ms))
    plain = KrotovHopfield(tau_l_ms=1000.0, timing=Gated(last_ms=2.0))
    one = run(
        LateralInhibition(tau_ms=10 * b2.ms, w_inh=0.5),
        stimulus=Presentation(image_ms=5 * b2.ms, rest_ms=1000 * b2.us),
        recording=Recording(activity_ms=0.5 * b2.ms),
        dt_ms=0.5 * b2.ms,
        plasticity=rule,
    )
    two = run(
        LateralInhibition(tau_ms=10.0, w_inh=0.5),
        stimulus=Presentation(image_ms=5.0, rest_ms=1.0),
        recording=Recording(activity_ms=0.5),
        plasticity=plain,
    )
    same(one, two)
    assert json.loads(one.attrs["config"]) == json.loads(two.attrs["config"])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: LateralInhibition(tau_ms=10 * b2.mV), r"tau_ms is 10\. mV: a time is"),
        (
            lambda: LateralInhibition(tau_ms=10 * b2.Hz),
            r"tau_ms is 10\. Hz: a time is",
        ),
        (lambda: LateralInhibition(tau_ms=[10 * b2.ms, 1]), "tau_ms mixes units"),
        (lambda: LateralInhibition(w_inh=1 * b2.nS), "without a unit is needed"),
        (lambda: LateralInhibition(p=2 * b2.ms), "p is .* without a unit is needed"),
        (lambda: KrotovHopfield(h_star=5 * b2.Hz), "h_star is 5. Hz: .* without a unit"),
        (lambda: Homeostatic(target=5 * b2.Hz), "target is 5. Hz: .* without a unit"),
        (lambda: dale.oscillation(tau_exc_ms=1 * b2.mV, tau_inh_ms=1, w=1), "a time is"),
        (lambda: run(images=inputs()[0] * b2.nA), "images is .*without a unit is needed"),
        (lambda: run(weights=inputs()[1] * b2.nS), "weights is .*without a unit is need"),
        (
            lambda: Presentation(image_ms=xr.DataArray(1.0, attrs={"units": "mV"})),
            "image_ms is in mV: a time is needed, in ms, s, us",
        ),
        (
            lambda: run(images=xr.DataArray(inputs()[0], attrs={"units": "nA"})),
            "images is .*without a unit is needed",
        ),
        (lambda: run(dt_ms=0.5 * b2.mV), "dt_ms is 0.5 mV: a time is needed"),
        (lambda: equilibrium.settle([1 * b2.nA], w_inh=0.5), "drive is .* unit"),
    ],
)
def test_another_dimension_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_what_has_no_dimension_is_a_number():
    images, _ = inputs()
    same(run(images=b2.Quantity(images)), run())
    assert LateralInhibition(w_inh=(1 * b2.mV) / (2 * b2.mV)).w_inh == 0.5


@dataclass
class Pint:
    magnitude: float
    units: str = ""


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: LateralInhibition(tau_ms="10"), "tau_ms is '10': "),
        (lambda: LateralInhibition(tau_ms="10 ms"), "tau_ms is '10 ms': "),
        (lambda: LateralInhibition(w_inh="strong"), "w_inh is 'strong': a number"),
        (lambda: LateralInhibition(w_inh=True), "w_inh is True: one number is needed"),
        (lambda: LateralInhibition(w_inh=0.5 + 0j), r"w_inh is \(0.5\+0j\): .* complex"),
        (lambda: LateralInhibition(w_inh=None), "w_inh is None: "),
        (lambda: LateralInhibition(w_inh=[[0, 1], [1]]), "w_inh is not a number or an arr"),
        (lambda: LateralInhibition(w_inh=Pint(1.0, "nS")), "w_inh is Pint"),
        (lambda: LateralInhibition(tau_ms=float), "tau_ms is the class float"),
        (lambda: LateralInhibition(p=[2, 3]), r"p is \[2, 3\]: one number is needed"),
        (lambda: LateralInhibition(input_sign=0.5), "input_sign is 0.5: a whole number"),
        (lambda: LateralInhibition(input_sign=True), "input_sign is True: a whole number"),
        (lambda: DaleInhibition(num_inh=2.5), "num_inh is 2.5: a whole number is needed"),
        (lambda: DaleInhibition(num_inh="2"), "num_inh is '2': a whole number is needed"),
        (lambda: Presentation(reset="no"), "reset is 'no': True or False is needed"),
        (lambda: Presentation(reset=0), "reset is 0: True or False is needed"),
        (lambda: Recording(images_every=1.5), "images_every is 1.5: a whole number"),
        (lambda: Recording(norms="yes"), "norms is 'yes': True or False"),
        (lambda: Recording(activity_ms=True), "activity_ms is True: one number"),
        (lambda: Recording(activity_ms=np.ma.masked), "activity_ms: 1 of 1 values are mas"),
        (lambda: KrotovHopfield(timing=Settled), "timing is the class Settled: give an"),
        (lambda: KrotovHopfield(timing=Gated), "timing is the class Gated: give an inst"),
        (lambda: Oja(timing="settled"), "timing is 'settled': give Settled"),
        (lambda: Gated(last_ms=None), "last_ms is None"),
        (lambda: lateral.distance_dependent(4.5, w_inh=1, width=1), "num_units is 4.5"),
        (lambda: neurodyn.stimulus.epochs(4.5, 1, seed=0), "num_images is 4.5: a whole"),
        (lambda: neurodyn.stimulus.epochs(4, 1, seed="a"), "seed is 'a': a whole number"),
        (lambda: run(LateralInhibition), "circuit is the class LateralInhibition: give"),
        (lambda: run("lateral"), "circuit is 'lateral': give LateralInhibition"),
        (lambda: run(stimulus=Presentation), "stimulus is the class Presentation"),
        (lambda: run(stimulus=20.0), r"stimulus is 20.0: give Presentation\(\)"),
        (lambda: run(recording=Recording), "recording is the class Recording: give an"),
        (lambda: run(recording=1.0), r"recording is 1.0: give Recording\(\)"),
        (lambda: run(plasticity=KrotovHopfield), "'feedforward' is the class KrotovHopf"),
        (lambda: run(plasticity="hebbian"), "the rule for 'feedforward' is 'hebbian'"),
        (lambda: run(plasticity={"feedforward": Oja}), "'feedforward' is the class Oja"),
        (lambda: run(batch_size=1.5), "batch_size is 1.5: a whole number is needed"),
        (lambda: run(batch_size=True), "batch_size is True: a whole number is needed"),
        (lambda: run(seed="0"), "seed is '0': a whole number is needed"),
        (lambda: run(seed=None), "seed is None: a whole number is needed"),
        (lambda: run(dt_ms="0.5"), "dt_ms is '0.5': a number is needed"),
        (lambda: run(out=3), "out is 3: the path of a file is needed"),
        (lambda: run(out=""), "out is '': the path of a file is needed"),
        (lambda: run(order=[0, 1.5]), "order .* a list of whole numbers is needed"),
        (lambda: run(order=[True, False]), "order .* a list of whole numbers is needed"),
        (lambda: run(order="012"), "order is '012': a list of whole numbers is needed"),
        (lambda: run(order=[]), "order .* a list of whole numbers is needed"),
        (lambda: run(order=[np.nan]), "order .* a list of whole numbers is needed"),
        (lambda: run(images="mnist"), "images is 'mnist': an array of real numbers"),
        (lambda: run(images=inputs()[0] + 0j), "an array of real .* not complex128"),
        (lambda: run(images=inputs()[0].astype(str)), "an array of real numbers is needed"),
        (lambda: run(images=inputs()[0].astype(object)), "is needed, not object"),
        (lambda: run(images=[[1, 2], [3]]), "images is not an array of real numbers"),
        (
            lambda: run(images=np.ma.masked_greater(inputs()[0], 0.9)),
            "images: 2 of 18 values are masked",
        ),
        (lambda: run(images=np.full((2, 6), np.nan)), "images: 12 of 12 values are NaN"),
        (lambda: run(images=np.array(["2020-01-01"], "M8[D]")), "not datetime64"),
        (
            lambda: run(images=(255 * inputs()[0]).astype(np.uint8)),
            r"images are whole numbers up to 2\d\d: input rates are needed",
        ),
        (
            lambda: run(images=torch.tensor(255 * inputs()[0]).to(torch.uint8)),
            "images are whole numbers up to",
        ),
        (
            lambda: run(images=np.zeros((2, 3, 8, 8)), weights=np.zeros((4, 192))),
            "with the channels first: they come last here",
        ),
        (
            lambda: run(images=np.zeros((2, 1, 8, 8)), weights=np.zeros((4, 64))),
            "with the channels first: they come last here",
        ),
        (lambda: run(images=np.zeros((2, 1, 1, 2, 3))), r"images have shape \(2, 1, 1"),
        (lambda: run(images=torch.zeros(3, 6, device="meta")), "images is not an array"),
        (lambda: neurodyn.sweep(LateralInhibition(), *inputs()), "circuits is .*: a list"),
        (lambda: neurodyn.sweep(None, *inputs()), "circuits is None: a list of circuits"),
        (lambda: Recording(images_every=2**70), "a stride is a whole number from 1 on"),
        (lambda: run(images=np.zeros(6)), r"images have shape \(6,\)"),
    ],
)
def test_what_is_something_else_is_refused_with_its_name(make, said):
    with pytest.raises(ValueError, match=said):
        make()


@dataclass(frozen=True, kw_only=True)
class HebbianOnly:
    """A rule of a user's own: winners above a threshold learn, nobody unlearns."""

    threshold: float = 0.3
    p: float = 2.0
    radius: float = 1.0
    tau_l_ms: float = 100.0
    timing: Settled = field(default_factory=Settled)
    activation = "g = int(h >= threshold) : 1"
    decay = "g*I"
    states = {}  # noqa: RUF012

    @property
    def parameters(self):
        return {"threshold": self.threshold}

    def strongest(self, lowest, highest):
        return 1.0


def test_a_rule_of_the_users_own_learns():
    """As the same rule among those that are known: Δ = 0."""
    one = run(plasticity=HebbianOnly(threshold=0.3))
    two = run(plasticity=KrotovHopfield(delta=0.0, h_star=0.3, tau_l_ms=100.0))
    np.testing.assert_array_equal(one["weights"], two["weights"])
    assert abs(one["weights"] - inputs()[1]).max() > 1e-3
    assert json.loads(one.attrs["config"])["plasticity"]["feedforward"]["name"] == (
        "HebbianOnly"
    )


class Reversed(KrotovHopfield):
    """A subclass with an activation of its own."""

    activation = "g = -int(h >= h_star) + 0*delta : 1"


def test_a_subclass_learns_by_what_it_says():
    kept = run(plasticity=KrotovHopfield(delta=0.0, h_star=0.3, tau_l_ms=1e4))
    turned = run(plasticity=Reversed(delta=0.0, h_star=0.3, tau_l_ms=1e4))
    start = inputs()[1]
    first, second = kept["weights"] - start, turned["weights"] - start
    assert abs(first).max() > 1e-4
    # To first order in T / τ_L the changes are opposite.
    np.testing.assert_allclose(second, -first, atol=0.02 * float(abs(first).max()))


class NoRule:
    p = 2.0


def test_what_is_no_rule_is_refused():
    with pytest.raises(ValueError, match=r"the rule for 'feedforward' is .*NoRule.*: give"):
        run(plasticity=NoRule())


def test_a_continuous_rule_needs_no_window():
    assert KrotovHopfield(timing=Continuous()).timing == Continuous()


def test_no_brian2_is_needed_to_say_so(monkeypatch):
    """Quantities are looked for only where Brian2 has been imported."""
    monkeypatch.delitem(checks.sys.modules, "brian2")
    assert checks.time_ms("tau_ms", 3) == 3.0
