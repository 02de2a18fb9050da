"""Which ended jobs go, and their removal: beyond a number of jobs, or after so many days."""

from __future__ import annotations

import contextlib
import os
from typing import NamedTuple

from running_jobs.errors import JobsError, NoSuchJob, UnreadableJob, WrongState
from running_jobs.housekeeping import remove_unfinished
from running_jobs.job import from_iso
from running_jobs.journal import parts_put_aside
from running_jobs.store import JobStore

DAY_S = 86400.0


def expired(store: JobStore, keep_days: float | None, keep_jobs: int | None) -> list[str]:
    """Return the ended jobs older than keep_days or not among the newest keep_jobs, oldest first; None is no bound.

    A job whose callbacks are still to be made has not ended for this.
    """
    ids = store.ids()
    is_open = set(store.open_ids())  # looked at later, so that a job that is new takes no ended one's place
    ended = [job_id for job_id in ids if job_id not in is_open]
    surplus = set() if keep_jobs is None else set(ended[: max(0, len(ended) - keep_jobs)])
    before_s = float("-inf") if keep_days is None else store.clock() - keep_days * DAY_S
    return [job_id for job_id in ended if _may_go(store, job_id, job_id in surplus, before_s)]


def _may_go(store: JobStore, job_id: str, is_surplus: bool, before_s: float) -> bool:
    with contextlib.suppress(JobsError, OSError, ValueError):
        if not is_surplus and os.stat(store.paths.json(job_id), follow_symlinks=False).st_mtime >= before_s:
            return False  # its end was written then: no need to read it
        job = store.get(job_id)
        return job.is_settled and (is_surplus or (job.ended_at is not None and from_iso(job.ended_at) < before_s))
    return False


class Pruned(NamedTuple):
    """The ids of the jobs that were deleted, and why the first of those could not be that were to be."""

    ids: list[str]
    refused: JobsError | None


def prune(store: JobStore, keep_days: float | None, keep_jobs: int | None, by: str | None = None) -> Pruned:
    """Delete the ended jobs that expired, with all their files; None is no bound.

    What somebody who was killed left of a job long ago goes, too; with keep_days so do the parts of the logs that were
    put aside before. Raise StorageFailed or LockTimeout before any is.
    """
    remove_unfinished(store)
    pruned: list[str] = []
    refused: JobsError | None = None
    if keep_days is None and keep_jobs is None:
        return Pruned(pruned, refused)
    for job_id in expired(store, keep_days, keep_jobs):
        try:
            store.delete(job_id, f"pruned by {by}" if by else "pruned")
            pruned.append(job_id)
        except (NoSuchJob, UnreadableJob, WrongState):  # deleted, damaged or run again meanwhile
            continue
        except JobsError as error:
            refused = refused or error
    if keep_days is not None:
        _remove_old_logs(store, store.clock() - keep_days * DAY_S)
    return Pruned(pruned, refused)


def _remove_old_logs(store: JobStore, before_s: float) -> None:
    for log in (store.paths.journal, store.paths.errors, store.paths.slurm_log):
        for part in parts_put_aside(log):
            with contextlib.suppress(OSError):
                if os.stat(part, follow_symlinks=False).st_mtime < before_s:
                    os.unlink(part)
