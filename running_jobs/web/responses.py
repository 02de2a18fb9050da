"""Answers of the API: the envelope, and the one place where errors become HTTP codes."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from typing import Any

from flask import Flask, Response, current_app, render_template, request
from werkzeug.exceptions import HTTPException

from running_jobs.errors import (
    AmbiguousId,
    DataGone,
    DispatcherFailed,
    InvalidJob,
    InvalidWorker,
    JobsError,
    LockTimeout,
    NoSuchClass,
    NoSuchJob,
    NoSuchMethod,
    NoSuchSaved,
    NoSuchWorker,
    NotAllowed,
    NotApproved,
    StorageFailed,
    TooBusy,
    UnreadableJob,
    UnreadableSaved,
    WorkerChanged,
    WorkerInUse,
    WrongState,
)

CODES: dict[type[JobsError], int] = {
    InvalidJob: 400,
    AmbiguousId: 400,
    NoSuchClass: 400,
    NoSuchMethod: 400,
    NotAllowed: 403,
    NotApproved: 403,
    NoSuchJob: 404,
    NoSuchWorker: 404,
    NoSuchSaved: 404,
    InvalidWorker: 400,
    WorkerInUse: 409,
    WorkerChanged: 409,
    WrongState: 409,
    UnreadableJob: 409,
    UnreadableSaved: 409,
    LockTimeout: 503,
    TooBusy: 503,
    DispatcherFailed: 503,
    DataGone: 503,
    StorageFailed: 507,
}

_encode = json.JSONEncoder(ensure_ascii=False).encode  # json.dumps makes one for each call

HINTS = {
    401: "Give a user and its password (basic auth).",
    404: "Nothing is here. Look at the list of routes in the README.",
    405: "This route does not take that method.",
    413: "The body is too large; at most 4 MiB are taken.",
    414: "The address is too long.",
    415: "The body's type is not taken here.",
    500: "The server failed; its log says why.",
}


def envelope(code: int, message: str, data: Any, **more: Any) -> Response:
    """Answer `{"status", "success", "message", "total", "data"}`; `more` stands beside them."""
    total = len(data) if isinstance(data, list) else 1
    body = {"status": code, "success": code < 400, "message": message, "total": total, "data": data, **more}
    text = _encode(body)
    return Response(text.encode(errors="replace") + b"\n", code, content_type="application/json")


def code_of(error: JobsError) -> int:
    """Return the HTTP code for an error."""
    return next((code for kind, code in CODES.items() if isinstance(error, kind)), 400)


def refusal(code: int, message: str) -> Response:
    """Refuse a request in the form its client reads: JSON, or a page for a browser that asked for one."""
    if request.method in ("GET", "HEAD", "POST") and request.accept_mimetypes.accept_html and _is_browser():
        return Response(render_template("refused.html", code=code, message=message), code)
    return envelope(code, message, [])


def _is_browser() -> bool:
    best = request.accept_mimetypes.best_match(["application/json", "text/html"], "application/json")
    return best == "text/html" and request.headers.get("Accept", "*/*") != "*/*"


def handle_errors(app: Flask, refuse_if_gone: Callable[[], None]) -> None:
    """Have every error answered as the API answers, never by a traceback.

    `refuse_if_gone` raises DataGone if all jobs are missing, with their directory: then none was deleted.
    """

    @app.errorhandler(JobsError)
    def refused(error: JobsError) -> Response:
        if isinstance(error, NoSuchJob):
            try:
                refuse_if_gone()
            except DataGone as gone:
                error = gone
        return refusal(code_of(error), str(error))

    @app.errorhandler(HTTPException)
    def failed(error: HTTPException) -> Response:
        code = error.code or 500
        if error.response is not None or code < 400:
            return error.get_response()  # type: ignore[return-value]
        answer = refusal(code, HINTS.get(code) or error.description or error.name)
        if code == 405 and getattr(error, "valid_methods", None):
            answer.headers["Allow"] = ", ".join(sorted(error.valid_methods))  # type: ignore[attr-defined]
        return answer

    @app.errorhandler(OSError)
    def disk(error: OSError) -> Response:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            return refusal(507, f"The disk refused: {error.strerror}. Make room, then try again.")
        if error.errno in (errno.EACCES, errno.EPERM):
            name = os.path.basename(str(error.filename or "a file"))
            return refusal(503, f"{name}: permission denied. Let the server's user have its data directory again.")
        if error.errno in (errno.EMFILE, errno.ENFILE):
            return refusal(503, "Too many files are open at the moment. Try again soon.")
        current_app.logger.exception("%r", f"{request.method} {request.path}")
        return refusal(500, HINTS[500])

    @app.errorhandler(Exception)
    def defect(error: Exception) -> Response:
        current_app.logger.exception("%r", f"{request.method} {request.path}", exc_info=error)
        return refusal(500, HINTS[500])
