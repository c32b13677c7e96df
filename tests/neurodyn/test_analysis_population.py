"""Populations, classes, currents and weights, against loops and closed forms."""

import itertools

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from neurodyn import analysis

FIELDS = xr.DataArray([[3.0, -4.0], [0.0, 0.0], [1.0, 0.0]], dims=("unit", "pixel"))


def activity_of(values, dims=("time", "unit")):
    return xr.DataArray(np.array(values, dtype=float), dims=dims)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def finite(*shape):
    return arrays(float, shape, elements=st.floats(-100, 100))


def images(values, **coords):
    return xr.DataArray(np.array(values), dims="image", coords=coords)


def test_population_rate_is_the_mean_of_what_is_above_zero():
    activity = activity_of([[1.0, -3.0, 2.0], [-1.0, -1.0, -1.0]])
    np.testing.assert_array_equal(analysis.population_rate(activity), [1.0, 0.0])
    trials = xr.concat([activity, 2 * activity], "trial")
    result = analysis.population_rate(trials)
    assert result.sizes == {"trial": 2, "time": 2}
    np.testing.assert_array_equal(result, [[1.0, 0.0], [2.0, 0.0]])


@pytest.mark.parametrize("shape", [(30, 4), (3, 10)])  # more and fewer samples than units
def test_participation_ratio_is_that_of_the_covariance(shape):
    values = normal(*shape) * np.geomspace(1, 10, shape[1]) + 5
    covariance = np.cov(values.T)
    expected = np.trace(covariance) ** 2 / np.trace(covariance @ covariance)
    result = analysis.participation_ratio(activity_of(values))
    assert float(result) == pytest.approx(expected, rel=1e-12)
    spectrum = np.sort(np.linalg.eigvalsh(covariance))[::-1] / np.trace(covariance)
    fractions = analysis.explained_variance(activity_of(values))
    np.testing.assert_allclose(fractions, spectrum[: min(shape)], atol=1e-12)
    np.testing.assert_array_equal(fractions["component"], 1 + np.arange(min(shape)))


def test_one_direction_has_dimension_one_and_equal_ones_their_number():
    line = np.outer(normal(20), [1.0, -2.0, 3.0])
    assert float(analysis.participation_ratio(activity_of(line))) == pytest.approx(1)
    corners = list(itertools.product([0.0, 1.0], repeat=3))  # of covariance ¼ 1
    assert float(analysis.participation_ratio(activity_of(corners))) == pytest.approx(3)


def test_participation_ratio_of_images_and_of_each_trial():
    values = normal(2, 9, 4)
    both = activity_of(values, ("trial", "image", "unit"))
    result = analysis.participation_ratio(both, dim="image")
    assert result.dims == ("trial",)
    for trial in range(2):
        alone = analysis.participation_ratio(both.isel(trial=trial), dim="image")
        assert float(result[trial]) == pytest.approx(float(alone), rel=1e-13)


@settings(derandomize=True, deadline=None, max_examples=50)
@given(finite(6, 3), st.floats(1e-150, 1e150))
def test_participation_ratio_lies_between_one_and_the_units_at_any_scale(values, scale):
    activity = activity_of(np.concatenate([values, values[:1] + 1])) * scale
    ratio = float(analysis.participation_ratio(activity))
    assert 1 - 1e-9 <= ratio <= 3 + 1e-9
    fractions = analysis.explained_variance(activity)
    assert float(fractions.sum()) == pytest.approx(1)
    assert (np.diff(fractions) <= 0).all()


def test_what_does_not_vary_has_no_dimensionality():
    for values in (np.full((7, 3), 0.1), np.ones((1, 3))):
        with pytest.raises(
            ValueError, match="does not vary along time: it has no dimension"
        ):
            analysis.participation_ratio(activity_of(values))
    one_of_two = activity_of([normal(5, 2), np.ones((5, 2))], ("trial", "time", "unit"))
    with pytest.raises(ValueError, match="does not vary along time"):
        analysis.participation_ratio(one_of_two)


def test_participation_ratio_refuses_values_that_are_not_finite_and_the_dim_unit():
    with pytest.raises(ValueError, match="values that are not finite: leave them out"):
        analysis.participation_ratio(activity_of([[0.0, np.nan], [1.0, 2.0]]))
    with pytest.raises(ValueError, match="dim is 'unit': give the dim of the samples"):
        analysis.participation_ratio(activity_of(normal(4, 3)), dim="unit")
    with pytest.raises(ValueError, match="image is needed too"):
        analysis.participation_ratio(activity_of(normal(4, 3)), dim="image")


def test_selectivity_by_hand():
    activity = activity_of(
        [
            [2.0, 1.0, -1.0, 0.0],
            [4.0, 1.0, -1.0, 3.0],
            [1.0, 1.0, -2.0, 0.0],  # class 5: mean rates 1, 1, 0, 0
            [-8.0, 1.0, -3.0, 0.0],  # class 9: rates 0, 1, 0, 0
        ],
        ("image", "unit"),
    )
    result = analysis.selectivity(activity, images([7, 7, 5, 9]))
    # Unit 0 has 3 for class 7, and a mean of (1 + 0) / 2 for the others.
    np.testing.assert_allclose(result, [2.5 / 3.5, 0.0, 0.0, 1.0], rtol=1e-15)
    np.testing.assert_array_equal(result["preferred"], [7, 5, -1, 7])


