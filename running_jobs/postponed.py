"""Jobs that could not be dealt with, each put off until it is tried again: ever later. Pure: the time is handed in."""

from __future__ import annotations

FIRST_WAIT_S = 1.0


class Postponed:
    """The jobs that are put off, and how often each was. `longest_s` is how long one waits at most."""

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._until: dict[str, float] = {}
        self._failures: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._until)

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._until

    def put_off(self, job_id: str, now: float) -> None:
        """Put a job off: for twice as long as the last time."""
        failed = self._failures[job_id] = self._failures.get(job_id, 0) + 1
        self._until[job_id] = now + min(FIRST_WAIT_S * 2 ** min(failed - 1, 10), self._longest_s)

    def forget(self, job_id: str) -> None:
        """Take a job out of account: it was dealt with."""
        self._until.pop(job_id, None)
        self._failures.pop(job_id, None)

    def take_due(self, now: float) -> list[str]:
        """Remove and return those to try again; how often each failed is remembered."""
        due = [job_id for job_id, until in self._until.items() if until <= now]
        for job_id in due:
            del self._until[job_id]
        return due

    def seconds_to_next(self, now: float) -> float | None:
        """Return when the next one is to be tried again, None if none is."""
        return min(self._until.values()) - now if self._until else None
