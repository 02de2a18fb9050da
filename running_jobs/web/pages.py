"""The page's address and its forms. Every form works without scripts: a post, then 303 back with a message."""

from __future__ import annotations

import hmac

from flask import Blueprint, g, make_response, request
from werkzeug.wrappers import Response as AnyResponse

from running_jobs.errors import JobsError, WorkerChanged
from running_jobs.job import JobStatus
from running_jobs.web.address import back_of, page_parameters, to_page
from running_jobs.web.auth import seal
from running_jobs.web.editor import read_draft
from running_jobs.web.forms import options_of_change, options_of_launch, read_form
from running_jobs.web.page import SAID, render_page
from running_jobs.web.parts import parts
from running_jobs.web.responses import code_of
from running_jobs.web.selection import said_of_selected

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
def show_page() -> AnyResponse:
    """Show the page, or with `?part=live` what changes on it: 304 if that is what was asked for before."""
    answer = make_response(render_page(page_parameters(request.args.items(multi=True)), message=_said()))
    if request.args.get("part") == "live":
        answer.add_etag()
        answer.make_conditional(request)
    return answer


def _said() -> str | None:
    """Return the message that the address holds; None for one that is not of our making."""
    given = dict(request.args.items(multi=True))
    if "said" not in given:
        return None
    if not hmac.compare_digest(given.get("seal", "").encode(), seal(parts(), g.user, given).encode()):
        return None
    return SAID.get(given["said"]) or said_of_selected(given)


@blueprint.post("/launch")
def launch() -> AnyResponse | tuple[str, int]:
    """Queue what the form holds; on a mistake show the form again as it was filled in."""
    form = read_form()
    try:
        job = parts().actions.submit(options_of_launch(form, parts()), by=g.user)
    except JobsError as error:
        return render_page(back_of(form), error=error, form=form), code_of(error)
    back = {name: value for name, value in back_of(form).items() if name not in ("code", "like", "kept")}
    return to_page(back | {"job": job.id, "said": "launch" if job.status is JobStatus.QUEUED else "hold"})


@blueprint.post("/jobs/<job_id>/<any(start,stop,kill,delete,again):verb>")
def act(job_id: str, verb: str) -> AnyResponse | tuple[str, int]:
    """Do one thing to a job."""
    form = read_form()
    try:
        done = getattr(parts().actions, verb)(job_id, by=g.user)
    except JobsError as error:
        return render_page(back_of(form), error=error), code_of(error)
    shown = {"delete": {}, "again": {"job": done.id if done else ""}}.get(verb, {"job": job_id})
    gone = ("job", "like") if verb == "delete" else ("job",)
    back = {name: value for name, value in back_of(form).items() if name not in gone}
    return to_page({**back, **shown, "said": verb})


@blueprint.post("/jobs/<job_id>/set")
def change(job_id: str) -> AnyResponse | tuple[str, int]:
    """Change what the form says otherwise than it was shown; on a mistake show it again as it was filled in."""
    form = read_form()
    back = {**back_of(form), "job": job_id}
    try:
        parts().store.get(job_id)
        options = options_of_change(form, parts().store, parts().settings)
        if options:
            parts().actions.edit(job_id, options, by=g.user)
    except JobsError as error:
        return render_page(back, error=error, change=form), code_of(error)
    return to_page({**back, "said": "set" if options else "same"})


@blueprint.post("/<any(pause,resume):verb>")
def pause(verb: str) -> AnyResponse:
    """Start nothing new from now on, or start again."""
    form = read_form()
    parts().actions.pause(verb == "pause")
    return to_page(back_of(form) | {"said": verb})


@blueprint.post("/workers/save")
def save_worker() -> AnyResponse | tuple[str, int]:
    """Store a worker's code; on a mistake show the editor again with the text as it was, and where it is wrong."""
    form = read_form()
    draft = read_draft(form)
    try:
        saved = parts().workers.save(draft.name, draft.code, is_new=draft.is_new, was=draft.was)
    except WorkerChanged:
        digest = parts().workers.digest(draft.name)
        changed = WorkerChanged(draft.name, is_gone=not digest)
        return render_page(back_of(form), error=changed, draft=draft.refused(changed, digest)), code_of(changed)
    except JobsError as error:
        return render_page(back_of(form), error=error, draft=draft.refused(error)), code_of(error)
    back = {name: value for name, value in back_of(form).items() if name != "job"}
    said = "saved-but" if "problem" in saved else "saved"
    return to_page(back | {"run": "worker", "of": draft.name, "code": draft.name, "said": said})


@blueprint.post("/workers/<name>/delete")
def delete_worker(name: str) -> AnyResponse | tuple[str, int]:
    """Delete a worker."""
    form = read_form()
    try:
        parts().workers.delete(name)
    except JobsError as error:
        return render_page(back_of(form), error=error), code_of(error)
    back = {key: value for key, value in back_of(form).items() if key not in ("of", "code")}
    return to_page(back | {"run": "worker", "said": "worker-deleted"})
