"""Units and descriptions of the variables and dims of the results."""

import xarray as xr

# name: (units, long_name)
LABELS = {
    # dims
    "num_units": ("1", "number of hidden units"),
    "images": ("1", "preprocessing: pixels in [0, 1], raw or brought to unit norm"),
    "seed": ("1", "seed of the initial weights, the split and the order of images"),
    "stage": ("1", "stage of training by ranking: before, after one epoch, after all"),
    "w_inh": ("1", "strength of lateral inhibition"),
    "h_star": ("1", "threshold h*: fixed, or this share of the winner's settled activity"),
    "duration": ("1", "presentation time T / τ"),
    "k": ("1", "rank of the unit that learns anti-Hebbian in the ranking"),
    "delta": ("1", "strength Δ of anti-Hebbian learning, in all levels"),
    "level": ("1", "level of the ladder, or control"),
    "reference": ("1", "level with which a level is compared"),
    "timing": ("1", "when the synapses learn"),
    "threshold": ("1", "kind of h* in the imitation of a ranking"),
    "dale_w_inh": ("1", "w_IE = w_self of the E/I circuit"),
    "tau_inh": ("1", "τ_I / τ_E of the E/I circuit"),
    "dale_duration": ("1", "presentation time T / τ_E"),
    "tried_w_inh": ("1", "strengths of inhibition tried for whole trainings"),
    "tried_h_star": ("1", "thresholds tried for whole trainings"),
    "rule": ("1", "level trained at batch 1"),
    "other_rule": ("1", "level trained at batch 1"),
    "network": ("1", "level trained in mini-batches, or control"),
    "snapshot": ("1", "number of presentations before the snapshot"),
    "unit": ("1", "hidden unit"),
    "pixel": ("1", "input pixel"),
    "way": ("1", "level, and backend or images per mini-batch"),
    # one step
    "cosine": ("1", "cosine of ΔW with that of the reference"),
    "norm": ("1", "size of ΔW relative to that of the reference"),
    "same_g": ("1", "share of images on which all units have the reference's g"),
    "hebbian": ("1", "units per image that learn Hebbian, equilibrium"),
    "anti": ("1", "units per image that learn anti-Hebbian, equilibrium"),
    "order_equal": ("1", "share of images on which the order of h(T) is that of I"),
    "active_sets_equal": ("1", "share of images with the equilibrium's active set at T"),
    "active_units": ("1", "active units at T"),
    "active_units_settled": ("1", "active units, equilibrium"),
    "active_units_most": ("1", "largest number of active units of an image, equilibrium"),
    "distance": ("1", "median over images of max |h(T) − h_eq| / I_max"),
    "fixed_h_star": ("1", "fixed h*: exactly one unit reaches it on most images"),
    "largest_drive": ("1", "mean of the largest drive of an image"),
    "m": ("1", "last rank of 'ranks 2..m'"),
    "dt_ms": ("ms", "time step of Euler's method"),
    "run_seconds": ("s", "time of the simulation"),
    "plastic_error": (
        "1",
        "largest difference of ΔW, plastic synapses and traces, relative to max |ΔW|",
    ),
    "plastic_cosine": ("1", "cosine of ΔW of plastic synapses with that from traces"),
    # imitation of a ranking by the equilibrium
    "mimic_w_inh": ("1", "w_inh of the best imitation"),
    "mimic_h_star": ("1", "h* of the best imitation, in units of the drive or as a share"),
    "mimic_delta": ("1", "Δ of the best imitation"),
    "mimic_cosine": ("1", "cosine of ΔW with that of the ranking, on other images"),
    "mimic_floor": ("1", "this cosine for Hebbian learning by the winner alone"),
    # E/I circuit
    "ei_bounded": ("1", "1 where activity stays finite, 0 where it runs away"),
    "ei_distance": ("1", "median of max |h_E(T) − h_eq| / I_max"),
    "ei_distance_from_lateral": ("1", "median of max |h_E(T) − h(T)| / I_max, h of eq. 8"),
    "ei_same_g": ("1", "share of images with the equilibrium's g at T"),
    "ei_cosine": ("1", "cosine of settled ΔW with that of the equilibrium"),
    "ei_cosine_continuous": ("1", "cosine of continuous ΔW with that of eq. 8"),
    # whole trainings
    "tried_error": ("percent", "validation error, equilibrium at batch 1"),
    "tried_full_error": ("percent", "validation error, equilibrium in mini-batches"),
    "train_w_inh": ("1", "w_inh chosen for training at batch 1"),
    "train_h_star": ("1", "h* chosen for training at batch 1"),
    "full_w_inh": ("1", "w_inh chosen for training in mini-batches"),
    "full_h_star": ("1", "h* chosen for training in mini-batches"),
    "train_weights": ("1", "weights after training at batch 1"),
    "feature_cosine": ("1", "cosine of matched features of two rules"),
    "other_seed_cosine": ("1", "cosine of matched features with the next seed's"),
    "same_unit_cosine": (
        "1",
        "cosine of each unit's weights with the same unit's under the equilibrium, mean",
    ),
    "weight_distance": ("1", "|W − W_equilibrium| / |W_equilibrium|"),
    "full_feature_cosine": (
        "1",
        "cosine of matched features with the equilibrium's, median of units",
    ),
    "full_other_seed_cosine": (
        "1",
        "cosine of matched features with the next seed's, median of units",
    ),
    # cost
    "seconds_per_1000": ("s", "seconds of learning from 1000 images"),
    "dynamics": ("s", "seconds of time steps of the circuit"),
    "drive_and_plasticity": ("s", "seconds of drive and weight update per presentation"),
    "cost_dt_ms": ("ms", "time step of Euler's method"),
    "build_seconds": ("s", "seconds of code generation and compilation, once per run"),
    "drive": ("s", "seconds of the drive"),
    "competition": ("s", "seconds of the competition"),
    "plasticity": ("s", "seconds of the weight update"),
    "memory_mb": ("MiB", "peak memory that learning adds to libraries and data"),
}
BOTH = {
    "norm": ("1", "norm of the weights of a unit"),
    "error": ("percent", "test error of the readout"),
    "winless": ("1", "units with the largest drive on none of the validation images"),
    "used": ("1", "units that would share the wins equally with the same entropy"),
    "active": ("1", "active units per image at the chosen w_inh"),
    "learn_seconds": ("s", "time of learning, without the readout"),
}
for _name, _label in BOTH.items():
    LABELS |= {f"train_{_name}": _label, f"full_{_name}": _label}


def described(result: xr.Dataset) -> xr.Dataset:
    """Return the results with units and a long name on every variable."""
    for name, variable in result.variables.items():
        variable.attrs["units"], variable.attrs["long_name"] = LABELS[str(name)]
    return result
