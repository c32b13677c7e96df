"""Which time steps Euler's method may take in a circuit of threshold-linear cells.

Both circuits are of one form, with r(h) = max(h, 0) and signed couplings A:

    τ_c dh_c/dt = I_c + Σ_d A_cd r(h_d) − h_c

While the set of active cells (h > 0) stays the same, this is linear. A mode exp(μt) becomes
(1 + dt μ)^n in Euler's method, so a mode that decays goes on doing so for

    dt < −2 Re μ / |μ|²        (for lateral inhibition, 2τ (1 + Re λ) / |1 + λ|²,
                                λ the eigenvalues of the inhibition among active units)

and one that grows is followed for dt ≤ 0.1 / |μ|. No such bound says which sets become
active. A step is therefore accepted only if it is proved or tried.

*Proved*, from any start, so for activity that is carried over too:

1. If the spectral radius of |A| is below 1, Euler's step is a contraction for dt ≤ τ: in a
   weighted maximum norm its factor is 1 − (1 − ρ) dt/τ, since r changes no more than h.
2. If A = Aᵀ ≤ 0, the energy E = ½ |r|² − ½ r·Ar − I·r falls for dt ≤ τ and dt < 2 / Λ, with
   Λ the largest eigenvalue of (1 − A)/τ. Where a step changes r_c by Δ_c, Δ_c ∂E/∂r_c is at
   most −τ_c Δ_c² / dt, also where a cell becomes active or falls silent; the second-order
   term is ½ Δ·(1 − A)Δ. This module requires dt ≤ 1 / Λ, so that no mode overshoots, and
   1 − A positive definite, so that E has one minimum. From h = 0 only cells with a positive
   drive become active, so only they count.

*Tried*: a Runge-Kutta method that controls its error solves the equations for the given
images. Where they come to rest, Euler's method must come to rest in the same state, and its
linear bound must hold there. Where they never rest (they oscillate or run away), the bound
must hold in all sets of cells that are active late, and Euler's method must go on moving.
The bound also decides about spirals that decay too slowly for a trial to show it. Where the
circuit wanders for long before it comes to rest in one of several states, no step finds the
right one for certain.

Noise and learning are not part of a trial. A step is accepted for the initial weights
without noise; weights that learn may later need a shorter step.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from neurodyn.circuits.eigenvalues import (
    extreme_eigenvalues,
    is_positive_definite,
    largest_eigenvalue,
)

HORIZON = 20.0  # length of a trial, in time constants of the slowest cell
LONGER = 5  # times HORIZON, for cases that still move
LATE = 33  # samples of the last quarter of a trial
SAMPLES = np.append(np.geomspace(1e-4, 0.75, 31)[:-1], np.linspace(0.75, 1, LATE))
NEAR = 0.02  # allowed distance from the right state, relative to a cell's activity
FINE = 0.05  # dt |μ| up to which every mode is as accurate as one cell with τ / 20
RUNAWAY = 1e6  # activity, in units of the drive, at which a trial stops
WORK = 1e6  # synapses of all cases of a trial together: a second or two
EIGEN_WORK = 5e7  # summed cubes of the sizes of sets of active cells
DENSE = 200  # active cells up to which all eigenvalues are computed


@dataclass(frozen=True, eq=False)
class Cells:
    """Time constants and couplings of the cells of a circuit."""

    tau_ms: NDArray[np.float64]
    """Time constants (cell)."""
    coupling: NDArray[np.float64]
    """A (receiving cell, sending cell): inhibition is negative."""

    @cached_property
    def synapses(self) -> Any:
        """The couplings, sparse where that is faster."""
        from scipy import sparse

        is_sparse = np.count_nonzero(self.coupling) < 0.2 * self.coupling.size
        return sparse.csr_array(self.coupling) if is_sparse else self.coupling

    def only(self, which: NDArray[np.bool_]) -> "Cells":
        """Return the circuit of some cells (cell)."""
        return Cells(self.tau_ms[which], self.coupling[np.ix_(which, which)])

    @property
    def affordable(self) -> int:
        """Number of cases that can be tried in a second or two."""
        synapses = getattr(self.synapses, "nnz", self.coupling.size)
        stiffness = self.tau_ms.max() / self.tau_ms.min()
        return max(3, int(WORK / max(synapses, 10 * len(self.tau_ms)) / stiffness))

    def slope(
        self, h: NDArray[np.float64], drive: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return dh/dt [1/ms] of states h (case, cell)."""
        return (drive + (self.synapses @ np.maximum(h, 0).T).T - h) / self.tau_ms

    def proved_ms(self, active: NDArray[np.bool_]) -> float:
        """Return a step up to which Euler's method is proved to settle [ms], or 0.

        `active` (cell) are the cells that can become active.
        """
        among = self.coupling[np.ix_(active, active)]
        fastest = float(self.tau_ms.min())
        if largest_eigenvalue(abs(among)) < 1:
            return fastest
        symmetric = (among <= 0).all() and np.array_equal(among, among.T)
        if symmetric and is_positive_definite(np.eye(len(among)) - among):
            return min(fastest, 1 / self.fastest_mode(active))
        return 0.0

    def limit_ms(
        self, active: NDArray[np.bool_], *, closely: bool = False, passing: bool = False
    ) -> float:
        """Return the linear bound on the step [ms] while these cells (cell) are active.

        A mode that decays more slowly than 1e-4 / τ is taken to decay as fast as that.

        Parameters
        ----------
        closely
            Half of the bound, which halves a rate of decay at most; and a tenth for modes
            so slow that a trial ends before they have decayed.
        passing
            These cells are active only for a while. Decaying modes may then grow in Euler's
            method, as slowly as growing modes.
        """
        modes = np.append(self._modes(active), -1 / self.tau_ms.min())
        size = np.maximum(abs(modes), 1e-12)
        slowest = float(self.tau_ms.max())
        decay = np.maximum(-modes.real, 1e-4 / slowest)
        lasting = np.exp(-HORIZON * slowest * decay) > NEAR
        share = np.where(lasting, 0.1, 0.5) if closely else 1.0
        growth = (0.02 if closely else 0.1) / size
        limits = np.where(modes.real < 0, share * 2 * decay / size**2, growth)
        if passing:
            limits = np.maximum(limits, growth)
        return float(limits.min())

    def smallest_limit_ms(self, sets: NDArray[np.bool_], **options: bool) -> float:
        """Return the smallest `limit_ms` of sets (set, cell); of many, of the largest."""
        if not len(sets):
            return np.inf
        sets = np.unique(sets, axis=0)
        sizes = sets.sum(axis=1)
        largest_first = np.argsort(-sizes, kind="stable")
        work = np.where(sizes > DENSE, 3 * sizes**2, sizes**3)[largest_first]
        affordable = largest_first[: max(1, np.searchsorted(np.cumsum(work), EIGEN_WORK))]
        return min(self.limit_ms(active, **options) for active in sets[affordable])

    def fastest_mode(self, active: NDArray[np.bool_]) -> float:
        """Return a bound on |μ| [1/ms] of all modes among any of the active cells."""
        among = abs(self.coupling[np.ix_(active, active)])
        speeds = (among + np.eye(len(among))) / self.tau_ms[active, None]
        return max(largest_eigenvalue(speeds), float(1 / self.tau_ms.min()))

    def _modes(self, active: NDArray[np.bool_]) -> NDArray[np.complex128]:
        """Return the eigenvalues μ [1/ms] among active cells, the extreme ones of many."""
        cells = self.only(active)
        tau_ms, size = cells.tau_ms, len(cells.tau_ms)
        if size > DENSE:
            return extreme_eigenvalues(lambda h: (cells.synapses @ h - h) / tau_ms, size)
        matrix = (cells.coupling - np.eye(size)) / tau_ms[:, None]
        return np.linalg.eigvals(matrix).astype(np.complex128)


