"""What the page shows, as plain values for the templates: rows, the chosen job, the strip of counts."""

from __future__ import annotations

import codecs
import json
from typing import Any

from flask import g

from running_jobs import logs, wording
from running_jobs.ending import signal_name
from running_jobs.files import disk_free_bytes
from running_jobs.index import Summary, summarize
from running_jobs.job import ACTIVE, IDLE, QUEUED, Job, from_iso
from running_jobs.records import duration_s, public_record
from running_jobs.store import JobStore
from running_jobs.web.parts import Parts
from running_jobs.web.results import Results, list_results
from running_jobs.web.sending import is_picture

TABS = ("log", "err", "files", "details")
SHOWN_FILES = 1000
SHOWN_PICTURES = 6


def row_view(row: Summary, now: float) -> dict[str, Any]:
    """Return what one row shows."""
    return {
        "id": row.id,
        "status": row.status.value,
        "asked": row.asked,
        "title": " ".join(row.title.split()),
        "what": row.what if row.title != row.what else None,
        "started_at": row.started_at,
        "started": _ago(row.started_at, now),
        "duration": wording.duration(_span(row, now)),
        "exit": _exit(row.exit_code, row.signal),
        "reason": row.reason,
    }


def job_view(store: JobStore, job_id: str, tab: str | None, now: float, with_log: bool) -> dict[str, Any]:
    """Return what the chosen job's panel shows. Raise NoSuchJob or UnreadableJob."""
    job = store.get(job_id)
    results = list_results(store.paths.results(job_id))
    shown_tab = tab if tab in TABS else "log"
    view = row_view(summarize(job), now)
    view.update(
        tab=shown_tab,
        tabs=TABS,
        command=job.what,
        is_final=job.is_final,
        verbs=_verbs(job),
        usage=_usage(job),
        files_total=results.total,
        files=[_file_view(file) for file in results.files[:SHOWN_FILES]] if shown_tab == "files" else [],
        pictures=_newest_pictures(results),
        facts=_facts(job) if shown_tab == "details" else [],
        err_size=_size_of(store.paths.err(job_id)),
    )
    if with_log and shown_tab in ("log", "err"):
        view.update(_log_view(store.paths.out(job_id) if shown_tab == "log" else store.paths.err(job_id)))
    return view


def _file_view(file: dict[str, Any]) -> dict[str, Any]:
    # a name with line ends or of no UTF-8 is no address that a link could hold
    reachable = file["name"].isprintable() and "\ufffd" not in file["name"]
    return {**file, "size": wording.size(file["size"]), "reachable": reachable}


def _newest_pictures(results: Results) -> list[dict[str, Any]]:
    pictures = [file for file in results.files if is_picture(file["name"]) and file["name"].isprintable()]
    return sorted(pictures, key=lambda file: (file["modified_at"], file["name"]))[-SHOWN_PICTURES:]


def strip_view(parts: Parts) -> dict[str, Any]:
    """Return the counts and what is free."""
    counts = parts.index.counts()
    slots = parts.settings.slots
    return {
        "counts": list(counts.items()),
        "slots": slots,
        "free": max(0, slots - parts.index.running()),
        "paused": parts.store.is_paused,
        "disk": wording.size(disk_free_bytes(parts.store.paths.data)),
        "user": g.user,
        "may_change": g.may_change,
    }


def _log_view(path: str) -> dict[str, Any]:
    try:
        data, start, end = logs.tail(path)
    except OSError as error:
        return {"log": f"The log cannot be read: {error.strerror}.", "log_end": 0}
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    text = decoder.decode(data)  # a character that is only half there yet is left for the next look
    return {
        "log": logs.as_on_a_terminal(text),
        "log_end": end - len(decoder.getstate()[0]),
        "skipped": wording.size(start) if start else None,
    }


def _size_of(path: str) -> str | None:
    try:
        _, _, end = logs.tail(path, 1)
    except OSError:
        return None
    return wording.size(end) if end else None


def _verbs(job: Job) -> list[str]:
    if job.status is IDLE:
        return ["start", "stop", "delete"]
    if job.status is QUEUED:
        return ["stop", "delete"]
    if job.status is ACTIVE:
        return ["stop", "kill"]
    return ["again", "delete"]


def _usage(job: Job) -> str:
    if not job.usage:
        return ""
    cpu_s, memory = job.usage.get("cpu_s"), job.usage.get("max_rss_bytes")
    shown = [f"CPU {wording.duration(cpu_s)}"] if isinstance(cpu_s, (int, float)) else []
    if isinstance(memory, (int, float)):
        shown.append(f"peak memory {wording.size(memory)}")
    return ", ".join(shown)


def _facts(job: Job) -> list[tuple[str, str]]:
    facts = []
    for name, value in public_record(job).items():
        if value not in (None, [], {}, ""):
            facts.append((name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)))
    return facts


def _span(row: Summary, now: float) -> float | None:
    dated = Job(id=row.id, status=row.status, command={}, started_at=row.started_at, ended_at=row.ended_at)
    return duration_s(dated, now)


def _ago(moment: str | None, now: float) -> str:
    try:
        return wording.ago(now - from_iso(moment)) if moment else ""
    except (ValueError, IndexError):  # edited by hand
        return ""


def _exit(code: int | None, signum: int | None) -> str:
    if signum is not None:
        return signal_name(signum)
    return "" if code is None else str(code)
