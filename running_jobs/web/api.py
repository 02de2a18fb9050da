"""The JSON routes. Each reads its request, calls one verb or reads the store, and answers the envelope."""

from __future__ import annotations

import errno
import os

from flask import Blueprint, Response, g, request

from running_jobs import files, folders, logs
from running_jobs.errors import DataGone, InvalidJob, NoSuchJob, UnreadableJob
from running_jobs.files import disk_free_bytes
from running_jobs.job import Job, JobStatus
from running_jobs.records import public_record
from running_jobs.wake import dispatcher_lives
from running_jobs.web import archive, compression
from running_jobs.web.listing import as_text
from running_jobs.web.live_sample import samples_of
from running_jobs.web.parts import parts
from running_jobs.web.reading import (
    cursor_from_query,
    filter_from_query,
    json_body,
    json_object,
    limit_from_query,
    options_in,
    text_body,
)
from running_jobs.web.responses import envelope, refusal
from running_jobs.web.sending import number_from_query, send_from_a_file, send_log, send_result

DEFAULT_LINES = 10_000
MOST_LINES = 100_000
SHORT_BYTES = 256 << 10  # of a log: what becomes of more is made one at a time

blueprint = Blueprint("api", __name__)


@blueprint.get("/jobs")
def list_jobs() -> Response:
    """List jobs, newest first."""
    parts().store.refuse_if_gone()
    page = parts().index.page(filter_from_query(), cursor_from_query(), limit_from_query())
    found = []
    for row in page.rows:
        try:
            found.append(public_record(parts().store.get(row.id)))
        except (NoSuchJob, UnreadableJob):  # deleted or damaged between the listing and now
            continue
    return envelope(200, f"{len(found)} of {page.total} jobs", found, next=page.next_before)


@blueprint.post("/jobs")
def add_job() -> Response:
    """Create a job, idle unless `start` is true."""
    job = parts().actions.submit(options_in(json_body(), "body"), by=g.user)
    answer = _record(201, f"Job {job.id} is {job.status}.", job)
    answer.headers["Location"] = f"{request.script_root}/jobs/{job.id}"
    return answer


@blueprint.get("/jobs/<job_id>")
def show_job(job_id: str) -> Response:
    """Answer a job's record."""
    return _record(200, "", parts().store.get(job_id))


@blueprint.patch("/jobs/<job_id>")
def edit_job(job_id: str) -> Response:
    """Change options of a job that is not active yet."""
    job = parts().actions.edit(job_id, json_object(), by=g.user)
    return _record(200, f"Job {job.id} was changed.", job)


@blueprint.delete("/jobs/<job_id>")
def delete_job(job_id: str) -> Response:
    """Delete a job with all its files."""
    parts().actions.delete(job_id, by=g.user)
    return envelope(200, f"Job {job_id} was deleted.", [])


@blueprint.get("/jobs/<job_id>/status")
def show_status(job_id: str) -> Response:
    """Answer a job's status alone."""
    return envelope(200, "", [{"status": parts().store.get(job_id).status.value}])


@blueprint.put("/jobs/<job_id>/status")
def put_status(job_id: str) -> Response:
    """Start, stop or kill a job, or report what became of one that somebody else runs."""
    word = text_body().strip()
    actions = parts().actions
    verbs = {"start": actions.start, "stop": actions.stop, "kill": actions.kill}
    if word in verbs:
        job = verbs[word](job_id, by=g.user)
    elif word in ("active", "done", "error"):
        job = actions.report(job_id, JobStatus(word), by=g.user)
    else:
        raise InvalidJob("status", f"expected start, stop, kill, active, done or error, found {word[:40]!r}")
    return _record(200, f"Job {job.id} is {job.status}.", job)


@blueprint.put("/jobs/<job_id>/pid")
def put_pid(job_id: str) -> Response:
    """Record the pid of a job that somebody else runs."""
    text = text_body().strip()
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidJob("pid", f"expected a whole number, found {text[:40]!r}")
    return _record(200, f"The pid is {int(text)}.", parts().actions.set_pid(job_id, int(text), by=g.user))


@blueprint.get("/jobs/<job_id>/log")
def show_log(job_id: str) -> Response:
    """Answer the last lines of a job's out."""
    return _lines(job_id, parts().store.paths.out(job_id))


@blueprint.get("/jobs/<job_id>/response")
def show_response(job_id: str) -> Response:
    """Answer the last lines of a job's response."""
    return _lines(job_id, parts().store.paths.response(job_id))


