import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastpath import checkpoint
from neurodyn import traces
from scenarios.quickstart import Config, main

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_quickstart_writes_what_it_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    main(Config(units=20, epochs=5, seeds=2, num_images=4, image_ms=200.0, backend="cpp"))
    summary = json.loads(Path("runs/quickstart/summary.json").read_text())
    for row in summary["ladder"]:
        assert row["order_equal"] == 1.0
        assert row["distance_max"] < (1e-4 if row["w_inh"] == 0.5 else 0.5)
        assert -1 <= row["cosine"] <= 1
    assert summary["test_error"].keys() == {"ranking", "random weights", "back-prop"}
    assert all(len(error["seeds"]) == 2 for error in summary["test_error"].values())
    saved = traces.open("runs/quickstart/traces.nc")
    assert saved.sizes["trial"] == 2
    assert saved["w_inh"].values.tolist() == [0.5, 0.9]
    weights = checkpoint.load_tensors(Path("runs/quickstart/weights.safetensors"))[
        "weights"
    ]
    assert weights.shape == (20, 64)
    assert Path("figures/quickstart.png").stat().st_size > 20_000
    assert "floor: cos(dW Hebb only, dW ranking)" in capsys.readouterr().out
    with pytest.raises(ValueError, match="already holds a run"):
        main(Config())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--data", "zebra"], "unknown data set 'zebra'"),
        (["--seeds", "0"], "seeds is 0: at least 1"),
        (["--backend", "gpu"], "unknown backend 'gpu'"),
    ],
)
def test_mistakes_get_one_line(tmp_path, flags, message):
    done = subprocess.run(
        [sys.executable, "-m", "scenarios.quickstart", *flags],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
