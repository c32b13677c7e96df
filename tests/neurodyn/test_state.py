"""A run that goes on from where another ended is given all of its state."""

from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest

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
)
from neurodyn.engine import backends, execute, network, spec, standalone, to_xarray

UNITS, PIXELS, INH = 5, 4, 2
ORDER = np.array([0, 2, 1, 1, 0])
DT_MS = 0.25


@dataclass(frozen=True, kw_only=True)
class Tripled:
    """A rule of one's own: who is active learns three times as fast as who is not."""

    tau_l_ms: float = 50.0
    timing: Settled | Gated | Continuous = Continuous()  # noqa: RUF009, frozen

    p = 2.0
    radius = 1.0
    activation = "g = 1 + factor*int(h > 0) : 1"
    decay = "g*I"
    states = {}  # noqa: RUF012, a constant
    parameters = {"factor": 2.0}  # noqa: RUF012, a constant

    def strongest(self, lowest, highest):
        return 3.0


def circuits(rng):
    """Every circuit, noisy, so that its noise has a state too."""
    between = rng.random((UNITS, UNITS)) * 0.3 * (1 - np.eye(UNITS))
    noise = {"noise": 0.3, "noise_tau_ms": 2.0}
    return {
        "pooled": LateralInhibition(w_inh=0.5, **noise),
        "matrix": LateralInhibition(w_inh=between, **noise),
        "dale": DaleInhibition(
            num_inh=INH,
            tau_inh_ms=4.0,
            w_ie=rng.random((UNITS, INH)) * 0.4,
            w_ei=rng.random((INH, UNITS)),
            w_ee=0.02,
            w_ii=0.3,
            input_sign=0,
            **noise,
        ),
    }


TIMINGS = {"settled": Settled(), "gated": Gated(last_ms=1.0), "continuous": Continuous()}
RULES = {
    "static": None,
    **{
        f"paper, {name}": KrotovHopfield(h_star=0.2, tau_l_ms=50.0, timing=timing)
        for name, timing in TIMINGS.items()
    },
    "paper, p = 3": KrotovHopfield(p=3.0, h_star=0.2, tau_l_ms=50.0, timing=Continuous()),
    **{
        f"Oja, {name}": Oja(tau_l_ms=90.0, timing=timing)
        for name, timing in TIMINGS.items()
    },
    **{f"own, {name}": Tripled(timing=timing) for name, timing in TIMINGS.items()},
}
# Those with most of a state in the default run, all pairs in the slow one.
OFTEN = {
    ("matrix", "paper, p = 3", False),
    ("dale", "Oja, gated", False),
}
CASES = [
    case if case in OFTEN else pytest.param(*case, marks=pytest.mark.slow)
    for case in product(("pooled", "matrix", "dale"), RULES, (False, True))
]


def job_of(circuit, rule, *, reset, backend="numpy"):
    """Return a simulation in which all that can learn does."""
    rng = np.random.default_rng(6)
    circuit = circuits(rng)[circuit]
    rules = {
        name: Homeostatic(target=0.2, tau_l_ms=60.0) for name in circuit.learning_names
    }
    if RULES[rule] is not None:
        rules["feedforward"] = RULES[rule]
        circuit = replace(circuit, p=RULES[rule].p)
    return spec.validate(
        circuit,
        rng.random((3, PIXELS)),
        rng.normal(0.3, 0.6, (UNITS, PIXELS)),
        plasticity=rules or None,
        stimulus=Presentation(image_ms=2.0, rest_ms=0.5, reset=reset),
        order=ORDER,
        recording=Recording(
            by_image=False,
            activity_ms=0.5,
            inhibition=True,
            norms=rule != "static",
            weights_every=1 if rules else None,
        ),
        backend=backend,
        dt_ms=DT_MS,
        batch_size=1,
        seed=2**33 + 7,
    )


def forgetful(built, run):
    """Return a run that begins with all as it was built, as a compiled program does."""
    import brian2 as b2

    groups = [one for one in built.objects if not isinstance(one, b2.StateMonitor)]
    variables = {
        id(variable): variable
        for group in groups
        for variable in group.variables.values()
        if isinstance(variable, b2.core.variables.ArrayVariable) and not variable.read_only
    }
    before = [(one, np.array(one.get_value())) for one in variables.values()]

    def forgetting(values, duration, moved):
        for variable, value in before:
            variable.set_value(value)
        return run(values, duration, moved)

    return forgetting


def pieces(length):
    """Yield the pieces of a run, each of so many presentations."""
    for first in range(0, len(ORDER), length):
        yield first, min(first + length, len(ORDER))


def joined(parts, kind):
    """Return the samples, or snapshots, of consecutive pieces by name."""
    found = [getattr(part, kind) for part in parts]
    return {name: np.concatenate([one[name] for one in found]) for name in found[0]}


