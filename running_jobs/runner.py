"""One attempt at one job, from the fork to its recorded end. Knows no dispatcher beyond poking it.

The runner holds the lock on `<id>.out` for as long as it lives; that lock, and nothing else, says that
the job is alive. A signal to a runner means only "read your job's file again": what is asked stands
there. All signals are blocked and waited for in one place, so nothing interrupts a step.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from typing import Any

from running_jobs import files
from running_jobs.child import HeldChild, Usage
from running_jobs.command_line import command_line
from running_jobs.ending import Ending, record_of
from running_jobs.errors import DataGone, JobsError, LockTimeout, NoSuchJob, UnreadableJob
from running_jobs.housekeeping import tidy
from running_jobs.job import ACTIVE, ERROR, QUEUED, Job, to_iso
from running_jobs.processes import (
    LOOK_AGAIN,
    Process,
    become_subreaper,
    boot_id,
    descendants,
    has_children,
    is_engine,
    kill_groups,
    look_at,
    may_signal,
    only_engines_left,
    own_children,
    rename_self,
    send_signal,
    table,
)  # fmt: skip
from running_jobs.settings import Settings
from running_jobs.store import JobStore

WAKING = {signal.SIGCHLD, LOOK_AGAIN, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2}
LOOK_EVERY_S = 10.0  # in case a signal was lost
KILL_AGAIN_S = 0.05
HOPS = 50
RETRY_WRITE_S = 1.0
CLAIM_WAIT_S = 5.0
HOST = os.uname().nodename
LASTING = {errno.ELOOP, errno.EINVAL}  # a link or a device in place of a log


def run_attempt(store: JobStore, settings: Settings, job_id: str) -> None:
    """Run a queued job to its recorded end in this process, which must be fit for it: forked, single-threaded.

    Return early, with nothing changed, if somebody else claimed or ended the job. Raise JobsError or OSError if
    it could not be claimed; the job is queued then.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, WAKING)
    attempt = _Attempt(store, settings, job_id, HeldChild())
    rename_self(f"running-jobs: job {job_id}")
    if attempt.start():
        attempt.watch()


