"""What the page shows around the chosen job, as plain values for the templates: rows, the strip of counts, the logs."""

from __future__ import annotations

from typing import Any

from flask import g, url_for

from running_jobs import wording
from running_jobs.ending import signal_name
from running_jobs.job import FINAL, Job, from_iso
from running_jobs.records import duration_s
from running_jobs.summaries import Summary
from running_jobs.web.log_source import LogSource
from running_jobs.web.log_tab import live_pane
from running_jobs.web.parts import Parts
from running_jobs.web.slurm_view import place_marks, problem_view
from running_jobs.web.waiting import Outlook

SHOWN_LINES = 100
SHOWN_CONTEXT = 60  # characters; Details have all of it
DEFAULT_CONTEXT = "default"
DEFAULT_PRIORITY = 500


def row_view(row: Summary, outlook: Outlook, progress: dict[str, Any] | None) -> dict[str, Any]:
    """Return what one row shows; `progress` is that of the job, if it is known."""
    now_s = outlook.now.wall_s
    waiting = outlook.of(row)
    attempts = (row.attempt, max(row.retries + 1, row.attempt)) if row.attempt and row.retries + row.attempt > 1 else ()
    never_ran = row.reason if row.status in FINAL and not row.attempt else None
    return {
        "id": row.id,
        "status": row.status.value,
        "asked": row.asked,
        "title": " ".join(row.title.split()),
        "what": row.what if row.title != row.what else None,
        "started_at": row.started_at,
        "started": _ago(row.started_at, now_s),
        "waiting": waiting.in_short if waiting else never_ran or "",
        "not_before": row.not_before,
        "progress": progress,
        "duration": wording.duration(_span(row, now_s)),
        "exit": exit_text(row.exit_code, row.signal),
        "reason": row.reason,
        "context": row.context,
        "has_run": row.attempt > 0,
        "has_context": row.context != DEFAULT_CONTEXT,
        "priority": row.priority,
        "attempt": "/".join(map(str, attempts)),
        "place": place_marks(outlook.told, row),
        "marks": _marks(row) + ([f"attempt {attempts[0]} of {attempts[1]}"] if attempts else []),
    }


def _marks(row: Summary) -> list[str]:
    marks = [] if row.context == DEFAULT_CONTEXT else [f"context {row.context[:SHOWN_CONTEXT]}"]
    return marks if row.priority == DEFAULT_PRIORITY else [*marks, f"priority {row.priority}"]


def strip_view(parts: Parts, outlook: Outlook) -> dict[str, Any]:
    """Return the counts, what is free, and what keeps jobs from starting."""
    counts, are_complete = parts.index.counts_so_far()
    return {
        "counts": list(counts.items()),
        "still_counted": set() if are_complete else {status.value for status in FINAL},
        "slots": outlook.slots,
        "free": outlook.free_slots,
        "paused": outlook.is_paused,
        "drained": outlook.is_paused and outlook.runs_nothing,
        "disk": wording.size(outlook.free_bytes),
        "host": parts.host.figures(),
        "least": wording.size(outlook.least_bytes) if outlook.lacks_room else None,
        "slurm": problem_view(outlook.told, parts.settings, parts.index.has_work(on_slurm=True)),
        "user": g.user,
        "may_change": g.may_change,
    }


def logs_view(parts: Parts) -> list[dict[str, Any]]:
    """Return the last lines of the logs of all jobs."""
    found = []
    for key, title, path in (
        ("changes", "Log of changes", parts.store.paths.journal),
        ("failures", "Log of errors", parts.store.paths.errors),
    ):
        pane = live_pane(key, title, LogSource(parts.live_logs, path), SHOWN_LINES)
        found.append({**pane, "address": url_for("log_routes.view_all", key=key)})
    return found


def exit_text(code: int | None, signum: int | None) -> str:
    """Say an exit code, or the signal that ended it."""
    if signum is not None:
        return signal_name(signum)
    return "" if code is None else str(code)


def _span(row: Summary, now_s: float) -> float | None:
    dated = Job(id=row.id, status=row.status, command={}, started_at=row.started_at, ended_at=row.ended_at)
    return duration_s(dated, now_s)


def _ago(moment: str | None, now_s: float) -> str:
    try:
        return wording.ago(now_s - from_iso(moment)) if moment else ""
    except (ValueError, IndexError):  # edited by hand
        return ""
