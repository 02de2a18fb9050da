"""The files a job left in its results folder, and a live look at what it uses. Follows no link."""

from __future__ import annotations

import os
import stat
import time
from typing import Any, NamedTuple

import psutil

from running_jobs.job import ACTIVE, Job, to_iso
from running_jobs.processes import boot_id

MAX_FILES = 10_000


class Results(NamedTuple):
    """The files below a results folder, each `{"name", "size", "modified_at"}`; `total` counts those cut off too."""

    files: list[dict[str, Any]]
    total: int


def list_results(folder: str) -> Results:
    """Return the regular files below a folder, at most the first 10,000 with their sizes and times."""
    found: list[dict[str, Any]] = []
    total = 0
    for place, folders, names in os.walk(folder):
        folders.sort()
        total += len(names)
        for name in sorted(names):
            if len(found) == MAX_FILES:
                break
            path = os.path.join(place, name)
            try:
                status = os.stat(path, follow_symlinks=False)
            except OSError:  # removed while we looked
                total -= 1
                continue
            if not stat.S_ISREG(status.st_mode):
                total -= 1
                continue
            shown = os.path.relpath(path, folder).encode(errors="surrogateescape").decode(errors="replace")
            found.append({"name": shown, "size": status.st_size, "modified_at": to_iso(status.st_mtime)})
    return Results(found, total)


def live_sample(job: Job) -> list[dict[str, Any]]:
    """Return `[{"at", "cpu_s", "rss_bytes", "processes"}]` of an active job's processes now; [] if it is not active."""
    if job.status is not ACTIVE or job.runs_elsewhere or not job.pid or job.boot_id != boot_id():
        return []
    try:
        processes = psutil.Process(job.pid).children(recursive=True)
    except psutil.Error:
        return []
    cpu_s, rss_bytes, count = 0.0, 0, 0
    for process in processes:
        try:
            with process.oneshot():
                times = process.cpu_times()
                cpu_s += times.user + times.system
                rss_bytes += process.memory_info().rss
                count += 1
        except psutil.Error:  # it ended while we looked
            continue
    return [{"at": to_iso(time.time()), "cpu_s": round(cpu_s, 2), "rss_bytes": rss_bytes, "processes": count}]
