"""What tells the data sets of studies apart, and which settings they get."""

import numpy as np
import pytest

from fastpath.competition import Ranking
from fastpath.data.defaults import defaults_for
from scenarios import faces
from scenarios.faces.networks import Faces
from scenarios.support.trials import METHODS, Source
from tests.helpers import save_digits

NAMES = ["mnist", "digits", "cifar10", "fashion_mnist", "faces_utk", "x"]


@pytest.fixture(scope="module")
def same_images(tmp_path_factory):
    """The digits in files of many names."""
    place = tmp_path_factory.mktemp("names")
    save_digits(place, *NAMES)
    return place


def test_a_study_takes_no_settings_by_the_name_of_a_file(same_images):
    for name in NAMES:
        assert Source.of(str(same_images / f"{name}.npz"), None).origin == ""
    digits = Source.of("digits", None)
    assert digits.origin == "digits"
    assert repr(digits) == "Source(name='digits', gray=False, digest='')"


def test_shapes_and_names_of_classes_tell_the_sources_of_a_study_apart(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (12, 8, 8), np.uint8)
    y = np.arange(12) % 2

    def digest(side, classes=None):
        x_train = x.reshape(12, *side)
        arrays = {"x_train": x_train, "y_train": y, "x_test": x_train, "y_test": y}
        named = {} if classes is None else {"classes": classes}
        np.savez(tmp_path / "set.npz", **arrays, **named)
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.npz"
        (tmp_path / "set.npz").rename(path)
        return Source.of(str(path), None).digest

    plain = digest((8, 8))
    others = [digest((4, 16)), digest((4, 4, 4)), digest((8, 8), ["a", "b"])]
    assert digest((8, 8)) == plain
    assert len({plain, *others}) == 4


@pytest.mark.parametrize("kind", [Source, Faces])
def test_a_file_that_is_called_like_the_faces_has_none_of_their_settings(
    same_images, tmp_path, kind
):
    source = kind.of(str(same_images / "faces_utk.npz"), None)
    config = faces.Config(preset="quick", out=tmp_path)
    trials = [faces.trial(method, source, 0, config) for method in METHODS]
    by_name = {trial.network: trial for trial in trials}
    others = defaults_for("")
    assert by_name["local rule"].competition == others.competition
    assert by_name["local rule"].readout == others.readout
    assert (
        by_name["back-propagation"].backprop
        != faces.defaults.SETTINGS["faces_utk"].backprop
    )
    assert by_name["pixels"].readout != faces.defaults.PIXELS_HEAD["faces_utk"]


def test_the_faces_are_known_by_their_content(monkeypatch, same_images, tmp_path):
    source = Faces.of(str(same_images / "x.npz"), None)
    monkeypatch.setitem(faces.defaults.KNOWN, source.digest, "faces_real_fake")
    assert source.origin == "faces_real_fake"
    trial = faces.trial("local rule", source, 0, faces.Config(out=tmp_path))
    assert (trial.p, trial.competition) == (2.0, Ranking(k=2, delta=0.2))
