import json
from pathlib import Path

import pytest

from fastpath.runs import storage
from neurodyn import traces
from scenarios.quickstart import Config, main
from tests.helpers import figures_saved, heights, mistake, panels


@pytest.mark.slow
def test_the_quickstart_writes_what_it_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = {"units": 20, "epochs": 5, "seeds": 2, "num_images": 4, "image_ms": 200.0}
    with figures_saved() as figures:
        main(Config(**small, backend="cpp"))
    summary = json.loads(Path("runs/quickstart/summary.json").read_text())
    for row in summary["ladder"]:
        assert row["order_equal"] == 1.0
        assert row["distance_max"] < (1e-4 if row["w_inh"] == 0.5 else 0.5)
        assert 0 < row["cosine"] < 1
    assert summary["test_error"].keys() == {"ranking", "random weights", "back-prop"}
    assert all(len(error["seeds"]) == 2 for error in summary["test_error"].values())
    saved = traces.open("runs/quickstart/traces.nc")
    assert saved.sizes["trial"] == 2
    assert saved["w_inh"].values.tolist() == [0.5, 0.9]
    weights = storage.load_tensors(Path("runs/quickstart/weights.safetensors"))["weights"]
    assert weights.shape == (20, 64)
    assert Path("runs/quickstart/quickstart.png").exists()
    shown = panels(*figures)
    assert "image 2, w_inh = 0.9" in shown
    errors = [error["mean"] for error in summary["test_error"].values()]
    assert heights(shown["test error [%], mean ± sd of 2 seeds"]) == errors
    cosines = [row["cosine"] for row in summary["ladder"]]
    assert heights(shown["agreement of the levels"])[2::4] == cosines
    assert not Path("figures").exists()  # what is committed there, it leaves alone
    assert "floor: cos(dW Hebb only, dW ranking)" in capsys.readouterr().out
    with pytest.raises(ValueError, match="already holds a run"):
        main(Config())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--data", "zebra"], "unknown data set 'zebra'"),
        (["--data", "digits", "--data-root", "/tmp"], "--data-root /tmp has no effect"),
        (["--out", ""], "--out is empty"),
        (["--seeds", "0"], "seeds is 0: at least 1"),
        (["--backend", "gpu"], "unknown backend 'gpu'"),
    ],
)
def test_mistakes_get_one_line(tmp_path, monkeypatch, capsys, flags, message):
    monkeypatch.chdir(tmp_path)
    assert message in mistake(capsys, "quickstart", *flags)
