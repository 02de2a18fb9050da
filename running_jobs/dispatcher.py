"""The dispatcher: one slim, single-threaded process per data directory that starts queued jobs when it is their turn.

It keeps nothing that it cannot rebuild from the files and may be killed at any moment. It learns what
changed from the journal, is woken by the FIFO and by its runners' ends, and blocks otherwise. It never
makes a job active (its runner does) and only ends one that is lost.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import stat
import time
import traceback

from running_jobs import files
from running_jobs.errors import JobsError, NoSuchJob, UnreadableJob
from running_jobs.executors.local import LocalExecutor
from running_jobs.housekeeping import has_work, open_jobs, tidy
from running_jobs.job import ACTIVE, FINAL, QUEUED, Job
from running_jobs.journal import Follower
from running_jobs.processes import boot_id, open_process
from running_jobs.recovery import declare_lost
from running_jobs.scheduling import WaitingLine, choose_next
from running_jobs.settings import Settings
from running_jobs.store import JobStore
from running_jobs.wake import sign

LOOK_EVERY_S = 10.0
LINGER_S = 30.0
LOOK_AT_LOCKS_S = 2.0
RETRY_LAUNCH_S = 1.0
ENDED = {*(status.value for status in FINAL), "deleted"}


class Dispatcher:
    """Holds what it knows of one data directory. `lock` is the open, locked file that says it is the only one."""

    def __init__(self, store: JobStore, settings: Settings, lock: int) -> None:
        self.store = store
        self.settings = settings
        self.lock = lock
        self.executor = LocalExecutor(store, settings)
        self.line = WaitingLine()
        self.runners: dict[str, int] = {}  # job -> pidfd, or -1 where only the lock tells
        self.jobs_by_pidfd: dict[int, str] = {}
        self.retry_at: dict[str, float] = {}  # jobs whose runner could not claim them
        self.failures: dict[str, int] = {}  # how often each of these could not be launched
        self.at_rest: dict[
            str, tuple[int, int]
        ] = {}  # open jobs with nothing to do for: idle, run elsewhere, unreadable
        self.poller = select.poll()
        self.fifo = -1
        self.follower = Follower(store.paths.journal)
        self.idle_since = time.monotonic()
        self.look_around_at = self.idle_since + LOOK_EVERY_S

    def run(self) -> None:
        """Start jobs until there has been nothing to do for a while."""
        self.open_fifo()
        self.look_at_all()
        while True:
            now = time.monotonic()
            if not files.names_file(self.store.paths.dispatcher_lock, self.lock):
                return  # the folder was removed or replaced: whoever needs us starts another
            self.look_at_changed()
            if now >= self.look_around_at:
                self.look_around_at = now + LOOK_EVERY_S
                self.look_around()
            self.launch_those_whose_turn_it_is(now)
            if self.line or self.runners:
                self.idle_since = now
            elif now - self.idle_since >= LINGER_S and self.leave():
                return
            self.wait()

    # --- what is there

    def open_fifo(self) -> None:
        """Open the FIFO for reading and writing, so that it never ends; make it if it is missing."""
        path = self.store.paths.wake
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISFIFO(os.lstat(path).st_mode):
                os.unlink(path)
        with contextlib.suppress(FileExistsError):
            os.mkfifo(path, files.PRIVATE)
        self.fifo = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
        self.poller.register(self.fifo, select.POLLIN)

    def look_at_all(self) -> None:
        """Look at every job that is not final."""
        for job_id in open_jobs(self.store, boot_id()):
            self.look_at(job_id)

    def look_around(self) -> None:
        """Find what no poke, pidfd or journal told: runners known by their locks alone, jobs laid there by hand."""
        for job_id in [job_id for job_id, pidfd in self.runners.items() if pidfd < 0]:
            self.runner_ended(job_id)
        for job_id in self.store.open_ids():
            if job_id in self.line or job_id in self.runners or job_id in self.retry_at:
                continue
            if self.at_rest.get(job_id) != self.version_of(job_id):
                self.look_at(job_id)

    def look_at_changed(self) -> None:
        """Look at the jobs that the journal names since the last time, or at all if it lost the thread."""
        changed = self.follower.changed()
        if changed is None:
            self.look_at_all()
            return
        for job_id, hint in changed.items():
            has_marker = os.path.lexists(self.store.paths.marker(job_id))
            if hint in ENDED and not has_marker:  # with one, the line may be all there is of that end
                self.forget(job_id)
            elif hint != ACTIVE or job_id not in self.runners:
                self.look_at(job_id)

    def look_at(self, job_id: str) -> None:
        """Read a job and take it into account. One that cannot be dealt with must not hold up the others."""
        try:
            self.place(self.store.get(job_id))
        except NoSuchJob:
            self.forget(job_id)
        except UnreadableJob as error:
            self.set_aside(job_id, str(error))
        except (JobsError, OSError):  # no descriptors, no lock, no room: that passes
            self.retry_later(job_id)
        except Exception:
            self.set_aside(job_id, f"{job_id} is left alone: {traceback.format_exc()}")

    def place(self, job: Job) -> None:
        """Take a job as it is into account."""
        taken = job.id in self.runners or job.id in self.retry_at
        if job.is_final:
            self.forget(job.id)
        elif job.status is QUEUED and not taken:
            self.at_rest.pop(job.id, None)
            self.line.put(job.id, job.priority)
        else:
            self.line.remove(job.id)
            if job.status is ACTIVE and not job.runs_elsewhere and not taken:
                self.adopt(job)
            elif not taken:
                self.at_rest[job.id] = self.version_of(job.id)

    def set_aside(self, job_id: str, why: str) -> None:
        """Leave a job alone until it changes, and say so once."""
        self.line.remove(job_id)
        version = self.version_of(job_id)
        if self.at_rest.get(job_id) != version:
            self.at_rest[job_id] = version
            self.store.note_error(why)

    def version_of(self, job_id: str) -> tuple[int, int]:
        """Return what changes whenever somebody writes the job's file."""
        try:
            found = os.lstat(self.store.paths.json(job_id))
        except OSError:
            return 0, 0
        return found.st_ino, found.st_mtime_ns

    def forget(self, job_id: str) -> None:
        """Take a job that is final or gone out of account; its runner, if one lives, is still watched."""
        self.line.remove(job_id)
        self.retry_at.pop(job_id, None)
        self.failures.pop(job_id, None)
        self.at_rest.pop(job_id, None)
        if os.path.lexists(self.store.paths.marker(job_id)):
            with contextlib.suppress(JobsError):
                tidy(self.store, job_id)

    def adopt(self, job: Job) -> None:
        """Watch a job that somebody else started, or declare it lost."""
        if not files.is_locked(self.store.paths.out(job.id)) and not self.settle(job.id):
            return
        pidfd = None
        if job.pid is not None and job.pid_started is not None and job.boot_id == boot_id():
            pidfd = open_process(job.pid, job.pid_started)
        self.watch(job.id, -1 if pidfd is None else pidfd)
        if pidfd is None:  # nothing will tell when it ends: look again soon
            self.look_around_at = min(self.look_around_at, time.monotonic() + LOOK_AT_LOCKS_S)

    def watch(self, job_id: str, pidfd: int) -> None:
        """Count a runner as taking a slot until it is gone."""
        self.runners[job_id] = pidfd
        if pidfd >= 0:
            self.jobs_by_pidfd[pidfd] = job_id
            self.poller.register(pidfd, select.POLLIN)

    # --- launching

    def launch_those_whose_turn_it_is(self, now: float) -> None:
        """Start queued jobs while slots are free."""
        for job_id in [job_id for job_id, at in self.retry_at.items() if at <= now]:
            del self.retry_at[job_id]
            self.look_at(job_id)
        while chosen := choose_next(self.line, len(self.runners), self.settings.slots, self.store.is_paused):
            self.line.remove(chosen)
            try:
                runner = self.executor.launch(chosen)
            except OSError as error:  # no processes, no descriptors: others will end
                self.store.note_error(f"{chosen} could not be launched, trying again: {error}")
                self.retry_later(chosen)
                return
            self.watch(chosen, runner.pidfd)

    def runner_ended(self, job_id: str) -> None:
        """Take back the slot of a runner that is gone, and see to it that its job has a truthful state."""
        pidfd = self.runners.pop(job_id)
        if pidfd >= 0:
            self.poller.unregister(pidfd)
            del self.jobs_by_pidfd[pidfd]
            os.close(pidfd)
        self.look_at(job_id)
        if job_id in self.line:  # it could not be claimed: a full disk, a lock; its runner said so
            self.retry_later(job_id)

    def retry_later(self, job_id: str) -> None:
        """Put a job off that could not be launched or claimed, ever longer, at most as long as we sleep."""
        self.line.remove(job_id)
        failed = self.failures[job_id] = self.failures.get(job_id, 0) + 1
        self.retry_at[job_id] = time.monotonic() + min(RETRY_LAUNCH_S * 2 ** min(failed - 1, 10), LOOK_EVERY_S)

    def settle(self, job_id: str) -> bool:
        """Declare a job without a living runner lost. Return True if that cannot be said for certain now."""
        try:
            return declare_lost(self.store, job_id)
        except (JobsError, OSError) as error:
            self.store.note_error(f"{job_id}: looks lost, trying again: {error}")
            return True

    # --- waiting

    def wait(self) -> None:
        """Block until a poke, a runner's end, or the next look."""
        now = time.monotonic()
        wait_s = max(0.0, self.look_around_at - now)
        if self.retry_at:
            wait_s = min(wait_s, max(0.0, min(self.retry_at.values()) - now))
        if not self.line and not self.runners:
            wait_s = min(wait_s, max(0.0, self.idle_since + LINGER_S - now))
        events = self.poller.poll(wait_s * 1000 + 1)
        for descriptor, _ in events:
            if descriptor == self.fifo:
                with contextlib.suppress(BlockingIOError):
                    while len(os.read(self.fifo, 65536)) == 65536:
                        pass
            elif descriptor in self.jobs_by_pidfd:
                self.runner_ended(self.jobs_by_pidfd[descriptor])

    # --- leaving

    def leave(self) -> bool:
        """Give up the FIFO and the lock, then look once more. Return False if there is work and the lock is ours again.

        Whoever queues a job pokes first and looks at the lock then: either that poke failed before our last
        look, or the lock was free and they start another.
        """
        self.poller.unregister(self.fifo)
        os.close(self.fifo)
        fcntl.flock(self.lock, fcntl.LOCK_UN)
        if not has_work(self.store):
            return True
        if not files.try_lock(self.lock):
            return True
        sign(self.lock)
        self.open_fifo()
        self.look_at_all()
        self.idle_since = time.monotonic()
        return False
