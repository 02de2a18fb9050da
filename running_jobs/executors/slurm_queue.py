"""What Slurm says of the jobs handed over to it: asked for in one call, read line by line. Pure.

Its ids are never trusted alone: after a crash of the controller one may be given out again. What was handed over
carries our own key in its comment: which job, which attempt, asked for how, of which data directory; and a nonce of
that one submission. Whoever may change comments (its user, a plugin of the site) leaves us its name: the job's id.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from running_jobs.job import is_job_id

FIELDS = ("JobID", "State", "Reason", "Partition", "NodeList", "exit_code", "Name", "Comment")
COMMAND = ("squeue", "--me", "--states=all", "-O", ",".join(f"{name}:|" for name in FIELDS))
UNKNOWN = 0  # attempt of a job whose comment is not ours any more

WAITING = {"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT", "CONFIGURING"}
OVER = {
    "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "DEADLINE", "NODE_FAIL", "BOOT_FAIL", "PREEMPTED", "OUT_OF_MEMORY",
    "REVOKED",
}  # fmt: skip


class Key(NamedTuple):
    """Which attempt of which job. `form` is how it was asked for."""

    job_id: str
    attempt: int
    form: str

    def comment(self, directory: str, nonce: str) -> str:
        """Return the comment that Slurm is to keep of one submission."""
        return f"{self.job_id}/{self.attempt}/{self.form}/{directory}/{nonce}"


class Row(NamedTuple):
    """One job of Slurm's. `exit_status` is wait(2)'s, as far as it is known; an older version left no `nonce`."""

    key: Key
    slurm_id: str
    state: str
    why: str
    partition: str
    node: str
    exit_status: int
    nonce: str = ""

    @property
    def is_told_by_comment(self) -> bool:
        """Whether its comment is the one that it was handed over with; else its name is all that it has of ours."""
        return self.key.attempt != UNKNOWN

    @property
    def is_over(self) -> bool:
        """Whether it has ended; COMPLETING is not over yet."""
        return self.state in OVER

    @property
    def goes_on(self) -> bool:
        """Whether it neither has ended nor is being cleared away."""
        return not self.is_over and self.state != "COMPLETING"

    @property
    def is_waiting(self) -> bool:
        """Whether it has not begun, or is to begin again."""
        return self.state in WAITING

    def ended_with(self, exit_code: int) -> bool:
        """Say whether its batch script ended with an exit code."""
        return self.exit_status == exit_code << 8

    @property
    def was_cancelled_waiting(self) -> bool:
        """Whether somebody cancelled it before it began. With a node it had: a controller that crashed may do that."""
        return self.state == "CANCELLED" and not self.node

    @property
    def number(self) -> int:
        """Its id as a number: a later one is higher, but for what a controller that crashed gives out again."""
        return int(self.slurm_id) if self.slurm_id.isdecimal() else 0


def newest(rows: Iterable[Row]) -> Row | None:
    """Return the one of several that lives, or the last; None of none."""
    return max(rows, key=lambda row: (not row.is_over, row.number), default=None)


def by_job(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Return the rows of each of our jobs."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.key.job_id, []).append(row)
    return found


def rows_in(text: str, directory: str) -> list[Row] | None:
    """Return what squeue said of the jobs of a data directory, None if that does not begin as its answers do.

    What is not ours is passed over.
    """
    head, *lines = text.splitlines() or [""]
    if [name.upper() for name in head.rstrip("|").split("|")] != [name.upper() for name in FIELDS]:
        return None
    return [row for line in lines if (row := _row_in(line, directory)) is not None]


def _row_in(line: str, directory: str) -> Row | None:
    parts = line.split("|", len(FIELDS) - 1)
    if len(parts) != len(FIELDS):
        return None
    slurm_id, state, why, partition, node, exit_status, name, comment = parts
    found = _key_in(name, comment.rstrip("|"), directory)
    if found is None:
        return None
    status = int(exit_status) if exit_status.isdecimal() else 0
    key, nonce = found
    return Row(key, slurm_id, state, _text(why), partition, _text(node), status, nonce)


def _key_in(name: str, comment: str, directory: str) -> tuple[Key, str] | None:
    """Return the key and the nonce, None if it is another directory's or nobody's."""
    job_id, *rest = comment.split("/")
    if len(rest) in (3, 4) and rest[0].isdecimal():
        attempt, form, whose, nonce = rest if len(rest) == 4 else (*rest, "")
        return (Key(job_id, int(attempt), form), nonce) if whose == directory else None
    return (Key(name, UNKNOWN, ""), "") if is_job_id(name) else None


def _text(found: str) -> str:
    return "" if found in ("None", "(null)", "n/a") else found
