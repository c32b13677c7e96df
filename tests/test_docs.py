"""The examples in the documentation run as they are printed, in order."""

import re
from pathlib import Path

import numpy as np
import pytest

import neurodyn
from neurodyn import (
    Continuous,
    Gated,
    KrotovHopfield,
    LateralInhibition,
    Presentation,
    Recording,
    Settled,
)

DOCS = Path(__file__).parents[1] / "docs"


def blocks(page):
    """Return the Python code of a page."""
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


@pytest.fixture(scope="module", name="extending")
def _extending():
    """The names that the page about extending defines, after all its examples."""
    names = {"__name__": "extending"}
    for number, code in enumerate(blocks("extending.md")):
        exec(compile(code, f"extending.md, example {number}", "exec"), names)
    return names


def test_the_page_about_extending_runs(extending):
    assert {"BCM", "DepressingInhibition", "Drifting", "onsets"} <= set(extending)


def with_cpp(names, cases, *compiled):
    """Return a mark for each case on NumPy, and for some of them, compiled, on C++."""
    runs = [(*case, "numpy") for case in cases]
    runs += [pytest.param(*case, "cpp", marks=pytest.mark.slow) for case in compiled]
    return pytest.mark.parametrize((*names, "backend"), runs)


DT_MS, IMAGE_MS, REST_MS, TAU_MS, W_INH = 0.5, 20.0, 4.0, 10.0, 0.5
STEPS, REST_STEPS = round((IMAGE_MS + REST_MS) / DT_MS), round(REST_MS / DT_MS)
ORDER = [0, 2, 1, 2]


@pytest.fixture(name="given")
def _given():
    rng = np.random.default_rng(1)
    return rng.random((3, 12)), rng.normal(0.3, 1.0, (5, 12))


def run(circuit, given, backend, stimulus=None, **settings):
    """Build, and run twice: each run must start anew."""
    timing = {"image_ms": IMAGE_MS, "rest_ms": REST_MS}
    simulation = neurodyn.build(
        circuit,
        *given,
        stimulus=stimulus or Presentation(**timing),
        order=ORDER,
        recording=Recording(activity_ms=DT_MS, by_image=False),
        backend=backend,
        dt_ms=DT_MS,
        **settings,
    )
    simulation.run(progress=False)
    first = simulation.traces()
    simulation.run(progress=False)
    again = simulation.traces()
    simulation.close()
    for name in first.data_vars:
        np.testing.assert_array_equal(first[name], again[name], err_msg=name)
    return first


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)  # measured 5e-15


@with_cpp(
    ("timing", "sign"),
    [(t, sign) for t in (Continuous(), Gated(last_ms=10.0), Settled()) for sign in (0, 1)],
    (Continuous(), 0),
    (Gated(last_ms=10.0), 1),
)
def test_bcm_is_its_equations(extending, given, timing, sign, backend):
    """Of two numbers for each unit, of every synapse, and once a presentation."""
    images, start = given
    start = abs(start) if sign else start
    tau_l, tau_theta = 5e3, 100.0
    rule = extending["BCM"](tau_l_ms=tau_l, tau_theta_ms=tau_theta, timing=timing)
    circuit = LateralInhibition(w_inh=W_INH, input_sign=sign)
    traces = run(circuit, (images, start), backend, plasticity=rule)

    window_ms = timing.window_ms(IMAGE_MS)
    window = STEPS - round(min(window_ms, IMAGE_MS) / DT_MS)
    lowest = 0 if sign else -np.inf
    weights, theta = start.copy(), np.zeros(len(start))
    activity = [np.zeros(len(start))]
    for image in ORDER:
        v, h = images[image], np.zeros(len(start))
        for step in range(STEPS):
            drive, r = weights @ v, np.maximum(h, 0)
            slope = drive * (step >= REST_STEPS) - W_INH * (r.sum() - r) - h
            if window_ms:
                if step >= max(window, REST_STEPS):
                    g = h * (h - theta)
                    moved = weights + DT_MS / tau_l * np.outer(g, v)
                    weights = np.maximum(moved, lowest)
                theta = theta + DT_MS / tau_theta * (h**2 - theta)
            h = h + DT_MS / TAU_MS * slope
            activity.append(h)
        if not window_ms:
            moved = weights + IMAGE_MS / tau_l * np.outer(h * (h - theta), v)
            weights = np.maximum(moved, lowest)
            theta = theta + (IMAGE_MS + REST_MS) / tau_theta * (h**2 - theta)
    close(traces["activity"], activity)
    close(traces["weights"], weights)
    assert abs(weights - start).max() > 0.01


@with_cpp(("reset",), [(False,), (True,)], (False,))
def test_inhibition_that_depresses_is_its_equations(extending, given, reset, backend):
    images, weights = given
    circuit = extending["DepressingInhibition"](w_inh=W_INH, tau_x_ms=30.0)
    stimulus = Presentation(image_ms=IMAGE_MS, rest_ms=REST_MS, reset=reset)
    traces = run(circuit, given, backend, stimulus)
    h, x = np.zeros(len(weights)), np.ones(len(weights))
    activity, resource = [h], [x]
    for image in ORDER:
        h = np.zeros(len(weights)) if reset else h
        for step in range(STEPS):
            current = images[image] @ weights.T * (step >= REST_STEPS)
            r = np.maximum(h, 0)
            slope = current - W_INH * ((x * r).sum() - x * r) - h
            x_slope = (1 - x) / 30.0 - 0.05 * x * r
            h, x = h + DT_MS / TAU_MS * slope, x + DT_MS * x_slope
            activity.append(h)
            resource.append(x)
    close(traces["activity"], activity)
    close(traces["resource"], resource)
    assert min(map(np.min, resource)) < 0.9


