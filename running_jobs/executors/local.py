"""Runners on this machine: two forks of the slim dispatcher, so that each is a child of init.

Only for a process with one thread and few descriptors; everything the runner needs is imported
before the fork, since what it imported itself would cost every job.
"""

from __future__ import annotations

import contextlib
import os
import signal
import struct
import traceback
from dataclasses import dataclass

from running_jobs.errors import JobsError
from running_jobs.runner import run_attempt
from running_jobs.settings import Settings
from running_jobs.store import JobStore
from running_jobs.wake import wake_dispatcher

RUNNER_UMASK = 0o077


@dataclass(frozen=True)
class LocalRunner:
    """A runner that was started: its pid and a descriptor that becomes readable when it is gone."""

    pid: int
    pidfd: int


class LocalExecutor:
    """Starts runners by a double fork."""

    def __init__(self, store: JobStore, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    def launch(self, job_id: str, version: tuple[int, int]) -> LocalRunner:
        """Start a runner for a queued job whose record was of this version when its turn came.

        Raise OSError if there are no processes or descriptors to be had.
        """
        go_read = go_write = pid_read = pid_write = -1
        try:
            go_read, go_write = os.pipe()
            pid_read, pid_write = os.pipe()
            intermediate = os.fork()
            if intermediate == 0:  # never returns: it would unwind through the dispatcher's code
                self._fork_again(job_id, version, go_read, pid_write)
            os.close(pid_write)
            pid_write = -1
            told = os.read(pid_read, 4)
            os.waitpid(intermediate, 0)  # from here on the runner is a child of init
            if len(told) < 4:
                raise OSError("the runner could not be forked")
            pid = struct.unpack("i", told)[0]
            pidfd = os.pidfd_open(pid)  # it waits for our word, so this pid is still its own
            os.write(go_write, b"\0")
            return LocalRunner(pid, pidfd)
        finally:
            for descriptor in (go_read, go_write, pid_read, pid_write):
                if descriptor >= 0:
                    os.close(descriptor)

    def _fork_again(self, job_id: str, version: tuple[int, int], go_read: int, pid_write: int) -> None:
        try:
            os.setsid()
            runner = os.fork()
            if runner:  # the intermediate: says who the runner is, and exits
                os.write(pid_write, struct.pack("i", runner))
                os._exit(0)
            self._be_runner(job_id, version, go_read)
        finally:
            os._exit(1)

    def _be_runner(self, job_id: str, version: tuple[int, int], go_read: int) -> None:
        os.umask(RUNNER_UMASK)
        os.dup2(go_read, 3)
        os.closerange(4, 1 << 20)  # the dispatcher's lock, FIFO and the other runners: theirs to hold, not ours
        told = os.read(3, 1)
        os.close(3)
        if told:  # else the dispatcher died meanwhile; the job is still queued, and the next one takes it
            try:
                run_attempt(self._store, self._settings, job_id, version)
            except (JobsError, OSError) as error:
                self._store.note_error(f"{job_id} is still queued: {error}")
            except BaseException:  # the last place where a defect can be told
                self._store.note_error(f"{job_id}: its runner failed: {traceback.format_exc()}")
        with contextlib.suppress(OSError, JobsError):
            signal.pthread_sigmask(signal.SIG_SETMASK, [])
            wake_dispatcher(self._settings)
        os._exit(0)
