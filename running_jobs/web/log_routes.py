"""Looking at logs as a terminal shows them: what a viewer lacks of the end, other parts, and searching. HTML pieces.

The page asks for these by its scripts; without scripts the page's own address shows the same.
"""

from __future__ import annotations

import errno
from collections.abc import Callable

from flask import Blueprint, Response, jsonify, render_template, request

from running_jobs.errors import NoSuchJob
from running_jobs.job import is_job_id
from running_jobs.web.log_live import Seen, seen_of
from running_jobs.web.log_parts import LogPart, part_around, part_from, part_up_to
from running_jobs.web.log_source import LogSource, merged, source_of
from running_jobs.web.parts import parts
from running_jobs.web.responses import envelope
from running_jobs.web.sending import number_from_query

blueprint = Blueprint("log_routes", __name__)

_BOUNDS = {"at": part_from, "upto": part_up_to, "around": part_around}
_NO_LOG = (errno.ELOOP, errno.EINVAL)  # a link or folder laid in its place


@blueprint.get("/jobs/<job_id>/view/<any(out,err):name>")
def view(job_id: str, name: str) -> Response:
    """Answer a part of a log (`at`, `upto`, `around` an offset), or what a viewer lacks of its end (`since`)."""
    asked = _bounds_from_query()
    return _look(job_id, name, lambda source: _view(source, asked))


@blueprint.get("/jobs/<job_id>/view/both")
def view_both(job_id: str) -> Response:
    """Answer the ends of output and errors as one log, if one of them is not as the viewer has it."""
    seen_out, _, seen_err = request.args.get("since", "").partition("-")

    def look(out: LogSource) -> Response:
        err = _source(job_id, "err")
        if out.live(seen_of(seen_out)) is None and _is_as_seen(err, seen_of(seen_err)):
            return Response(status=204)
        return _answer(merged(out.end(), err.end()))

    return _look(job_id, "out", look)


@blueprint.get("/jobs/<job_id>/view/<any(out,err):name>/number")
def number(job_id: str, name: str) -> Response:
    """Answer the number of the line that begins at an offset, null while it is being counted."""
    offset = number_from_query("at") or 0
    return _look(job_id, name, lambda source: jsonify(number=source.number(offset)))


@blueprint.get("/jobs/<job_id>/view/<any(out,err):name>/find")
def find(job_id: str, name: str) -> Response:
    """Search for a text from an offset on (`at`), or backwards up to one (`upto`), as far as one request goes."""
    text, start, end = request.args.get("find", "").strip(), number_from_query("at"), number_from_query("upto")

    def look(source: LogSource) -> Response:
        if not text:
            parts().store.get(job_id)  # raises NoSuchJob: nothing has looked at the log
            return jsonify(line=None, next=None)
        found = source.find(text, start, end)
        return jsonify(line=found.line, match=found.match, end=found.end, next=found.next)

    return _look(job_id, name, look)


@blueprint.get("/logs/<any(changes,failures):key>/view")
def view_all(key: str) -> Response:
    """Answer what a viewer lacks of a log of all jobs."""
    paths, asked = parts().store.paths, _bounds_from_query()
    try:
        return _view(LogSource(parts().live_logs, paths.journal if key == "changes" else paths.errors), asked)
    except OSError as error:
        return _missing(error)


def _look(job_id: str, name: str, work: Callable[[LogSource], Response]) -> Response:
    try:
        return work(_source(job_id, name))
    except OSError as error:
        parts().store.get(job_id)  # raises NoSuchJob if it was deleted
        return _missing(error)


def _is_as_seen(source: LogSource, seen: Seen | None) -> bool:
    try:
        return source.live(seen) is None
    except FileNotFoundError:
        return seen is None


def _missing(error: OSError) -> Response:
    if isinstance(error, FileNotFoundError):
        return Response(status=204)  # nothing was written yet
    if error.errno in _NO_LOG:
        return envelope(404, "There is no such log any more.", [])
    raise error


def _source(job_id: str, name: str) -> LogSource:
    if not is_job_id(job_id):
        raise NoSuchJob(job_id)
    return source_of(parts().live_logs, parts().store.paths, job_id, name)


def _bounds_from_query() -> dict[str, int]:
    """Return the offsets that are asked for, by how the part lies to them. Raise InvalidJob for a wrong one."""
    asked = {name: number_from_query(name) for name in _BOUNDS}
    return {name: offset for name, offset in asked.items() if offset is not None}


def _view(source: LogSource, asked: dict[str, int]) -> Response:
    if asked:
        name, offset = next(iter(asked.items()))
        return _answer(source.part(_BOUNDS[name], offset, offset if name == "around" else None))
    part = source.live(seen_of(request.args.get("since", "")))
    return Response(status=204) if part is None else _answer(part)


def _answer(part: LogPart) -> Response:
    lines, rows = part.html()
    return Response(render_template("log_part.html", part=part, lines=lines, rows=rows))
