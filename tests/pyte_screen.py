"""What pyte shows, to compare a terminal with: all lines, scrolled off ones too, as runs of text in a style.

The screen is wide enough for every line, since ours has no width. Where pyte does something no terminal does, the method
that does it is replaced, with the reason. What it does not know at all is added (marked "added"): there the comparison only
shows that two readings of the same description agree.
"""

from __future__ import annotations

import copy
import unicodedata
from typing import Any

import pyte
from pyte import graphics
from pyte.screens import Char, Margins
from wcwidth import wcwidth

from running_jobs.web.terminal import Line, Style
from running_jobs.web.terminal.screen import HEIGHT
from running_jobs.web.terminal.style import BLINK, BOLD, INVERSE, ITALIC, STRIKE, UNDERLINE

NAMES = ["black", "red", "green", "brown", "blue", "magenta", "cyan", "white"]
ATTRIBUTES = {
    "bold": BOLD, "italics": ITALIC, "underscore": UNDERLINE, "strikethrough": STRIKE, "reverse": INVERSE, "blink": BLINK,
}  # fmt: skip
WIDE = 300  # columns: no row of what is compared is wider
Look = tuple[str, str, int]
Shown = list[list[tuple[str, Look]]]


class Screen(pyte.Screen):
    def __init__(self, columns: int = WIDE, lines: int = HEIGHT) -> None:
        self.finished: list[dict[int, Char]] = []
        self.main: Any = None
        self.saved: Any = None
        super().__init__(columns, lines)

    def _margins(self) -> Margins:
        return self.margins or Margins(0, self.lines - 1)

    def _erase(self, row: int, columns: range) -> None:
        line = self.buffer[row]
        blank = Char(" ", bg=self.cursor.attrs.bg)  # terminals erase in the background alone, pyte in all attributes
        if blank.bg == "default":
            for at in [at for at in line if at in columns]:
                del line[at]
        else:
            line.update(dict.fromkeys(columns, blank))

    def _mend(self) -> None:
        """Replace halves of wide characters by spaces, as terminals do; pyte leaves them."""
        line = self.buffer[self.cursor.y]
        for x in [x for x, cell in line.items() if not cell.data or cell.data[0] >= "\u1100"]:
            is_right = line[x].data == "" and wcwidth(line[x - 1].data[:1]) != 2
            is_left = wcwidth(line[x].data[:1]) == 2 and line[x + 1].data != ""
            if is_right or is_left:
                line[x] = line[x]._replace(data=" ")

    def draw(self, data: str) -> None:
        for char in data:  # pyte leaves out the rest of a text after a character it does not show
            if unicodedata.combining(char):
                self._combine(char)
            else:
                super().draw(char)
        self._mend()

    def _combine(self, char: str) -> None:
        """Join the character before the cursor; pyte takes the empty half of a wide one, or the line above, for it."""
        line, x = self.buffer[self.cursor.y], self.cursor.x - 1
        if x >= 0:
            x -= line[x].data == ""
            line[x] = line[x]._replace(data=line[x].data + char)

    def index(self) -> None:
        top, bottom = self._margins()
        if self.cursor.y == bottom and top == 0 and self.main is None:
            self.finished.append(dict(self.buffer[0]))
        super().index()

    def cursor_up(self, count: int | None = None) -> None:
        top = self._margins().top if self.cursor.y >= self._margins().top else 0  # pyte: moves it down from above
        self.cursor.y = max(self.cursor.y - (count or 1), top)

    def cursor_down(self, count: int | None = None) -> None:
        inside = self.cursor.y <= self._margins().bottom  # pyte: moves it up from below
        self.cursor.y = min(self.cursor.y + (count or 1), self._margins().bottom if inside else self.lines - 1)

    def reverse_index(self) -> None:
        if self.cursor.y != self._margins().top and self.cursor.y == 0:
            return
        super().reverse_index()

    def next_line(self) -> None:  # pyte: does not go to the left
        self.carriage_return()
        self.linefeed()

    def set_margins(self, top: int | None = None, bottom: int | None = None) -> None:
        top, bottom = top or 1, bottom or self.lines
        if top < min(bottom, self.lines):  # pyte: leaves the cursor where it is if there are no numbers
            self.margins = None if (top, bottom) == (1, self.lines) else Margins(top - 1, min(bottom, self.lines) - 1)
            self.cursor_position()

    def reset(self) -> None:
        self.main = self.saved = None
        super().reset()

    def save_cursor(self, *args: int) -> None:
        self.saved = copy.copy(self.cursor)

    def restore_cursor(self, *args: int) -> None:  # pyte: keeps a stack, a terminal one cursor
        self.cursor = copy.copy(self.saved) if self.saved else pyte.screens.Cursor(0, 0, self.default_char)

    def erase_in_line(self, how: int = 0, private: bool = False) -> None:
        x = self.cursor.x
        start = {0: x, 1: 0, 2: 0}.get(how, self.columns)
        self._erase(self.cursor.y, range(start, x + 1 if how == 1 else self.columns))
        self._mend()

    def erase_in_display(self, how: int = 0, *args: Any, **kwargs: Any) -> None:
        y = self.cursor.y  # 3 is for the lines scrolled off, which a log keeps; pyte takes it for 2
        for row in {0: range(y + 1, self.lines), 1: range(y), 2: range(self.lines)}.get(how, range(0)):
            self._erase(row, range(self.columns))
        if how in (0, 1):
            self.erase_in_line(how)

    def erase_characters(self, count: int | None = None) -> None:
        self._erase(self.cursor.y, range(self.cursor.x, min(self.cursor.x + (count or 1), self.columns)))
        self._mend()

    def insert_characters(self, count: int | None = None) -> None:
        super().insert_characters(count)
        self.buffer[self.cursor.y].pop(self.columns, None)  # pyte: writes one column too far
        self._erase(self.cursor.y, range(self.cursor.x, min(self.cursor.x + (count or 1), self.columns)))
        self._mend()

    def delete_characters(self, count: int | None = None) -> None:
        super().delete_characters(count)
        self._mend()

    def delete_lines(self, count: int | None = None) -> None:
        for y in range(self.lines):
            self.buffer[y]  # pyte: a row that was never touched does not move up
        super().delete_lines(count)

    def scroll_up(self, count: int = 0) -> None:  # added
        used = max((y + 1 for y in range(self.lines) if _runs(self.buffer[y])), default=0)
        y, self.cursor.y = self.cursor.y, self._margins().bottom
        for _ in range(min(count or 1, used, self.lines)):
            self.index()
        self.cursor.y = y

    def scroll_down(self, count: int = 0) -> None:  # added
        y, self.cursor.y = self.cursor.y, self._margins().top
        for _ in range(min(count or 1, self.lines)):
            self.reverse_index()
        self.cursor.y = y

    def set_mode(self, *modes: int, **kwargs: Any) -> None:
        if 1049 in modes and self.main is None:  # added
            self.main = (copy.copy(self.buffer), copy.copy(self.cursor))
            self.buffer.clear()
        super().set_mode(*modes, **kwargs)

    def reset_mode(self, *modes: int, **kwargs: Any) -> None:
        if 1049 in modes and self.main is not None:  # added
            (self.buffer, self.cursor), self.main = self.main, None
        super().reset_mode(*modes, **kwargs)


