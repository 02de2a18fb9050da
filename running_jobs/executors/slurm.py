"""Jobs that Slurm runs: handed over when nothing else holds them up, and followed until what became of each is known.

The end that a runner wrote is the truth. Slurm's word counts where there is none, and only for what carries our key:
it is asked for all jobs in one call, ever more seldom while nothing changes. A controller that does not answer says
nothing of any job. What was handed over is kept nowhere: another dispatcher asks Slurm first.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import time
from collections import Counter
from collections.abc import Callable

from running_jobs import files, placements
from running_jobs.clocks import moment, seconds_left
from running_jobs.errors import InvalidJob, JobsError, NoSuchJob, UnreadableJob
from running_jobs.executors.slurm_calls import Answer, Calls, SharedLock
from running_jobs.executors.slurm_endings import why_not_started
from running_jobs.executors.slurm_handed import Handed
from running_jobs.executors.slurm_queue import COMMAND, Key, Row, rows_in
from running_jobs.executors.slurm_records import end_started, end_unstarted
from running_jobs.executors.slurm_submission import command, key_of, passes, script, short_hash
from running_jobs.executors.slurm_told import Telling
from running_jobs.job import ACTIVE, ERROR, QUEUED, STOP, Job
from running_jobs.postponed import Postponed
from running_jobs.scheduling import WaitingLine, choose_next
from running_jobs.settings import Settings
from running_jobs.store import JobStore

ASK_EVERY_S = 2.0  # at most; and while nothing changes, up to
ASK_AT_LEAST_EVERY_S = 30.0
ASK_LATER = 1.5
LOOK_EVERY_S = 1.0  # at the journal: nobody on a node can poke us
BELIEVE_AFTER_S = 2.0  # that what a runner wrote last can be read here
SUBMIT_AT_ONCE = 4
UNBOUND = 1 << 30
STARTS = 3  # that may fail before a job does
OBEY_WITHIN_S = 15.0  # after the grace; then Slurm ends it
CANCEL_AGAIN_S = 30.0
NOT_NOW = 75  # a runner's exit code if its job's turn may still come


class SlurmExecutor:
    """The jobs of one data directory that Slurm is to run, or runs. `poller` is told of the programs asked."""

    def __init__(self, store: JobStore, settings: Settings, poller: select.poll) -> None:
        self._store = store
        self._settings = settings
        self._directory = short_hash(os.path.realpath(settings.data))
        self._calls = Calls(poller)
        self._line = WaitingLine(settings.context_slots)
        self._wanted: dict[str, Key] = {}  # those in line, and those put off
        self._postponed = Postponed(60.0)
        self._handed: dict[str, Handed] = {}
        self._submitting = 0
        self._failed_starts: Counter[str] = Counter()
        self._dealt_with: set[str] = set()  # Slurm's ids of attempts that came to nothing
        self._unwanted: set[str] = set()  # Slurm's ids of what nobody wants any more
        self._to_cancel: set[str] = set()
        self._rows: list[Row] = []
        self._lock = SharedLock(store.paths.slurm_lock)
        self._is_known = False  # what Slurm has of ours
        self._may_be_left = bool(placements.read(store.paths).jobs)  # of what nobody wants any more
        self._forgot_at = 0.0
        self._is_asking = False
        self._is_held = False
        self._asked_at = 0.0
        self._ask_at = 0.0
        self._interval_s = ASK_EVERY_S
        self._telling = Telling(store)

    def __len__(self) -> int:
        return len(self._wanted) + len(self._handed) + len(self._calls) + self._may_be_left

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._wanted or job_id in self._handed

    # --- what is to run

    def want(self, job: Job) -> None:
        """Have a queued job handed over that waits for nothing but its time and its turn."""
        try:
            key = key_of(job, self._settings)
        except InvalidJob as error:  # edited by hand
            end_unstarted(self._store, job.id, ERROR, f"could not be handed over to Slurm: {error}")
            return
        handed = self._handed.get(job.id)
        if handed is not None and handed.is_of(key):
            return
        if handed is not None and handed.slurm_id and handed.attempt == key.attempt:  # it was asked for otherwise
            self._to_cancel.add(handed.slurm_id)
        self._let_go(job.id)
        self._wanted[job.id] = key
        if job.id not in self._postponed:
            self._line.put(job.id, job.priority, job.context)

    def watch(self, job: Job, now: float) -> None:
        """Follow an active job, and see that it hears what was asked of it."""
        self._drop_wish(job.id)
        handed = self._handed.get(job.id)
        if handed is None or handed.attempt != job.attempt:
            handed = self._handed[job.id] = Handed(job.attempt, None, job.context, now)
        handed.is_active = True
        handed.slurm_id = (job.placed or {}).get("id") or handed.slurm_id
        if (asked := job.ending_asked) and asked["verb"] != handed.told and handed.slurm_id:
            handed.told = asked["verb"]
            grace_s = self._settings.grace_seconds if handed.told == "stop" else 0.0
            handed.cancel_at = now + grace_s + OBEY_WITHIN_S
            self._calls.start(["scancel", "--signal=USR1", "--batch", handed.slurm_id], _ignore, now)

    def forget(self, job_id: str) -> None:
        """Take a job out of account that is final, gone, or not Slurm's any more; what Slurm has of it is cancelled."""
        self._drop_wish(job_id)
        self._postponed.forget(job_id)
        self._failed_starts.pop(job_id, None)
        self._let_go(job_id)

    def _let_go(self, job_id: str) -> None:
        if self._handed.pop(job_id, None) is not None:
            self._may_be_left, self._forgot_at = True, time.monotonic()
            self._ask_soon()

    def _drop_wish(self, job_id: str) -> None:
        self._wanted.pop(job_id, None)
        self._line.remove(job_id)

    # --- what is to be done now

    def look(self, now: float, is_held: Callable[[], bool]) -> None:
        """Do what is due. `is_held` says whether nothing new may start."""
        self._calls.end_overdue(now)
        if not len(self):
            self._telling.is_over()
        if not len(self) or not self._lock.is_held(now):
            return
        for job_id in self._postponed.take_due(now):
            self._put_in_line(job_id)
        self._cancel_what_is_late(now)
        if now >= self._ask_at and not self._is_asking:
            self._is_asking, self._asked_at = True, now
            self._calls.start(COMMAND, self._hear, now)
        if self._is_known and self._telling.problem is None:
            self._is_held = len(self._line) > 0 and is_held()
            self._hand_over(now)

    def ended(self, descriptor: int) -> bool:
        """Take note of the end of a program that was asked. Return whether it was one of ours."""
        return self._calls.ended(descriptor)

    def seconds_to_next(self, now: float) -> float | None:
        """Return when to look again, None if there is nothing to look for."""
        if not len(self):
            return None
        if not self._lock.is_held(now):
            return LOOK_EVERY_S
        waits = [self._calls.seconds_to_next(now), self._postponed.seconds_to_next(now)]
        if not self._is_asking:
            waits.append(self._ask_at - now)
        if self._handed or self._is_held:
            waits.append(LOOK_EVERY_S)
        return max(0.0, min(wait_s for wait_s in waits if wait_s is not None))

    def _put_in_line(self, job_id: str) -> None:
        if job_id in self._wanted:
            with contextlib.suppress(JobsError, OSError):
                job = self._store.get(job_id)
                self._line.put(job_id, job.priority, job.context)

    def _cancel_what_is_late(self, now: float) -> None:
        for handed in self._handed.values():
            if handed.cancel_at <= now and handed.slurm_id:
                handed.cancel_at = now + CANCEL_AGAIN_S
                self._to_cancel.add(handed.slurm_id)
        if self._to_cancel:
            self._calls.start(["scancel", *sorted(self._to_cancel)], _ignore, now)
            self._to_cancel.clear()

    # --- handing over

    def _hand_over(self, now: float) -> None:
        slots = self._settings.slurm.get("slots") or UNBOUND
        while self._submitting < SUBMIT_AT_ONCE:
            running = Counter(handed.context for handed in self._handed.values())
            job_id = choose_next(self._line, running, slots, self._is_held)
            if job_id is None:
                return
            self._line.remove(job_id)
            with contextlib.suppress(JobsError, OSError):
                job = self._store.get(job_id)
                if job.status is QUEUED and job.is_slurms:
                    self._submit(job, now)
            self._wanted.pop(job_id, None)  # whatever else it is now, it is looked at for that

    def _submit(self, job: Job, now: float) -> None:
        paths = self._store.paths
        files.write_atomically(paths.for_nodes, json.dumps(self._settings.for_engine()).encode(), sync=False)
        os.close(files.open_private(paths.slurm_log, os.O_WRONLY | os.O_CREAT))  # else a node makes it for everybody
        key = key_of(job, self._settings)
        self._wanted.pop(job.id, None)
        handed = self._handed[job.id] = Handed(key.attempt, key.form, job.context, math.inf)
        self._submitting += 1
        wait_s = math.ceil(seconds_left(job.not_before, job.timer, moment(self._store.clock())))
        argv = command(job, key, self._settings, self._directory, wait_s)
        text = script(key, paths.data)
        self._calls.start(
            argv, lambda answer: self._submitted(job.id, handed, answer), now, text, self._lock.descriptor
        )

    def _submitted(self, job_id: str, handed: Handed, answer: Answer) -> None:
        self._submitting -= 1
        handed.since = time.monotonic()
        if answer.exit_code == 0:
            handed.slurm_id = answer.out.strip().partition(";")[0]
            self._ask_soon()
        elif passes(answer.problem):  # it may have been taken all the same: squeue will tell
            self._note_problem(answer.problem)
        else:
            self._handed.pop(job_id, None)
            end_unstarted(self._store, job_id, ERROR, f"Slurm refused it: {answer.problem}")

    # --- what Slurm says

    def _ask_soon(self) -> None:
        self._interval_s = ASK_EVERY_S
        self._ask_at = min(self._ask_at, self._asked_at + ASK_EVERY_S)

    def _hear(self, answer: Answer) -> None:
        self._is_asking = False
        now = time.monotonic()
        rows = list(rows_in(answer.out, self._directory))
        if answer.exit_code != 0:
            self._note_problem(answer.problem)
            rows = self._rows
        elif rows != self._rows or self._telling.problem:
            self._interval_s = ASK_EVERY_S
        self._ask_at = now + self._interval_s
        self._interval_s = min(self._interval_s * ASK_LATER, ASK_AT_LEAST_EVERY_S)
        if answer.exit_code == 0:
            self._rows = rows
            self._is_known = True
            self._take_in(rows, now)
            self._telling.tell(None, self._handed)

    def _take_in(self, rows: list[Row], now: float) -> None:
        by_job: dict[str, list[Row]] = {}
        for row in rows:
            by_job.setdefault(row.key.job_id, []).append(row)
        self._dealt_with &= {row.slurm_id for row in rows}
        for job_id, key in list(self._wanted.items()):  # handed over by a dispatcher before us
            if any(row.key == key and row.slurm_id not in self._dealt_with for row in by_job.get(job_id, [])):
                self._adopt(job_id, key)
        ours = set()
        for job_id, handed in list(self._handed.items()):
            found = handed.newest_of(by_job.get(job_id, []), self._dealt_with)
            if found is not None:
                ours.add(found.slurm_id)
            if handed.seems_over(found, self._asked_at):
                self._settle(job_id, handed, now)
        living = {row.slurm_id: row for row in rows if row.goes_on and row.slurm_id not in ours}
        self._to_cancel |= {one for one, row in living.items() if row.is_waiting or one in self._unwanted}
        self._unwanted = set(living)  # what runs may be about to leave: it is cancelled if it is still there next time
        self._may_be_left = bool(living) or self._asked_at <= self._forgot_at

    def _adopt(self, job_id: str, key: Key) -> None:
        with contextlib.suppress(JobsError, OSError):
            context = self._store.get(job_id).context
            self._drop_wish(job_id)
            self._handed[job_id] = Handed(key.attempt, key.form, context, 0.0)

    # --- what became of those that are over

    def _settle(self, job_id: str, handed: Handed, now: float) -> None:
        """Decide what became of an attempt that Slurm says is over, or does not know."""
        if handed.over_since is None:
            handed.over_since = now
        if now - handed.over_since < BELIEVE_AFTER_S:
            self._ask_at = min(self._ask_at, handed.over_since + BELIEVE_AFTER_S)
            return
        try:
            job = self._store.get(job_id)
            if job.status is ACTIVE and job.attempt == handed.attempt:
                end_started(self._store, job_id, handed)
            elif job.status is QUEUED and job.attempt + 1 == handed.attempt and job.is_slurms:
                self._deal_with_unstarted(job, handed, now)
            self._let_go(job_id)
        except (NoSuchJob, UnreadableJob):
            self._let_go(job_id)
        except (JobsError, OSError) as error:  # a full disk, no descriptors: that passes
            self._store.note_error(f"{job_id}: what became of it in Slurm could not be recorded, trying again: {error}")

    def _deal_with_unstarted(self, job: Job, handed: Handed, now: float) -> None:
        """Hand a job over again of which Slurm began nothing, unless that was meant so or is hopeless."""
        row = handed.row
        if row is not None:
            self._dealt_with.add(row.slurm_id)
            if row.state == "CANCELLED" and not row.node:  # else it had begun: a controller that crashed may do that
                end_unstarted(self._store, job.id, STOP, "cancelled in Slurm (scancel) before it started")
                return
            if row.state == "FAILED" and not row.ended_with(NOT_NOW):
                self._failed_starts[job.id] += 1
                if self._failed_starts[job.id] >= STARTS:
                    end_unstarted(self._store, job.id, ERROR, why_not_started(row))
                    return
            self._postponed.put_off(job.id, now)
        self._handed.pop(job.id, None)
        self.want(job)

    def _note_problem(self, problem: str) -> None:
        self._ask_at = max(self._ask_at, time.monotonic() + ASK_EVERY_S)
        self._telling.tell(problem, self._handed)


def _ignore(_: Answer) -> None:
    """Whether it did something, squeue will tell."""
