"""Pictures: what is drawn is what the files of a run say, and what is missing is named."""

import json
import shutil

import numpy as np
import pytest
import torch
import xarray as xr
from matplotlib.figure import Figure
from PIL import Image
from sklearn.metrics import confusion_matrix

from fastpath import plots, readout
from fastpath.cli import main
from fastpath.data import datasets
from fastpath.runs import figures, storage
from fastpath.runs.folder import open_run
from tests.helpers import figures_saved, refused

NAMES = {
    "receptive_fields.png",
    "training.png",
    "learning_curve.png",
    "confusion.png",
    "receptive_fields.gif",
}
QUICK = ["--data", "digits", "--units", "15", "--epochs", "5", "--head-epochs", "4"]


@pytest.fixture
def ax():
    return Figure().subplots()


def fields(*units):
    return xr.DataArray(np.array(units, dtype=float), dims=("unit", "pixel"))


def test_signs_have_their_colours_and_zero_is_white():
    image = plots.mosaic(fields([2.0, -2.0, 0.0, 1.0]), (1, 4, 1))[1, 1:5]
    red, blue, white, pale = image
    assert red[0] > red[2] + 0.2
    assert blue[2] > blue[0] + 0.2
    assert white.min() > 0.95
    assert red[1] < pale[1] < white[1]


def test_every_unit_is_at_its_place_and_on_its_own_scale():
    patterns = np.eye(4) * np.array([1e-3, 1.0, 50.0, 7.0])
    mosaic = plots.mosaic(fields(*patterns, np.zeros(4)), (2, 2))
    assert mosaic.shape == (2 * 3 + 1, 3 * 3 + 1, 3)  # five units in three columns
    full = plots.mosaic(fields([1.0]), (1, 1))[1, 1]
    corners = [(1, 1), (1, 5), (2, 7), (5, 2)]
    for y, x in corners:
        np.testing.assert_array_equal(mosaic[y, x], full)
    assert (mosaic == full).all(axis=2).sum() == 4
    assert (mosaic[4:6, 4:6] > 0.95).all()  # the unit of zeros
    assert (mosaic[5, 8:] == 1).all()  # no unit


def test_three_channels_are_red_green_and_blue_around_gray():
    pixels = [[3.0, -3.0, 0.0], [0.0, 1.5, 0.0]]
    mosaic = plots.mosaic(fields(np.ravel(pixels)), (1, 2, 3))
    np.testing.assert_allclose(mosaic[1, 1:3], [[1.0, 0.0, 0.5], [0.5, 0.75, 0.5]])


@pytest.mark.parametrize("shape", [(2, 3), (1, 2, 2), (4,)])
def test_shapes_that_do_not_fit_are_refused(shape):
    with pytest.raises(ValueError, match="weights with 4 pixels need height x width x"):
        plots.mosaic(fields([1.0, 2.0, 3.0, 4.0]), shape)


def test_dead_units_are_those_that_did_not_learn(ax):
    learning = xr.DataArray([0.25, 1.0], dims="epoch", coords={"epoch": [1, 2]})
    assert plots.dead_units(learning, ax) is ax
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), [[1, 75], [2, 0]])


def test_final_errors_are_lines(ax):
    error = xr.DataArray([9.0, 4.0], dims="head_epoch", coords={"head_epoch": [1, 2]})
    plots.readout_error(error, ax, final={"test error": 5.25})
    assert [line.get_ydata()[0] for line in ax.lines] == [9.0, 5.25]
    assert "test error: 5.25 %" in [text.get_text() for text in ax.get_legend().texts]


def counts(matrix):
    names = [f"class {i}" for i in range(len(matrix))]
    coords = {"label": names, "answer": names}
    return xr.DataArray(matrix, dims=("label", "answer"), coords=coords)


def test_confusions_are_shares_of_the_label(ax):
    plots.confusion(counts([[3, 1, 0], [0, 200, 0], [0, 0, 0]]).T, ax)
    (image,) = ax.images
    expected = [[75, 25, 0], [0, 100, 0], [0, 0, 0]]
    np.testing.assert_array_equal(image.get_array(), expected)
    printed = {(t.get_position(), t.get_text()) for t in ax.texts}
    assert printed == {((0, 0), "75.0"), ((1, 0), "25.0"), ((1, 1), "100")}
    assert [label.get_text() for label in ax.get_yticklabels()][1] == "class 1"


def test_many_classes_have_names_but_no_numbers(ax):
    plots.confusion(counts(np.eye(100, dtype=int)), ax)
    assert not ax.texts
    assert len(ax.get_xticklabels()) == 100


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "digits"
    main(["train", *QUICK, "--snapshots", "4", "--out", str(out)])
    return out


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def test_the_confusion_matrix_is_that_of_the_saved_run(finished):
    run, digits = open_run(finished), datasets.load("digits")
    pixels = digits.x_test.reshape(len(digits.x_test), -1)
    v = torch.tensor(pixels / 255).float()
    features = readout.features(run.layer, v, run.readout)
    answers = run.head(features).argmax(dim=1).numpy()
    saved = xr.load_dataset(finished / "history.nc")["confusion"]
    expected = confusion_matrix(digits.y_test, answers, labels=range(10))
    np.testing.assert_array_equal(saved.values, expected)
    assert saved.dims == ("label", "answer")
    assert saved["answer"].values.tolist() == list(digits.classes)
    wrong = 100 * (1 - np.trace(expected) / expected.sum())
    metrics = json.loads((finished / "metrics.json").read_text())
    assert metrics["test_error"] == pytest.approx(wrong, rel=1e-12)


