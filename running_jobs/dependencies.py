"""What a job waits for: jobs that must be done first (`after`). Looked up in the files, whoever asks."""

from __future__ import annotations

import os
from collections.abc import Sequence

from running_jobs.errors import InvalidJob, NoSuchJob, UnreadableJob
from running_jobs.job import DONE, Job
from running_jobs.store import JobStore

DELETED = "was deleted"


def refuse_unknown(store: JobStore, after: Sequence[str]) -> None:
    """Raise InvalidJob if one of these jobs does not exist; the store looks again when it writes."""
    for job_id in after:
        if not os.path.lexists(store.paths.json(job_id)):
            raise InvalidJob("after", f"the job {job_id} does not exist")


def refuse_circle(store: JobStore, job_id: str, after: Sequence[str]) -> None:
    """Raise InvalidJob if a job that is to wait for these would, by way of others, wait for itself."""
    seen: set[str] = set()
    to_visit = list(after)
    while to_visit:
        other = to_visit.pop()
        if other == job_id:
            raise InvalidJob("after", f"the job {job_id} would wait for itself")
        if other not in seen:
            seen.add(other)
            try:
                job = store.get(other)
            except (NoSuchJob, UnreadableJob):
                continue
            if not job.is_final:
                to_visit.extend(job.after)


def still_to_come(store: JobStore, job: Job) -> tuple[list[str], str | None]:
    """Return which jobs a job still has to wait for, and why it can never run if one of them did not end well."""
    waits_for = []
    for other in job.waits_for:
        status = _status_of(store, other)
        if status is None:
            waits_for.append(other)
        elif status != DONE:
            return [], f"job {other} {status if status == DELETED else f'ended {status}'}"
    return waits_for, None


def _status_of(store: JobStore, job_id: str) -> str | None:
    """Return how a job ended, or None if it has not."""
    try:
        job = store.get(job_id)
        return job.status.value if job.is_final else None
    except UnreadableJob:
        return None  # it is reported, and may be mended
    except NoSuchJob:
        return DELETED
