"""New jobs: their ids, and storing several of them all or none, under the store's lock.

The content of the lock's file is the last id given.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from running_jobs import files
from running_jobs.awaited import Awaited
from running_jobs.errors import InvalidJob, JobsError, NoSuchJob, StorageFailed, UnreadableJob
from running_jobs.job import IDLE, WAITING, Job, is_job_id, next_id, to_iso
from running_jobs.job_files import JobFiles

MAX_LIST_BYTES = 16 << 20
_ID_BYTES = 40


class Creation:
    """Makes the jobs of one data directory. `ids` lists those that are there, `door` takes the store's lock."""

    def __init__(
        self,
        job_files: JobFiles,
        awaited: Awaited,
        ids: Callable[[], list[str]],
        door: Callable[[], AbstractContextManager[int]],
    ) -> None:
        self._files = job_files
        self._paths = job_files.paths
        self._awaited = awaited
        self._ids = ids
        self._door = door

    def create(self, template: Job, detail: str, code: bytes | None) -> Job:
        """Store one new job as JobStore.create_all says.

        Nobody holds the lock while the disk is waited for (but for a worker's code): it takes in together what many
        store at once.
        """
        with self._door() as lock:
            job = self._named(template, lock)
        try:
            self._files.write_unfinished(job)
            self._publish(job, detail, code)
        except BaseException as error:
            self._files.discard_unfinished(job.id)
            if isinstance(error, OSError):
                raise StorageFailed("The job", error) from error
            raise
        self._make_durable(job.id)
        return job

    def _publish(self, job: Job, detail: str, code: bytes | None) -> None:
        with self._door():
            try:
                self._awaited.register(job)
                self._files.publish(job, detail, code)
            except BaseException as error:
                self._undo([job.id])
                if isinstance(error, OSError):
                    raise StorageFailed("The job", error) from error
                raise

    def _make_durable(self, job_id: str) -> None:
        if not self._files.sync:
            return
        try:
            files.sync_directory(self._paths.data)
        except OSError as error:
            with self._door():
                if not self._may_be_undone(job_id):
                    return  # it runs: whoever were told that it is not there would have it run twice
                self._undo([job_id])
            raise StorageFailed("The job", error) from error

    def create_all(self, templates: Sequence[Job], detail: str, codes: Sequence[bytes | None]) -> list[Job]:
        """Store new jobs as JobStore.create_all says."""
        with self._door() as lock:
            return self._create_all(lock, templates, detail, codes)

    def _create_all(self, lock: int, templates: Sequence[Job], detail: str, codes: Sequence[bytes | None]) -> list[Job]:
        jobs: list[Job] = []
        try:
            jobs += [self._named(template, lock) for template in templates]
            self._note_batch(jobs)
            for job, code in zip(jobs, codes):
                self._files.write_unfinished(job)
                self._awaited.register(job)
                self._files.publish(job, detail, code)
            if self._files.sync:
                files.sync_directory(self._paths.data)
            os.unlink(self._paths.batch)  # from here on they are there,
            if self._files.sync:
                files.sync_directory(self._paths.run)  # also after a power cut
        except BaseException as error:
            self._undo([job.id for job in jobs])
            if isinstance(error, OSError):
                raise StorageFailed("The job", error) from error
            raise
        return jobs

    def _note_batch(self, jobs: Sequence[Job]) -> None:
        """Note which jobs are about to be stored, before any is: also a power cut leaves all of them or none."""
        noted = "".join(f"{job.id}\n" for job in jobs).encode()
        files.write_anew(self._paths.batch, noted, self._files.sync)
        if self._files.sync:
            files.sync_directory(self._paths.run)

    def undo_what_was_interrupted(self) -> None:
        """Remove the jobs of somebody who died with the lock before all were stored."""
        if not os.path.lexists(self._paths.batch):
            return
        listed = files.read_bounded(self._paths.batch, MAX_LIST_BYTES).decode(errors="replace").split()
        self._undo([job_id for job_id in listed if is_job_id(job_id) and self._may_be_undone(job_id)])

    def _may_be_undone(self, job_id: str) -> bool:
        """Say whether a job is as it was stored; one that ran was accepted, whatever a list of old says."""
        try:
            job = self._files.read(job_id)
        except (NoSuchJob, UnreadableJob):
            return True
        return job.status in WAITING and not job.attempts

    def _undo(self, job_ids: list[str]) -> None:
        for job_id in job_ids:
            with contextlib.suppress(JobsError, OSError):
                self._files.tell(self._files.read(job_id), "deleted", "not all of them could be stored")
            self._files.remove(job_id)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._paths.batch)

    def _named(self, template: Job, lock: int) -> Job:
        """Return a job with the next id, which is noted first: an id without a job does no harm."""
        now_s = self._files.clock()
        job = Job(**{**vars(template), "id": self._next_id(lock, now_s), "created_at": to_iso(now_s)})
        if job.status is not IDLE:
            job.queued_at = job.created_at
        os.pwrite(lock, job.id.encode().ljust(_ID_BYTES), 0)
        return job

    def _next_id(self, lock: int, now_s: float) -> str:
        noted = os.pread(lock, _ID_BYTES, 0).decode(errors="replace").strip()
        last = noted if is_job_id(noted) else max(self._ids(), default="")
        job_id = next_id(last, now_s)
        paths = (self._paths.json, self._paths.out, self._paths.err)
        while any(os.path.lexists(path(job_id)) for path in paths):
            last, job_id = job_id, next_id(job_id, now_s)  # somebody laid files there by hand
        if not is_job_id(job_id):
            raise InvalidJob("id", f"no id sorts after {last}; remove the job of that name")
        return job_id