def shown(ax):
    (image,) = ax.images
    return np.asarray(image.get_array())


def test_plot_draws_everything_without_the_data(run, capsys, monkeypatch):
    monkeypatch.setattr(datasets, "load", None)
    (run / "confusion.png").write_text("of another run")
    with figures_saved() as saved:
        main(["plot", str(run)])
    said = capsys.readouterr().out.splitlines()
    assert set(said) == {f"wrote {run / name}" for name in NAMES}
    fields, training, curve, confusion = (figure.axes for figure in saved)
    weights = xr.DataArray(open_run(run).weights, dims=("unit", "pixel"))
    np.testing.assert_array_equal(shown(fields[0]), plots.mosaic(weights, (8, 8)))
    history = storage.load_dataset(run / "history.nc")
    for ax, name in (
        (training[2], "lr"),
        (curve[0], "head_loss"),
        (curve[1], "head_error"),
    ):
        np.testing.assert_array_equal(ax.lines[0].get_ydata(), history[name])
    largest, mean, _ = training[0].lines
    np.testing.assert_array_equal(largest.get_ydata(), history["norm_max"])
    np.testing.assert_array_equal(mean.get_ydata(), history["norm_mean"])
    dead = 100 * (1 - history["learning"])
    np.testing.assert_array_equal(training[1].lines[0].get_ydata(), dead)
    counts = history["confusion"]
    shares = 100 * counts / counts.sum("answer")
    np.testing.assert_allclose(shown(confusion[0]), shares, rtol=1e-12)
    errors = json.loads((run / "metrics.json").read_text())
    final = [line.get_ydata()[0] for line in curve[1].lines[1:]]
    assert final == [errors["test_error"], errors["train_error"]]
    with Image.open(run / "receptive_fields.gif") as film:
        assert film.n_frames == 4
        assert film.info["loop"] == 0
    assert not list(run.glob(".*"))


def test_the_film_has_the_fields_of_the_snapshots(run):
    """Each weight is a square of its colour, as near as 256 colours of a frame come."""
    snapshots = storage.load_dataset(run / "snapshots.nc")
    weights = snapshots["weights"]
    weights[:] = np.random.default_rng(0).normal(size=weights.shape)  # frames all unlike
    storage.save_dataset(run / "snapshots.nc", snapshots)
    main(["plot", str(run)])
    with Image.open(run / "receptive_fields.gif") as film:
        for place, field in enumerate(weights):
            film.seek(place)
            shown = np.asarray(film.convert("RGB"))[46:-10, 10:-10] / 255
            mosaic = plots.mosaic(field, (8, 8, 1))
            times = len(shown) // len(mosaic)
            exact = mosaic.repeat(times, axis=0).repeat(times, axis=1)
            blocks = shown.reshape(len(mosaic), times, mosaic.shape[1], times, 3)
            assert shown.shape == exact.shape
            assert abs(blocks.mean(axis=(1, 3)) - mosaic).mean() < 0.02


@pytest.fixture
def titles(monkeypatch) -> list[str]:
    """The titles of mosaics as they are drawn."""
    noted, draw = [], figures._mosaic_figure

    def drawn(files, fields, title, near):
        noted.append(title)
        return draw(files, fields, title, near)

    monkeypatch.setattr(figures, "_mosaic_figure", drawn)
    return noted


def test_the_film_of_one_epoch_shows_mini_batches(tmp_path, titles):
    main(["train", *QUICK, "--epochs", "1", "--snapshots", "5", "--out", str(tmp_path)])
    main(["plot", str(tmp_path)])
    with Image.open(tmp_path / "receptive_fields.gif") as film:
        assert film.n_frames == 5
    assert titles[1:] == ["epoch 0", "epoch 0.0667", "epoch 0.133", "epoch 0.4", "epoch 1"]


@pytest.mark.parametrize("kind", [pytest.param(int, marks=pytest.mark.slow), float])
def test_whole_epochs_have_whole_titles(run, kind, titles):
    """Older versions saved them as integers."""
    snapshots = storage.load_dataset(run / "snapshots.nc")
    whole = snapshots.assign_coords(epoch=snapshots["epoch"].astype(kind))
    storage.save_dataset(run / "snapshots.nc", whole)
    main(["plot", str(run)])
    assert titles[1:] == ["epoch 0", "epoch 1", "epoch 2", "epoch 5"]


