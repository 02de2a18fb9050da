"""What the list shows of a job: a summary small enough that 100,000 are kept in memory. Pure."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

from running_jobs.job import ACTIVE, IDLE, QUEUED, SLURM, Job, JobStatus
from running_jobs.slurm_options import asked_by

SHOWN_CHARACTERS = 200


class Summary(NamedTuple):
    """What a row of the list shows. Times are ISO 8601 UTC texts."""

    id: str
    status: JobStatus
    title: str
    what: str
    context: str
    asked: str | None
    created_at: str | None
    queued_at: str | None
    started_at: str | None
    ended_at: str | None
    executor: str
    exit_code: int | None
    signal: int | None
    reason: str | None
    priority: int
    retries: int
    attempt: int
    not_before: str | None
    timer: dict[str, Any] | None
    after: tuple[str, ...]
    owes_callbacks: bool
    progress_pattern: str | None
    asked_of_slurm: dict[str, Any] | None
    placed: dict[str, Any] | None

    @property
    def is_slurms(self) -> bool:
        """Whether Slurm decides when and where it runs."""
        return self.executor == SLURM


def summarize(job: Job) -> Summary:
    """Take what the list shows from a job: what it waits for only while it does, its pattern only while it runs."""
    what = job.what[:SHOWN_CHARACTERS]
    waits = job.status is QUEUED or job.status is IDLE
    return Summary(
        id=job.id,
        status=job.status,
        title=job.name[:SHOWN_CHARACTERS] if job.name and job.name.strip() else what,
        what=what,
        context=sys.intern(job.context),
        asked=job.asked.get("verb") if job.asked and not job.is_final else None,
        created_at=job.created_at,
        queued_at=job.queued_at if job.status is QUEUED else None,
        started_at=job.started_at,
        ended_at=job.ended_at,
        executor=sys.intern(job.executor),
        exit_code=job.exit_code,
        signal=job.signal,
        reason=job.reason,
        priority=job.priority,
        retries=job.retries,
        attempt=job.attempt,
        not_before=job.not_before if waits else None,
        timer=job.timer if waits else None,
        after=tuple(job.after) if waits else (),
        owes_callbacks=bool((job.callback_done or job.callback_failed) and job.pending_callbacks),
        progress_pattern=job.progress_pattern if job.status is ACTIVE else None,
        asked_of_slurm=asked_by(job) if job.is_slurms and job.status is QUEUED else None,
        placed=job.placed if job.is_slurms else None,
    )
