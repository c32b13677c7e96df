"""Text in any script: in fonts that have it, or with what stands in for it."""

import functools
from collections.abc import Iterable, Sequence

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

# Has a box for every character, the same one for many.
PLACEHOLDERS = "LastResort"


def drawable(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    r"""Return texts as they can be drawn, and the font families to draw them in.

    The families are those of the caller's style and, for characters that these lack, others
    that are installed. A character of none of them becomes its escape, such as \u732b.
    """
    families = list(FontProperties().get_family())
    missing = {*"".join(texts)} - {"\n"}
    for family in families:
        missing -= _characters(font_manager.findfont(FontProperties(family=[family])))
    for family, path in _installed() if missing else ():
        if found := missing & _characters(path):
            families.append(family)
            missing -= found
        if not missing:
            break
    escapes = str.maketrans({c: c.encode("unicode_escape").decode() for c in missing})
    return [text.translate(escapes) for text in texts], families


def make_drawable(figure: Figure) -> None:
    """Bring all texts of a figure, those of formatters apart, to what can be drawn."""
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    given = [text.get_text() for text in texts]
    shown, families = drawable(given)
    if shown == given and families == list(FontProperties().get_family()):
        return
    for text, new in zip(texts, shown, strict=True):
        text.set_text(new)
        text.set_fontfamily(families)


def _installed() -> Iterable[tuple[str, str]]:
    """Return families and files of the installed regular fonts, sans ones first."""
    fonts = font_manager.fontManager.ttflist
    for font in sorted(fonts, key=lambda font: ("Sans" not in font.name, font.name)):
        regular = font.style == font.variant == "normal" and font.weight == 400
        if regular and PLACEHOLDERS not in font.fname:
            yield font.name, font.fname


@functools.cache
def _characters(path: str) -> frozenset[str]:
    """Return the characters that a font has."""
    return frozenset(map(chr, FT2Font(path).get_charmap()))
