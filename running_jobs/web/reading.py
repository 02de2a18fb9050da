"""What a request of the API holds, checked: its query and its body. Raises InvalidJob for what cannot be read."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, NoReturn

from flask import request

from running_jobs.clocks import read_since, read_until
from running_jobs.errors import InvalidJob
from running_jobs.index import JobFilter
from running_jobs.job import JobStatus, is_job_id
from running_jobs.web.sending import number_from_query

MAX_LIMIT = 1000
SINCE_STEP_S = 60  # so that those who ask for the last days share an answer that is kept
SINCE_STEP_OF_MINUTES_S = 10


def filter_from_query() -> JobFilter:
    """Return the filter that the query asks for. Raise InvalidJob for a status that does not exist, or for no time."""
    status = request.args.get("status") or None
    if status is not None and status not in [known.value for known in JobStatus]:
        raise InvalidJob("status", f"expected {', '.join(known.value for known in JobStatus)}, found {status[:40]!r}")
    return filter_of(request.args)


def filter_of(asked: Mapping[str, str]) -> JobFilter:
    """Return the filter that parameters ask for as of now, or some seconds ago.

    Raise InvalidJob for a time that cannot be read.
    """
    since, until = asked.get("since"), asked.get("until")
    step_s = SINCE_STEP_OF_MINUTES_S if since and since.endswith("m") else SINCE_STEP_S
    return JobFilter(
        status=asked.get("status") or None,
        context=asked.get("context") or None,
        text=asked.get("q") or None,
        since=read_since("since", since, time.time() // step_s * step_s) if since else None,
        until=read_until("until", until) if until else None,
    )


def cursor_from_query() -> str | None:
    """Return where the part of the list that is asked for begins. Raise InvalidJob."""
    before = request.args.get("before")
    if before and not is_job_id(before):
        raise InvalidJob("before", f"expected a job's id, found {before[:40]!r}")
    return before or None


def limit_from_query() -> int:
    """Return how many jobs are asked for. Raise InvalidJob."""
    limit = number_from_query("limit")
    if limit is not None and not 1 <= limit <= MAX_LIMIT:
        raise InvalidJob("limit", f"expected 1 to {MAX_LIMIT}, found {limit}")
    return limit or 50


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_decode = json.JSONDecoder(parse_constant=_refuse_constant).decode  # json.loads makes one for each call


def json_object() -> dict[str, Any]:
    """Read the body as a JSON object. Raise InvalidJob."""
    return an_object(json_body(), "body")


def an_object(found: Any, field: str) -> dict[str, Any]:
    """Return what was found as an object. Raise InvalidJob if it is none."""
    if not isinstance(found, dict):
        raise InvalidJob(field, 'expected an object, {"command": {"type": "exec", "cmd": ...}}')
    return found


def options_in(found: Any, field: str) -> dict[str, Any]:
    """Return a job's options; `worker` and `parameters` stand for a command of that type. Raise InvalidJob."""
    options = dict(an_object(found, field))
    if "worker" in options or "parameters" in options:
        if "command" in options or "worker" not in options:
            expected = "cannot be given together with worker" if "command" in options else "belong to a worker"
            raise InvalidJob("command" if "command" in options else "parameters", expected)
        name, parameters = options.pop("worker"), options.pop("parameters", None)
        options["command"] = {"type": "worker", "name": name, "parameters": parameters}
    return options


def json_body() -> Any:
    """Read the body as JSON whatever its type is said to be. Raise InvalidJob if it is none."""
    body = request.get_data(cache=False)
    try:
        return _decode(body.decode(json.detect_encoding(body), "surrogatepass"))
    except RecursionError:
        raise InvalidJob("body", "is nested too deeply") from None
    except ValueError as error:
        raise InvalidJob("body", f"is not JSON: {str(error)[:200]}") from None


def text_body() -> str:
    """Read the body as text. Raise InvalidJob."""
    try:
        return request.get_data(cache=False).decode()
    except UnicodeDecodeError:
        raise InvalidJob("body", "is not UTF-8") from None
