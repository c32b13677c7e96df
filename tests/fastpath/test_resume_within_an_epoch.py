"""A training that is broken off within an epoch takes the snapshots of that epoch again."""

import pytest

from fastpath.runs import storage
from fastpath.training.callbacks import Callback
from fastpath.training.snapshots import Snapshots, snapshot_moments
from tests.fastpath.test_resume import Stopped, run


class Interrupted(Callback):
    """Stops a training after so many mini-batches."""

    def __init__(self, after):
        self.left = after

    def on_batch_end(self, progress):
        self.left -= 1
        if not self.left:
            raise Stopped


def test_snapshots_of_an_epoch_that_was_broken_off_are_taken_again(tmp_path):
    moments = snapshot_moments(60, 6, 15)
    whole, ours = Snapshots(moments), Snapshots(moments)
    run(None, snapshots=whole)
    for after in (7, 40, 20):  # in the first epoch, the third and the fourth
        with pytest.raises(Stopped):
            run(
                tmp_path,
                minutes=0.0,
                snapshots=Snapshots(moments),
                others=[Interrupted(after)],
            )
    state, _ = storage.load_state(tmp_path / storage.CHECKPOINT)
    assert state.epoch == 3
    assert max(state.snapshots) == 3
    run(tmp_path, snapshots=ours)
    assert ours.as_dataset().identical(whole.as_dataset())
