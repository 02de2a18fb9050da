"""Answers as OpenAPI has them: what each code means, and in which forms it comes."""

from __future__ import annotations

from typing import Any

from running_jobs.web.openapi.options import Schema, ref
from running_jobs.web.openapi.records import envelope

JSON, TEXT, HTML, ZIP = "application/json", "text/plain", "text/html", "application/zip"

_ERRORS = {
    400: "Invalid: the message names what and says what was expected. Also a host name that is not trusted.",
    401: "No user, or a wrong password.",
    403: "Forbidden: by the settings, by the user's role, or because another site's page asks.",
    404: "There is no such thing (any more).",
    409: "It does not fit the state that something is in, or its file cannot be read.",
    413: "The body is too large.",
    416: "There is nothing in that range.",
    429: "Too many wrong passwords from this address within a minute; the right one passes.",
    500: "The server failed; its log says why.",
    503: "Busy, or something is missing at the moment: try again.",
    507: "The disk refused; make room.",
}
_OF_THE_SERVER = (400, 413)  # what the server refuses before the application sees it is plain text


def error_responses() -> dict[str, Schema]:
    """Return the components for what is refused, by code. A browser gets a page in place of the envelope."""
    return {str(code): _error(code, said) for code, said in _ERRORS.items()}


def _error(code: int, said: str) -> Schema:
    content: dict[str, Any] = {JSON: {"schema": ref("schemas", "Error")}, HTML: {"schema": {"type": "string"}}}
    if code in _OF_THE_SERVER:
        content[TEXT] = {"schema": {"type": "string"}}
    answer: dict[str, Any] = {"description": said, "content": content}
    if code == 401:
        answer["headers"] = {"WWW-Authenticate": _header("Basic.", {"type": "string"}, required=True)}
    if code == 416:
        answer["headers"] = {"Content-Range": _header("How long it is.", {"type": "string"}, required=True)}
    return answer


def error(code: int) -> Schema:
    """Return a reference to what an error is answered with."""
    return ref("responses", str(code))


def answer(data: Schema, code: int = 200, said: str = "Done.", **more: Schema) -> Schema:
    """Return an answer in the envelope."""
    return json_answer(envelope(data, code, **more), said)


def json_answer(schema: Schema, said: str = "Done.") -> Schema:
    """Return an answer in JSON, without the envelope."""
    return {"description": said, "content": {JSON: {"schema": schema}}}


def created(data: Schema) -> Schema:
    """Return the answer of what was created."""
    location = _header("Where its record is.", {"type": "string"}, required=True)
    return {**answer(data, 201, "Created."), "headers": {"Location": location}}


def text_answer(kind: str = TEXT, said: str = "Done.") -> Schema:
    """Return an answer in text of some kind."""
    return {"description": said, "content": {kind: {"schema": {"type": "string"}}}}


def raw_answers(kind: str, schema: Schema | None = None) -> dict[int, Schema]:
    """Return the answers of what is sent as it is, whole or in part."""
    content = {kind: {"schema": schema or {"type": "string"}}}
    number = {"type": "integer", "minimum": 0}
    headers = {"X-Next-Offset": _header("Where to go on.", number, required=True), "Accept-Ranges": _text_header()}
    part = {"Content-Range": _header("Which part of how much.", {"type": "string"}, required=True), **headers}
    return {
        200: {"description": "All that was asked for.", "content": content, "headers": headers},
        206: {"description": "The range.", "content": content, "headers": part},
        416: error(416),
    }


def back_to_the_page() -> dict[int, Schema]:
    """Return the answer of a form that was carried out."""
    location = _header("The page, with a message.", {"type": "string"}, required=True)
    return {303: {"description": "Done: back to the page.", "headers": {"Location": location}}}


def nothing_new(said: str = "Nothing else than what was there before.") -> Schema:
    """Return an answer without a body."""
    return {"description": said}


def _text_header() -> Schema:
    return _header("In bytes.", {"type": "string"})


def _header(said: str, schema: Schema, required: bool = False) -> Schema:
    return {"description": said, "schema": schema, "required": required}
