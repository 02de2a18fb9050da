"""The small processes that a dispatcher has run beside the jobs: callbacks of ended jobs, and pruning.

They are children of the dispatcher and take no slot. One that the dispatcher's death left behind goes on; the lock
on its job's marker keeps a second one from making the same callback at the same time.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import signal
import time

from running_jobs import files
from running_jobs.engine import COMMANDS, spawn
from running_jobs.housekeeping import TIDY_EVERY_S, seconds_since_tidied
from running_jobs.settings import Settings
from running_jobs.store import JobStore

CALLBACKS_AT_ONCE = 32
RETRY_S = 5.0
PRUNE_AT_MOST_EVERY_S = 5.0
PRUNE_AT_LEAST_EVERY_S = 3600.0  # days pass also while no job ends; where no job expires, TIDY_EVERY_S is enough
PRUNE_SHARE = 0.05  # of one core at most, niced, however long it takes to look at all jobs


class Errands:
    """What is to be run, and what runs. `poller` is told of each process, whose pidfd becomes readable at its end."""

    def __init__(self, store: JobStore, settings: Settings, poller: select.poll) -> None:
        self._store = store
        self._settings = settings
        self._poller = poller
        self._wanted: dict[str, None] = {}  # jobs whose callbacks are to be made, in order
        self._running: dict[int, tuple[int, str]] = {}  # pidfd -> pid, job (or an empty text for pruning)
        self._prunes = settings.keep_days > 0 or settings.keep_jobs > 0
        self._prune_at = 0.0
        self._tidy_at: float | None = None
        self._prune_began = 0.0
        self._has_ended_jobs = True
        self._last_ended = ""
        self._retry_at = 0.0
        self._fails = False

    def __len__(self) -> int:
        return len(self._wanted) + len(self._running)

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._wanted or any(job == job_id for _, job in self._running.values())

    def want_callbacks(self, job_id: str) -> None:
        """Have the callbacks of an ended job made."""
        self._wanted[job_id] = None

    def forget(self, job_id: str) -> None:
        """Start nothing for a job for now."""
        self._wanted.pop(job_id, None)

    def job_ended(self, job_id: str) -> None:
        """Note that there may be more to prune; the journal's last line tells of the same end again and again."""
        if job_id != self._last_ended:
            self._last_ended = job_id
            self._has_ended_jobs = True

    def start(self, now: float) -> None:
        """Start what is to be run, as far as there is room; if there are no processes to be had, try again later."""
        if self._tidy_at is None:  # by now it is known when that was done last
            self._tidy_at = now + TIDY_EVERY_S - seconds_since_tidied(self._store)
        if now < self._retry_at:
            return
        try:
            self._start(now)
            self._fails = False
        except OSError as error:
            self._retry_at = now + RETRY_S
            if not self._fails:
                self._store.note_error(f"A callback or pruning could not be started, trying again: {error}")
            self._fails = True

    def _start(self, now: float) -> None:
        for job_id in list(
            itertools.islice(self._wanted, max(0, CALLBACKS_AT_ONCE + self._is_pruning() - len(self._running)))
        ):
            if not files.is_locked(self._store.paths.marker(job_id)):  # else one that outlived a dispatcher is at it
                self._spawn(["callback", self._settings.data, job_id], job_id)
            del self._wanted[job_id]
        if now >= self._next_prune_at() and not self._is_pruning():
            self._spawn(["prune", self._settings.data], "")
            self._tidy_at = now + TIDY_EVERY_S
            self._has_ended_jobs = False
            self._prune_began = now

    def seconds_to_next(self, now: float) -> float | None:
        """Return when to start something that only time holds up, None if there is no such thing."""
        times = [] if self._is_pruning() else [self._next_prune_at()]
        if self._fails:
            times = [max(self._retry_at, at) for at in (*times, self._retry_at)]
        return max(0.0, min(times) - now) if times else None

    def ended(self, pidfd: int) -> str | None:
        """Take note of a process's end. Return the job to look at again, an empty text if none, None if not ours."""
        if pidfd not in self._running:
            return None
        pid, job_id = self._running.pop(pidfd)
        self._poller.unregister(pidfd)
        os.close(pidfd)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
        if not job_id:
            took_s = time.monotonic() - self._prune_began
            self._prune_at = time.monotonic() + max(PRUNE_AT_MOST_EVERY_S, took_s / PRUNE_SHARE)
        return job_id

    def _next_prune_at(self) -> float:
        tidy_at = float("inf") if self._tidy_at is None else self._tidy_at
        if not self._prunes:
            return tidy_at
        return min(tidy_at, self._prune_at if self._has_ended_jobs else self._prune_began + PRUNE_AT_LEAST_EVERY_S)

    def _is_pruning(self) -> bool:
        return any(not job_id for _, job_id in self._running.values())

    def _spawn(self, arguments: list[str], job_id: str) -> None:
        pid = spawn(COMMANDS, arguments, self._settings)
        try:
            pidfd = os.pidfd_open(pid)  # our own child: the pid is its own until we wait for it
        except OSError:  # no descriptors: nobody would see its end; it has not done anything yet
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        self._running[pidfd] = (pid, job_id)
        self._poller.register(pidfd, select.POLLIN)