def test_selectivity_of_trials_agrees_with_a_loop():
    values, labels = normal(3, 40, 5), np.random.default_rng(1).integers(0, 4, 40)
    activity = activity_of(values, ("trial", "image", "unit"))
    result = analysis.selectivity(activity, images(labels)).transpose("trial", "unit")
    for trial, unit in itertools.product(range(3), range(5)):
        rates = np.maximum(values[trial, :, unit], 0)
        means = [rates[labels == name].mean() for name in range(4)]
        others = (sum(means) - max(means)) / 3
        expected = (max(means) - others) / (max(means) + others)
        assert float(result[trial, unit]) == pytest.approx(expected, rel=1e-12)
        assert result["preferred"].transpose("trial", "unit")[trial, unit] == np.argmax(
            means
        )


@settings(derandomize=True, deadline=None, max_examples=50)
@given(finite(6, 4), st.lists(st.integers(0, 2), min_size=4, max_size=4))
def test_selectivity_lies_between_zero_and_one(values, more):
    labels = images([0, 1, *more])
    result = analysis.selectivity(activity_of(values, ("image", "unit")), labels)
    assert ((result >= -1e-12) & (result <= 1)).all()
    assert (result.where(result["preferred"] < 0, 0) == 0).all()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (images([0.0, 1.0]), r"type float64: give an integer for each image"),
        (xr.DataArray([0, 1], dims="unit"), r"labels have dims \('unit',\)"),
        (images([3, 3]), "all labels are 3: selectivity needs two classes"),
        (images([0, 1, 2]), r"differ along image \(2 and 3 values\)"),
        (images([0, 1], image=[1, 0]), "differ along image .*in the same order"),
    ],
)
def test_selectivity_refuses_labels_that_do_not_fit(labels, message):
    activity = activity_of(normal(2, 3), ("image", "unit")).assign_coords(image=[0, 1])
    with pytest.raises(ValueError, match=message):
        analysis.selectivity(activity, labels)


def test_e_i_balance_by_hand():
    excitation, inhibition = (
        activity_of([[1.0, 3.0, 0.0, 0.0]]),
        activity_of([[1, 1, 2, 0]]),
    )
    result = analysis.e_i_balance(excitation, inhibition)
    np.testing.assert_array_equal(result, [[0.0, 0.5, -1.0, 0.0]])


@settings(derandomize=True, deadline=None, max_examples=50)
@given(finite(2, 5))
def test_e_i_balance_is_bounded_and_turns_its_sign(values):
    first, second = activity_of(abs(values))
    first, second = xr.DataArray(first, dims="unit"), xr.DataArray(second, dims="unit")
    balance = analysis.e_i_balance(first, second)
    assert (abs(balance) <= 1).all()
    np.testing.assert_array_equal(balance, -analysis.e_i_balance(second, first))


def test_e_i_balance_refuses_what_is_no_size_of_a_current():
    good = activity_of([[1.0, 2.0]])
    with pytest.raises(
        ValueError, match="inhibition goes down to -2: currents must be 0 or"
    ):
        analysis.e_i_balance(good, -good)
    with pytest.raises(ValueError, match="excitation goes down to nan"):
        analysis.e_i_balance(good * np.nan, good)
    with pytest.raises(ValueError, match="differ along unit"):
        analysis.e_i_balance(good, good.isel(unit=[0]))


@pytest.mark.parametrize("p", [0.5, 1, 2.0, 3.0])
def test_weight_norms(p):
    result = analysis.weight_norms(FIELDS, p=p)
    np.testing.assert_allclose(result, [(3**p + 4**p) ** (1 / p), 0, 1], rtol=1e-14)
    history = xr.concat([FIELDS, 2 * FIELDS], "image")
    np.testing.assert_allclose(
        analysis.weight_norms(history, p=p).isel(image=1), 2 * result, rtol=1e-14
    )


@pytest.mark.parametrize("p", [0, -1.0, np.inf, np.nan])
def test_weight_norms_refuse_other_powers(p):
    with pytest.raises(ValueError, match=rf"p is {p}: it must be positive and finite"):
        analysis.weight_norms(FIELDS, p=p)


def test_sign_violations():
    assert analysis.sign_violations(FIELDS, sign=1) == 1
    assert analysis.sign_violations(FIELDS, sign=-1) == 2
    assert analysis.sign_violations(0 * FIELDS, sign=-1) == 0
    history = xr.concat([FIELDS, -FIELDS, -0.0 * FIELDS], "image")
    result = analysis.sign_violations(history.expand_dims("trial"), sign=1)
    assert result.sizes == {"trial": 1, "image": 3}
    np.testing.assert_array_equal(result[0], [1, 2, 0])


