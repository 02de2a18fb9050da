"""One job that Slurm has, or may have, as the dispatcher follows it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from running_jobs.executors.slurm_queue import Key, Row

MISSED = 2  # answers that do not name a job say that Slurm does not know it; one alone may have been on its way


@dataclass
class Handed:
    """An attempt that was handed over. `form` is how it was asked for, None where only its id tells it.

    `since` is when that was done, on a clock that nobody sets; what Slurm said before says nothing.
    """

    attempt: int
    form: str | None
    context: str
    since: float
    slurm_id: str | None = None
    row: Row | None = None
    is_active: bool = False
    missed: int = 0
    over_since: float | None = None
    told: str | None = None  # what its runner was signalled for
    cancel_at: float = float("inf")

    def is_of(self, key: Key) -> bool:
        """Say whether it is this attempt, asked for like this."""
        return self.attempt == key.attempt and self.form in (None, key.form)

    def newest_of(self, rows: Iterable[Row], without: Collection[str]) -> Row | None:
        """Take note of what Slurm says of it, and return that: of one that lives, or the last."""
        mine = [row for row in rows if self._is_mine(row) and row.slurm_id not in without]
        found = max(mine, key=lambda row: (not row.is_over, row.number), default=None)
        if found is not None:
            self.row, self.slurm_id = found, found.slurm_id
        return found

    def _is_mine(self, row: Row) -> bool:
        if row.key.attempt != self.attempt:
            return False
        return row.slurm_id == self.slurm_id if self.slurm_id else row.key.form == self.form

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
        place = {"state": row.state, "why": row.why, "partition": row.partition, "node": row.node} if row else {}
        return {"attempt": self.attempt, "id": self.slurm_id, **place}
