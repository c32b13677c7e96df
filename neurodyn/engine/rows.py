"""Synapses in contiguous rows, whose indices need not be read.

Where all cells of two groups are connected, Brian2's generated code still reads the two
indices of each synapse: as many bytes as its weight. And it cannot use vector instructions,
since any two synapses may have the same target. Here a loop over rows gives the indices. A
row has the synapses of one cell, its sender or its receiver. Rows can be skipped that would
change nothing: those of a sender that is silent, or of a receiver that does not learn.

The equations are Brian2's, and so is the code of a synapse. Only the loop around it, a
template for each backend in `templates`, is ours.
"""

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import brian2 as b2

# For all that the compiler knows, Cython's pointers may overlap. Here they say, as Brian2's
# C++ does, that they do not.
POINTER = r"cdef (double|float) ?\* (_array_\w+)"
# Brian2's own branch, or (in Cython) ask after each call whether there was an error; loops
# with either use no vector instructions.
CYTHON_FUNCTIONS = {
    "clip": """
cdef inline double _rows_clip(double x, double low, double high) noexcept nogil:
    return low if x < low else high if x > high else x
""",
    "sign": """
cdef inline double _rows_sign(double x) noexcept nogil:
    return (0 < x) - (x < 0)
""",
}
CPP_FUNCTIONS = {
    "clip": """
static inline double _rows_clip(const double x, const double low, const double high)
{ const double above = x < low ? low : x; return above > high ? high : above; }
""",
}
INDICES = {"_presynaptic_idx", "_postsynaptic_idx"}


@dataclass(frozen=True, kw_only=True)
class Rows:
    """How synapses lie in memory."""

    by_source: bool
    """Whether a row has the synapses of a sender; False: of a receiver."""
    no_diagonal: bool = False
    """Whether no cell has a synapse with itself."""
    num_blocks: int = 1
    """Number of copies of a circuit, which lie side by side."""


def find(
    sending: NDArray[np.intp],
    receiving: NDArray[np.intp],
    *,
    num_sending: int,
    num_receiving: int,
    copies: int = 1,
) -> Rows | None:
    """Return the rows of all pairs of cells, or all but (i, i); None: others are missing.

    `sending` and `receiving` are the pairs of one copy, in the order of the synapses.
    """
    ends = (sending, num_sending), (receiving, num_receiving)
    for by_source in (True, False):
        (row, num_rows), (column, num_columns) = ends if by_source else ends[::-1]
        for no_diagonal in (False, True):
            length = num_columns - no_diagonal
            square = num_rows == num_columns
            if len(row) != num_rows * length or not length or (no_diagonal and not square):
                continue
            i, k = np.arange(num_rows)[:, None], np.arange(length)
            same_row = (row.reshape(num_rows, length) == i).all()
            expected = k + (no_diagonal & (k >= i))
            if same_row and (column.reshape(num_rows, length) == expected).all():
                return Rows(by_source=by_source, no_diagonal=no_diagonal, num_blocks=copies)
    return None


def sum_by_rows(synapses: "b2.Synapses", rows: Rows | None) -> None:
    """Let the summed variables of synapses be computed row by row, if they have rows.

    Rows of senders are added if the sums are of W times a factor of the sender; senders
    whose factor is 0 are skipped. Other sums over such rows are left to Brian2.
    """
    from brian2.synapses.synapses import SummedVariableUpdater

    if rows is None or _device_code_class().class_name == "numpy":  # as fast there
        return
    for updater in synapses.contained_objects:
        if isinstance(updater, SummedVariableUpdater):
            expression, target = updater.expression.code, updater.target_var
            if not rows.by_source:
                code = {"row": "_skip = False", "synapse": f"_synaptic_var = {expression}"}
                _use(updater, "rows", rows, code, target)
            elif factor := _factor_of_sender(expression):
                _use(updater, "sums", rows, f"_factor = {factor}", target)


