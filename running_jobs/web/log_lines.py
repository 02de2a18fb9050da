"""A log's bytes as lines of HTML: fed from an offset on, in order, through a terminal.

Each line knows by when it was there, if that is known, and some know the offset at which they begin, so that the log
can be gone through from there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from markupsafe import Markup

from running_jobs.web.log_times import LogTimes
from running_jobs.web.terminal import Terminal, line_to_html

KEPT_LINES = 4000
LONGEST = 64 << 10  # columns: a longer line goes on in the next
BLOCK_LINES = 50
PIECE_BYTES = 2 << 10  # how far apart lines are whose offsets are known


class ShownLine(NamedTuple):
    """A line as it is shown; `offset` is where it begins, if that is known, `stream` which of two logs it is of."""

    html: str
    moment: str | None = None
    offset: int | None = None
    is_found: bool = False
    stream: str = ""


class LineFeed:
    """A terminal that notes of its lines when they were written, and where some of them begin."""

    def __init__(self, start: int, kept_lines: int = KEPT_LINES) -> None:
        self._terminal = Terminal(kept_lines=kept_lines, longest=LONGEST)
        self.end = start
        self._begins_line = True
        self._moments: dict[int, str] = {}  # by row, as is all below: counted from the terminal's first line on
        self._offsets: dict[int, int] = {}
        self._last_offset_row = -1
        self._found_row = -1

    @property
    def finished_count(self) -> int:
        """How many lines can't change any more, taken or not."""
        return self._terminal.finished_count

    def feed(self, data: bytes, times: LogTimes, latest: str | None = None, found: int | None = None) -> None:
        """Show more of the log. `latest` is by when what no sample covers was there; the line at `found` is marked."""
        cuts = set(times.cuts(self.end, self.end + len(data)))
        if found is not None:
            cuts.add(found)
        for piece in pieces(data, self.end, sorted(cuts)):
            if self.end == found:
                self._found_row = self._row
            self._feed_piece(piece, times.by(self.end + len(piece)) or latest)

    def _feed_piece(self, piece: bytes, moment: str | None) -> None:
        first = self._row
        if self._begins_line and first > self._last_offset_row:
            self._offsets[first] = self.end
            self._last_offset_row = first
        self._terminal.feed(piece)
        self.end += len(piece)
        self._begins_line = piece.endswith(b"\n")
        if moment is not None:
            last = self._row
            for row in range(min(first, last), last + 1):
                self._moments[row] = moment

    @property
    def _row(self) -> int:
        return self._terminal.finished_count + self._terminal.cursor[1]

    def take_finished(self) -> list[ShownLine]:
        """Return the lines that can't change any more and were not taken yet; of too many the last ones."""
        lines = self._terminal.take_finished()
        end = self._terminal.finished_count
        shown = self._shown(lines, end - len(lines))
        self._moments = {row: moment for row, moment in self._moments.items() if row >= end}
        self._offsets = {row: offset for row, offset in self._offsets.items() if row >= end}
        return shown

    def rows(self) -> list[ShownLine]:
        """Return the lines that may still change."""
        return self._shown(self._terminal.rows, self._terminal.finished_count)

    def _shown(self, lines: Iterable[list], first: int) -> list[ShownLine]:  # type: ignore[type-arg]
        moments, offsets, found = self._moments.get, self._offsets.get, self._found_row
        return [
            ShownLine(line_to_html(line), moments(row), offsets(row), row == found)
            for row, line in enumerate(lines, first)
        ]


def pieces(data: bytes, start: int, cuts: list[int]) -> Iterator[bytes]:
    """Cut data that begins at an offset: at the offsets `cuts`, and after a line every 2 KiB or so."""
    at = known = 0
    for cut in [*(cut - start for cut in cuts), len(data)]:
        while at < cut:
            newline = data.find(b"\n", max(at, known + PIECE_BYTES), cut)
            end = newline + 1 if newline >= 0 else cut
            if newline >= 0:
                known = end
            yield data[at:end]
            at = end


def lines_html(lines: Iterable[ShownLine], number: int | None = None) -> Markup:
    """Return lines as elements; `number` is the first one's, if it is known."""
    shown = []
    for line in lines:
        attributes = ' class="l found"' if line.is_found else ' class="l"'
        if number is not None:
            attributes += f' data-n="{number:5}"'
            number += 1
        if line.moment:
            attributes += f' data-t="{line.moment}"'
        if line.offset is not None:
            attributes += f' data-o="{line.offset}"'
        if line.stream:
            attributes += f' data-s="{line.stream}"'
        shown.append(f"<div{attributes}>{line.html}</div>")
    return Markup("".join(shown))  # noqa: S704 - the terminal has escaped the text, and the rest is ours


def blocks_html(lines: Sequence[ShownLine], number: int | None = None) -> Markup:
    """Return lines in blocks of 50: a browser lays out only those that are in sight."""
    blocks = []
    for start in range(0, len(lines), BLOCK_LINES):
        first = None if number is None else number + start
        blocks.append(f'<div class="b">{lines_html(lines[start : start + BLOCK_LINES], first)}</div>')
    return Markup("".join(blocks))  # noqa: S704 - as above
