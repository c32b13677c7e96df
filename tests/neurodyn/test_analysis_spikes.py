"""Spike trains and spike counts, against loops, NumPy, Brian2 and closed forms."""

import itertools

import numpy as np
import pytest
import xarray as xr

from neurodyn import analysis
from neurodyn.engine import ambient


def train(times, cells, populations="exc", images=0, units="ms"):
    """Spike times [ms] with the cell, population and presentation of each."""
    size = len(times)
    coords = {
        "spike_unit": ("spike", np.broadcast_to(np.asarray(cells, int), size)),
        "spike_population": ("spike", np.broadcast_to(np.asarray(populations, str), size)),
        "spike_image": ("spike", np.broadcast_to(np.asarray(images, int), size)),
    }
    attrs = {"units": units, "long_name": "time of the spike"}
    return xr.DataArray(np.asarray(times, float), dims="spike", coords=coords, attrs=attrs)


# Cells 0 and 2 of exc, cell 0 of inh; the second presentation starts at 10 ms.
MIXED = train(
    [1.0, 2.0, 3.0, 4.5, 7.0, 9.0, 11.0, 12.0, 16.0],
    [0, 0, 2, 0, 0, 0, 0, 2, 0],
    ["exc", "inh", "exc", "exc", "inh", "exc", "exc", "exc", "exc"],
    [0] * 6 + [1] * 3,
)
EXC = MIXED[MIXED.spike_population == "exc"]
RUN = {"num_cells": 3, "duration_ms": 20.0, "dt_ms": 0.5, "width_ms": 2.0}


