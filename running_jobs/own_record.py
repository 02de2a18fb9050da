"""The record of a job in the hands of the runner that holds the job's own lock.

Nobody else writes the next record beside it meanwhile, so the runner does that before it takes the lock of all: others
need not wait until the disk has it. And nobody else writes to it often, so what was written last is not read again.
"""

from __future__ import annotations

from running_jobs.errors import StorageFailed
from running_jobs.files import Version
from running_jobs.job import Job, JobStatus
from running_jobs.store import Decision, JobStore, change_as_decided


class OwnRecord:
    """The record of one job."""

    def __init__(self, store: JobStore, job_id: str) -> None:
        self._store = store
        self._job_id = job_id
        self._written: Job | None = None
        self.version: Version | None = None  # of what we wrote last, if that is known

    def change(self, decide: Decision, tell: bool = True) -> Job | None:
        """Do as JobStore.update does. `decide` is asked once more if somebody else wrote meanwhile.

        What no reader of the journal has to know need not be told there.
        """
        version = self._store.version(self._job_id)
        job = _copy(self._written) if self._written and self.version == version else self._store.get(self._job_id)
        before = job.status
        if change_as_decided(job, decide) is None:
            return None
        if not self._replace(version, before, job, tell):  # somebody was quicker, or the disk is full: that has room
            self._written, self.version = self._store.update(self._job_id, decide), None
            return self._written
        self._written = job
        return job

    def _replace(self, version: Version, before: JobStatus, job: Job, tell: bool) -> bool:
        """Have a job as it was changed take the place of a version. Return False if that failed or is there no more."""
        files = self._store.files
        try:
            prepared = files.prepare(job, tell)
        except OSError:
            return False
        is_published = False
        try:
            with self._store.door():
                if self._store.version(self._job_id) != version:
                    return False
                files.publish_prepared(job, prepared, before if tell else None)
                is_published = True
                self.version = prepared.version
                if job.is_settled:
                    files.unmark(job, is_alone=job.attempt == 1)  # no earlier runner left anything; ours is published
        except (OSError, StorageFailed):
            return is_published
        finally:
            if not is_published:
                files.discard_prepared(prepared)
        return True


def _copy(job: Job) -> Job:
    twin = Job.__new__(Job)
    twin.__dict__ = {**job.__dict__}
    return twin
