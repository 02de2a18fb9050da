"""What the chosen job's panel shows, as plain values for the templates."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from typing import Any

from running_jobs import wording
from running_jobs.job import ACTIVE, IDLE, QUEUED, WAITING, Job, from_iso
from running_jobs.settings import Settings
from running_jobs.slurm_options import FLAGS
from running_jobs.spec import EXECUTORS
from running_jobs.summaries import summarize
from running_jobs.web.chart_tab import chart_tab
from running_jobs.web.deletion import what_goes
from running_jobs.web.details_tab import callbacks_view, details_tab
from running_jobs.web.files_tab import files_head, files_tab
from running_jobs.web.launching import has_form
from running_jobs.web.live_sample import has_samples
from running_jobs.web.log_tab import both_tab, err_tab, out_tab, response_tab, size_of
from running_jobs.web.page_view import row_view
from running_jobs.web.parts import Parts
from running_jobs.web.shown_job import ShownJob
from running_jobs.web.waiting import Outlook

TABS: dict[str, Callable[[ShownJob], dict[str, Any]]] = {
    "log": out_tab,
    "err": err_tab,
    "both": both_tab,
    "response": response_tab,
    "chart": chart_tab,
    "files": files_tab,
    "details": details_tab,
}
SHOWN_OTHERS = 5
MAX_FIGURE = 1e18


def job_view(parts: Parts, outlook: Outlook, here: dict[str, str], is_whole: bool) -> dict[str, Any]:
    """Return what the panel of the job shows that `here`, the page's address, names: whole, or what changed on it.

    Raise NoSuchJob or UnreadableJob.
    """
    job = parts.store.get(here["job"])
    chosen = ShownJob(parts, job, here, outlook.now.wall_s, is_update=not is_whole)
    is_there = {"response": size_of(parts.store.paths.response(job.id)), "chart": has_samples(parts.store.paths, job)}
    shown_tab = here["tab"] if here.get("tab") in TABS else "log"
    row = summarize(job)
    outlook.learn([row])
    waiting = outlook.of(row)
    return {
        **row_view(row, outlook, parts.progresses.of([row], outlook.now.wall_s).get(row.id)),
        "tab": shown_tab,
        "tabs": [name for name in TABS if is_there.get(name, True) or shown_tab == name],
        "command": job.what,
        "is_final": job.is_final,
        "verbs": _verbs(job),
        "goes": what_goes(parts.store.paths, [job.id]).text if "delete" in _verbs(job) else "",
        "has_form": has_form(parts, job.command),
        "usage": _usage(job),
        "waiting": waiting.text if waiting else "",
        "waits_for": waiting.others[:SHOWN_OTHERS] if waiting else [],
        "waits_for_more": max(0, len(waiting.others) - SHOWN_OTHERS) if waiting else 0,
        "callbacks": callbacks_view(job),
        "change": change_texts(job, parts.settings) if job.status in WAITING else None,
        "err_size": size_of(parts.store.paths.err(job.id)),
        **files_head(chosen),
        **TABS[shown_tab](chosen),
    }


def change_texts(job: Job, settings: Settings) -> dict[str, str]:
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
        **(_slurm_texts(job, settings) if settings.has_slurm else {"executor": job.executor} if job.is_slurms else {}),
    }


def _slurm_texts(job: Job, settings: Settings) -> dict[str, str]:
    args = shlex.join(item for item in job.slurm_args or [] if isinstance(item, str))
    texts = {name: "" if getattr(job, name) is None else str(getattr(job, name)) for name in FLAGS}
    is_usual = job.executor not in EXECUTORS or job.executor == settings.executor
    return {"executor": "" if is_usual else job.executor, **texts, "slurm_args": args}


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
    cpu_s, memory = _figure(job.usage.get("cpu_s")), _figure(job.usage.get("max_rss_bytes"))
    figures = [] if cpu_s is None else [f"CPU {wording.duration(cpu_s)}"]
    if memory is not None:
        figures.append(f"peak memory {wording.size(memory)}")
    return ", ".join(figures)


def _figure(value: object) -> float | None:
    """Return a figure that can be one; None if somebody edited it by hand."""
    return value if isinstance(value, (int, float)) and 0 <= value < MAX_FIGURE else None


def _number(value: float) -> str:
    return f"{value:.15g}"


def _local(moment: str) -> str:
    """Return a moment as a field for local times holds it: seconds only where there are some (HTML, 2.3.5.5)."""
    there = time.localtime(from_iso(moment))
    return time.strftime("%Y-%m-%dT%H:%M:%S" if there.tm_sec else "%Y-%m-%dT%H:%M", there)
