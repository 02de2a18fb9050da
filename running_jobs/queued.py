"""The queued jobs as a dispatcher knows them: each waits for other jobs, for its time, or for its turn.

Rebuilt from the files at any time. Whenever a job moves from one place to the next, its file is read again.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

from running_jobs.clocks import moment, seconds_left
from running_jobs.dependencies import still_to_come
from running_jobs.files import Version
from running_jobs.job import ERROR, QUEUED, Job, to_iso
from running_jobs.scheduling import Dependents, Timetable, WaitingLine
from running_jobs.store import JobStore


class QueuedJobs:
    """The places where queued jobs wait. `limits` are the bounds of contexts that have one."""

    def __init__(self, store: JobStore, limits: Mapping[str, int]) -> None:
        self._store = store
        self.line = WaitingLine(limits)
        self._timetable = Timetable()
        self._dependents = Dependents()
        self._versions: dict[str, Version] = {}  # of the records of those in line

    def __len__(self) -> int:
        return len(self.line) + len(self._timetable) + len(self._dependents)

    def __iter__(self) -> Iterator[str]:
        return itertools.chain(self.line, self._timetable, self._dependents)

    def __contains__(self, job_id: str) -> bool:
        return job_id in self.line or job_id in self._timetable or job_id in self._dependents

    def put(self, job: Job, version: Version) -> bool:
        """Have a job wait where it has to, or end it if it can never run. Raise JobsError if that is not to be had.

        `version` is that of its record as it was read. Return whether it waits for Slurm alone, which knows its time.
        """
        waits_for, never = still_to_come(self._store, job) if job.waits_for else ([], None)
        now = moment(self._store.clock())
        if never is None and not waits_for and job.is_slurms:
            self.remove(job.id)
            return True
        if never is None and not waits_for and not seconds_left(job.not_before, job.timer, now):
            self._timetable.remove(job.id)
            self._dependents.remove(job.id)
            self.line.put(job.id, job.priority, job.context)
            self._versions[job.id] = version
            return False
        self.remove(job.id)
        if never is not None:
            self._store.transition(job.id, {QUEUED}, ERROR, reason=never, ended_at=to_iso(now.wall_s))
        elif waits_for:
            self._dependents.put(job.id, waits_for)
        elif job.not_before is not None:
            self._timetable.put(job.id, job.not_before, job.timer, now.boot_id)
        return False

    def remove(self, job_id: str) -> None:
        """Take a job from where it waits, if it does."""
        self.line.remove(job_id)
        self._versions.pop(job_id, None)
        self._timetable.remove(job_id)
        self._dependents.remove(job_id)

    def version_of(self, job_id: str) -> Version | None:
        """Return the version of its record by which a job was put in line, None if it is not in line."""
        return self._versions.get(job_id)

    def whose_time_has_come(self) -> list[str]:
        """Take the jobs whose time has come from where they wait for it, and return them."""
        return self._timetable.take_due(moment(self._store.clock())) if len(self._timetable) else []

    def seconds_to_next(self) -> float | None:
        """Return when the next one's time comes, None if none waits for one."""
        return self._timetable.seconds_to_next(moment(self._store.clock())) if len(self._timetable) else None

    def that_waited_for(self, job_id: str, ended_well: bool) -> list[str]:
        """Return the jobs to look at again now that one has ended."""
        return self._dependents.ended(job_id, ended_well)
