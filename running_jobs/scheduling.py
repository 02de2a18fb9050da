"""Who is next: the queued jobs in the places where they wait. Pure: no files, no processes; clocks are handed in.

A job waits for other jobs (Dependents), then for its time (Timetable), then for its turn (WaitingLine).
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from running_jobs.clocks import Moment, due_on_boot_clock
from running_jobs.job import from_iso


class WaitingLine:
    """The jobs that may start, in the order in which they are to: higher priority first, then by arrival.

    `limits` are the contexts that have a bound of their own, with it; each has a lane, all others share one.
    """

    def __init__(self, limits: Mapping[str, int] | None = None) -> None:
        self.limits = dict(limits or {})
        self._lanes: dict[str | None, list[tuple[int, str]]] = {}
        self._places: dict[str, tuple[int, str]] = {}  # job -> its rank, its context

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._places

    def put(self, job_id: str, priority: int, context: str = "default") -> None:
        """Put a job in line, or move it if its priority or context changed."""
        place = (-priority, context)
        if self._places.get(job_id) != place:
            self._places[job_id] = place
            heapq.heappush(self._lanes.setdefault(self._lane_of(context), []), (-priority, job_id))

    def remove(self, job_id: str) -> None:
        """Take a job out of the line, if it is in it; what a heap holds of it is passed over later."""
        self._places.pop(job_id, None)

    def context_of(self, job_id: str) -> str:
        """Return the context of a job in line. Raise KeyError."""
        return self._places[job_id][1]

    def first(self, full: Collection[str] = ()) -> str | None:
        """Return the job whose turn it is, those of full contexts passed over, and leave it in line."""
        heads = [head for lane in self._lanes if lane not in full and (head := self._head(lane))]
        return min(heads)[1] if heads else None

    def _lane_of(self, context: str) -> str | None:
        return context if context in self.limits else None

    def _head(self, lane: str | None) -> tuple[int, str] | None:
        heap = self._lanes[lane]
        while heap:
            rank, job_id = heap[0]
            place = self._places.get(job_id)
            if place is not None and place[0] == rank and self._lane_of(place[1]) == lane:
                return heap[0]
            heapq.heappop(heap)
        return None


def choose_next(line: WaitingLine, running: Mapping[str, int], slots: int, held: bool) -> str | None:
    """Return the job to start now, or None if none may: all slots are taken, or nothing may start.

    `running` is how many jobs of each context take a slot.
    """
    if held or not len(line) or sum(running.values()) >= slots:
        return None
    return line.first({name for name, limit in line.limits.items() if running.get(name, 0) >= limit})


class Timetable:
    """The jobs that wait for their time, each on the clock that its wait is told on."""

    def __init__(self) -> None:
        self._by_wall: list[tuple[float, str]] = []
        self._by_boot: list[tuple[float, str]] = []
        self._due: dict[str, tuple[bool, float]] = {}

    def __len__(self) -> int:
        return len(self._due)

    def __iter__(self) -> Iterator[str]:
        return iter(self._due)

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._due

    def put(self, job_id: str, not_before: str, timer: dict[str, Any] | None, boot_id: str) -> None:
        """Note when a job's time comes, or change it."""
        due = due_on_boot_clock(timer, boot_id)
        entry = (False, from_iso(not_before)) if due is None else (True, due)
        if self._due.get(job_id) != entry:
            self._due[job_id] = entry
            heapq.heappush(self._by_boot if entry[0] else self._by_wall, (entry[1], job_id))

    def remove(self, job_id: str) -> None:
        """Forget a job, if it is there."""
        self._due.pop(job_id, None)

    def take_due(self, now: Moment) -> list[str]:
        """Remove and return the jobs whose time has come."""
        found = []
        for heap, on_boot, at in self._clocks(now):
            while (head := self._head(heap, on_boot)) and head[0] <= at:
                heapq.heappop(heap)
                del self._due[head[1]]
                found.append(head[1])
        return found

    def seconds_to_next(self, now: Moment) -> float | None:
        """Return when the next one's time comes, None if none waits."""
        heads = [head[0] - at for heap, on_boot, at in self._clocks(now) if (head := self._head(heap, on_boot))]
        return max(0.0, min(heads)) if heads else None

    def _clocks(self, now: Moment) -> tuple[tuple[list[tuple[float, str]], bool, float], ...]:
        return (self._by_wall, False, now.wall_s), (self._by_boot, True, now.boottime_s)

    def _head(self, heap: list[tuple[float, str]], on_boot: bool) -> tuple[float, str] | None:
        while heap:
            if self._due.get(heap[0][1]) == (on_boot, heap[0][0]):
                return heap[0]
            heapq.heappop(heap)
        return None


class Dependents:
    """The jobs that wait for others, and for which."""

    def __init__(self) -> None:
        self._waits_for: dict[str, set[str]] = {}
        self._awaited_by: dict[str, set[str]] = {}

    def __len__(self) -> int:
        return len(self._waits_for)

    def __iter__(self) -> Iterator[str]:
        return iter(self._waits_for)

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._waits_for

    def put(self, job_id: str, others: Iterable[str]) -> None:
        """Note which jobs a job waits for, or change it."""
        self.remove(job_id)
        self._waits_for[job_id] = set(others)
        for other in self._waits_for[job_id]:
            self._awaited_by.setdefault(other, set()).add(job_id)

    def remove(self, job_id: str) -> None:
        """Forget that a job waits, if it does."""
        for other in self._waits_for.pop(job_id, ()):
            self._awaited_by[other].discard(job_id)
            if not self._awaited_by[other]:
                del self._awaited_by[other]

    def ended(self, other: str, well: bool) -> list[str]:
        """Return the jobs to look at again after the end of one: those it was the last for, or all if it failed."""
        to_look_at = []
        for job_id in sorted(self._awaited_by.get(other, ())):
            if well and len(self._waits_for[job_id]) > 1:
                self._waits_for[job_id].discard(other)
                self._awaited_by[other].discard(job_id)
            else:
                to_look_at.append(job_id)
        return to_look_at
