"""Who is next. Pure: no files, no clock, no processes."""

from __future__ import annotations

import heapq


class WaitingLine:
    """The queued jobs in the order in which they are to start: higher priority first, then by arrival."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, str]] = []
        self._ranks: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._ranks)

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._ranks

    def put(self, job_id: str, priority: int) -> None:
        """Put a job in line, or move it if its priority changed."""
        if self._ranks.get(job_id) != -priority:
            self._ranks[job_id] = -priority
            heapq.heappush(self._heap, (-priority, job_id))

    def remove(self, job_id: str) -> None:
        """Take a job out of the line, if it is in it; what the heap holds of it is passed over later."""
        self._ranks.pop(job_id, None)

    def first(self) -> str | None:
        """Return the job whose turn it is, and leave it in line."""
        while self._heap:
            rank, job_id = self._heap[0]
            if self._ranks.get(job_id) == rank:
                return job_id
            heapq.heappop(self._heap)
        return None


def choose_next(line: WaitingLine, running: int, slots: int, paused: bool) -> str | None:
    """Return the job to start now, or None if none may: all slots are taken, or nothing may start."""
    return None if paused or running >= slots else line.first()
