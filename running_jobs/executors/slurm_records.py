"""What the dispatcher writes for Slurm's jobs: ends that their runners did not write, and what those are to know."""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

from running_jobs import files
from running_jobs.clocks import moment
from running_jobs.errors import JobsError, NoSuchJob
from running_jobs.executors.slurm_endings import end_of, why_not_started
from running_jobs.executors.slurm_handed import Handed
from running_jobs.executors.slurm_leftovers import Leftovers
from running_jobs.executors.slurm_queue import Row
from running_jobs.executors.slurm_submission import NOT_NOW
from running_jobs.executors.slurm_wishes import Wishes
from running_jobs.job import ACTIVE, ERROR, QUEUED, STOP, Job, JobStatus, to_iso
from running_jobs.paths import JobPaths
from running_jobs.settings import Settings
from running_jobs.store import JobStore

STARTS = 3  # that may fail before a job does


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


def is_to_be_handed_over_again(
    store: JobStore, wishes: Wishes, leftovers: Leftovers, job: Job, handed: Handed, now: float
) -> bool:
    """Say whether a job is handed over again of which Slurm began nothing; if not, that is recorded as its end."""
    row = handed.row
    if row is None:
        return True
    leftovers.done_with.add(row.slurm_id)
    if row.state == "CANCELLED" and not row.node:  # with one it had begun: a controller that crashed may do that
        end_unstarted(store, job.id, handed.attempt, STOP, "cancelled in Slurm (scancel) before it started")
        return False
    has_failed = row.state == "FAILED" and not row.ended_with(NOT_NOW)
    if has_failed and wishes.failed_to_start(job.id) >= STARTS:
        end_unstarted(store, job.id, handed.attempt, ERROR, why_not_started(row))
        return False
    wishes.put_off(job.id, now)
    return True


def may_count(store: JobStore, row: Row) -> bool:
    """Say whether an attempt that nobody follows may count all the same: its record says so, or cannot be read now."""
    try:
        job = store.get(row.key.job_id)
    except NoSuchJob:
        return False
    except (JobsError, OSError):
        return True
    to_come = job.attempt + (job.status is QUEUED)
    return job.is_slurms and job.status in (QUEUED, ACTIVE) and to_come == row.key.attempt


def prepare_nodes(paths: JobPaths, settings: Settings) -> None:
    """Write what runners on nodes are to know, and make their log. On a full disk they use what there is, or fail."""
    with contextlib.suppress(OSError):
        files.write_atomically(paths.for_nodes, json.dumps(settings.for_engine()).encode(), sync=False)
        os.close(files.open_private(paths.slurm_log, os.O_WRONLY | os.O_CREAT))
