"""The page and its forms. Every form works without scripts: a post, then 303 back with a message."""

from __future__ import annotations

import hmac
import time
from typing import Any
from urllib.parse import parse_qsl, urlencode

from flask import Blueprint, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from running_jobs.errors import InvalidJob, JobsError, NoSuchJob, NotAllowed
from running_jobs.index import JobFilter, is_cursor
from running_jobs.job import JobStatus, is_job_id
from running_jobs.option_texts import read_option
from running_jobs.web import page_view
from running_jobs.web.auth import token
from running_jobs.web.parts import parts
from running_jobs.web.responses import code_of

PAGE_PARAMETERS = ("job", "tab", "status", "context", "q", "before")
SAID = {
    "launch": "The job was launched.",
    "hold": "The job was created. It waits until it is started.",
    "start": "The job was queued.",
    "stop": "The job was asked to stop.",
    "kill": "The job was killed.",
    "delete": "The job was deleted with its logs and results.",
    "again": "A copy of the job was launched.",
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
    form = _form()
    try:
        job = parts().actions.submit(options_from_form(form), by=g.user)
    except JobsError as error:
        return _render(_back(form), error=str(error), form=form), code_of(error)
    return _to_page(_back(form) | {"job": job.id, "said": "launch" if job.status is JobStatus.QUEUED else "hold"})


@blueprint.post("/jobs/<job_id>/<any(start,stop,kill,delete,again):verb>")
def act(job_id: str, verb: str) -> AnyResponse | tuple[str, int]:
    """Do one thing to a job."""
    form = _form()
    try:
        done = getattr(parts().actions, verb)(job_id, by=g.user)
    except JobsError as error:
        return _render(_back(form), error=str(error)), code_of(error)
    shown = {"delete": {}, "again": {"job": done.id if done else ""}}.get(verb, {"job": job_id})
    return _to_page({**{name: value for name, value in _back(form).items() if name != "job"}, **shown, "said": verb})


@blueprint.post("/<any(pause,resume):verb>")
def pause(verb: str) -> AnyResponse:
    """Start nothing new from now on, or start again."""
    form = _form()
    parts().actions.pause(verb == "pause")
    return _to_page(_back(form) | {"said": verb})


def options_from_form(form: dict[str, str]) -> dict[str, Any]:
    """Turn the form's texts into job options. Raise InvalidJob for a field that cannot be read."""
    options: dict[str, Any] = {"command": {"type": "exec", "cmd": form.get("cmd", "").replace("\r\n", "\n")}}
    for name, value in form.items():
        if name in ("cmd", "token", "back", "hold") or not value.strip():
            continue
        options[name] = read_option(name, value)
    options["start"] = form.get("hold") != "1"
    return options


def _form() -> dict[str, str]:
    """Read a posted form and check its token. Raise InvalidJob if it is no form, NotAllowed without the token."""
    if request.mimetype != "application/x-www-form-urlencoded":
        raise InvalidJob("body", "expected a form (application/x-www-form-urlencoded)")
    try:
        body = request.get_data(cache=False).decode()
        form = dict(parse_qsl(body, keep_blank_values=True, errors="strict", max_num_fields=100))
    except UnicodeDecodeError:
        raise InvalidJob("body", "is not UTF-8") from None
    except ValueError:
        raise InvalidJob("body", "has too many fields") from None
    if not hmac.compare_digest(form.get("token", "").encode(), token(parts(), g.user).encode()):
        raise NotAllowed("The form's token is missing or old. Reload the page and try again.")
    return form


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
    parameters: dict[str, str], message: str | None = None, error: str | None = None, form: dict[str, str] | None = None
) -> str:
    wanted = JobFilter(parameters.get("status"), parameters.get("context"), parameters.get("q"))
    page = parts().index.page(wanted, parameters.get("before"))
    now = time.time()
    live = request.args.get("part") == "live"
    chosen = None
    if "job" in parameters:
        try:
            chosen = page_view.job_view(parts().store, parameters["job"], parameters.get("tab"), now, not live)
        except NoSuchJob as missing:
            error = error or (None if message else str(missing))
        except JobsError as unreadable:
            error = error or str(unreadable)
    return render_template(
        "live.html" if live else "page.html",
        rows=[page_view.row_view(row, now) for row in page.rows],
        older=page.next_before,
        total=page.total,
        job=chosen,
        here=parameters,
        strip=page_view.strip_view(parts()),
        problems=parts().index.problems(),
        form=form or {},
        message=message,
        error=error,
        token=token(parts(), g.user),
        back=urlencode(parameters),
        link=_link_from(parameters),
    )


def _link_from(parameters: dict[str, str]) -> Any:
    """Return a function for templates: this page's address with some parameters changed, or left out with None."""

    def link(**changes: str | None) -> str:
        kept = {**parameters, **changes}
        query = urlencode({name: value for name, value in kept.items() if value})
        base: str = url_for("pages.show_page")
        return f"{base}?{query}" if query else base

    return link
