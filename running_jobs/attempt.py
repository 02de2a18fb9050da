"""One attempt at one job, from its claim to its recorded end. Knows no dispatcher, nor where it runs.

A signal to a runner means only "read your job's file again": what is asked stands there. All signals are blocked and
waited for in one place, so nothing interrupts a step.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from running_jobs import files
from running_jobs.child import cpu_of_ended_children_s, start
from running_jobs.clocks import moment
from running_jobs.command_line import command_line, logs_of, marks_of
from running_jobs.ending import Ending, record_of
from running_jobs.errors import NOT_OURS, DataGone, JobsError, LockTimeout, NoSuchJob, NotAllowed, UnreadableJob
from running_jobs.family import Family
from running_jobs.files import Version
from running_jobs.growth import Growth
from running_jobs.housekeeping import tidy
from running_jobs.job import ACTIVE, ERROR, QUEUED, Job, to_iso
from running_jobs.processes import LOOK_AGAIN, boot_id, has_children, look_at, own_start, ticks_since_boot
from running_jobs.settings import Settings
from running_jobs.store import Decision, JobStore

_WAKING = (signal.SIGCHLD, LOOK_AGAIN, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
WAKING = frozenset(map(int, _WAKING))  # small numbers share a page; members of an enum would cost each runner some
KILL_AGAIN_S = 0.05
LOOK_AT_STRAYS_S = 0.1
NOTE_SESSION_S = 0.01
RETRY_WRITE_S = 1.0
HOST = os.uname().nodename


class Attempt(ABC):
    """What every runner does. Those who know where it runs say how a job is held, claimed and written meanwhile."""

    look_every_s = 10.0  # in case a signal was lost
    place: Mapping[str, str] = {}  # what an attempt's entry in the record says of where it ran

    def __init__(self, store: JobStore, settings: Settings, job_id: str) -> None:
        self.store = store
        self.settings = settings
        self.job_id = job_id
        self.family = Family()
        self.note_session_at = float("inf")
        self.logs = Growth(settings.max_log_bytes)
        self.look_at_logs_at = 0.0 if settings.max_log_bytes else float("inf")
        self.ending = Ending(limit=settings.max_log_bytes)
        self.timeout_at = float("inf")
        self.kill_at = float("inf")
        self.seen_version: Version | None = None
        self._is_held = False
        self.recorded: Job | None = None  # as its end was written

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
            if not self._runs_in_another():
                self.store.note_error(
                    f"{self.job_id} cannot begin: something that still lives holds the lock on its output"
                )
        except OSError as error:
            if error.errno not in NOT_OURS or self.seen_version:
                raise
            reason = f"could not start: {error.filename}: {error.strerror}"
            self.store.transition(self.job_id, {QUEUED}, ERROR, reason=reason, ended_at=to_iso(self.store.clock()))
        finally:
            if not started and self._is_held and not self._runs_in_another():  # else the folder is not ours
                self._remove_empty_results()
        return started

    # --- what depends on where it runs

    @abstractmethod
    def hold(self) -> bool:
        """Take hold of a job that is about to be claimed. Return False if its turn is over."""

    @abstractmethod
    def may_run(self, job: Job) -> bool:
        """Say whether it still is the job's turn: since it came, somebody may have run it, or put it off."""

    @abstractmethod
    def claim_of(self, job: Job) -> dict[str, Any]:
        """Return the fields that say where a claimed job runs."""

    @abstractmethod
    def is_ours(self, job: Job) -> bool:
        """Say whether it is this attempt that a job is active with."""

    @abstractmethod
    def write(self, decide: Decision, tell: bool = True) -> Job | None:
        """Change the job as JobStore.update does; what no reader has to be told of may be left out of the journal."""

    def written_version(self) -> Version:
        """Return the version of the record that was written last; zeros if that is not known."""
        return 0, 0, 0

    def woken(self, signum: int | None) -> None:
        """Do what is to be done after a sleep: a signal came, or time went by."""
        return

    def disowned(self) -> None:
        """Do what is to be done now that somebody else decided what became of this attempt."""
        return

    # --- the claim

    def _start(self) -> bool:
        paths = self.store.paths
        self._is_held = self.hold()
        if not self._is_held:
            return False
        files.make_private_directory(paths.results(self.job_id))
        job = self._claim()
        if job is None:
            return False
        if job.attempt > 1:
            self._follow_earlier(job)
        try:
            command = command_line(job, paths, self.settings)
        except (KeyError, NotAllowed) as error:
            unknown = f"this version cannot run commands of type {job.command.get('type')}"
            self.ending.problem = unknown if isinstance(error, KeyError) else str(error)
        else:
            earliest = ticks_since_boot()
            self.family.first, self.ending.problem, self.ending.may_pass = start(command)
            if self.family.first:
                self.store.files.note_session(self.job_id, self.family.first, earliest, ticks_since_boot())
                self.note_session_at = time.monotonic() + NOTE_SESSION_S
        return True

    def _note_session(self) -> None:
        """Write the session into the record. Most jobs that are over at once are spared that: their end tells it."""
        self.note_session_at = float("inf")
        leader = look_at(self.family.first)
        if leader is not None:
            session = {"session": leader.pid, "session_started": leader.started}
            try:
                self.write(lambda job: session if self.is_ours(job) else None, tell=False)
            except (JobsError, OSError):
                self.note_session_at = time.monotonic() + RETRY_WRITE_S

    def _follow_earlier(self, job: Job) -> None:
        """Say in the logs that another attempt begins, and count what earlier ones left behind as ours."""
        paths = self.store.paths
        line = f"--- attempt {job.attempt} of {job.retries + 1}, {job.started_at} ---"
        for path in (paths.out(job.id), paths.err(job.id)):
            with contextlib.suppress(OSError):  # no room for it is no reason not to run
                files.append_line(path, line)
        self.family.know_earlier(marks_of(paths, job.id), logs_of(paths, job.id))

    def _claim(self) -> Job | None:
        now = to_iso(self.store.clock())
        claim: dict[str, Any] = {
            "status": ACTIVE, "pid": os.getpid(), "pid_started": own_start(), "boot_id": boot_id(),
            "session": None, "session_started": None, "cpu_before_s": cpu_of_ended_children_s(), "host": HOST,
            "started_at": now, "asked": None, "reason": None,
        }  # fmt: skip

        def decide(job: Job) -> dict[str, Any] | None:
            if not self.may_run(job):
                return None
            if job.timeout > 0:
                self.timeout_at = time.monotonic() + job.timeout
            number = job.attempt + 1
            attempts = [*job.attempts, {"attempt": number, "started_at": now, **self.place}]
            return {**claim, **self.claim_of(job), "attempt": number, "attempts": attempts}

        claimed = self.write(decide)
        if claimed is not None:
            self.seen_version = self.written_version()
        return claimed

    # --- watch

    def watch(self) -> bool:
        """Wait until the command has ended, or was ended, with all its processes; then record it.

        Return False if there was nothing left to record it in.
        """
        while True:
            self.family.reap()
            self.ending.wait_status = self.family.wait_status
            if self.ending.wait_status is not None or self.family.first == 0:
                is_over = not self.ending.cause or not self.family.can_be_ended()
                if is_over and (recorded := self.record_end()) is not None:
                    return recorded
            now = time.monotonic()
            if now >= self.note_session_at:
                self._note_session()
            self._look_for_asked()
            if self.ending.cause is None and now >= self.timeout_at:
                self.begin_ending("timeout", None)
            if now >= self.look_at_logs_at:
                self._look_at_logs(now)
            if now >= self.kill_at:
                self.family.kill()
                self.kill_at = now + KILL_AGAIN_S  # again, for what was forked meanwhile
            self._sleep()

    def _sleep(self) -> None:
        timeout_at = self.timeout_at if self.ending.cause is None else float("inf")
        deadline = min(self.kill_at, timeout_at, self.look_at_logs_at, self.note_session_at)
        wait_s = min(max(deadline - time.monotonic(), 0.0), self.look_every_s)
        if self.ending.cause and self.family.has_strays:
            wait_s = min(wait_s, LOOK_AT_STRAYS_S)
        came = signal.sigtimedwait(WAKING, wait_s)
        self.woken(came.si_signo if came else None)

    def _look_at_logs(self, now: float) -> None:
        """End a job that writes too much: as a timeout would, and at once if it writes as much again meanwhile."""
        paths = self.store.paths
        size = sum(files.size_of(path(self.job_id)) for path in (paths.out, paths.err, paths.response))
        if size > self.logs.bound:
            if self.ending.cause is None:
                self.begin_ending("log", None)
            elif self.ending.cause == "log":
                self.kill_at = now
            self.logs.bound = size + self.ending.limit
        self.look_at_logs_at = now + self.logs.look_again_in(size, now)

    # --- ending on request

    def _look_for_asked(self) -> None:
        """Read the job's file again if it changed, and do what is asked there."""
        with contextlib.suppress(OSError, JobsError):
            version = self.store.version(self.job_id)
            if version != self.seen_version:
                job = self.store.get(self.job_id)
                if not self.is_ours(job):
                    self.disowned()
                elif job.ending_asked:
                    self._obey(job.ending_asked)
                self.seen_version = version

    def _obey(self, asked: dict[str, Any]) -> None:
        verb = asked["verb"]
        if self.ending.cause is None or (verb == "kill" and not self.family.killing):
            self.begin_ending(verb, asked.get("by"))

    def begin_ending(self, cause: str, by: str | None) -> None:
        """End the command: at once for `kill`, otherwise asked first and after the grace. `by` is who wants that."""
        now = time.monotonic()
        if self.ending.cause is None:
            self.ending.cause, self.ending.by = cause, by
        elif self.ending.cause == "stop":
            self.ending.cause, self.ending.by = cause, by  # stop -> kill: sooner than it was asked before
        if cause == "kill":
            self.kill_at = now
        else:
            self.kill_at = now + self.settings.grace_seconds
            self.family.send(signal.SIGTERM, signal.SIGCONT)  # a stopped process sees no SIGTERM until it goes on

    # --- the end

    def record_end(self) -> bool | None:
        """Write how it ended, again and again until the disk takes it. Return whether there was a record to write into.

        Return None if, at the last moment, somebody asked to end it and processes of it are left: that comes first.
        """
        behind = self.family.members() if has_children() or self.family.has_strays else []
        overruled = False
        ended = moment(self.store.clock())  # and not when the disk takes it

        def decide(job: Job) -> dict[str, Any] | None:
            nonlocal overruled
            if not self.is_ours(job):
                return None
            if behind and not self.ending.cause and job.ending_asked:
                overruled = True
                return None
            if not self.ending.cause and self.ending.exit_code != 0 and (asked := job.ending_asked):
                self.ending.cause, self.ending.by = asked["verb"], asked.get("by")  # it ended before our signal came
            self.ending.behind = tuple(str(process) for process in behind)
            end = record_of(self.ending, job, self.family.usage.as_dict(), ended)
            return {"session": self.family.first or None, "cpu_before_s": None, **end}

        while True:
            try:
                self.recorded = self.write(decide)
                break
            except (NoSuchJob, UnreadableJob, DataGone) as error:  # by hand: there is nothing left to write into
                self.store.note_error(f"{self.job_id} ended, but {error}")
                break
            except (JobsError, OSError):
                signal.sigtimedwait(WAKING - {signal.SIGCHLD}, RETRY_WRITE_S)
        if overruled:
            return None
        if self.recorded or not self._runs_in_another():
            self._remove_empty_results()
        return self.recorded is not None

    def _runs_in_another(self) -> bool:
        with contextlib.suppress(JobsError, OSError):
            job = self.store.get(self.job_id)
            return job.status is ACTIVE and not self.is_ours(job)
        return False

    def _remove_empty_results(self) -> None:
        with contextlib.suppress(OSError):  # it only goes if it is empty
            os.rmdir(self.store.paths.results(self.job_id))
