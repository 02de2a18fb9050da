"""One job that Slurm has, or may have, as the dispatcher follows it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from running_jobs.executors.slurm_queue import UNKNOWN, Key, Row, newest
from running_jobs.job import Job
from running_jobs.slurm_words import NOT_TAKEN

MISSED = 2  # answers that do not name a job say that Slurm does not know it; one alone may have been on its way


@dataclass
class Handed:
    """An attempt that was handed over. `form` is how it was asked for, None where that does not matter any more;
    `nonce` tells this submission of it from others as long as its id is not known.

    `since` is when that was done, on a clock that nobody sets; what Slurm said before says nothing.
    """

    attempt: int
    form: str | None
    context: str
    since: float
    slurm_id: str | None = None
    nonce: str | None = None
    row: Row | None = None
    is_active: bool = False
    problem: str | None = None  # what sbatch said; it may have been taken all the same
    missed: int = 0
    over_since: float | None = None
    told: str | None = None  # what its runner was signalled for
    cancel_at: float = float("inf")
    trouble: str | None = None  # what kept us from recording what became of it, noted once

    @property
    def takes_slot(self) -> bool:
        """Whether it counts among those that Slurm has."""
        return self.problem is None or self.slurm_id is not None

    @property
    def is_told_by_id_alone(self) -> bool:
        """Whether Slurm has it under another comment than ours."""
        return self.row is not None and not self.row.is_told_by_comment

    def is_of(self, key: Key) -> bool:
        """Say whether it is this attempt, asked for like this."""
        return self.attempt == key.attempt and self.form in (None, key.form)

    def row_among(self, rows: Iterable[Row]) -> Row | None:
        """Take note of what Slurm says of it, among the rows of its job, and return that."""
        found = newest(row for row in rows if self._is_mine(row))
        if found is not None:
            self.row, self.slurm_id = found, found.slurm_id
        return found

    def _is_mine(self, row: Row) -> bool:
        if self.slurm_id:
            return row.slurm_id == self.slurm_id and row.key.attempt in (self.attempt, UNKNOWN)
        return row.key.attempt == self.attempt and self.nonce in (None, row.nonce)

    def seems_over(self, row: Row | None, asked_at: float) -> bool:
        """Say whether Slurm, asked at that time, means that nothing comes of it any more."""
        if row is None:
            self.missed += asked_at >= self.since
            if self.missed >= MISSED:
                self.row = None
            return self.missed >= MISSED
        self.missed = 0
        if row.is_over or (self.is_active and row.is_waiting):
            return True
        self.over_since = None
        return False

    def as_told(self) -> dict[str, Any]:
        """Return what people are told of it."""
        row = self.row
        if row is None and self.problem:
            return {"attempt": self.attempt, "id": "", "state": NOT_TAKEN, "why": self.problem}
        place = {"state": row.state, "why": row.why, "partition": row.partition, "node": row.node} if row else {}
        return {"attempt": self.attempt, "id": self.slurm_id, **place}


def slurm_id_of(job: Job) -> str | None:
    """Return Slurm's id as the runner recorded it; None where somebody edited that to something else."""
    slurm_id = (job.placed or {}).get("id")
    return slurm_id if isinstance(slurm_id, str) and slurm_id.isdecimal() else None