@pytest.mark.slow
def test_plot_writes_elsewhere(run, tmp_path):
    before = sorted(run.iterdir())
    main(["plot", str(run), "--out", str(tmp_path / "deep" / "pictures")])
    assert {path.name for path in (tmp_path / "deep" / "pictures").iterdir()} == NAMES
    assert sorted(run.iterdir()) == before


def left_out(run, capsys) -> dict[str, str]:
    """Return the pictures that are left out, with the reason."""
    capsys.readouterr()
    main(["plot", str(run)])
    lines = capsys.readouterr().out.splitlines()
    wrote = {
        line.removeprefix(f"wrote {run}/") for line in lines if line.startswith("wrote")
    }
    missing = [
        line.removeprefix(f"left out {run}/") for line in lines if line.startswith("left")
    ]
    reasons = dict(line.split(": ", 1) for line in missing)
    assert wrote | reasons.keys() == NAMES
    assert {path.name for path in run.iterdir()} & NAMES == wrote
    return reasons


def test_without_snapshots_there_is_no_film(run, capsys):
    (run / "snapshots.nc").unlink()
    (run / "receptive_fields.gif").write_text("of another run")
    reasons = left_out(run, capsys)
    assert reasons.keys() == {"receptive_fields.gif"}
    assert "kept no snapshots" in reasons["receptive_fields.gif"]


def test_a_run_without_training_has_no_course(tmp_path, capsys):
    run = tmp_path / "run"
    main(["train", *QUICK, "--epochs", "0", "--out", str(run)])
    reasons = left_out(run, capsys)
    assert reasons.keys() == {"receptive_fields.gif", "training.png"}
    assert "0 epochs" in reasons["training.png"]
    assert "single snapshot" in reasons["receptive_fields.gif"]


def test_an_old_run_gets_what_it_has(run, capsys):
    history = storage.load_dataset(run / "history.nc")
    old = history[["lr", "norm_mean", "norm_max", "learning", "images_per_second"]]
    storage.save_dataset(run / "history.nc", old)
    (run / "snapshots.nc").unlink()
    reasons = left_out(run, capsys)
    assert "history.nc holds no head_loss, head_error" in reasons["learning_curve.png"]
    assert "history.nc holds no confusion" in reasons["confusion.png"]
    assert len(reasons) == 3


@pytest.mark.slow
def test_two_channels_are_left_out(run, capsys):
    config = storage.load_json(run / "config.json")
    storage.save_json(run / "config.json", config | {"image_shape": [4, 8, 2]})
    reasons = left_out(run, capsys)
    assert reasons.keys() == {"receptive_fields.png", "receptive_fields.gif"}
    assert "images of 2 channels cannot be shown" in reasons["receptive_fields.png"]


def test_what_is_no_run_is_refused(tmp_path, run, capsys):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "nowhere"):
        assert "is this the folder of a run?" in refused(capsys, "plot", folder)
    assert "damaged" in refused(capsys, "plot", run / "config.json")
    assert not list((tmp_path / "empty").iterdir())


def test_an_unfinished_run_is_refused(run, capsys):
    (run / storage.CHECKPOINT).touch()
    assert f"go on with it by `fastpath resume {run}`" in refused(capsys, "plot", run)


@pytest.mark.parametrize(
    "name", ["weights.safetensors", "history.nc", "snapshots.nc", "config.json"]
)
def test_damaged_files_are_refused(run, capsys, name):
    content = (run / name).read_bytes()
    (run / name).write_bytes(content[: len(content) // 2])
    assert f"{name} is damaged" in refused(capsys, "plot", run)
    assert not {path.name for path in run.iterdir()} & NAMES


def test_altered_snapshots_are_refused(run, capsys):
    content = bytearray((run / "snapshots.nc").read_bytes())
    content[-3000] ^= 1  # within the compressed weights
    (run / "snapshots.nc").write_bytes(content)
    assert "snapshots.nc is damaged" in refused(capsys, "plot", run)


def test_a_config_that_lacks_something_is_refused(run, capsys):
    config = storage.load_json(run / "config.json")
    del config["image_shape"]
    storage.save_json(run / "config.json", config)
    assert "is not a complete run: 'image_shape'" in refused(capsys, "plot", run)


def test_an_unwritable_folder_is_refused(run, tmp_path, capsys):
    (tmp_path / "file").touch()
    line = refused(capsys, "plot", run, "--out", tmp_path / "file" / "pictures")
    assert "cannot write to" in line
    assert "choose another --out" in line


def test_a_full_disk_leaves_no_half_picture(run, capsys, monkeypatch):
    def full(self, path, **kwargs):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", full)
    before = sorted(run.iterdir())
    assert "No space left" in refused(capsys, "plot", run)
    assert sorted(run.iterdir()) == before


@pytest.mark.slow
def test_what_tells_of_the_run_before_is_removed_by_overwrite(run):
    main(["plot", str(run)])
    main(["train", *QUICK, "--snapshots", "0", "--overwrite", "--out", str(run)])
    names = {path.name for path in run.iterdir()}
    assert names == {"config.json", "history.nc", "metrics.json", "weights.safetensors"}
