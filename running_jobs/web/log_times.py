"""When a log's bytes were written, as far as the job's samples tell: at such a time it had so many bytes.

A line between two samples was written between their times; it is given the later one: by then it was there. Samples
are `<id>.stats`, a JSON object a line. What is damaged in it is passed over; without it no times are known.
"""

from __future__ import annotations

import json
import os
import threading
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from datetime import datetime, timezone
from typing import Any

from running_jobs import files

LARGEST_BYTES = 4 << 20
HELD = 64


class LogTimes:
    """The moments at which a log was known to have a length, in order."""

    def __init__(self, known: list[tuple[int, str]]) -> None:
        self._lengths = [length for length, _ in known]
        self._moments = [moment for _, moment in known]

    def __bool__(self) -> bool:
        return bool(self._lengths)

    def cuts(self, start: int, end: int) -> list[int]:
        """Return the lengths between two offsets at which another time begins."""
        return self._lengths[bisect_right(self._lengths, start) : bisect_left(self._lengths, end)]

    def by(self, end: int) -> str | None:
        """Return the time by which all bytes before an offset were there; None if no sample covers them."""
        at = bisect_left(self._lengths, end)
        return self._moments[at] if at < len(self._moments) else None


NO_TIMES = LogTimes([])


class Samples:
    """Reads samples, and keeps what it read until they change. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: OrderedDict[tuple[str, str], tuple[Any, LogTimes]] = OrderedDict()

    def times(self, path: str, key: str) -> LogTimes:
        """Return what the samples in a file tell of one log; `key` is `out_bytes` or `err_bytes`."""
        try:
            status = os.stat(path, follow_symlinks=False)
        except OSError:
            return NO_TIMES
        seen = (status.st_ino, status.st_size, status.st_mtime_ns)
        with self._lock:
            was, times = self._held.get((path, key), (None, NO_TIMES))
        if was == seen:
            return times
        try:
            times = LogTimes(_known(files.read_bounded(path, LARGEST_BYTES), key))
        except OSError:
            times = NO_TIMES
        with self._lock:
            self._held[path, key] = seen, times
            self._held.move_to_end((path, key))
            while len(self._held) > HELD:
                self._held.popitem(last=False)
        return times


def shown_moment(seconds: float) -> str:
    """Return a moment as the log shows it, in UTC."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ")


def _known(data: bytes, key: str) -> list[tuple[int, str]]:
    known: list[tuple[int, str]] = []
    for line in data.split(b"\n"):
        try:
            sample = json.loads(line)
            length, moment = sample[key], _rounded(sample["at"])
        except (ValueError, KeyError, TypeError, RecursionError):
            continue
        if type(length) is int and length > (known[-1][0] if known else 0):
            known.append((length, moment))
    return known


def _rounded(moment: Any) -> str:
    return shown_moment(datetime.fromisoformat(moment).timestamp())
