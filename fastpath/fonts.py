"""Draw text in any script: in a font that has its characters, or with escapes."""

import functools
from collections.abc import Iterable, Sequence

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

# Maps every character to a box, so it would seem to have all of them.
PLACEHOLDERS = "LastResort"


def drawable(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    r"""Return texts as they can be drawn, and the font families to draw them in.

    The families are those of the caller's style, then other installed families that have
    the missing characters. A character that no family has becomes its escape, such as
    \u732b.
    """
    families = list(FontProperties().get_family())
    missing = {*"".join(texts)} - {"\n"}
    for family in families:
        missing -= _characters(font_manager.findfont(FontProperties(family=[family])))
    for family, path in _installed() if missing else ():
        if characters := missing & _characters(path):
            families.append(family)
            missing -= characters
        if not missing:
            break
    escapes = str.maketrans({c: c.encode("unicode_escape").decode() for c in missing})
    return [text.translate(escapes) for text in texts], families


def make_drawable(figure: Figure) -> None:
    """Make all texts of a figure drawable, except those that formatters create."""
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    before = [text.get_text() for text in texts]
    after, families = drawable(before)
    if after == before and families == list(FontProperties().get_family()):
        return
    for text, new in zip(texts, after, strict=True):
        text.set_text(new)
        text.set_fontfamily(families)


def _installed() -> Iterable[tuple[str, str]]:
    """Return families and files of the installed regular fonts, sans-serif fonts first."""
    fonts = font_manager.fontManager.ttflist
    for font in sorted(fonts, key=lambda font: ("Sans" not in font.name, font.name)):
        regular = font.style == font.variant == "normal" and font.weight == 400
        if regular and PLACEHOLDERS not in font.fname:
            yield font.name, font.fname


@functools.cache
def _characters(path: str) -> frozenset[str]:
    """Return the characters that a font has."""
    return frozenset(map(chr, FT2Font(path).get_charmap()))
