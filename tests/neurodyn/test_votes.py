"""Labels of cells and votes for classes, by hand, against loops and scikit-learn."""

import numpy as np
import pytest
import xarray as xr
from sklearn import metrics

from neurodyn import analysis

COUNTS = xr.DataArray(
    [
        [4, 0, 1, 0, 2],
        [2, 1, 1, 0, 2],
        [0, 5, 1, 0, 1],
        [0, 4, 2, 0, 0],
        [0, 0, 0, 0, 0],
    ],
    dims=("image", "unit"),
    coords={"unit": [2, 3, 5, 7, 11]},
)


def of_images(values):
    return xr.DataArray(np.array(values), dims="image")


def of_cells(values):
    return xr.DataArray(np.array(values), dims="unit")


LABELS = of_images([0, 0, 2, 2, 2])


def at_random(seed, num_images=100, num_cells=30, num_classes=4):
    """Counts, with ties and with silent images and cells, and labels."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rng.uniform(0, 1, num_cells), (num_images, num_cells))
    counts[::7], counts[:, ::5] = 0, 0
    labels = rng.integers(num_classes, size=num_images)
    labels[:num_classes] = range(num_classes)
    return xr.DataArray(counts, dims=("image", "unit")), of_images(labels)


def first_largest(scores):
    """The first class of the largest score, −1 if none is above 0."""
    return scores.index(max(scores)) if max(scores) > 0 else -1


def test_labels_may_be_a_plain_array():
    named = analysis.class_responses(COUNTS, LABELS)
    for labels in (LABELS.values, LABELS.values.tolist()):
        plain = analysis.class_responses(COUNTS, labels)
        xr.testing.assert_identical(plain, named)
    predicted = of_images([0, 0, 1, 2, -1])
    xr.testing.assert_identical(
        analysis.confusion_matrix(LABELS.values, predicted, num_classes=3),
        analysis.confusion_matrix(LABELS, predicted, num_classes=3),
    )
    with pytest.raises(
        ValueError, match=r"labels have shape \(2,\): \(5,\) is needed, the"
    ):
        analysis.class_responses(COUNTS, [0, 1])
    with pytest.raises(ValueError, match=r"labels go from 0 to 100000.* from 0 to 9999"):
        analysis.class_responses(COUNTS, [0, 1, 2, 3, 10**9])
    with pytest.raises(ValueError, match="num_classes is 0: at least 1 class is needed"):
        analysis.class_responses(COUNTS, LABELS, num_classes=0)
    with pytest.raises(ValueError, match=r"num_classes is 2\.5: a whole number is needed"):
        analysis.confusion_matrix(LABELS, predicted, num_classes=2.5)


def test_arrays_without_named_dims_are_refused():
    message = "the array is a ndarray, without names of its dims: give a trace, or xr.Dat"
    for analyse in (
        lambda: analysis.class_responses(COUNTS.values, LABELS),
        lambda: analysis.assign_labels(COUNTS.values),
        lambda: analysis.vote(COUNTS, LABELS.values),
        lambda: analysis.firing_rate(COUNTS.values, duration_ms=1.0),
        lambda: analysis.inter_spike_intervals(np.ones(3)),
    ):
        with pytest.raises(ValueError, match=message):
            analyse()


def test_responses_are_mean_counts_by_hand():
    responses = analysis.class_responses(COUNTS, LABELS, num_classes=4)
    nan = np.nan
    expected = [
        [3, nan, 0, nan],
        [0.5, nan, 3, nan],
        [1, nan, 1, nan],
        [0, nan, 0, nan],
        [2, nan, 1 / 3, nan],
    ]
    np.testing.assert_array_equal(responses, expected)
    assert responses.dims == ("unit", "class")
    np.testing.assert_array_equal(responses["class"], range(4))
    np.testing.assert_array_equal(responses["unit"], COUNTS["unit"])
    fewer = analysis.class_responses(COUNTS, LABELS)
    xr.testing.assert_identical(fewer, responses[:, :3])


def test_a_cell_gets_the_class_of_its_largest_response():
    responses = analysis.class_responses(COUNTS, LABELS, num_classes=4)
    assigned = analysis.assign_labels(responses)
    np.testing.assert_array_equal(assigned, [0, 2, 0, -1, 0])  # cell 5 has a tie
    assert assigned.dtype.kind == "i"
    assert assigned.dims == ("unit",)
    np.testing.assert_array_equal(assigned["unit"], COUNTS["unit"])


def test_votes_by_hand():
    assigned = analysis.assign_labels(analysis.class_responses(COUNTS, LABELS))
    # Three cells have class 0, one class 2: means 7/3 > 0, 5/3 > 1, 2/3 < 5, 2/3 < 4.
    result = analysis.vote(COUNTS, assigned)
    np.testing.assert_array_equal(result, [0, 0, 2, 2, -1])
    assert result.dtype.kind == "i"
    assert result.dims == ("image",)


def test_a_large_group_has_no_advantage():
    counts = xr.DataArray([[2, 2, 2, 3]], dims=("image", "unit"))
    np.testing.assert_array_equal(analysis.vote(counts, of_cells([0, 0, 0, 1])), [1])


def test_ties_go_to_the_first_class():
    counts = xr.DataArray([[1, 0, 1, 1, 0, 1]], dims=("image", "unit"))
    assigned = of_cells([4, 2, 2, 4, 4, -1])  # ½ for class 2, ⅔ for class 4
    np.testing.assert_array_equal(analysis.vote(counts, assigned), [4])
    even = of_cells([4, 2, 2, -1, 4, -1])
    np.testing.assert_array_equal(analysis.vote(counts, even), [2])


def test_cells_without_a_class_have_no_vote():
    counts = xr.DataArray([[9, 0], [9, 1]], dims=("image", "unit"))
    np.testing.assert_array_equal(analysis.vote(counts, of_cells([-1, 1])), [-1, 1])
    np.testing.assert_array_equal(analysis.vote(counts, of_cells([-1, -1])), [-1, -1])


def test_a_selective_cell_has_more_weight():
    responses = xr.DataArray([[4.0, 0.0], [3.0, 5.0]], dims=("unit", "class"))
    counts = xr.DataArray([[5, 6], [5, 9]], dims=("image", "unit"))
    assigned = analysis.assign_labels(responses)
    np.testing.assert_array_equal(analysis.vote(counts, assigned), [1, 1])
    # The second cell's counts are multiplied by 5/8: 3.75 and 5.625.
    np.testing.assert_array_equal(analysis.weighted_vote(counts, responses), [0, 1])


@pytest.mark.parametrize("seed", range(5))
def test_everything_agrees_with_loops(seed):
    """The loops of Diehl & Cook, and of BindsNET's `proportion_weighting`."""
    counts, labels = at_random(seed)
    responses = analysis.class_responses(counts, labels)
    assigned = analysis.assign_labels(responses)
    means, groups = [], {name: [] for name in range(-1, 4)}
    for cell in range(30):
        mine = [counts.values[labels == name, cell].mean() for name in range(4)]
        np.testing.assert_allclose(responses[cell], mine, rtol=1e-14)
        groups[first_largest(mine)].append(cell)
        means.append(mine)
    for name, cells in groups.items():
        np.testing.assert_array_equal(np.flatnonzero(assigned == name), cells)
    votes, weighted = [], []
    for image in counts.values:
        plain, shares = [0.0] * 4, [0.0] * 4
        for name in range(4):
            for cell in groups[name]:
                plain[name] += image[cell] / len(groups[name])
                share = means[cell][name] / sum(means[cell])
                shares[name] += image[cell] * share / len(groups[name])
        votes.append(first_largest([round(score, 12) for score in plain]))
        weighted.append(first_largest(shares))
    np.testing.assert_array_equal(analysis.vote(counts, assigned), votes)
    np.testing.assert_array_equal(analysis.weighted_vote(counts, responses), weighted)
    assert set(votes) == {-1, 0, 1, 2, 3}
    assert weighted != votes


