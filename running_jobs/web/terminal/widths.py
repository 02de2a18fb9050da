"""How many columns of a terminal a character takes: none, one, or two."""

from __future__ import annotations

import re
import unicodedata

# Whole blocks whose characters all take one column, so that most text needs no look at each character.
_NARROW = (
    "\x20-\x7e\xa0-\xac\xae-\u02ff\u0370-\u0482\u048a-\u0590\u1e00-\u1fff"
    "\u2010-\u2027\u2030-\u205e\u2070-\u20cf\u2100-\u2319\u2500-\u25fc\u2800-\u28ff\ufffd"
)
_all_narrow = re.compile(f"[{_NARROW}]*")

# These reorder or break the text around them, and a terminal shows nothing for them.
_DROPPED = frozenset("\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

_NEWER_WIDE = re.compile("[\u2e80-\ua4cf\U0001f000-\U0001faff\U00020000-\U0003fffd]")

_widths: dict[str, int] = {}


def is_narrow(text: str) -> bool:
    """Say whether each character takes one column (False may also mean: look at each)."""
    return text.isascii() or _all_narrow.fullmatch(text) is not None


def width_of(character: str) -> int:
    """Return the columns of one character: 0 if it joins the one before, -1 if it is not shown at all."""
    found = _widths.get(character)
    if found is None:
        if len(_widths) >= 4096:
            _widths.clear()
        found = _widths[character] = _width_of(character)
    return found


def measured(text: str) -> tuple[str, int]:
    """Return text without what is not shown, and the columns it takes."""
    if is_narrow(text):
        return text, len(text)
    widths = [width_of(character) for character in text]
    if -1 in widths:
        text = "".join(character for character, width in zip(text, widths) if width >= 0)
    return text, sum(width for width in widths if width > 0)


def _width_of(character: str) -> int:
    if character in _DROPPED:
        return -1
    category = unicodedata.category(character)
    if category in ("Mn", "Me") or (category == "Cf" and character != "\xad") or "\u1160" <= character <= "\u11ff":
        return 0
    if category == "Cn":  # newer than Python's tables
        return 2 if _NEWER_WIDE.match(character) else 1
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
