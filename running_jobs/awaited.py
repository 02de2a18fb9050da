"""Who waits for whom, listed by the job that is awaited: so that its deletion can tell those that wait for it.

The lists are in run/ and only a help: what a job waits for stands in its record. Whoever changes them holds the
store's lock, but for those that are made anew from the records.
"""

from __future__ import annotations

import contextlib
import os

from running_jobs import files
from running_jobs.errors import InvalidJob, NoSuchJob, UnreadableJob
from running_jobs.job import Job
from running_jobs.job_files import JobFiles
from running_jobs.paths import JobPaths

MAX_LIST_BYTES = 16 << 20


class Awaited:
    """The lists of one data directory."""

    def __init__(self, paths: JobPaths, job_files: JobFiles) -> None:
        self._paths = paths
        self._files = job_files

    def register(self, job: Job) -> None:
        """List a job that is about to be written. Raise InvalidJob if it is to wait for one that does not exist."""
        for other in job.waits_for:
            if not os.path.lexists(self._paths.json(other)):
                raise InvalidJob("after", f"the job {other} does not exist")
        self.note(job)

    def note(self, job: Job) -> None:
        """List a job that waits for others with each of them, unless it has ended."""
        if not job.is_final:
            for other in job.waits_for:
                files.append_line(self._paths.awaited(other), job.id)

    def tell_done(self, job_id: str) -> None:
        """Note in those that still wait for a job that it was done, before it is deleted."""
        with contextlib.suppress(FileNotFoundError):
            content = files.read_bounded(self._paths.awaited(job_id), MAX_LIST_BYTES)
            for other in dict.fromkeys(content.decode(errors="replace").split()):
                with contextlib.suppress(NoSuchJob, UnreadableJob):
                    waiting = self._files.read(other)
                    if job_id in waiting.waits_for and not waiting.is_final:
                        waiting.after_done.append(job_id)
                        self._files.write_untold(waiting)
