"""What becomes of an attempt that Slurm says is over, or does not know: it is recorded, or handed over again."""

from __future__ import annotations

import traceback
from collections.abc import Callable

from running_jobs.errors import JobsError, NoSuchJob, UnreadableJob
from running_jobs.executors.slurm_endings import is_failed_start, why_not_started
from running_jobs.executors.slurm_handed import Handed
from running_jobs.executors.slurm_leftovers import Leftovers
from running_jobs.executors.slurm_queue import Key
from running_jobs.executors.slurm_records import end_started, end_unstarted
from running_jobs.executors.slurm_wishes import Wishes
from running_jobs.job import ACTIVE, ERROR, QUEUED, STOP, Job, JobStatus
from running_jobs.store import JobStore

STARTS = 3  # that may fail before a job does


class Settling:
    """Settles attempts. `let_go` is told of those that need not be followed any more, `start_again` of the others."""

    def __init__(
        self,
        store: JobStore,
        wishes: Wishes,
        leftovers: Leftovers,
        let_go: Callable[[str], None],
        start_again: Callable[[Job], None],
    ) -> None:
        self._store = store
        self._wishes = wishes
        self._leftovers = leftovers
        self._let_go = let_go
        self._start_again = start_again

    def settle(self, job_id: str, handed: Handed, now: float) -> None:
        """Record what became of an attempt, or have it handed over again; if that cannot be, it stays as it is."""
        try:
            self._settle(self._store.get(job_id), handed, now)
        except (NoSuchJob, UnreadableJob):
            self._let_go(job_id)
        except (JobsError, OSError) as error:  # a full disk, no descriptors: that passes
            self._note(job_id, handed, str(error))
        except Exception:  # what is wrong with one job must not hold up the others
            self._note(job_id, handed, traceback.format_exc())

    def _note(self, job_id: str, handed: Handed, why: str) -> None:
        if handed.trouble != why:
            handed.trouble = why
            self._store.note_error(f"{job_id}: what became of it in Slurm could not be recorded, trying again: {why}")

    def _settle(self, job: Job, handed: Handed, now: float) -> None:
        if job.status is QUEUED and job.attempt + 1 == handed.attempt and job.is_slurms:
            self._settle_unstarted(job, handed, now)
            return
        if job.status is ACTIVE and job.attempt == handed.attempt:
            end_started(self._store, job.id, handed)
        self._let_go(job.id)

    def _settle_unstarted(self, job: Job, handed: Handed, now: float) -> None:
        row, last_start, not_taken = handed.row, None, None
        if row is None:
            not_taken = handed.problem
        else:
            self._leftovers.done_with.add(row.slurm_id)
        if row is not None and row.was_cancelled_waiting:
            self._end(job, handed, STOP, "cancelled in Slurm (scancel) before it started")
            return
        if row is not None and is_failed_start(row):
            last_start = why_not_started(row)
            if self._wishes.count_failed_starts(Key(job.id, handed.attempt, handed.form or "")) >= STARTS:
                self._end(job, handed, ERROR, f"could not start: {last_start}")
                return
        self._wishes.put_off(job.id, now, not_taken, last_start)
        self._start_again(job)

    def _end(self, job: Job, handed: Handed, status: JobStatus, reason: str) -> None:
        end_unstarted(self._store, job.id, handed.attempt, status, reason)
        self._let_go(job.id)
