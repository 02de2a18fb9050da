"""What each view reads and answers, by its endpoint: the one table that is written by hand.

The errors are not here: `document` knows from path and method which may come.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from running_jobs import spec
from running_jobs.actions import MAX_PID
from running_jobs.saved import MAX_NAME, NAME_FIELD
from running_jobs.web.fields import PARAMETER
from running_jobs.web.forms import CHANGEABLE, MAX_SELECTED, NO_OPTIONS, SHOWN
from running_jobs.web.openapi.options import JOB_ID, TEXT, Schema, ref
from running_jobs.web.openapi.parameters import LIST
from running_jobs.web.openapi.records import queue_answer, records
from running_jobs.web.openapi.responses import (
    HTML,
    JSON,
    ZIP,
    answer,
    back_to_the_page,
    created,
    json_answer,
    nothing_new,
    raw_answers,
    text_answer,
)
from running_jobs.web.openapi.responses import TEXT as PLAIN
from running_jobs.web.queue_api import MAX_PAYLOADS
from running_jobs.web.reading import MAX_LIMIT

FORM = "application/x-www-form-urlencoded"


class Operation(NamedTuple):
    """Answers by code, parameters of the query by name, the content of the body, and whether none will do."""

    answers: Mapping[int, Schema]
    query: tuple[str, ...] = ()
    body: Schema | None = None
    may_be_empty: bool = False

    @property
    def has_ranges(self) -> bool:
        """Whether a part of it can be asked for."""
        return 206 in self.answers

    @property
    def is_form(self) -> bool:
        """Whether it is posted by one of the page's forms."""
        return self.body is not None and FORM in self.body


def _body(kind: str, schema: Schema) -> Schema:
    return {kind: {"schema": schema}}


def _form(properties: Mapping[str, Schema], required: tuple[str, ...] = (), **more: Any) -> Schema:
    own = {"token": _STRING, "back": {**_STRING, "description": "The query of the page that it was shown on."}}
    needed = ["token", *required]
    schema = {"type": "object", "properties": {**own, **properties}, "required": needed, **more}
    return _body(FORM, schema)


def _post(properties: Mapping[str, Schema] | None = None, *required: str, **more: Any) -> Operation:
    return Operation(back_to_the_page(), body=_form(properties or {}, required, **more))


_STRING: Schema = {"type": "string"}
_YES: Schema = {"type": "string", "description": "1 means yes."}
_RECORD = answer(records("Job", 1))
_NOTHING = answer({"type": "array", "maxItems": 0})
_LINES = answer(records("Line"))
_NO_LOG_YET = {204: nothing_new()}
_PART = {200: text_answer(HTML), **_NO_LOG_YET}
_NUMBER: Schema = {
    "type": "object",
    "properties": {"number": {"type": ["integer", "null"], "minimum": 1}},
    "required": ["number"],
}
_NOT_FOUND: Schema = {
    "type": "object",
    "properties": {"status": {"const": 404}, "data": {"const": "Job not found"}},
    "required": ["status", "data"],
}
_STATUS_WORDS = ("start", "stop", "kill", "active", "done", "error")
_STATUS: Schema = {"type": "object", "properties": {"status": ref("schemas", "JobStatus")}, "required": ["status"]}
_LAUNCH = {
    **{name: {"type": "string"} for name in (*NO_OPTIONS, *spec.OPTIONS) if name not in ("command", "token", "back")},
    "hold": {"type": "string", "description": "1: it stays idle."},
}
_PARAMETERS: dict[str, Any] = {
    "patternProperties": {f"^{PARAMETER.replace('.', '[.]')}": _STRING},
    "additionalProperties": False,
}
_LAUNCH_FIELDS = {name: schema for name, schema in _LAUNCH.items() if name != NAME_FIELD}


def _plain(data: Schema) -> Schema:
    properties = {"status": {"const": 200}, "data": data}
    return json_answer({"type": "object", "properties": properties, "required": [*properties]})


def _next() -> Schema:
    return {"anyOf": [JOB_ID, {"type": "null"}], "description": "The `before` of the next part."}


def _added() -> Schema:
    ids = {"type": "array", "items": JOB_ID, "minItems": 1}
    return json_answer({"oneOf": [queue_answer(job_id=JOB_ID), queue_answer(job_ids=ids)]}, "Queued.")


def _payloads() -> Schema:
    many = {"type": "array", "items": ref("schemas", "NewJob"), "minItems": 1, "maxItems": MAX_PAYLOADS}
    return {"anyOf": [ref("schemas", "NewJob"), many]}


