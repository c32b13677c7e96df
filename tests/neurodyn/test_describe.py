"""The model as text: what was built, in Markdown and LaTeX."""

import re
from dataclasses import dataclass

import matplotlib.mathtext
import numpy as np
import pytest

import neurodyn
from neurodyn import (
    Continuous,
    DaleInhibition,
    Homeostatic,
    KrotovHopfield,
    LateralInhibition,
    Presentation,
)
from neurodyn.circuits import lateral

IMAGES, WEIGHTS = np.ones((3, 4)) / 2, np.arange(20.0).reshape(5, 4) / 20
BETWEEN = 0.1 * (1 - np.eye(5))
CASES = {
    "pooled": (LateralInhibition(w_inh=0.7, tau_ms=12.5), None),
    "explicit": (
        LateralInhibition(w_inh=BETWEEN, noise=0.1, tau_ms=np.linspace(8, 12, 5)),
        {"feedforward": KrotovHopfield(), "lateral": Homeostatic(target=0.15)},
    ),
    "reduced": (LateralInhibition(), KrotovHopfield(delta=0.3, timing=Continuous())),
    "each synapse": (
        LateralInhibition(p=3.0),
        KrotovHopfield(p=3.0, timing=Continuous(), tau_l_ms=1e7),
    ),
    "dale": (DaleInhibition(num_inh=2), {"inh_to_exc": Homeostatic()}),
}


def built(name):
    circuit, rules = CASES[name]
    return neurodyn.build(
        circuit,
        IMAGES,
        WEIGHTS,
        plasticity=rules,
        stimulus=Presentation(image_ms=20.0, rest_ms=5.0),
        backend="numpy",
        dt_ms=0.5,
    )


SAID = {
    "pooled": [
        "| circuit | LateralInhibition |",
        "| units, pixels | 5, 4 |",
        "| method | Euler, dt = 0.5 ms |",
        "| presentation | 50 steps, of them 10 without input |",
        "dh/dt = running*(I*shown + noise - w_inh*(S - r) - h)/tau",
        "r = h*int(h > 0)",
        "I = drive.I",
        "S = pool.S",
        "pool.S = r_pre   (summed over synapses)",
        "Synapses from pixels to drive, 4 to 5 cells.",
        "| tau | 12.5 ms |",
        "| w_inh | 0.7 |",
        "| table | table of 16 x 4 values |",
    ],
    "explicit": [
        "| rule of lateral | Homeostatic(target=0.15, tau_l_ms=100000.0) |",
        "| rule of feedforward | KrotovHopfield(p=2.0, delta=0.4,",
        "timing=Settled())",
        "W = clip(W + learns*rate*(r_pre*(r_post - rho)), 0, inf)",
        "currents.inhibition = W*r_pre   (summed over synapses)",
        "r = hidden.h*int(hidden.h > 0)",
        "| tau | 8 to 12 ms (5 values) |",
        "| W | 0.1 (20 values) |",
        "| noise_sd | 0.1 |",
        "| rho | 0.15 |",
    ],
    "reduced": [
        "own -= learns*rate*(g*I)*own",
        "square = lengths.square",
        "| delta | 0.3 |",
    ],
    "each synapse": [
        "W += gain_post*v_pre - loss_post*W",
        "drive.I = W*abs(W)*v_pre",
        "Every 0.5 ms, in the slot groups (order -1):",
        "Every 25 ms, in the slot start (order 0):",
    ],
    "dale": ["2 cells.", "dh/dt = running*(noise + excitation - recurrent - h)/tau"],
}


@pytest.mark.parametrize("name", CASES)
def test_markdown_says_what_was_built(name):
    simulation = built(name)
    text = simulation.describe()
    for said in SAID[name]:
        assert said in text
    names = [item.name for item in simulation.objects.values()]
    groups = [one for one in names if not re.search("monitor|snapshots", one)]
    assert re.findall(r"^## (\w+)$", text, re.MULTILINE) == groups
    for internal in ("num_steps |", "seed_low |", "first_presentation |"):
        assert f"| {internal}" not in text


def balanced(text):
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", text):
        depth += 1 if brace == "{" else -1
        assert depth >= 0
    assert depth == 0


@pytest.mark.parametrize("name", CASES)
def test_latex_is_well_formed(name):
    text = built(name).describe("latex")
    balanced(text)
    for kind in ("align*", "tabular"):
        begun, ended = (text.count(rf"\{word}{{{kind}}}") for word in ("begin", "end"))
        assert begun == ended > 0
    parser = matplotlib.mathtext.MathTextParser("agg")
    blocks = re.findall(r"\\begin{align\*}\n(.*?)\n\\end{align\*}", text, re.DOTALL)
    assert blocks
    for row in (row for block in blocks for row in block.split(" \\\\\n")):
        formula = row.replace("&", "").replace(r"\text", r"\mathrm")
        formula = formula.replace(r"\bmod", r"\cdot")  # of LaTeX, but not of Matplotlib
        formula = re.sub(r"\\mathrm{[^{}]*\\_[^{}]*}", r"\\mathrm{name}", formula)
        parser.parse(f"${formula}$")  # raises, if it cannot be typeset


def test_equations_of_latex_look_like_those_of_the_paper():
    text = built("pooled").describe("latex")
    assert r"\frac{d h}{dt} &= " in text
    assert r"w_{\mathrm{inh}}" in text
    assert r"{\tau}" in text
    assert r"I &= I^{\text{drive}}" in text
    assert r"LateralInhibition \\" in text


def test_it_is_read_from_the_network_not_from_a_template(monkeypatch):
    changed = lateral.POOLED.replace("(S - r)", "(S - 2*r)")
    monkeypatch.setattr(lateral, "POOLED", changed)
    assert "w_inh*(S - 2*r)" in built("pooled").describe()


@dataclass(frozen=True, kw_only=True)
class Covariance:
    """A rule of one's own."""

    tau_l_ms: float = 1e5
    change = "r_pre*r_post - beta*W"
    parameters = {"beta": 0.25}  # noqa: RUF012

    def strongest(self, largest_rate):
        return largest_rate


def test_ones_own_rules_and_objects_are_described():
    import brian2 as b2

    simulation = neurodyn.build(
        LateralInhibition(w_inh=BETWEEN),
        IMAGES,
        WEIGHTS,
        plasticity={"lateral": Covariance()},
        backend="numpy",
    )
    with simulation:
        own = b2.NeuronGroup(
            3, "dq/dt = -q/(3*ms) : volt", method="euler", name="own", namespace={}
        )
        simulation.add(own)
    text = simulation.describe()
    assert "W = clip(W + learns*rate*(r_pre*r_post - beta*W), 0, inf)" in text
    assert "| beta | 0.25 |" in text
    assert "| rule of lateral | Covariance(tau_l_ms=100000.0) |" in text
    assert "## own" in text
    assert "dq/dt = -q/(3*ms)   (in m^2 kg s^-3 A^-1)" in text
    assert r"\frac{d q}{dt}" in simulation.describe("latex")


def test_another_form_is_refused():
    with pytest.raises(ValueError, match="form is 'html': give one of markdown, latex"):
        built("pooled").describe("html")