@dataclass(frozen=True, eq=False)
class Trial:
    """The solution of a circuit's equations for images, with which steps are compared."""

    cells: Cells
    drive: NDArray[np.float64]
    """Drives (case, cell); a case is an image and an initial state."""
    start: NDArray[np.float64]
    """States at the start (case, cell)."""
    length_ms: float

    solved: NDArray[np.float64]
    """States (sample, case, cell): some early ones, then LATE in the last quarter."""

    @property
    def scale(self) -> float:
        """Largest drive or initial activity."""
        return float(max(abs(self.drive).max(), abs(self.start).max(), 1e-300))

    @property
    def end(self) -> NDArray[np.float64]:
        """States (case, cell) at the end."""
        return self.solved[-1]

    @cached_property
    def near(self) -> NDArray[np.float64]:
        """Distance (case, cell) from the final state that counts as rest."""
        largest = np.maximum(self.end, 0).max(axis=1, keepdims=True)
        floor = np.maximum(0.05 * largest, 1e-6 * self.scale)
        return NEAR * np.maximum(abs(self.end), floor)

    @cached_property
    def covered(self) -> NDArray[np.float64]:
        """Range (case, cell) of activities in the last quarter."""
        return np.ptp(self.solved[-LATE:], axis=0)

    @cached_property
    def moves(self) -> NDArray[np.bool_]:
        """Which cases (case) have not come to rest."""
        away = abs(self.end).max(axis=1) >= RUNAWAY**0.5 * self.scale
        return away | (self.covered > self.near).any(axis=1)

    @cached_property
    def sets(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Sets of active cells (set, cell) late in the trial: those that last, the others.

        Cases that still move are solved for longer, as many as are affordable.
        """
        late = self.solved[-LATE:] > 0
        lasts = (late == late[-1]).all(axis=(0, 2)) | ~self.moves
        longer = np.zeros(len(lasts), bool)
        if self.length_ms < 1.5 * HORIZON * self.cells.tau_ms.max():
            most = self.cells.affordable // LONGER
            longer = self.moves & (np.cumsum(self.moves) <= most)
        lasting = late[-1, lasts & ~longer]
        passing = late[:, ~lasts & ~longer].reshape(-1, late.shape[-1])
        if longer.any():
            drive, start = self.drive[longer], self.start[longer]
            more = solve(self.cells, drive, start, LONGER * self.length_ms).sets
            lasting = np.concatenate([lasting, more[0]])
            passing = np.concatenate([passing, more[1]])
        return lasting, passing

    @cached_property
    def limits_ms(self) -> tuple[float, float]:
        """Linear bounds on the step [ms] in `sets`: to follow, and to follow closely."""
        lasting, passing = self.sets
        limit = self.cells.smallest_limit_ms
        loose, close = (
            min(limit(lasting, closely=c), limit(passing, closely=c, passing=True))
            for c in (False, True)
        )
        return loose, close

    @cached_property
    def fine_ms(self) -> float:
        """Step [ms] that follows all modes of cells that are ever active."""
        return FINE / self.cells.fastest_mode((self.solved > 0).any(axis=(0, 1)))

    def follows(self, dt_ms: float, *, closely: bool) -> bool:
        """Return whether Euler's method follows the solution with this step.

        `closely`: it must be in the final state at the end of the trial; else it may still
        be on its way, with the same active cells.
        """
        bound, close_bound = self.limits_ms
        if not (dt_ms <= 1.000001 * close_bound if closely else dt_ms < bound):
            return False
        if dt_ms <= self.fine_ms:
            return True
        num_steps = math.ceil(self.length_ms / dt_ms)
        samples = {round(time * num_steps): k for k, time in enumerate(SAMPLES)}
        highest = RUNAWAY * self.scale
        h = self.start
        low, high = np.full_like(h, np.inf), np.full_like(h, -np.inf)
        done, alike = np.zeros(len(h), bool), np.ones(len(h), bool)
        for step in range(1, num_steps + 1):
            h = np.clip(h + dt_ms * self.cells.slope(h, self.drive), -highest, highest)
            if step in samples:
                done |= self._joins(h, samples[step])
                if done.all():
                    return True
            if step > 0.75 * num_steps:
                low, high = np.minimum(low, h), np.maximum(high, h)
                alike &= ((h > 0) == (self.end > 0)).all(axis=1)
        done |= (abs(h - self.end) <= self.near).all(axis=1)
        if not closely:
            done |= alike
        goes_on = (high - low).max(axis=1) >= 0.1 * self.covered.max(axis=1)
        return bool((done | (self.moves & goes_on)).all())

    def _joins(self, h: NDArray[np.float64], sample: int) -> NDArray[np.bool_]:
        """Return which cases (case) are near the solution, and keep their active cells.

        From then on the equations are linear, and the linear bound decides.
        """
        active = self.solved[sample:] > 0
        stays = (active == active[-1]).all(axis=(0, 2)) & ((h > 0) == active[-1]).all(
            axis=1
        )
        return stays & (abs(h - self.solved[sample]) <= self.near / 4).all(axis=1)


@dataclass(frozen=True, eq=False)
class Steps:
    """The test of time steps for a circuit and images."""

    cells: Cells
    drive: NDArray[np.float64]
    """Drives (image, cell)."""
    reset: bool
    """Whether each image starts from h = 0, or from the end of the previous image."""

    @cached_property
    def active(self) -> NDArray[np.bool_]:
        """Which cells (cell) may become active."""
        if self.reset and (self.cells.coupling <= 0).all():
            return (self.drive > 0).any(axis=0)  # without excitation the others never do
        return np.ones(self.drive.shape[1], bool)

    @property
    def _tried(self) -> NDArray[np.bool_]:
        """Which cells (cell) are in trials: the active ones, and the fastest."""
        tried = self.active.copy()
        tried[np.argmin(self.cells.tau_ms)] = True
        return tried

    @property
    def largest_rates(self) -> NDArray[np.float64]:
        """Largest rate r of each cell (cell) in the trials."""
        rates = np.zeros(len(self.cells.tau_ms))
        states = [trial.solved.max(axis=(0, 1)) for trial in self.trials]
        rates[self._tried] = np.maximum(np.max(states, axis=0), 0)
        return rates

    @cached_property
    def trials(self) -> list[Trial]:
        """Each image from h = 0; if not `reset`, also from the end of the previous image.

        Of many images, those chosen by `images_to_try` are tried.
        """
        cells = self.cells
        drive = self.drive[images_to_try(self.drive, cells.affordable)]
        cells, drive = cells.only(self._tried), drive[:, self._tried]
        length_ms = HORIZON * float(cells.tau_ms.max())
        first = solve(cells, drive, np.zeros_like(drive), length_ms)
        if self.reset:
            return [first]
        return [first, solve(cells, drive, np.roll(first.end, 1, axis=0), length_ms)]

    @threadpool_limits.wrap(limits=1, user_api="blas")  # threads wait for a busy core
    def accepts(self, dt_ms: float, *, closely: bool = False) -> bool:
        """Return whether a step is proved to settle, or follows all trials."""
        if dt_ms <= self.cells.proved_ms(self.active):
            return True
        return all(trial.follows(dt_ms, closely=closely) for trial in self.trials)

    def largest_ms(self, dt_ms: float, *, closely: bool = False) -> float:
        """Return a step [ms], halved until it is accepted."""
        if self.accepts(dt_ms, closely=closely):
            return dt_ms
        bound = min(trial.limits_ms[closely] for trial in self.trials)
        dt_ms = min(dt_ms, bound if closely else 0.99 * bound)
        while not self.accepts(dt_ms, closely=closely):
            dt_ms /= 2
        return dt_ms


def solve(
    cells: Cells,
    drive: NDArray[np.float64],
    start: NDArray[np.float64],
    length_ms: float,
) -> Trial:
    """Solve the equations for cases (case, cell), and return the trial."""
    from scipy.integrate import solve_ivp

    scale = max(abs(drive).max(), abs(start).max(), 1e-300)

    def slope(_: float, flat: NDArray[np.float64]) -> NDArray[np.float64]:
        h = flat.reshape(drive.shape)
        within = abs(h).max(axis=1, keepdims=True) < RUNAWAY * scale
        return (cells.slope(h, drive) * within).ravel()

    solution = solve_ivp(
        slope,
        (0.0, length_ms),
        start.ravel(),
        t_eval=length_ms * SAMPLES,
        rtol=1e-5,
        atol=1e-7 * scale,
    )
    return Trial(cells, drive, start, length_ms, solution.y.T.reshape(-1, *drive.shape))


def images_to_try(drive: NDArray[np.float64], most: int) -> NDArray[np.intp]:
    """Return the indices of images to try: all different ones, or `most` of them.

    Half of those have the most cells near the largest drive, Σ I / max I, since the more
    cells compete, the shorter a step must be. The other half are spread over the rest.
    """
    different = np.arange(len(drive))
    if drive.size <= 1e7:
        different = np.unique(drive, axis=0, return_index=True)[1]
    positive = np.maximum(drive[different], 0)
    crowd = positive.sum(axis=1) / np.maximum(positive.max(axis=1), 1e-300)
    ranked = different[np.argsort(-crowd, kind="stable")]
    if len(ranked) <= most:
        return np.sort(ranked)
    others = np.linspace(most // 2, len(ranked) - 1, most - most // 2).round()
    return np.sort(np.append(ranked[: most // 2], ranked[others.astype(np.intp)]))
