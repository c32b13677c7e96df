"""The trials of the study."""

from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr

from fastpath.competition import Equilibrium
from scenarios.ladder.config import Config
from scenarios.ladder.cost import QUICK_WAYS, WAYS, Cost
from scenarios.ladder.exc_inh import ExcInh
from scenarios.ladder.mimic import Mimic
from scenarios.ladder.networks import STAGES, Network, Source
from scenarios.ladder.one_step import TIMINGS, OneStep, Plastic
from scenarios.ladder.training import Circuit, FullScale, OneByOne, controls
from scenarios.support.circuit import HEBB_ONLY, RANKING
from scenarios.support.grid import Task, Trial

# w_inh and h* for whole trainings are chosen on validation images of their own seed. The
# images have unit norm, so that a drive is the norm of a row of W times a cosine.
TRIED_W_INH = (0.7, 0.9, 0.95)
TRIED_H_STAR = (0.2, 0.3, 0.4, 0.5)
CHOICE_SEED = 1000
DELTA = RANKING.delta
DALE_W_INH = (0.5, 0.9, 1.2)
DALE_TAU_INH = (0.1, 0.5, 2.0)
DALE_DURATIONS = (20.0, 100.0)
PLASTIC_T = 20.0
MIMIC_IMAGES = 300

type Fill = Callable[[Sequence[Task]], list[xr.Dataset]]


def source(config: Config, *, seed: int, unit_norm: bool = True) -> Source:
    """Return the data set with the split and preprocessing of a seed."""
    return Source(data=config.data, unit_norm=unit_norm, seed=seed, root=config.data_root)


def networks(config: Config) -> list[Network]:
    """Return the networks from whose weights one step of learning starts."""
    return [
        Network(
            source=source(config, seed=seed, unit_norm=unit_norm),
            num_units=num_units,
            epochs=config.passes_of(num_units, config.epochs),
        )
        for num_units in config.units
        for unit_norm in (False, True)[: 2 if config.has_all(num_units) else 1]
        for seed in range(config.seeds)
    ]


def step_of(config: Config, network: Network, stage: str, w_inh: float) -> OneStep:
    """Return one step of learning at one strength of inhibition."""
    return OneStep(
        network=network,
        stage=stage,
        w_inh=w_inh,
        num_images=config.num_images[config.units.index(network.num_units)],
        durations=config.durations_of(network.num_units, w_inh),
        shares=config.shares,
        ks=config.ks,
        deltas=config.deltas,
        backend=config.step_backend,
    )


def one_steps(config: Config) -> list[OneStep]:
    """Return all comparisons of one step of learning."""
    return [
        step_of(config, network, stage, w_inh)
        for network in networks(config)
        for stage in (STAGES if config.has_all(network.num_units) else STAGES[-1:])
        for w_inh in config.strengths_of(network.num_units)
    ]


def narrow(config: Config, network: Network, w_inh: float, *durations: float) -> OneStep:
    """Return one step from late weights with the published Δ, at few T."""
    return OneStep(
        network=network,
        stage="late",
        w_inh=w_inh,
        num_images=config.num_images[config.units.index(network.num_units)],
        durations=durations,
        shares=(),
        ks=(RANKING.k,),
        deltas=(DELTA,),
        backend=config.step_backend,
    )


def plastics(config: Config) -> list[Plastic]:
    """Return the checks with synapses that learn while the circuit runs."""
    first, *_ = networks(config)
    step = narrow(config, first, 0.9, PLASTIC_T)
    return [Plastic(step=step, timing=timing, duration=PLASTIC_T) for timing in TIMINGS]


def mimics(config: Config) -> list[Mimic]:
    """Return the searches for the equilibrium that is closest to a ranking."""
    return [
        Mimic(
            network=network,
            stage="late",
            num_images=MIMIC_IMAGES if config.data != "digits" else 100,
            ks=config.ks,
            deltas=config.deltas,
        )
        for network in networks(config)
    ]


