"""Competitions: from the drive of each image to the learning activation g of each unit.

There are four, in one file each: the circuit's own fixed point, the ranking that the paper
uses for speed, a ranking in which several units unlearn, and a softmax. Each is a function
of the drive. The dataclass of the same name holds its settings; a layer takes it as
`competition`.
"""

from typing import Any

from fastpath.competition.base import Competition as Competition
from fastpath.competition.base import Learners as Learners
from fastpath.competition.base import Rule as Rule
from fastpath.competition.base import activation as activation
from fastpath.competition.base import sparse as sparse
from fastpath.competition.fixed_point import Equilibrium as Equilibrium
from fastpath.competition.fixed_point import equilibrium as equilibrium
from fastpath.competition.fixed_point import settle as settle
from fastpath.competition.rank import Ranking as Ranking
from fastpath.competition.rank import check_rank as check_rank
from fastpath.competition.rank import ranking as ranking
from fastpath.competition.runners_up import RunnersUp as RunnersUp
from fastpath.competition.runners_up import runners_up as runners_up
from fastpath.competition.softmax import Soft as Soft
from fastpath.competition.softmax import soft as soft

# The names of the competitions in commands. A competition that is added here can be saved
# and resumed like the others.
KINDS: dict[str, Any] = {
    "ranking": Ranking,
    "runners-up": RunnersUp,
    "equilibrium": Equilibrium,
    "soft": Soft,
}
