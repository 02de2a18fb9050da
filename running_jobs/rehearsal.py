"""Doing once, before any fork, what every runner is going to do.

At first use an interpreter fills its caches of attributes and rewrites its instructions. Done before the forks,
that is done once and stays shared; done after them, it costs every runner 150 kB of its own.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace

from running_jobs import files
from running_jobs.clocks import moment
from running_jobs.command_line import command_line
from running_jobs.ending import Ending, record_of
from running_jobs.errors import JobsError
from running_jobs.family import Family
from running_jobs.job import ACTIVE, QUEUED, Job
from running_jobs.processes import look_at, prepare_for_forks
from running_jobs.settings import Settings
from running_jobs.store import JobStore

ROUNDS = 8  # so often a function is called before its instructions are rewritten (CPython 3.11)


def rehearse(settings: Settings) -> None:
    """Take a job through its life in a store of its own, which is gone afterwards. On a full disk, do without."""
    prepare_for_forks()
    stage = f"{settings.data}/run/rehearsal"
    with contextlib.suppress(OSError, JobsError):
        _remove(stage)  # what one that was killed left
        store = JobStore(stage, sync=False)
        store.prepare()
        for _ in range(ROUNDS):
            _play(store, replace(settings, allowed_commands={}))  # a shell line is as good as any
        _remove(stage)


def _play(store: JobStore, settings: Settings) -> None:
    job_id = store.create(Job(id="", status=QUEUED, command={"type": "exec", "cmd": "true"}, cwd="/")).id
    job = store.get(job_id)
    lock = files.open_private(store.paths.out(job_id), os.O_RDWR | os.O_CREAT)
    files.wait_for_lock(lock, store.paths.out(job_id))
    me, now = look_at(os.getpid()), moment(store.clock())
    attempts = [*job.attempts, {"attempt": 1, "started_at": job.created_at}]
    claim = {"status": ACTIVE, "pid": os.getpid(), "pid_started": me and me.started, "attempts": attempts, "attempt": 1}
    active = store.update(job_id, lambda job: claim if job.status is QUEUED else None)
    if active is not None:
        command_line(active, store.paths, settings)
    family = Family()
    family.reap()
    usage = family.usage.as_dict()
    store.update(job_id, lambda job: record_of(Ending(wait_status=0), job, usage, now))
    os.close(lock)


def _remove(folder: str) -> None:
    for place, folders, names in os.walk(folder, topdown=False):
        for name in names:
            os.unlink(f"{place}/{name}")
        for name in folders:
            os.rmdir(f"{place}/{name}")
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(folder)
