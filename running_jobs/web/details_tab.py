"""What is known of a job in detail: its command, its attempts, its callbacks, and all that its record holds."""

from __future__ import annotations

import json
from typing import Any

from running_jobs import http_spec, wording
from running_jobs.job import ACTIVE, Job
from running_jobs.records import duration_s, public_record
from running_jobs.summaries import summarize
from running_jobs.web.page_view import exit_text
from running_jobs.web.shown_job import ShownJob
from running_jobs.web.slurm_view import place_facts

SHOWN_APART = ("attempts", "callbacks", "placed")


def details_tab(shown: ShownJob) -> dict[str, Any]:
    """Return what the tab shows; its callbacks stand in the head of the panel, too."""
    attempts = [_attempt_view(attempt, shown.now_s) for attempt in shown.job.attempts]
    return {"attempts": attempts, "facts": _facts(shown)}


def callbacks_view(job: Job) -> list[dict[str, Any]]:
    """Return the callbacks that were made or failed, then those still to be made."""
    pending = [{"callback": name, "outcome": "pending"} for name in job.pending_callbacks]
    return [_callback_view(job, entry) for entry in [*job.callbacks, *pending]]


def _callback_view(job: Job, entry: dict[str, Any]) -> dict[str, Any]:
    name, outcome, tries, detail = (entry.get(key) for key in ("callback", "outcome", "tries", "detail"))
    after = f" after {tries} tries" if isinstance(tries, int) and tries > 1 else ""
    told = f": {detail}" if detail else ""
    return {
        "text": f"{name} {outcome}{after}{told}",
        "name": name,
        "what": _what_is_called(job, str(name)),
        "outcome": outcome,
        "tries": tries or "",
        "detail": detail or "",
        "failed": outcome not in ("made", "pending"),
    }


def _what_is_called(job: Job, name: str) -> str:
    callback = getattr(job, name, None) if name in ("callback_done", "callback_failed") else None
    if not isinstance(callback, dict):
        return ""
    return http_spec.label(callback) if "url" in callback else str(callback.get("cmd", ""))


def _attempt_view(attempt: dict[str, Any], now_s: float) -> dict[str, Any]:
    started_at, ended_at, reason = (_text_in(attempt, name) for name in ("started_at", "ended_at", "reason"))
    code, signum = (_number_in(attempt, name) for name in ("exit_code", "signal"))
    dated = Job(id="", status=ACTIVE, command={}, started_at=started_at, ended_at=ended_at)
    return {
        "number": attempt.get("attempt"),
        "started_at": started_at,
        "node": _text_in(attempt, "node"),
        "duration": wording.duration(duration_s(dated, now_s)),
        "exit": exit_text(code, signum),
        "reason": reason or "",
    }


def _text_in(record: dict[str, Any], name: str) -> str | None:
    value = record.get(name)
    return value if isinstance(value, str) else None  # else edited by hand


def _number_in(record: dict[str, Any], name: str) -> int | None:
    value = record.get(name)
    return value if isinstance(value, int) else None


def _facts(shown: ShownJob) -> list[tuple[str, str]]:
    facts = place_facts(shown.parts.slurm.now(), summarize(shown.job))
    for name, value in public_record(shown.job).items():
        if value not in (None, [], {}, "") and name not in SHOWN_APART:
            facts.append((name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)))
    return facts
