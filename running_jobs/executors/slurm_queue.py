"""What Slurm says of the jobs handed over to it: asked for in one call, read line by line. Pure.

Its ids are never trusted alone: after a crash of the controller one may be given out again. What was handed over
carries our own key in its comment: which job, which attempt, asked for how, of which data directory.
"""

from __future__ import annotations

from typing import NamedTuple

FIELDS = ("JobID", "State", "Reason", "Partition", "NodeList", "exit_code", "Comment")
COMMAND = ("squeue", "--me", "--states=all", "-O", ",".join(f"{name}:|" for name in FIELDS))

WAITING = {"PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD", "SPECIAL_EXIT", "CONFIGURING"}
OVER = {
    "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "DEADLINE", "NODE_FAIL", "BOOT_FAIL", "PREEMPTED", "OUT_OF_MEMORY",
    "REVOKED",
}  # fmt: skip


class Key(NamedTuple):
    """Which attempt of which job: what its comment holds, but for the data directory. `form` is how it was asked."""

    job_id: str
    attempt: int
    form: str

    def comment(self, directory: str) -> str:
        """Return the comment that Slurm is to keep."""
        return f"{self.job_id}/{self.attempt}/{self.form}/{directory}"


class Row(NamedTuple):
    """One job of Slurm's. `exit_status` is wait(2)'s, as far as it is known."""

    key: Key
    slurm_id: str
    state: str
    why: str
    partition: str
    node: str
    exit_status: int

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
    def number(self) -> int:
        """Its id as a number: a later one is higher, but for what a controller that crashed gives out again."""
        return int(self.slurm_id) if self.slurm_id.isdecimal() else 0


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
    slurm_id, state, why, partition, node, exit_status, comment = parts
    job_id, _, rest = comment.rstrip("|").partition("/")
    attempt, _, rest = rest.partition("/")
    form, _, whose = rest.partition("/")
    if whose != directory or not attempt.isdecimal():
        return None
    status = int(exit_status) if exit_status.isdecimal() else 0
    return Row(Key(job_id, int(attempt), form), slurm_id, state, _text(why), partition, _text(node), status)


def _text(found: str) -> str:
    return "" if found in ("None", "(null)", "n/a") else found