def test_cells_that_respond_to_one_class_only_vote_without_error():
    labels = of_images(np.repeat(range(3), 10))
    rng = np.random.default_rng(0)
    preferred = rng.integers(3, size=20)
    counts = (1 + rng.poisson(3.0, (30, 20))) * (labels.values[:, None] == preferred)
    counts = xr.DataArray(counts, dims=("image", "unit"))
    responses = analysis.class_responses(counts, labels)
    for predicted in (
        analysis.vote(counts, analysis.assign_labels(responses)),
        analysis.weighted_vote(counts, responses),
    ):
        np.testing.assert_array_equal(predicted, labels)


def test_the_order_of_dims_does_not_matter():
    counts, labels = at_random(0)
    responses = analysis.class_responses(counts, labels)
    turned = analysis.class_responses(counts.transpose(), labels)
    xr.testing.assert_identical(turned, responses)
    xr.testing.assert_identical(
        analysis.weighted_vote(counts.transpose(), responses.transpose()),
        analysis.weighted_vote(counts, responses),
    )


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float32])
def test_counts_of_any_type_give_the_same(kind):
    counts, labels = at_random(1)
    responses = analysis.class_responses(counts, labels)
    given = counts.astype(kind)
    xr.testing.assert_identical(
        analysis.class_responses(given, labels.astype(np.uint8)), responses
    )
    xr.testing.assert_identical(
        analysis.weighted_vote(given, responses), analysis.weighted_vote(counts, responses)
    )


def test_confusion_matrix_by_hand():
    predicted = of_images([0, 1, 2, -1, -1])
    matrix = analysis.confusion_matrix(LABELS, predicted, num_classes=3)
    np.testing.assert_array_equal(matrix, [[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 2]])
    assert matrix.dims == ("label", "predicted")
    np.testing.assert_array_equal(matrix["predicted"], [0, 1, 2, -1])
    np.testing.assert_array_equal(matrix["label"], [0, 1, 2])


def test_confusion_matrix_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(5, size=200), rng.integers(-1, 5, size=200)
    matrix = analysis.confusion_matrix(
        of_images(labels), of_images(predicted), num_classes=5
    )
    classes = [*range(5), -1]
    expected = metrics.confusion_matrix(labels, predicted, labels=classes)[:5]
    np.testing.assert_array_equal(matrix, expected)
    assert matrix.sum() == 200


