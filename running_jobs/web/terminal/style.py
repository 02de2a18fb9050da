"""How text in a terminal looks, and how Select Graphic Rendition (CSI ... m) changes it. Knows no screen."""

from __future__ import annotations

import re
from typing import NamedTuple

BOLD, FAINT, ITALIC, UNDERLINE, BLINK, INVERSE, HIDDEN, STRIKE = (1 << bit for bit in range(8))

Color = int | str | None  # of the palette (0 to 255), exact ("#rrggbb"), or the default


class Style(NamedTuple):
    """Colours, attributes (BOLD | ITALIC ...) and the address that a piece of text links to."""

    fg: Color = None
    bg: Color = None
    attributes: int = 0
    link: str | None = None


class Run(NamedTuple):
    """A piece of a line in one style."""

    text: str
    style: Style


Line = list[Run]
PLAIN = Style()

_SWITCHES = {  # code: (attributes cleared, attributes set)
    1: (0, BOLD), 2: (0, FAINT), 3: (0, ITALIC), 4: (0, UNDERLINE), 5: (0, BLINK), 6: (0, BLINK),
    7: (0, INVERSE), 8: (0, HIDDEN), 9: (0, STRIKE), 21: (0, UNDERLINE),
    22: (BOLD | FAINT, 0), 23: (ITALIC, 0), 24: (UNDERLINE, 0), 25: (BLINK, 0),
    27: (INVERSE, 0), 28: (HIDDEN, 0), 29: (STRIKE, 0),
}  # fmt: skip
_UNDERLINE_COLOR = 58  # its arguments are skipped
_LINK = re.compile(r"(?:https?://|mailto:)[!-~]+", re.IGNORECASE)
LONGEST_LINK = 2083

_known: dict[tuple[Style, str], Style] = {}


def restyled(style: Style, parameters: str) -> Style:
    """Return a style after `CSI parameters m`; what is unknown in it changes nothing."""
    key = (style, parameters)
    found = _known.get(key)
    if found is None:
        if len(_known) >= 4096:  # one program writes in few styles; random true colours must not fill the memory
            _known.clear()
        found = _known[key] = _restyled(style, parameters)
    return found


def linked(style: Style, command: str) -> Style:
    """Return a style after the hyperlink command `8;parameters;address`, with no link if the address is not safe."""
    address = command.split(";", 2)[-1] if command.count(";") >= 2 else ""
    is_safe = len(address) <= LONGEST_LINK and _LINK.fullmatch(address) is not None
    return style._replace(link=address if is_safe else None)


def erased(style: Style) -> Style:
    """Return how a terminal paints what it erases: in the background of the moment, without anything else."""
    return PLAIN if style.bg is None else Style(bg=style.bg)


def _restyled(style: Style, parameters: str) -> Style:
    fg, bg, attributes, link = style
    words = parameters.split(";")
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        code, *details = [_number(part) for part in word.split(":")]
        if code in (38, 48, _UNDERLINE_COLOR):
            if details:
                found = _color(details[:1] + details[-3:] if details[0] == 2 else details)
            else:
                asked = [_number(part) for part in words[at : at + 4]]
                at += {5: 2, 2: 4}.get(asked[0], 1) if asked else 0
                found = _color(asked)
            if found is not None and code == 38:
                fg = found
            elif found is not None and code == 48:
                bg = found
        elif code == 0:
            fg, bg, attributes = None, None, 0
        elif code in _SWITCHES:
            cleared, added = (UNDERLINE, 0) if code == 4 and details[:1] == [0] else _SWITCHES[code]
            attributes = attributes & ~cleared | added
        elif 30 <= code <= 37 or 90 <= code <= 97:
            fg = code - 30 if code < 90 else code - 82
        elif 40 <= code <= 47 or 100 <= code <= 107:
            bg = code - 40 if code < 100 else code - 92
        elif code == 39:
            fg = None
        elif code == 49:
            bg = None
    return Style(fg, bg, attributes, link)


def _color(asked: list[int]) -> Color:
    """Return the colour that `5;n` or `2;r;g;b` names, or None if it is incomplete or out of range."""
    if asked[:1] == [5] and len(asked) >= 2 and asked[1] <= 255:
        return asked[1]
    if asked[:1] == [2] and len(asked) >= 4 and max(asked[1:4]) <= 255:
        return "#{:02x}{:02x}{:02x}".format(*asked[1:4])
    return None


def _number(text: str) -> int:
    return int(text[:9]) if text[:9].isdigit() else 0