OPERATIONS: dict[str, Operation] = {
    # jobs
    "api.list_jobs": Operation({200: answer(records("Job", MAX_LIMIT), next=_next())}, LIST),
    "api.add_job": Operation({201: created(records("Job", 1))}, body=_body(JSON, ref("schemas", "NewJob"))),
    "api.show_job": Operation({200: _RECORD}),
    "api.edit_job": Operation({200: _RECORD}, body=_body(JSON, ref("schemas", "JobChanges"))),
    "api.delete_job": Operation({200: _NOTHING}),
    "api.show_status": Operation({200: answer({"type": "array", "items": _STATUS, "maxItems": 1})}),
    "api.put_status": Operation({200: _RECORD}, body=_body(PLAIN, {"enum": [*_STATUS_WORDS]})),
    "api.put_pid": Operation({200: _RECORD}, body=_body(PLAIN, {"type": "integer", "minimum": 1, "maximum": MAX_PID})),
    "api.show_log": Operation({200: _LINES}, ("tail",)),
    "api.show_response": Operation({200: _LINES}, ("tail",)),
    "api.add_log": Operation({200: _NOTHING}, body=_body(PLAIN, TEXT), may_be_empty=True),
    "api.add_response": Operation({200: _NOTHING}, body=_body(PLAIN, TEXT), may_be_empty=True),
    "api.raw_out": Operation(raw_answers(PLAIN), ("offset", "tail", "download")),
    "api.raw_err": Operation(raw_answers(PLAIN), ("offset", "tail", "download")),
    "api.show_stats": Operation({200: answer(records("Sample"))}),
    "api.show_files": Operation({200: answer(records("File"))}),
    "api.send_archive": Operation({200: text_answer(ZIP)}),
    "api.send_file": Operation(raw_answers("*/*", {}), ("download",)),
    # the queue, as queue servers have it
    "queue.add_to_queue": Operation({200: _added()}, body=_body(JSON, _payloads())),
    "queue.queue_status": Operation({200: _plain(ref("schemas", "QueueStatus"))}),
    "queue.queue_status_of": Operation({200: _plain(ref("schemas", "QueuedJob")), 404: json_answer(_NOT_FOUND)}),
    # workers
    "workers.list_workers": Operation({200: answer(records("Worker"))}),
    "workers.show_worker": Operation({200: answer(records("Worker", 1))}),
    "workers.show_code": Operation({200: text_answer()}),
    "workers.save_worker": Operation({200: answer(records("Worker", 1))}, body=_body(PLAIN, _STRING)),
    "workers.delete_worker": Operation({200: _NOTHING}),
    # the server
    "api.health": Operation({200: answer(ref("schemas", "Health"))}),
    "metrics.show_metrics": Operation({200: text_answer()}),
    "openapi.show_document": Operation({200: json_answer({"type": "object"}), 304: nothing_new()}),
    "log_files.changes": Operation(raw_answers(PLAIN), ("offset", "tail", "download")),
    "log_files.failures": Operation(raw_answers(PLAIN), ("offset", "tail", "download")),
    # the page and its forms
    "pages.show_page": Operation({200: text_answer(HTML), 304: nothing_new()}),
    "pages.launch": _post(_LAUNCH_FIELDS, **_PARAMETERS),
    "pages.act": _post(),
    "pages.change": _post(dict.fromkeys(CHANGEABLE, _STRING), patternProperties={f"^{re.escape(SHOWN)}": _STRING}),
    "pages.pause": _post(),
    "pages.save_worker": _post({"name": _STRING, "code": _STRING, "new": _YES, "was": _STRING}, "name", "code"),
    "pages.delete_worker": _post(),
    "selection.act": Operation(
        {**back_to_the_page(), 200: text_answer(HTML, "The page, which asks whether these are to be deleted.")},
        body=_form(
            {
                "verb": {"enum": ["stop", "kill", "delete"]},
                "id": {"type": "array", "items": JOB_ID, "maxItems": MAX_SELECTED},
                "sure": _YES,
            },
            ("verb",),
        ),
    ),
    "kept_pages.keep": _post({**_LAUNCH, NAME_FIELD: {**_STRING, "maxLength": MAX_NAME}}, NAME_FIELD, **_PARAMETERS),
    "kept_pages.launch": _post(),
    "kept_pages.delete": _post(),
    # what the page follows logs by
    "log_routes.view": Operation(_PART, ("seen", "at", "upto", "around")),
    "log_routes.view_both": Operation(_PART, ("seen",)),
    "log_routes.view_all": Operation(_PART, ("seen", "at", "upto", "around")),
    "log_routes.number": Operation({200: json_answer(_NUMBER), **_NO_LOG_YET}, ("at",)),
    "log_routes.find": Operation({200: json_answer(ref("schemas", "Find")), **_NO_LOG_YET}, ("find", "at", "upto")),
}