def test_each_column_may_have_its_sign():
    columns = xr.DataArray([-1, 1], dims="pixel")
    assert analysis.sign_violations(FIELDS, sign=columns) == 3
    assert analysis.sign_violations(FIELDS, sign=-columns) == 0
    assert analysis.sign_violations(FIELDS, sign=columns * [0, 1]) == 1


@settings(derandomize=True, deadline=None, max_examples=50)
@given(finite(4, 3))
def test_every_weight_violates_one_sign_or_is_zero(values):
    weights = activity_of(values, ("unit", "pixel"))
    wrong = sum(int(analysis.sign_violations(weights, sign=sign)) for sign in (1, -1))
    assert wrong == np.count_nonzero(values)


def test_sign_violations_refuse_other_signs():
    for sign in (0, 2, xr.DataArray([0.5, 1.0], dims="pixel")):
        with pytest.raises(ValueError, match=r"it must be 1 or −1, or an array of 1, −1"):
            analysis.sign_violations(FIELDS, sign=sign)
    with pytest.raises(ValueError, match="image is needed too"):
        analysis.sign_violations(FIELDS, sign=xr.DataArray([1, 1], dims="image"))
    with pytest.raises(ValueError, match=r"differ along pixel \(2 and 3 values\)"):
        analysis.sign_violations(FIELDS, sign=xr.DataArray([1, 1, 1], dims="pixel"))


def test_shuffled_receptive_fields_are_found_again():
    first = activity_of(normal(6, 10), ("unit", "pixel")).assign_coords(unit=range(10, 16))
    order = np.random.default_rng(1).permutation(6)
    second = (2 * first).isel(unit=order)
    result = analysis.receptive_field_similarity(first, second.transpose())
    assert result.dims == ("unit",)
    np.testing.assert_allclose(result, 1, rtol=1e-14)
    np.testing.assert_array_equal(result["unit"], first["unit"])
    np.testing.assert_array_equal(result["match"], first["unit"])  # names, not places


def test_the_matching_is_the_best_of_all():
    first, second = (
        activity_of(normal(4, 3, seed=seed), ("unit", "pixel")) for seed in (0, 1)
    )
    rows = [array / np.linalg.norm(array, axis=1)[:, None] for array in (first, second)]
    cosines = np.array(rows[0]) @ np.array(rows[1]).T
    best = max(
        itertools.permutations(range(4)), key=lambda order: cosines[range(4), order].sum()
    )
    result = analysis.receptive_field_similarity(first, second)
    np.testing.assert_array_equal(result["match"], best)
    np.testing.assert_allclose(result, cosines[range(4), best], rtol=1e-12)


def test_fields_of_zeros_are_like_no_other():
    result = analysis.receptive_field_similarity(FIELDS, FIELDS)
    np.testing.assert_allclose(result, [1, 0, 1])
    np.testing.assert_array_equal(result["match"], [0, 1, 2])


def test_receptive_fields_that_cannot_be_matched_are_refused():
    with pytest.raises(ValueError, match="3 and 2 units cannot be matched one to one"):
        analysis.receptive_field_similarity(FIELDS, FIELDS.isel(unit=[0, 1]))
    with pytest.raises(ValueError, match=r"differ along pixel \(2 and 1 values\)"):
        analysis.receptive_field_similarity(FIELDS, FIELDS.isel(pixel=[0]))
    with pytest.raises(ValueError, match="and no other \\(select one presentation"):
        analysis.receptive_field_similarity(FIELDS.expand_dims("image"), FIELDS)


RATES = activity_of(normal(6, 3))
ENDS = RATES.rename(time="image")


@pytest.mark.parametrize(
    ("result", "name"),
    [
        (analysis.population_rate(RATES), "population_rate"),
        (analysis.participation_ratio(RATES), "participation_ratio"),
        (analysis.explained_variance(RATES), "explained_variance"),
        (analysis.selectivity(ENDS, images([0, 1] * 3)), "selectivity"),
        (analysis.e_i_balance(abs(RATES), abs(RATES)), "e_i_balance"),
        (analysis.weight_norms(FIELDS), "weight_norms"),
        (analysis.sign_violations(FIELDS, sign=1), "sign_violations"),
        (analysis.receptive_field_similarity(FIELDS, FIELDS), "receptive_field_similarity"),
    ],
)
def test_results_say_what_they_are(result, name):
    assert result.name == name
    assert result.attrs["units"] == "1"
    assert result.attrs["long_name"]


@pytest.mark.parametrize(
    ("function", "missing"),
    [
        (lambda: analysis.population_rate(RATES.isel(unit=0)), "unit"),
        (lambda: analysis.participation_ratio(RATES.isel(unit=0)), "unit"),
        (lambda: analysis.selectivity(RATES, images([0, 1])), "image"),
        (lambda: analysis.weight_norms(RATES), "pixel"),
    ],
)
def test_a_missing_dim_is_named(function, missing):
    with pytest.raises(ValueError, match=f"{missing} is needed too"):
        function()
