"""A live look at what a job uses."""

from __future__ import annotations

import time
from typing import Any

import psutil

from running_jobs.job import ACTIVE, Job, to_iso
from running_jobs.processes import boot_id


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
