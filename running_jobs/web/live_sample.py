"""The samples of a job, and for one that runs a look at what it uses at this moment."""

from __future__ import annotations

import os
import time

from running_jobs import samples
from running_jobs.job import ACTIVE, Job
from running_jobs.paths import JobPaths
from running_jobs.processes import is_alive
from running_jobs.samples import Sample
from running_jobs.sampling import all_children, read_member, usage_below


def samples_of(paths: JobPaths, job: Job) -> list[Sample]:
    """Return the samples that were kept of a job, and if it is active what its processes use now as the last."""
    if job.runs_elsewhere:
        return []
    kept = samples.read(paths.stats(job.id))
    now = _live_sample(paths, job, kept)
    return kept if now is None else [*kept, now]


def has_samples(paths: JobPaths, job: Job) -> bool:
    """Say whether there is or will soon be something to show."""
    return not job.runs_elsewhere and (job.status is ACTIVE or os.path.lexists(paths.stats(job.id)))


def _live_sample(paths: JobPaths, job: Job, kept: list[Sample]) -> Sample | None:
    if job.is_slurms:  # its pid is one of another machine
        return None
    if job.status is not ACTIVE or not job.pid or not is_alive(job.pid, job.pid_started, job.boot_id):
        return None
    runner = read_member(job.pid)
    if runner is None:
        return None
    usage = usage_below(runner, all_children(), job.cpu_before_s or 0.0)
    so_far = kept[-1]["cpu_s"] if kept and kept[-1]["attempt"] == job.attempt else 0.0
    summed = usage._replace(cpu_s=max(so_far, usage.cpu_s))
    return samples.taken(paths, job.id, job.attempt, summed, time.time)
