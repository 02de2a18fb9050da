"""How an attempt ended, in a status and words that a person understands. Pure: no files, no clock, no processes."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import Any

from running_jobs.job import DONE, ERROR, STOP, Job, JobStatus

NAMED = 5


@dataclass
class Ending:
    """What is known of an attempt that is over.

    `cause` is why it was ended (stop, kill, timeout; None if it ended by itself), `by` who asked; `problem` why it
    could not be started; `wait_status` is wait(2)'s; `behind` are the processes that are still there.
    """

    wait_status: int | None = None
    cause: str | None = None
    by: str | None = None
    problem: str | None = None
    behind: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int | None:
        """The exit code, None after a signal or if it never ran."""
        if self.wait_status is None or self.problem or not os.WIFEXITED(self.wait_status):
            return None
        return os.WEXITSTATUS(self.wait_status)

    @property
    def signal(self) -> int | None:
        """The signal that ended it, if one did."""
        if self.wait_status is None or self.problem or not os.WIFSIGNALED(self.wait_status):
            return None
        return os.WTERMSIG(self.wait_status)


def record_of(ending: Ending, job: Job, usage: dict[str, Any] | None, now: str) -> dict[str, Any]:
    """Return the fields that record an end in a job, in its last attempt too."""
    status, reason = judge(ending, job.timeout)
    if ending.behind:
        what = "could not be ended" if ending.cause else "left running in the background"
        more = f" and {len(ending.behind) - NAMED} more" if len(ending.behind) > NAMED else ""
        reason += f"; {what}: {', '.join(ending.behind[:NAMED])}{more}"
    return {"status": status, "usage": usage, **end_fields(job, ending.exit_code, ending.signal, reason, now)}


def end_fields(job: Job, code: int | None, signum: int | None, reason: str, now: str) -> dict[str, Any]:
    """Return what a job and its last attempt both keep of an end."""
    end = {"exit_code": code, "signal": signum, "reason": reason, "ended_at": now}
    attempts = [*job.attempts[:-1], {**job.attempts[-1], **end}] if job.attempts else []
    return {**end, "attempts": attempts}


def judge(ending: Ending, timeout_s: float) -> tuple[JobStatus, str]:
    """Return the status that an ending means, and its reason."""
    if ending.problem:
        return ERROR, f"could not start: {ending.problem}"
    code, signum = ending.exit_code, ending.signal
    how = f"exit code {code}" if signum is None else f"killed by {signal_name(signum)}"
    by = f" by {ending.by}" if ending.by else ""
    if ending.cause == "timeout":
        return ERROR, f"timed out after {timeout_s:g} s"
    if ending.cause == "stop" and code == 0:
        return DONE, f"exit code 0 after it was asked to stop{by}"
    if ending.cause:
        return STOP, f"{'stopped' if ending.cause == 'stop' else 'killed'}{by} ({how})"
    if signum == signal.SIGKILL:
        how += " (out of memory?)"
    return (DONE if code == 0 else ERROR), how


def signal_name(signum: int) -> str:
    """Return a signal's name as people know it."""
    try:
        return signal.Signals(signum).name
    except ValueError:
        return f"signal {signum}"
