"""Activity of each presentation by itself, (image, time, unit), and along the run."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

import neurodyn
from neurodyn import (
    DaleInhibition,
    KrotovHopfield,
    LateralInhibition,
    Presentation,
    Recording,
    analysis,
    plots,
    traces,
)

NUM_IMAGES, NUM_UNITS, IMAGE_MS = 6, 5, 20.0


@pytest.fixture
def given():
    """Images and weights."""
    rng = np.random.default_rng(7)
    return rng.random((NUM_IMAGES, 4)), rng.random((NUM_UNITS, 4))


def run(given, *, circuit=None, reset=True, rule=None, **recorded):
    return neurodyn.simulate(
        circuit or LateralInhibition(w_inh=0.7),
        *given,
        plasticity=rule,
        stimulus=Presentation(image_ms=IMAGE_MS, reset=reset),
        recording=Recording(**{"activity_ms": 0.5} | recorded),
        backend="numpy",
        dt_ms=0.1,
    )


@pytest.fixture
def learned(given):
    """Traces with all that there is, by image."""
    return run(
        given,
        circuit=DaleInhibition(),
        rule=KrotovHopfield(h_star=0.5, tau_l_ms=1e3),
        inhibition=True,
        norms=True,
        weights_every=2,
    )


def test_one_time_course_is_selected_and_drawn(given):
    images, weights = given
    quick = {"backend": "numpy", "dt_ms": 1.0}
    found = neurodyn.simulate(LateralInhibition(w_inh=0.7), images, weights, **quick)
    drawn = found.activity.sel(image=0).plot.line(x="time")
    assert len(drawn) == NUM_UNITS
    time = np.arange(1.0, 1001.0)  # by default, an image is shown for 1 s
    for unit, line in enumerate(drawn):
        np.testing.assert_array_equal(line.get_xdata(), time)
        np.testing.assert_array_equal(line.get_ydata(), found.activity[0, :, unit])
    plt.close("all")


@pytest.mark.parametrize("reset", [True, False])
def test_by_image_is_along_the_run_in_parts(given, reset):
    parts, whole = (run(given, reset=reset, by_image=how) for how in (True, False))
    assert parts["activity"].dims == ("image", "time", "unit")
    assert parts.sizes["time"] == IMAGE_MS / 0.5
    joined = analysis.over_run(parts["activity"])
    np.testing.assert_array_equal(joined, whole["activity"][1:])
    for name in ("time", "presentation", "unit"):
        np.testing.assert_array_equal(joined[name], whole[name][name != "unit" :])
    np.testing.assert_array_equal(parts["activity"].isel(time=-1), parts["final_activity"])


@pytest.mark.parametrize("by_image", [True, False])
def test_times_are_labels_that_can_be_selected(given, by_image):
    """0.3 is not 3 times 0.1."""
    found = run(given, activity_ms=0.1, by_image=by_image)
    assert found.activity.sel(time=0.3).sizes["unit"] == NUM_UNITS
    assert found.activity.sel(time=0.3)["time"] == 0.3


def test_the_time_step_is_an_attribute(given, tmp_path):
    found = run(given)
    assert found.attrs["dt_ms"] == 0.1
    traces.save(found, tmp_path / "t.nc")
    assert traces.open(tmp_path / "t.nc").attrs["dt_ms"] == 0.1


def test_the_stride_of_images_is_that_of_their_activity(given):
    some, everyone = run(given, images_every=3), run(given, images_every=None)
    np.testing.assert_array_equal(some["image"], [2, 5])
    np.testing.assert_array_equal(everyone["image"], np.arange(NUM_IMAGES))
    assert "drive" not in everyone
    np.testing.assert_array_equal(some["activity"], everyone["activity"][2::3])


def test_what_does_not_divide_a_presentation_is_recorded_along_the_run(given):
    with pytest.raises(ValueError, match=r"activity_ms is 3: it must divide .* 20 ms; or"):
        run(given, activity_ms=3.0)
    assert run(given, activity_ms=3.0, by_image=False)["activity"].dims == ("time", "unit")


def test_settling_times_are_the_same_either_way(given):
    parts, whole = (
        analysis.settling_time(run(given, by_image=how)["activity"])
        for how in (True, False)
    )
    np.testing.assert_allclose(parts, whole, rtol=1e-12)
    assert (parts > 0).all()
    np.testing.assert_array_equal(parts["image"], whole["image"])


def test_all_analyses_take_what_simulate_returns(learned):
    """With the dims that are left, of each image and each snapshot by itself."""
    h, weights = learned["activity"], learned["weights_snapshots"]
    similarity = analysis.receptive_field_similarity(weights, learned["weights"])
    expected = {
        ("image", "time"): [
            analysis.winners(h),
            analysis.active_units(h),
            analysis.population_rate(h),
        ],
        ("image",): [analysis.settling_time(h), analysis.participation_ratio(h)],
        ("image", "unit"): [analysis.damping_rate(h), analysis.dominant_frequency(h)],
        ("image", "unit", "time"): [
            analysis.e_i_balance(learned["drive"], learned["inhibition"])
        ],
        ("snapshot", "unit"): [analysis.weight_norms(weights), similarity],
        ("snapshot",): [analysis.sign_violations(weights, sign=1)],
    }
    for dims, results in expected.items():
        for result in results:
            assert result.dims == dims
    last = similarity.isel(snapshot=-1)
    np.testing.assert_allclose(last, 1.0)
    one = analysis.receptive_field_similarity(weights[0], learned["weights"])
    np.testing.assert_array_equal(similarity[0], one)


def test_all_plots_take_what_simulate_returns(learned):
    h, weights = learned["activity"], learned["weights_snapshots"]
    along = analysis.over_run(h)
    lines = plots.activity_traces(h).lines[:NUM_UNITS]
    np.testing.assert_array_equal(
        np.sort([line.get_ydata() for line in lines], axis=0),
        np.sort(along.values.T, axis=0),
    )
    (image,) = plots.raster(h).images
    assert image.get_array().shape == (NUM_UNITS, along.sizes["time"])
    rate = plots.population_rate(analysis.population_rate(h)).lines
    assert [len(line.get_xdata()) for line in rate] == [along.sizes["time"]]
    portrait = plots.phase_portrait(h, learned["inh_activity"])
    assert len(portrait.lines[0].get_xdata()) == along.sizes["time"]
    assert len(plots.winners(analysis.winners(h)).lines[0].get_xdata()) == len(along)
    balance = analysis.e_i_balance(learned["drive"], learned["inhibition"])
    assert len(plots.e_i_balance(balance).lines[0].get_xdata()) == len(along)
    norms = plots.weight_norms(analysis.weight_norms(weights))
    np.testing.assert_array_equal(norms.lines[0].get_xdata(), weights["snapshot"])
    fields, last = (
        plots.receptive_fields(w, (2, 2)).images for w in (weights, weights[-1])
    )
    np.testing.assert_array_equal(fields[0].get_array(), last[0].get_array())
    signs = plots.sign_violations(analysis.sign_violations(weights, sign=1))
    np.testing.assert_array_equal(signs.lines[0].get_xdata(), weights["snapshot"])
    plt.close("all")