@pytest.mark.filterwarnings("ignore:tau_l_ms is:UserWarning")  # short, so that much moves
@pytest.mark.parametrize(("circuit", "rule", "reset"), CASES)
def test_parts_of_a_run_are_the_run(circuit, rule, reset):
    """In pieces of 2 presentations, that know of each other only what they are given.

    And once more from the start, as circuits of a sweep are run, by what that is given.
    """
    job = job_of(circuit, rule, reset=reset)
    timeline = execute.timeline_of(job, len(ORDER))
    with backends.activated("numpy") as compiler:
        built = network.build(job, timeline)
        run = compiler(built.objects)
        forgets = forgetful(built, run)
        given = built.parameters(job)
        learning = built.plastic.items()
        weights = {name: given.get((one, "W"), job.weights) for name, one in learning}
        whole, parts, again = (
            list(
                execute._one_after_another(
                    job, built, how, pieces(length), given, start, lambda _: None
                )
            )
            for how, length, start in (
                (forgets, len(ORDER), {}),
                (forgets, 2, {}),
                (run, len(ORDER), built.initial_state(job.weights[job.pairs])),
            )
        )
    assert [len(whole), len(parts), len(again)] == [1, 3, 1]
    for other in (parts, again):
        for kind in ("samples", "snapshots"):
            found = joined(other, kind)
            for name, values in joined(whole, kind).items():
                np.testing.assert_array_equal(found[name], values, err_msg=name)
        for name, values in whole[0].weights.items():
            np.testing.assert_array_equal(other[-1].weights[name], values)
            assert abs(values - weights[name].ravel()).max() > 1e-3  # it did learn
    assert np.ptp(whole[0].samples["activity"]) > 0.1


@pytest.mark.filterwarnings("ignore:tau_l_ms is:UserWarning")
def test_a_compiled_program_is_given_all_that_a_run_says(monkeypatch):
    """Seed, number of the presentation, images and state; without compiling anything."""
    job = job_of("dale", "own, continuous", reset=False, backend="numpy")
    given = []

    class Device(type(standalone.new_device("cpp"))):
        _last_run_time = 0.0

        def run(self, *, directory, run_args):
            given.append(run_args)

    monkeypatch.setattr(standalone, "new_device", lambda _: Device())
    timeline = execute.timeline_of(job, 2)
    with backends.activated("cpp", make=False) as compiler:
        built = network.build(job, timeline)
        run = compiler(built.objects)
        evolving = [*built.circuit.state, *((one, "W") for one in built.plastic.values())]
        state = {key: np.array([1.0 + n]) for n, key in enumerate(evolving)}
        values = built.values(ORDER[2:4], state, first=2, seed=job.seed)
        run(values, timeline.duration(2), lambda _: None)
        (arguments,) = given
        by_name = {
            (key.group.name, key.name): value
            for key, value in arguments.items()
            if hasattr(key, "group")
        }
        expected = {(group.name, name): state[group, name] for group, name in evolving}
        image_at = next(v for k, v in arguments.items() if k is timeline.image_at)
    np.testing.assert_array_equal(image_at[:3], [1, 1, -1])
    assert {"h", "x", "W"} == {name for _, name in expected}
    for key, value in expected.items():
        np.testing.assert_array_equal(by_name[key], value)
    for cells in ("hidden", "inhibitory"):
        assert by_name[cells, "first_presentation"] == 2
        assert (by_name[cells, "seed_low"], by_name[cells, "seed_high"]) == (7, 2)


@pytest.mark.slow
@pytest.mark.parametrize(("backend", "reset"), [("cython", False), ("cpp", True)])
def test_compiled_parts_have_the_noise_of_their_seed(backend, reset):
    """As on numpy in one piece; and another seed has other noise."""

    def parts(which, length, seed):
        job = replace(job_of("pooled", "static", reset=reset), backend=which, seed=seed)
        with backends.activated(which) as compiler:
            built = network.build(job, execute.timeline_of(job, length))
            run = compiler(built.objects)
            found = execute._one_after_another(
                job, built, run, pieces(length), built.parameters(job), {}, lambda _: None
            )
            return joined(list(found), "samples")["activity"]

    seed = 2**40 + 5
    expected = parts("numpy", len(ORDER), seed)
    # Measured 1e-15.
    np.testing.assert_allclose(parts(backend, 2, seed), expected, rtol=0, atol=1e-12)
    assert abs(parts("numpy", len(ORDER), 3) - expected).max() > 0.01


# Interval of samples, image, rest, step [ms]: quotients that are rounded up, and down.
AWKWARD = [
    ("0.1", "0.3", "0", "0.1"),
    ("0.7", "2.1", "0", "0.1"),
    ("0.3", "0.7", "0.2", "0.1"),
    ("1/3", "5/3", "0", "1/9"),
    ("100/9", "100/3", "0", "100/27"),
    ("1.1", "4.9", "0.6", "0.1"),
    ("4.4", "5.5", "0", "1.1"),
]


@pytest.mark.parametrize("start", [0, 1, 2, 7, 300])
@pytest.mark.parametrize(("every", "image", "rest", "dt"), AWKWARD)
def test_samples_have_the_times_and_presentations_of_exact_fractions(
    every, image, rest, dt, start
):
    """After `start` presentations; a sample on a boundary belongs to the one before."""
    times_ms = {name: float(Fraction(t)) for name, t in (("image", image), ("rest", rest))}
    job = SimpleNamespace(
        recording=Recording(by_image=False, activity_ms=float(Fraction(every))),
        stimulus=Presentation(image_ms=times_ms["image"], rest_ms=times_ms["rest"]),
        dt_ms=float(Fraction(dt)),
    )
    interval, period = Fraction(every), Fraction(image) + Fraction(rest)
    after = start * period
    first = 0 if start == 0 else after // interval + 1  # samples until then are elsewhere
    exact = [(first + n) * interval for n in range(200)]
    found = to_xarray._times(job, 200, start)
    np.testing.assert_array_equal(found["time"], [float(t) for t in exact])
    shown = [max(0, -(-t // period) - 1) for t in exact]
    np.testing.assert_array_equal(found["presentation"], shown)
    assert min(shown) == start
