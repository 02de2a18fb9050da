"""What people are told of Slurm: written whenever something of it changes, and now and then when it answers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from running_jobs import placements
from running_jobs.executors.slurm_handed import Handed
from running_jobs.job import to_iso
from running_jobs.placements import Told
from running_jobs.store import JobStore

WRITE_EVERY_S = 30.0  # when Slurm answered last is told this exactly


class Telling:
    """Keeps `run/slurm.json`."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._told = Told()
        self._written: Told | None = None  # what the file holds
        self._write_at = 0.0

    @property
    def problem(self) -> str | None:
        """What people are told that is wrong, None if nothing is."""
        return self._told.problem

    def tell(
        self,
        problem: str | None,
        handed: Mapping[str, Handed],
        held_back: Mapping[str, dict[str, Any]],
        now: float,
        has_answered: bool = False,
    ) -> None:
        """Note what is wrong, and what is said of each job; `held_back` are those that are handed over later."""
        at, before = to_iso(self._store.clock()), self._told
        since = (before.since if before.problem else at) if problem else None
        jobs = {**held_back, **{job_id: one.as_told() for job_id, one in handed.items()}}
        self._become(Told(at if has_answered else before.at, problem, since, jobs), now)

    def is_over(self, now: float) -> None:
        """Note that Slurm has nothing of ours, and is not asked: what it did not answer does not matter any more."""
        if self._told.problem or self._told.jobs:
            self._become(Told(self._told.at), now)

    def _become(self, told: Told, now: float) -> None:
        self._told = told
        if not self._is_to_be_written(now):
            return
        try:
            placements.write(self._store.paths, told)
        except OSError:  # a full disk: the next time
            return
        self._written, self._write_at = told, now + WRITE_EVERY_S

    def _is_to_be_written(self, now: float) -> bool:
        before = self._written
        if before is None or (before.problem, before.jobs) != (self._told.problem, self._told.jobs):
            return True
        is_old = now >= self._write_at and before.at != self._told.at
        return is_old or not os.path.lexists(self._store.paths.slurm)
