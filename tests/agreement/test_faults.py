"""A fault in either package, or in the compiled kernels, breaks an agreement."""

import functools
import shutil

import pytest
import torch

import neurodyn
from fastpath import competition, kernels
from fastpath.competition import Ranking, fixed_point, rank
from fastpath.kernels import cpp, pytorch
from neurodyn import equilibrium
from neurodyn.circuits import dale, lateral
from tests.agreement.agreements import (
    W_INH,
    agreements,
    start,
)


def settled_with(num_peers):
    """Return the closed form with m units that are inhibited by `num_peers`(m) others."""

    def settle(drive, *, w_inh):
        drive = torch.as_tensor(drive)
        descending = drive.sort(dim=1, descending=True).values
        m = torch.arange(1, drive.shape[1] + 1)
        gain = 1 + w_inh * num_peers(m)
        active = (descending * gain > w_inh * descending.cumsum(dim=1)).sum(1, True)
        last = (active - 1).clamp(min=0)
        total = descending.cumsum(dim=1).gather(1, last) / gain[last]
        excess = drive - w_inh * total
        return torch.where(excess > 0, excess / (1 - w_inh), excess)

    return settle


RIGHT = {
    "equilibrium": competition.equilibrium,
    "ranking": competition.ranking,
    "changes": pytorch.PyTorchKernels.changes,
    "learners": Ranking.learners,
}


def plant(monkeypatch, home, name, fault):
    for module in (home, competition):
        monkeypatch.setattr(module, name, fault)


def unlearning_of_the_wrong_sign(monkeypatch):
    def wrong(drive, **settings):
        return RIGHT["equilibrium"](drive, **settings).abs()

    plant(monkeypatch, fixed_point, "equilibrium", wrong)


def a_rank_too_far(monkeypatch):
    def wrong(drive, *, k, delta):
        return RIGHT["ranking"](drive, k=k + 1, delta=delta)

    plant(monkeypatch, rank, "ranking", wrong)


def ranking_of_the_wrong_sign(monkeypatch):
    def wrong(drive, **settings):
        return RIGHT["ranking"](drive, **settings).abs()

    plant(monkeypatch, rank, "ranking", wrong)


def closed_form_that_inhibits_itself(monkeypatch):
    def settle(drive, *, w_inh):
        descending = drive.sort(dim=1, descending=True).values
        m = torch.arange(1, drive.shape[1] + 1)
        total = descending.cumsum(dim=1) / (1 + m * w_inh)
        last = (descending > w_inh * total).sum(1, True) - 1
        return drive - w_inh * total.gather(1, last.clamp(min=0))

    plant(monkeypatch, fixed_point, "settle", settle)


def closed_form_with_a_peer_too_many(monkeypatch):
    plant(monkeypatch, fixed_point, "settle", settled_with(lambda m: m))


def compute_with(monkeypatch, name):
    choose = kernels.choose
    monkeypatch.setattr(kernels, "choose", lambda *where: choose(*where[:2], name))


def plain_decay_of_the_wrong_sign(monkeypatch):
    def wrong(self, learners, images, weights):
        turned = learners._replace(drive=-learners.drive)
        return RIGHT["changes"](self, turned, images, weights)

    compute_with(monkeypatch, "pytorch")
    monkeypatch.setattr(pytorch.PyTorchKernels, "changes", wrong)


def plain_rank_too_far(monkeypatch):
    def wrong(rule, drive):
        return RIGHT["learners"](Ranking(k=rule.k + 1, delta=rule.delta), drive)

    compute_with(monkeypatch, "pytorch")
    monkeypatch.setattr(Ranking, "learners", wrong)


