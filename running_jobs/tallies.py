"""What there is to watch over of queued and ended jobs, counted while the listing takes them in. Not thread-safe."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from running_jobs.job import DONE, ERROR, FINAL, QUEUED, STOP, JobStatus
from running_jobs.summaries import Summary

SPARE = 100  # outdated entries that are kept in any case


class Tally(NamedTuple):
    """The queued jobs by context, and those that ended since this began to count, by status: these only grow.

    `ready_since` is since when the first of the queued jobs waits that were to wait for no other job; one that has a
    time of its own waits from then on, which may be to come. None if there is none.
    """

    queued_by_context: dict[str, int]
    ended: dict[str, int]
    ready_since: str | None


class Tallies:
    """Counts queued and ended jobs; what it costs to look does not depend on how many there are."""

    def __init__(self) -> None:
        self._queued: Counter[str] = Counter()
        self._ready: list[tuple[str, str]] = []  # a heap of moments and ids; those that changed stay in until they rise
        self._ended: Counter[JobStatus] = Counter()

    def take_in(self, before: Summary | None, row: Summary, is_read_late: bool) -> None:
        """Note what became of a job; `before` is what it was. One that `is_read_late` was there before and is news only
        to us."""
        if before is not None:
            self.forget(before)
        if row.status is QUEUED:
            self._queued[row.context] += 1
            if not row.after:
                heapq.heappush(self._ready, (_ready_at(row), row.id))
        if row.status in FINAL and not is_read_late and (before is None or before.status not in FINAL):
            self._ended[row.status] += 1

    def forget(self, row: Summary) -> None:
        """Note that a job is gone, or another than it was."""
        if row.status is QUEUED:
            self._queued[row.context] -= 1
            if not self._queued[row.context]:
                del self._queued[row.context]

    def tally(self, rows: Mapping[str, Summary]) -> Tally:
        """Return the figures; `rows` are all jobs by id, as they are now."""
        if len(self._ready) > 2 * sum(self._queued.values()) + SPARE:
            self._ready = sorted({entry for entry in self._ready if _holds(entry, rows)})
        while self._ready and not _holds(self._ready[0], rows):
            heapq.heappop(self._ready)
        return Tally(
            queued_by_context=dict(self._queued),
            ended={status.value: self._ended[status] for status in (DONE, ERROR, STOP)},
            ready_since=(self._ready[0][0] or None) if self._ready else None,
        )


def _ready_at(row: Summary) -> str:
    return max(row.queued_at or "", row.not_before or "")


def _holds(entry: tuple[str, str], rows: Mapping[str, Summary]) -> bool:
    row = rows.get(entry[1])
    return row is not None and row.status is QUEUED and not row.after and _ready_at(row) == entry[0]
