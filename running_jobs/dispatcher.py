"""The dispatcher: one slim, single-threaded process per data directory that starts queued jobs when it is their turn.

It keeps nothing that it cannot rebuild from the files and may be killed at any moment. It learns what
changed from the journal, is woken by the FIFO and by its runners' ends, and blocks otherwise. It never
makes a job active (its runner does) and only ends one that is lost.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import os
import select
import signal
import stat
import sys
import time
import traceback

from running_jobs import files
from running_jobs.errors import JobsError, LockTimeout, NoSuchJob, UnreadableJob
from running_jobs.executors.local import LocalExecutor
from running_jobs.job import ACTIVE, FINAL, QUEUED, Job
from running_jobs.journal import Follower
from running_jobs.processes import boot_id, open_process
from running_jobs.recovery import declare_lost
from running_jobs.scheduling import WaitingLine, choose_next
from running_jobs.settings import Settings, engine_settings, load_settings
from running_jobs.store import JobStore
from running_jobs.wake import REPLACE_WAIT_S, sign

LOOK_EVERY_S = 10.0
LINGER_S = 30.0
RETRY_LAUNCH_S = 1.0
GIVEN_LOCK = 3
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
        self.at_rest: set[str] = set()  # open jobs with nothing to do for: idle, run elsewhere, unreadable
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
                self.look_around()
                self.look_around_at = now + LOOK_EVERY_S
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
        self.store.rebuild_open(boot_id())
        for job_id in self.store.open_ids():
            self.look_at(job_id)

    def look_around(self) -> None:
        """Find what no poke, pidfd or journal told: runners known by their locks alone, jobs laid there by hand."""
        for job_id in [job_id for job_id, pidfd in self.runners.items() if pidfd < 0]:
            self.runner_ended(job_id)
        for job_id in self.store.open_ids():
            if not (job_id in self.line or job_id in self.runners or job_id in self.retry_at or job_id in self.at_rest):
                self.look_at(job_id)

    def look_at_changed(self) -> None:
        """Look at the jobs that the journal names since the last time, or at all if it lost the thread."""
        changed = self.follower.changed()
        if changed is None:
            self.look_at_all()
            return
        for job_id, hint in changed.items():
            if hint in ENDED:
                self.forget(job_id)
            elif hint != ACTIVE or job_id not in self.runners:
                self.look_at(job_id)

    def look_at(self, job_id: str) -> None:
        """Read a job and take it into account. A job that cannot be read is told once and left alone."""
        try:
            job = self.store.get(job_id)
        except NoSuchJob:
            self.forget(job_id)
            return
        except UnreadableJob as error:
            self.line.remove(job_id)
            if job_id not in self.at_rest:
                self.at_rest.add(job_id)
                self.store.note_error(str(error))
            return
        if job.status is QUEUED and job_id not in self.runners and job_id not in self.retry_at:
            self.at_rest.discard(job_id)
            self.line.put(job_id, job.priority)
            return
        self.line.remove(job_id)
        if job.status is ACTIVE and not job.runs_elsewhere and job_id not in self.runners:
            self.adopt(job)
        elif job.is_final:
            self.forget(job_id)
        elif job_id not in self.runners and job_id not in self.retry_at:
            self.at_rest.add(job_id)

    def forget(self, job_id: str) -> None:
        """Take a job that is final or gone out of account; its runner, if one lives, is still watched."""
        self.line.remove(job_id)
        self.retry_at.pop(job_id, None)
        self.failures.pop(job_id, None)
        self.at_rest.discard(job_id)
        if os.path.lexists(self.store.paths.marker(job_id)):
            with contextlib.suppress(JobsError):
                self.store.tidy(job_id)

    def adopt(self, job: Job) -> None:
        """Watch a job that somebody else started, or declare it lost."""
        if not files.is_locked(self.store.paths.out(job.id)) and not self.settle(job.id):
            return
        pidfd = None
        if job.pid is not None and job.pid_started is not None and job.boot_id == boot_id():
            pidfd = open_process(job.pid, job.pid_started)
        self.watch(job.id, -1 if pidfd is None else pidfd)

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
        with contextlib.suppress(NoSuchJob, UnreadableJob):
            job = self.store.get(job_id)
            if job.status is ACTIVE:
                self.adopt(job)
            elif job.status is QUEUED:  # it could not be claimed: a full disk, a lock; told by the runner
                self.retry_later(job_id)

    def retry_later(self, job_id: str) -> None:
        """Put a job off that could not be launched or claimed, ever longer, at most as long as we sleep."""
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
        if not self.store.has_work():
            return True
        if not files.try_lock(self.lock):
            return True
        self.open_fifo()
        self.look_at_all()
        self.idle_since = time.monotonic()
        return False


def main(data: str) -> None:
    """Be the dispatcher of a data directory in this process, which was started for it and ends with it."""
    settings = _settings_handed_over() or load_settings(data)
    store = JobStore(settings.data, settings.fsync)
    lock = _take_lock(store)
    if lock is None:
        return
    os.chdir("/")
    os.umask(0o077)
    _detach_from_terminal()
    os.closerange(lock + 1, 1 << 20)
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, signal.SIG_DFL)
    try:
        dispatcher = Dispatcher(store, settings, lock)
        sign(lock)
        gc.collect()
        gc.disable()
        gc.freeze()  # the collector's marks would copy every page that runners share
        dispatcher.run()
    except BaseException:
        store.note_error(f"The dispatcher failed: {traceback.format_exc()}")
        raise


def _settings_handed_over() -> Settings | None:
    if not stat.S_ISREG(os.fstat(0).st_mode):
        return None
    with os.fdopen(os.dup(0), "rb") as handed_over:
        content = handed_over.read()
    return engine_settings(json.loads(content)) if content else None


def _take_lock(store: JobStore) -> int | None:
    """Return the open file whose lock is ours: handed down by who started us, or waited for. None if another has it."""
    with contextlib.suppress(OSError):
        if files.names_file(store.paths.dispatcher_lock, GIVEN_LOCK) and files.try_lock(GIVEN_LOCK):
            os.set_inheritable(GIVEN_LOCK, False)
            return GIVEN_LOCK
    store.prepare()
    lock = files.open_private(store.paths.dispatcher_lock, os.O_RDWR | os.O_CREAT)
    try:
        files.wait_for_lock(lock, store.paths.dispatcher_lock, REPLACE_WAIT_S)
    except LockTimeout as error:
        sys.stderr.write(f"{error}\n")
        return None
    return lock


def _detach_from_terminal() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
