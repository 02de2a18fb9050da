"""The jobs that are to be handed over to Slurm: in which order, how many at once, and which of them later."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, ItemsView, Iterable
from typing import Any

from running_jobs.errors import JobsError, NoSuchJob
from running_jobs.executors.slurm_queue import Key
from running_jobs.job import Job
from running_jobs.postponed import Postponed
from running_jobs.scheduling import WaitingLine, choose_next
from running_jobs.settings import Settings
from running_jobs.slurm_words import FAILED_START, NOT_TAKEN
from running_jobs.store import JobStore

UNBOUND = 1 << 30
LATER_S = 2.0  # after Slurm did not take something, and twice as late each time, up to
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
        self._why: dict[str, tuple[str, str]] = {}  # of those put off: instead of Slurm's state, and of its reason
        self._failed_starts: dict[str, tuple[Key, int]] = {}
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
        """Wish for a job, or change how: then it is tried at once."""
        if self._keys.get(job.id, key) != key:
            self._put_off.forget(job.id)
        self._keys[job.id] = key
        if job.id not in self._put_off:
            self._line.put(job.id, job.priority, job.context)

    def drop(self, job_id: str) -> None:
        """Wish for a job no more: it was handed over, or changed."""
        self._keys.pop(job_id, None)
        self._why.pop(job_id, None)
        self._line.remove(job_id)

    def forget(self, job_id: str) -> None:
        """Forget a job with all that was tried for it."""
        self.drop(job_id)
        self._put_off.forget(job_id)
        self._failed_starts.pop(job_id, None)

    def line_up_due(self, now: float) -> None:
        """Line up again whom it is time to try again, whether or not anything can be handed over now."""
        for job_id in self._put_off.take_due(now):
            if job_id in self._keys:
                self._line_up_again(job_id, now)

    def next(self, contexts: Iterable[str], is_held: Callable[[], bool], now: float) -> str | None:
        """Take the job whose turn it is out of the line, None if it is nobody's.

        `contexts` are those of the jobs that Slurm has. `is_held` says whether nothing new may start.
        """
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

    def put_off(self, job_id: str, now: float, not_taken: str | None = None, last_start: str | None = None) -> None:
        """Have the next wish for a job wait, ever longer: because of what sbatch said of it, or its last start."""
        self._put_off.put_off(job_id, now)
        if last_start:
            self._why[job_id] = FAILED_START, last_start
        elif not_taken:
            self._why[job_id] = NOT_TAKEN, not_taken

    def count_failed_starts(self, key: Key, more: int = 1) -> int:
        """Count batch scripts that ended before an attempt began that was asked for like this; return how many did."""
        before, count = self._failed_starts.get(key.job_id, (key, 0))
        count = more + (count if before == key else 0)
        self._failed_starts[key.job_id] = key, count
        return count

    def met_limit(self, problem: str, now: float) -> None:
        """Note that Slurm takes no more for now, whichever job it is."""
        found = _LIMITS_NAME.search(problem)
        self._limit = found[0] if found else problem
        self.slow_down(now)

    def slow_down(self, now: float) -> None:
        """Let a while go by before the next is handed over, ever longer as long as none is taken."""
        if now >= self._not_before:  # several at once say it once
            self._not_before = now + self._later_s
            self._later_s = min(2 * self._later_s, AT_LATEST_S)

    def was_taken(self) -> None:
        """Note that Slurm takes more."""
        self._limit, self._later_s = None, LATER_S

    def as_told(self) -> dict[str, dict[str, Any]]:
        """Return what people are told of those that something of Slurm's keeps from being handed over."""
        told = {}
        for job_id, key in self._keys.items():
            state, why = self._why.get(job_id, (NOT_TAKEN, self._limit))
            if why:
                told[job_id] = {"attempt": key.attempt, "id": "", "state": state, "why": why}
        return told

    def _line_up_again(self, job_id: str, now: float) -> None:
        try:
            job = self._store.get(job_id)
            self._line.put(job_id, job.priority, job.context)
        except NoSuchJob:
            self.forget(job_id)
        except (JobsError, OSError):  # a stale handle, no descriptors: that passes
            self._put_off.put_off(job_id, now)
