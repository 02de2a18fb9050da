"""What the dispatcher records of Slurm's jobs, and reads: ends that their runners did not write."""

from __future__ import annotations

import contextlib
import os
from typing import Any

from running_jobs.clocks import moment
from running_jobs.errors import JobsError, NoSuchJob
from running_jobs.executors.slurm_endings import end_of
from running_jobs.executors.slurm_handed import Handed
from running_jobs.executors.slurm_queue import Row
from running_jobs.executors.slurm_submission import is_for
from running_jobs.job import ACTIVE, QUEUED, Job, JobStatus, to_iso
from running_jobs.store import JobStore


def end_started(store: JobStore, job_id: str, handed: Handed) -> None:
    """Record the end of an attempt that began. Raise JobsError or OSError if that cannot be."""

    def decide(job: Job) -> dict[str, Any] | None:
        is_its = job.status is ACTIVE and job.attempt == handed.attempt
        return end_of(job, handed.row, moment(store.clock())) if is_its else None

    store.update(job_id, decide)
    with contextlib.suppress(OSError):
        os.rmdir(store.paths.results(job_id))  # only goes if it is empty


def end_unstarted(store: JobStore, job_id: str, attempt: int, status: JobStatus, reason: str) -> None:
    """Record the end of a job whose attempt never began; if that cannot be, it is handed over again."""

    def decide(job: Job) -> dict[str, Any] | None:
        is_its = job.status is QUEUED and job.is_slurms and job.attempt + 1 == attempt
        return {"status": status, "reason": reason, "ended_at": to_iso(store.clock())} if is_its else None

    with contextlib.suppress(JobsError, OSError):
        store.update(job_id, decide)


def may_still_count(store: JobStore, row: Row) -> bool:
    """Say whether an attempt that nobody follows may count all the same: its record says so, or cannot be read now."""
    try:
        job = store.get(row.key.job_id)
    except NoSuchJob:
        return False
    except (JobsError, OSError):
        return True
    to_come = job.attempt + (job.status is QUEUED)
    return job.is_slurms and job.status in (QUEUED, ACTIVE) and to_come == row.key.attempt


def is_an_end(store: JobStore, row: Row, rows: list[Row]) -> bool:
    """Say whether a row tells the end of an attempt that a dispatcher before us handed over, the last of those `rows`.

    A cancelled one does only if it was made for the job's record as it is: else that dispatcher may have cancelled it
    itself, because the job was changed.
    """
    if not row.was_cancelled_waiting:
        return True
    return rows == [row] and is_for(store.version(row.key.job_id), row.nonce)
