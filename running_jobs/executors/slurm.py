"""Jobs that Slurm runs: handed over when nothing else holds them up, and followed until what became of each is known.

The end that a runner wrote is the truth. Slurm's word counts where there is none, and only for what carries our key, or
our name and the id that we know: it is asked for all jobs in one call, ever more seldom while nothing changes. That it
does not answer says nothing of any job. What was handed over is kept nowhere: another dispatcher asks Slurm first.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import time
from collections.abc import Callable

from running_jobs import files
from running_jobs.clocks import moment, seconds_left
from running_jobs.errors import InvalidJob, JobsError
from running_jobs.executors import slurm_submission as sbatch
from running_jobs.executors.slurm_asking import Asking
from running_jobs.executors.slurm_calls import Answer, Calls, SharedLock
from running_jobs.executors.slurm_endings import is_failed_start
from running_jobs.executors.slurm_handed import Handed, slurm_id_of
from running_jobs.executors.slurm_leftovers import Leftovers
from running_jobs.executors.slurm_nodes import Nodes
from running_jobs.executors.slurm_queue import Key, Row, by_job, newest
from running_jobs.executors.slurm_records import end_unstarted, is_an_end, may_still_count
from running_jobs.executors.slurm_settling import Settling
from running_jobs.executors.slurm_told import Telling
from running_jobs.executors.slurm_wishes import Wishes
from running_jobs.job import ERROR, QUEUED, Job
from running_jobs.settings import Settings
from running_jobs.store import JobStore

LOOK_EVERY_S = 1.0  # at the journal: nobody on a node can poke us
BELIEVE_AFTER_S = 2.0  # that what a runner wrote last can be read here
SUBMIT_AT_ONCE = 4
OBEY_WITHIN_S = 15.0  # after the grace; then Slurm ends it
CANCEL_AGAIN_S = 30.0


class SlurmExecutor:
    """The jobs of one data directory that Slurm is to run, or runs. `poller` is told of the programs asked."""

    def __init__(
        self, store: JobStore, settings: Settings, poller: select.poll, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._directory = sbatch.short_hash(os.path.realpath(settings.data))
        self._calls = Calls(poller)
        self._wishes = Wishes(store, settings)
        self._without_slurm: set[str] = set()  # that wait for a Slurm in the settings; it may have them all the same
        self._handed: dict[str, Handed] = {}
        self._submitting = 0
        self._leftovers = Leftovers(os.path.lexists(store.paths.for_nodes))
        self._settling = Settling(store, self._wishes, self._leftovers, self._let_go, self._start_again)
        self._lock = SharedLock(store.paths.slurm_lock)
        self._nodes = Nodes(store, settings)
        self._asking = Asking(self._calls, self._directory, clock, self._hear)
        self._is_known = False  # what Slurm has of ours
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
            self._without_slurm.add(job.id)
            return
        try:
            key = sbatch.key_of(job, self._settings)
        except InvalidJob as error:  # edited by hand
            end_unstarted(self._store, job.id, job.attempt + 1, ERROR, f"could not be handed over to Slurm: {error}")
            return
        handed = self._handed.get(job.id)
        if handed is not None and handed.is_of(key):
            handed.context = job.context
            return
        if handed is not None and handed.slurm_id and handed.attempt == key.attempt:  # it was asked for otherwise
            self._leftovers.cancel_if_waiting(handed.slurm_id)
        self._let_go(job.id)
        self._wishes.put(job, key)

    def watch(self, job: Job, now: float) -> None:
        """Follow an active job, and see that it hears what was asked of it."""
        self._wishes.forget(job.id)
        handed = self._handed.get(job.id)
        if handed is None or handed.attempt != job.attempt:
            handed = self._handed[job.id] = Handed(job.attempt, None, job.context, now)
        handed.is_active = True
        handed.slurm_id = slurm_id_of(job) or handed.slurm_id
        if (asked := job.ending_asked) and asked["verb"] != handed.told and handed.slurm_id:
            handed.told = asked["verb"]
            grace_s = self._settings.grace_seconds if handed.told == "stop" else 0.0
            handed.cancel_at = now + grace_s + OBEY_WITHIN_S
            self._calls.start(["scancel", "--signal=USR1", "--batch", handed.slurm_id], _ignore, now)

    def forget(self, job_id: str) -> None:
        """Take a job out of account that is final, gone, or not Slurm's any more; what Slurm has of it is cancelled."""
        self._wishes.forget(job_id)
        handed = self._handed.get(job_id)
        if handed is not None and handed.is_told_by_id_alone and not handed.is_active:
            self._leftovers.cancel_if_waiting(str(handed.slurm_id))
        if job_id in self._without_slurm:
            self._without_slurm.discard(job_id)
            self._leftovers.note(self._clock())
        self._let_go(job_id)

    def _let_go(self, job_id: str) -> None:
        if self._handed.pop(job_id, None) is not None:
            self._leftovers.note(self._clock())
            self._asking.soon()

    # --- what is to be done now

    def look(self, now: float, is_held: Callable[[], bool]) -> None:
        """Do what is due. `is_held` says whether nothing new may start."""
        self._calls.tell_not_started()
        self._calls.end_overdue(now)
        self._wishes.line_up_due(now)
        if not len(self):
            self._telling.is_over(now)
            return
        if not self._lock.is_held(now):
            if problem := self._lock.problem(now):
                self._tell(problem, now)
            return
        problem = self._nodes.problem(now)
        self._cancel_what_is_late(now)
        self._asking.ask_if_due(now)
        if self._is_known and self._telling.problem is None:
            if problem:
                self._tell(problem, now)
            else:
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
        waits = [part.seconds_to_next(now) for part in (self._calls, self._asking)]
        waits.append(self._wishes.seconds_to_next(now, LOOK_EVERY_S))
        if self._handed:
            waits.append(LOOK_EVERY_S)
        return max(0.0, min(wait_s for wait_s in waits if wait_s is not None))

    def tell_trouble(self, problem: str) -> None:
        """Tell people what is wrong with our own part, until Slurm answers the next time."""
        self._tell(problem, self._clock())

    def _cancel_what_is_late(self, now: float) -> None:
        for handed in self._handed.values():
            if handed.cancel_at <= now and handed.slurm_id:
                handed.cancel_at = now + CANCEL_AGAIN_S
                self._leftovers.cancel_what_counts(handed.slurm_id)
        for argv in self._leftovers.commands():
            self._calls.start(argv, _ignore, now)

    def _tell(self, problem: str | None, now: float, has_answered: bool = False) -> None:
        self._telling.tell(problem, self._handed, self._wishes.as_told(), now, has_answered)

    # --- handing over

    def _hand_over(self, now: float, is_held: Callable[[], bool]) -> None:
        while self._submitting < SUBMIT_AT_ONCE:
            contexts = [handed.context for handed in self._handed.values() if handed.takes_slot]
            job_id = self._wishes.next(contexts, is_held, now)
            if job_id is None:
                return
            with contextlib.suppress(JobsError, OSError):
                version = self._store.version(job_id)
                job = self._store.get(job_id)
                if job.status is QUEUED and job.is_slurms:
                    self._submit(job, version, now)
            self._wishes.drop(job_id)  # whatever else it is now, it is looked at for that

    def _submit(self, job: Job, version: files.Version, now: float) -> None:
        key, nonce = sbatch.key_of(job, self._settings), sbatch.nonce_for(version)
        wait_s = math.ceil(seconds_left(job.not_before, job.timer, moment(self._store.clock())))
        argv = sbatch.command(job, self._settings, key.comment(self._directory, nonce), wait_s)
        text = sbatch.script(key, self._store.paths)
        handed = self._handed[job.id] = Handed(key.attempt, key.form, job.context, math.inf, nonce=nonce)
        self._submitting += 1
        lock = self._lock.descriptor
        self._calls.start(argv, lambda answer: self._submitted(job.id, handed, answer), now, text, lock)

    def _submitted(self, job_id: str, handed: Handed, answer: Answer) -> None:
        self._submitting -= 1
        handed.since = now = self._clock()
        slurm_id = sbatch.id_in(answer.out) if answer.exit_code == 0 else None
        followed = self._handed.get(job_id)
        if followed is not handed:  # it was changed or ended meanwhile, perhaps there and back
            self._leftovers.note(now)
            if slurm_id and (followed is None or followed.nonce != handed.nonce):
                self._leftovers.cancel_if_waiting(slurm_id)
            self._asking.soon()
        elif answer.exit_code == 0:
            handed.slurm_id = slurm_id  # if it cannot be read, its comment tells it
            self._wishes.was_taken()
            self._asking.soon()
        else:
            self._was_not_taken(job_id, handed, answer, now)

    def _was_not_taken(self, job_id: str, handed: Handed, answer: Answer, now: float) -> None:
        if not answer.was_started:
            self._want_again(job_id)
            self._wishes.slow_down(now)
            self._be_away(answer.problem, now)
        elif sbatch.is_limit(answer.problem):
            self._want_again(job_id)
            self._wishes.met_limit(answer.problem, now)
        elif sbatch.is_refusal(answer):
            self._handed.pop(job_id)
            end_unstarted(self._store, job_id, handed.attempt, ERROR, f"Slurm refused it: {answer.problem}")
        elif sbatch.is_away(answer):  # it may have been taken all the same: squeue will tell
            self._wishes.slow_down(now)
            self._be_away(answer.problem, now)
        else:
            handed.problem = answer.problem
            self._wishes.slow_down(now)
            self._asking.soon()

    def _be_away(self, problem: str, now: float) -> None:
        self._asking.in_a_moment(now)
        self._tell(problem, now)

    def _want_again(self, job_id: str) -> None:
        self._handed.pop(job_id)
        with contextlib.suppress(JobsError, OSError):  # then it is looked at anew some time
            job = self._store.get(job_id)
            if job.status is QUEUED and job.is_slurms:
                self.want(job)

    # --- what Slurm says

    def _hear(self, rows: list[Row] | None, problem: str) -> None:
        now = self._clock()
        if rows is None:
            if not self._wishes and not self._handed:
                self._leftovers.give_up(now)
            self._tell(problem, now)
            return
        self._take_in(rows, now)
        self._is_known = True
        self._tell(self._nodes.problem(now), now, has_answered=True)

    def _take_in(self, rows: list[Row], now: float) -> None:
        told = by_job(rows)
        done_with = self._leftovers.done_with
        for job_id, key in list(self._wishes.items()):
            same = (row for row in told.get(job_id, ()) if row.key == key)
            self._adopt(key, [row for row in same if row.slurm_id not in done_with])
        ours = set()
        for job_id, handed in list(self._handed.items()):
            its_row = handed.row_among(told.get(job_id, ()))
            if its_row is not None:
                ours.add(its_row.slurm_id)
            if handed.seems_over(its_row, self._asking.asked_at):
                self._settle(job_id, handed, now)
        self._leftovers.take_in(rows, ours, self._is_wanted, self._asking.asked_at, self._submitting > 0)

    def _is_wanted(self, row: Row) -> bool:
        handed = self._handed.get(row.key.job_id)
        if handed is None:
            return row.key.job_id not in self._wishes and may_still_count(self._store, row)
        # of two that run, one finds the claim of the other; which one has it we may not be able to read yet
        return handed.attempt == row.key.attempt and not handed.is_active and not row.is_waiting

    def _adopt(self, key: Key, rows: list[Row]) -> None:
        """Follow what a dispatcher before us handed over like this; at the first answer, also what is over since."""
        found = newest(rows)
        if found is None or not (found.goes_on or (not self._is_known and is_an_end(self._store, found, rows))):
            return
        with contextlib.suppress(JobsError, OSError):
            context = self._store.get(key.job_id).context
            if not self._is_known:
                failed = sum(is_failed_start(row) for row in rows if row is not found)
                self._wishes.count_failed_starts(key, failed)
            self._wishes.drop(key.job_id)
            self._handed[key.job_id] = Handed(key.attempt, key.form, context, 0.0, found.slurm_id, found.nonce)

    # --- what became of those that are over

    def _settle(self, job_id: str, handed: Handed, now: float) -> None:
        if handed.over_since is None:
            handed.over_since = now
        if now - handed.over_since < BELIEVE_AFTER_S:
            self._asking.not_later_than(handed.over_since + BELIEVE_AFTER_S)
        else:
            self._settling.settle(job_id, handed, now)

    def _start_again(self, job: Job) -> None:
        self._handed.pop(job.id, None)
        self.want(job)


def _ignore(_: Answer) -> None:
    """Whether it did something, squeue will tell."""