class _Attempt:
    def __init__(self, store: JobStore, settings: Settings, job_id: str, child: HeldChild) -> None:
        self.store = store
        self.settings = settings
        self.job_id = job_id
        self.child = child
        self.main_pid = 0
        self.ending = Ending()
        self.usage = Usage()
        self.timeout_at = float("inf")
        self.kill_at = float("inf")
        self.killing = False
        self.seen_record: tuple[int, int] | None = None

    # --- start

    def start(self) -> bool:
        """Claim the job and start its command. Return False if it is not ours to run."""
        started = False
        try:
            started = self._start()
        except NoSuchJob:
            tidy(self.store, self.job_id)  # deleted before its turn, and we may have made files of it anew
        except LockTimeout as error:
            if error.path != self.store.paths.out(self.job_id):
                raise
            # else another runner of this job lives
        except OSError as error:
            if error.errno not in LASTING:
                raise
            reason = f"could not start: {error.filename}: {error.strerror}"
            self.store.transition(self.job_id, {QUEUED}, ERROR, reason=reason, ended_at=to_iso(self.store.clock()))
        finally:
            if not started:
                self.child.abandon()
                self._remove_empty_results()
        return started

    def _start(self) -> bool:
        paths = self.store.paths
        if self.store.get(self.job_id).status is not QUEUED:
            return False
        self._lock = files.open_private(paths.out(self.job_id), os.O_RDWR | os.O_CREAT)
        files.wait_for_lock(self._lock, paths.out(self.job_id), CLAIM_WAIT_S)
        become_subreaper()
        files.make_private_directory(paths.results(self.job_id))
        job = self._claim()
        if job is None:
            return False
        try:
            command = command_line(job, paths, self.settings)
        except KeyError:
            self.ending.problem = f"this version cannot run commands of type {job.command.get('type')}"
            self.child.abandon()
        else:
            self.main_pid = self.child.pid
            self.ending.problem = self.child.release(command)
        return True

    def _claim(self) -> Job | None:
        me, leader = look_at(os.getpid()), look_at(self.child.pid)
        now = to_iso(self.store.clock())
        claim: dict[str, Any] = {
            "status": ACTIVE, "pid": os.getpid(), "pid_started": me and me.started, "boot_id": boot_id(),
            "session": self.child.pid, "session_started": leader and leader.started,
            "host": HOST, "started_at": now, "asked": None, "executor": "local",
        }  # fmt: skip

        def decide(job: Job) -> dict[str, Any] | None:
            if job.status is not QUEUED:
                return None
            if job.timeout > 0:
                self.timeout_at = time.monotonic() + job.timeout
            number = job.attempt + 1
            return {**claim, "attempt": number, "attempts": [*job.attempts, {"attempt": number, "started_at": now}]}

        return self.store.update(self.job_id, decide)

    # --- watch

    def watch(self) -> None:
        """Wait until the command has ended, or was ended, with all its processes; then record it."""
        while True:
            self._reap()
            if self.ending.wait_status is not None or self.main_pid == 0:
                if not self.ending.cause and self._record_end():
                    return
                if self.ending.cause and not self._unfinished():
                    self._record_end()
                    return
            self._look_for_asked()
            now = time.monotonic()
            if self.ending.cause is None and now >= self.timeout_at:
                self._begin_ending("timeout", None)
            if now >= self.kill_at:
                self.killing = True
                self._kill_all()
                self.kill_at = now + KILL_AGAIN_S  # again, for what was forked meanwhile
            self._sleep()

    def _sleep(self) -> None:
        deadline = min(self.kill_at, self.timeout_at if self.ending.cause is None else float("inf"))
        wait_s = min(max(deadline - time.monotonic(), 0.0), LOOK_EVERY_S)
        signal.sigtimedwait(WAKING, wait_s)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
                if pid == 0:
                    return
                self.usage.add(usage)
                if pid == self.main_pid:
                    self.ending.wait_status = status

    def _unfinished(self) -> bool:
        """Whether a process is left that could still be ended. Orphans come back to us: no child, no descendant."""
        if only_engines_left():
            return False
        found = self._processes() if self.killing else []
        return not found or any(may_signal(process) for process in found)

    def _processes(self) -> list[Process]:
        return descendants([os.getpid()], table())

    def _signal_all(self, *signums: int) -> None:
        for process in self._processes():
            for signum in signums:
                send_signal(process.pid, process.started, signum)

    def _kill_all(self) -> None:
        """SIGKILL all there are, and at once those that were forked meanwhile, so that no storm of forks outruns us."""
        seen: set[tuple[int, int]] = set()
        while found := [process for process in self._processes() if (process.pid, process.started) not in seen]:
            kill_groups(found)
            for process in found:
                send_signal(process.pid, process.started, signal.SIGKILL)
                seen.add((process.pid, process.started))
        for _ in range(HOPS):  # one that forks and exits is gone before a look at all processes is over
            if only_engines_left():
                break
            for child in own_children():
                if not is_engine(child.pid):
                    send_signal(child.pid, child.started, signal.SIGKILL)
            self._reap()

    # --- ending on request

    def _look_for_asked(self) -> None:
        """Read the job's file again if it changed, and do what is asked there."""
        with contextlib.suppress(OSError, JobsError):
            found = os.stat(self.store.paths.json(self.job_id))
            if (found.st_ino, found.st_mtime_ns) != self.seen_record:
                if asked := _ending_asked(self.store.get(self.job_id)):
                    self._obey(asked)
                self.seen_record = (found.st_ino, found.st_mtime_ns)

    def _obey(self, asked: dict[str, Any]) -> None:
        verb = asked["verb"]
        if self.ending.cause is None or (verb == "kill" and not self.killing):
            self._begin_ending(verb, asked.get("by"))

    def _begin_ending(self, cause: str, by: str | None) -> None:
        now = time.monotonic()
        if self.ending.cause is None:
            self.ending.cause, self.ending.by = cause, by
        elif self.ending.cause == "stop":
            self.ending.cause, self.ending.by = cause, by  # stop -> kill: sooner than it was asked before
        if cause == "kill":
            self.kill_at = now
        else:
            self.kill_at = now + self.settings.grace_seconds
            self._signal_all(signal.SIGTERM, signal.SIGCONT)  # a stopped process sees no SIGTERM until it goes on

    # --- the end

    def _record_end(self) -> bool:
        """Write how it ended, again and again until the disk takes it, then wake the dispatcher.

        Return False if, at the last moment, somebody asked to end it and processes of it are left: that comes first.
        """
        behind = self._processes() if has_children() else []
        overruled = False

        def decide(job: Job) -> dict[str, Any] | None:
            nonlocal overruled
            if job.status is not ACTIVE or job.pid != os.getpid():
                return None
            if behind and not self.ending.cause and _ending_asked(job):
                overruled = True
                return None
            if not self.ending.cause and self.ending.exit_code != 0 and (asked := _ending_asked(job)):
                self.ending.cause, self.ending.by = asked["verb"], asked.get("by")  # it ended before our signal came
            self.ending.behind = tuple(str(process) for process in behind)
            return record_of(self.ending, job, self.usage.as_dict(), to_iso(self.store.clock()))

        while True:
            try:
                self.store.update(self.job_id, decide)
                break
            except (
                NoSuchJob,
                UnreadableJob,
                DataGone,
            ) as error:  # removed or damaged by hand: nothing left to write into
                self.store.note_error(f"{self.job_id} ended, but {error}")
                break
            except (JobsError, OSError):
                signal.sigtimedwait(WAKING - {signal.SIGCHLD}, RETRY_WRITE_S)
        if overruled:
            return False
        self._remove_empty_results()
        return True

    def _remove_empty_results(self) -> None:
        with contextlib.suppress(OSError):  # it only goes if it is empty
            os.rmdir(self.store.paths.results(self.job_id))


def _ending_asked(job: Job) -> dict[str, Any] | None:
    return job.asked if job.asked and job.asked.get("verb") in ("stop", "kill") else None
