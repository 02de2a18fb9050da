"""A job's output, errors and response, as its panel shows them. Works without scripts: parts are pages of their own."""

from __future__ import annotations

from typing import Any

from flask import url_for

from running_jobs import logs, wording
from running_jobs.web.log_lines import ShownLine
from running_jobs.web.log_parts import LogPart, part_around, part_from, part_up_to
from running_jobs.web.log_search import Found
from running_jobs.web.log_source import LogSource, merged, shortened, source_of
from running_jobs.web.shown_job import ShownJob

LABELS = {"out": "Output", "err": "Errors"}
_TABS = {"out": "log", "err": "err"}


def out_tab(shown: ShownJob) -> dict[str, Any]:
    """Return what the tab of the output shows."""
    return _tab(shown, "out", "err")


def err_tab(shown: ShownJob) -> dict[str, Any]:
    """Return what the tab of the errors shows."""
    return _tab(shown, "err", "out")


def both_tab(shown: ShownJob) -> dict[str, Any]:
    """Return what the tab of both shows: one log, or two beside each other."""
    if shown.is_update:
        return {}
    if shown.here.get("panes"):
        return {"panes": [_pane(shown, "out"), _pane(shown, "err")], "has_both": True}
    try:
        part = merged(*(_source(shown, name).end() for name in LABELS))
    except OSError as error:
        part = _unreadable(error)
    lacks_times = any(line.moment is None for line in part.rows)
    return {
        "panes": [
            {
                **_shown("both", "Output and errors", part),
                "address": url_for("log_routes.view_both", job_id=shown.job.id),
                "is_end": True,
                "files": [_file(shown, name) for name in LABELS],
            }
        ],
        "has_both": True,
        "lacks_times": lacks_times,
    }


def response_tab(shown: ShownJob) -> dict[str, Any]:
    """Return what the tab of the response shows."""
    return {"response": _response_view(shown.paths.response(shown.job.id))}


def size_of(path: str) -> str | None:
    """Say how large a log is; None if it is empty, or there is none."""
    try:
        _, _, end = logs.tail(path, 1)
    except OSError:
        return None
    return wording.size(end) if end else None


def live_pane(name: str, label: str, source: LogSource, most_lines: int | None = None) -> dict[str, Any]:
    """Return what is shown of a log's end."""
    try:
        whole = source.end()
    except OSError as error:
        whole = _unreadable(error)
    part = shortened(whole, most_lines) if most_lines else whole
    is_cut = part.start > 0 or len(part.lines) < len(whole.lines)
    return {**_shown(name, label, part), "is_end": True, "is_cut": is_cut}


def _tab(shown: ShownJob, name: str, other: str) -> dict[str, Any]:
    found = {"other": _other(shown, name, other)}
    return found if shown.is_update else {**found, "panes": [_pane(shown, name)]}


def _other(shown: ShownJob, name: str, other: str) -> dict[str, str] | None:
    """Return where something was written, if it was not here."""
    paths, job_id = shown.paths, shown.job.id
    sizes = {"out": size_of(paths.out(job_id)), "err": size_of(paths.err(job_id))}
    size = sizes[other]
    if sizes[name] or not size:
        return None
    has = "output has" if other == "out" else "errors have"
    return {"tab": _TABS[other], "here": LABELS[name].lower(), "text": f"The {has} {size}"}


def _pane(shown: ShownJob, name: str) -> dict[str, Any]:
    source, job_id = _source(shown, name), shown.job.id
    found = None
    try:
        text = shown.here.get("find", "").strip()
        if text:
            found = source.find(text, _offset(shown, "at"), _offset(shown, "upto"))
        part = _chosen_part(shown, source, found)
    except OSError as error:
        part = None if isinstance(error, FileNotFoundError) else _unreadable(error)
    seen = live_pane(name, LABELS[name], source) if part is None else _shown(name, LABELS[name], part)
    return {
        **seen,
        "address": url_for("log_routes.view", job_id=job_id, name=name),
        "files": [_file(shown, name)],
        "found": found,
    }


def _file(shown: ShownJob, name: str) -> dict[str, str]:
    return {
        "tab": _TABS[name],
        "label": LABELS[name],
        "raw": url_for(f"api.raw_{name}", job_id=shown.job.id),
        "download": url_for(f"api.raw_{name}", job_id=shown.job.id, download=1),
    }


def _chosen_part(shown: ShownJob, source: LogSource, found: Found | None) -> LogPart | None:
    """Return the part of a log that the address asks for; None if that is its end."""
    if found is not None and found.line is not None:
        return source.part(part_around, found.line, found.match)
    if found is None and (offset := _offset(shown, "at")) is not None:
        return source.part(part_from, offset)
    if found is None and (offset := _offset(shown, "upto")) is not None:
        return source.part(part_up_to, offset)
    return None


def _shown(name: str, label: str, part: LogPart) -> dict[str, Any]:
    lines, rows = part.html()
    return {
        "name": name,
        "label": label,
        "part": part,
        "lines": lines,
        "rows": rows,
        "before": wording.size(part.start) if part.start else None,
        "after": wording.size(part.size - part.end) if part.size > part.end else None,
    }


def _unreadable(error: OSError) -> LogPart:
    return LogPart(lines=[ShownLine(f"The log cannot be read: {error.strerror}.")])


def _source(shown: ShownJob, name: str) -> LogSource:
    return source_of(shown.parts.live_logs, shown.paths, shown.job.id, name)


def _offset(shown: ShownJob, name: str) -> int | None:
    return int(shown.here[name]) if name in shown.here else None


def _response_view(path: str) -> dict[str, Any]:
    try:
        data, start, _ = logs.tail(path)
    except OSError as error:
        return {"text": f"The response cannot be read: {error.strerror}.", "skipped": None}
    return {"text": data.decode(errors="replace"), "skipped": wording.size(start) if start else None}
