"""The files of jobs on the disk: read, written with the journal's line, removed. Decides nothing.

Whoever writes or removes holds the store's lock; or the job's own, for what is only prepared. A change on a full disk
goes into the room kept for that.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from typing import NamedTuple

from running_jobs import files, folders, reserve
from running_jobs.errors import InvalidJob, NoSuchJob, UnreadableJob
from running_jobs.files import Version
from running_jobs.job import ACTIVE, ERROR, QUEUED, Job, JobStatus, is_job_id
from running_jobs.journal import append_unlocked, journal_line, put_aside, status_word
from running_jobs.paths import JobPaths

MAX_JSON_BYTES = 8 << 20
_NOTE_BYTES = 60
MAX_WISHED_BYTES = 4 << 20  # so that there is room for what becomes of it

_NO_JSON_FILE = {errno.EFBIG, errno.ELOOP, errno.EINVAL, errno.EISDIR, errno.EACCES, errno.ENXIO}


class Prepared(NamedTuple):
    """Where a record stands that is to become a job's, and the version that it will be."""

    path: str
    version: Version


class JobFiles:
    """The files of the jobs of one data directory. `rotate_bytes` is how long a log of changes may get, 0 for ever."""

    def __init__(self, paths: JobPaths, sync: bool, clock: Callable[[], float], rotate_bytes: int) -> None:
        self.paths = paths
        self.sync = sync
        self.clock = clock
        self.rotate_bytes = rotate_bytes

    def read(self, job_id: str) -> Job:
        """Read a job. Raise NoSuchJob or UnreadableJob."""
        return Job.from_json(job_id, self.content(job_id))

    def content(self, job_id: str) -> bytes:
        """Return what is in a job's record. Raise as read does."""
        if not is_job_id(job_id):
            raise NoSuchJob(job_id)
        try:
            return files.read_bounded(self.paths.json(job_id), MAX_JSON_BYTES)
        except FileNotFoundError:
            raise NoSuchJob(job_id) from None
        except OSError as error:
            if error.errno not in _NO_JSON_FILE:
                raise  # no descriptors, a failing disk: that says nothing of the job
            raise UnreadableJob(job_id, (error.strerror or str(error)).lower()) from None

    def mark_open(self, job_id: str) -> None:
        """Make the marker of a job that is not settled."""
        os.close(files.open_private(self.paths.marker(job_id), os.O_WRONLY | os.O_CREAT))

    def note_session(self, job_id: str, session: int, earliest: int, latest: int) -> None:
        """Note which session a job's command has, and between which ticks since boot it began.

        The note stands where the record of the end is to be, until that takes its place. If it cannot be written, there
        are other ways to know the command.
        """
        with contextlib.suppress(OSError):
            files.write_anew(self.paths.prepared(job_id), b"%d %d %d" % (session, earliest, latest), sync=False)

    def noted_session(self, job_id: str) -> tuple[int, int, int] | None:
        """Return what note_session wrote last, or None."""
        try:
            session, earliest, latest = files.read_bounded(self.paths.prepared(job_id), _NOTE_BYTES).split()
            return int(session), int(earliest), int(latest)
        except (OSError, ValueError):
            return None

    def unmark(self, job: Job, is_alone: bool = False) -> None:
        """Remove the marker of a job that is settled; if that fails, the dispatcher tidies it away.

        So goes what somebody left who was killed: a record, a note or code that was to take its place. The marker goes
        last: as long as it is there, somebody looks. What a runner writes beside the record is not there if the marker
        `is_alone`.
        """
        beside = [self.paths.unfinished(job.id)]
        if not is_alone:
            beside += [self.paths.prepared(job.id), self.paths.prepared_untold(job.id)]
        if job.command.get("type") == "worker":
            beside.append(self.paths.unfinished_code(job.id))
        found = filter(os.path.lexists, beside)  # to look is cheap; to remove waits for whoever makes a file
        for path in (*found, self.paths.marker(job.id)):
            with contextlib.suppress(OSError):
                folders.remove(path)

    def write_unfinished(self, job: Job) -> None:
        """Write the record of a job that is not there yet where nobody looks for it, and make its logs.

        This takes no lock: to make files is slow, and nobody else has the id.
        """
        files.write_anew(self.paths.unfinished(job.id), _content_of(job, MAX_WISHED_BYTES), self.sync)
        for path in (self.paths.out(job.id), self.paths.err(job.id)):
            os.close(files.make_private_file(path))

    def discard_unfinished(self, job_id: str) -> None:
        """Remove a record of which nothing came, and the logs made with it; not those of a job that is there."""
        if os.path.lexists(self.paths.json(job_id)):
            return
        for path in (self.paths.unfinished(job_id), self.paths.out(job_id), self.paths.err(job_id)):
            with contextlib.suppress(OSError):
                os.unlink(path)

    def publish(self, job: Job, detail: str, code: bytes | None) -> None:
        """Have a job be there whose record was written; the directory's names are still to be synced."""
        try:  # another name for the same file: a new file costs more
            os.link(self.paths.unfinished(job.id), self.paths.marker(job.id), follow_symlinks=False)
        except OSError:
            self.mark_open(job.id)
        if code is not None:
            self.keep_code(job.id, code)
        self._become(job, self.paths.unfinished(job.id), job.status.value, detail, False)

    def prepare(self, job: Job, is_told: bool) -> Prepared:
        """Write the next record of a job beside it. Raise OSError.

        Only for whoever holds the job's own lock. One of which no reader of the journal is told has a place of its own.
        """
        path = self.paths.prepared(job.id) if is_told else self.paths.prepared_untold(job.id)
        return Prepared(path, files.write_anew(path, _content_of(job, MAX_JSON_BYTES), self.sync))

    def discard_prepared(self, prepared: Prepared) -> None:
        """Remove what was prepared, and is not to be published."""
        with contextlib.suppress(OSError):
            os.unlink(prepared.path)

    def publish_prepared(self, job: Job, prepared: Prepared, before: JobStatus | None) -> None:
        """Make what was prepared a job's record, with its line in the journal. Raise OSError with nothing changed.

        `before` is the job's status until then; None for what no reader of the journal has to know: without a line.
        """
        if before is None:
            os.rename(prepared.path, self.paths.json(job.id))
        else:
            is_failed = is_failed_attempt(before, job)
            self._become(job, prepared.path, status_word(before, job), job.reason or "", is_failed)

    def write(self, job: Job, status: str, detail: str, failed: bool, is_wish: bool) -> None:
        """Write a change, on a full disk into the room kept for that: a job that filled it can still be ended.

        `status` is what the journal says of it; what `failed` goes into the log of errors too; what `is_wish` gets
        none of the room that is kept. Raise InvalidJob if the record would be too large to be read again.
        """
        try:
            self._write(job, status, detail, failed, MAX_WISHED_BYTES if is_wish else MAX_JSON_BYTES)
        except OSError as error:
            if is_wish or error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            spending = reserve.spend(self.paths, self.sync)
            spending.make_room()
            with contextlib.suppress(OSError):  # snatched by somebody: this once, a change comes without its line
                self.tell(job, status, detail)
            spending.become(self.paths.json(job.id), job.to_json())

    def write_untold(self, job: Job) -> None:
        """Write what is no change of state and no reader of the journal has to know: without a line."""
        files.write_atomically(self.paths.json(job.id), job.to_json(), self.sync)

    def remove(self, job_id: str) -> None:
        """Remove whatever a job has.

        Its record goes after logs and results, so that an interrupted deletion can be repeated, and before what is
        found without it and tidied away.
        """
        self.remove_all_but_the_record(job_id)
        paths = self.paths
        for path in (
            paths.unfinished(job_id),
            paths.prepared(job_id),
            paths.prepared_untold(job_id),
            paths.unfinished_code(job_id),
            paths.json(job_id),
            paths.marker(job_id),
            paths.awaited(job_id),
            paths.unfinished_stats(job_id),
            paths.stats(job_id),  # once more: a sample may have been written until its writer saw no record
        ):
            folders.remove(path)

    def remove_all_but_the_record(self, job_id: str) -> None:
        """Remove a job's logs and results, and whatever somebody laid in their place."""
        paths = self.paths
        for path in (
            paths.results(job_id),
            paths.out(job_id),
            paths.err(job_id),
            paths.response(job_id),
            paths.stats(job_id),
            paths.code(job_id),
        ):
            folders.remove(path)

    def tell(self, job: Job, status: str, detail: str) -> int:
        """Append a line to the journal and return how long it was before."""
        return files.append_line(self.paths.journal, journal_line(self.clock(), job, status, detail))

    def keep_code(self, job_id: str, code: bytes) -> None:
        """Keep the code that a job is to run, whatever becomes of where it came from."""
        files.write_atomically(self.paths.code(job_id), code, self.sync)

    def _write(self, job: Job, status: str, detail: str, failed: bool, limit: int) -> None:
        content = _content_of(job, limit)  # what cannot be written must not be told
        path = self.paths.json(job.id)
        self._publish(job, status, detail, failed, lambda: files.write_atomically(path, content, self.sync))

    def _become(self, job: Job, path: str, status: str, detail: str, failed: bool) -> None:
        self._publish(job, status, detail, failed, lambda: os.rename(path, self.paths.json(job.id)))

    def _publish(self, job: Job, status: str, detail: str, failed: bool, change: Callable[[], None]) -> None:
        line = journal_line(self.clock(), job, status, detail)
        told_from = files.append_line(self.paths.journal, line)
        try:
            change()
        except OSError:
            with contextlib.suppress(OSError):
                os.truncate(self.paths.journal, told_from)  # nothing came of it: take the line back
            raise
        if failed:
            append_unlocked(self.paths.errors, line)
            put_aside(self.paths.errors, self.rotate_bytes, self.clock())
        if told_from > self.rotate_bytes > 0:
            put_aside(self.paths.journal, self.rotate_bytes, self.clock())


def _content_of(job: Job, limit: int) -> bytes:
    content = job.to_json()
    if len(content) > limit:
        raise InvalidJob("job", f"its record would have {len(content)} bytes; at most {limit} are kept")
    return content


def is_failed_attempt(before: JobStatus, job: Job) -> bool:
    """Say whether a change is an attempt that failed."""
    return (before is ACTIVE and job.status is QUEUED) or (before is not ERROR and job.status is ERROR)
