"""A team's processes as threads: what each adds to what the others learned."""

import threading

import pytest
import torch

from fastpath.competition import Equilibrium, Ranking, RunnersUp, Soft
from fastpath.kernels import Learners
from fastpath.layers import Dense
from fastpath.training import distributed
from fastpath.training.distributed import Team

UNITS, PIXELS, IMAGES = 6, 5, 7


class Meeting:
    """Where as many threads exchange tensors, in the place of torch.distributed."""

    def __init__(self, size):
        self.size = size
        self._barrier = threading.Barrier(size, timeout=60)
        self._held = {}
        self.rank = threading.local()

    def _exchanged(self, mine):
        self._held[self.rank.number] = mine.clone()
        self._barrier.wait()
        found = [self._held[rank] for rank in range(self.size)]
        self._barrier.wait()
        return found

    def all_gather_into_tensor(self, out, mine):
        out.copy_(torch.cat(self._exchanged(mine)))

    def all_reduce(self, tensor):
        tensor.copy_(torch.stack(self._exchanged(tensor)).sum(dim=0))

    def all(self, work):
        """Return what `work` returns in each thread, given its rank."""
        found, faults = [None] * self.size, []

        def run(rank):
            self.rank.number = rank
            try:
                found[rank] = work(Team(rank, self.size))
            except BaseException as fault:
                faults.append(fault)
                self._barrier.abort()

        threads = [threading.Thread(target=run, args=(r,)) for r in range(self.size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not faults, faults[0]
        return found


@pytest.fixture(params=[2, 3])
def meeting(request, monkeypatch):
    met = Meeting(request.param)
    monkeypatch.setattr(distributed, "dist", met)
    return met


def learners(per_image, seed=0):
    """Return who learned from each of IMAGES images, so many units each."""
    generator = torch.Generator().manual_seed(seed)
    count = torch.as_tensor(per_image)
    image = torch.arange(IMAGES).repeat_interleave(count)
    unit = torch.randint(0, UNITS, (len(image),), generator=generator)
    g, drive = torch.randn(2, len(image), generator=generator, dtype=torch.float64)
    return Learners(image, unit, g, drive)


@pytest.mark.parametrize(
    "per_image", [2, [0, 3, 1, 0, 5, 2, 0], [9, 0, 0, 0, 0, 0, 0], 0], ids=str
)
def test_learners_of_shares_are_those_of_the_whole_mini_batch(meeting, per_image):
    whole = learners(per_image)

    def gathered(team):
        share = team.share(IMAGES)
        mine = (whole.image >= share.start) & (whole.image < share.stop)
        found = Learners(*(part[mine] for part in whole))
        return team.gather(found._replace(image=found.image - share.start), IMAGES)

    for found in meeting.all(gathered):
        for part, expected in zip(found, whole, strict=True):
            assert part.dtype == expected.dtype
            assert torch.equal(part, expected)


@pytest.mark.parametrize("p", [2.0, 3.0])
@pytest.mark.parametrize(
    "rule",
    [
        Ranking(k=3),
        RunnersUp(k=4, delta=0.1),
        Equilibrium(w_inh=0.05, h_star=0.5),
        Soft(anti=True),
    ],
    ids=lambda rule: type(rule).__name__,
)
def test_a_team_learns_as_one_does(meeting, rule, p):
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(UNITS, PIXELS, generator=generator, dtype=torch.float64)
    batches = torch.randn(3, IMAGES, PIXELS, generator=generator, dtype=torch.float64)

    def learned(team):
        layer = Dense(weights, p=p)
        for images in batches:
            layer.learn(images, rule, lr=0.1, team=team)
        return layer.weights

    alone = learned(None)
    assert (alone - weights).abs().max() > 0.05
    ours = meeting.all(learned)
    for found in ours:
        assert torch.equal(found, ours[0])
        # Measured 4e-16: the sums run in another order.
        torch.testing.assert_close(found, alone, rtol=0, atol=1e-13)
