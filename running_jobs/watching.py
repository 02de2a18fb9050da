"""The jobs that take a slot, as a dispatcher watches them."""

from __future__ import annotations

import select
from collections import Counter
from typing import NamedTuple

from running_jobs.files import Version


class Watched(NamedTuple):
    """A job that runs: what becomes readable when its runner is done (-1 where only the lock tells of that), its
    context, and the version of its file before it was handed to the runner (None if somebody else did that)."""

    descriptor: int
    context: str
    unclaimed: Version | None


class Runners:
    """Who runs which job. `poller` is told of each descriptor that tells of a runner."""

    def __init__(self, poller: select.poll) -> None:
        self._poller = poller
        self._by_job: dict[str, Watched] = {}
        self._jobs_by_descriptor: dict[int, str] = {}
        self.by_context: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._by_job)

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._by_job

    def watch(self, job_id: str, watched: Watched) -> None:
        """Count a job as taking a slot until it is released."""
        self._by_job[job_id] = watched
        self.by_context[watched.context] += 1
        if watched.descriptor >= 0:
            self._jobs_by_descriptor[watched.descriptor] = job_id
            self._poller.register(watched.descriptor, select.POLLIN)

    def release(self, job_id: str) -> Watched:
        """Take back the slot of a job whose runner is done or gone; the descriptor is the caller's again."""
        watched = self._by_job.pop(job_id)
        self.by_context[watched.context] -= 1
        if not self.by_context[watched.context]:
            del self.by_context[watched.context]
        if watched.descriptor >= 0:
            self._poller.unregister(watched.descriptor)
            del self._jobs_by_descriptor[watched.descriptor]
        return watched

    def was_adopted(self, job_id: str) -> bool:
        """Say whether somebody else started a job's runner, which may live on for another dispatcher."""
        return self._by_job[job_id].unclaimed is None

    def job_of(self, descriptor: int) -> str | None:
        """Return the job whose runner a descriptor tells of, or None."""
        return self._jobs_by_descriptor.get(descriptor)

    def known_by_lock_alone(self) -> list[str]:
        """Return the jobs of whose runners' ends nothing tells."""
        return [job_id for job_id, watched in self._by_job.items() if watched.descriptor < 0]
