"""Doing once, before any fork, what every runner is going to do.

At first use an interpreter fills its caches of attributes and rewrites its instructions. Done before the forks,
that is done once and stays shared; done after them, it costs every runner hundreds of kilobytes of its own.
"""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import replace

from running_jobs import folders
from running_jobs.attempt import WAKING
from running_jobs.errors import JobsError
from running_jobs.job import ACTIVE, QUEUED, Job
from running_jobs.own_record import OwnRecord
from running_jobs.processes import look_at, prepare_for_forks
from running_jobs.runner import run_attempt
from running_jobs.settings import Settings
from running_jobs.store import JobStore

ROUNDS = 8  # so often a function is called before its instructions are rewritten (CPython 3.11)
LIMIT_S = 1.0  # for a command that does nothing
NOTHING = Job(id="", status=QUEUED, command={"type": "exec", "cmd": ":"}, cwd="/", timeout=LIMIT_S)


def rehearse(settings: Settings) -> None:
    """Run jobs that do nothing, in a store of their own that is gone afterwards. On a full disk, do without."""
    prepare_for_forks()
    stage = f"{settings.data}/run/rehearsal"
    before = signal.pthread_sigmask(signal.SIG_BLOCK, WAKING)
    try:
        folders.remove(stage)  # what one that was killed left
        store = JobStore(stage, sync=False)
        store.prepare()
        harmless = replace(settings, data=stage, allowed_commands={}, shell="/bin/sh", nice=0)  # noqa: S604
        for _ in range(ROUNDS):
            job = store.create(NOTHING)
            with contextlib.suppress(JobsError, OSError):
                run_attempt(store, harmless, job.id, store.version(job.id))
        _record_sessions(store)
        folders.remove(stage)
    except (JobsError, OSError):
        pass
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _record_sessions(store: JobStore) -> None:
    """Do what a runner does once its command has lived for a moment; those that do nothing do not."""
    me = look_at(os.getpid())
    session = {"session": me and me.pid, "session_started": me and me.started}
    job = store.create(NOTHING)
    store.update(job.id, lambda job: {"status": ACTIVE, "pid": os.getpid()})
    record = OwnRecord(store, job.id)
    for _ in range(ROUNDS):
        record.change(lambda job: session if job.pid == os.getpid() else None, tell=False)