RESPONSES = analysis.class_responses(COUNTS, LABELS)
ASSIGNED = analysis.assign_labels(RESPONSES)


@pytest.mark.parametrize(
    ("result", "name"),
    [
        (RESPONSES, "class_responses"),
        (ASSIGNED, "assigned_labels"),
        (analysis.vote(COUNTS, ASSIGNED), "vote"),
        (analysis.weighted_vote(COUNTS, RESPONSES), "vote"),
        (analysis.confusion_matrix(LABELS, LABELS, num_classes=3), "confusion_matrix"),
    ],
)
def test_results_say_what_they_are(result, name):
    assert result.name == name
    assert result.attrs["units"] == "1"
    assert result.attrs["long_name"]


@pytest.mark.parametrize(
    "function",
    [
        lambda counts: analysis.class_responses(counts, LABELS),
        lambda counts: analysis.vote(counts, ASSIGNED),
        lambda counts: analysis.weighted_vote(counts, RESPONSES),
    ],
)
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (COUNTS - 1, "counts hold -1: whole numbers from 0 are needed"),
        (COUNTS / 4, r"counts hold 0.25: .* not rates \(10 of 25 are not\)"),
        (COUNTS.where(COUNTS > 0), r"counts .* not finite: leave them out \(13 of 25"),
        (COUNTS[0], "image is needed too"),
        (COUNTS[:0], "no values along image"),
        (COUNTS[:, 0], "unit is needed too"),
    ],
)
def test_what_is_no_count_is_refused(function, wrong, message):
    with pytest.raises(ValueError, match=message):
        function(wrong)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS.astype(float), "type float64: give an integer for each image, with the d"),
        (LABELS.rename(image="unit"), r"labels have dims \('unit',\)"),
        (LABELS - 1, "labels go from -1 to 1: classes are numbered from 0 to 2 here"),
        (LABELS + 1, "labels go from 1 to 3: .* give another num_classes"),
        (LABELS[:3], r"differ along image \((5 and 3|3 and 5) values\)"),
        (LABELS[:0], "no values along image"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        analysis.class_responses(COUNTS, labels, num_classes=3)
    with pytest.raises(ValueError, match=message):
        analysis.confusion_matrix(labels, LABELS, num_classes=3)


def test_labels_are_numbered_from_zero_without_a_number_of_classes_too():
    with pytest.raises(
        ValueError, match="go from -1 to 1: classes are numbered from 0 to 9999"
    ):
        analysis.class_responses(COUNTS, LABELS - 1)


@pytest.mark.parametrize(
    ("assigned", "message"),
    [
        (
            ASSIGNED * 1.0,
            "assigned have dims .* type float64: give an integer for each unit",
        ),
        (ASSIGNED.expand_dims("trial"), r"assigned have dims \('trial', 'unit'\)"),
        (ASSIGNED - 1, "assigned go from -2 to 1: classes are numbered from -1 to 9999"),
        (ASSIGNED[:4], r"differ along unit \(5 and 4 values\)"),
        (ASSIGNED[::-1], "both must have the same, in the same order"),
    ],
)
def test_classes_of_other_cells_are_refused(assigned, message):
    with pytest.raises(ValueError, match=message):
        analysis.vote(COUNTS, assigned)


@pytest.mark.parametrize(
    ("responses", "message"),
    [
        (RESPONSES - 1, "responses go from -1 to 2: mean spike counts are 0 or more"),
        (RESPONSES + np.inf, "responses go from inf to inf: .* result of class_responses"),
        (RESPONSES[:, 0], "class is needed too"),
        (RESPONSES[:, :0], "no values along class"),
        (RESPONSES.astype(str), "real numbers are needed"),
    ],
)
def test_what_is_no_response_is_refused(responses, message):
    with pytest.raises(ValueError, match=message):
        analysis.assign_labels(responses)
    with pytest.raises(ValueError, match=message):
        analysis.weighted_vote(COUNTS, responses)


def test_responses_of_other_cells_are_refused():
    with pytest.raises(ValueError, match=r"differ along unit \(5 and 4 values\)"):
        analysis.weighted_vote(COUNTS, RESPONSES[:4])


@pytest.mark.parametrize(
    ("predicted", "message"),
    [
        (LABELS.astype(float), "predicted have dims .* type float64"),
        (LABELS - 2, "predicted go from -2 to 0: classes are numbered from -1 to 2"),
        (LABELS + 1, "predicted go from 1 to 3"),
        (LABELS[:3], "differ along image"),
    ],
)
def test_predictions_that_do_not_fit_are_refused(predicted, message):
    with pytest.raises(ValueError, match=message):
        analysis.confusion_matrix(LABELS, predicted, num_classes=3)


def test_a_confusion_matrix_has_a_class():
    with pytest.raises(ValueError, match="num_classes is 0: at least 1"):
        analysis.confusion_matrix(LABELS, LABELS, num_classes=0)
