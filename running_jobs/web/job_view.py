"""What the chosen job's panel shows, as plain values for the templates."""

from __future__ import annotations

import json
import time
from typing import Any

from running_jobs import http_spec, logs, wording
from running_jobs.index import summarize
from running_jobs.job import ACTIVE, IDLE, QUEUED, WAITING, Job, from_iso
from running_jobs.records import duration_s, public_record
from running_jobs.web.page_view import exit_text, row_view, shown
from running_jobs.web.parts import Parts
from running_jobs.web.results import Results, list_results
from running_jobs.web.sending import is_picture
from running_jobs.web.waiting import Outlook

TABS = ("log", "err", "response", "files", "details")
SHOWN_FILES = 1000
SHOWN_PICTURES = 6
SHOWN_OTHERS = 5
IN_TABLES = ("attempts", "callbacks")


def job_view(parts: Parts, outlook: Outlook, job_id: str, tab: str | None, with_log: bool) -> dict[str, Any]:
    """Return what the chosen job's panel shows. Raise NoSuchJob or UnreadableJob."""
    job = parts.store.get(job_id)
    paths = parts.store.paths
    results = list_results(paths.results(job_id))
    shown_tab = tab if tab in TABS else "log"
    response_size = _size_of(paths.response(job_id))
    row = summarize(job)
    outlook.learn([row])
    waiting = outlook.of(row)
    view = row_view(row, outlook)
    view.update(
        tab=shown_tab,
        tabs=[name for name in TABS if name != "response" or response_size or shown_tab == name],
        command=job.what,
        is_final=job.is_final,
        verbs=_verbs(job),
        usage=_usage(job),
        waiting=waiting.text if waiting else "",
        waits_for=waiting.others[:SHOWN_OTHERS] if waiting else [],
        waits_for_more=max(0, len(waiting.others) - SHOWN_OTHERS) if waiting else 0,
        callbacks=callbacks_view(job),
        change=change_texts(job) if job.status in WAITING else None,
        files_total=results.total,
        files=[_file_view(file) for file in results.files[:SHOWN_FILES]] if shown_tab == "files" else [],
        pictures=_newest_pictures(results),
        facts=_facts(job) if shown_tab == "details" else [],
        attempts=_attempts(job, outlook.now.wall_s) if shown_tab == "details" else [],
        response=_response_view(paths.response(job_id)) if shown_tab == "response" else None,
        err_size=_size_of(paths.err(job_id)),
    )
    if with_log and shown_tab in ("log", "err"):
        view.update(_log_view(paths.out(job_id) if shown_tab == "log" else paths.err(job_id)))
    return view


def change_texts(job: Job) -> dict[str, str]:
    """Return what the fields of the form that changes a job hold at first, each as its field would send it back."""
    named = job.not_before is not None and job.timer is None
    return {
        "name": " ".join((job.name or "").splitlines()),
        "context": " ".join(job.context.splitlines()),
        "priority": str(job.priority),
        "delay": _number(job.delay) if job.delay and not named else "",
        "at": _local(job.not_before) if named and job.not_before else "",
        "after": " ".join(job.after),
        "retries": str(job.retries),
        "retry_delay": _number(job.retry_delay),
        "timeout": _number(job.timeout),
    }


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


def _attempts(job: Job, now_s: float) -> list[dict[str, Any]]:
    return [_attempt_view(attempt, now_s) for attempt in job.attempts]


def _attempt_view(attempt: dict[str, Any], now_s: float) -> dict[str, Any]:
    started_at, ended_at, reason = (_text_in(attempt, name) for name in ("started_at", "ended_at", "reason"))
    code, signum = (_number_in(attempt, name) for name in ("exit_code", "signal"))
    dated = Job(id="", status=ACTIVE, command={}, started_at=started_at, ended_at=ended_at)
    return {
        "number": attempt.get("attempt"),
        "started_at": started_at,
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


def _file_view(file: dict[str, Any]) -> dict[str, Any]:
    # a name with line ends or of no UTF-8 is no address that a link could hold
    reachable = file["name"].isprintable() and "\ufffd" not in file["name"]
    return {**file, "size": wording.size(file["size"]), "reachable": reachable}


def _newest_pictures(results: Results) -> list[dict[str, Any]]:
    pictures = [file for file in results.files if is_picture(file["name"]) and file["name"].isprintable()]
    return sorted(pictures, key=lambda file: (file["modified_at"], file["name"]))[-SHOWN_PICTURES:]


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
    figures = [f"CPU {wording.duration(cpu_s)}"] if isinstance(cpu_s, (int, float)) else []
    if isinstance(memory, (int, float)):
        figures.append(f"peak memory {wording.size(memory)}")
    return ", ".join(figures)


def _facts(job: Job) -> list[tuple[str, str]]:
    facts = []
    for name, value in public_record(job).items():
        if value not in (None, [], {}, "") and name not in IN_TABLES:
            facts.append((name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)))
    return facts


def _number(value: float) -> str:
    return f"{value:.15g}"


def _local(moment: str) -> str:
    """Return a moment as a field for local times holds it: seconds only where there are some (HTML, 2.3.5.5)."""
    there = time.localtime(from_iso(moment))
    return time.strftime("%Y-%m-%dT%H:%M:%S" if there.tm_sec else "%Y-%m-%dT%H:%M", there)
