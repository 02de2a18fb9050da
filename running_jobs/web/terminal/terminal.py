"""What a terminal would show of a job's log: the bytes go in, lines of styled text come out.

Lines that no later output can change are finished and taken once; the screen's are looked at as often as wanted. Both
together are the log. The whole state goes into JSON and back, so that rendering can go on where it was left.
"""

from __future__ import annotations

import re
from typing import Any

from running_jobs.web.terminal.parser import LARGEST, LONGEST_COMMAND, LONGEST_STRING, Parser
from running_jobs.web.terminal.row import Row
from running_jobs.web.terminal.screen import HEIGHT, KEPT_LINES, LONGEST, WIDEST, Cursor, Screen
from running_jobs.web.terminal.style import Line, Run, Style, linked
from running_jobs.web.terminal.widths import width_of

VERSION = 1
MOST_ROWS = 200
_COLOR = re.compile(r"#[0-9a-f]{6}")


class Terminal:
    """A screen of `height` rows without a width, and at most `kept_lines` finished lines that were not taken yet."""

    def __init__(self, height: int = HEIGHT, kept_lines: int = KEPT_LINES, longest: int = LONGEST) -> None:
        self._screen = Screen(height, kept_lines, longest)
        self._parser = Parser(self._screen)

    def feed(self, data: bytes) -> None:
        """Show more output; it may be cut anywhere."""
        self._parser.feed(data)

    def take_finished(self) -> list[Line]:
        """Return the lines that can't change any more and were not taken yet (if they were too many: the last ones)."""
        lines = list(self._screen.finished)
        self._screen.finished.clear()
        return lines

    @property
    def finished_count(self) -> int:
        """The number of lines finished so far, taken or not: the number of lines above the screen."""
        return self._screen.finished_count

    @property
    def rows(self) -> list[Line]:
        """The lines that may still change, without the empty ones below the cursor."""
        return self._screen.lines()

    @property
    def lines(self) -> list[Line]:
        """All lines there are: the finished ones that were not taken, and those of the screen."""
        return [*self._screen.finished, *self._screen.lines()]

    @property
    def cursor(self) -> tuple[int, int]:
        """The cursor's column and row on the screen, both from 0."""
        return self._screen.x, self._screen.y

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON values, without the finished lines.

        Bounded: WIDEST columns a row, and the cursor's as long as lines may be. Rows are only cut by that where a
        program went back up to write more than WIDEST columns.
        """
        screen, parser = self._screen, self._parser
        numbers: dict[Style, int] = {}

        def number(style: Style) -> int:
            return numbers.setdefault(style, len(numbers))

        def packed(rows: list[Row], whole: int) -> list[Any]:
            lines = (row.line() if y == whole else _cut(row.line()) for y, row in enumerate(rows))
            return [[number(row.fill), *([t, number(s)] for t, s in line)] for row, line in zip(rows, lines)]

        def place(cursor: Cursor) -> list[int]:
            return [cursor.x, cursor.y, number(cursor.style)]

        main = screen.main_rows
        return {
            "version": VERSION,
            "longest": screen.longest,
            "rows": packed(screen.rows, screen.y),
            "cursor": place(Cursor(screen.x, screen.y, screen.style)),
            "saved": place(screen.saved),
            "margins": [screen.top, screen.bottom],
            "main": None if main is None else {"rows": packed(main, -1), "cursor": place(screen.main_cursor)},
            "finished": screen.finished_count,
            "bytes": parser.decoder.getstate()[0].hex(),
            "pending": parser.pending,
            "string": parser.string and [parser.string, parser.swallowed, parser.command],
            "styles": [list(style) for style in numbers],
        }

    @classmethod
    def restored(cls, state: Any, kept_lines: int = KEPT_LINES) -> Terminal:
        """Return a terminal that goes on from a snapshot. Raise ValueError if it is not one."""
        try:
            return cls._restored(state, kept_lines)
        except (TypeError, KeyError, IndexError, AttributeError) as error:
            raise ValueError(f"not a terminal's state: {error}") from error

    @classmethod
    def _restored(cls, state: Any, kept_lines: int) -> Terminal:
        if state["version"] != VERSION or not 2 <= len(state["rows"]) <= MOST_ROWS:
            raise ValueError("not a terminal's state of this version")
        height = len(state["rows"])
        terminal = cls(height, kept_lines, _within(state["longest"], 16 * LONGEST))
        screen, parser = terminal._screen, terminal._parser
        styles = [_style(*values) for values in state["styles"]]

        def unpacked(rows: list[Any]) -> list[Row]:
            if len(rows) != height:
                raise ValueError("as many rows are expected as the screen has")
            return [
                Row.of([Run(_text(text), styles[_within(style, len(styles))]) for text, style in runs], styles[fill])
                for fill, *runs in rows
            ]

        def place(values: list[int]) -> Cursor:
            x, y, style = values
            return Cursor(_within(x, screen.longest), _within(y, height - 1), styles[style])

        screen.rows = unpacked(state["rows"])
        screen.x, screen.y, screen.style = place(state["cursor"])
        screen.saved = place(state["saved"])
        screen.bottom = _within(state["margins"][1], height - 1)
        screen.top = _within(state["margins"][0], screen.bottom)
        if state["main"] is not None:
            screen.main_rows = unpacked(state["main"]["rows"])
            screen.main_cursor = place(state["main"]["cursor"])
        screen.finished_count = _within(state["finished"], 1 << 53)
        parser.decoder.setstate((bytes.fromhex(state["bytes"])[:3], 0))
        parser.pending = _text(state["pending"])[:LARGEST]
        if state["string"]:
            kind, swallowed, command = state["string"]
            parser.string, parser.swallowed = _text(kind), _within(swallowed, LONGEST_STRING - 1)
            parser.command = _text(command)[:LONGEST_COMMAND]
        return terminal


def _cut(line: Line) -> Line:
    """Return the first WIDEST columns of a line."""
    kept, room = [], WIDEST
    for text, style in line:
        size = 0
        for character in text[: room + 1] if room else "":
            room -= max(0, width_of(character))
            if room < 0:
                break
            size += 1
        if size:
            kept.append(Run(text[:size], style))
        room = max(room, 0)
    return kept


def _style(fg: Any, bg: Any, attributes: Any, link: Any) -> Style:
    for color in (fg, bg):
        if isinstance(color, str):
            if not _COLOR.fullmatch(color):
                raise ValueError(f"not a colour: {color[:20]!r}")
        elif color is not None:
            _within(color, 255)
    style = Style(fg, bg, _within(attributes, 255))
    return style if link is None else linked(style, f"8;;{_text(link)}")


def _within(value: Any, largest: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= largest:
        raise ValueError(f"a number from 0 to {largest} is expected, not {str(value)[:20]!r}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("a text is expected")
    return value
