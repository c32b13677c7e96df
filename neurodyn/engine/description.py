"""A built network as text: its equations, operations and parameters, in Markdown or LaTeX.

All is read from the Brian2 objects, and nothing from a template of the model.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

# What the engine itself sets for each run.
INTERNAL = {"num_steps", "last_step", "first_presentation", "seed_low", "seed_high"}
FORMS = ("markdown", "latex")
OF = "_of_the_group_"
GREEK = {
    "alpha",
    "beta",
    "delta",
    "eta",
    "kappa",
    "mu",
    "rho",
    "tau",
    "theta",
    "xi",
    "zeta",
}
STATEMENT = re.compile(r"^(\w+)\s*([-+*/]?=)\s*(.+)$")


@dataclass(frozen=True)
class Line:
    """An equation or a statement: left side, sign, right side, and a remark."""

    left: str
    sign: str
    right: str
    remark: str = ""


@dataclass(frozen=True)
class Part:
    """A group of cells or synapses."""

    name: str
    what: str
    lines: list[Line] = field(default_factory=list)
    operations: list[tuple[str, list[Line]]] = field(default_factory=list)
    """Moments, and the statements that are run then."""
    parameters: dict[str, str] = field(default_factory=dict)


def parts(objects: Sequence[Any], values: Mapping[Any, Any]) -> list[Part]:
    """Return the groups of a network, with the values that a run sets."""
    import brian2 as b2

    kinds = b2.NeuronGroup, b2.Synapses
    return [_part(item, values) for item in objects if isinstance(item, kinds)]


def _part(group: Any, values: Mapping[Any, Any]) -> Part:
    import brian2 as b2

    if isinstance(group, b2.Synapses):
        number = f"{len(group.source)} to {len(group.target)} cells"
        what = f"synapses from {group.source.name} to {group.target.name}, {number}"
    else:
        what = f"{len(group)} cell{'s' * (len(group) != 1)}"
    return Part(
        group.name,
        what,
        [*_equations(group)],
        [*_operations(group)],
        _parameters(group, values),
    )


def _equations(group: Any) -> Iterator[Line]:
    for equation in group.equations.ordered:
        name, code = equation.varname, equation.expr and equation.expr.code
        if equation.type == "differential equation":
            yield Line(f"d{name}/dt", "=", code, _unit(equation))
        elif code:
            yield Line(name, "=", code, _unit(equation))
        elif "linked" in equation.flags:
            yield Line(name, "=", _linked(group, group.variables[name]))
    for part in group.contained_objects:
        if hasattr(part, "target_var"):
            target = f"{part.target.name}.{part.target_var.name}"
            yield Line(target, "=", part.expression.code, "summed over synapses")


def _linked(group: Any, variable: Any) -> str:
    """Return what a variable of a group is linked to, as group.variable."""
    if variable.owner.name != group.name:
        return f"{variable.owner.name}.{variable.name}"
    # Of an expression in another group, Brian2 keeps a copy with names of its own.
    code = variable.expr
    names: list[str] = sorted(variable.identifiers, key=len, reverse=True)
    for name in names:
        if name.startswith("_") and name in group.variables:
            source = group.variables[name]
            code = re.sub(rf"\b{name}\b", f"{source.owner.name}.{source.name}", code)
    return code


def _operations(group: Any) -> Iterator[tuple[str, list[Line]]]:
    for part in group.contained_objects:
        code = getattr(part, "abstract_code", None)
        own = "_run_regularly" in part.name and part.group.name == group.name
        if not own or not code:
            continue
        interval = f"{float(part.clock.dt_) * 1000:.6g} ms"
        moment = f"every {interval}, in the slot {part.when} (order {part.order})"
        if isinstance(code, dict):
            code = code["synapse"]
        statements = map(STATEMENT.match, map(str.strip, code.strip().splitlines()))
        yield moment, [Line(*found.groups()) for found in statements if found]


def _parameters(group: Any, values: Mapping[Any, Any]) -> dict[str, str]:
    """Return values with units: of constants, and of the names in equations."""
    import brian2 as b2

    found = {}
    for equation in group.equations.ordered:
        name = equation.varname
        if equation.type != "parameter" or name in INTERNAL or "linked" in equation.flags:
            continue
        given = next((v for (g, n), v in values.items() if g is group and n == name), None)
        if given is not None:
            found[name] = _value(given)
        elif "constant" in equation.flags:
            found[name] = "set at the start of a run"
    for name, value in sorted((group.namespace or {}).items()):
        if isinstance(value, b2.TimedArray):
            found[name] = f"table of {' x '.join(map(str, value.values.shape))} values"
        elif not callable(value):
            found[name] = _value(value)
    return found


def _value(value: Any) -> str:
    import brian2 as b2

    if isinstance(value, b2.Quantity):
        scale, unit = (1000, " ms") if value.dim == b2.second.dim else (1, f" {value.dim}")
        numbers = np.asarray(value) * scale
    else:
        numbers, unit = np.asarray(value), ""
    if numbers.size == 1:
        return f"{numbers.item():.6g}{unit}"
    low, high = float(numbers.min()), float(numbers.max())
    if low == high:
        return f"{low:.6g}{unit} ({numbers.size} values)"
    return f"{low:.6g} to {high:.6g}{unit} ({numbers.size} values)"


def _unit(equation: Any) -> str:
    return "" if equation.dim.is_dimensionless else f"in {equation.dim}"


def markdown(found: Sequence[Part], settings: Mapping[str, str]) -> str:
    """Return the description as Markdown, with equations in Brian2's own form."""
    text = ["# Model", "", "| setting | value |", "|---|---|"]
    text += [f"| {name} | {value} |" for name, value in settings.items()]
    for part in found:
        text += ["", f"## {part.name}", "", f"{part.what[0].upper()}{part.what[1:]}."]
        if part.lines:
            text += ["", "```text", *map(_plain, part.lines), "```"]
        for moment, lines in part.operations:
            text += ["", f"{moment[0].upper()}{moment[1:]}:"]
            text += ["", "```text", *map(_plain, lines), "```"]
        if part.parameters:
            text += ["", "| parameter | value |", "|---|---|"]
            text += [f"| {name} | {value} |" for name, value in part.parameters.items()]
    return "\n".join(text) + "\n"