def many(num_cells=5, num_images=4, size=400, seed=0):
    """Spikes of two populations at random times; a presentation is 100 ms long."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.uniform(0, 100.0 * num_images, size))
    populations = rng.choice(["exc", "inh"], size)
    return train(times, rng.integers(num_cells, size=size), populations, times // 100)


def counts_of(values, dims=("image", "unit"), **coords):
    return xr.DataArray(np.array(values), dims=dims, coords=coords)


def poisson(num_images, means, seed=0):
    rng = np.random.default_rng(seed)
    return counts_of(rng.poisson(means, (num_images, len(means))))


COUNTS = counts_of([[2, 0, 1, 4], [4, 0, 1, 2], [6, 0, 1, 0]], unit=[3, 5, 7, 9])


def test_firing_rate_is_the_count_over_the_time():
    result = analysis.firing_rate(COUNTS, duration_ms=250.0)
    np.testing.assert_array_equal(result, COUNTS * 4.0)
    np.testing.assert_array_equal(result["unit"], [3, 5, 7, 9])
    import brian2 as b2

    second = analysis.firing_rate(COUNTS, duration_ms=0.25 * b2.second)
    np.testing.assert_array_equal(second, result)
    turned = analysis.firing_rate(COUNTS.transpose(), duration_ms=250.0)
    xr.testing.assert_identical(turned.transpose(), result)


@pytest.mark.parametrize("window", ["gaussian", "flat"])
@pytest.mark.parametrize(("dt_ms", "width_ms"), [(0.1, 3.0), (0.3, 1.0), (0.25, 0.1)])
def test_smooth_rate_is_that_of_brian2(window, dt_ms, width_ms):
    ambient.load_brian2()
    import brian2 as b2

    dt, num_steps = dt_ms * b2.ms, 400
    with ambient.preferences(codegen__target="numpy"), ambient.quiet_brian2():
        b2.seed(1)
        group = b2.PoissonGroup(7, 60 * b2.Hz, dt=dt)
        spikes, rates = b2.SpikeMonitor(group), b2.PopulationRateMonitor(group)
        b2.Network(group, spikes, rates).run(num_steps * dt)
        expected = rates.smooth_rate(window, width=width_ms * b2.ms) / b2.Hz
        times, cells = spikes.t / b2.ms, np.array(spikes.i)
        starts = np.array(rates.t / b2.ms)
    assert len(times) > 10
    result = analysis.smooth_rate(
        train(times, cells),
        num_cells=7,
        duration_ms=num_steps * dt_ms,
        dt_ms=dt_ms,
        width_ms=width_ms,
        window=window,
    )
    np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-12 * max(expected))
    np.testing.assert_allclose(result["time"], starts, rtol=1e-12)


def test_smooth_rate_of_one_spike_is_the_window():
    result = analysis.smooth_rate(train([4.0], 0), window="flat", **RUN)
    # 2 ms are 4 steps of 0.5 ms, so 5 are taken: 1 spike of 3 cells in 2.5 ms.
    inside = abs(result["time"] - 4) < 1.2
    np.testing.assert_allclose(result, inside * 1000 / (3 * 2.5), rtol=1e-14)
    smooth = analysis.smooth_rate(train([4.0], 0), **RUN)
    assert float(smooth.sum()) * 0.5 * 3 == pytest.approx(1000)  # one spike
    ratio = float(smooth.sel(time=6.0) / smooth.sel(time=4.0))
    assert ratio == pytest.approx(np.exp(-1 / 2))  # one standard deviation away
    outside = abs(smooth["time"] - 4) > 4.1
    assert not smooth[outside].any()
    assert smooth[~outside].all()


def test_a_window_longer_than_the_run_stays_centred():
    settings = RUN | {"duration_ms": 6.0, "width_ms": 40.0}
    result = analysis.smooth_rate(train([0.0, 3.0], 0), window="flat", **settings)
    assert result.sizes == {"time": 12}
    np.testing.assert_allclose(result, 2 * 1000 / (3 * 40.5), rtol=1e-14)
    peak = analysis.smooth_rate(train([3.0], 0), **settings)
    assert float(peak.idxmax("time")) == 3.0


def test_silence_has_rate_zero_and_no_intervals():
    silent = EXC[:0]
    assert not analysis.smooth_rate(silent, **RUN).any()
    assert analysis.inter_spike_intervals(silent).shape == (0,)
    assert np.isnan(analysis.cv(silent, num_cells=2)).all()


def test_intervals_by_hand():
    result = analysis.inter_spike_intervals(MIXED)
    np.testing.assert_array_equal(result, [3.5, 4.5, 5.0, 5.0])
    np.testing.assert_array_equal(result["interval_unit"], [0, 0, 0, 0])
    np.testing.assert_array_equal(result["interval_population"], ["exc"] * 3 + ["inh"])
    np.testing.assert_array_equal(result["interval_image"], [0, 0, 1, 0])


def test_intervals_agree_with_a_loop_in_any_order_of_spikes():
    spikes = many()
    shuffled = spikes[np.random.default_rng(1).permutation(spikes.size)]
    objects = shuffled.assign_coords(
        spike_population=shuffled["spike_population"].astype(object)
    )
    expected = []
    for population, unit, image in itertools.product(("exc", "inh"), range(5), range(4)):
        mine = [
            float(spike)
            for spike in spikes
            if spike["spike_population"] == population
            and spike["spike_unit"] == unit
            and spike["spike_image"] == image
        ]
        expected += [(b - a, population, unit) for a, b in itertools.pairwise(mine)]
    times, populations, units = zip(*expected, strict=True)
    for given in (spikes, shuffled, objects):
        result = analysis.inter_spike_intervals(given)
        np.testing.assert_array_equal(result, times)
        np.testing.assert_array_equal(result["interval_population"], populations)
        np.testing.assert_array_equal(result["interval_unit"], units)


def test_cv_by_hand():
    result = analysis.cv(EXC, num_cells=4)
    # Cell 0 has the intervals 3.5, 4.5 and 5 ms, cell 2 none within a presentation.
    mean = 13 / 3
    sd = np.sqrt(((3.5 - mean) ** 2 + (4.5 - mean) ** 2 + (5 - mean) ** 2) / 2)
    np.testing.assert_allclose(result, [sd / mean, np.nan, np.nan, np.nan], rtol=1e-14)
    np.testing.assert_array_equal(result["unit"], range(4))


def test_cv_agrees_with_a_loop():
    spikes = many()
    inh = spikes[spikes.spike_population == "inh"]
    intervals = analysis.inter_spike_intervals(inh)
    result = analysis.cv(inh, num_cells=6)
    for unit in range(5):
        mine = intervals.values[intervals["interval_unit"] == unit]
        expected = np.std(mine, ddof=1) / np.mean(mine)
        assert float(result[unit]) == pytest.approx(expected, rel=1e-12)
    assert np.isnan(result[5])


def test_cv_of_regular_and_of_random_spikes():
    regular = train(np.arange(0.0, 1000.0, 12.5), 0)
    assert float(analysis.cv(regular, num_cells=1)[0]) == pytest.approx(0, abs=1e-12)
    # A spike with probability p in each step: intervals are geometric, CV √(1 − p).
    p, steps = 0.3, np.random.default_rng(0).random((200_000, 2)) < 0.3
    time, unit = np.nonzero(steps)
    result = analysis.cv(train(0.5 * time, unit), num_cells=2)
    np.testing.assert_allclose(result, np.sqrt(1 - p), rtol=0.01)


def test_two_intervals_are_enough_and_one_is_not():
    spikes = train([0.0, 0.0, 1.0, 4.0, 4.0], [0, 1, 0, 0, 1])
    result = analysis.cv(spikes, num_cells=2)
    np.testing.assert_allclose(result, [np.sqrt(2) / 2, np.nan], rtol=1e-14)


def test_fano_factor_by_hand():
    result = analysis.fano_factor(COUNTS)
    np.testing.assert_array_equal(result, [1.0, np.nan, 0.0, 2.0])
    np.testing.assert_array_equal(result["unit"], [3, 5, 7, 9])


def test_fano_factor_of_poisson_counts_is_one():
    result = analysis.fano_factor(poisson(20_000, [0.5, 3.0, 40.0]))
    np.testing.assert_allclose(result, 1, atol=0.05)  # standard error 0.01


def test_fano_factor_of_each_trial_is_that_of_numpy():
    values = np.random.default_rng(0).integers(0, 9, (2, 6, 3))
    result = analysis.fano_factor(counts_of(values, ("trial", "image", "unit")))
    expected = values.var(1, ddof=1) / values.mean(1)
    np.testing.assert_allclose(result.transpose("trial", "unit"), expected, rtol=1e-14)


def test_correlation_is_that_of_numpy():
    values = np.random.default_rng(0).integers(0, 9, (2, 30, 5))
    result = analysis.pairwise_correlation(counts_of(values, ("trial", "image", "unit")))
    assert result.dims == ("trial", "unit", "unit_")
    for trial in range(2):
        expected = np.corrcoef(values[trial].T)
        np.testing.assert_allclose(result[trial], expected, atol=1e-14)


def test_correlation_by_hand():
    result = analysis.pairwise_correlation(COUNTS)
    nan = np.nan
    expected = [[1, nan, nan, -1], [nan] * 4, [nan] * 4, [-1, nan, nan, 1]]
    np.testing.assert_allclose(result, expected, rtol=1e-14)
    for dim in ("unit", "unit_"):
        np.testing.assert_array_equal(result[dim], [3, 5, 7, 9])
    assert (abs(result.fillna(0)) <= 1).all()


def test_a_missing_count_is_missing_in_its_cell_only():
    missing = COUNTS.astype(float)
    missing[1, 3] = np.nan
    fano, complete = analysis.fano_factor(missing), analysis.fano_factor(COUNTS)
    np.testing.assert_array_equal(fano, [*complete[:3], np.nan])
    expected = analysis.pairwise_correlation(COUNTS)
    expected[3], expected[:, 3] = np.nan, np.nan
    np.testing.assert_array_equal(analysis.pairwise_correlation(missing), expected)
    rates = analysis.firing_rate(missing, duration_ms=1000.0)
    np.testing.assert_array_equal(rates, missing)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.int64, np.float32])
def test_counts_of_any_type_give_the_same(kind):
    given = COUNTS.astype(kind)
    for function in (analysis.fano_factor, analysis.pairwise_correlation):
        xr.testing.assert_identical(function(given), function(COUNTS))
    rates = [analysis.firing_rate(each, duration_ms=350.0) for each in (given, COUNTS)]
    xr.testing.assert_identical(*rates)


def test_selectivity_takes_integer_counts():
    """Means of class 0: 3, 0, 1, 3; of class 1: 6, 0, 1, 0."""
    labels = xr.DataArray([0, 0, 1], dims="image")
    for kind in (np.uint8, np.int64):
        result = analysis.selectivity(COUNTS.astype(kind), labels)
        np.testing.assert_allclose(result, [3 / 9, 0, 0, 1], rtol=1e-6)
        np.testing.assert_array_equal(result["preferred"], [1, -1, 0, 0])


@pytest.mark.parametrize(
    ("result", "name", "units"),
    [
        (analysis.firing_rate(COUNTS, duration_ms=1.0), "firing_rate", "Hz"),
        (analysis.smooth_rate(EXC, **RUN), "smooth_rate", "Hz"),
        (analysis.inter_spike_intervals(EXC), "inter_spike_intervals", "ms"),
        (analysis.cv(EXC, num_cells=3), "cv", "1"),
        (analysis.fano_factor(COUNTS), "fano_factor", "1"),
        (analysis.pairwise_correlation(COUNTS), "pairwise_correlation", "1"),
    ],
)
def test_results_say_what_they_are(result, name, units):
    assert result.name == name
    assert result.attrs["units"] == units
    assert result.attrs["long_name"]


SPIKES = [
    lambda spikes: analysis.smooth_rate(spikes, **RUN),
    analysis.inter_spike_intervals,
    lambda spikes: analysis.cv(spikes, num_cells=3),
]


@pytest.mark.parametrize("function", SPIKES)
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (EXC.rename(spike="time"), r"dims \('time',\): spike times with the dim spike"),
        (EXC.expand_dims("trial"), "and no other .select one trial"),
        (EXC.drop_vars("spike_image"), "no coordinate spike_image: give the cell, popul"),
        (
            EXC.reset_coords(drop=True),
            "no coordinate spike_unit, spike_population, spike_i",
        ),
        (train([0.1], 0, units="s"), "spikes are in s: times in ms are needed, so convert"),
        (train([1.0, np.nan], 0), r"not finite: leave them out \(1 of 2 are NaN"),
    ],
)
def test_what_is_not_a_spike_train_is_refused(function, wrong, message):
    with pytest.raises(ValueError, match=message):
        function(wrong)


@pytest.mark.parametrize("function", [SPIKES[0], SPIKES[2]])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (MIXED, r'of exc, inh: select one .* spikes\[spikes.spike_population == "exc"\]'),
        (train([1.0], 3), "num_cells is 3, the spikes are of cells 3 to 3: give the size"),
        (train([1.0, 2.0], [0, -1]), "of cells -1 to 0: .* numbered from 0"),
    ],
)
def test_spikes_of_other_cells_are_refused(function, wrong, message):
    with pytest.raises(ValueError, match=message):
        function(wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_cells": 0}, "num_cells is 0: at least 1 is needed"),
        ({"duration_ms": -1.0}, "duration_ms is -1.0: it must be positive and finite"),
        ({"dt_ms": 0.0}, "dt_ms is 0.0: it must be positive"),
        ({"width_ms": np.inf}, "width_ms is inf: it must be positive and finite"),
        ({"dt_ms": 0.3}, "20, not a whole number of time steps of 0.3 ms: give the dt_ms"),
        ({"duration_ms": 15.0}, "1 of 7 spikes lie outside the run of 15 ms: give the dur"),
        ({"window": "hann"}, "window is 'hann': give 'gaussian' or 'flat'"),
    ],
)
def test_smooth_rate_refuses_settings_that_do_not_fit(wrong, message):
    with pytest.raises(ValueError, match=message):
        analysis.smooth_rate(EXC, **RUN | wrong)


def test_spikes_before_the_run_are_refused():
    with pytest.raises(ValueError, match="1 of 2 spikes lie outside"):
        analysis.smooth_rate(train([-1.0, 3.0], 0), **RUN)
    with pytest.raises(ValueError, match="1 of 1 spikes lie outside"):
        analysis.smooth_rate(train([20.0], 0), **RUN)


COUNTING = [
    lambda counts: analysis.firing_rate(counts, duration_ms=350.0),
    analysis.fano_factor,
    analysis.pairwise_correlation,
]


@pytest.mark.parametrize("function", COUNTING)
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (COUNTS - 1, "counts hold -1: whole numbers from 0 are needed.* .4 of 12 are not"),
        (COUNTS / 4, r"hold 0.5: .* so give numbers of spikes, not rates \(6 of 12 are"),
        (COUNTS.where(COUNTS > 0, np.inf), "counts hold inf: whole numbers"),
        (COUNTS.astype(str), "real numbers are needed"),
        (COUNTS[0], r"dims \('unit',\), image is needed too"),
        (COUNTS[:, :0], "no values along unit"),
    ],
)
def test_what_is_no_count_is_refused(function, wrong, message):
    with pytest.raises(ValueError, match=message):
        function(wrong)


def test_other_settings_of_counts_are_refused():
    with pytest.raises(ValueError, match=r"duration_ms is 0.0: it must be positive"):
        analysis.firing_rate(COUNTS, duration_ms=0.0)
    for function in COUNTING[1:]:
        with pytest.raises(ValueError, match="of 1 image: a variance over images needs 2"):
            function(COUNTS[:1])
