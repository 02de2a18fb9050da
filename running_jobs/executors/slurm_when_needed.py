"""Slurm's jobs for a dispatcher that mostly has none: what they take is imported with the first of them.

Runners share their dispatcher's memory. What it imports in vain costs each of them some pages. Nor does what goes wrong
with Slurm's jobs cost the others anything: it is noted, and Slurm is left alone for a while.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
import traceback
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from running_jobs.job import Job
from running_jobs.settings import Settings
from running_jobs.store import JobStore

if TYPE_CHECKING:
    from running_jobs.executors.slurm import SlurmExecutor


ALONE_S = 10.0


class SlurmWhenNeeded:
    """Does what SlurmExecutor does, and nothing as long as there is no Slurm in the settings and no job of it."""

    def __init__(self, store: JobStore, settings: Settings, poller: select.poll) -> None:
        self._store = store
        self._settings = settings
        self._poller = poller
        self._slurm: SlurmExecutor | None = None
        self._again_at = 0.0
        self._noted: str | None = None
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
            with self._guarded():
                self._slurm.forget(job_id)

    def look(self, now: float, is_held: Callable[[], bool]) -> None:
        """Do what is due."""
        if self._slurm is not None and now >= self._again_at:
            with self._guarded():
                self._slurm.look(now, is_held)

    def ended(self, descriptor: int) -> bool:
        """Take note of the end of a program that was asked. Return whether it was one of ours."""
        if self._slurm is None:
            return False
        with self._guarded():
            return self._slurm.ended(descriptor)
        return True

    def seconds_to_next(self, now: float) -> float | None:
        """Return when to look again, None if there is nothing to look for."""
        if self._slurm is None:
            return None
        if now < self._again_at:
            return self._again_at - now
        with self._guarded():
            return self._slurm.seconds_to_next(now)
        return ALONE_S

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._again_at = time.monotonic() + ALONE_S
            noted, self._noted = self._noted, traceback.format_exc()
            if noted != self._noted:
                self._store.note_error(f"Slurm's jobs are left alone for {ALONE_S:g} s: {self._noted}")
            with contextlib.suppress(Exception):
                told = f"our own part failed: {error!r}; logs/background_jobs_errors.log has more"
                self._needed().tell_trouble(told)