def _plain(line: Line) -> str:
    remark = f"   ({line.remark})" if line.remark else ""
    return f"{line.left} {line.sign} {line.right}{remark}"


def latex(found: Sequence[Part], settings: Mapping[str, str]) -> str:
    """Return the description as LaTeX; it needs the package amsmath."""
    text = [r"\section*{Model}", *_table(settings)]
    for part in found:
        text += ["", rf"\subsection*{{{_escaped(part.name)}}}", f"{_escaped(part.what)}."]
        if part.lines:
            text += _aligned(part.lines)
        for moment, lines in part.operations:
            text += ["", f"{_escaped(moment)}:", *_aligned(lines)]
        text += _table(part.parameters)
    return "\n".join(text) + "\n"


def _aligned(lines: Sequence[Line]) -> list[str]:
    rows = [
        rf"{_math(line.left)} &{line.sign} {_math(line.right)}"
        + (rf" && \text{{{_escaped(line.remark)}}}" if line.remark else "")
        for line in lines
    ]
    return [r"\begin{align*}", " \\\\\n".join(rows), r"\end{align*}"]


def _table(values: Mapping[str, str]) -> list[str]:
    if not values:
        return []
    rows = [rf"{_escaped(name)} & {_escaped(text)} \\" for name, text in values.items()]
    return [r"\begin{tabular}{ll}", *rows, r"\end{tabular}"]


def _math(expression: str) -> str:
    """Return an expression of Brian2's as LaTeX."""
    import sympy
    from brian2.parsing.sympytools import str_to_sympy

    if found := re.fullmatch(r"d(\w+)/dt", expression):
        return rf"\frac{{d {_math(found[1])}}}{{dt}}"
    # The variable of another group is a name with a dot, which SymPy does not know.
    parsed = str_to_sympy(re.sub(r"\b([A-Za-z]\w*)\.(\w+)", rf"\2{OF}\1", expression))
    names = {symbol: _symbol(symbol.name) for symbol in parsed.free_symbols}
    text = sympy.latex(parsed, symbol_names=names, mul_symbol=r"\,")
    return text.replace("_{}", "")


def _symbol(name: str) -> str:
    """Return a name as LaTeX: w_inh as w with an index, words upright."""
    name, _, group = name.partition(OF)
    first, *indices = name.strip("_").split("_")
    text = rf"\{first}" if first in GREEK else first
    if len(first) > 1 and first not in GREEK:
        text = rf"\mathrm{{{first}}}"
    if indices:
        text += rf"_{{\mathrm{{{','.join(indices)}}}}}"
    return text + (rf"^{{\text{{{_escaped(group)}}}}}" if group else "")


def _escaped(text: str) -> str:
    return re.sub(r"([_%&#])", r"\\\1", text)
