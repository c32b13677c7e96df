"""The built-in rules as one family, of which the kernels compute the sparse form.

    ΔW_u = Σ_b g_bu v_b − (Σ_b g_bu c_bu) W_u

The rules differ in c alone: the drive (`KrotovHopfield`), 0 (`Hebb`), 1 (`Instar`). The
kernels compute this sum from learners whose drive is c.
"""

from typing import Any

from fastpath.competition import Learners
from fastpath.plasticity.base import Plasticity
from fastpath.plasticity.hebb import Hebb
from fastpath.plasticity.instar import Instar
from fastpath.plasticity.krotov_hopfield import KrotovHopfield

FAMILY = (KrotovHopfield, Hebb, Instar)


def has_sparse_form(rule: Plasticity) -> bool:
    """Return whether the kernels can compute a rule from the learners alone.

    The exact class decides: a subclass, like any rule of the user's own, may do something
    else, and is only ever called.
    """
    return type(rule) in FAMILY


def with_decay(rule: Plasticity, learners: Learners) -> Learners | None:
    """Return learners from which `Kernels.changes` computes ΔW of this rule.

    Parameters
    ----------
    rule
        A plasticity rule.
    learners
        The non-zero entries of g, as a competition gives them. They stay as they are.

    Returns
    -------
    Learners or None
        The same entries, with c in place of the drive; None if the rule has no sparse form
        (see `has_sparse_form`).
    """
    if not has_sparse_form(rule):
        return None
    built_in: Any = rule
    decay = built_in.decay(learners.drive)
    # The same object where nothing changes: kernels know the memory of their own learners.
    return learners if decay is learners.drive else learners._replace(drive=decay)
