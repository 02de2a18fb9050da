"""What people are told of Slurm: written whenever something of it changes."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from running_jobs import placements
from running_jobs.executors.slurm_handed import Handed
from running_jobs.job import to_iso
from running_jobs.placements import Told
from running_jobs.store import JobStore


class Telling:
    """Keeps `run/slurm.json`."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._told = Told()
        self._is_written = False

    @property
    def problem(self) -> str | None:
        """Why Slurm could not be asked the last time, None if it could."""
        return self._told.problem

    def tell(
        self, problem: str | None, handed: Mapping[str, Handed], held_back: Mapping[str, dict[str, Any]] | None = None
    ) -> None:
        """Note whether Slurm answered, and what it says of each job; `held_back` are those that it takes later."""
        now, before = to_iso(self._store.clock()), self._told
        since = (before.since if before.problem else now) if problem else None
        jobs = {**(held_back or {}), **{job_id: one.as_told() for job_id, one in handed.items()}}
        self._become(Told(before.at if problem else now, problem, since, jobs))

    def is_over(self) -> None:
        """Note that Slurm has nothing of ours, and is not asked: what it did not answer does not matter any more."""
        if self._told.problem or self._told.jobs:
            self._become(Told(self._told.at))

    def _become(self, told: Told) -> None:
        before, self._told = self._told, told
        if not self._is_written or (told.problem, told.jobs) != (before.problem, before.jobs):
            with contextlib.suppress(OSError):
                placements.write(self._store.paths, told)
                self._is_written = True
