"""Run a spiking network image after image, and keep its state between runs.

A run is a number of presentations, not more than there are images left. Images that were
shown in vain take presentations too; what remains is shown in further runs. So a run never
goes on after the last image, and where runs end has no influence on the result.
"""

import json
import textwrap
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neurodyn.circuits.spiking import SpikingInhibition
from neurodyn.plasticity.protocols import FEEDFORWARD
from neurodyn.stimulus import PoissonPresentation

if TYPE_CHECKING:
    from neurodyn.engine.spiking import Network, Slots

type State = dict[tuple[str, str], Any]

RUN_SECONDS = 20.0  # of computing, lost at most when a training is stopped
FIRST_SLOTS = 16  # of the first run, which tells how long a presentation takes
POSITION, ATTEMPT, FIRED = (("presenter", n) for n in ("position", "attempt", "fired"))
ENOUGH = 2**30  # spikes, with which any image is finished


def waiting(state: Mapping[tuple[str, str], Any] | None, *, copies: int = 1) -> State:
    """Return the presenter's state between two series of images.

    `state` is that in which an image is to be shown again; None: the next one is to come.
    """
    if state is not None:
        position = np.zeros(copies, np.int32)
        return {POSITION: position, ATTEMPT: state[ATTEMPT], FIRED: state[FIRED]}
    return {
        POSITION: np.full(copies, -1, np.int32),
        ATTEMPT: np.zeros(copies, np.int32),
        FIRED: np.full(copies, ENOUGH, np.int32),
    }


def is_finished(
    state: Mapping[tuple[str, str], Any], stimulus: PoissonPresentation
) -> NDArray[np.bool_]:
    """Return of each copy whether its image was shown for the last time."""
    return (state[FIRED] >= stimulus.min_spikes) | (state[ATTEMPT] >= stimulus.last_attempt)


def runs(
    network: "Network",
    state: State,
    bank: NDArray[np.float64],
    order: NDArray[np.intp],
    *,
    phase: str,
    seed: int,
    first_number: int,
    first_slot: int,
    every: int | None,
) -> "Iterator[tuple[State, Slots, int]]":
    """Show images; yield the state after each run, its records, and how many it finished.

    Parameters
    ----------
    bank, order
        Rates (image, pixel), and the images to show. Of copies side by side, copy c shows
        order[c], order[c + copies], ...
    first_number, first_slot
        Numbers of images and presentations before these.
    every
        Also end a run whenever so many images are finished.
    """
    layout = network.layout
    copies, num_slots = layout.copies, FIRST_SLOTS
    of_copy = [order[copy::copies] for copy in range(copies)]
    last = np.array([len(each) for each in of_copy])
    done = np.zeros(copies, np.intp)
    while (left := int((last - done).max())) > 0:
        if every is not None:
            left = min(left, every - int(done[0]) % every)
        num_slots = max(1, min(num_slots, left, layout.rows))
        images = np.zeros((copies, num_slots, layout.num_pixels))
        for copy, each in enumerate(of_copy):
            shown = bank[each[done[copy] : done[copy] + num_slots]]
            images[copy, : len(shown)] = shown
        begin = time.perf_counter()
        state, slots = network.run(
            state,
            images,
            num_slots=num_slots,
            offset=done,
            last=last,
            first_number=first_number,
            first_slot=first_slot,
            phase=phase,
            seed=seed,
            report=lambda _: None,
        )
        before = int(done.sum())
        done = np.minimum(state[POSITION] + is_finished(state, layout.stimulus), last)
        first_slot += num_slots
        yield state, slots, int(done.sum()) - before
        spent = time.perf_counter() - begin
        num_slots = int(min(num_slots * RUN_SECONDS / spent, layout.rows))


def save(
    path: Path,
    state: State,
    *,
    settings: dict[str, Any],
    num_trained: int,
    num_slots: int,
) -> None:
    """Write a state to a netCDF file, whole or not at all.

    Raises
    ------
    ValueError
        If the file cannot be written.
    """
    import xarray as xr

    from neurodyn import netcdf, traces

    variables = {
        f"{group}.{name}": (f"{group}.{name}_cell", np.atleast_1d(value))
        for (group, name), value in state.items()
    }
    attrs = {
        "settings": traces.as_json(settings),
        "num_trained": num_trained,
        "num_slots": num_slots,
    }
    traces.check_writable(path)
    netcdf.save(path, xr.Dataset(variables, attrs=attrs), {})


def sizes(circuit: SpikingInhibition, num_units: int, num_pixels: int) -> dict[str, int]:
    """Return the number of cells or synapses of each object with a state."""
    return {
        "exc": num_units,
        "inh": circuit.num_inhibitory(num_units),
        "pixels": num_pixels,
        "presenter": 1,
        FEEDFORWARD: num_units * num_pixels,
    }


def _differing(theirs: Any, ours: Any, name: str = "") -> tuple[str, Any, Any] | None:
    """Return name and values of the first setting that differs, or None."""
    if not (isinstance(theirs, dict) and isinstance(ours, dict)):
        return None if theirs == ours else (name, theirs, ours)
    for key in sorted({*ours, *theirs}, key=lambda key: (key != "name", key)):
        inner = f"{name}.{key}" if name else key
        if found := _differing(theirs.get(key), ours.get(key), inner):
            return found
    return None


def restored(
    path: Path,
    settings: dict[str, Any],
    *,
    sizes: Mapping[str, int],
    needed: Iterable[tuple[str, str]],
) -> tuple[State, int, int]:
    """Return (state, num_trained, num_slots) that `save` wrote.

    Parameters
    ----------
    settings
        Settings of the network, which must be those in the file.
    sizes, needed
        Number of cells or synapses of each object, and the variables that have one value
        for each of them; those of others may have one for all.

    Raises
    ------
    ValueError
        If the file is missing or damaged, or the settings are others.
    """
    import xarray as xr

    from neurodyn import traces

    saved = traces.loaded(path, load=xr.load_dataset)
    if "settings" not in saved.attrs:
        raise ValueError(f"{path} has no state of a spiking network: give a file of `save`")
    theirs = json.loads(saved.attrs["settings"])
    ours = json.loads(traces.as_json(settings))
    if different := _differing(theirs, ours):
        name, *values = different
        there, here = (textwrap.shorten(str(value), 60) for value in values)
        raise ValueError(
            f"{path} is of a network with {name} = {there}, this one has {here}: give the "
            "network the same settings"
        )
    state = {
        (group, name): saved[variable].values
        for variable in map(str, saved)
        for group, _, name in [variable.partition(".")]
    }
    counts = [saved.attrs.get(name, -1) for name in ("num_trained", "num_slots")]
    wrong = [
        ".".join(key)
        for key in needed
        if key not in state or state[key].size != sizes[key[0]]
    ]
    wrong += [
        f"{group}.{name}"
        for (group, name), value in state.items()
        if value.size not in (1, sizes.get(group))
        or not np.isfinite(value).all()
        or (name == "W" and value.min() < 0)
    ]
    if wrong or min(counts) < 0:
        raise ValueError(
            f"{path} is damaged: {', '.join(wrong) or 'the number of images'} is missing, "
            "or not as `save` writes it"
        )
    return state, int(counts[0]), int(counts[1])
