"""The supervised readout: one linear layer that learns classes from the hidden units.

Features (K&H 2019, eq. 1): max(Σ_i W_ui v_i, 0)^n, with images v and rows of W of unit
norm, so that the product is a cosine and its n-th power neither overflows nor vanishes
(`layers.Dense.features`).
The losses are in `fastpath.losses`.

Source: D. Krotov & J. J. Hopfield, PNAS 116:7723 (2019); that n acts on cosines is the
author's advice for reproducing the published error.
"""

from fastpath.losses import LOSSES as LOSSES
from fastpath.readout.changing import Changing as Changing
from fastpath.readout.fitting import OnEpochEnd as OnEpochEnd
from fastpath.readout.fitting import fit as fit
from fastpath.readout.head import LinearHead as LinearHead
from fastpath.readout.head import confusion as confusion
from fastpath.readout.head import count as count
from fastpath.readout.head import error as error
from fastpath.readout.head import error_of as error_of
from fastpath.readout.scalings import SCALINGS as SCALINGS
from fastpath.readout.schedules import SCHEDULES as SCHEDULES
from fastpath.readout.schedules import WARM_UP as WARM_UP
from fastpath.readout.settings import Readout as Readout
from fastpath.readout.sources import BLOCK as BLOCK
from fastpath.readout.sources import FEATURE_SUM as FEATURE_SUM
from fastpath.readout.sources import Features as Features
from fastpath.readout.sources import Held as Held
from fastpath.readout.sources import Mirrored as Mirrored
from fastpath.readout.sources import block_of as block_of
from fastpath.readout.storage import Stored as Stored
from fastpath.readout.storage import check_room as check_room
from fastpath.readout.storage import held as held
from fastpath.readout.storage import hold as hold
from fastpath.readout.streamed import Streamed as Streamed
from fastpath.readout.streamed import features as features
