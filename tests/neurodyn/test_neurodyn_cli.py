"""The command `neurodyn`, called in process."""

import gc
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import safetensors.torch
import torch
import xarray as xr
from safetensors.numpy import save_file

from fastpath.runs import storage
from neurodyn import LateralInhibition, Presentation, simulate, traces
from neurodyn.cli import main
from neurodyn.engine import backends
from tests.neurodyn.helpers import without_timing

RNG = np.random.default_rng(0)
IMAGES = RNG.random((3, 4))
WEIGHTS = RNG.normal(0.5, 1.0, size=(5, 4))


@pytest.fixture
def files(tmp_path):
    """A folder with images and weights in each format."""
    np.save(tmp_path / "images.npy", IMAGES)
    np.save(tmp_path / "weights.npy", WEIGHTS)
    np.savez(tmp_path / "images.npz", images=IMAGES, labels=np.arange(3))
    np.savez(tmp_path / "weights.npz", weights=WEIGHTS)
    save_file({"weights": WEIGHTS, "bias": np.zeros(5)}, tmp_path / "weights.safetensors")
    return tmp_path


def command(files, *more, images="images.npy", weights="weights.npy", out="traces.nc"):
    inputs = ["--images", str(files / images), "--weights", str(files / weights)]
    quick = ["--image-ms", "10", "--backend", "numpy"]
    return ["simulate", *inputs, "--out", str(files / out), *quick, *more]


