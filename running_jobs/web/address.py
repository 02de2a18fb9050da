"""What the page's address says: which jobs are listed, which one is chosen, what of it is shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode

from flask import g, redirect, url_for
from werkzeug.wrappers import Response as AnyResponse

from running_jobs.clocks import read_since, read_until
from running_jobs.errors import InvalidJob
from running_jobs.job import JobStatus, is_job_id
from running_jobs.saved import is_saved_id
from running_jobs.web.auth import seal
from running_jobs.web.parts import parts

MAX_OFFSET_DIGITS = 15
MAX_TEXT = 500
MAX_NAME = 12_000  # of a file, with its folders


def _is_short(text: str) -> bool:
    return len(text) <= MAX_TEXT  # it stands in every link of the page


def _is_a_name(text: str) -> bool:
    return len(text) <= MAX_NAME


def _is_status(text: str) -> bool:
    return text in [status.value for status in JobStatus]


def _is_offset(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= MAX_OFFSET_DIGITS


def _is_since(text: str) -> bool:
    return _can_be_read(lambda: read_since("since", text, 0.0))


def _is_until(text: str) -> bool:
    return _can_be_read(lambda: read_until("until", text))


def _can_be_read(read: Callable[[], str]) -> bool:
    try:
        read()
    except InvalidJob:
        return False
    return True


PAGE_PARAMETERS: dict[str, Callable[[str], bool]] = {
    # the list
    "status": _is_status,
    "context": _is_short,
    "q": _is_short,
    "since": _is_since,
    "until": _is_until,
    "before": is_job_id,
    # the chosen job
    "job": is_job_id,
    "tab": _is_short,
    "file": _is_a_name,
    "files": _is_offset,
    "pictures": _is_offset,
    "at": _is_offset,
    "upto": _is_offset,
    "find": _is_short,
    "panes": _is_offset,
    # launching
    "run": _is_short,
    "of": _is_short,
    "code": _is_short,
    "like": is_job_id,
    "kept": is_saved_id,
}  # fmt: skip
# what is said of the chosen job, and means nothing for another one
OF_A_JOB = ("tab", "file", "files", "pictures", "at", "upto", "find", "panes")


def page_parameters(pairs: Any) -> dict[str, str]:
    """Keep what the page knows, if it can be true: anything else in an address is passed over."""
    return {name: value for name, value in pairs if value and name in PAGE_PARAMETERS and PAGE_PARAMETERS[name](value)}


def back_of(form: dict[str, str]) -> dict[str, str]:
    """Return the page's parameters as they were where a form was shown."""
    return page_parameters(parse_qsl(form.get("back", "")))


def to_page(parameters: dict[str, str]) -> AnyResponse:
    """Send the browser back to the page after a form was posted, with the seal of what it is to say there."""
    if parameters.get("said"):
        parameters = {**parameters, "seal": seal(parts(), g.user, parameters)}
    query = urlencode({name: value for name, value in parameters.items() if value})
    return redirect(f"{url_for('pages.show_page')}?{query}", 303)


def link_from(parameters: dict[str, str]) -> Callable[..., str]:
    """Return a function for templates: this page's address with some parameters changed, or left out with None.

    What is said of the chosen job is left out where another one, or another tab of it, is chosen.
    """

    base: str = url_for("pages.show_page")
    encoded = {name: urlencode({name: value}) for name, value in parameters.items() if value}

    def link(**changes: str | None) -> str:
        gone: dict[str, str | None] = {}
        if "job" in changes or "tab" in changes:
            gone = dict.fromkeys(OF_A_JOB)
        if changes.get("job"):
            gone["code"] = None  # a job takes the editor's place
        changed = {name: urlencode({name: value}) if value else "" for name, value in {**gone, **changes}.items()}
        query = "&".join(filter(None, {**encoded, **changed}.values()))
        return f"{base}?{query}" if query else base

    return link
