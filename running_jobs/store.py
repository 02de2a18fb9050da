"""The jobs of one data directory as files: create, read, change, delete. Knows no processes.

Every change of a job goes through `JobStore.update`, a compare-and-set under `run/lock`: read, decide,
append the journal's line, replace the JSON. A line without its change is corrected by the next line;
a change without a line cannot be. New jobs are made by `creation`, under the same lock.
"""

from __future__ import annotations

import _thread
import contextlib
import errno
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

from running_jobs import data_directory, files
from running_jobs.awaited import Awaited
from running_jobs.creation import Creation
from running_jobs.errors import (
    NOT_OURS,
    AmbiguousId,
    DataGone,
    ForbiddenTransition,
    JobsError,
    LockTimeout,
    NoSuchJob,
    StorageFailed,
    UnreadableJob,
    WrongState,
)
from running_jobs.job import (
    ACTIVE,
    DONE,
    TRANSITIONS,
    Job,
    JobStatus,
    is_job_id,
)
from running_jobs.job_files import JobFiles, is_failed_attempt
from running_jobs.journal import append_error, deleted_detail, put_aside, status_word
from running_jobs.paths import JobPaths
from running_jobs.settings import Settings

ROTATE_BYTES = 16 << 20
PREPARE_EVERY_S = 1.0  # that is asked for before each new job

_REFUSALS_OF_THE_DISK = {errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EACCES, errno.EMFILE, errno.ENFILE}

Decision = Callable[[Job], "dict[str, Any] | None"]


