"""Steps that are accepted for random circuits do as LSODA."""

import numpy as np
import pytest

from neurodyn import DaleInhibition, LateralInhibition
from tests.neurodyn.solvers import TAU_MS, euler, lsoda


def random_circuit(rng):
    """A circuit, from weak to strong, from dense to sparse, and drives of three images."""
    num = int(rng.integers(2, 25))
    drive = rng.uniform(rng.choice([-0.5, 0.3]), 1.2, (3, num))
    tau = TAU_MS if rng.random() < 0.6 else rng.uniform(3, 20, num)
    if rng.random() < 0.5:
        matrix = rng.random((num, num)) * (rng.random((num, num)) < rng.uniform(0.2, 1))
        matrix *= rng.uniform(0.1, 3) * (1 - np.eye(num))
        if rng.random() < 0.3:
            matrix = (matrix + matrix.T) / 2  # multistable where it is strong
        return LateralInhibition(w_inh=matrix, tau_ms=tau), drive
    num_inh = int(rng.integers(1, 5))
    circuit = DaleInhibition(
        num_inh=num_inh,
        tau_exc_ms=tau,
        tau_inh_ms=rng.uniform(1, 20),
        w_ie=rng.random((num, num_inh)) * rng.uniform(0.2, 4),
        w_ei=rng.random((num_inh, num)) * rng.uniform(0.2, 2),
        w_self=rng.choice([0.0, 0.5, 0.9, 1.3]),
        w_ee=rng.random((num, num)) * (1 - np.eye(num)) * rng.uniform(0, 0.5) / num,
        w_ii=rng.choice([0.0, 0.5]),
    )
    return circuit, drive


def check_against_lsoda(circuit, drive, dt_ms, *, tolerance):
    """Where the circuit comes to rest, so does Euler's method, and in the same state."""
    slowest = max(
        np.max(circuit.tau_ms), np.max(getattr(circuit, "tau_inh_ms", circuit.tau_ms))
    )
    length_ms = 60 * slowest
    with np.errstate(over="ignore", invalid="ignore"):
        late = euler(circuit, drive, dt_ms, length_ms)
    for image, one in enumerate(drive):
        exact = lsoda(circuit, one, length_ms)
        size = max(np.maximum(exact[-1], 0).max(), 0.2 * abs(exact[-1]).max())
        moves = np.ptp(exact, axis=0).max() / size
        if moves < 0.002:
            assert abs(late[-1, image] - exact[-1]).max() < tolerance * size
        elif size < 1e3:
            assert np.ptp(late[:, image], axis=0).max() > 0.1 * moves * size


@pytest.mark.parametrize("seed", range(30))
def test_default_steps_of_random_circuits_do_as_lsoda(seed):
    circuit, drive = random_circuit(np.random.default_rng(seed))
    dt_ms = circuit.default_step_ms(drive, reset=True)
    check_against_lsoda(circuit, drive, dt_ms, tolerance=0.01)


@pytest.mark.parametrize(
    "seed", [*range(6), *(pytest.param(s, marks=pytest.mark.slow) for s in range(6, 20))]
)
def test_halves_of_accepted_steps_do_as_lsoda(seed):
    """At the bound itself a mode takes for ever to decay."""
    circuit, drive = random_circuit(np.random.default_rng(100 + seed))
    accepted = [
        dt_ms
        for dt_ms in TAU_MS * np.geomspace(1, 0.02, 6)
        if circuit.is_stable(drive, dt_ms, reset=True)
        and circuit.is_stable(drive, 2 * dt_ms, reset=True)
    ]
    for dt_ms in accepted[:2]:
        check_against_lsoda(circuit, drive, dt_ms, tolerance=0.05)


@pytest.mark.parametrize("seed", range(10))
def test_activity_that_is_carried_over_does_as_lsoda(seed):
    circuit, drive = random_circuit(np.random.default_rng(200 + seed))
    dt_ms = circuit.default_step_ms(drive, reset=False)
    start, same = None, None
    for one in drive:
        exact = lsoda(circuit, one, 600.0, start)
        size = max(np.maximum(exact[-1], 0).max(), 0.2 * abs(exact[-1]).max())
        if np.ptp(exact, axis=0).max() > 0.002 * size:
            break
        same = euler(circuit, one[None], dt_ms, 600.0, same)[-1]
        assert abs(same[0] - exact[-1]).max() < 0.02 * size
        start = exact[-1]
