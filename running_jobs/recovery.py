"""What becomes of a job whose runner died: its leftovers are ended, and it is declared lost, or tried again.

Whoever declares a job lost holds its lock while doing so: no runner can be starting, no other
prober can be at it, and what the runner wrote last has been seen.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

from running_jobs import files
from running_jobs.clocks import Moment, moment
from running_jobs.command_line import logs_of, marks_of
from running_jobs.ending import end_fields, next_attempt
from running_jobs.errors import NOT_OURS, JobsError
from running_jobs.job import ACTIVE, ERROR, Job
from running_jobs.processes import boot_id, end_all, is_alive, leftovers, look_at
from running_jobs.store import JobStore

END_WAIT_S = 2.0
LOST = "lost: its runner died or the machine restarted"


def declare_lost(store: JobStore, job_id: str) -> bool:
    """End what is left of an active job without a runner and record it as lost.

    Return True if its runner lives after all, False otherwise. Raise JobsError or OSError if it
    could not be recorded; the job is still active then.
    """
    lock = _open_own_lock(store.paths.out(job_id))
    try:
        if lock is not None and not files.try_lock(lock):
            return True
        job = store.get(job_id)
        if job.status is not ACTIVE:
            return False  # its runner wrote the end, and then it died
        if is_alive(job.pid, job.pid_started, job.boot_id):
            return True  # its log was replaced by hand: the lock is gone, the runner is not
        stuck = _end_leftovers(store, job)

        def decide(now: Job) -> dict[str, Any] | None:
            return _lost(now, stuck, moment(store.clock())) if (now.status, now.pid) == (ACTIVE, job.pid) else None

        store.update(job_id, decide)
        with contextlib.suppress(OSError):
            os.rmdir(store.paths.results(job_id))  # only goes if it is empty
        return False
    finally:
        if lock is not None:
            os.close(lock)


def settle(store: JobStore, job_id: str) -> bool:
    """Declare a job without a living runner lost. Return True if that cannot be said for certain now."""
    try:
        return declare_lost(store, job_id)
    except (JobsError, OSError) as error:
        store.note_error(f"{job_id}: looks lost, trying again: {error}")
        return True


def _open_own_lock(path: str) -> int | None:
    """Open what a runner would hold locked; None if something else is in its place, so that nobody can."""
    try:
        return files.open_private(path, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        if error.errno in NOT_OURS:
            return None
        raise


def _end_leftovers(store: JobStore, job: Job) -> list[str]:
    same_boot = job.boot_id == boot_id()
    session, started = _session_of(store, job) if same_boot else (None, None)
    marks, logs = marks_of(store.paths, job.id), logs_of(store.paths, job.id)
    return [str(process) for process in end_all(lambda: leftovers(marks, logs, session, started), END_WAIT_S)]


def _session_of(store: JobStore, job: Job) -> tuple[int | None, int | None]:
    if job.session is not None:
        return job.session, job.session_started
    noted = store.files.noted_session(job.id)  # its runner died before it came to write it down
    if noted is None:
        return None, None
    session, earliest, latest = noted
    leader = look_at(session)
    return session, leader.started if leader and earliest <= leader.started <= latest else earliest


def _lost(job: Job, stuck: list[str], now: Moment) -> dict[str, Any]:
    reason = LOST + (f"; could not be ended: {', '.join(stuck[:5])}" if stuck else "")
    end = end_fields(job, None, None, reason, now)
    if job.has_attempts_left and not job.ending_asked:
        return next_attempt(job, end, now)
    return {"status": ERROR, **end}