class Stream(pyte.ByteStream):
    """With the final bytes as they are in the standard, and what pyte has no name for."""

    csi = pyte.ByteStream.csi | {
        "`": "cursor_to_column", "s": "save_cursor", "u": "restore_cursor", "S": "scroll_up", "T": "scroll_down",
    }  # fmt: skip
    escape = pyte.ByteStream.escape | {"E": "next_line"}
    events = pyte.ByteStream.events | {"next_line", "scroll_up", "scroll_down"}


def shown_by_pyte(data: bytes) -> tuple[Shown, tuple[int, int]]:
    """Return the lines pyte shows of output, and where its cursor is. Line feeds are fed as a terminal's driver does."""
    screen = Screen()
    Stream(screen).feed(data.replace(b"\n", b"\r\n"))
    lines = [_runs(line) for line in [*screen.finished, *(screen.buffer[y] for y in range(screen.lines))]]
    return _without_end(lines), (screen.cursor.x, screen.cursor.y)


def as_shown(lines: list[Line]) -> Shown:
    """Return lines of ours in the same form."""
    return _without_end([_joined([(text, _look(style)) for text, style in line]) for line in lines])


def _runs(cells: dict[int, Char]) -> list[tuple[str, Look]]:
    found = [cells.get(x, Char(" ")) for x in range(max(cells, default=-1) + 1)]
    return _joined([(cell.data, _pyte_look(cell)) for cell in found])


def _joined(pieces: list[tuple[str, Look]]) -> list[tuple[str, Look]]:
    """Join pieces that look alike; leave out blanks at the end: a background may have been erased to there or written."""
    runs: list[tuple[str, Look]] = []
    for text, look in pieces:
        if runs and runs[-1][1] == look:
            runs[-1] = (runs[-1][0] + text, look)
        elif text:
            runs.append((text, look))
    while runs and runs[-1][1][::2] == ("default", 0):
        rest = runs[-1][0].rstrip(" ")
        if rest:
            runs[-1] = (rest, runs[-1][1])
            break
        runs.pop()
    return [(unicodedata.normalize("NFC", text), look) for text, look in runs]


def _without_end(lines: Shown) -> Shown:
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _look(style: Style) -> Look:
    colors = [_exact(color) for color in (style.fg, style.bg)]
    return colors[0], colors[1], style.attributes & sum(ATTRIBUTES.values())  # pyte knows no faint and hidden


def _exact(color: int | str | None) -> str:
    if color is None:
        return "default"
    return color.removeprefix("#") if isinstance(color, str) else graphics.FG_BG_256[color]


def _pyte_look(cell: Char) -> Look:
    bits = sum(bit for name, bit in ATTRIBUTES.items() if getattr(cell, name))
    return _pyte_color(cell.fg), _pyte_color(cell.bg), bits


def _pyte_color(name: str) -> str:
    plain = name.replace("bfight", "bright").removeprefix("bright")  # misspelt in pyte for 105
    if plain not in NAMES:
        return name
    return graphics.FG_BG_256[NAMES.index(plain) + 8 * (plain != name)]
