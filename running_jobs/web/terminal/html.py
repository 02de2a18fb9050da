"""A line of a terminal as HTML, and the style sheet for its classes.

The page's Content-Security-Policy allows no style attributes, so each of the 256 colours has a class of its own (`f0`
to `f255` for text, `b0` to `b255` behind it), and an exact colour is shown as the nearest of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from html import escape
from itertools import groupby

from running_jobs.web.terminal.style import (
    BLINK,
    BOLD,
    FAINT,
    HIDDEN,
    INVERSE,
    ITALIC,
    STRIKE,
    UNDERLINE,
    Color,
    Line,
    Run,
    Style,
)

RGB = tuple[int, ...]

_NAMES = {
    BOLD: "bold", FAINT: "faint", ITALIC: "italic", UNDERLINE: "underline",
    BLINK: "blink", HIDDEN: "hidden", STRIKE: "strike",
}  # fmt: skip
_RULES = {
    "bold": "font-weight:700",
    "faint": "opacity:.7",
    "italic": "font-style:italic",
    "underline": "text-decoration:underline",
    "strike": "text-decoration:line-through",
    "underline.strike": "text-decoration:underline line-through",
    "hidden": "visibility:hidden",
}
LIGHTEST_GROUND = "#2d2c20"  # of all that the log's text stands on: that of a line that was found
LEAST_CONTRAST = 4.5  # WCAG 2.2, 1.4.3
_CUBE = (0, 95, 135, 175, 215, 255)
# The first 16 belong to the theme: `--ansi-0` to `--ansi-15` override these, which can be read on a dark ground.
_THEME = (
    "#5c6670", "#f0706a", "#6cc070", "#d9b44a", "#6ea8f2", "#d187e0", "#4fc1c9", "#d5dbd8",
    "#98a2aa", "#ff938c", "#8fe08f", "#f2d675", "#96c4ff", "#e8abf5", "#7fe3ea", "#ffffff",
)  # fmt: skip


def line_to_html(line: Line) -> str:
    """Return a line as HTML for a `pre`, without its line end; markup in it is shown as text."""
    parts = []
    for link, runs in groupby(line, key=_link_of):
        inner = "".join([_span(run.text, run.style) for run in runs])
        if link is not None:
            inner = f'<a rel="noreferrer noopener" target="_blank" href="{escape(link)}">{inner}</a>'
        parts.append(inner)
    return "".join(parts)


def line_to_text(line: Line) -> str:
    """Return a line's text without styles."""
    return "".join([run.text for run in line])


@lru_cache(maxsize=4096)
def classes(style: Style) -> str:
    """Return the classes that show a style; `fi` and `bi` are the ground's and the text's own colour, exchanged.

    Text on a ground of its own keeps its exact colour (`e0` where `f0` is a lighter one).
    """
    letter = "f" if style.bg is None or not _is_lightened(style.fg) else "e"
    found = [_class(letter, style.fg), _class("b", style.bg)]
    if style.attributes & INVERSE:
        found = [_class("e" if _is_lightened(style.bg) else "f", style.bg) or "fi", _class("b", style.fg) or "bi"]
    found += [name for bit, name in _NAMES.items() if style.attributes & bit]
    return " ".join(filter(None, found))


def palette_css(scope: str = ".terminal") -> str:
    """Return the style sheet for all classes within a scope; `--log-ground` and `--log-ink` are the page's own."""
    rules = [f"{scope} .bi{{background:var(--log-ink)}}"]
    values = [_value(number, _hex(_rgb(number))) for number in range(256)]
    for number, value in enumerate(values):  # first: the text that is readable on a ground gives way to one of its own
        rules.append(f"{scope} .b{number}{{background:{value};color:{_ink_on(number)}}}")
    rules.append(f"{scope} .fi{{color:var(--log-ground)}}")
    rules += [f"{scope} .f{number}{{color:{_value(number, _hex(text_color(number)))}}}" for number in range(256)]
    rules += [f"{scope} .e{number}{{color:{value}}}" for number, value in enumerate(values) if _is_lightened(number)]
    rules += [f"{scope} .{name}{{{rule}}}" for name, rule in _RULES.items()]
    return "\n".join(rules) + "\n"


def nearest(color: str) -> int:
    """Return the number of the palette's colour nearest to "#rrggbb"; of the first 16 none, they are the theme's."""
    wanted = _parse(color)
    steps = [min(range(6), key=lambda step, part=part: abs(_CUBE[step] - part)) for part in wanted]  # type: ignore[misc]
    grey = min(max(round((sum(wanted) / 3 - 8) / 10), 0), 23)
    candidates = (16 + 36 * steps[0] + 6 * steps[1] + steps[2], 232 + grey)
    return min(candidates, key=lambda number: sum((a - b) ** 2 for a, b in zip(_rgb(number), wanted)))


@lru_cache(maxsize=256)
def text_color(number: int) -> RGB:
    """Return a colour of the palette as text on the log's ground: mixed with white until it can be read there."""
    rgb = _rgb(number)
    ground = luminance(_parse(LIGHTEST_GROUND))
    for percent in range(101):
        lighter = tuple(round(part + (255 - part) * percent / 100) for part in rgb)
        if (luminance(lighter) + 0.05) / (ground + 0.05) >= LEAST_CONTRAST:
            break
    return lighter


def luminance(rgb: Sequence[float]) -> float:
    """Return a colour's relative luminance (WCAG 2.2)."""
    linear = [part / 255 / 12.92 if part <= 10 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in rgb]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _is_lightened(color: Color) -> bool:
    number = nearest(color) if isinstance(color, str) else color
    return number is not None and text_color(number) != _rgb(number)


def _ink_on(number: int) -> str:
    """Return black or white, whichever contrasts more with a colour."""
    ground = luminance(_rgb(number)) + 0.05
    return "#000" if ground / 0.05 > 1.05 / ground else "#fff"


def _rgb(number: int) -> RGB:
    """Return a colour of the palette: the theme's 16, a cube of 6 steps, 24 greys."""
    if number < 16:
        return _parse(_THEME[number])
    if number >= 232:
        return (8 + 10 * (number - 232),) * 3
    at = number - 16
    return _CUBE[at // 36], _CUBE[at // 6 % 6], _CUBE[at % 6]


def _parse(color: str) -> RGB:
    return tuple(int(color[at : at + 2], 16) for at in (1, 3, 5))


def _hex(rgb: RGB) -> str:
    return "#{:02x}{:02x}{:02x}".format(*rgb)


def _value(number: int, color: str) -> str:
    return f"var(--ansi-{number},{color})" if number < 16 else color


def _class(letter: str, color: Color) -> str:
    if color is None:
        return ""
    return f"{letter}{nearest(color) if isinstance(color, str) else color}"


def _span(text: str, style: Style) -> str:
    names = classes(style)
    shown = escape(text, quote=False)
    return f'<span class="{names}">{shown}</span>' if names else shown


def _link_of(run: Run) -> str | None:
    return run.style.link
