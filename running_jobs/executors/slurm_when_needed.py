"""Slurm's jobs for a dispatcher that mostly has none: what they take is imported with the first of them.

Runners share their dispatcher's memory. What it imports in vain costs each of them some pages.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from typing import TYPE_CHECKING

from running_jobs.job import Job
from running_jobs.settings import Settings
from running_jobs.store import JobStore

if TYPE_CHECKING:
    from running_jobs.executors.slurm import SlurmExecutor


class SlurmWhenNeeded:
    """Does what SlurmExecutor does, and nothing as long as there is no Slurm in the settings and no job of it."""

    def __init__(self, store: JobStore, settings: Settings, poller: select.poll) -> None:
        self._store = store
        self._settings = settings
        self._poller = poller
        self._slurm: SlurmExecutor | None = None
        if settings.has_slurm or os.path.lexists(store.paths.for_nodes):
            self._needed()

    def __len__(self) -> int:
        return 0 if self._slurm is None else len(self._slurm)

    def __contains__(self, job_id: str) -> bool:
        return self._slurm is not None and job_id in self._slurm

    def _needed(self) -> SlurmExecutor:
        if self._slurm is None:
            from running_jobs.executors.slurm import SlurmExecutor

            self._slurm = SlurmExecutor(self._store, self._settings, self._poller)
        return self._slurm

    def want(self, job: Job) -> None:
        """Have a queued job handed over."""
        self._needed().want(job)

    def watch(self, job: Job, now: float) -> None:
        """Follow an active job."""
        self._needed().watch(job, now)

    def forget(self, job_id: str) -> None:
        """Take a job out of account, if it is in it."""
        if self._slurm is not None:
            self._slurm.forget(job_id)

    def look(self, now: float, is_held: Callable[[], bool]) -> None:
        """Do what is due."""
        if self._slurm is not None:
            self._slurm.look(now, is_held)

    def ended(self, descriptor: int) -> bool:
        """Take note of the end of a program that was asked. Return whether it was one of ours."""
        return self._slurm is not None and self._slurm.ended(descriptor)

    def seconds_to_next(self, now: float) -> float | None:
        """Return when to look again, None if there is nothing to look for."""
        return None if self._slurm is None else self._slurm.seconds_to_next(now)
