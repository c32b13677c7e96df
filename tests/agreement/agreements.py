"""The equalities between learning in `neurodyn` and in `fastpath`.

Each raises AssertionError if it does not hold.
"""

import numpy as np
import torch

import neurodyn
from fastpath import competition
from fastpath.competition import Equilibrium, Ranking
from fastpath.layers import Dense
from fastpath.plasticity import delta_w
from neurodyn import equilibrium
from neurodyn.stimulus import epochs

TAU_MS = 10.0
NUM_UNITS = 12
W_INH = 0.7
RULE = Equilibrium(w_inh=W_INH, h_star=1.0, delta=0.4)
RATE = 0.05  # ε = T / τ_L
ENDS = neurodyn.Recording(activity_ms=None, images_every=None)


def start():
    generator = torch.Generator().manual_seed(0)
    return Dense.random(NUM_UNITS, 64, generator=generator, dtype=torch.float64)


def difference(first, second):
    """Largest difference, relative to the largest value of the second."""
    return abs(first - second).max() / abs(second).max()


def settled_circuit_is_equilibrium(digits, circuit, backend, *, num_presentations, dt_ms):
    """Train one by one from one start, in one order, and return the distance of W."""
    order = epochs(len(digits), -(-num_presentations // len(digits)), seed=1)
    order = order[:num_presentations]
    layer, image_ms = start(), 100 * TAU_MS
    run = neurodyn.simulate(
        circuit,
        digits,
        layer.weights.numpy(),
        plasticity=neurodyn.KrotovHopfield(
            delta=RULE.delta,
            h_star=RULE.h_star,
            tau_l_ms=image_ms / RATE,
            timing=neurodyn.Settled(),
        ),
        stimulus=neurodyn.Presentation(image_ms=image_ms),
        order=order,
        recording=ENDS,
        backend=backend,
        dt_ms=dt_ms,
    )
    for image in order:
        v = torch.from_numpy(digits[image : image + 1])
        layer.learn(v, RULE, lr=RATE, normalize=None)
    away = difference(run["weights"].values, layer.weights.numpy())
    # Measured: 5e-16 after 200 presentations. At T = 100 τ the slowest mode, τ / (1 − w),
    # has fallen to exp(-30) = 1e-13, so who learns can differ only for an activity that is
    # so near to a threshold; the margin is for other sums of the same numbers. The faults
    # below move W by 5e-2 or more in 4 presentations.
    assert away < 1e-6, f"W differs by {away:.1e}"


def ranking_is_equilibrium_where_two_are_active(digits):
    """With two active units and h* between them, both levels must change W alike."""
    weights, v = start().weights, torch.from_numpy(digits)
    drive = v @ weights.T
    h = competition.settle(drive, w_inh=W_INH).sort(dim=1, descending=True).values
    pair = (h[:, 1] > 0) & (h[:, 2] < 0)
    assert pair.sum() >= 5  # measured: 34 of 60 images
    for image in pair.nonzero().flatten():
        h_star = h[image, :2].mean().item()
        rule = Equilibrium(w_inh=W_INH, h_star=h_star, delta=0.4)
        one = slice(image, image + 1)
        changes = [
            delta_w(who(drive[one]), drive[one], v[one], weights)
            for who in (rule, Ranking(k=2, delta=0.4))
        ]
        assert torch.equal(*changes)  # measured: the same bits
        learned = [start(), start()]
        for layer, who in zip(learned, (rule, Ranking(k=2, delta=0.4)), strict=True):
            layer.learn(v[one], who, lr=RATE, normalize=None)
        assert torch.equal(learned[0].weights, learned[1].weights)


def numpy_is_torch(digits):
    """The closed form of both packages."""
    drive = digits @ start().weights.numpy().T
    ours = equilibrium.settle(drive, w_inh=W_INH)
    theirs = competition.settle(torch.from_numpy(drive), w_inh=W_INH).numpy()
    assert difference(ours, theirs) < 1e-12  # measured: 0


def eq_8():
    return neurodyn.LateralInhibition(w_inh=W_INH)


def explicit():
    between = W_INH * (1 - np.eye(NUM_UNITS))
    return neurodyn.LateralInhibition(w_inh=between)


def exc_inh(tau_inh_ms=1.0):
    return neurodyn.DaleInhibition(
        tau_inh_ms=tau_inh_ms, w_ie=W_INH, w_self=W_INH, input_sign=0
    )


def agreements(digits):
    """Check all that can be checked in a second."""
    numpy_is_torch(digits)
    ranking_is_equilibrium_where_two_are_active(digits)
    for circuit, dt_ms in ((eq_8(), 1.25), (explicit(), 1.25), (exc_inh(), 0.5)):
        settled_circuit_is_equilibrium(
            digits[:4], circuit, "numpy", num_presentations=4, dt_ms=dt_ms
        )
