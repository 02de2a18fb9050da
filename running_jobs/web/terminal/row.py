"""One row of a terminal's screen: text in styles, addressed by column.

Most rows are only ever written from left to right, or wholly anew: those stay a list of runs. Only a row that is
changed in its middle is taken apart into cells, one a column. A wide character takes two cells, the second one empty;
a combining one joins the cell before. Half a wide character is never left: the other half becomes a space.
"""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter

from running_jobs.web.terminal.style import PLAIN, Line, Run, Style, erased
from running_jobs.web.terminal.widths import is_narrow, measured, width_of

LONGEST_CELL = 16  # code points; more combining characters on one are dropped

_style_of = itemgetter(1)


class Row:
    """What stands in a row; `width` is where its text ends, `fill` how the rest was erased."""

    __slots__ = ("_cells", "_runs", "_styles", "fill", "width")

    def __init__(self, fill: Style = PLAIN) -> None:
        self._runs: list[tuple[str, Style]] = []
        self._cells: list[str] | None = None  # where set, it and _styles hold the row instead of _runs
        self._styles: list[Style] = []
        self.width = 0
        self.fill = fill

    @classmethod
    def of(cls, line: Line, fill: Style = PLAIN) -> Row:
        """Return a row that shows a line."""
        row = cls(fill)
        row._runs = [(text, style) for text, style in line]
        row.width = sum(measured(run.text)[1] for run in line)
        return row

    def line(self) -> Line:
        """Return what the row shows, no two runs beside each other in the same style."""
        if self._cells is not None:
            pieces = groupby(zip(self._cells, self._styles), _style_of)
            return [Run("".join([cell for cell, _ in piece]), style) for style, piece in pieces]
        if len(self._runs) < 2:
            return [Run(text, style) for text, style in self._runs]
        pieces = groupby(self._runs, _style_of)
        return [Run("".join([text for text, _ in piece]), style) for style, piece in pieces]

    def is_blank(self) -> bool:
        """Say whether there is nothing to be seen but, perhaps, a background."""
        return not self.width or all(style == erased(style) and not text.strip(" ") for text, style in self.line())

    def put(self, column: int, text: str, style: Style, width: int) -> None:
        """Write text that takes `width` columns over what stands at a column."""
        if column == self.width and self._cells is None and text.isascii():  # nearly always
            self._runs.append((text, style))
            self.width += width
            return
        if column == 0 and not is_narrow(text):
            text = text[_marks(text) :]  # there is nothing for them to stand on
        if column == 0 and width >= self.width and text:
            self._runs, self._cells, self._styles = [(text, style)], None, []
            self.width = width
            return
        self._pad(column)
        end = column + width
        if not is_narrow(text) and (size := _marks(text)):
            self._join(column, text[:size])
            text = text[size:]
        if column == self.width and self._cells is None:
            if text:
                self._runs.append((text, style))
        elif text:
            cells = self._as_cells()
            self._part(column)
            self._part(end)
            cells[column:end] = text if is_narrow(text) else cells_of(text)
            self._styles[column:end] = [style] * width
        self.width = max(self.width, end)

    def cut(self, column: int, fill: Style) -> None:
        """Erase everything from a column on."""
        if fill != self.fill:
            self._pad(column)
            self.fill = fill
        if column == 0:
            self._runs, self._cells, self._styles, self.width = [], None, [], 0
        elif column < self.width:
            cells = self._as_cells()
            self._part(column)
            del cells[column:], self._styles[column:]
            self.width = column

    def blank(self, start: int, end: int, style: Style) -> None:
        """Erase the columns from `start` up to `end`, leaving those behind where they are."""
        if style == self.fill:
            end = min(end, self.width)
        if start < end:
            self.put(start, " " * (end - start), style, end - start)

    def insert(self, column: int, count: int, style: Style) -> None:
        """Push what stands from a column on to the right by blanks."""
        if column < self.width or style != self.fill:
            self._pad(column)
            cells = self._as_cells()
            self._part(column)
            cells[column:column] = " " * count
            self._styles[column:column] = [style] * count
            self.width += count

    def remove(self, column: int, count: int) -> None:
        """Take columns out, and pull up what stands behind them."""
        if column < self.width:
            cells = self._as_cells()
            end = min(column + count, self.width)
            self._part(column)
            self._part(end)
            del cells[column:end], self._styles[column:end]
            self.width = len(cells)

    def _pad(self, column: int) -> None:
        missing = column - self.width
        if missing > 0:
            if self._cells is None:
                self._runs.append((" " * missing, self.fill))
            else:
                self._cells.extend(" " * missing)
                self._styles.extend([self.fill] * missing)
            self.width = column

    def _join(self, column: int, marks: str) -> None:
        """Add combining characters to the cell before a column."""
        if column == self.width and self._cells is None:
            self._runs.append((marks, self._runs[-1][1]))
            return
        cells = self._as_cells()
        at = column - 1 if cells[column - 1] else column - 2
        cells[at] = (cells[at] + marks)[:LONGEST_CELL]

    def _part(self, column: int) -> None:
        """Let no wide character stand across the left edge of a column."""
        cells = self._as_cells()
        if 0 < column < len(cells) and not cells[column]:
            cells[column - 1 : column + 1] = "  "

    def _as_cells(self) -> list[str]:
        if self._cells is None:
            self._cells = []
            for text, style in self._runs:
                if is_narrow(text):
                    self._cells.extend(text)
                else:
                    self._cells.extend(cells_of(text, self._cells))
                self._styles.extend([style] * (len(self._cells) - len(self._styles)))
            self._runs = []
        return self._cells


def cells_of(text: str, before: list[str] | None = None) -> list[str]:
    """Return text as cells; combining characters at its begin join the last cell of `before`."""
    cells: list[str] = []
    for character in text:
        width = width_of(character)
        if width > 0:
            cells.append(character)
            if width == 2:
                cells.append("")
            continue
        held = cells or before
        if held:
            at = -1 if held[-1] else -2
            held[at] = (held[at] + character)[:LONGEST_CELL]
    return cells


def _marks(text: str) -> int:
    """Return how many combining characters text begins with."""
    return next((at for at, character in enumerate(text) if width_of(character) > 0), len(text))
