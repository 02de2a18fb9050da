"""The dispatcher: one slim, single-threaded process per data directory that starts queued jobs when it is their turn.

It keeps nothing that it cannot rebuild from the files and may be killed at any moment. It learns what
changed from the journal, is woken by the FIFO and by its runners' ends, and blocks otherwise. It never
makes a job active (its runner does) and only ends one that is lost or waits for what will never come.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import time
import traceback

from running_jobs import files
from running_jobs.brake import Brake
from running_jobs.errands import Errands
from running_jobs.errors import JobsError, LockTimeout, NoSuchJob, UnreadableJob
from running_jobs.executors.fork_server import NOT_FORKED
from running_jobs.executors.local import LocalExecutor
from running_jobs.executors.runner_process import SETTLED, SETTLED_WELL
from running_jobs.executors.slurm_when_needed import SlurmWhenNeeded
from running_jobs.files import Version
from running_jobs.housekeeping import has_work, open_jobs, tidy
from running_jobs.job import ACTIVE, DONE, FINAL, QUEUED, Job
from running_jobs.journal import Follower
from running_jobs.pokes import Pokes
from running_jobs.postponed import Postponed
from running_jobs.processes import boot_id, open_process
from running_jobs.queued import QueuedJobs
from running_jobs.recovery import settle
from running_jobs.sampler import Sampler
from running_jobs.scheduling import choose_next
from running_jobs.settings import Settings
from running_jobs.store import JobStore
from running_jobs.wake import PROBED_S, sign
from running_jobs.watching import Runners, Watched

LOOK_EVERY_S = 10.0
LINGER_S = 30.0
LOOK_AT_LOCKS_S = 2.0
LOOK_AGAIN_S = 1.0
ENDED = {*(status.value for status in FINAL), "deleted"}


class Dispatcher:
    """Holds what it knows of one data directory. `lock` is the open, locked file that says it is the only one."""

    def __init__(self, store: JobStore, settings: Settings, lock: int) -> None:
        self.store = store
        self.settings = settings
        self.lock = lock
        self.lock_file = os.fstat(lock)
        self.executor = LocalExecutor(store, settings)
        self.poller = select.poll()
        self.slurm = SlurmWhenNeeded(store, settings, self.poller)
        self.queued = QueuedJobs(store, settings.context_slots)
        self.postponed = Postponed(LOOK_EVERY_S)
        self.at_rest: dict[str, Version] = {}  # open jobs with nothing to do for: idle, run elsewhere, unreadable
        self.runners = Runners(self.poller)
        self.errands = Errands(store, settings, self.poller)
        self.places = (self.queued, self.runners, self.postponed, self.errands, self.slurm)
        self.samples = Sampler.of(store)
        self.brake = Brake(store, settings)
        self.pokes = Pokes(store.paths, self.poller)
        self.follower = Follower(store.paths.journal)
        self.lost_thread = False  # the journal could not be read
        self.idle_since = time.monotonic()
        self.look_around_at = self.idle_since + LOOK_EVERY_S

    def run(self) -> None:
        """Start jobs until there has been nothing to do for a while."""
        self.executor.open()
        self.pokes.open()
        self.look_at_all()
        while True:
            now = time.monotonic()
            if not files.is_at(self.store.paths.dispatcher_lock, self.lock_file):
                return  # the folder was removed or replaced: whoever needs us starts another
            self.look_at_changed()
            if now >= self.look_around_at:
                self.look_around_at = now + LOOK_EVERY_S
                self.look_around()
            self.let_those_in_line_whose_time_has_come(now)
            self.launch_those_whose_turn_it_is()
            self.executor.dismiss(now)
            self.slurm.look(now, self.brake.look)
            self.errands.start(now)
            if now >= self.samples.due_at:
                self.samples.look(now)
            if self.has_work():
                self.idle_since = now
            elif now - self.idle_since >= LINGER_S and self.leave():
                return
            self.wait()

    def has_work(self) -> bool:
        """Say whether there is anything to wait for."""
        return any(len(place) > 0 for place in self.places)

    # --- what is there

    def look_at_all(self) -> None:
        """Look at every job that is not settled."""
        for job_id in open_jobs(self.store, boot_id()):
            self.look_at(job_id)

    def look_around(self) -> None:
        """Find what nobody told: the ends of runners known by their locks alone, jobs laid there by hand."""
        for job_id in self.runners.known_by_lock_alone():
            self.runner_ended(job_id)
        for job_id in self.store.open_ids(without=self.queued):
            if not self.knows(job_id) and self.at_rest.get(job_id) != self.store.version(job_id):
                self.look_at(job_id)

    def knows(self, job_id: str) -> bool:
        """Say whether a job has a place where it waits, or is being taken care of."""
        return any(job_id in place for place in self.places)

    def look_at_changed(self) -> None:
        """Look at the jobs that the journal names since the last time, or at all if it lost the thread."""
        try:
            changed = self.follower.changed()
        except OSError:  # no descriptors: that passes, and then all is looked at
            self.lost_thread = True
            self.look_around_at = min(self.look_around_at, time.monotonic() + LOOK_AGAIN_S)
            return
        if changed is None or self.lost_thread:
            self.lost_thread = False
            self.look_at_all()
            return
        for job_id, hint in changed.items():
            if job_id in self.runners:  # those that we started tell themselves
                if hint in ENDED and self.runners.was_adopted(job_id):
                    self.runner_ended(job_id)
            elif hint in ENDED and not os.path.lexists(self.store.paths.marker(job_id)):  # else it may not be true yet
                self.ended(job_id, hint == DONE)
            elif hint != QUEUED or self.queued.version_of(job_id) != self.store.version(job_id):
                self.look_at(job_id)

    def look_at(self, job_id: str) -> None:
        """Read a job and take it into account. One that cannot be dealt with must not hold up the others."""
        try:
            version = self.store.version(job_id)
            self.place(self.store.get(job_id), version)
        except NoSuchJob:
            self.ended(job_id, False)
        except UnreadableJob as error:
            self.set_aside(job_id, str(error))
        except (JobsError, OSError):  # no descriptors, no lock, no room: that passes
            self.retry_later(job_id)
        except Exception:
            self.set_aside(job_id, f"{job_id} is left alone: {traceback.format_exc()}")

    def place(self, job: Job, version: Version) -> None:
        """Take a job as it is into account; `version` is that of its record before it was read."""
        taken = job.id in self.runners or job.id in self.postponed
        if job.is_final:
            if job.pending_callbacks and job.id not in self.errands and not taken:
                self.errands.want_callbacks(job.id)
            self.ended(job.id, job.status is DONE, is_settled=job.is_settled)
        elif taken:
            self.queued.remove(job.id)
        elif job.status is QUEUED:
            self.at_rest.pop(job.id, None)
            if self.queued.put(job, version):
                self.slurm.want(job)
            else:
                self.slurm.forget(job.id)
        else:
            self.queued.remove(job.id)
            if job.status is ACTIVE and job.is_slurms:
                self.slurm.watch(job, time.monotonic())
            elif job.status is ACTIVE and not job.runs_elsewhere:
                self.adopt(job)
            else:
                self.at_rest[job.id] = version

    def set_aside(self, job_id: str, why: str) -> None:
        """Leave a job alone until it changes, and say so once."""
        self.queued.remove(job_id)
        before, self.at_rest[job_id] = self.at_rest.get(job_id), self.store.version(job_id)
        if self.at_rest[job_id] != before:
            self.store.note_error(why)

    def ended(self, job_id: str, well: bool, is_settled: bool = True) -> None:
        """Take a job that is final or gone out of account; its runner, if one lives, is still watched."""
        self.queued.remove(job_id)
        self.at_rest.pop(job_id, None)
        self.slurm.forget(job_id)
        self.errands.job_ended(job_id)
        if is_settled:
            self.postponed.forget(job_id)
            if os.path.lexists(self.store.paths.marker(job_id)):
                with contextlib.suppress(JobsError):
                    tidy(self.store, job_id)
        for dependent in self.queued.that_waited_for(job_id, well):
            self.look_at(dependent)

    def adopt(self, job: Job) -> None:
        """Watch a job that somebody else started, or declare it lost."""
        if not files.is_locked(self.store.paths.out(job.id)) and not settle(self.store, job.id):
            return
        pidfd = None
        if job.pid is not None and job.pid_started is not None and job.boot_id == boot_id():
            pidfd = open_process(job.pid, job.pid_started)
        self.runners.watch(job.id, Watched(-1 if pidfd is None else pidfd, job.context, None))
        self.samples.follow(job.id)
        if pidfd is None:  # nothing will tell when it ends: look again soon
            self.look_around_at = min(self.look_around_at, time.monotonic() + LOOK_AT_LOCKS_S)

    # --- launching

    def let_those_in_line_whose_time_has_come(self, now: float) -> None:
        """Look again at the jobs that waited for a time: theirs, or ours to try again."""
        for job_id in (*self.postponed.take_due(now), *self.queued.whose_time_has_come()):
            self.look_at(job_id)

    def launch_those_whose_turn_it_is(self) -> None:
        """Start queued jobs while slots are free and there is room on the disk."""
        line = self.queued.line
        while True:
            is_held = len(line) > 0 and self.brake.look()
            chosen = choose_next(line, self.runners.by_context, self.settings.slots, is_held)
            if chosen is None:
                return
            version = self.store.version(chosen)
            if version != self.queued.version_of(chosen):
                self.look_at(chosen)  # changed since it was put in line, it may have another place
                continue
            context = line.context_of(chosen)
            self.queued.remove(chosen)
            try:
                descriptor = self.executor.launch(chosen, version)
            except OSError as error:  # no processes, no descriptors: others will end
                self.look_at(chosen)
                self.brake.hold(chosen, str(error))
                return
            self.runners.watch(chosen, Watched(descriptor, context, version))
            self.samples.follow(chosen)

    def runner_ended(self, job_id: str) -> None:
        """Take back the slot of a runner that is done or gone, and see to it that its job has a truthful state."""
        watched = self.runners.release(job_id)
        report = b""
        if watched.unclaimed is not None:
            report = self.executor.hand_back(watched.descriptor, time.monotonic())
        elif watched.descriptor >= 0:
            os.close(watched.descriptor)
        self.samples.forget(job_id)
        if report in (SETTLED_WELL, SETTLED):  # nothing is left to do for it
            self.ended(job_id, report == SETTLED_WELL)
            return
        self.look_at(job_id)
        if report == NOT_FORKED:
            self.brake.hold(job_id, "no process could be forked")
        elif job_id in self.queued.line and watched.unclaimed == self.store.version(job_id):
            self.retry_later(job_id)  # it could not be claimed: a full disk, a lock; its runner said so

    def retry_later(self, job_id: str) -> None:
        """Put a job off that could not be dealt with."""
        self.queued.remove(job_id)
        self.postponed.put_off(job_id, time.monotonic())

    # --- waiting and leaving

    def wait(self) -> None:
        """Block until a poke, a runner's end, or the next look."""
        now = time.monotonic()
        is_full = len(self.runners) >= self.settings.slots  # what is queued meanwhile could not start anyway
        wait_s = self.seconds_to_sleep(now, self.pokes.listen(now, may_be_deaf=is_full))
        for descriptor, _ in self.poller.poll(wait_s * 1000 + 1):
            if descriptor == self.pokes.descriptor:
                if self.pokes.hear() and not is_full and not self.store.is_paused:
                    self.idle_since = time.monotonic()
                    self.executor.be_ready(self.idle_since)
            elif ran := self.runners.job_of(descriptor):
                self.runner_ended(ran)
            elif job_id := self.errands.ended(descriptor):
                self.look_at(job_id)
                if job_id in self.errands:  # it did not even write that they failed
                    self.errands.forget(job_id)
                    self.retry_later(job_id)
            else:
                self.slurm.ended(descriptor)

    def seconds_to_sleep(self, now: float, deaf_s: float | None = None) -> float:
        """Return when the next look is due, unless something wakes us before; `deaf_s` is when we listen again."""
        if deaf_s is None and not self.lost_thread and self.follower.has_more():
            return 0.0  # we may have written it ourselves, and nobody pokes us for that
        waits = [self.look_around_at - now, self.samples.due_at - now, *([] if deaf_s is None else [deaf_s])]
        timed = [part.seconds_to_next(now) for part in (self.postponed, self.errands, self.executor, self.slurm)]
        timed += [self.queued.seconds_to_next(), self.brake.seconds_to_next() if len(self.queued.line) else None]
        waits.extend(next_s for next_s in timed if next_s is not None)
        if not self.has_work():
            waits.append(self.idle_since + LINGER_S - now)
        return max(0.0, min(waits))

    def leave(self) -> bool:
        """Give up the FIFO and the lock, then look once more. Return False if there is work and the lock is ours again.

        Whoever queues a job pokes first and looks at the lock then: either that poke failed before our last
        look, or the lock was free and they start another.
        """
        self.pokes.close()
        fcntl.flock(self.lock, fcntl.LOCK_UN)
        if not has_work(self.store):
            return True
        try:
            files.wait_for_lock(self.lock, self.store.paths.dispatcher_lock, PROBED_S)
        except LockTimeout:  # whoever has it is the dispatcher now
            return True
        sign(self.lock)
        self.pokes.open()
        self.look_at_all()
        self.idle_since = time.monotonic()
        return False
