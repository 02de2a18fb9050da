"""The number of lines before an offset of a file, counted in bounded steps that later requests go on from.

What was counted is kept by the file's identity, as the count up to every 4 MiB: files here only grow.
"""

from __future__ import annotations

import os
import threading
import time
from array import array
from collections import OrderedDict

STEP_BYTES = 4 << 20
MOST_BYTES = 64 << 20  # in one request
BUDGET_S = 0.03
READ_BYTES = 256 << 10
HELD = 64


class LineNumbers:
    """Counts lines, for files that are open. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: OrderedDict[tuple[int, int], array[int]] = OrderedDict()

    def before(self, descriptor: int, offset: int) -> int | None:
        """Return how many lines end before an offset; None if that is not known yet: ask again."""
        counts = self._counts_of(descriptor)
        whole = offset // STEP_BYTES
        deadline, most = time.monotonic() + BUDGET_S, MOST_BYTES
        while (known := len(counts) - 1) < whole:
            if most <= 0 or time.monotonic() > deadline:
                return None
            found = counts[known] + count_newlines(descriptor, known * STEP_BYTES, (known + 1) * STEP_BYTES)
            most -= STEP_BYTES
            with self._lock:
                if len(counts) == known + 1:  # no other request was faster
                    counts.append(found)
        return counts[whole] + count_newlines(descriptor, whole * STEP_BYTES, offset)

    def _counts_of(self, descriptor: int) -> array[int]:
        status = os.fstat(descriptor)
        name = (status.st_dev, status.st_ino)
        with self._lock:
            counts = self._held.get(name)
            if counts is None or (len(counts) - 1) * STEP_BYTES > status.st_size:  # another file, or cut off
                counts = self._held[name] = array("Q", [0])
            self._held.move_to_end(name)
            while len(self._held) > HELD:
                self._held.popitem(last=False)
        return counts


def count_newlines(descriptor: int, start: int, end: int) -> int:
    """Return the number of line ends between two offsets."""
    count = 0
    while start < end and (data := os.pread(descriptor, min(READ_BYTES, end - start), start)):
        count += data.count(b"\n")
        start += len(data)
    return count
