"""Names in any script are drawn, in a font that has it or as escapes, without a warning."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib import font_manager, rc_context
from matplotlib.figure import Figure

from fastpath import fonts, plots
from scenarios.support import study


@pytest.fixture
def only_default(monkeypatch):
    """As if no other font than matplotlib's default were installed."""
    listed = font_manager.fontManager.ttflist
    default = [font for font in listed if font.name == "DejaVu Sans"]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", default)


def drawn(names: list[str]) -> list[str]:
    """Return the names as a confusion matrix shows them; warnings are errors."""
    counts = xr.DataArray(np.eye(len(names)), dims=("label", "answer"))
    counts = counts.assign_coords(label=names, answer=names)
    figure = Figure()
    ax = plots.confusion(counts, figure.subplots())
    figure.savefig(io.BytesIO())
    return [label.get_text() for label in ax.get_xticklabels()]


def test_what_no_font_has_is_shown_by_its_escape(only_default):
    names = ["cat", "猫", "é", "犬a", "\U0001d11e"]
    assert drawn(names) == ["cat", "\\u732b", "é", "\\u72aca", "\\U0001d11e"]


def test_a_font_that_has_the_characters_is_found():
    """STIX has what the default lacks: the letters of mathematics in double strokes."""
    text = "\U0001d538"
    (shown,), families = fonts.drawable([text])
    if shown == text:
        assert families[0] == "sans-serif"
    with rc_context({"font.family": ["cmr10", "cmtt10"]}):  # Latin alone
        (shown,), families = fonts.drawable(["Привет"])
        assert shown == "Привет"
        assert families[:2] == ["cmr10", "cmtt10"]
        assert len(families) == 3
        figure = Figure()
        figure.text(0, 0, shown, fontfamily=families)
        figure.savefig(io.BytesIO())


def test_a_whole_figure_is_made_drawable(only_default, tmp_path):
    figure, ax = plt.subplots()
    ax.plot([1, 2], label="猫 gray")
    ax.legend()
    ax.set_title("犬\nmnist")
    study.save(figure, tmp_path / "f.png")
    (entry,) = ax.get_legend().get_texts()
    assert (entry.get_text(), ax.get_title()) == ("\\u732b gray", "\\u72ac\nmnist")


def test_plain_names_change_nothing():
    assert fonts.drawable(["a", "b $ c"]) == (["a", "b $ c"], ["sans-serif"])