def exc_inhs(config: Config) -> list[ExcInh]:
    """Return the comparisons of E/I circuit and lateral inhibition, first size only."""
    durations = DALE_DURATIONS[:1] if config.quick else DALE_DURATIONS
    return [
        ExcInh(step=narrow(config, network, w_inh, *durations), tau_inh=tau_inh)
        for w_inh in (DALE_W_INH[1:2] if config.quick else DALE_W_INH)
        for tau_inh in (DALE_TAU_INH[::2] if config.quick else DALE_TAU_INH)
        for network in networks(config)
        if network.num_units == config.units[0] and not network.source.unit_norm
    ]


def tried(config: Config) -> tuple[list[OneByOne], list[FullScale]]:
    """Return the trainings with the equilibrium from which w_inh and h* are chosen."""
    rules = [
        Equilibrium(w_inh=w_inh, h_star=h_star, delta=DELTA)
        for w_inh in TRIED_W_INH
        for h_star in TRIED_H_STAR
    ]
    seen = source(config, seed=CHOICE_SEED)
    one_by_one = [
        OneByOne(
            name=name_of(rule),
            level=rule,
            source=seen,
            num_units=config.units[0],
            presentations=config.presentations,
            rate=config.rate,
            head_epochs=config.head_epochs,
            probe_w_inh=rule.w_inh,
            validation=True,
        )
        for rule in rules
    ]
    full = [
        FullScale(
            name=name_of(rule),
            level=rule,
            source=seen,
            num_units=num_units,
            epochs=max(1, config.full_passes_of(num_units) // 5),
            head_epochs=max(1, config.head_epochs // 2),
            probe_w_inh=rule.w_inh,
            validation=True,
        )
        for num_units in config.trained_units
        for rule in rules
    ]
    return one_by_one, full


def name_of(rule: Equilibrium) -> str:
    """Return the name of a candidate: its w_inh and h*."""
    return f"{rule.w_inh:g} {rule.h_star:g}"


def best(
    trials: Sequence[OneByOne] | Sequence[FullScale], results: list[xr.Dataset]
) -> Equilibrium:
    """Return the equilibrium with the smallest validation error."""
    rule = trials[int(np.argmin([float(result["error"]) for result in results]))].level
    assert isinstance(rule, Equilibrium)
    return rule


def one_by_ones(config: Config, rule: Equilibrium) -> list[OneByOne]:
    """Return the trainings at batch 1: the same start and order of images at all levels."""
    circuit = {
        "w_inh": rule.w_inh,
        "h_star": rule.h_star,
        "delta": rule.delta,
        "backend": config.backend,
    }
    levels = {
        "settled circuit": Circuit(
            **circuit, duration=2 * config.train_duration, continuous=False
        ),
        "continuous circuit": Circuit(
            **circuit, duration=config.train_duration, continuous=True
        ),
        "equilibrium": rule,
        "ranking": RANKING,
        "Hebb only": HEBB_ONLY,
    }
    return [
        OneByOne(
            name=name,
            level=level,
            source=source(config, seed=seed),
            num_units=config.units[0],
            presentations=config.presentations,
            rate=config.rate,
            head_epochs=config.head_epochs,
            probe_w_inh=rule.w_inh,
        )
        for seed in range(config.seeds)
        for name, level in levels.items()
    ]


def full_scale(config: Config, rules: dict[int, Equilibrium]) -> list[Trial]:
    """Return the trainings in mini-batches and their controls, for each size."""
    trials: list[Trial] = []
    for num_units, rule in rules.items():
        levels = {"equilibrium": rule, "ranking": RANKING, "Hebb only": HEBB_ONLY}
        for seed in range(config.seeds):
            seen = source(config, seed=seed)
            trials += (
                FullScale(
                    name=name,
                    level=level,
                    source=seen,
                    num_units=num_units,
                    epochs=config.full_passes_of(num_units),
                    head_epochs=config.head_epochs,
                    probe_w_inh=rule.w_inh,
                )
                for name, level in levels.items()
            )
            trials += controls(
                seen,
                num_units,
                head_epochs=config.head_epochs,
                probe_w_inh=rule.w_inh,
            )
    return trials


def costs(config: Config) -> list[Cost]:
    """Return the ways of learning whose cost is measured."""
    return [
        Cost(
            source=source(config, seed=0),
            num_units=num_units,
            way=way,
            isolated=not config.quick,
        )
        for num_units in config.trained_units
        for way in (QUICK_WAYS if config.quick else WAYS)
    ]
