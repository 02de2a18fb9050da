"""What became of an attempt of whose end its runner wrote nothing, by Slurm's word. Pure."""

from __future__ import annotations

import os
import signal
from typing import Any

from running_jobs.clocks import Moment
from running_jobs.ending import end_fields, next_attempt, signal_name
from running_jobs.executors.slurm_queue import Row
from running_jobs.executors.slurm_submission import NOT_NOW
from running_jobs.job import ERROR, STOP, Job

_REASONS = {
    "NODE_FAIL": "lost: node {node} failed",
    "BOOT_FAIL": "lost: node {node} did not start",
    "PREEMPTED": "preempted: Slurm gave its place to another job",
    "OUT_OF_MEMORY": "out of memory: it used more than Slurm gave it",
    "TIMEOUT": "reached Slurm's time limit",
    "DEADLINE": "reached its deadline in Slurm",
}


def end_of(job: Job, row: Row | None, now: Moment) -> dict[str, Any]:
    """Return the fields that record the end of an active job, or queue it for another attempt.

    `row` is what Slurm says of it, None if Slurm does not know it any more.
    """
    placed = job.placed or {}
    end = end_fields(job, _whole(placed.get("exit_code")), _whole(placed.get("signal")), reason_of(row), now)
    if asked := job.ending_asked:
        by = f" by {asked['by']}" if asked.get("by") else ""
        verb = "killed" if asked["verb"] == "kill" else "stopped"
        return {"status": STOP, **end_fields(job, end["exit_code"], end["signal"], f"{verb}{by} (by Slurm)", now)}
    if row is not None and row.state == "CANCELLED":
        return {"status": STOP, **end}
    return next_attempt(job, end, now) if job.has_attempts_left else {"status": ERROR, **end}


def _whole(value: object) -> int | None:
    return value if type(value) is int else None


def reason_of(row: Row | None) -> str:
    """Say why an attempt is over of which its runner recorded no end."""
    if row is None:
        return "lost: Slurm knows nothing of it any more"
    if row.state == "CANCELLED":
        return "cancelled in Slurm (scancel)"
    if row.is_waiting:
        return "lost: it was requeued in Slurm"
    if row.state in _REASONS:
        return _REASONS[row.state].format(node=row.node or "of unknown name")
    return f"lost: its runner on {row.node or 'a node'} ended without a word ({exit_of(row)})"


def exit_of(row: Row) -> str:
    """Say how a batch script ended, as Slurm tells it."""
    why = f", {row.why}" if row.why else ""
    if os.WIFSIGNALED(row.exit_status):
        signum = os.WTERMSIG(row.exit_status)
        memory = "; out of memory?" if signum == signal.SIGKILL else ""
        return f"{row.state}{why}, killed by {signal_name(signum)}{memory}"
    return f"{row.state}{why}, exit code {os.WEXITSTATUS(row.exit_status)}"


def is_failed_start(row: Row) -> bool:
    """Say whether the next submission of an attempt that never began may fare no better than this one."""
    if not row.is_over or row.was_cancelled_waiting or row.ended_with(NOT_NOW):
        return False
    return row.state not in ("NODE_FAIL", "PREEMPTED")


def why_not_started(row: Row) -> str:
    """Say why a job did not begin whose batch script ended before that."""
    return f"its runner on {row.node or 'a node'} ended before it began ({exit_of(row)}); see logs/slurm.log"
