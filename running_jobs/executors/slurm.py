"""Jobs that Slurm runs: handed over when nothing else holds them up, and followed until what became of each is known.

The end that a runner wrote is the truth. Slurm's word counts where there is none, and only for what carries our key:
it is asked for all jobs in one call, ever more seldom while nothing changes. A controller that does not answer says
nothing of any job. What was handed over is kept nowhere: another dispatcher asks Slurm first.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import time
from collections.abc import Callable

from running_jobs.clocks import moment, seconds_left
from running_jobs.errors import InvalidJob, JobsError, NoSuchJob, UnreadableJob
from running_jobs.executors import slurm_submission as sbatch
from running_jobs.executors.slurm_calls import Answer, Calls, SharedLock
from running_jobs.executors.slurm_handed import Handed
from running_jobs.executors.slurm_leftovers import Leftovers
from running_jobs.executors.slurm_queue import COMMAND, Key, Row, rows_in
from running_jobs.executors.slurm_records import (
    end_started,
    end_unstarted,
    is_to_be_handed_over_again,
    may_count,
    prepare_nodes,
)
from running_jobs.executors.slurm_told import Telling
from running_jobs.executors.slurm_wishes import Wishes
from running_jobs.job import ACTIVE, ERROR, QUEUED, Job
from running_jobs.settings import Settings
from running_jobs.store import JobStore

ASK_EVERY_S = 2.0  # at most; and while nothing changes, up to
ASK_AT_LEAST_EVERY_S = 30.0
ASK_LATER = 1.5
LOOK_EVERY_S = 1.0  # at the journal: nobody on a node can poke us
BELIEVE_AFTER_S = 2.0  # that what a runner wrote last can be read here
SUBMIT_AT_ONCE = 4
OBEY_WITHIN_S = 15.0  # after the grace; then Slurm ends it
CANCEL_AGAIN_S = 30.0
WITHOUT_LOCK_S = 5.0  # after which people are told that an earlier submission holds things up


class SlurmExecutor:
    """The jobs of one data directory that Slurm is to run, or runs. `poller` is told of the programs asked."""

    def __init__(self, store: JobStore, settings: Settings, poller: select.poll) -> None:
        self._store = store
        self._settings = settings
        self._directory = sbatch.short_hash(os.path.realpath(settings.data))
        self._calls = Calls(poller)
        self._wishes = Wishes(store, settings)
        self._handed: dict[str, Handed] = {}
        self._submitting = 0
        self._leftovers = Leftovers(os.path.lexists(store.paths.for_nodes))
        self._rows: list[Row] = []
        self._lock = SharedLock(store.paths.slurm_lock)
        self._is_known = False  # what Slurm has of ours
        self._is_asking = False
        self._asked_at = 0.0
        self._ask_at = 0.0
        self._interval_s = ASK_EVERY_S
        self._telling = Telling(store)

    def __len__(self) -> int:
        return len(self._wishes) + len(self._handed) + len(self._calls) + bool(self._leftovers)

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._wishes or job_id in self._handed

    # --- what is to run

    def want(self, job: Job) -> None:
        """Have a queued job handed over that waits for nothing but its time and its turn, if there is a Slurm."""
        if not self._settings.has_slurm:
            self.forget(job.id)
            return
        try:
            key = sbatch.key_of(job, self._settings)
        except InvalidJob as error:  # edited by hand
            end_unstarted(self._store, job.id, job.attempt + 1, ERROR, f"could not be handed over to Slurm: {error}")
            return
        handed = self._handed.get(job.id)
        if handed is not None and handed.is_of(key):
            return
        if handed is not None and handed.slurm_id and handed.attempt == key.attempt:  # it was asked for otherwise
            self._leftovers.cancel(handed.slurm_id, only_if_waiting=True)
        self._let_go(job.id)
        self._wishes.put(job, key)

    def watch(self, job: Job, now: float) -> None:
        """Follow an active job, and see that it hears what was asked of it."""
        self._wishes.drop(job.id)
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
        self._wishes.forget(job_id)
        self._let_go(job_id)

    def _let_go(self, job_id: str) -> None:
        if self._handed.pop(job_id, None) is not None:
            self._leftovers.note(time.monotonic())
            self._ask_soon()

    # --- what is to be done now

    def look(self, now: float, is_held: Callable[[], bool]) -> None:
        """Do what is due. `is_held` says whether nothing new may start."""
        self._calls.end_overdue(now)
        if not len(self):
            self._telling.is_over()
        if not len(self) or not self._has_lock(now):
            return
        self._cancel_what_is_late(now)
        if now >= self._ask_at and not self._is_asking:
            self._is_asking, self._asked_at = True, now
            self._calls.start(COMMAND, self._hear, now)
        if self._is_known and self._telling.problem is None:
            self._hand_over(now, is_held)

    def ended(self, descriptor: int) -> bool:
        """Take note of the end of a program that was asked. Return whether it was one of ours."""
        return self._calls.ended(descriptor)

    def seconds_to_next(self, now: float) -> float | None:
        """Return when to look again, None if there is nothing to look for."""
        if not len(self):
            return None
        if not self._lock.is_held(now):
            return LOOK_EVERY_S
        waits = [self._calls.seconds_to_next(now), self._wishes.seconds_to_next(now, LOOK_EVERY_S)]
        if not self._is_asking:
            waits.append(self._ask_at - now)
        if self._handed:
            waits.append(LOOK_EVERY_S)
        return max(0.0, min(wait_s for wait_s in waits if wait_s is not None))

    def _has_lock(self, now: float) -> bool:
        """Take the lock if it is free. Whoever has it says what runners are to know."""
        was_held = self._lock.descriptor >= 0
        if not self._lock.is_held(now):
            if self._lock.waits_for_s(now) > WITHOUT_LOCK_S:
                self._telling.tell("a submission of an earlier dispatcher is still on its way", self._handed)
            return False
        if not was_held:
            prepare_nodes(self._store.paths, self._settings)
        return True

    def _cancel_what_is_late(self, now: float) -> None:
        for handed in self._handed.values():
            if handed.cancel_at <= now and handed.slurm_id:
                handed.cancel_at = now + CANCEL_AGAIN_S
                self._leftovers.end(handed.slurm_id)
        for argv in self._leftovers.commands():
            self._calls.start(argv, _ignore, now)

    # --- handing over

    def _hand_over(self, now: float, is_held: Callable[[], bool]) -> None:
        while self._submitting < SUBMIT_AT_ONCE:
            job_id = self._wishes.next([handed.context for handed in self._handed.values()], is_held, now)
            if job_id is None:
                return
            with contextlib.suppress(JobsError, OSError):
                job = self._store.get(job_id)
                if job.status is QUEUED and job.is_slurms:
                    self._submit(job, now)
            self._wishes.drop(job_id)  # whatever else it is now, it is looked at for that

    def _submit(self, job: Job, now: float) -> None:
        if not os.path.lexists(self._store.paths.for_nodes):
            prepare_nodes(self._store.paths, self._settings)
        key = sbatch.key_of(job, self._settings)
        handed = self._handed[job.id] = Handed(key.attempt, key.form, job.context, math.inf)
        self._submitting += 1
        wait_s = math.ceil(seconds_left(job.not_before, job.timer, moment(self._store.clock())))
        argv = sbatch.command(job, key, self._settings, self._directory, wait_s)
        text = sbatch.script(key, self._store.paths)
        lock = self._lock.descriptor
        self._calls.start(argv, lambda answer: self._submitted(job.id, handed, answer), now, text, lock)

    def _submitted(self, job_id: str, handed: Handed, answer: Answer) -> None:
        self._submitting -= 1
        handed.since = now = time.monotonic()
        slurm_id = sbatch.id_in(answer.out) if answer.exit_code == 0 else None
        if self._handed.get(job_id) is not handed:  # it was changed or ended meanwhile
            self._leftovers.note(now)
            if slurm_id:
                self._leftovers.cancel(slurm_id, only_if_waiting=True)
            self._ask_soon()
        elif answer.exit_code == 0:
            handed.slurm_id = slurm_id  # if it cannot be read, its key tells it
            self._wishes.was_taken()
            self._ask_soon()
        elif sbatch.is_limit(answer.problem):
            self._handed.pop(job_id)
            self._wishes.met_limit(answer.problem, now)
            self._want_again(job_id)
        elif answer.exit_code is not None and sbatch.is_refusal(answer):
            self._handed.pop(job_id)
            end_unstarted(self._store, job_id, handed.attempt, ERROR, f"Slurm refused it: {answer.problem}")
        elif sbatch.is_away(answer):  # it may have been taken all the same: squeue will tell
            self._note_problem(answer.problem)
        else:
            self._wishes.met_limit(answer.problem, now)
            self._ask_soon()

    def _want_again(self, job_id: str) -> None:
        with contextlib.suppress(JobsError, OSError):  # then it is looked at anew some time
            job = self._store.get(job_id)
            if job.status is QUEUED and job.is_slurms:
                self.want(job)

    # --- what Slurm says

    def _ask_soon(self) -> None:
        self._interval_s = ASK_EVERY_S
        self._ask_at = min(self._ask_at, self._asked_at + ASK_EVERY_S)

    def _hear(self, answer: Answer) -> None:
        self._is_asking = False
        now = time.monotonic()
        problem = answer.problem if answer.exit_code != 0 else None
        rows = self._rows
        if problem is None and (found := rows_in(answer.out, self._directory)) is None:
            problem = f"squeue said what is no list of jobs: {answer.out[:100]!r}"
        elif problem is None:
            rows = found or []
        if problem is not None:
            if not self._wishes and not self._handed:
                self._leftovers.give_up()
            self._note_problem(problem)
        elif rows != self._rows or self._telling.problem:
            self._interval_s = ASK_EVERY_S
        self._ask_at = now + self._interval_s
        self._interval_s = min(self._interval_s * ASK_LATER, ASK_AT_LEAST_EVERY_S)
        if problem is None:
            self._rows = rows
            self._is_known = True
            self._take_in(rows, now)
            self._telling.tell(None, self._handed, self._wishes.as_told())

    def _take_in(self, rows: list[Row], now: float) -> None:
        by_job: dict[str, list[Row]] = {}
        for row in rows:
            by_job.setdefault(row.key.job_id, []).append(row)
        done_with = self._leftovers.done_with
        for job_id, key in list(self._wishes.items()):  # handed over by a dispatcher before us
            if any(row.key == key and row.goes_on and row.slurm_id not in done_with for row in by_job.get(job_id, [])):
                self._adopt(job_id, key)
        ours = set()
        for job_id, handed in list(self._handed.items()):
            newest = handed.newest_of(by_job.get(job_id, []), done_with)
            if newest is not None:
                ours.add(newest.slurm_id)
            if handed.seems_over(newest, self._asked_at):
                self._settle(job_id, handed, now)
        self._leftovers.take_in(rows, ours, self._is_wanted, self._asked_at, self._submitting > 0)

    def _is_wanted(self, row: Row) -> bool:
        return row.key.job_id not in self and may_count(self._store, row)

    def _adopt(self, job_id: str, key: Key) -> None:
        with contextlib.suppress(JobsError, OSError):
            context = self._store.get(job_id).context
            self._wishes.drop(job_id)
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
                self._handed.pop(job_id, None)
                if is_to_be_handed_over_again(self._store, self._wishes, self._leftovers, job, handed, now):
                    self.want(job)
            self._let_go(job_id)
        except (NoSuchJob, UnreadableJob):
            self._let_go(job_id)
        except (JobsError, OSError) as error:  # a full disk, no descriptors: that passes
            self._store.note_error(f"{job_id}: what became of it in Slurm could not be recorded, trying again: {error}")

    def _note_problem(self, problem: str) -> None:
        self._ask_at = max(self._ask_at, time.monotonic() + ASK_EVERY_S)
        self._telling.tell(problem, self._handed)


def _ignore(_: Answer) -> None:
    """Whether it did something, squeue will tell."""
