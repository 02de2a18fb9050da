"""The runners that take a slot, as a dispatcher watches them."""

from __future__ import annotations

import os
import select
from collections import Counter
from typing import NamedTuple


class Watched(NamedTuple):
    """A runner: its pidfd (-1 where only the lock tells of its end), its job's context, and the version of the job's
    file before it was started (None if somebody else started it)."""

    pidfd: int
    context: str
    unclaimed: tuple[int, int] | None


class Runners:
    """Who runs which job. `poller` is told of each pidfd, which becomes readable when the runner is gone."""

    def __init__(self, poller: select.poll) -> None:
        self._poller = poller
        self._by_job: dict[str, Watched] = {}
        self._jobs_by_pidfd: dict[int, str] = {}
        self.by_context: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._by_job)

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._by_job

    def watch(self, job_id: str, watched: Watched) -> None:
        """Count a runner as taking a slot until it is released."""
        self._by_job[job_id] = watched
        self.by_context[watched.context] += 1
        if watched.pidfd >= 0:
            self._jobs_by_pidfd[watched.pidfd] = job_id
            self._poller.register(watched.pidfd, select.POLLIN)

    def release(self, job_id: str) -> Watched:
        """Take back the slot of a runner that is gone."""
        watched = self._by_job.pop(job_id)
        self.by_context[watched.context] -= 1
        if not self.by_context[watched.context]:
            del self.by_context[watched.context]
        if watched.pidfd >= 0:
            self._poller.unregister(watched.pidfd)
            del self._jobs_by_pidfd[watched.pidfd]
            os.close(watched.pidfd)
        return watched

    def job_of(self, descriptor: int) -> str | None:
        """Return the job whose runner's pidfd this is, or None."""
        return self._jobs_by_pidfd.get(descriptor)

    def known_by_lock_alone(self) -> list[str]:
        """Return the jobs of whose runners' ends nothing tells."""
        return [job_id for job_id, watched in self._by_job.items() if watched.pidfd < 0]