def current_of(synapses: "b2.Synapses") -> str:
    """Return the variable of the receiving cells that the synapses sum their current into.

    Raises
    ------
    ValueError
        If they sum no current, or several.
    """
    from brian2.synapses.synapses import SummedVariableUpdater

    found = [
        part.target_varname
        for part in synapses.contained_objects
        if isinstance(part, SummedVariableUpdater)
    ]
    if len(found) != 1:
        raise ValueError(
            f"the synapses '{synapses.name}' sum {len(found)} variables, so that I_post of "
            "a rule is not defined: let the circuit sum one, as 'inhibition_post = W*r_pre "
            ": 1 (summed)'"
        )
    return found[0]


def _factor_of_sender(expression: str) -> str | None:
    """Return an expression over W if it has variables of the sender only, else None."""
    from brian2.parsing.sympytools import str_to_sympy, sympy_to_str

    parsed = str_to_sympy(expression)
    weight = str_to_sympy("W")
    factor = parsed / weight
    names = {symbol.name for symbol in factor.free_symbols}
    if factor.has(weight) or not all(name.endswith("_pre") for name in names):
        return None
    return sympy_to_str(factor)


def learn_by_rows(
    runner: Any,
    rows: Rows | None,
    *,
    skip: str = "",
    target: Any = None,
    summed: str = "",
) -> None:
    """Let a regular operation on synapses run row by row, if they have rows.

    Parameters
    ----------
    runner
        What `run_regularly` returned.
    skip
        Condition on the cell of a row with which the operation changes nothing.
    target, summed
        Variable of the receiver, and the expression whose sum over the changed synapses of
        a row it gets in the same pass. It stays as it is where a row is skipped.
    """
    if rows is None:
        return
    step = runner.abstract_code
    if summed:
        step = f"{step}\n_synaptic_var = {summed}"
    code = {"row": f"_skip = {skip or 'False'}", "synapse": step}
    _use(runner, "rows", rows, code, target)


def _use(runner: Any, template: str, rows: Rows, code: Any, target: Any) -> None:
    runner.template = template
    runner.codeobj_class = _code_class(_device_code_class())
    runner.abstract_code = code
    runner.template_kwds = {**vars(rows), "_target_var": target}
    runner.needed_variables = [] if target is None else [target.name]


def _device_code_class() -> Any:
    from brian2.devices import get_device

    device: Any = get_device()
    return device.code_object_class()


@cache
def _code_class(base: Any) -> Any:
    """Return the class of code objects in which the template gives the indices."""
    from brian2.core.functions import DEFAULT_FUNCTIONS

    class Generator(base.generator_class):
        def translate_to_read_arrays(self, *sets: Any) -> Any:
            *others, indices = sets
            return super().translate_to_read_arrays(*others, indices - INDICES)

        def determine_keywords(self) -> Any:
            keywords = super().determine_keywords()
            if base.class_name == "cython":
                load = re.sub(POINTER, r"cdef \1_alone \2", keywords["load_namespace"])
                # Of the type of the loop's counter: a narrower one might overflow.
                load = re.sub(r"cdef int32_t (_\w+synaptic_idx)", r"cdef int64_t \1", load)
                keywords["load_namespace"] = load
            return keywords

    class RowCode(base):
        class_name = f"{base.__name__}_rows"  # by which functions are found
        templater = base.templater.derive("neurodyn.engine")
        generator_class = base.generator_class if base.class_name == "numpy" else Generator

    for name, code in _functions(base).items():
        DEFAULT_FUNCTIONS[name].implementations.add_implementation(
            RowCode, code=code, name=f"_rows_{name}"
        )
    return RowCode


def _functions(code_class: Any) -> dict[str, str]:
    """Return what is to take the place of Brian2's own functions, by name."""
    from brian2.devices.cpp_standalone.codeobject import CPPStandaloneCodeObject

    if code_class.class_name == "cython":
        return CYTHON_FUNCTIONS
    return CPP_FUNCTIONS if code_class is CPPStandaloneCodeObject else {}
