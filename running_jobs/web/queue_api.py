"""The routes of a queue server, for programs that know one: payloads are added, and asked after by their numbers."""

from __future__ import annotations

import json
from typing import Any

from flask import Blueprint, Response, g

from running_jobs.errors import InvalidJob, NoSuchJob
from running_jobs.job import ACTIVE, DONE, ERROR, IDLE, QUEUED, STOP
from running_jobs.records import public_record
from running_jobs.web.parts import parts
from running_jobs.web.reading import json_body, options_in

MAX_PAYLOADS = 1000

# as queue servers number them: waiting, working, done, failed or stopped
WORKER_STATUS = {IDLE: 0, QUEUED: 0, ACTIVE: 1, DONE: 3, ERROR: 99, STOP: 99}

blueprint = Blueprint("queue", __name__)


@blueprint.post("/jobs/add")
def add_to_queue() -> Response:
    """Queue a payload at once, or all of an array of them, or none."""
    body = json_body()
    if not isinstance(body, list):
        job = parts().actions.submit(_queued(body, "body"), by=g.user)
        return _plain({"status": "OK", "job_id": job.id, "success": True, "data": [public_record(job)]})
    if not 1 <= len(body) <= MAX_PAYLOADS:
        raise InvalidJob("body", f"expected 1 to {MAX_PAYLOADS} payloads, found {len(body)}")
    jobs = parts().actions.submit_all([_queued(item, f"[{n}]") for n, item in enumerate(body)], by=g.user)
    records = [public_record(job) for job in jobs]
    return _plain({"status": "OK", "job_ids": [job.id for job in jobs], "success": True, "data": records})


@blueprint.get("/jobs/status/<job_id>")
def queue_status_of(job_id: str) -> Response:
    """Answer how far a job of the queue is."""
    try:
        job = parts().store.get(job_id)
    except NoSuchJob:
        return _plain({"status": 404, "data": "Job not found"}, 404)
    data = {
        "id": job.id,
        "worker_status": WORKER_STATUS[job.status],
        "time_added": job.created_at,
        "time_completed": job.ended_at,
        "priority": job.priority,
    }
    return _plain({"status": 200, "data": data})


@blueprint.get("/jobs/status")
def queue_status() -> Response:
    """Answer how busy the queue is."""
    index, slots = parts().index, parts().settings.slots
    counts, _ = index.counts_so_far()
    data = {
        "waiting": counts["queued"],
        "working": index.running(),
        "max_threads": slots,
        "free_threads": max(0, slots - sum(index.running_by_context().values())),
    }
    return _plain({"status": 200, "data": data})


def _queued(found: Any, field: str) -> dict[str, Any]:
    """Return a payload's options; what is added to the queue starts, unless it says otherwise."""
    return {"start": True, **options_in(found, field)}


def _plain(body: dict[str, Any], code: int = 200) -> Response:
    text = json.dumps(body, ensure_ascii=False)
    return Response(text.encode(errors="replace") + b"\n", code, content_type="application/json")
