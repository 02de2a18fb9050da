"""A runner on a node of Slurm's: `node DATA JOB_ID ATTEMPT FORM`, as the dispatcher's batch script runs it.

It shares nothing with the dispatcher but the data directory: it signals nobody, opens no FIFO and starts no
dispatcher. Slurm may start it twice for one attempt; the second finds the claim of the first, and leaves. What Slurm
ends (a limit, a preemption, scancel) is left to the dispatcher to record, which asks Slurm why.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterable
from typing import Any

from running_jobs import files
from running_jobs.attempt import HOST, Attempt
from running_jobs.clocks import moment, seconds_left
from running_jobs.command_line import ENVIRONMENT
from running_jobs.dependencies import still_to_come
from running_jobs.errors import JobsError
from running_jobs.executors.slurm_queue import Key
from running_jobs.executors.slurm_submission import NOT_NOW, key_of
from running_jobs.job import ACTIVE, QUEUED, SLURM, Job
from running_jobs.paths import JobPaths
from running_jobs.runner import become_runner
from running_jobs.sampler import Sampler
from running_jobs.settings import Settings, engine_settings
from running_jobs.store import Decision, JobStore

USAGE = "usage: node DATA JOB_ID ATTEMPT FORM (a batch script of the dispatcher's runs it)"
MAX_BYTES = 8 << 20
OF_THE_SCRIPT = ("ENVIRONMENT", "HOSTNAME", "SHLVL", "PWD", "OLDPWD", "_")
LOOK_EVERY_S = 2.0  # at the job's file: few signals reach a runner here
EARLY_S = 5.0  # by which a node may begin before the time, with its clock behind
TERM_LATER_S = 1.0  # than its children the batch process may get its SIGTERM


def main(arguments: list[str]) -> int:
    """Run one attempt. Return 0 if it has run or was not ours to run, NOT_NOW if it is not its turn."""
    if len(arguments) != 4:
        sys.stderr.write(f"{USAGE}\n")
        return 2
    data, job_id, number, form = arguments
    settings = engine_settings(json.loads(files.read_bounded(JobPaths(data).for_nodes, MAX_BYTES)))
    leave_out_of_commands(OF_THE_SCRIPT)
    attempt = NodeAttempt(JobStore.of(settings), settings, Key(job_id, int(number), form))
    become_runner()
    try:
        is_ours = attempt.start()
    except (JobsError, OSError) as error:  # a lock that somebody holds, a disk that is full: it is queued still
        sys.stderr.write(f"{job_id} was not run: {error}\n")
        return NOT_NOW
    if is_ours:
        attempt.watch()
    return NOT_NOW if attempt.is_early else 0


def leave_out_of_commands(names: Iterable[str]) -> None:
    """Have commands not see what Slurm or its shell says of the batch script itself."""
    for name in names:
        ENVIRONMENT.pop(name, None)


class NodeAttempt(Attempt):
    """An attempt whose word is its record: no lock of it is looked at, since locks may outlive a node."""

    def __init__(self, store: JobStore, settings: Settings, key: Key) -> None:
        super().__init__(store, settings, key.job_id)
        self.is_early = False  # its turn may still come
        self._key = key
        self._samples = Sampler.of(store)
        self._placed = {
            "attempt": key.attempt,
            "id": os.environ.get("SLURM_JOB_ID"),
            "partition": os.environ.get("SLURM_JOB_PARTITION"),
            "node": os.environ.get("SLURMD_NODENAME") or HOST,
        }
        self.place = {"node": str(self._placed["node"])}
        self.look_every_s = LOOK_EVERY_S

    def hold(self) -> bool:
        """See whether it is its turn, before anything is made for it; Slurm begins up to a second too early."""
        job = self.store.get(self.job_id)
        if not self.may_run(job):
            return False
        time.sleep(min(EARLY_S, seconds_left(job.not_before, job.timer, moment(self.store.clock()))))
        return True

    def may_run(self, job: Job) -> bool:
        """Say whether this very attempt is to come now, asked for as this one was: it may have been changed since."""
        if job.status is not QUEUED or not job.is_slurms or job.attempt + 1 != self._key.attempt:
            return False
        self.is_early = key_of(job, self.settings) != self._key
        if self.is_early:
            return False
        is_due = seconds_left(job.not_before, job.timer, moment(self.store.clock())) <= EARLY_S
        self.is_early = self.store.is_paused or not is_due or still_to_come(self.store, job) != ([], None)
        return not self.is_early

    def claim_of(self, job: Job) -> dict[str, Any]:
        """Say where Slurm had it run."""
        self._samples.follow(job.id)
        return {"executor": SLURM, "placed": self._placed}

    def is_ours(self, job: Job) -> bool:
        """Say whether it is active with this attempt, here: pids are no names among several hosts."""
        return job.status is ACTIVE and job.attempt == self._key.attempt and job.placed == self._placed

    def write(self, decide: Decision, tell: bool = True) -> Job | None:
        """Write under the lock of all: somebody else may take this job for lost, and have it run again meanwhile.

        What nobody needs to be told is not written: between hosts that lock is dear.
        """
        return self.store.update(self.job_id, decide) if tell else None

    def woken(self, signum: int | None) -> None:
        """Take SIGTERM for what it is: Slurm wants its node back."""
        if signum == signal.SIGTERM and self.ending.cause is None:
            self.begin_ending("slurm", None)
        now = time.monotonic()
        if now >= self._samples.due_at:
            self._samples.look(now)
        self.look_every_s = min(LOOK_EVERY_S, max(0.0, self._samples.due_at - now))

    def disowned(self) -> None:
        """End what still runs of an attempt that was taken for lost: another may run already."""
        if self.ending.cause is None:
            self.begin_ending("kill", None)

    def record_end(self) -> bool | None:
        """Write how it ended, unless Slurm ended it: why, Slurm tells the dispatcher."""
        is_terminated = self.ending.cause is None and self.ending.signal == signal.SIGTERM
        if is_terminated and signal.sigtimedwait({signal.SIGTERM}, TERM_LATER_S):
            self.ending.cause = "slurm"
        return self._record_what_was_used() if self.ending.cause == "slurm" else super().record_end()

    def _record_what_was_used(self) -> bool:
        ended = {"exit_code": self.ending.exit_code, "signal": self.ending.signal}
        used = {"usage": self.family.usage.as_dict(), "placed": {**self._placed, **ended}}
        with contextlib.suppress(JobsError, OSError):  # it is only for people
            self.store.update(self.job_id, lambda job: used if self.is_ours(job) else None, "ended by Slurm")
        return True
