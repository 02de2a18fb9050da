"""One log that is shown: where it is, what is known of its times, and all ways to look at it. Knows no request."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace

from running_jobs import files
from running_jobs.paths import JobPaths
from running_jobs.web.log_lines import ShownLine
from running_jobs.web.log_live import LiveLogs, Seen
from running_jobs.web.log_parts import LogPart, read_part
from running_jobs.web.log_search import Found, Wanted, find_from, find_up_to
from running_jobs.web.log_times import NO_TIMES, LogTimes

MERGED_LINES = 1000  # of each of the two


@dataclass(frozen=True)
class LogSource:
    """A log. Whatever is asked of it raises OSError if it can't be read."""

    held: LiveLogs
    path: str
    samples: str | None = None
    key: str = ""

    def _times(self) -> LogTimes:
        return self.held.samples.times(self.samples, self.key) if self.samples else NO_TIMES

    def live(self, seen: Seen | None = None) -> LogPart | None:
        """Return what a viewer lacks of its end; None if that is nothing."""
        return self.held.part(self.path, seen, self._times)

    def end(self) -> LogPart:
        """Return its end; empty if there is no log yet."""
        try:
            return self.live() or LogPart(lines=())
        except FileNotFoundError:
            return LogPart(lines=())

    def part(self, bounds: Callable[[int, int], tuple[int, int]], offset: int, found: int | None = None) -> LogPart:
        """Return a part of it; `bounds` says where one begins and ends, the line at the offset `found` is marked."""
        descriptor = files.open_private(self.path, os.O_RDONLY)
        try:
            return read_part(descriptor, bounds(descriptor, offset), self._times(), self.held.numbers, found)
        finally:
            os.close(descriptor)

    def number(self, offset: int) -> int | None:
        """Return the number of the line that begins at an offset; None if it is not known yet: ask again."""
        descriptor = files.open_private(self.path, os.O_RDONLY)
        try:
            before = self.held.numbers.before(descriptor, offset)
        finally:
            os.close(descriptor)
        return None if before is None else before + 1

    def find(self, text: str, start: int | None, end: int | None) -> Found:
        """Search for a text from an offset on, or else backwards up to one, or from the end."""
        descriptor = files.open_private(self.path, os.O_RDONLY)
        try:
            if start is not None:
                return find_from(descriptor, Wanted(text), start)
            size = os.fstat(descriptor).st_size
            return find_up_to(descriptor, Wanted(text), size if end is None else end)
        finally:
            os.close(descriptor)


def source_of(held: LiveLogs, paths: JobPaths, job_id: str, name: str) -> LogSource:
    """Return a job's log `out` or `err`."""
    path = paths.out(job_id) if name == "out" else paths.err(job_id)
    return LogSource(held, path, paths.stats(job_id), f"{name}_bytes")


def merged(out: LogPart, err: LogPart) -> LogPart:
    """Return the ends of a job's output and errors as one, by the times of their lines.

    Lines of the same time, or without one, keep the order of their log, the output's before the errors'. `start` and
    `end` are the sums of both: so many bytes came before what is returned, or are in it too.
    """
    timed = []
    start = 0
    for stream, part in (("out", out), ("err", err)):
        moment = ""
        before, lines = _last_lines(part)
        start += before
        for line in lines:
            moment = max(moment, line.moment or "")
            timed.append((moment, line._replace(offset=None, stream=stream)))
    rows: list[ShownLine] = [line for _, line in sorted(timed, key=lambda entry: entry[0])]
    end, size = out.end + err.end, out.size + err.size
    return LogPart(lines=(), rows=rows, start=start, end=end, size=size, state=f"{out.state}-{err.state}", begins=False)


def _last_lines(part: LogPart) -> tuple[int, list[ShownLine]]:
    """Return the last lines of a part, from one on whose offset is known, and that offset."""
    lines = [*part.lines, *part.rows]
    cut = max(0, len(lines) - MERGED_LINES)
    if cut == 0:
        return part.start, lines
    for at in (*range(cut, len(lines)), *range(cut - 1, -1, -1)):
        if (offset := lines[at].offset) is not None:
            return offset, lines[at:]
    return part.start, lines


def shortened(part: LogPart, most: int) -> LogPart:
    """Return a part without its first lines, if it has more than so many."""
    return replace(part, lines=part.lines[max(0, len(part.lines) + len(part.rows) - most) :], number=None)
