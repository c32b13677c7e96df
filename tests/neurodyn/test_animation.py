"""The frames of animated files."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from PIL import Image, ImageSequence

from neurodyn import animation, plots


@pytest.fixture
def weights():
    """The first unit grows from image to image, the second turns its sign."""
    values = np.zeros((3, 2, 6))
    values[:, 0, :] = np.array([0.0, 0.5, 1.0])[:, None]
    values[:, 1, :] = np.array([-4.0, 0.0, 4.0])[:, None]
    coords = {"image": [0, 10, 20]}
    return xr.DataArray(values, dims=("image", "unit", "pixel"), coords=coords)


def frames(path):
    with Image.open(path) as file:
        return [np.array(one.convert("RGB")) for one in ImageSequence.Iterator(file)]


def test_one_frame_a_presentation_at_the_speed_asked_for(weights, tmp_path):
    path = animation.weight_evolution(
        weights, (2, 3), str(tmp_path / "new" / "w.gif"), frames_per_second=4.0
    )
    assert path == tmp_path / "new" / "w.gif"
    with Image.open(path) as file:
        assert file.format == "GIF"
        assert file.n_frames == 3
        assert file.info["duration"] == 250
        assert file.info["loop"] == 0
    assert [each.name for each in path.parent.iterdir()] == ["w.gif"]
    assert not plt.get_fignums()


def test_a_unit_has_the_same_scale_in_all_frames(weights, tmp_path):
    """White for 0, paler red for half of the largest weight, blue for negative ones."""
    shown = frames(animation.weight_evolution(weights, (2, 3), tmp_path / "w.gif"))
    height, width, _ = shown[0].shape
    left, right = (
        [frame[height // 2, int(width * at)].astype(int) for frame in shown]
        for at in (0.25, 0.75)
    )
    red, blue = (np.array(plt.get_cmap("RdBu_r")(end)[:3]) * 255 for end in (1.0, 0.0))
    half = np.array(plt.get_cmap("RdBu_r")(0.75)[:3]) * 255
    white = np.array([247, 247, 247])
    for found, expected in zip(left, (white, half, red), strict=True):
        np.testing.assert_allclose(found, expected, atol=12)  # GIF has 256 colours
    for found, expected in zip(right, (blue, white, red), strict=True):
        np.testing.assert_allclose(found, expected, atol=12)


def test_the_title_names_the_presentation(weights, tmp_path, monkeypatch):
    titles, draw = [], plots.receptive_fields

    def spy(*args, **settings):
        ax = draw(*args, **settings)
        monkeypatch.setattr(ax, "set_title", titles.append)
        return ax

    monkeypatch.setattr(plots, "receptive_fields", spy)
    animation.weight_evolution(weights, (2, 3), tmp_path / "a.gif")
    animation.weight_evolution(weights.drop_vars("image"), (2, 3), tmp_path / "b.gif")
    assert titles == [f"presentation {image}" for image in (0, 10, 20, 0, 1, 2)]


def test_a_failure_leaves_what_was_there(weights, tmp_path, monkeypatch):
    path = tmp_path / "w.gif"
    path.write_text("before")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(ValueError, match=r"cannot write .*w.gif: No space left on device"):
        animation.weight_evolution(weights, (2, 3), path)
    assert path.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["w.gif"]


def test_a_file_that_is_there_is_replaced(weights, tmp_path):
    path = tmp_path / "w.gif"
    path.write_text("before")
    assert len(frames(animation.weight_evolution(weights, (2, 3), path))) == 3


def test_refusals_come_before_anything_is_written(weights, tmp_path):
    for change, message in (
        ({"weights": weights.isel(image=0)}, "one or more of image, unit and pixel"),
        ({"weights": weights.expand_dims("trial")}, "no other dim \\(select one trial"),
        ({"weights": weights.isel(image=slice(0))}, "one or more of image, unit and pixel"),
        ({"image_shape": (2, 2)}, "image_shape is .*: weights with 6 pixels need"),
        ({"path": tmp_path / "w.png"}, r"w.png does not end in .gif: only GIF is written"),
        ({"frames_per_second": 0.0}, "frames_per_second is 0.0: GIF allows 0.01 to 50"),
        ({"frames_per_second": 60.0}, "frames_per_second is 60.0: GIF allows 0.01 to 50"),
        ({"frames_per_second": np.nan}, "frames_per_second is nan"),
    ):
        given = {"weights": weights, "image_shape": (2, 3), "path": tmp_path / "w.gif"}
        with pytest.raises(ValueError, match=message):
            animation.weight_evolution(**{**given, **change})
    (tmp_path / "folder.gif").mkdir()
    with pytest.raises(ValueError, match=r"cannot write .*folder.gif: it is a folder"):
        animation.weight_evolution(weights, (2, 3), tmp_path / "folder.gif")
    assert [each.name for each in tmp_path.iterdir()] == ["folder.gif"]
