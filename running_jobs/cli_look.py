"""What the command line prints of jobs and of their data directory: lists, one job, how it stands. Changes nothing.

Apart from `cli_output`, so that nothing of this is imported for `run`, whose start it would hold up.
"""

from __future__ import annotations

import json
import shutil
import time

import click

from running_jobs import holdups, placements, wording
from running_jobs.actions import Actions
from running_jobs.cli_output import print_json, print_records
from running_jobs.clocks import moment, seconds_left
from running_jobs.errors import JobsError, NoSuchJob, UnreadableJob
from running_jobs.files import disk_free_bytes
from running_jobs.housekeeping import has_work
from running_jobs.index import JobFilter
from running_jobs.job import Job, JobStatus
from running_jobs.placements import Told
from running_jobs.records import duration_s, public_record
from running_jobs.store import JobStore
from running_jobs.summaries import Summary, summarize
from running_jobs.wake import dispatcher_lives


def print_list(store: JobStore, wanted: JobFilter, limit: int, as_json: bool) -> None:
    """Print the newest jobs that fit."""
    found: list[Job] = []
    for job_id in reversed(store.ids()):
        try:
            job = store.get(job_id)
        except NoSuchJob:
            continue
        except UnreadableJob as error:
            click.echo(f"Warning: {error}", err=True)
            continue
        if wanted.fits(summarize(job)):
            found.append(job)
            if len(found) == limit:
                break
    print_records(found, as_json, _row)


def _row(job: Job) -> str:
    width = max(20, shutil.get_terminal_size((100, 24)).columns - 60)
    attempt = f"({job.attempt}/{job.retries + 1}) " if job.retries or job.attempt > 1 else ""
    context = "" if job.context == "default" else f"[{job.context}] "
    shown = wording.harmless(" ".join(f"{attempt}{context}{job.name or job.what}".split()))
    code = "" if job.exit_code is None else str(job.exit_code)
    return f"{job.id}  {job.status:<6}  {job.priority:>6}  {code:>4}  {_when(job):>11}  {shown[:width]}"


def _when(job: Job) -> str:
    """Say how long a job runs or ran, or when it may start."""
    if job.status is JobStatus.QUEUED:
        if left_s := seconds_left(job.not_before, job.timer, moment()):
            return f"in {wording.duration(left_s)}"
        return "after others" if job.after else ""
    return _duration(job)


def _duration(job: Job) -> str:
    return wording.duration(duration_s(job, time.time()))


def print_job(actions: Actions, job: Job, as_json: bool) -> None:
    """Print all that is known of a job."""
    paths = actions.store.paths
    if as_json:
        print_json(public_record(job))
        return
    for name, value in public_record(job).items():
        if value not in (None, [], {}):
            shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            click.echo(f"{name:<16} {wording.harmless(shown)}")
    if said := _of_slurm(actions, summarize(job)):
        click.echo(f"{'slurm':<16} {said}")
    click.echo(f"{'logs':<16} {paths.out(job.id)} {paths.err(job.id)}")


def _of_slurm(actions: Actions, row: Summary) -> str:
    """Say why a job that was handed over to Slurm waits, and under which id; or that there is no Slurm to wait for."""
    store, settings = actions.store, actions.settings
    told = placements.read(store.paths)
    entry = holdups.entry_of(told, row)
    if entry is None and (settings.has_slurm or not row.is_slurms or row.status is not JobStatus.QUEUED):
        return ""
    held = holdups.held(store.is_paused, disk_free_bytes(store.paths.data) < settings.min_free_bytes)
    why = holdups.in_slurm(told, row, settings, held)
    if entry is None or not entry["id"] or not settings.has_slurm:
        return why
    return f"job {wording.harmless(entry['id'])} {why}"


def _dispatcher(store: JobStore) -> str:
    if dispatcher_lives(store.paths):
        return "running"
    return "missing" if has_work(store) else "not needed"


def print_status(actions: Actions, as_json: bool) -> None:
    """Print counts, slots, the dispatcher and the disk."""
    store = actions.store
    counts = dict.fromkeys((status.value for status in JobStatus), 0)
    unreadable = slots_taken = 0
    for job_id in store.ids():
        try:
            job = store.get(job_id)
        except JobsError:
            unreadable += 1
            continue
        counts[job.status.value] += 1
        slots_taken += job.status is JobStatus.ACTIVE and not job.is_slurms
    told = placements.read(store.paths) if actions.settings.has_slurm else Told()
    free_bytes = disk_free_bytes(store.paths.data)
    is_low = free_bytes < actions.settings.min_free_bytes
    found = {
        "jobs": counts,
        "unreadable": unreadable,
        "slots": actions.settings.slots,
        "free_slots": max(0, actions.settings.slots - slots_taken),
        "paused": store.is_paused,
        "dispatcher": _dispatcher(store),
        "disk_free_bytes": free_bytes,
        "disk_low": is_low,
        "data": store.paths.data,
    }
    if actions.settings.has_slurm:
        jobs = len(told.handed_over)
        found["slurm"] = {"problem": told.problem, "since": told.since, "answered_at": told.at, "jobs": jobs}
    if as_json:
        print_json(found)
        return
    click.echo("jobs        " + ", ".join(f"{count} {name}" for name, count in counts.items()))
    if unreadable:
        click.echo(f"unreadable  {unreadable}")
    click.echo(f"slots       {found['free_slots']} of {found['slots']} free{', paused' if found['paused'] else ''}")
    click.echo(f"dispatcher  {found['dispatcher']}")
    if told.problem:
        click.echo(f"slurm       out of reach since {told.since}: {wording.harmless(told.problem)}")
    low = ", less than min_free_bytes: nothing new starts" if is_low else ""
    click.echo(f"disk        {wording.size(free_bytes)} free in {store.paths.data}{low}")
