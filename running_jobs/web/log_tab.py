"""A job's output, errors and response, as its panel shows them."""

from __future__ import annotations

from typing import Any

from running_jobs import logs, wording
from running_jobs.web.page_view import shown
from running_jobs.web.shown_job import ShownJob


def out_tab(shown_job: ShownJob) -> dict[str, Any]:
    """Return what the tab of the output shows."""
    return {} if shown_job.is_update else _log_view(shown_job.paths.out(shown_job.job.id))


def err_tab(shown_job: ShownJob) -> dict[str, Any]:
    """Return what the tab of the errors shows."""
    return {} if shown_job.is_update else _log_view(shown_job.paths.err(shown_job.job.id))


def response_tab(shown_job: ShownJob) -> dict[str, Any]:
    """Return what the tab of the response shows."""
    return {"response": _response_view(shown_job.paths.response(shown_job.job.id))}


def size_of(path: str) -> str | None:
    """Say how large a log is; None if it is empty, or there is none."""
    try:
        _, _, end = logs.tail(path, 1)
    except OSError:
        return None
    return wording.size(end) if end else None


def _log_view(path: str) -> dict[str, Any]:
    try:
        data, start, end = logs.tail(path)
    except OSError as error:
        return {"log": f"The log cannot be read: {error.strerror}.", "log_end": 0}
    text, shown_end = shown(data, end)
    return {
        "log": logs.as_on_a_terminal(text),
        "log_end": shown_end,
        "skipped": wording.size(start) if start else None,
    }


def _response_view(path: str) -> dict[str, Any]:
    try:
        data, start, _ = logs.tail(path)
    except OSError as error:
        return {"text": f"The response cannot be read: {error.strerror}.", "skipped": None}
    return {"text": data.decode(errors="replace"), "skipped": wording.size(start) if start else None}
