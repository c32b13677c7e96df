"""The summary that is printed and saved at the end: tables and conclusions."""

import json

import xarray as xr

from scenarios.ladder.answers import answers
from scenarios.ladder.tables import cost_table, step_tables, training_table


def text(result: xr.Dataset) -> str:
    """Return tables and conclusions."""
    config = json.loads(result.attrs["config"])
    parts = [
        f"The ladder on {config['data']}, {config['seeds']} seeds (mean ± sd)",
        *step_tables(result),
        training_table(result),
        cost_table(result),
        "Conclusions",
        *(f"- {answer}" for answer in answers(result)),
    ]
    return "\n\n".join(parts)