# In the source of the compiled kernels: what stands there, and what shall not.
COMPILED = {
    "decay of the wrong sign": ("out[i + l] - decay * w", "out[i + l] + decay * w"),
    "a rank too near": (
        "learns(units[j], T(-delta))",
        "learns(units[j - 1], T(-delta))",
    ),
    "unlearning of the wrong sign": (
        "hebbian ? T(1) : T(-delta)",
        "hebbian ? T(1) : T(delta)",
    ),
    "ranking of the wrong sign": (
        "learns(units[j], T(-delta))",
        "learns(units[j], T(delta))",
    ),
    "a peer too many": ("(1 + T(m - 1) * w)", "(1 + T(m) * w)"),
}


def built_with(monkeypatch, folder, right, wrong):
    """Build the compiled kernels from a source with a fault."""
    text = cpp.SOURCE.read_text()
    assert text.count(right) == 1
    for header in cpp.HEADERS:
        shutil.copy(header, folder)
    (folder / "faulty.cpp").write_text(text.replace(right, wrong))
    monkeypatch.setattr(cpp, "SOURCE", folder / "faulty.cpp")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    compute_with(monkeypatch, "cpp")
    uncached = cpp._library.__wrapped__
    monkeypatch.setattr(cpp, "_library", functools.cache(uncached))


def circuit_of_the_wrong_sign(monkeypatch):
    text = neurodyn.KrotovHopfield.activation
    assert "- delta" in text
    wrong = text.replace("- delta", "+ delta")
    monkeypatch.setattr(neurodyn.KrotovHopfield, "activation", wrong)


def circuit_that_inhibits_itself(monkeypatch):
    assert "(S - r)" in lateral.POOLED
    monkeypatch.setattr(lateral, "POOLED", lateral.POOLED.replace("(S - r)", "S"))


def explicit_synapse_onto_itself(monkeypatch):
    text = lateral.EXPLICIT
    wrong = text.replace("- inhibition", f"- inhibition - {W_INH}*r")
    assert wrong != text
    monkeypatch.setattr(lateral, "EXPLICIT", wrong)


def exc_inh_circuit_that_inhibits_itself(monkeypatch):
    assert "+ w_self*r" in dale.EXCITATORY
    monkeypatch.setattr(
        dale, "EXCITATORY", dale.EXCITATORY.replace("+ w_self*r", "+ 0*w_self*r")
    )


def numpys_closed_form_with_a_peer_too_many(monkeypatch):
    wrong = settled_with(lambda m: m)
    monkeypatch.setattr(
        equilibrium, "settle", lambda drive, *, w_inh: wrong(drive, w_inh=w_inh).numpy()
    )


FAULTS = [
    *(unlearning_of_the_wrong_sign, a_rank_too_far, ranking_of_the_wrong_sign),
    *(closed_form_that_inhibits_itself, closed_form_with_a_peer_too_many),
    *(plain_decay_of_the_wrong_sign, plain_rank_too_far),
    *(circuit_of_the_wrong_sign, circuit_that_inhibits_itself),
    *(explicit_synapse_onto_itself, exc_inh_circuit_that_inhibits_itself),
    numpys_closed_form_with_a_peer_too_many,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_breaks_an_agreement(digits, monkeypatch, fault):
    fault(monkeypatch)
    with pytest.raises(AssertionError):
        agreements(digits)


@pytest.mark.slow
@pytest.mark.parametrize("fault", COMPILED)
def test_a_fault_in_the_compiled_kernels_breaks_an_agreement(
    digits, monkeypatch, tmp_path, fault
):
    if reason := cpp.why_not(torch.device("cpu"), torch.float64):
        pytest.skip(reason)
    built_with(monkeypatch, tmp_path, *COMPILED[fault])
    assert start().kernels.name == "cpp"
    with pytest.raises(AssertionError):
        agreements(digits)


@pytest.mark.parametrize("name", ["pytorch", "cpp"])
def test_without_a_fault_all_agree(digits, monkeypatch, name):
    if name == "cpp" and (reason := cpp.why_not(torch.device("cpu"), torch.float64)):
        pytest.skip(reason)
    compute_with(monkeypatch, name)
    agreements(digits)
