"""`fastpath predict`: files and arrays of images, by a finished run."""

import csv

import numpy as np
import pytest
from PIL import Image

import fastpath
from fastpath.cli import main
from tests.helpers import refused


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("predict") / "run"
    flags = ["--units", "30", "--epochs", "3", "--out", str(folder)]
    main(["train", "--data", "digits", *flags])
    return folder


def answers(capsys, *args):
    main(["predict", *map(str, args)])
    rows = [*csv.reader(capsys.readouterr().out.splitlines())]
    assert rows[0] == ["image", "class"]
    return dict(rows[1:])


def test_files_and_arrays_get_the_answers_of_the_model(run, digits, tmp_path, capsys):
    expected = list(map(str, fastpath.load_model(run).predict(digits.x_test[:20])))
    np.save(tmp_path / "x.npy", digits.x_test[:20, ..., 0])
    assert list(answers(capsys, run, tmp_path / "x.npy").values()) == expected
    folder = tmp_path / "images"
    (folder / "more").mkdir(parents=True)
    paths = [folder / ("more" if i % 2 else "") / f"{i:02}.png" for i in range(20)]
    for path, x in zip(paths, digits.x_test, strict=False):
        Image.fromarray(x[..., 0]).save(path)
    (folder / ".hidden.png").write_text("")
    (folder / "notes.txt").write_text("")
    found = answers(capsys, run, folder)
    assert [found[str(path)] for path in paths] == expected
    assert answers(capsys, run, paths[3]) == {str(paths[3]): expected[3]}
    main(["predict", str(run), str(folder), "--out", str(tmp_path / "out.csv")])
    assert (tmp_path / "out.csv").read_text().splitlines()[0] == "image,class"
    assert "saved 20 answers" in capsys.readouterr().out
    assert "exists: choose another --out" in refused(
        capsys, "predict", run, folder, "--out", tmp_path / "out.csv"
    )


def test_gray_images_are_shown_to_a_model_of_colours(tmp_path, capsys):
    generator = np.random.default_rng(0)
    x = generator.integers(0, 256, (40, 5, 4, 3), np.uint8)
    y = np.arange(40) % 2
    model = fastpath.CompetingUnits(8, training=fastpath.Training(epochs=1)).fit(x, y)
    model.save(tmp_path / "run")
    gray = x[:7, ..., :1]
    np.save(tmp_path / "x.npy", gray)
    found = answers(capsys, tmp_path / "run", tmp_path / "x.npy")
    expected = model.predict(np.repeat(gray, 3, axis=3))
    assert list(found.values()) == list(map(str, expected))


def test_what_shows_nothing_to_predict_is_one_line(run, digits, tmp_path, capsys):
    assert "there is no file or folder" in refused(
        capsys, "predict", run, tmp_path / "none"
    )
    assert "holds no image" in refused(capsys, "predict", run, tmp_path)
    (tmp_path / "a.png").write_text("no image")
    assert "cannot be read as an image" in refused(capsys, "predict", run, tmp_path)
    (tmp_path / "x.npy").write_text("no array")
    assert "cannot be read as .npy" in refused(capsys, "predict", run, tmp_path / "x.npy")
    np.save(tmp_path / "x.npy", digits.x_test / 255)
    assert "pixels must be uint8" in refused(capsys, "predict", run, tmp_path / "x.npy")
    np.save(tmp_path / "x.npy", np.zeros((3, 9, 8), np.uint8))
    assert "learned images of (8, 8, 1)" in refused(
        capsys, "predict", run, tmp_path / "x.npy"
    )
    assert "there is no file" in refused(capsys, "predict", tmp_path, tmp_path / "x.npy")
