"""The ends of logs that somebody looks at, kept in memory while they grow, and shared by all who look.

A `LiveLog` begins near the log's end and is fed what is appended when somebody asks. What a viewer has seen is three
values that it sends with its next request: which LiveLog, how many finished lines, which state of the last rows.
Nothing is held for a viewer, and all of it can be rebuilt from the file.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

from running_jobs import files
from running_jobs.web.log_lines import KEPT_LINES, LineFeed, ShownLine
from running_jobs.web.log_numbers import LineNumbers
from running_jobs.web.log_parts import MOST_LINES, LogPart, begin_of_tail
from running_jobs.web.log_times import LogTimes, Samples, shown_moment

HELD_LOGS = 32
KEPT_CHARACTERS = 512 << 10  # of finished lines' HTML
FED_BYTES = 256 << 10  # in one request
FAR_BEHIND_BYTES = 1 << 20  # then it begins at the end again


@dataclass(frozen=True)
class Seen:
    """What a viewer has of a LiveLog."""

    log: str
    count: int
    version: int

    def __str__(self) -> str:
        return f"{self.log}.{self.count}.{self.version}"


def seen_of(text: str) -> Seen | None:
    """Read what a viewer sent; None if it is nothing of ours."""
    log, _, rest = text.partition(".")
    count, _, version = rest.partition(".")
    for number in (count, version):
        if not (number.isascii() and number.isdigit() and len(number) <= 15):
            return None
    return Seen(log, int(count), int(version))


class LiveLog:
    """The end of one log: its finished lines as far as they are kept, and the rows that may still change."""

    def __init__(self, descriptor: int, status: os.stat_result) -> None:
        self.name = secrets.token_hex(4)
        self.file = (status.st_dev, status.st_ino)
        self.lock = threading.Lock()
        self.start = begin_of_tail(descriptor, status.st_size)
        self.size = self.start
        self.version = 0
        self.rows: list[ShownLine] = []
        self._feed = LineFeed(self.start)
        self._finished: deque[ShownLine] = deque()
        self._characters = 0
        self._is_first = True

    @property
    def end(self) -> int:
        """The offset up to which it was fed."""
        return self._feed.end

    def goes_on(self, status: os.stat_result, size: int) -> bool:
        """Say whether a file is still the one it began with, that had a size, and not much longer than what was fed."""
        is_same = self.file == (status.st_dev, status.st_ino) and status.st_size >= size
        return is_same and (self._is_first or status.st_size - self.end <= FAR_BEHIND_BYTES)

    def catch_up(self, descriptor: int, times: LogTimes) -> None:
        """Feed it what was appended, or the first part of it. The caller holds its lock."""
        status = os.fstat(descriptor)
        data = os.pread(descriptor, FED_BYTES, self.end)
        self.size = max(status.st_size, self.end + len(data))
        # what was there before we looked may be older than the last write by any time
        latest = shown_moment(status.st_mtime) if times or not self._is_first else None
        self._is_first = False
        if not data:
            return
        self._feed.feed(data, times, latest)
        self._keep(self._feed.take_finished())
        self.rows = self._feed.rows()
        self.version += 1

    def _keep(self, lines: list[ShownLine]) -> None:
        self._finished.extend(lines)
        self._characters += sum(len(line.html) for line in lines)
        while self._finished and (len(self._finished) > KEPT_LINES or self._characters > KEPT_CHARACTERS):
            self._characters -= len(self._finished.popleft().html)

    def part_since(self, seen: Seen | None, number_of: Callable[[int], int | None]) -> LogPart | None:
        """Return what a viewer lacks, or the end as a whole; None if it lacks nothing. The caller holds its lock.

        `number_of` returns how many lines end before an offset.
        """
        count = self._feed.finished_count
        first = count - len(self._finished)
        begins = seen is None or seen.log != self.name or not max(first, count - MOST_LINES) <= seen.count <= count
        if not begins and seen is not None and (seen.count, seen.version) == (count, self.version):
            return None
        lines = list(self._finished)
        if begins:
            lines = last_lines(lines)
        elif seen is not None:
            lines = lines[seen.count - first :]
        number = number_of(self.start)
        start = next((line.offset for line in (*lines, *self.rows) if line.offset is not None), self.start)
        return LogPart(
            lines=lines,
            rows=self.rows,
            start=start if begins else self.start,
            end=self.end,
            size=self.size,
            number=None if number is None else number + 1 + count - len(lines),
            state=str(Seen(self.name, count, self.version)),
            begins=begins,
        )


def last_lines(lines: list[ShownLine]) -> list[ShownLine]:
    """Return the last lines, as many as are shown at once, from one on whose offset is known."""
    if len(lines) <= MOST_LINES:
        return lines
    start = len(lines) - MOST_LINES
    return lines[next((at for at in range(start, len(lines)) if lines[at].offset is not None), start) :]


class LiveLogs:
    """The logs that were looked at last. Thread-safe."""

    def __init__(self) -> None:
        self.samples = Samples()
        self.numbers = LineNumbers()
        self._lock = threading.Lock()
        self._held: OrderedDict[str, LiveLog] = OrderedDict()

    def part(self, path: str, seen: Seen | None, times_of: Callable[[], LogTimes]) -> LogPart | None:
        """Return what a viewer lacks of a log, None if that is nothing. Raise OSError.

        `times_of` returns the log's times; it is asked only where there is something new.
        """
        live, status = self._live(path)
        if live is not None and seen is not None and seen.log == live.name:
            with live.lock:
                if live.end == status.st_size and live.part_since(seen, _unknown) is None:
                    return None
        descriptor = files.open_private(path, os.O_RDONLY)
        try:
            live = live or self._begin(path, descriptor)
            with live.lock:
                if live.end < os.fstat(descriptor).st_size or not live.version:
                    live.catch_up(descriptor, times_of())
                return live.part_since(seen, lambda offset: self.numbers.before(descriptor, offset))
        finally:
            os.close(descriptor)

    def _live(self, path: str) -> tuple[LiveLog | None, os.stat_result]:
        with self._lock:
            live = self._held.get(path)
            size = live.size if live is not None else 0
            try:
                status = os.stat(path, follow_symlinks=False)  # after that size was seen: it is not older
            except OSError:
                self._held.pop(path, None)
                raise
            if live is not None and not live.goes_on(status, size):
                del self._held[path]
                return None, status
            if live is not None:
                self._held.move_to_end(path)
            return live, status

    def _begin(self, path: str, descriptor: int) -> LiveLog:
        live = LiveLog(descriptor, os.fstat(descriptor))
        with self._lock:
            self._held[path] = live
            self._held.move_to_end(path)
            while len(self._held) > HELD_LOGS:
                self._held.popitem(last=False)
        return live


def _unknown(offset: int) -> None:
    return None
