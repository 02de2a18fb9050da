"""A terminal's screen for a log: the last rows, which programs may still change, and the finished lines above them.

It has a height, since programs count on one, but no width: a line goes on for as long as the program does not end it.
What scrolls off its top is finished: no later output can change it. Programs that find no terminal assume 24 rows
(rich: 25), so that is what absolute positions and the farthest cursor movement upwards refer to.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from running_jobs.web.terminal.row import Row
from running_jobs.web.terminal.style import PLAIN, Line, Run, Style, erased
from running_jobs.web.terminal.widths import is_narrow, measured, width_of

HEIGHT = 25
WIDEST = 1000  # columns: how far right a movement reaches, and beyond which rows are not edited but only written
LONGEST = 1 << 20  # columns: a longer line goes on in the next, so that memory stays bounded
KEPT_LINES = 200_000
BATCH = 256  # lines measured and added at once


class Cursor(NamedTuple):
    """Where the next character goes and how it looks, as saved and restored."""

    x: int = 0
    y: int = 0
    style: Style = PLAIN


class Screen:
    """The rows, the cursor and the finished lines; what an operation costs is bounded by what it changes."""

    def __init__(self, height: int = HEIGHT, kept_lines: int = KEPT_LINES, longest: int = LONGEST) -> None:
        self.height = height
        self.longest = max(longest, 2 * WIDEST)
        self.rows = [Row() for _ in range(height)]
        self.x = 0
        self.y = 0
        self.style = PLAIN
        self.saved = Cursor()
        self.top, self.bottom = 0, height - 1  # of the part that scrolls
        self.main_rows: list[Row] | None = None  # put aside while a program shows its alternate screen
        self.main_cursor = Cursor()
        self.finished: deque[Line] = deque(maxlen=kept_lines)
        self.finished_count = 0  # also those that are not kept any more

    def write(self, text: str) -> None:
        """Write text in which only line feeds are controls; each also returns to the left, as terminals are set up."""
        if "\n" not in text:
            self._put(text)
            return
        first, *others = text.split("\n")
        if first:
            self._put(first)
        for start in range(0, len(others), BATCH):
            texts = others[start : start + BATCH]
            if len(texts) > 1 and self._is_whole() and self.y == self.bottom and self._append(texts):
                continue
            for text in texts:
                self.x = 0
                self.line_down(is_end=True)
                if text:
                    self._put(text)

    def _append(self, texts: list[str]) -> bool:
        """Add lines at the bottom all at once, unless there is something to measure in them."""
        if max(map(len, texts)) > WIDEST or self.rows[self.y].width > WIDEST or not all(map(is_narrow, texts)):
            return False
        excess = len(texts) - self.height
        self._finish(self.height if excess >= 0 else len(texts))
        if excess > 0:
            self.finished.extend([Run(text, self.style)] if text else [] for text in texts[:excess])
            self.finished_count += excess
        for row, text in zip(self.rows[-len(texts) :], texts[max(0, excess) :]):
            if text:
                row.put(0, text, self.style, len(text))
        self.x = len(texts[-1])
        return True

    def _put(self, text: str) -> None:
        text, width = (text, len(text)) if text.isascii() else measured(text)
        if self.x + width > self.longest:
            self._put_in_parts(text)
        elif text:
            self.rows[self.y].put(self.x, text, self.style, width)
            self.x += width

    def _put_in_parts(self, text: str) -> None:
        while text:
            room, size, width = self.longest - self.x, 0, 0
            for character in text:
                columns = width_of(character)
                if width + columns > room:
                    break
                size, width = size + 1, width + columns
            if size:
                self.rows[self.y].put(self.x, text[:size], self.style, width)
                self.x += width
            text = text[size:]
            if text:
                self.x = 0
                self.line_down(is_end=True)

    def line_down(self, is_end: bool = False) -> None:
        """Move to the next row, scrolling at the bottom. `is_end`: the line ends here.

        One wider than WIDEST is then finished, and what is above it: no program comes back to such a line to change it,
        and so the screen holds little, except for a line that still grows.
        """
        if is_end and self.rows[self.y].width > WIDEST and self._is_whole():
            self._finish(self.y + 1)
            self.y = 0
        elif self.y < self.bottom:
            self.y += 1
        elif self.y == self.bottom == self.height - 1 and self.top == 0 and self.main_rows is None:
            self.finished.append(self.rows.pop(0).line())
            self.finished_count += 1
            self.rows.append(Row())
        elif self.y == self.bottom:
            self._take_rows(self.top, 1)
        elif self.y < self.height - 1:
            self.y += 1

    def line_up(self) -> None:
        """Move to the row above, scrolling at the top."""
        if self.y == self.top:
            self.scroll_down(1)
        elif self.y > 0:
            self.y -= 1

    def scroll_up(self, count: int) -> None:
        """Move the scrolling part up; what leaves the screen at its top is finished, but for rows below all text."""
        self._take_rows(self.top, min(count, self._used()))

    def scroll_down(self, count: int) -> None:
        """Move the scrolling part down; what leaves it is lost."""
        self._insert_rows(self.top, count)

    def insert_lines(self, count: int) -> None:
        """Push the cursor's row and those below down."""
        if self.top <= self.y <= self.bottom:
            self._insert_rows(self.y, count)
            self.x = 0

    def delete_lines(self, count: int) -> None:
        """Take out the cursor's row and those below, pulling up what follows."""
        if self.top <= self.y <= self.bottom:
            self._take_rows(self.y, count, is_deleted=True)
            self.x = 0

    def _insert_rows(self, at: int, count: int) -> None:
        count = min(count, self.bottom + 1 - at)
        del self.rows[self.bottom + 1 - count : self.bottom + 1]
        self.rows[at:at] = [Row() for _ in range(count)]

    def _take_rows(self, at: int, count: int, is_deleted: bool = False) -> None:
        count = min(count, self.bottom + 1 - at)
        if at == 0 and not is_deleted and self.main_rows is None:
            self._finish(count)
        else:
            del self.rows[at : at + count]
            self.rows[self.bottom + 1 - count : self.bottom + 1 - count] = [Row() for _ in range(count)]

    def _finish(self, count: int) -> None:
        self.finished.extend([row.line() for row in self.rows[:count]])
        self.finished_count += count
        del self.rows[:count]
        at = self.bottom + 1 - count
        self.rows[at:at] = [Row() for _ in range(count)]

    def _is_whole(self) -> bool:
        return self.main_rows is None and self.top == 0 and self.bottom == self.height - 1

    def move_to(self, x: int, y: int) -> None:
        """Put the cursor at a column and row; beyond the screen it stays at its edge."""
        if x > self.x:
            x = max(self.x, min(x, max(WIDEST, self.rows[self.y].width) - 1))
        self.x, self.y = max(0, x), min(max(0, y), self.height - 1)

    def move_rows(self, count: int) -> None:
        """Move the cursor down, or up if negative; within the scrolling part it stays there."""
        low = self.top if self.y >= self.top else 0
        high = self.bottom if self.y <= self.bottom else self.height - 1
        self.y = min(max(low, self.y + count), high)

    def tab(self) -> None:
        """Move the cursor to the next multiple of 8."""
        self.x = min(self.x // 8 * 8 + 8, self.longest - 1)

    def erase_in_line(self, how: int) -> None:
        """Erase from the cursor on (0), up to it (1), or the whole row (2)."""
        row, style = self.rows[self.y], erased(self.style)
        if how == 0:
            row.cut(self.x, style)
        elif how == 1 and self.x < WIDEST:
            row.blank(0, self.x + 1, style)
        elif how == 2:
            row.cut(0, style)

    def erase_in_display(self, how: int) -> None:
        """Erase from the cursor on (0), up to it (1), or the whole screen (2); finished lines stay."""
        style = erased(self.style)
        for y in {0: range(self.y + 1, self.height), 1: range(self.y), 2: range(self.height)}.get(how, range(0)):
            self.rows[y].cut(0, style)
        if how in (0, 1):
            self.erase_in_line(how)

    def erase_characters(self, count: int) -> None:
        """Erase from the cursor on, leaving what is behind where it is."""
        if self.x < WIDEST:
            self.rows[self.y].blank(self.x, min(self.x + count, WIDEST), erased(self.style))

    def insert_characters(self, count: int) -> None:
        """Push the rest of the row to the right by blanks."""
        row = self.rows[self.y]
        if max(row.width, self.x) + count <= WIDEST:
            row.insert(self.x, count, erased(self.style))

    def delete_characters(self, count: int) -> None:
        """Take characters out of the row at the cursor."""
        row = self.rows[self.y]
        if row.width <= WIDEST:
            row.remove(self.x, count)

    def set_margins(self, top: int, bottom: int) -> None:
        """Let only some rows scroll; if that is fewer than two, change nothing."""
        bottom = min(bottom, self.height - 1)
        if top < bottom:
            self.top, self.bottom = top, bottom
            self.x = self.y = 0

    def save_cursor(self) -> None:
        """Remember the cursor and its style."""
        self.saved = Cursor(self.x, self.y, self.style)

    def restore_cursor(self) -> None:
        """Go back to what was remembered, or to the top left."""
        self.x, self.y, self.style = self.saved

    def show_alternate(self) -> None:
        """Put the rows aside and show empty ones, until show_main."""
        if self.main_rows is None:
            self.main_rows, self.main_cursor = self.rows, Cursor(self.x, self.y, self.style)
            self.rows = [Row() for _ in range(self.height)]

    def show_main(self) -> None:
        """Show what was put aside, as it was."""
        if self.main_rows is not None:
            self.rows, self.main_rows = self.main_rows, None
            self.x, self.y, self.style = self.main_cursor

    def reset(self) -> None:
        """Begin anew with an empty screen; finished lines stay."""
        self.show_main()
        self.rows = [Row() for _ in range(self.height)]
        self.x = self.y = self.top = 0
        self.style, self.saved, self.bottom = PLAIN, Cursor(), self.height - 1

    def lines(self) -> list[Line]:
        """Return what the rows show, down to the last one with text or the one above the cursor."""
        return [row.line() for row in self.rows[: max(self._used(), self.y)]]

    def _used(self) -> int:
        return next((y + 1 for y in range(self.height - 1, -1, -1) if not self.rows[y].is_blank()), 0)
