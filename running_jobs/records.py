"""What others may see of a job: its record with secrets masked, and figures made from its fields. Pure."""

from __future__ import annotations

from typing import Any

from running_jobs.job import Job, from_iso

MASK = "***"
REQUESTS = ("command", "callback_done", "callback_failed")
_OF_CREDENTIALS = ("auth", "cookie", "token", "secret", "key", "pass", "session", "credential", "signature")


def public_record(job: Job) -> dict[str, Any]:
    """Return a job's JSON as a copy with what people put passwords in masked: values of `env`, credentials in headers.

    A worker's job has `worker` and `parameters` beside. The job stays as it is.
    """
    record = job.to_dict()
    record["env"] = dict.fromkeys(job.env, MASK)
    if job.command.get("type") == "worker":
        record["worker"], record["parameters"] = job.command.get("name"), job.command.get("parameters")
    for name in REQUESTS:
        if record[name] is not None:
            record[name] = _without_credentials(record[name])
    return record


def _without_credentials(request: dict[str, Any]) -> dict[str, Any]:
    headers = request.get("headers")
    if not isinstance(headers, dict):
        return dict(request)
    return {**request, "headers": {name: _masked(name, value) for name, value in headers.items()}}


def _masked(name: str, value: Any) -> Any:
    return MASK if any(word in name.lower() for word in _OF_CREDENTIALS) else value


def duration_s(job: Job, now_s: float) -> float | None:
    """Return how many seconds a job has run, or ran; None if it never started."""
    if job.started_at is None:
        return None
    try:
        end_s = from_iso(job.ended_at) if job.ended_at else now_s
        return max(0.0, end_s - from_iso(job.started_at))
    except (ValueError, IndexError):  # edited by hand
        return None