@pytest.mark.parametrize(
    "parameter", ["w_inh", pytest.param("use", marks=pytest.mark.slow)]
)
def test_circuits_of_a_sweep_start_alike(extending, given, parameter):
    kind = extending["DepressingInhibition"]
    circuits = [kind(**{parameter: value}) for value in (0.02, 0.05)]
    settings = {"backend": "numpy", "dt_ms": DT_MS, "progress": False}
    both = neurodyn.sweep(circuits, *given, **settings)
    for trial, circuit in enumerate(circuits):
        alone = neurodyn.simulate(circuit, *given, **settings)
        close(both["resource"].isel(trial=trial), alone["resource"])


# Of two numbers for each unit, of every synapse, static, and once a presentation.
RULES = {
    "two numbers": (2.0, Continuous()),
    "each synapse": (3.0, Gated(last_ms=16.0)),
    "settled": (2.0, Settled()),
    "static": (2.0, None),
}


@with_cpp(
    ("name", "rest_ms"),
    [(name, rest_ms) for name in RULES for rest_ms in (0.0, 7.5)],
    ("two numbers", 7.5),
    ("settled", 7.5),
)
def test_drifting_images_are_shown_frame_by_frame(extending, given, name, rest_ms, backend):
    """Four frames of 5 ms; a rest of one and a half of them is no whole number."""
    images, start = given
    p, timing = RULES[name]
    tau_l = 2e3
    rule = timing and KrotovHopfield(p=p, h_star=0.5, tau_l_ms=tau_l, timing=timing)
    stimulus = extending["Drifting"](image_ms=IMAGE_MS, rest_ms=rest_ms, image_shape=(3, 4))
    circuit = LateralInhibition(w_inh=W_INH, p=p)
    traces = run(circuit, given, backend, stimulus, plasticity=rule)

    pictures = stimulus.frames(images)
    assert pictures.shape == (3, 4, 12)
    rest, window_ms = round(rest_ms / DT_MS), timing.window_ms(IMAGE_MS) if timing else 0
    steps = rest + round(IMAGE_MS / DT_MS)
    window = steps - round(min(window_ms, IMAGE_MS) / DT_MS)
    weights, activity = start.copy(), [np.zeros(len(start))]

    def change(rate, drive):
        g = np.where(h < 0, 0.0, np.where(h < 0.5, -0.4, 1.0))
        return rate * (np.outer(g, v) - (g * drive)[:, None] * weights)

    for image in ORDER:
        h = np.zeros(len(start))
        for step in range(steps):
            v = pictures[image, max(0, (step - rest) // round(5 / DT_MS))]
            drive = (np.sign(weights) * abs(weights) ** (p - 1)) @ v
            r = np.maximum(h, 0)
            slope = drive * (step >= rest) - W_INH * (r.sum() - r) - h
            if window_ms and step >= max(window, rest):
                weights = weights + change(DT_MS / tau_l, drive)
            h = h + DT_MS / TAU_MS * slope
            activity.append(h)
        if timing and not window_ms:
            weights = weights + change(IMAGE_MS / tau_l, drive)
    close(traces["activity"], activity)
    close(traces["weights"], weights)
    assert timing is None or abs(weights - start).max() > 0.01


class Slide(Presentation):
    """It forgets an axis."""

    def frames(self, images):
        return images


@pytest.mark.parametrize(
    ("stimulus", "said"),
    [
        (Slide(), r"frames of Slide have shape \(3, 12\): .* which is \(3, 1, 12\)"),
        (3, "stimulus is 3: give Presentation"),
        (Presentation, "stimulus is the class Presentation"),
        (Settled(), "it lacks image_ms, rest_ms, period_ms, reset, num_frames"),
    ],
)
def test_what_is_no_stimulus_is_refused(given, stimulus, said):
    with pytest.raises(ValueError, match=said):
        neurodyn.simulate(LateralInhibition(), *given, stimulus=stimulus, backend="numpy")


def test_pictures_side_by_side_are_still(extending, given):
    stimulus = extending["Drifting"](image_ms=20.0, image_shape=(3, 4))
    with pytest.raises(ValueError, match=r"batch_size is 2, but each image is shown as 4"):
        neurodyn.simulate(
            LateralInhibition(), *given, stimulus=stimulus, batch_size=2, backend="numpy"
        )


def test_a_frame_is_a_whole_number_of_steps(extending, given):
    stimulus = extending["Drifting"](image_ms=20.0, image_shape=(3, 4), num_frames=3)
    with pytest.raises(ValueError, match="the time of a frame"):
        neurodyn.simulate(
            LateralInhibition(), *given, stimulus=stimulus, dt_ms=0.5, backend="numpy"
        )
    traces = neurodyn.simulate(
        LateralInhibition(), *given, stimulus=stimulus, backend="numpy"
    )
    assert abs(20.0 / 3 / traces.attrs["dt_ms"] % 1) < 1e-9


def test_a_batch_of_circuits_that_remember_is_refused(extending, given):
    circuit = extending["DepressingInhibition"]()
    with pytest.raises(ValueError, match=r"the circuit keeps hidden.x from one image to"):
        neurodyn.simulate(circuit, *given, batch_size=2, backend="numpy", dt_ms=DT_MS)


@pytest.mark.slow
def test_the_page_about_spiking_cells_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "spiking"}
    for number, code in enumerate(blocks("spiking.md")):
        exec(compile(code, f"spiking.md, example {number}", "exec"), names)
    network, again = names["network"], names["again"]
    assert again.num_trained == 30 + 60
    network.train(names["x_train"][:30], order=names["order"][20:], progress=False)
    assert (again.weights == network.weights).all()
    assert names["predicted"].sizes == {"image": 20}
