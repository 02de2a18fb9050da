"""Writes into the records of jobs what Slurm's word means for them, unless their runners were quicker."""

from __future__ import annotations

import contextlib
import os
from typing import Any

from running_jobs.clocks import moment
from running_jobs.errors import JobsError
from running_jobs.executors.slurm_endings import end_of
from running_jobs.executors.slurm_handed import Handed
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


def end_unstarted(store: JobStore, job_id: str, status: JobStatus, reason: str) -> None:
    """Record the end of a job that never began; if that cannot be, it is handed over again."""
    with contextlib.suppress(JobsError, OSError):
        store.transition(job_id, {QUEUED}, status, reason=reason, ended_at=to_iso(store.clock()))
