"""The page and its forms. Every form works without scripts: a post, then 303 back with a message."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode

from flask import Blueprint, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from running_jobs.clocks import local_zone
from running_jobs.errors import JobsError, NoSuchJob
from running_jobs.index import JobFilter, is_cursor
from running_jobs.job import JobStatus, is_job_id
from running_jobs.web import page_view
from running_jobs.web.auth import token
from running_jobs.web.forms import options_of_change, options_of_launch, read_form
from running_jobs.web.job_view import job_view
from running_jobs.web.parts import parts
from running_jobs.web.responses import code_of
from running_jobs.web.waiting import Outlook

PAGE_PARAMETERS = ("job", "tab", "status", "context", "q", "before")
SAID = {
    "launch": "The job was launched.",
    "hold": "The job was created. It waits until it is started.",
    "start": "The job was queued.",
    "stop": "The job was asked to stop.",
    "kill": "The job was killed.",
    "delete": "The job was deleted with its logs and results.",
    "again": "A copy of the job was launched.",
    "set": "The job was changed.",
    "same": "Nothing was changed: every field held what it held before.",
    "pause": "Paused: nothing new starts, running jobs go on.",
    "resume": "Queued jobs start again.",
}

blueprint = Blueprint("pages", __name__)


@blueprint.get("/")
def show_page() -> str:
    """Show the page, or with `?part=live` what changes on it."""
    said = SAID.get(request.args.get("said", ""))
    return _render(_page_parameters(request.args.items(multi=False)), message=said)


@blueprint.post("/launch")
def launch() -> AnyResponse | tuple[str, int]:
    """Queue what the form holds; on a mistake show the form again as it was filled in."""
    form = read_form()
    try:
        job = parts().actions.submit(options_of_launch(form, parts().store), by=g.user)
    except JobsError as error:
        return _render(_back(form), error=str(error), form=form), code_of(error)
    return _to_page(_back(form) | {"job": job.id, "said": "launch" if job.status is JobStatus.QUEUED else "hold"})


@blueprint.post("/jobs/<job_id>/<any(start,stop,kill,delete,again):verb>")
def act(job_id: str, verb: str) -> AnyResponse | tuple[str, int]:
    """Do one thing to a job."""
    form = read_form()
    try:
        done = getattr(parts().actions, verb)(job_id, by=g.user)
    except JobsError as error:
        return _render(_back(form), error=str(error)), code_of(error)
    shown = {"delete": {}, "again": {"job": done.id if done else ""}}.get(verb, {"job": job_id})
    return _to_page({**{name: value for name, value in _back(form).items() if name != "job"}, **shown, "said": verb})


@blueprint.post("/jobs/<job_id>/set")
def change(job_id: str) -> AnyResponse | tuple[str, int]:
    """Change what the form says otherwise than it was shown; on a mistake show it again as it was filled in."""
    form = read_form()
    back = {**_back(form), "job": job_id}
    try:
        options = options_of_change(form, parts().store, parts().settings)
        if options:
            parts().actions.edit(job_id, options, by=g.user)
    except JobsError as error:
        return _render(back, error=str(error), change=form), code_of(error)
    return _to_page({**back, "said": "set" if options else "same"})


@blueprint.post("/<any(pause,resume):verb>")
def pause(verb: str) -> AnyResponse:
    """Start nothing new from now on, or start again."""
    form = read_form()
    parts().actions.pause(verb == "pause")
    return _to_page(_back(form) | {"said": verb})


def _page_parameters(pairs: Any) -> dict[str, str]:
    """Keep what the page knows, if it can be true: anything else in an address is passed over."""
    found = {name: value for name, value in pairs if name in PAGE_PARAMETERS and value}
    if not is_job_id(found.get("job", "x" * 8)):
        del found["job"]
    if not is_cursor(found.get("before", "x" * 8)):
        del found["before"]
    if found.get("status") not in (None, *(status.value for status in JobStatus)):
        del found["status"]
    return found


def _back(form: dict[str, str]) -> dict[str, str]:
    return _page_parameters(parse_qsl(form.get("back", "")))


def _to_page(parameters: dict[str, str]) -> AnyResponse:
    query = urlencode({name: value for name, value in parameters.items() if value})
    return redirect(f"{url_for('pages.show_page')}?{query}", 303)


def _render(
    parameters: dict[str, str],
    message: str | None = None,
    error: str | None = None,
    form: dict[str, str] | None = None,
    change: dict[str, str] | None = None,
) -> str:
    """Render the page; `form` and `change` are forms to show again as they were filled in."""
    wanted = JobFilter(parameters.get("status"), parameters.get("context"), parameters.get("q"))
    page = parts().index.page(wanted, parameters.get("before"))
    outlook = Outlook(parts())
    outlook.learn(page.rows)
    live = request.args.get("part") == "live"
    chosen = None
    if "job" in parameters:
        try:
            chosen = job_view(parts(), outlook, parameters["job"], parameters.get("tab"), not live)
        except NoSuchJob as missing:
            error = error or (None if message else str(missing))
        except JobsError as unreadable:
            error = error or str(unreadable)
    return render_template(
        "live.html" if live else "page.html",
        rows=[page_view.row_view(row, outlook) for row in page.rows],
        older=page.next_before,
        total=page.total,
        job=chosen,
        here=parameters,
        strip=page_view.strip_view(parts(), outlook),
        logs=[] if live else page_view.logs_view(parts()),
        settings=parts().settings,
        zone=local_zone(outlook.now.wall_s),
        problems=parts().index.problems(),
        form=form or {},
        change=change,
        message=message,
        error=error,
        token=token(parts(), g.user),
        back=urlencode(parameters),
        link=_link_from(parameters),
    )


def _link_from(parameters: dict[str, str]) -> Any:
    """Return a function for templates: this page's address with some parameters changed, or left out with None."""

    base: str = url_for("pages.show_page")

    def link(**changes: str | None) -> str:
        kept = {**parameters, **changes}
        query = urlencode({name: value for name, value in kept.items() if value})
        return f"{base}?{query}" if query else base

    return link