def refused(capsys, arguments):
    """What is said on stderr: one line, with exit code 2."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    said = capsys.readouterr()
    assert stopped.value.code == 2
    assert said.out == ""
    assert said.err.startswith("neurodyn: ")
    assert said.err.count("\n") == 1
    return said.err


@pytest.mark.parametrize(
    ("images", "weights"),
    [
        ("images.npy", "weights.npy"),
        ("images.npz", "weights.npz"),
        ("images.npy", "weights.safetensors"),
    ],
)
def test_simulate_writes_what_simulate_returns(files, capsys, images, weights):
    main(command(files, images=images, weights=weights))
    written = traces.open(files / "traces.nc")
    stimulus = Presentation(image_ms=10.0)
    expected = simulate(
        LateralInhibition(), IMAGES, WEIGHTS, stimulus=stimulus, backend="numpy"
    )
    xr.testing.assert_identical(without_timing(written), without_timing(expected))
    said = capsys.readouterr()
    assert said.out.startswith("3 images, 5 units\nactive units at the end: mean ")
    assert said.out.endswith(f"saved to {files / 'traces.nc'}\n")
    assert said.err == ""


def test_the_active_units_it_reports_are_those_of_the_file(files, capsys):
    main(command(files))
    active = (traces.open(files / "traces.nc")["final_activity"].values > 0).sum(axis=1)
    expected = f"mean {active.mean():.2f}, most {active.max()}\n"
    assert expected in capsys.readouterr().out


def test_every_option_reaches_the_simulation(files):
    options = {
        "tau_ms": ("--tau-ms", 20.0),
        "w_inh": ("--w-inh", 0.3),
        "p": ("--p", 3.0),
        "rest_ms": ("--rest-ms", 2.0),
        "dt_ms": ("--dt-ms", 0.5),
        "activity_ms": ("--activity-ms", 2.5),
    }
    flags = [text for flag, value in options.values() for text in (flag, str(value))]
    main(command(files, *flags, "--carry-over", "--no-by-image", "--num-images", "2"))
    result = traces.open(files / "traces.nc")
    config = json.loads(result.attrs["config"])
    found = (
        config | config.pop("circuit") | config.pop("stimulus") | config.pop("recording")
    )
    assert {name: found[name] for name in options} == {
        k: v for k, (_, v) in options.items()
    }
    assert found["reset"] is found["by_image"] is False
    assert found["image_ms"] == 10.0
    assert result.sizes["image"] == 2


def test_an_existing_file_is_replaced_only_when_told(files, capsys):
    out = files / "traces.nc"
    out.write_text("precious")
    assert f"{out} exists: " in refused(capsys, command(files))
    assert out.read_text() == "precious"
    main(command(files, "--overwrite"))
    assert traces.open(out).sizes["image"] == 3


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--num-images", "0"], "--num-images is 0: at least 1 is needed"),
        (["--dt-ms", "40"], "--dt-ms is 40: Euler's method is not stable with that step"),
        (
            ["--dt-ms", "0.3"],
            "--image-ms is 10 ms, not a whole number of time steps of 0.3",
        ),
        (
            ["--w-inh", "-1"],
            "--w-inh is -1.0: the strength of inhibition, subtracted",
        ),
        (
            ["--activity-ms", "0"],
            "--activity-ms is 0.0: the interval must be positive and finite",
        ),
        (
            ["--activity-ms", "4"],
            "--activity-ms is 4: it must divide a presentation, 10 ms; or record images "
            "with --no-by-image, along one time axis",
        ),
        (["--image-ms", "-5"], "--image-ms is -5.0: the time an image is shown must be"),
    ],
)
def test_impossible_settings_are_one_line(files, capsys, more, said):
    assert said in refused(capsys, command(files, *more))
    assert not (files / "traces.nc").exists()


# NumPy leaves the file of a truncated .npz to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("missing.npy", "there is no file "),
        ("missing.safetensors", "there is no file "),
        ("weights.txt", "a .safetensors, .npz, .npy file is needed for the weights"),
        ("images.npz", "holds no array 'weights'"),
        ("other.safetensors", "holds no array 'weights'"),
        ("damaged.npy", "cannot be read: "),
        ("damaged.npz", "cannot be read: "),
        ("truncated.npz", "cannot be read: "),
        ("damaged.safetensors", "cannot be read: "),
        ("pickled.npy", "cannot be read: "),
        ("images.npy", "weights have 4 pixels per unit, the images 6"),
        ("number.npy", "weights have shape (): (unit, pixel) is needed"),
        ("text.npy", "an array of real numbers is needed, not <U"),
    ],
)
def test_unusable_weights_are_one_line(files, capsys, weights, said):
    (files / "weights.txt").write_text("1 2 3")
    for suffix in ("npy", "npz", "safetensors"):
        (files / f"damaged.{suffix}").write_bytes(b"this was a file once")
    content = (files / "weights.npz").read_bytes()
    (files / "truncated.npz").write_bytes(content[: len(content) // 2])
    save_file({"bias": np.zeros(5)}, files / "other.safetensors")
    np.save(files / "pickled.npy", np.array([{}]), allow_pickle=True)
    np.save(files / "number.npy", np.array(3.0))
    np.save(files / "text.npy", np.array([["a", "b"]]))
    np.save(files / "wide.npy", np.ones((3, 6)))
    images = "wide.npy" if weights == "images.npy" else "images.npy"
    assert said in refused(capsys, command(files, images=images, weights=weights))
    if weights == "truncated.npz":
        gc.collect()


def test_p_is_read_from_the_weights_file_and_must_not_contradict_it(files, capsys):
    save_file({"weights": WEIGHTS}, files / "cubic.safetensors", metadata={"p": "3.0"})
    main(command(files, weights="cubic.safetensors"))
    config = json.loads(traces.open(files / "traces.nc").attrs["config"])
    assert config["circuit"]["p"] == 3.0
    again = command(files, "--p", "2", "--overwrite", weights="cubic.safetensors")
    capsys.readouterr()
    assert "was trained with p = 3.0: leave it out" in refused(capsys, again)


def test_p_that_is_no_number_is_one_line(files, capsys):
    save_file({"weights": WEIGHTS}, files / "odd.safetensors", metadata={"p": "three"})
    said = refused(capsys, command(files, weights="odd.safetensors"))
    assert "odd.safetensors have p = 'three', which is not a number" in said


def test_metadata_may_be_null(files):
    header = b'{"__metadata__":null,"weights":{"dtype":"F64","shape":[5,4],'
    header += b'"data_offsets":[0,160]}}'
    content = len(header).to_bytes(8, "little") + header + WEIGHTS.tobytes()
    (files / "null.safetensors").write_bytes(content)
    main(command(files, weights="null.safetensors"))
    assert (files / "traces.nc").exists()


def test_numbers_that_numpy_does_not_have_are_one_line(files, capsys):
    half = torch.tensor(WEIGHTS, dtype=torch.bfloat16)
    safetensors.torch.save_file({"weights": half}, files / "half.safetensors")
    said = refused(capsys, command(files, weights="half.safetensors"))
    assert "half.safetensors cannot be read: 'weights' is BF16, which" in said


@pytest.mark.parametrize("changed", ["weights", "p"])
def test_weights_that_do_not_match_their_checksum_are_refused(files, capsys, changed):
    path = files / "summed.safetensors"
    given = torch.tensor(WEIGHTS, dtype=torch.float32)
    storage.save_tensors(path, {"weights": given}, {"p": "2.0"})
    main(command(files, weights=path.name))
    (files / "traces.nc").unlink()
    capsys.readouterr()
    content = path.read_bytes()
    if changed == "weights":
        content = content[:-1] + bytes([content[-1] ^ 1])
    else:
        assert content.count(b'"2.0"') == 1
        content = content.replace(b'"2.0"', b'"3.0"')
    path.write_bytes(content)
    said = refused(capsys, command(files, weights=path.name))
    assert "summed.safetensors is damaged, or of another version: its content" in said
    assert not (files / "traces.nc").exists()


def test_a_folder_in_place_of_the_file_is_refused_before_the_simulation(files, capsys):
    (files / "traces.nc").mkdir()
    assert "cannot write" in refused(capsys, command(files, "--overwrite"))


def test_a_single_number_is_no_image(files, capsys):
    np.save(files / "number.npy", np.array(3.0))
    said = refused(capsys, command(files, images="number.npy"))
    assert "images have shape ()" in said


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("more", [[], ["--num-images", "2"]])
def test_an_archive_with_the_suffix_of_an_array_is_one_line(files, capsys, more):
    (files / "archive.npy").write_bytes((files / "images.npz").read_bytes())
    assert "archive.npy" in refused(capsys, command(files, *more, images="archive.npy"))
    gc.collect()


def test_an_output_folder_that_is_a_file_is_one_line(files, capsys):
    said = refused(capsys, command(files, out="images.npy/traces.nc"))
    assert "cannot write " in said


def test_an_unknown_option_is_refused(files, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(command(files, "--w-exc", "1"))
    assert stopped.value.code == 2
    assert "--w-exc" in capsys.readouterr().err


def test_backends_are_listed_with_what_they_lack(capsys, monkeypatch, tmp_path):
    main(["backends"])
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        *backends.NAMES
    ]
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    main(["backends"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["numpy", "works"]
    assert all("it needs a C++ compiler" in line for line in lines[1:3])
    assert "it needs" in lines[3]  # nvcc, or a GPU


@pytest.mark.parametrize("name", ["out", "images", "weights"])
@pytest.mark.parametrize("joined", [True, False])
def test_an_empty_path_is_not_the_current_folder(files, capsys, name, joined):
    arguments = command(files)
    place = arguments.index(f"--{name}")
    arguments[place : place + 2] = [f"--{name}="] if joined else [f"--{name}", ""]
    assert f"--{name} is empty: give a value" in refused(capsys, arguments)


def test_flags_are_named_as_they_are_given(files, capsys):
    said = refused(capsys, command(files, "--batch-size", "2", "--carry-over"))
    assert "--batch-size is 2, but activity is carried over (--carry-over)" in said
    said = refused(capsys, command(files, "--limit-gib", "1e-9"))
    assert "record less often (--activity-ms), show fewer images, or raise --limit" in said
    np.save(files / "pickled.npy", np.array([{}]), allow_pickle=True)
    assert "allow_pickle" not in refused(capsys, command(files, weights="pickled.npy"))


@pytest.mark.slow
def test_a_terminal_that_knows_only_ascii_is_told_everything(files):
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    for more in (["--help"], ["--tau-ms", "-1"]):
        arguments = command(files, *more)
        done = subprocess.run(
            [sys.executable, "-m", "neurodyn", *arguments],
            env=environment,
            capture_output=True,
        )
        assert done.returncode == (0 if "--help" in more else 2), done.stderr
        assert b"Traceback" not in done.stderr
        assert (done.stdout + done.stderr).isascii()


def test_help_names_every_option(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["simulate", "--help"])
    assert stopped.value.code == 0
    said = capsys.readouterr().out
    options = (
        "weights images out overwrite num-images tau-ms w-inh p image-ms rest-ms "
        "carry-over dt-ms activity-ms batch-size backend limit-gib"
    )
    assert [name for name in options.split() if f"--{name}" not in said] == []


def test_importing_the_package_is_light():
    code = (
        "import sys, neurodyn; "
        "heavy = {'brian2', 'torch', 'xarray', 'matplotlib'} & set(sys.modules); "
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_package_runs_as_a_module():
    run = [sys.executable, "-m", "neurodyn", "backends"]
    said = subprocess.run(run, check=True, capture_output=True, text=True)
    assert said.stdout.startswith("numpy")
