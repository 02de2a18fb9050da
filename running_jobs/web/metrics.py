"""What there is to watch over, for Prometheus: text format 0.0.4, a bounded number of series, none for a job.

Names follow Prometheus' conventions; figures of the server's own process have the names that all its clients use.
"""

from __future__ import annotations

import contextlib
import resource
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import psutil
from flask import Blueprint, Response

import running_jobs
from running_jobs.files import disk_free_bytes
from running_jobs.job import FINAL, JobStatus, from_iso
from running_jobs.wake import dispatcher_lives
from running_jobs.web.parts import Parts, parts

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OTHERS = "(others)"  # in place of contexts that the settings do not name: anybody may make one up

Labels = Mapping[str, str]
Series = Iterable[tuple[Labels, float]]

blueprint = Blueprint("metrics", __name__)


@blueprint.get("/metrics")
def show_metrics() -> Response:
    """Answer figures of jobs, slots, dispatcher, disk and this process, for Prometheus."""
    return Response("".join(exposition(parts(), time.time())), content_type=CONTENT_TYPE)


def exposition(parts: Parts, now_s: float) -> Iterator[str]:
    """Write all figures as of now, a metric a part."""
    yield _one("running_jobs_build_info", "Which version runs here.", 1, version=running_jobs.__version__)
    yield from _of_jobs(parts, now_s)
    yield from _of_contexts(parts)
    yield from _of_the_engine(parts)
    if parts.settings.has_slurm:
        yield from _of_slurm(parts)
    yield from _of_this_process()


def _of_jobs(parts: Parts, now_s: float) -> Iterator[str]:
    (counts, is_complete), tally = parts.index.counts_so_far(), parts.index.tally()
    told = "Jobs that are kept, by status; after a start those that ended follow once all have been read."
    shown = counts if is_complete else {name: count for name, count in counts.items() if JobStatus(name) not in FINAL}
    yield _gauge("running_jobs_jobs", told, _by("status", shown))
    told = "Jobs that ended since this server began to look, by status."
    yield _counter("running_jobs_jobs_ended_total", told, _by("status", tally.ended))
    if is_complete:
        told = "Files that are named as jobs are and cannot be read."
        yield _one("running_jobs_unreadable_jobs", told, len(parts.index.problems()))
    told = "For how long the first of the queued jobs waits whose time has come and that wait for no other job."
    yield _one("running_jobs_oldest_queued_job_age_seconds", told, _age_s(tally.ready_since, now_s))


def _of_contexts(parts: Parts) -> Iterator[str]:
    slots, bounds = parts.settings.slots, parts.settings.context_slots
    running, queued = parts.index.running_by_context(), parts.index.tally().queued_by_context
    known = ["default", *bounds]
    yield _one("running_jobs_slots", "How many jobs may run at once.", slots)
    told = "How many more jobs could run now."
    yield _one("running_jobs_free_slots", told, max(0, slots - sum(running.values())))
    if bounds:
        told = "How many jobs of a context may run at once."
        yield _gauge("running_jobs_context_slots", told, _by("context", bounds))
    told = "Jobs that take a slot, by context."
    yield _gauge("running_jobs_context_running_jobs", told, _by("context", _bounded(running, known)))
    told = "Queued jobs, by context."
    yield _gauge("running_jobs_context_queued_jobs", told, _by("context", _bounded(queued, known)))


def _of_the_engine(parts: Parts) -> Iterator[str]:
    paths = parts.store.paths
    yield _one("running_jobs_dispatcher_up", "Whether a dispatcher lives: 1 or 0.", dispatcher_lives(paths))
    told = "Whether there is work for a dispatcher: 1 or 0. Without any it leaves, and is down."
    yield _one("running_jobs_dispatcher_needed", told, parts.index.has_work())
    yield _one("running_jobs_paused", "Whether nothing new is started: 1 or 0.", parts.store.is_paused)
    with contextlib.suppress(OSError):  # the directory is gone, or its disk fails
        told = "How much room is left on the data directory's disk."
        yield _one("running_jobs_disk_free_bytes", told, disk_free_bytes(paths.data))
    told = "With less room than this nothing new is started."
    yield _one("running_jobs_disk_min_free_bytes", told, parts.settings.min_free_bytes)


def _of_slurm(parts: Parts) -> Iterator[str]:
    told = parts.slurm.now()
    yield _one("running_jobs_slurm_up", "Whether Slurm answered when it was asked last: 1 or 0.", not told.problem)
    states = Counter(entry["state"].lower() for entry in told.handed_over)
    said = "Jobs that were handed over to Slurm and have not ended, by its state."
    yield _gauge("running_jobs_slurm_jobs", said, _by("state", _bounded(states, ("pending", "running"))))


def _of_this_process() -> Iterator[str]:
    process = psutil.Process()
    with process.oneshot():
        cpu, memory = process.cpu_times(), process.memory_info()
        told = "User and system CPU time of the server in seconds."
        yield _counter("process_cpu_seconds_total", told, [({}, cpu.user + cpu.system)])
        yield _one("process_resident_memory_bytes", "Memory of the server that is resident.", memory.rss)
        yield _one("process_virtual_memory_bytes", "Memory of the server that is mapped.", memory.vms)
        yield _one("process_threads", "Threads of the server.", process.num_threads())
        yield _one("process_start_time_seconds", "When the server started, since the epoch.", process.create_time())
    yield _one("process_open_fds", "Open file descriptors of the server.", process.num_fds())
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield _one("process_max_fds", "How many file descriptors the server may have open.", most)


def _age_s(since: str | None, now_s: float) -> float:
    try:
        return max(0.0, round(now_s - from_iso(since), 3)) if since else 0.0
    except (ValueError, IndexError):  # edited by hand
        return 0.0


def _bounded(counts: Mapping[str, int], known: Iterable[str]) -> dict[str, int]:
    """Return the counts of the names that are known, and those of all others together."""
    found = {**dict.fromkeys(known, 0), OTHERS: 0}
    for name, count in counts.items():
        found[name if name in found else OTHERS] += count
    return found


def _by(label: str, counts: Mapping[str, float]) -> Series:
    return [({label: name}, count) for name, count in counts.items()]


def _one(name: str, told: str, value: float, **labels: str) -> str:
    return _gauge(name, told, [(labels, value)])


def _gauge(name: str, told: str, series: Series) -> str:
    return _metric(name, "gauge", told, series)


def _counter(name: str, told: str, series: Series) -> str:
    return _metric(name, "counter", told, series)


def _metric(name: str, kind: str, told: str, series: Series) -> str:
    lines = [f"{name}{_labels(labels)} {_number(value)}" for labels, value in series]
    return "\n".join([f"# HELP {name} {told}", f"# TYPE {name} {kind}", *lines]) + "\n"


def _number(value: float) -> str:
    return repr(float(value)) if isinstance(value, float) else str(int(value))


def _labels(labels: Labels) -> str:
    said = ",".join(f'{name}="{_escaped(text)}"' for name, text in labels.items())
    return f"{{{said}}}" if said else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
