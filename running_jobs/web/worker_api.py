"""The JSON routes of workers: list, look, save, delete."""

from __future__ import annotations

from flask import Blueprint, Response, request

from running_jobs.web.launching import worker_answers
from running_jobs.web.parts import parts
from running_jobs.web.responses import envelope

WAIT_S = 20.0

blueprint = Blueprint("workers", __name__)


@blueprint.get("/workers")
def list_workers() -> Response:
    """List the workers with what they say of themselves."""
    found = worker_answers(parts(), parts().workers.workers.names(), WAIT_S)
    return envelope(200, f"{len(found)} workers", found)


@blueprint.get("/workers/<name>")
def show_worker(name: str) -> Response:
    """Answer one worker."""
    return envelope(200, "", [parts().workers.show(name)])


@blueprint.get("/workers/<name>/code")
def show_code(name: str) -> Response:
    """Send a worker's code as text."""
    return Response(parts().workers.code(name), content_type="text/plain; charset=utf-8")


@blueprint.put("/workers/<name>")
def save_worker(name: str) -> Response:
    """Store the body as a worker's code."""
    return envelope(200, f"Worker {name} was saved.", [parts().workers.save(name, request.get_data(cache=False))])


@blueprint.delete("/workers/<name>")
def delete_worker(name: str) -> Response:
    """Delete a worker."""
    parts().workers.delete(name)
    return envelope(200, f"Worker {name} was deleted.", [])
