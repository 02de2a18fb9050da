"""The jobs that are to be handed over to Slurm: in which order, how many at once, and which of them later."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Callable, ItemsView, Iterable
from typing import Any

from running_jobs.errors import JobsError
from running_jobs.executors.slurm_queue import Key
from running_jobs.job import Job
from running_jobs.postponed import Postponed
from running_jobs.scheduling import WaitingLine, choose_next
from running_jobs.settings import Settings
from running_jobs.store import JobStore

UNBOUND = 1 << 30
LATER_S = 2.0  # after a limit of Slurm's was met, and twice as late each time, up to
AT_LATEST_S = 60.0
_LIMITS_NAME = re.compile(r"(?:QOS|Assoc)\w+")


class Wishes:
    """The wishes of one data directory: each job with the key of the attempt that is to come."""

    def __init__(self, store: JobStore, settings: Settings) -> None:
        self._store = store
        self._slots = settings.slurm.get("slots") or UNBOUND
        self._line = WaitingLine(settings.context_slots)
        self._keys: dict[str, Key] = {}  # of those in line, and of those put off
        self._put_off = Postponed(AT_LATEST_S)
        self._failed_starts: Counter[str] = Counter()
        self._limit: str | None = None
        self._not_before = 0.0
        self._later_s = LATER_S
        self._is_held = False

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._keys

    def items(self) -> ItemsView[str, Key]:
        """Return the wishes by job."""
        return self._keys.items()

    def put(self, job: Job, key: Key) -> None:
        """Wish for a job, or change how."""
        self._keys[job.id] = key
        if job.id not in self._put_off:
            self._line.put(job.id, job.priority, job.context)

    def drop(self, job_id: str) -> None:
        """Wish for a job no more: it was handed over, or changed."""
        self._keys.pop(job_id, None)
        self._line.remove(job_id)

    def forget(self, job_id: str) -> None:
        """Forget a job with all that was tried for it."""
        self.drop(job_id)
        self._put_off.forget(job_id)
        self._failed_starts.pop(job_id, None)

    def next(self, contexts: Iterable[str], is_held: Callable[[], bool], now: float) -> str | None:
        """Take the job whose turn it is out of the line, None if it is nobody's.

        `contexts` are those of the jobs that Slurm has. `is_held` says whether nothing new may start.
        """
        for job_id in self._put_off.take_due(now):
            self._line_up_again(job_id)
        self._is_held = len(self._line) > 0 and is_held()
        if now < self._not_before:
            return None
        chosen = choose_next(self._line, Counter(contexts), self._slots, self._is_held)
        if chosen is not None:
            self._line.remove(chosen)
        return chosen

    def seconds_to_next(self, now: float, look_every_s: float) -> float | None:
        """Return when somebody's turn may have come only because time went by, None if nobody waits for that."""
        waits = [self._put_off.seconds_to_next(now)]
        if len(self._line) and self._not_before > now:
            waits.append(self._not_before - now)
        if self._is_held:
            waits.append(look_every_s)
        return min((wait_s for wait_s in waits if wait_s is not None), default=None)

    def put_off(self, job_id: str, now: float) -> None:
        """Have the next wish for a job wait, ever longer."""
        self._put_off.put_off(job_id, now)

    def failed_to_start(self, job_id: str) -> int:
        """Count a batch script that failed before its job began, and return how many did."""
        self._failed_starts[job_id] += 1
        return self._failed_starts[job_id]

    def met_limit(self, problem: str, now: float) -> None:
        """Note that Slurm takes no more for now."""
        found = _LIMITS_NAME.search(problem)
        self._limit = found[0] if found else problem
        self._not_before = now + self._later_s
        self._later_s = min(2 * self._later_s, AT_LATEST_S)

    def was_taken(self) -> None:
        """Note that Slurm takes more."""
        self._limit, self._later_s = None, LATER_S

    def as_told(self) -> dict[str, dict[str, Any]]:
        """Return what people are told of those that a limit keeps from being handed over."""
        if self._limit is None:
            return {}
        return {
            job_id: {"attempt": key.attempt, "id": "", "state": "PENDING", "why": self._limit}
            for job_id, key in self._keys.items()
        }

    def _line_up_again(self, job_id: str) -> None:
        if job_id in self._keys:
            with contextlib.suppress(JobsError, OSError):
                job = self._store.get(job_id)
                self._line.put(job_id, job.priority, job.context)
