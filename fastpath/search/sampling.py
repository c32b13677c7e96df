"""Which settings a worker tries next."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial

from fastpath.search.lost import index_of
from fastpath.search.space import Space

TRIES = 20  # of new settings, before those of a finite space are listed


class DistinctTPE(BaseSampler):
    """Optuna's tree-structured Parzen estimator, seeded for each trial, without repeats.

    A storage does not keep the state of a sampler. Seeded by the seed of the search and the
    index of the trial, it proposes the same settings to the same history, in whichever
    process, also after an interruption.

    Parameters
    ----------
    space
        The settings that are searched.
    seed
        Seed of the search.
    is_taken
        Function that returns whether settings have been computed already, or are just
        being computed.

    Notes
    -----
    Source: S. Watanabe, arXiv:2304.11127; J. Bergstra et al., NeurIPS 2011.
    """

    def __init__(
        self,
        space: Space,
        *,
        seed: int,
        is_taken: Callable[[optuna.Study, Mapping[str, Any]], bool],
    ) -> None:
        self._space, self._seed, self._is_taken = space, seed, is_taken

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return all settings: they are proposed together."""
        return dict(self._space.searched)

    def sample_relative(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        """Return settings that are not taken; in a finite space with none left, any."""
        varied = {n: each for n, each in search_space.items() if not each.single()}
        params: dict[str, Any] = {}
        for attempt in range(TRIES):
            tpe = TPESampler(seed=self._seed_of(study, trial, attempt))
            params = tpe.sample_relative(study, trial, varied)
            for name, each in search_space.items():
                if name not in params:  # the first trials are random
                    params[name] = tpe.sample_independent(study, trial, name, each)
            if not self._is_taken(study, params):
                return params
        if self._space.size is not None:
            for left in self._space.each():
                if not self._is_taken(study, left):
                    return left
        return params

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return the value of a setting that `sample_relative` left out: of none."""
        tpe = TPESampler(seed=self._seed_of(study, trial, 0))
        return tpe.sample_independent(study, trial, param_name, param_distribution)

    def _seed_of(self, study: optuna.Study, trial: FrozenTrial, attempt: int) -> int:
        index = index_of(trial.number, study.get_trials(deepcopy=False))
        text = f"{self._seed} {index} {attempt}".encode()
        return int.from_bytes(hashlib.sha256(text).digest()[:4])