class JobStore:
    """The jobs of one data directory. Safe under many processes and threads at once."""

    def __init__(
        self, data: str, sync: bool = True, clock: Callable[[], float] = time.time, rotate_bytes: int = ROTATE_BYTES
    ) -> None:
        self.paths = JobPaths(data)
        self.clock = clock
        self.files = JobFiles(self.paths, sync, clock, rotate_bytes)
        self._awaited = Awaited(self.paths, self.files)
        self._creation = Creation(self.files, self._awaited, self.ids, self.door)
        self._prepare_again_at = 0.0
        self._directory: data_directory.Identity | None = None  # as we saw it last
        self._turn = _thread.allocate_lock()  # threading would be dear for the dispatcher

    @classmethod
    def of(cls, settings: Settings) -> JobStore:
        """Return the store of a data directory as its settings want it."""
        return cls(settings.data, settings.fsync, rotate_bytes=settings.rotate_bytes)

    def prepare(self) -> None:
        """Make the data directory and its folders where missing, for their owner alone.

        Raise StorageFailed, or NotAllowed for a directory that is open to others and was made for something else, or
        DataGone if one that we saw before is gone.
        """
        self.refuse_if_gone()
        try:
            if not data_directory.make(self.paths):  # run/ was deleted, or an older version knew of no such lists
                for job_id in self.ids():
                    with contextlib.suppress(NoSuchJob, UnreadableJob):
                        self._awaited.note(self.get(job_id))
            self._directory = data_directory.identity(self.paths.data)
        except OSError as error:
            raise StorageFailed(f"The data directory {self.paths.data}", error) from error
        self._prepare_again_at = time.monotonic() + PREPARE_EVERY_S

    def refuse_if_gone(self) -> None:
        """Raise DataGone if the data directory that we prepared is not there any more."""
        if self._directory and data_directory.is_gone(self.paths.data, self._directory):
            raise DataGone(self.paths.data)

    # --- reading

    def get(self, job_id: str) -> Job:
        """Read a job. Raise NoSuchJob or UnreadableJob."""
        return self.files.read(job_id)

    def version(self, job_id: str) -> files.Version:
        """Return what changes whenever somebody writes a job's record; zeros if it is gone."""
        try:
            return files.version_of(os.lstat(self.paths.json(job_id)))
        except OSError:
            return 0, 0, 0

    def ids(self) -> list[str]:
        """List the ids of all jobs, readable or not, oldest first."""
        with contextlib.suppress(FileNotFoundError), os.scandir(self.paths.data) as entries:
            names = [entry.name for entry in entries]
            return sorted(name[:-5] for name in names if name.endswith(".json") and is_job_id(name[:-5]))
        return []

    def open_ids(self, without: Iterable[str] = ()) -> list[str]:
        """List the ids of the jobs that are not settled, oldest first; a few may have become so just now.

        To leave many out here costs less than to look at them one by one.
        """
        with contextlib.suppress(FileNotFoundError):
            return sorted(filter(is_job_id, set(os.listdir(self.paths.open)).difference(without)))
        return []

    def resolve(self, text: str) -> str:
        """Return the id that `text` means: an id, a unique prefix or `last`. Raise NoSuchJob or AmbiguousId."""
        if is_job_id(text) and os.path.lexists(self.paths.json(text)):
            return text
        ids = self.ids()
        matches = ids[-1:] if text == "last" else [job_id for job_id in ids if text and job_id.startswith(text)]
        if not matches:
            raise NoSuchJob(text)
        if len(matches) > 1:
            raise AmbiguousId(text, matches)
        return matches[0]

    @property
    def is_paused(self) -> bool:
        """Whether nothing new may start."""
        return os.path.lexists(self.paths.paused)

    # --- changing

    def create(self, template: Job, detail: str = "") -> Job:
        """Store one job as create_all does."""
        return self.create_all([template], detail)[0]

    def create_all(
        self, templates: Sequence[Job], detail: str = "", codes: Sequence[bytes | None] | None = None
    ) -> list[Job]:
        """Store new jobs with new ids, durably, all or none, and return them as written.

        A template is a job but for `id` and `created_at`; `codes` holds the code that each is to keep, or None. Raise
        StorageFailed, with nothing stored. Nobody claims one of several before all are there: that takes the lock,
        which is held meanwhile. A reader, who takes none, may see the first of them before the last.
        """
        try:
            return self._create_all(templates, detail, codes or [None] * len(templates))
        except (DataGone, StorageFailed) as error:  # a folder may be deleted when nothing runs
            if isinstance(error, StorageFailed) and not isinstance(error.__cause__, FileNotFoundError):
                raise
        self.prepare()
        return self._create_all(templates, detail, codes or [None] * len(templates))

    def transition(
        self, job_id: str, allowed: Collection[JobStatus], to: JobStatus, detail: str = "", **changes: Any
    ) -> Job | None:
        """Move a job to `to` if its status is one of `allowed`, and record `changes` with it.

        Return the job as written, or None if someone else moved it first. Raise NoSuchJob if it is gone,
        ForbiddenTransition if TRANSITIONS does not hold such a step, StorageFailed with nothing changed.
        """
        for before in allowed:
            if to not in TRANSITIONS[before]:
                raise ForbiddenTransition(before.value, to.value)
        return self.update(job_id, lambda job: {**changes, "status": to} if job.status in allowed else None, detail)

    def update(self, job_id: str, decide: Decision, detail: str = "", is_wish: bool = False) -> Job | None:
        """Read a job under the lock, let `decide` say what to change, and write it.

        `decide` gets the job as it is and returns the fields to change, or None to leave it. What `is_wish` may be
        refused for want of room; all else goes into the room that is kept for it. Return the job as written, or
        None if it was left. Raise as transition does, and InvalidJob for a wish that makes it too large.
        """
        with self.door():
            job = self.get(job_id)
            before = job.status
            changes = change_as_decided(job, decide)
            if changes is None:
                return None
            try:
                if "after" in changes:
                    self._awaited.register(job)
                self.files.write(
                    job, status_word(before, job), detail or job.reason or "", is_failed_attempt(before, job), is_wish
                )
            except OSError as error:
                raise StorageFailed(f"Job {job_id}", error) from error
            if job.is_settled:
                self.files.unmark(job)
        return job

    def delete(self, job_id: str, detail: str = "") -> None:
        """Delete a job with all its files. Raise NoSuchJob, UnreadableJob, or WrongState while it is active.

        That it was done is noted in the jobs that still wait for it: they may run all the same. Raise StorageFailed if
        the disk refuses: nothing is gone then, unless its logs and results had to make room for the journal's line.
        """
        with self.door():
            job = self.get(job_id)
            if job.status is ACTIVE:
                raise WrongState(job_id, "active", "it cannot be deleted while it runs. Stop or kill it first.")
            try:
                try:
                    self._tell_deleted(job, detail)
                except OSError as error:
                    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                        raise
                    self.files.remove_all_but_the_record(job_id)  # what is to go makes room
                    self._tell_deleted(job, detail)
                self.files.remove(job_id)
            except OSError as error:
                raise StorageFailed(f"The deletion of job {job_id}", error) from error

    def _tell_deleted(self, job: Job, detail: str) -> None:
        if job.status is DONE:
            self._awaited.tell_done(job.id)
        self.files.tell(job, "deleted", deleted_detail(job, detail))

    def _create_all(self, templates: Sequence[Job], detail: str, codes: Sequence[bytes | None]) -> list[Job]:
        if time.monotonic() > self._prepare_again_at:
            self.prepare()
        if len(templates) == 1:
            return [self._creation.create(templates[0], detail, codes[0])]
        return self._creation.create_all(templates, detail, codes)

    def pause(self, paused: bool) -> None:
        """Start nothing new from now on, or start again."""
        try:
            if paused:
                os.close(files.open_private(self.paths.paused, os.O_WRONLY | os.O_CREAT))
            else:
                os.unlink(self.paths.paused)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise StorageFailed("The pause", error) from error

    def note_error(self, text: str) -> None:
        """Add a line to the log of errors."""
        append_error(self.paths.errors, self.clock(), text)
        if files.size_of(self.paths.errors) > self.files.rotate_bytes > 0:
            with contextlib.suppress(JobsError), self.door():
                put_aside(self.paths.errors, self.files.rotate_bytes, self.clock())

    def mark_open(self, job_id: str) -> None:
        """Have the dispatcher look at a job that is not settled. A marker too many does no harm: it is tidied away."""
        self.files.mark_open(job_id)

    def keep_code(self, job_id: str, code: bytes) -> None:
        """Keep the code that an idle job is to run now that it is queued. Only within `update`."""
        self.files.keep_code(job_id, code)

    def note_waiting(self, job: Job) -> None:
        """Have the deletion of each job that this one waits for note in it that it was done."""
        self._awaited.note(job)

    # --- the steps

    @contextlib.contextmanager
    def door(self) -> Iterator[int]:
        """Hold the lock that every change is made under; yield its descriptor. Raise LockTimeout or StorageFailed."""
        lock = -1
        if not self._turn.acquire(timeout=files.LOCK_WAIT_S):  # threads take turns: only one of them tries for the lock
            raise LockTimeout(self.paths.lock, files.LOCK_WAIT_S)
        try:
            lock = self._take_lock()
            self._creation.undo_what_was_interrupted()
            yield lock
        except OSError as error:
            if error.errno in _REFUSALS_OF_THE_DISK | NOT_OURS:
                raise StorageFailed("The change", error) from error
            raise
        finally:
            if lock >= 0:
                os.close(lock)
            self._turn.release()

    def _take_lock(self) -> int:
        try:
            return files.take_lock(self.paths.lock)
        except FileNotFoundError:  # run/ may be deleted when nothing runs
            if not os.path.isdir(self.paths.data):
                raise DataGone(self.paths.data) from None
            self.prepare()
            return files.take_lock(self.paths.lock)


def change_as_decided(job: Job, decide: Decision) -> dict[str, Any] | None:
    """Change a job as is decided, and return what was changed. Raise ForbiddenTransition."""
    before = job.status
    changes = decide(job)
    if changes is None:
        return None
    after = changes.get("status", before)
    if after is not before and after not in TRANSITIONS[before]:
        raise ForbiddenTransition(before.value, after.value)
    for name, value in changes.items():
        setattr(job, name, value)
    return changes
