"""A part of a log that begins or ends at an offset: at most 64 KiB and 2,000 lines, in whole lines where possible."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from running_jobs import logs
from running_jobs.web.log_lines import LineFeed, ShownLine, blocks_html, lines_html
from running_jobs.web.log_numbers import LineNumbers
from running_jobs.web.log_times import LogTimes, shown_moment

PART_BYTES = 64 << 10
MOST_LINES = 2000
MOST_ROWS = 25  # that are no blocks: a terminal's screen
BEFORE_BYTES = 8 << 10  # shown above what was looked for


@dataclass(frozen=True)
class LogPart:
    """Lines from an offset to another of a log that has `size` bytes; `number` is the first line's, if known.

    Of a live log's end, `rows` are the lines that may still change, `state` is what the viewer then has of it, and
    `begins` says that this takes the place of all it had.
    """

    lines: Sequence[ShownLine]
    rows: Sequence[ShownLine] = ()
    start: int = 0
    end: int = 0
    size: int = 0
    number: int | None = None
    state: str = ""
    begins: bool = True

    def html(self) -> tuple[Markup, Markup]:
        """Return its lines and its rows as elements."""
        number = None if self.number is None else self.number + len(self.lines)
        rows = (blocks_html if len(self.rows) > MOST_ROWS else lines_html)(self.rows, number)
        return blocks_html(self.lines, self.number), rows


def part_from(descriptor: int, offset: int) -> tuple[int, int]:
    """Return where a part begins and ends that begins at an offset."""
    size = os.fstat(descriptor).st_size
    start = min(offset, size)
    data = os.pread(descriptor, PART_BYTES, start)
    skipped = _continuation(data)
    if (newlines := data.count(b"\n")) > MOST_LINES:
        data = data[: len(data) - len(data.split(b"\n", MOST_LINES)[MOST_LINES])]
    elif newlines and start + len(data) < size:
        data = data[: data.rfind(b"\n") + 1]
    elif start + len(data) < size:
        data = data[: _whole_characters(data)]
    return start + skipped, start + len(data)


def part_up_to(descriptor: int, offset: int) -> tuple[int, int]:
    """Return where a part begins and ends that ends at an offset."""
    end = min(offset, os.fstat(descriptor).st_size)
    begin = max(0, end - PART_BYTES)
    data = os.pread(descriptor, end - begin, begin)
    start = logs.last_lines_start(data, MOST_LINES)
    if start == 0 and begin > 0:
        newline = data.find(b"\n", 0, -1)
        start = newline + 1 if newline >= 0 else _continuation(data)
    return begin + start, end


def part_around(descriptor: int, offset: int) -> tuple[int, int]:
    """Return where a part begins and ends that shows what is at an offset, with some of what comes before."""
    start, _ = part_from(descriptor, _line_begin(descriptor, offset, BEFORE_BYTES))
    return start, part_from(descriptor, start)[1]


def begin_of_tail(descriptor: int, size: int) -> int:
    """Return where the end of a log begins to be shown."""
    return part_up_to(descriptor, size)[0]


def read_part(
    descriptor: int, bounds: tuple[int, int], times: LogTimes, numbers: LineNumbers, found: int | None = None
) -> LogPart:
    """Return a part of a log as lines; the one at the offset `found` is marked."""
    start, end = bounds
    feed = LineFeed(start)
    status = os.fstat(descriptor)
    feed.feed(os.pread(descriptor, end - start, start), times, shown_moment(status.st_mtime) if times else None, found)
    number = numbers.before(descriptor, start)
    return LogPart(
        lines=[*feed.take_finished(), *feed.rows()],
        start=start,
        end=feed.end,
        size=status.st_size,
        number=None if number is None else number + 1,
    )


def _line_begin(descriptor: int, offset: int, most: int) -> int:
    """Return the begin of the first whole line of the `most` bytes before an offset, or where these begin."""
    start = max(0, offset - most)
    if start == 0:
        return 0
    data = os.pread(descriptor, offset - start, start)
    newline = data.find(b"\n")
    return start + newline + 1 if newline >= 0 else start


def _continuation(data: bytes) -> int:
    """Return how many bytes data begins with that belong to a character before it."""
    return next((at for at in range(min(3, len(data))) if data[at] & 0xC0 != 0x80), 0)


def _whole_characters(data: bytes) -> int:
    """Return how long data is without a character that is cut off at its end."""
    at = next((at for at in range(len(data) - 1, max(0, len(data) - 4), -1) if data[at] & 0xC0 != 0x80), 0)
    length = {0xC0: 2, 0xD0: 2, 0xE0: 3, 0xF0: 4}.get(data[at] & 0xF0, 1) if data else 0
    return at if at and at + length > len(data) else len(data)
