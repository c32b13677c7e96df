import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath.competition import (
    Equilibrium,
    Ranking,
    RunnersUp,
    Soft,
    equilibrium,
    ranking,
    runners_up,
    settle,
    soft,
)


def random_drive(images=50, units=12, seed=0):
    return torch.randn(
        images, units, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )


@pytest.mark.parametrize("k", [2, 3, 7, 12])
def test_ranking_punishes_the_kth_unit_only(k):
    drive = random_drive()
    g = ranking(drive, k=k, delta=0.4)
    for currents, activation in zip(drive.numpy(), g.numpy(), strict=True):
        order = np.argsort(-currents)
        expected = np.zeros(12)
        expected[order[0]] = 1
        expected[order[k - 1]] = -0.4
        np.testing.assert_array_equal(activation, expected)


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.integers(2, 30), st.integers(0, 1000), st.floats(0, 2))
def test_ranking_gives_one_winner_and_one_loser_even_with_ties(units, seed, delta):
    generator = torch.Generator().manual_seed(seed)
    drive = torch.randint(-2, 3, (8, units), generator=generator).double()
    k = 2 + seed % (units - 1)
    g = ranking(drive, k=k, delta=delta)
    assert ((g == 1).sum(dim=1) == 1).all()
    torch.testing.assert_close(
        g.sum(dim=1), torch.full((8,), 1 - delta, dtype=torch.float64)
    )
    assert (drive[g == 1] == drive.amax(dim=1)).all()


@pytest.mark.parametrize("k", [1, 2, 6, 11])
def test_runners_up_punishes_each_of_the_next_k_units(k):
    drive = random_drive()
    g = runners_up(drive, k=k, delta=0.4)
    for currents, activation in zip(drive.tolist(), g.tolist(), strict=True):
        for current, learns in zip(currents, activation, strict=True):
            num_larger = sum(other > current for other in currents)
            expected = 1.0 if num_larger == 0 else (-0.4 if num_larger <= k else 0.0)
            assert learns == expected


def test_runners_up_and_ranking_agree_on_one_runner_up_alone():
    drive = random_drive()
    assert torch.equal(runners_up(drive, k=1, delta=0.4), ranking(drive, k=2, delta=0.4))
    assert not torch.equal(
        runners_up(drive, k=2, delta=0.4), ranking(drive, k=3, delta=0.4)
    )


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.integers(2, 30), st.integers(0, 1000), st.floats(0, 2))
def test_runners_up_gives_one_winner_and_k_losers_even_with_ties(units, seed, delta):
    generator = torch.Generator().manual_seed(seed)
    drive = torch.randint(-2, 3, (8, units), generator=generator).double()
    k = 1 + seed % (units - 1)
    for currents, g in zip(drive, runners_up(drive, k=k, delta=delta), strict=True):
        descending = currents.sort(descending=True).values
        assert currents[g == 1].tolist() == [descending[0]]
        assert (g == 0).sum() == (units - 1 if delta == 0 else units - 1 - k)
        if delta:
            losers = currents[g == -delta].sort(descending=True).values
            assert torch.equal(losers, descending[1 : k + 1])


def test_equilibrium_applies_the_thresholds_of_eq_9_by_hand():
    # w = 0.5, I = (4, 3, 1, -1). Two active: S = 7 / 1.5, so h = 10/3 and 4/3;
    # a third would need 1 * 2 > 0.5 * 8. The others are negative.
    drive = torch.tensor([[4.0, 3.0, 1.0, -1.0]], dtype=torch.float64)
    h = settle(drive, w_inh=0.5)
    expected = torch.tensor([[10 / 3, 4 / 3, 1 - 7 / 3, -1 - 7 / 3]], dtype=torch.float64)
    torch.testing.assert_close(h, expected, rtol=1e-14, atol=0)
    g = equilibrium(drive, w_inh=0.5, h_star=2.0, delta=0.4)
    assert g.tolist() == [[1.0, -0.4, 0.0, 0.0]]


