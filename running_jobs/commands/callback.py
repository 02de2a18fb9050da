"""Makes an ended job's callbacks and records what came of them: `python -m running_jobs.commands.callback DATA ID`.

The dispatcher starts it after the end is recorded, whoever recorded it, and again if no outcome is there. Each
callback is tried three times. Nothing of a job is ever pasted into a shell line: it is in the environment.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from typing import Any

from running_jobs import files, http_spec
from running_jobs.child import COMMAND_UMASK
from running_jobs.command_line import ENVIRONMENT
from running_jobs.commands.connection import RequestFailed
from running_jobs.commands.http import send
from running_jobs.ending import signal_name
from running_jobs.engine import settings_handed_over
from running_jobs.errors import JobsError, NoSuchJob, UnreadableJob
from running_jobs.family import Family
from running_jobs.housekeeping import tidy
from running_jobs.job import Job, to_iso
from running_jobs.processes import ENGINE_MARK, become_subreaper
from running_jobs.settings import Settings, load_settings
from running_jobs.store import JobStore
from running_jobs.wording import harmless

PAUSES_S = (1.0, 4.0)  # between the tries
EXEC_TIMEOUT_S = 60.0
LOOK_EVERY_S = 0.1
SHOWN_BYTES = 1000


class CallbackFailed(Exception):
    """One try did not succeed; says why."""


def main(arguments: list[str]) -> int:
    """Make the callbacks that the arguments DATA and ID name; return the exit code."""
    if len(arguments) != 2:
        sys.stderr.write("usage: python -m running_jobs.commands.callback DATA ID\n")
        return 2
    with contextlib.suppress(JobsError):  # deleted or unreadable: nothing to do for it
        make_all(os.path.abspath(arguments[0]), arguments[1])
    return 0


def make_all(data: str, job_id: str) -> None:
    """Make the callbacks of a job that are still to be made, unless somebody is at it."""
    settings = settings_handed_over() or load_settings(data)
    store = JobStore.of(settings)
    marker = files.open_private(store.paths.marker(job_id), os.O_RDWR | os.O_CREAT)
    if not files.try_lock(marker):
        return
    become_subreaper()
    try:
        for tries, pause_s in enumerate((*PAUSES_S, None), 1):  # in turn: none waits until another has failed for good
            job = store.get(job_id)
            for name in job.pending_callbacks:
                outcome = try_once(name, job, store, settings)
                if outcome["outcome"] == "made" or pause_s is None:
                    _record(store, job_id, {"callback": name, **outcome, "tries": tries, "at": to_iso(store.clock())})
            if pause_s is None or not store.get(job_id).pending_callbacks:
                return
            time.sleep(pause_s)
    finally:
        tidy(store, job_id)  # we may have made the marker of a job that was deleted


def try_once(name: str, job: Job, store: JobStore, settings: Settings) -> dict[str, Any]:
    """Try a callback and return `{"type", "outcome": "made" or "failed", "detail"}`."""
    callback = getattr(job, name)
    kind, outcome = callback.get("type"), "failed"
    try:
        detail = _request(callback, job) if kind == "http" else _execute(callback, job, store, settings)
        outcome = "made"
    except CallbackFailed as failure:
        detail = str(failure)
    except Exception as error:  # a record edited by hand, a defect: the outcome must be recorded all the same
        detail = f"{type(error).__name__}: {error}"
    return {"type": kind, "outcome": outcome, "detail": detail[:SHOWN_BYTES]}


def exit_code_of(job: Job) -> str:
    """Return a job's exit code as shells count, 128+n after a signal; an empty text if it has none."""
    if job.signal is not None:
        return str(128 + job.signal)
    return "" if job.exit_code is None else str(job.exit_code)


def _request(callback: dict[str, Any], job: Job) -> str:
    values = {"__JOBID__": job.id, "__STATUS__": job.status.value, "__EXITCODE__": exit_code_of(job)}
    request = http_spec.fill(callback, values)
    try:
        with send(request) as answer:
            told = harmless(f"HTTP {answer.status} {answer.reason}".strip())
            if answer.status >= 400:
                raise CallbackFailed(told)
            return told
    except RequestFailed as error:
        raise CallbackFailed(str(error)) from None


