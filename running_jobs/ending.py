"""How an attempt ended, in a status and words that a person understands. Pure: no files, no clock, no processes."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import Any

from running_jobs.clocks import Moment, wait_of
from running_jobs.job import DONE, ERROR, QUEUED, STOP, Job, JobStatus, to_iso

NAMED = 5
HAND_BACK_FOR_S = 2.0


@dataclass
class Ending:
    """What is known of an attempt that is over.

    `cause` is why it was ended (stop, kill, timeout, log; None if it ended by itself), `by` who asked; `problem` why
    it could not be started, and `may_pass` whether that may be over soon; `wait_status` is wait(2)'s; `behind` are the
    processes that are still there; `limit` is how many bytes of output it may write.
    """

    wait_status: int | None = None
    cause: str | None = None
    by: str | None = None
    problem: str | None = None
    may_pass: bool = False
    behind: tuple[str, ...] = ()
    limit: int = 0

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


def record_of(ending: Ending, job: Job, usage: dict[str, Any] | None, now: Moment) -> dict[str, Any]:
    """Return the fields that record an end in a job, in its last attempt too; or that queue it for another attempt."""
    if ending.may_pass and not job.ending_asked:
        return handed_back(job, f"could not start yet: {ending.problem}", now)
    status, reason = judge(ending, job.timeout)
    if ending.behind:
        what = "could not be ended" if ending.cause else "left running in the background"
        more = f" and {len(ending.behind) - NAMED} more" if len(ending.behind) > NAMED else ""
        reason += f"; {what}: {', '.join(ending.behind[:NAMED])}{more}"
    end = {"usage": usage, **end_fields(job, ending.exit_code, ending.signal, reason, now)}
    is_last = ending.cause == "log" or job.ending_asked  # that log would be too long at once; who stops it means it
    if status is ERROR and job.has_attempts_left and not is_last:
        return next_attempt(job, end, now)
    return {"status": status, **end}


def end_fields(job: Job, code: int | None, signum: int | None, reason: str, now: Moment) -> dict[str, Any]:
    """Return what a job and its last attempt both keep of an end."""
    end = {"exit_code": code, "signal": signum, "reason": reason, "ended_at": to_iso(now.wall_s)}
    attempts = [*job.attempts[:-1], {**job.attempts[-1], **end}] if job.attempts else []
    return {**end, "attempts": attempts}


def next_attempt(job: Job, end: dict[str, Any], now: Moment) -> dict[str, Any]:
    """Return the fields that queue a job again after an attempt that ended so: all of it is kept with the attempt."""
    return {
        **end, **_OF_ONE_ATTEMPT,
        "status": QUEUED,
        "queued_at": to_iso(now.wall_s),
        "reason": f"attempt {job.attempt}: {end['reason']}",
        **wait_of(job.retry_delay, now),
    }  # fmt: skip


def handed_back(job: Job, reason: str, now: Moment) -> dict[str, Any]:
    """Return the fields that queue a job again of which nothing was run: as if there had been no attempt."""
    return {
        **_OF_ONE_ATTEMPT,
        "status": QUEUED,
        "attempt": job.attempt - 1,
        "attempts": job.attempts[:-1],
        "reason": reason,
        **wait_of(HAND_BACK_FOR_S, now),
    }  # fmt: skip


_OF_ONE_ATTEMPT = dict.fromkeys((
    "exit_code", "signal", "started_at", "ended_at", "pid", "pid_started", "boot_id", "session", "session_started",
    "cpu_before_s", "asked",
))  # fmt: skip


def judge(ending: Ending, timeout_s: float) -> tuple[JobStatus, str]:
    """Return the status that an ending means, and its reason."""
    code, signum = ending.exit_code, ending.signal
    how = f"exit code {code}" if signum is None else f"killed by {signal_name(signum)}"
    if ending.problem:
        how = f"could not start: {ending.problem}"
        if ending.cause not in ("stop", "kill"):
            return ERROR, how
    by = f" by {ending.by}" if ending.by else ""
    if ending.cause == "log":
        return ERROR, f"stopped: its output grew over max_log_bytes ({ending.limit} bytes)"
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
