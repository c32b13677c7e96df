"""Plasticity: the weight update ΔW for given g, one local rule for every competition.

There are three rules, in one file each. They belong to one family (see `family`):

    ΔW_u = Σ_b g_bu v_b − (Σ_b g_bu c_bu) W_u

| rule | c | what the weights of a winner do |
|---|---|---|
| `KrotovHopfield` | the drive I_bu | approach p-norm 1 (eq. 3 with R = 1) |
| `Hebb` | 0 | grow |
| `Instar` | 1 | approach the mean of its images |
"""

from fastpath.plasticity.base import Normalize as Normalize
from fastpath.plasticity.base import Plasticity as Plasticity
from fastpath.plasticity.base import annealed as annealed
from fastpath.plasticity.base import check_exponent as check_exponent
from fastpath.plasticity.base import check_normalize as check_normalize
from fastpath.plasticity.base import signed_power as signed_power
from fastpath.plasticity.base import step_size as step_size
from fastpath.plasticity.family import has_sparse_form as has_sparse_form
from fastpath.plasticity.family import with_decay as with_decay
from fastpath.plasticity.hebb import Hebb as Hebb
from fastpath.plasticity.instar import Instar as Instar
from fastpath.plasticity.krotov_hopfield import KrotovHopfield as KrotovHopfield
from fastpath.plasticity.krotov_hopfield import delta_w as delta_w

# The rules of runs that are saved. One that is added is saved and resumed like the others.
KINDS: dict[str, type] = {
    "krotov-hopfield": KrotovHopfield,
    "hebb": Hebb,
    "instar": Instar,
}
