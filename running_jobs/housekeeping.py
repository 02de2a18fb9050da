"""The markers of jobs that are not settled, and what a crash left: rebuilt and tidied by looking at the jobs."""

from __future__ import annotations

import contextlib
import os
import re

from running_jobs import files, folders
from running_jobs.errors import JobsError, NoSuchJob, StorageFailed, UnreadableJob
from running_jobs.job import ACTIVE, QUEUED, is_job_id
from running_jobs.paths import JobPaths
from running_jobs.store import JobStore

UNFINISHED_S = 3600  # nobody takes that long to store a job
TIDY_EVERY_S = 86400.0  # what a few who were killed left is small
_UNFINISHED = re.compile(r"\.(.+)\.json\.(?:new|next|session)")


def has_work(store: JobStore) -> bool:
    """Say whether some job is queued, active or has callbacks to make, by looking at the files; if in doubt, yes."""
    for job_id in store.open_ids():
        try:
            job = store.get(job_id)
        except (NoSuchJob, UnreadableJob):
            continue
        except OSError:
            return True
        if job.status is QUEUED or (job.status is ACTIVE and not job.runs_elsewhere) or job.pending_callbacks:
            return True
    return False


def open_jobs(store: JobStore, boot_id: str) -> list[str]:
    """Return the jobs that are not settled; make their markers anew first, if those are not of this boot.

    Markers are not synced to the disk, so that a power cut may lose some; jobs are, and none may.
    """
    with contextlib.suppress(OSError):
        if files.read_bounded(store.paths.boot_id, 100).decode() == boot_id and os.path.isdir(store.paths.open):
            return store.open_ids()
    files.make_private_directory(store.paths.open)
    remove_unfinished(store)
    found = [job_id for job_id in store.ids() if _may_be_open(store, job_id)]
    with contextlib.suppress(OSError):  # a full disk: then it is all looked at again the next time
        for job_id in found:
            store.mark_open(job_id)
        files.write_atomically(store.paths.boot_id, boot_id.encode(), sync=False)
    return found


def seconds_since_tidied(store: JobStore) -> float:
    """Return how long ago remove_unfinished was done, 0 if that is not known."""
    with contextlib.suppress(OSError):
        return max(0.0, store.clock() - os.stat(store.paths.boot_id).st_mtime)
    return 0.0


def remove_unfinished(store: JobStore) -> None:
    """Remove the records that nobody came to finish, with the logs of new jobs: whoever wrote them was killed."""
    with contextlib.suppress(OSError, JobsError), os.scandir(store.paths.data) as entries:
        for entry in entries:
            found = _UNFINISHED.fullmatch(entry.name)
            if found and is_job_id(found[1]):
                with contextlib.suppress(OSError, StorageFailed):
                    if _is_old(store, entry.path):
                        with store.door():  # whoever writes a record there holds it
                            _remove_unless_needed(store, found[1], entry.path)
    with contextlib.suppress(OSError):
        os.utime(store.paths.boot_id)


def _is_old(store: JobStore, path: str) -> bool:
    return os.lstat(path).st_mtime < store.clock() - UNFINISHED_S


def _remove_unless_needed(store: JobStore, job_id: str, path: str) -> None:
    if not _is_old(store, path):
        return
    try:
        job = store.get(job_id)
        if path == store.paths.unfinished(job_id) or job.is_settled:  # the others may tell a session
            os.unlink(path)
    except NoSuchJob:
        _remove_beginnings(store.paths, job_id)
        folders.remove(path)
    except UnreadableJob:  # this may be all that is known of it
        pass


def _may_be_open(store: JobStore, job_id: str) -> bool:
    try:
        job = store.get(job_id)
        store.note_waiting(job)  # a power cut may have lost those lists, too
        return not job.is_settled
    except NoSuchJob:
        return False
    except (UnreadableJob, OSError):  # who knows: the dispatcher says what is wrong with it
        return True


def tidy(store: JobStore, job_id: str) -> None:
    """Remove the marker of a job that is settled, what is beside its record, and what is left of one that is gone."""
    with store.door(), contextlib.suppress(FileNotFoundError, UnreadableJob):
        try:
            job = store.get(job_id)
            if job.is_settled:
                store.files.unmark(job)
        except NoSuchJob:
            _remove_beginnings(store.paths, job_id)
            folders.remove(store.paths.marker(job_id))


def _remove_beginnings(paths: JobPaths, job_id: str) -> None:
    """Remove what was made for a job whose record was never written; logs that hold something are somebody's."""
    logs = [path for path in (paths.out(job_id), paths.err(job_id)) if os.path.lexists(path)]
    empty = [path for path in logs if os.lstat(path).st_size == 0]
    code = [paths.code(job_id)] if len(empty) == len(logs) else []
    for path in (*empty, *code, paths.unfinished(job_id), paths.unfinished_code(job_id), paths.awaited(job_id)):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