@blueprint.post("/jobs/<job_id>/log")
def add_log(job_id: str) -> Response:
    """Append an entry to a job's out."""
    parts().actions.add_log(job_id, text_body())
    return envelope(200, "The entry was appended.", [])


@blueprint.post("/jobs/<job_id>/response")
def add_response(job_id: str) -> Response:
    """Append an entry to a job's response."""
    parts().actions.add_response(job_id, text_body())
    return envelope(200, "The entry was appended.", [])


@blueprint.get("/jobs/<job_id>/out")
def raw_out(job_id: str) -> Response:
    """Send a job's standard output as it is."""
    return _raw(job_id, parts().store.paths.out(job_id))


@blueprint.get("/jobs/<job_id>/err")
def raw_err(job_id: str) -> Response:
    """Send a job's standard error as it is."""
    return _raw(job_id, parts().store.paths.err(job_id))


@blueprint.get("/jobs/<job_id>/stats")
def show_stats(job_id: str) -> Response:
    """Answer the samples of what a job's processes used, for an active one what they use now as the last."""
    return envelope(200, "", samples_of(parts().store.paths, parts().store.get(job_id)))


@blueprint.get("/jobs/<job_id>/files")
def show_files(job_id: str) -> Response:
    """List the files a job left."""
    parts().store.get(job_id)
    found = parts().listings.of(parts().store.paths.results(job_id))
    shown = [
        {"name": as_text(file.name), "size": file.size, "modified_at": file.modified_at} for file in sorted(found.files)
    ]
    cut = "" if found.total == len(shown) else f"The newest {len(shown)} of {found.total} files."
    return envelope(200, cut, shown)


@blueprint.get("/jobs/<job_id>/files.zip")
def send_archive(job_id: str) -> Response:
    """Send all files a job left as one archive."""
    return archive.send(parts(), parts().store.get(job_id))


@blueprint.get("/jobs/<job_id>/files/<path:name>")
def send_file(job_id: str, name: str) -> Response:
    """Send one of the files a job left."""
    parts().store.get(job_id)
    try:
        return send_result(folders.open_beneath(parts().store.paths.results(job_id), name), os.path.basename(name))
    except FileNotFoundError:
        return envelope(404, f"Job {job_id} has no such file.", [])


@blueprint.get("/health")
def health() -> Response:
    """Answer that the server lives, and whether jobs would start."""
    store = parts().store
    store.refuse_if_gone()
    try:
        lives, free_bytes = dispatcher_lives(store.paths), disk_free_bytes(store.paths.data)
    except FileNotFoundError:
        raise DataGone(store.paths.data) from None
    data = {
        "dispatcher": "running" if lives else "not needed",
        "paused": store.is_paused,
        "disk_free_bytes": free_bytes,
        "disk_low": free_bytes < parts().settings.min_free_bytes,
    }
    if parts().settings.has_slurm:
        told = parts().slurm.now()
        data["slurm"] = "out of reach" if told.problem else "answers" if told.at else "not asked yet"
    if not lives and parts().index.has_work():
        data["dispatcher"] = "missing"  # for a moment: the server starts one
    return envelope(200, "The server lives.", data)


# --- answering


def _record(code: int, message: str, job: Job) -> Response:
    return envelope(code, message, [public_record(job)])


def _lines(job_id: str, path: str) -> Response:
    parts().store.get(job_id)
    wanted = number_from_query("tail")
    try:
        data = logs.last_part(path, DEFAULT_LINES if wanted is None else min(wanted, MOST_LINES))[0]
    except OSError:  # a link or a folder was laid in its place
        data = b""
    if len(data) <= SHORT_BYTES:
        return _messages(data)
    if not parts().long_answers.acquire(blocking=False):
        return refusal(503, "Others are getting long logs at the moment. Try again soon, or ask for fewer lines.")
    try:
        with parts().long_answer:
            answer = _messages(data)
            is_compressed = len(answer.get_data()) <= compression.MOST_BYTES
            return answer if is_compressed else send_from_a_file(answer)
    finally:
        parts().long_answers.release()


def _messages(data: bytes) -> Response:
    return envelope(200, "", [{"message": line} for line in logs.lines_of(data)])


def _raw(job_id: str, path: str) -> Response:
    parts().store.get(job_id)
    try:
        descriptor = files.open_private(path, os.O_RDONLY)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ELOOP, errno.EINVAL):
            raise
        return envelope(404, f"Job {job_id} has no such log any more.", [])
    return send_log(descriptor, os.path.basename(path))