def _execute(callback: dict[str, Any], job: Job, store: JobStore, settings: Settings) -> str:
    """Run a shell line, with what there is to know of the job in its environment."""
    if settings.allowed_commands:  # it was accepted before
        raise CallbackFailed("only approved commands run here (allowed_commands is set), no shell lines")
    limit_s = callback.get("timeout", EXEC_TIMEOUT_S)
    environ = {
        **ENVIRONMENT,
        "JOB_ID": job.id,
        "JOB_STATUS": job.status.value,
        "JOB_EXIT_CODE": exit_code_of(job),
        "JOB_REASON": (job.reason or "").replace("\0", ""),
    }
    environ.pop(ENGINE_MARK, None)
    cwd = job.cwd if job.cwd and os.path.isdir(job.cwd) else ENVIRONMENT.get("HOME") or "/"
    output_read, output_write = os.pipe()
    os.set_blocking(output_read, False)
    try:
        child = subprocess.Popen(  # noqa: S603 - running what an operator gave is what this is for
            [settings.shell, "-c", callback["cmd"]],
            cwd=cwd, env=environ, stdin=subprocess.DEVNULL, stdout=output_write, stderr=subprocess.STDOUT,
            start_new_session=True, umask=COMMAND_UMASK,
        )  # fmt: skip
    except OSError as error:
        os.close(output_read)
        raise CallbackFailed(f"could not start: {error.strerror}") from None
    finally:
        os.close(output_write)
    child.returncode = 0  # the family waits for it
    family = Family(child.pid)
    output = _Tail(output_read)
    deadline = time.monotonic() + limit_s
    try:
        while family.wait_status is None and time.monotonic() < deadline:
            output.read(LOOK_EVERY_S)
            family.reap()
            if not os.path.lexists(store.paths.json(job.id)):  # nobody could stop it otherwise
                _end(family)
                raise CallbackFailed("the job was deleted")
        output.read(0)
        if family.wait_status is None:
            _end(family)
            raise CallbackFailed(f"timed out after {limit_s:g} s{output.shown}")
        return _judge(family.wait_status, output.shown)
    finally:
        os.close(output_read)


def _judge(wait_status: int, shown: str) -> str:
    if os.WIFSIGNALED(wait_status):
        raise CallbackFailed(f"killed by {signal_name(os.WTERMSIG(wait_status))}{shown}")
    if os.WEXITSTATUS(wait_status) != 0:
        raise CallbackFailed(f"exit code {os.WEXITSTATUS(wait_status)}{shown}")
    return "exit code 0"


def _end(family: Family) -> None:
    """End all that a shell line started: nothing of ours goes on when its time is over."""
    deadline = time.monotonic() + 2
    while family.can_be_ended() and time.monotonic() < deadline:
        family.kill()
        family.reap()
        signal.sigtimedwait({signal.SIGCHLD}, 0.02)


class _Tail:
    """The last part of what comes out of a pipe, which nobody else may fill up meanwhile."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._content = b""

    @property
    def shown(self) -> str:
        """What came, as it can be said after a reason."""
        text = self._content.decode(errors="replace").strip()
        return f": {text}" if text else ""

    def read(self, wait_s: float) -> None:
        """Take what is there, after waiting for it; never longer than it takes to empty the pipe once."""
        started = time.monotonic()
        if not select.select([self._pipe], [], [], wait_s)[0]:
            return
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self._pipe, 1 << 16):
                self._content = (self._content + part)[-SHOWN_BYTES:]
                if time.monotonic() - started > LOOK_EVERY_S:
                    return
            time.sleep(wait_s)  # everybody closed it, and select would return at once each time


def _record(store: JobStore, job_id: str, outcome: dict[str, Any]) -> None:
    told = f"{outcome['callback']} {outcome['outcome']} after {outcome['tries']} tries: {outcome['detail']}"
    if outcome["tries"] == 1:
        told = told.replace(" after 1 tries", "")
    if outcome["outcome"] == "failed":
        store.note_error(f"{job_id} {told}")
    is_noted = False
    while True:
        try:
            store.update(job_id, lambda job: {"callbacks": [*job.callbacks, outcome]}, told)
            return
        except (NoSuchJob, UnreadableJob):  # deleted or damaged meanwhile: nothing left to write into
            return
        except (JobsError, OSError) as error:  # a full disk: until there is room, as any end
            if not os.path.isdir(store.paths.data):
                return
            if not is_noted:
                store.note_error(f"{job_id} {told}, which could not be recorded yet: {error}")
            is_noted = True
            time.sleep(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
