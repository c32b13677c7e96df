"""What an interrupted run goes on from: damaged, or of another version."""

import pytest
import torch

from fastpath.cli import main
from fastpath.runs import storage
from tests.fastpath.saved_runs import altered
from tests.helpers import refused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: c["training"].update(momentum=0.9),
            "unknown here: training.momentum; m",
        ),
        (lambda c: c["training"].pop("lr"), "unknown here: none; missing: training.lr. It"),
        (lambda c: c.update(teachers=True), "unknown here: teachers"),
        (lambda c: c["layer"].pop("num_units"), "missing: layer.num_units"),
        (lambda c: c["competition"].update(q=1), "unknown here: competition.q"),
        (
            lambda c: c["competition"].update(name="Winner"),
            "the competition is 'Winner': thi",
        ),
        (lambda c: c.update(competition="Ranking"), "the competition is 'Ranking': this"),
        (lambda c: c.update(competition={"name": ["a"]}), "the competition is list ['a']"),
        (lambda c: c["readout"].update(power=-1.0), "power is -1.0: it must be positive"),
        (lambda c: c.update(machine={}), "does not say of the machine: device, threads, p"),
        (
            lambda c: c.update(fastpath="0.0.7", x=1),
            "by fastpath 0.0.7, this is fastpath 0.",
        ),
    ],
)
def test_a_checkpoint_of_another_version_is_refused_by_its_fields(
    interrupted, capsys, change, message
):
    assert storage.load_state(interrupted / "checkpoint.safetensors")[1]["fastpath"]
    altered(interrupted, change)
    line = refused(capsys, "resume", interrupted)
    assert message in line
    assert str(interrupted) in line


def test_a_checkpoint_of_an_older_version_of_the_same_settings_goes_on(interrupted, capsys):
    altered(interrupted, lambda config: config.pop("fastpath"))
    main(["resume", str(interrupted)])
    assert "test error" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (torch.zeros(8, 64).half(), "'weights' is float16"),
        (torch.full((8, 64), torch.nan), "'weights' has 512 values that are NaN"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(interrupted, capsys, weights, message):
    altered(interrupted, lambda _: None, weights=weights)
    assert message in refused(capsys, "resume", interrupted)


def test_a_checkpoint_of_fewer_units_than_configured_is_refused(interrupted, capsys):
    altered(interrupted, lambda config: config["layer"].update(num_units=9))
    line = refused(capsys, "resume", interrupted)
    assert "'weights' is float32 of shape (8, 64), but float32 of shape (9, 64) is" in line
