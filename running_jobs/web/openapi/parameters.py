"""What may stand in a path and in a query, by name, as OpenAPI has it."""

from __future__ import annotations

from running_jobs import clocks, saved, workers
from running_jobs.job import JobStatus
from running_jobs.web.address import MAX_NAME, MAX_OFFSET_DIGITS, MAX_TEXT, PAGE_PARAMETERS
from running_jobs.web.openapi.options import JOB_ID, NO_NUL, Schema, whole
from running_jobs.web.reading import MAX_LIMIT

_OFFSET: Schema = {"type": "integer", "minimum": 0, "maximum": 10**MAX_OFFSET_DIGITS - 1}
_TIMES = (clocks.DAY, clocks.FORM)

IN_PATH: dict[str, tuple[Schema, str]] = {
    "job_id": (JOB_ID, "A job's id."),
    "saved_id": ({"type": "string", "pattern": whole(saved.ID)}, "The id of a command that is kept."),
}
IN_PATH_OF: dict[str, dict[str, tuple[Schema, str]]] = {
    "workers": {"name": ({"type": "string", "pattern": whole(workers.NAME)}, "A worker's name.")},
    "jobs": {
        "name": (
            {"type": "string", "minLength": 1, "maxLength": MAX_NAME, "pattern": whole(NO_NUL)},
            "A file's name below the job's folder; slashes separate folders.",
        )
    },
}
IN_QUERY: dict[str, tuple[Schema, str]] = {
    "status": ({"enum": ["", *(status.value for status in JobStatus)]}, "Only jobs in this status."),
    "context": ({"type": "string"}, "Only jobs of this context."),
    "q": ({"type": "string"}, "Only jobs with this text in id, name or command."),
    "since": (
        {"type": "string", "pattern": "|".join(["^$", *map(whole, (clocks.SPAN, *_TIMES))])},
        "Only jobs that arrived since: 15m, 24h, 7d ago, a day, a time.",
    ),
    "until": (
        {"type": "string", "pattern": "|".join(["^$", *map(whole, _TIMES)])},
        "Only jobs that arrived until a day's end, a time.",
    ),
    "before": ({"type": "string", "pattern": f"^$|{JOB_ID['pattern']}"}, "Only jobs older than this id."),
    "limit": ({"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": 50}, "How many at most."),
    "tail": (_OFFSET, "The last so many lines, or bytes of a raw log."),
    "offset": (_OFFSET, "From this byte on; X-Next-Offset says where to go on."),
    "download": ({"type": "string"}, "1: have a browser save it."),
    "at": (_OFFSET, "From this byte on."),
    "upto": (_OFFSET, "Up to this byte."),
    "around": (_OFFSET, "Around this byte."),
    "find": ({"type": "string"}, "A text to search for."),
    "seen": ({"type": "string"}, "What the viewer has of it, as it was told."),
}
RANGE: Schema = {
    "name": "Range",
    "in": "header",
    "schema": {"type": "string"},
    "description": "One range of bytes, as `bytes=0-99`; anything else is passed over.",
}
LIST = ("status", "context", "q", "since", "until", "before", "limit")


def of_path(path: str, name: str) -> Schema:
    """Return a parameter that stands in a path. Raise KeyError for one that is not known here yet."""
    known = {**IN_PATH, **IN_PATH_OF.get(path.split("/")[1], {})}
    schema, said = known[name]
    return {"name": name, "in": "path", "required": True, "schema": schema, "description": said}


def of_query(name: str) -> Schema:
    """Return a parameter of a query. `seen` is one that is called `since`, as another one is."""
    schema, said = IN_QUERY[name]
    return {"name": "since" if name == "seen" else name, "in": "query", "schema": schema, "description": said}


def of_page() -> list[Schema]:
    """Return the parameters of the page's own address: what cannot be true is passed over there."""
    said = f"Of the page's address, at most {MAX_TEXT} characters; passed over if it cannot be true."
    names = [*PAGE_PARAMETERS, "part", "said", "counts"]
    return [{"name": name, "in": "query", "schema": {"type": "string"}, "description": said} for name in names]
