"""Rendering the page: what was said, and all that it shows."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from flask import g, render_template, request

from running_jobs import spec
from running_jobs.clocks import local_zone
from running_jobs.errors import InvalidJob, JobsError, NoSuchJob, NoSuchWorker
from running_jobs.web import filling, page_view
from running_jobs.web.address import link_from
from running_jobs.web.auth import token
from running_jobs.web.editor import Draft, editor_view
from running_jobs.web.fields import FREE, PARAMETER
from running_jobs.web.finding import filter_view, page_title
from running_jobs.web.forms import CHANGEABLE
from running_jobs.web.job_view import job_view
from running_jobs.web.launching import launch_view
from running_jobs.web.parts import parts
from running_jobs.web.reading import filter_of
from running_jobs.web.waiting import Outlook

NOT_SEEN = {"token", "back", "hold", "worker", "class", "method", "approved"}  # fields that nobody types into
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
    "saved": "The worker was saved. Jobs that are queued or running keep the code that they were queued with.",
    "saved-but": "The worker was saved. Something is wrong with it: its page says what.",
    "worker-deleted": "The worker was deleted.",
    "kept": "The command was kept.",
    "kept-deleted": "The kept command was deleted. Its jobs stay.",
}


def render_page(
    parameters: dict[str, str],
    message: str | None = None,
    error: JobsError | None = None,
    form: dict[str, str] | None = None,
    change: dict[str, str] | None = None,
    draft: Draft | None = None,
    question: dict[str, Any] | None = None,
) -> str:
    """Render the page; `form`, `change` and `draft` are what forms held, to be shown again because of the error.

    `question` is what is asked before selected jobs are deleted.
    """
    parts().store.refuse_if_gone()
    page = parts().index.page(filter_of(parameters), parameters.get("before"))
    outlook = Outlook(parts())
    outlook.learn(page.rows)
    progress = parts().progresses.of(page.rows, outlook.now.wall_s)
    live = request.args.get("part") == "live"
    forms: dict[str, Any] = {"editor": None, "filled": None, "launch": None, "kept": None, "form": form or {}}
    if g.may_change and not live:
        forms, error = _forms_view(parameters, form, draft, error)
    chosen = None
    if "job" in parameters and forms["editor"] is None:
        try:
            chosen = job_view(parts(), outlook, parameters, not live)
        except NoSuchJob as missing:  # gone since: what was said of it then is not true any more
            error, message = error or missing, None
        except JobsError as unreadable:
            error = error or unreadable
    strip = page_view.strip_view(parts(), outlook)
    return render_template(
        "live.html" if live else "page.html",
        rows=[page_view.row_view(row, outlook, progress.get(row.id)) for row in page.rows],
        older=page.next_before,
        total=page.total,
        job=chosen,
        here=parameters,
        strip=strip,
        filter=None if live else filter_view(parts(), parameters),
        page_title=page_title(strip, chosen, "" if error is None else str(error)),
        question=question,
        logs=[] if live else page_view.logs_view(parts()),
        settings=parts().settings,
        zone=local_zone(outlook.now.wall_s),
        problems=parts().index.problems(),
        options_are_given=_options_are_given(forms["form"]),
        change=change,
        message=message,
        error="" if error is None else str(error),
        wrong=_wrong_field(error, forms, change),
        is_refused=error is not None and request.method == "POST",
        token=token(parts(), g.user),
        back=urlencode(parameters),
        link=link_from(parameters),
        **forms,
    )


def _forms_view(
    parameters: dict[str, str], form: dict[str, str] | None, draft: Draft | None, error: JobsError | None
) -> tuple[dict[str, Any], JobsError | None]:
    """Return the forms to launch and to edit with, and what is wrong: of several errors the first."""
    editor = editor_view(parts(), parameters.get("code"), draft)
    if "code" in parameters and not editor and not error:
        error = NoSuchWorker(parameters["code"])
    filled = None
    if form is None:
        filled, unfilled = filling.filled_form(parts(), parameters)
        form, error = (filled.form if filled else None), error or unfilled
    launch = launch_view(parts(), parameters.get("run"), parameters.get("of"), form)
    kept = filling.kept_view(parts())
    return {"editor": editor, "filled": filled, "launch": launch, "kept": kept, "form": form or {}}, error


def _wrong_field(error: JobsError | None, forms: dict[str, Any], change: dict[str, str] | None) -> str | None:
    """Return the id of the field that an error is about; None if that is none of the page's."""
    editor, launch, form = forms["editor"], forms["launch"], forms["form"]
    if editor and editor["wrong"]:
        return str(editor["wrong"])
    named = error.field if isinstance(error, InvalidJob) else ""
    if change is not None:
        return f"set-{named}" if named in CHANGEABLE else None
    if launch is None or not form:
        return None
    chosen = launch["chosen"] or {"fields": []}
    fields = {*form, *(field["name"] for field in chosen["fields"])} - NOT_SEEN
    first, _, rest = named.partition(".")
    own = {"parameters": f"{PARAMETER}{rest}", "command": rest if rest in FREE else ""}.get(first, named)
    return next((name for name in (own, first) if name in fields), None)


def _options_are_given(form: dict[str, str]) -> bool:
    """Say whether a form that is shown again has something in the fields that are folded away at first."""
    return any(text.strip() for name, text in form.items() if name in spec.OPTIONS and name not in ("name", "command"))