def test_equilibrium_counts_an_activity_of_zero_as_anti_hebbian_and_h_star_as_hebbian():
    drive = torch.tensor([[0.0, -1.0], [2.0, 0.0]], dtype=torch.float64)
    g = equilibrium(drive, w_inh=0.0, h_star=2.0, delta=0.3)
    assert g.tolist() == [[-0.3, 0.0], [1.0, -0.3]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_activations_keep_the_dtype_and_the_exact_delta(dtype):
    drive = random_drive().to(dtype)
    delta = torch.tensor(-0.4, dtype=dtype)
    for g in (
        ranking(drive, k=3, delta=0.4),
        runners_up(drive, k=3, delta=0.4),
        equilibrium(drive, w_inh=0.3, h_star=1.5, delta=0.4),
    ):
        assert g.dtype == dtype
        assert set(g.unique().tolist()) == {delta.item(), 0.0, 1.0}


def test_equilibrium_with_a_threshold_between_winner_and_second_equals_the_ranking():
    # Two active units and h* between them: eq. 9 and the ranking with k = 2 coincide.
    drive = random_drive(images=400)
    h = settle(drive, w_inh=0.8)
    two = (h > 0).sum(dim=1) == 2
    assert two.sum() > 20
    for currents, activity in zip(drive[two], h[two], strict=True):
        h_star = activity.topk(2).values.mean().item()
        g = equilibrium(currents[None], w_inh=0.8, h_star=h_star, delta=0.4)
        assert torch.equal(g, ranking(currents[None], k=2, delta=0.4))


@pytest.mark.parametrize("w_inh", [0.0, 0.001, 0.02, 0.9])
def test_settle_sorts_as_many_drives_as_it_needs(w_inh):
    """From a few active units to all 600 of them, where the first 32 are not enough."""
    drive = random_drive(units=600).abs() + 1
    h = settle(drive, w_inh=w_inh)
    inhibited = drive - w_inh * (h.clamp(min=0).sum(dim=1, keepdim=True) - h.clamp(min=0))
    # Measured 3.3e-14 at w_inh = 0.9.
    torch.testing.assert_close(h, inhibited, rtol=0, atol=1e-12)


def test_settle_in_float32_is_as_good_as_float32():
    drive = random_drive(images=200, units=100)
    exact = settle(drive, w_inh=0.9)
    rough = settle(drive.float(), w_inh=0.9).double()
    # Measured 8.4e-7: float32's 6e-8, times 1/(1 - w) = 10, times a few operations.
    assert (rough - exact).abs().max() / drive.abs().max() < 1e-5


def test_soft_shares_one_unit_of_learning():
    drive = random_drive()
    g = soft(drive, temperature=0.7, anti=False)
    expected = np.exp(drive.numpy() / 0.7)
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(g.numpy(), expected, rtol=1e-12)
    signed = soft(drive, temperature=0.7, anti=True)
    assert torch.equal(signed.abs(), g)
    winner = torch.nn.functional.one_hot(drive.argmax(1), 12).bool()
    assert torch.equal(signed > 0, winner)
    weaker = soft(drive, temperature=0.7, anti=True, delta=0.25)
    assert torch.equal(weaker, torch.where(winner, g, -0.25 * g))
    assert torch.equal(soft(drive, temperature=0.7, anti=False, delta=0.25), g)


def test_settings_act_as_the_functions_they_are_named_after():
    drive = random_drive()
    pairs = [
        (Ranking(k=3, delta=0.2), ranking(drive, k=3, delta=0.2)),
        (RunnersUp(k=3, delta=0.2), runners_up(drive, k=3, delta=0.2)),
        (
            Equilibrium(w_inh=0.8, h_star=1.2, delta=0.1),
            equilibrium(drive, w_inh=0.8, h_star=1.2, delta=0.1),
        ),
        (
            Soft(temperature=2.0, anti=True, delta=0.3),
            soft(drive, temperature=2.0, anti=True, delta=0.3),
        ),
    ]
    for competition, expected in pairs:
        assert torch.equal(competition(drive), expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Ranking(k=1), "k is 1.*2 \\(the runner-up\\) or more"),
        (lambda: Ranking(delta=-0.1), "delta is -0.1.*0 or more"),
        (lambda: Ranking(delta=math.nan), "delta is nan"),
        (lambda: RunnersUp(k=0), "k is 0: the number of units that get -delta must be 1"),
        (lambda: RunnersUp(delta=-0.1), "delta is -0.1.*0 or more"),
        (lambda: RunnersUp().check(1), "units is 1: runners-up need at least 2"),
        (
            lambda: runners_up(random_drive(units=4), k=5, delta=0.4),
            r"k is 5, but only 4 units compete: .* are 6 \(lower k to 3 or add units\)",
        ),
        (
            lambda: RunnersUp(k=4)(random_drive(units=4)),
            "k is 4, but only 4 units compete: a winner and 4 units that get -delta are 5",
        ),
        (lambda: Equilibrium(w_inh=-0.5), "w_inh is -0.5.*0 or more"),
        (lambda: Equilibrium(w_inh=math.inf), "w_inh is inf.*finite"),
        (lambda: Equilibrium(h_star=0.0), "h_star is 0.0.*positive"),
        (lambda: Soft(temperature=0.0), "temperature is 0.0.*positive"),
        (lambda: Soft(delta=-0.5), "delta is -0.5: the anti-Hebbian strength"),
        (
            lambda: ranking(random_drive(), k=13, delta=0.4),
            r"k is 13, but only 12 units",
        ),
        (lambda: ranking(random_drive(), k=1, delta=0.4), "k is 1"),
        (lambda: settle(random_drive(), w_inh=-1.0), "w_inh is -1.0"),
        (
            lambda: equilibrium(random_drive(), w_inh=0.5, h_star=-1.0, delta=0.4),
            "h_star is -1.0",
        ),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
