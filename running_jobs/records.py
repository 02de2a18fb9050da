"""What others may see of a job: its record with secrets masked, and figures made from its fields. Pure."""

from __future__ import annotations

from typing import Any

from running_jobs.job import Job, from_iso

MASK = "***"


def public_record(job: Job) -> dict[str, Any]:
    """Return a job's JSON with all `env` values masked: they are where people put passwords."""
    record = job.to_dict()
    record["env"] = dict.fromkeys(job.env, MASK)
    return record


def duration_s(job: Job, now_s: float) -> float | None:
    """Return how many seconds a job has run, or ran; None if it never started."""
    if job.started_at is None:
        return None
    try:
        end_s = from_iso(job.ended_at) if job.ended_at else now_s
        return max(0.0, end_s - from_iso(job.started_at))
    except (ValueError, IndexError):  # edited by hand
        return None
