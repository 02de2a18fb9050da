"""A runner on this machine: what holds its job, and whom it is a child of. Knows no dispatcher.

The runner holds the lock on `<id>.out` from the claim to the end; that lock, and nothing else, says that
the job is alive.
"""

from __future__ import annotations

import os
import signal
from typing import Any, NamedTuple

from running_jobs import files
from running_jobs.attempt import WAKING, Attempt
from running_jobs.child import become_parent
from running_jobs.clocks import moment, seconds_left
from running_jobs.dependencies import still_to_come
from running_jobs.files import Version
from running_jobs.job import ACTIVE, QUEUED, Job, JobStatus
from running_jobs.own_record import OwnRecord
from running_jobs.processes import become_subreaper, has_children
from running_jobs.settings import Settings
from running_jobs.store import Decision, JobStore

CLAIM_WAIT_S = 5.0


def become_parent_of_runners() -> None:
    """Take on what runners are to inherit: each would need memory of its own to do it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, WAKING)
    become_parent()


def become_runner() -> None:
    """Make this process fit for running attempts, once: single-threaded, and a child of init."""
    become_parent_of_runners()
    become_subreaper()


class Ran(NamedTuple):
    """What became of an attempt: whether nothing of it is left in this process or below it, so that another job may be
    run here, and the job's status if it is final and nothing is left to do for it."""

    leaves_nothing: bool
    settled: JobStatus | None


def run_attempt(store: JobStore, settings: Settings, job_id: str, version: Version) -> Ran:
    """Run a queued job to its recorded end in this process, which became a runner.

    `version` is that of its record when its turn came. Return early, with nothing changed, if it is not its turn any
    more: somebody claimed it, ended it or put it off. Raise JobsError or OSError if it could not be claimed, and is
    queued still; or not be seen to its end: this process must end then, so that it does not count as alive.
    """
    attempt = LocalAttempt(store, settings, job_id, version)
    try:
        is_recorded = attempt.watch() if attempt.start() else True
        end = attempt.recorded
        return Ran(is_recorded and not has_children(), end.status if end and end.is_settled else None)
    finally:
        attempt.let_go()


class LocalAttempt(Attempt):
    """An attempt whose sign of life is a lock."""

    def __init__(self, store: JobStore, settings: Settings, job_id: str, version: Version) -> None:
        super().__init__(store, settings, job_id)
        self._version = version
        self._lock = -1
        self._record = OwnRecord(store, job_id)

    def let_go(self) -> None:
        """Give up the lock: from now on the job is not alive here."""
        if self._lock >= 0:
            os.close(self._lock)

    def hold(self) -> bool:
        """Take the job's own lock."""
        if not self._is_unchanged() and self.store.get(self.job_id).status is not QUEUED:
            return False
        out = self.store.paths.out(self.job_id)
        self._lock = files.open_private(out, os.O_RDWR | os.O_CREAT)
        files.wait_for_lock(self._lock, out, CLAIM_WAIT_S)
        return True

    def may_run(self, job: Job) -> bool:
        """Say whether nothing changed since its turn came, or it is its turn all the same."""
        if job.status is not QUEUED or job.is_slurms or self.store.is_paused:
            return False
        if self._is_unchanged():
            return True
        is_due = not seconds_left(job.not_before, job.timer, moment(self.store.clock()))
        return is_due and still_to_come(self.store, job) == ([], None)

    def claim_of(self, job: Job) -> dict[str, Any]:
        """Say that it runs on this machine."""
        return {"executor": "local"}

    def is_ours(self, job: Job) -> bool:
        """Say whether it is active in this process."""
        return job.status is ACTIVE and job.pid == os.getpid()

    def write(self, decide: Decision, tell: bool = True) -> Job | None:
        """Write as the holder of the job's own lock may."""
        return self._record.change(decide, tell)

    def written_version(self) -> Version:
        """Return the version of the record that was written last; zeros if that is not known."""
        return self._record.version or (0, 0, 0)

    def _is_unchanged(self) -> bool:
        return self.store.version(self.job_id) == self._version
