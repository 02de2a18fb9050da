"""What the command line prints: records, logs as they grow. Changes nothing."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

import click

from running_jobs import logs
from running_jobs.actions import Actions
from running_jobs.errors import NoSuchJob
from running_jobs.job import Job, JobStatus
from running_jobs.records import public_record
from running_jobs.store import JobStore

LOOK_EVERY_S = (0.01, 0.25)  # at first, and at most: twice as long each time nothing came


def print_json(value: Any) -> None:
    """Print JSON for a person or a program."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    click.echo(text.encode(errors="backslashreplace").decode())  # half a surrogate pair is escaped as JSON does


def print_records(jobs: Iterable[Job], as_json: bool, line: Callable[[Job], str]) -> None:
    """Print each job as a line, or all as a JSON list of records."""
    if as_json:
        print_json([public_record(job) for job in jobs])
    else:
        for job in jobs:
            click.echo(line(job))


def print_log(store: JobStore, job_id: str, err: bool, follow: bool, lines: int | None) -> None:
    """Copy a log to stdout byte by byte, its last lines only if asked; go on until the job ends if asked."""
    path = store.paths.err(job_id) if err else store.paths.out(job_id)
    offset = 0 if lines is None else _offset_of_last(path, lines)
    copy = _Copy(path, sys.stdout.buffer, offset)
    if not follow:
        copy.go_on()
    elif not store.get(job_id).is_final:
        _follow(store, job_id, [copy])
    else:
        copy.go_on()


def _offset_of_last(path: str, lines: int) -> int:
    data, start, end = logs.tail(path, logs.LINES_BYTES)
    return end if lines == 0 else start + logs.last_lines_start(data, lines)


def follow_to_end(actions: Actions, job_id: str) -> int:
    """Copy a job's out and err through until it ends, and return the exit code to end with."""
    paths = actions.store.paths
    copies = [_Copy(paths.out(job_id), sys.stdout.buffer), _Copy(paths.err(job_id), sys.stderr.buffer)]
    try:
        job = _follow(actions.store, job_id, copies, actions.ensure_dispatcher)
    except BrokenPipeError:
        _say_it_goes_on(job_id)
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for the interpreter's last flush
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        _say_it_goes_on(job_id)
        return 128 + signal.SIGINT
    except NoSuchJob as error:
        click.echo(f"Error: {error}", err=True)
        return 1
    if job.status is not JobStatus.DONE:
        click.echo(f"Job {job_id} {job.status}: {job.reason}", err=True)
    if job.signal is not None:
        return 128 + job.signal
    return job.exit_code or int(
        job.status is not JobStatus.DONE
    )  # a command that ends well after its time is no success


def _say_it_goes_on(job_id: str) -> None:
    hint = f"`app.py log -f {job_id}` follows it, `app.py stop {job_id}` ends it."
    click.echo(f"\nJob {job_id} goes on. {hint}", err=True)


class _Copy:
    """Copies what is appended to a file, from an offset on."""

    def __init__(self, path: str, target: Any, offset: int = 0) -> None:
        self.path, self.target, self.offset = path, target, offset

    def go_on(self) -> bool:
        """Copy what is there now; return whether it was anything."""
        before = self.offset
        while True:
            data, self.offset = logs.since(self.path, self.offset)
            if not data:
                self.target.flush()
                return self.offset > before
            self.target.write(data)


def _follow(store: JobStore, job_id: str, copies: list[_Copy], watch: Callable[[], None] | None = None) -> Job:
    pause_s = LOOK_EVERY_S[0]
    watch_at = time.monotonic() + 1
    while True:
        job = store.get(job_id)  # before the logs are read: what a final job wrote is all there
        moved = [copy.go_on() for copy in copies]
        if job.is_final:
            return job
        if watch and time.monotonic() > watch_at:
            watch()  # whatever happened to the dispatcher: this job is waited for
            watch_at = time.monotonic() + 1
        pause_s = LOOK_EVERY_S[0] if any(moved) else min(pause_s * 2, LOOK_EVERY_S[1])
        time.sleep(pause_s)
