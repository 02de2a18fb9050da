"""JSON Schemas of what is answered: the envelope, a job's record, and the other things that stand in an answer."""

from __future__ import annotations

from typing import Any

from running_jobs.job import OF_SLURM, TYPES, JobStatus
from running_jobs.web.openapi.options import JOB_ID, Schema, nullable, ref
from running_jobs.web.queue_api import WORKER_STATUS

_NAMES = {str: "string", int: "integer", float: "number", dict: "object", list: "array", type(None): "null"}
_TIME = {"type": "string", "format": "date-time", "description": "ISO 8601 in UTC, with milliseconds."}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_MORE: dict[str, Schema] = {  # than the types of a job's fields say
    "id": JOB_ID,
    "command": {
        "type": "object",
        "anyOf": [ref("schemas", "Command"), {"type": "object"}],
        "description": "A Command; credentials in its headers are masked. One of another version may be another.",
    },
    "env": {"additionalProperties": {"const": "***"}, "description": "The values are masked."},
    "after": {"items": {"type": "string"}},
    "after_done": {"items": {"type": "string"}},
    "attempts": {"items": {"type": "object"}, "description": "One entry for each start."},
    "callbacks": {"items": {"type": "object"}, "description": "What became of its callbacks."},
    "reason": {"description": "Why it ended so, in words."},
    "exit_code": {"description": "Null after a signal."},
    "executor": {"description": "local, slurm, or elsewhere if somebody else runs it and reports here."},
    "slurm_args": {"items": {"type": "string"}},
    "placed": {"description": "On Slurm: its id, partition and node of the last attempt that began."},
    "pid": {"description": "Of its runner; of a job that is run elsewhere, of who runs it."},
}
_TIMES = ("not_before", "created_at", "queued_at", "started_at", "ended_at")


def answer_schemas() -> dict[str, Schema]:
    """Return the components for what is answered, by name."""
    return {
        "Job": _job(),
        "JobStatus": {"enum": [status.value for status in JobStatus]},
        "Error": _error(),
        "Worker": _object(
            {"name": _text(), "information": {"description": "What it says of itself."}, "problem": _text()},
            optional=("problem",),
        ),
        "File": _object({"name": _text(), "size": _COUNT, "modified_at": _TIME}),
        "Line": _object({"message": _text()}),
        "Sample": _sample(),
        "QueueStatus": _object(dict.fromkeys(("waiting", "working", "max_threads", "free_threads"), _COUNT)),
        "QueuedJob": _queued_job(),
        "Health": _health(),
        "Find": _object({name: nullable(_COUNT) for name in ("line", "match", "end", "next")}, ("match", "end")),
    }


def envelope(data: Schema, code: int = 200, **more: Schema) -> Schema:
    """Return the schema of an answer with such data; `more` stands beside it."""
    return _object(
        {
            "status": {"const": code},
            "success": {"const": True},
            "message": _text(),
            "total": _COUNT,
            "data": data,
            **more,
        }
    )


def records(name: str, most: int | None = None) -> Schema:
    """Return the schema of a list of records of one kind."""
    bound = {} if most is None else {"maxItems": most}
    return {"type": "array", "items": ref("schemas", name), **bound}


def queue_answer(**more: Schema) -> Schema:
    """Return the schema of what adding to the queue answers."""
    return _object({"status": {"const": "OK"}, **more, "success": {"const": True}, "data": records("Job")})


def _job() -> Schema:
    properties = {name: {**_of_types(kinds), **_MORE.get(name, {})} for name, kinds in TYPES.items()}
    for name in _TIMES:
        properties[name] = nullable(_TIME)
    properties["status"] = ref("schemas", "JobStatus")
    beside = {"worker": {"description": "Of a worker's job."}, "parameters": {"description": "Of a worker's job."}}
    return {
        "type": "object",
        "properties": {**properties, **beside},
        "required": [name for name in properties if name not in OF_SLURM],
        "description": "A job's record. Keys that this version does not know may stand beside.",
    }


def _of_types(kinds: tuple[type, ...]) -> Schema:
    names = [_NAMES[kind] for kind in kinds if kind in _NAMES]
    if "number" in names:
        names.remove("integer")
    return {"type": names[0] if len(names) == 1 else names}


def _error() -> Schema:
    return _object(
        {
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "success": {"const": False},
            "message": {**_text(), "description": "What is wrong, and what to do."},
            "total": {"const": 0},
            "data": {"type": "array", "maxItems": 0},
        }
    )


def _sample() -> Schema:
    counts = dict.fromkeys(("attempt", "rss_bytes", "processes", "out_bytes", "err_bytes", "gpu_bytes"), _COUNT)
    figures = {name: {"type": "number", "minimum": 0} for name in ("cpu_s", "gpu_percent")}
    found = _object({"at": _TIME, **counts, **figures}, optional=("gpu_bytes", "gpu_percent"))
    return {**found, "additionalProperties": True}


def _queued_job() -> Schema:
    numbers = sorted(set(WORKER_STATUS.values()))
    said = "0 waiting, 1 working, 3 done, 99 failed or stopped."
    return _object(
        {
            "id": JOB_ID,
            "worker_status": {"enum": numbers, "description": said},
            "time_added": nullable(_TIME),
            "time_completed": nullable(_TIME),
            "priority": {"type": "integer"},
        }
    )


def _health() -> Schema:
    return _object(
        {
            "dispatcher": {"enum": ["running", "not needed", "missing"]},
            "paused": {"type": "boolean"},
            "disk_free_bytes": _COUNT,
            "disk_low": {"type": "boolean"},
            "slurm": {"enum": ["answers", "out of reach", "not asked yet"], "description": "Where it is set up."},
        },
        optional=("slurm",),
    )


def _text() -> Schema:
    return {"type": "string"}


def _object(properties: dict[str, Any], optional: tuple[str, ...] = ()) -> Schema:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
