"""What the pictures of spikes show, by their lines, bars and pixels."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from neurodyn import analysis, plots
from tests.neurodyn.helpers import bars, data_of, legend, over


@pytest.fixture(name="spikes")
def _spikes():
    """Two cells of exc fire, the first of inh, and the third of input."""
    return over(
        "spike",
        [1.0, 2.0, 2.5, 4.0, 7.0],
        spike_unit=("spike", [2, 0, 0, 1, 0]),
        spike_population=("spike", ["input", "exc", "inh", "exc", "exc"]),
        spike_image=("spike", [0, 0, 0, 0, 1]),
    )


COUNTS = over(("image", "unit"), [[2, 0, 1, 4], [4, 0, 1, 2], [6, 0, 1, 0]])
RATES = over(("image", "unit"), [[10.0, 30.0, 20.0, 0.0], [20.0, 30.0, 40.0, 10.0]])
RATE = over("time", [0.0, 3.0, 1.0], time=("time", [0.0, 0.5, 1.0], {"units": "ms"}))
MATRIX = over(
    ("label", "predicted"),
    [[3, 1, 0], [0, 0, 0]],
    label=[0, 1],
    predicted=[0, 1, -1],
)


def test_a_raster_stacks_the_populations(spikes):
    ax = plots.spike_raster(spikes)
    drawn = {line.get_label(): line for line in ax.lines if line.get_marker() == "|"}
    shown = {name: np.transpose(line.get_data()).tolist() for name, line in drawn.items()}
    # From the bottom: 3 rows of input, 2 of exc, 1 of inh.
    assert shown == {
        "input": [[1.0, 2]],
        "exc": [[2.0, 3], [4.0, 4], [7.0, 3]],
        "inh": [[2.5, 5]],
    }
    assert len({mpl.colors.to_rgb(line.get_color()) for line in drawn.values()}) == 3
    assert legend(ax) == ["inh", "exc", "input"]  # in the order of the blocks
    borders = [line.get_ydata()[0] for line in ax.lines if line.get_marker() != "|"]
    assert borders == [-0.5, 2.5, 4.5]
    assert ax.get_ylim() == (-0.5, 5.5)
    assert ax.get_xlabel() == "time [ms]"


def test_blocks_of_a_raster_have_the_numbers_of_their_cells(spikes):
    ax = plots.spike_raster(spikes)
    shown = {text.get_position()[1]: text.get_text() for text in ax.get_yticklabels()}
    assert shown == {1.0: "0–2", 3.5: "0–1", 5.0: "0"}


def test_a_raster_draws_other_populations_too_and_silence(spikes):
    renamed = spikes.assign_coords(
        spike_population=("spike", ["relay", "exc", "basket", "exc", "exc"])
    )
    assert legend(plots.spike_raster(renamed)) == ["relay", "basket", "exc"]
    ax = plots.spike_raster(spikes[:0])
    assert legend(ax) == ["no spikes"]
    ax.figure.canvas.draw()


def test_a_raster_refuses_what_is_no_spike_train(spikes):
    with pytest.raises(ValueError, match="no coordinate spike_unit: give the cell"):
        plots.spike_raster(spikes.drop_vars("spike_unit"))
    with pytest.raises(ValueError, match="spike times with the dim spike are needed"):
        plots.spike_raster(RATE)


def test_firing_rates_are_means_over_images():
    ax = plots.firing_rates(RATES)
    assert bars(ax) == {(5.0, 17.5): 2, (17.5, 30.0): 2}  # 15, 30, 30 and 5 Hz
    np.testing.assert_array_equal(data_of(ax, 0)[0], [20, 20])
    assert legend(ax) == ["mean 20 Hz"]
    assert ax.get_xlabel() == "firing rate [Hz]"
    again = plots.firing_rates(RATES.mean("image"))
    assert bars(again) == bars(ax)


def test_firing_rates_leave_out_what_is_missing():
    missing = RATES.copy()
    missing[0, 0] = np.nan
    ax = plots.firing_rates(missing)
    assert sum(bars(ax).values()) == 3
    assert legend(ax) == ["mean 21.7 Hz (without 1 missing)"]
    with pytest.raises(ValueError, match="none of the 4 values is finite"):
        plots.firing_rates(RATES * np.nan)
    with pytest.raises(ValueError, match="unit is needed too"):
        plots.firing_rates(RATE)


def test_smooth_rate_is_a_line():
    ax = plots.smooth_rate(RATE)
    np.testing.assert_array_equal(data_of(ax, 0), [RATE["time"], RATE])
    assert len(ax.lines) == 1
    assert (ax.get_xlabel(), ax.get_ylim()[0]) == ("time [ms]", 0)
    with pytest.raises(ValueError, match="time is needed too"):
        plots.smooth_rate(RATES)


def test_intervals_have_their_mean_and_cv():
    ax = plots.intervals(over("interval", [10.0, 20.0, 30.0, 20.0]))
    assert bars(ax) == {(10.0, 20.0): 1, (20.0, 30.0): 3}
    np.testing.assert_array_equal(data_of(ax, 0)[0], [20, 20])
    assert legend(ax) == [f"mean 20 ms, CV {np.sqrt(200 / 3) / 20:.2f}"]
    assert legend(plots.intervals(over("interval", [10.0]))) == ["mean 10 ms"]
    with pytest.raises(ValueError, match="none of the 0 values is finite"):
        plots.intervals(over("interval", []))


def test_variance_against_mean_beside_that_of_poisson():
    for counts in (COUNTS, COUNTS.transpose()):
        ax = plots.fano_factor(counts)
        means, variances = data_of(ax, 0)
        active = [0, 2, 3]  # the Fano factor of a silent cell does not exist
        np.testing.assert_allclose(means[active], [4, 1, 2])
        np.testing.assert_allclose(variances[active], [4, 0, 4])
        assert np.isnan(variances[1])
        line = np.transpose(data_of(ax, 1))
        np.testing.assert_allclose(line, [[0, 0], [4.2, 4.2]])
        assert legend(ax) == ["cells, median Fano factor 1", "Poisson"]
    with pytest.raises(ValueError, match="none of the 4 values is finite"):
        plots.fano_factor(0 * COUNTS)
    with pytest.raises(ValueError, match="image and unit needed, and no other"):
        plots.fano_factor(COUNTS.expand_dims("trial"))


def test_each_pair_is_counted_once():
    correlation = over(
        ("unit", "unit_"), [[1.0, 0.2, 0.6], [0.2, 1.0, np.nan], [0.6, np.nan, np.nan]]
    )
    ax = plots.pairwise_correlation(correlation)
    assert bars(ax) == {(0.2, 0.4): 1, (0.4, 0.6): 1}
    np.testing.assert_allclose(data_of(ax, 0)[0], [0.4, 0.4])
    assert legend(ax) == ["mean 0.4 (without 1 missing)"]
    with pytest.raises(ValueError, match="none of the 0 values is finite"):
        plots.pairwise_correlation(correlation[:1, :1])
    with pytest.raises(ValueError, match="unit and unit_ needed, and no other"):
        plots.pairwise_correlation(correlation[0])


def printed(ax):
    return {
        tuple(map(int, text.get_position()))[::-1]: text.get_text() for text in ax.texts
    }


def test_confusion_is_in_percent_of_each_label():
    ax = plots.confusion(MATRIX)
    np.testing.assert_array_equal(ax.images[0].get_array(), [[75, 25], [0, 0]])
    assert printed(ax) == {(0, 0): "75", (0, 1): "25"}
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0", "1"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted class", "label")
    turned = plots.confusion(MATRIX.transpose())
    np.testing.assert_array_equal(turned.images[0].get_array(), [[75, 25], [0, 0]])


def test_images_without_a_prediction_have_a_column():
    matrix = MATRIX + over(("label", "predicted"), [[0, 0, 1], [0, 0, 2]])
    ax = plots.confusion(matrix)
    np.testing.assert_array_equal(ax.images[0].get_array(), [[60, 20, 20], [0, 0, 100]])
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0", "1", "none"]


def test_confusions_of_many_classes_are_not_printed():
    labels = over("image", np.arange(30))
    matrix = analysis.confusion_matrix(labels, labels, num_classes=30)
    ax = plots.confusion(matrix)
    assert not ax.texts
    np.testing.assert_array_equal(ax.images[0].get_array(), 100 * np.eye(30))
    with pytest.raises(ValueError, match="label and predicted needed, and no other"):
        plots.confusion(matrix.expand_dims("trial"))


def test_every_picture_goes_into_the_axes_given(spikes):
    _, axes = plt.subplots(2, 4)
    drawn = [
        lambda ax: plots.spike_raster(spikes, ax),
        lambda ax: plots.firing_rates(RATES, ax),
        lambda ax: plots.smooth_rate(RATE, ax),
        lambda ax: plots.intervals(over("interval", [1.0, 2.0]), ax),
        lambda ax: plots.fano_factor(COUNTS, ax),
        lambda ax: plots.pairwise_correlation(analysis.pairwise_correlation(COUNTS), ax),
        lambda ax: plots.confusion(MATRIX, ax),
    ]
    for draw, ax in zip(drawn, axes.flat, strict=False):
        assert draw(ax) is ax
    assert len(plt.get_fignums()) == 1
