"""Runners on this machine: two forks of the slim dispatcher, so that each is a child of init.

Only for a process with one thread and few descriptors; everything the runner needs is imported
before the fork, since what it imported itself would cost every job.

A runner that has recorded its job's end and has no process of it left takes the next job instead of ending: that spares
both forks. Two pipes join it with the dispatcher: what it is to do next, and that it is done. It leaves when it is
told to, when nothing comes for a while, or when there is no dispatcher any more at the other end.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import traceback
from typing import NamedTuple

from running_jobs.child import inheritance
from running_jobs.errors import JobsError
from running_jobs.files import Version
from running_jobs.job import DONE
from running_jobs.processes import rename_self
from running_jobs.runner import become_runner, run_attempt
from running_jobs.settings import Settings
from running_jobs.store import JobStore
from running_jobs.wake import PROBED_S, ensure_dispatcher

SPARE_S = 0.5  # for which a runner without a job is kept
NAMED_SPARE_AFTER_S = 0.05
WITHOUT_A_JOB_S = 1.0  # after which one leaves that nobody dismissed: the dispatcher hangs, or is held up
DYING_S = 1.0  # for which a dispatcher that is dead may still hold its lock: what it had open is closed in any order
MOST_JOBS = 50  # in one runner: what it touches of its memory is its own from then on
LEAVE = b"leave"
RAN, SETTLED_WELL, SETTLED = b".", b"+", b"-"  # what a runner reports: the latter two if nothing is left to do for it
MAX_ORDER_BYTES = 200


class _Runner(NamedTuple):
    """The dispatcher's ends of a runner's pipes: to tell it what to do, and to hear that it is done or gone."""

    orders: int
    reports: int

    def close(self) -> None:
        for descriptor in self:
            os.close(descriptor)


class LocalExecutor:
    """Starts runners by a double fork, and keeps those that are done for the next jobs."""

    def __init__(self, store: JobStore, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._busy: dict[int, _Runner] = {}  # by the descriptor that tells of it
        self._spare: list[tuple[float, _Runner]] = []  # with the time until when it is kept, which only grows

    def launch(self, job_id: str, version: Version) -> int:
        """Have a runner take a queued job whose record was of this version when its turn came.

        Return a descriptor that becomes readable when the runner is done with it or gone; it is to be handed back then.
        Raise OSError if there are no processes or descriptors to be had.
        """
        order = b"%s %d %d %d" % (job_id.encode(), *version)
        while self._spare:
            _, runner = self._spare.pop()  # the one whose memory is warm
            with contextlib.suppress(BrokenPipeError):
                return self._order(runner, order)
        return self._order(self._fork(), order)

    def hand_back(self, descriptor: int, now: float) -> bool | None:
        """Take back what launch returned, and keep the runner for a moment if it says that it can take another job.

        Return whether its last ended well if the runner says that nothing is left to do for it; None: go and look.
        """
        runner = self._busy.pop(descriptor)
        report = os.read(runner.reports, 1)
        if report:
            self._spare.append((now + SPARE_S, runner))
        else:
            runner.close()
        return {SETTLED_WELL: True, SETTLED: False}.get(report)

    def dismiss(self, now: float) -> None:
        """Let the runners go that had nothing to do for a while."""
        while self._spare and self._spare[0][0] <= now:
            runner = self._spare.pop(0)[1]
            with contextlib.suppress(BrokenPipeError):
                os.write(runner.orders, LEAVE)
            runner.close()

    def seconds_to_next(self, now: float) -> float | None:
        """Return when the next one is to be dismissed, None if there is none."""
        return self._spare[0][0] - now if self._spare else None

    def _order(self, runner: _Runner, order: bytes) -> int:
        try:
            os.write(runner.orders, order)
        except BrokenPipeError:
            runner.close()
            raise
        self._busy[runner.reports] = runner
        return runner.reports

    def _fork(self) -> _Runner:
        opened: list[int] = []
        try:
            opened.extend(os.pipe())
            opened.extend(os.pipe())
            orders_read, orders_write, reports_read, reports_write = opened
            intermediate = os.fork()
            if intermediate == 0:  # never returns: it would unwind through the dispatcher's code
                self._fork_again(orders_read, reports_write)
            if os.waitstatus_to_exitcode(os.waitpid(intermediate, 0)[1]) != 0:
                raise OSError("the runner could not be forked")
        except OSError:
            for descriptor in opened:
                os.close(descriptor)
            raise
        os.close(orders_read)
        os.close(reports_write)
        return _Runner(orders_write, reports_read)  # from here on it is a child of init

    def _fork_again(self, orders: int, reports: int) -> None:
        try:
            os.setsid()
            if os.fork():
                os._exit(0)
            _hold_only(orders, reports)
            become_runner()
            self._serve(orders, reports)
            os._exit(0)
        except BaseException:  # the last place where a defect can be told
            self._store.note_error(f"A runner failed: {traceback.format_exc()}")
        finally:
            os._exit(1)

    def _serve(self, orders: int, reports: int) -> None:
        """Run the jobs that are handed over, one after another."""
        left, ours, order = MOST_JOBS, inheritance(), b""
        try:
            while order := _next_order(orders):
                if order == LEAVE:
                    return
                left -= 1
                report = self._run(order)
                if not report or not left or inheritance() != ours:  # a job may change its parent
                    break
                os.write(reports, report)
        except BrokenPipeError:
            order = b""
        with contextlib.suppress(OSError, JobsError):  # whoever goes unasked sees to it that a dispatcher lives
            signal.pthread_sigmask(signal.SIG_SETMASK, [])
            ensure_dispatcher(self._settings, PROBED_S if order else DYING_S)

    def _run(self, order: bytes) -> bytes:
        """Run one job. Return what is to be reported, nothing if no other job may be run here."""
        name, *version = order.split()
        inode, mtime_ns, size = map(int, version)
        job_id = name.decode()
        rename_self(f"running-jobs: job {job_id}")
        try:
            ran = run_attempt(self._store, self._settings, job_id, (inode, mtime_ns, size))
            if not ran.leaves_nothing:
                return b""
            if ran.settled is None:
                return RAN
            return SETTLED_WELL if ran.settled is DONE else SETTLED
        except (JobsError, OSError) as error:
            self._store.note_error(f"{job_id} was not run: {error}")
        except BaseException:
            self._store.note_error(f"{job_id}: its runner failed: {traceback.format_exc()}")
        return b""


def _hold_only(orders: int, reports: int) -> None:
    """Keep two pipes and nothing else: the dispatcher's lock, FIFO and other runners are theirs to hold."""
    low, high = sorted((orders, reports))
    for first, behind in ((3, low), (low + 1, high), (high + 1, 1 << 20)):
        os.closerange(first, behind)


def _next_order(orders: int) -> bytes:
    """Wait for the next order, and do not pose as a job meanwhile; empty when none comes, or nobody is there."""
    if not select.select([orders], [], [], NAMED_SPARE_AFTER_S)[0]:
        rename_self("running-jobs: without a job")
        if not select.select([orders], [], [], WITHOUT_A_JOB_S)[0]:
            return b""
    return os.read(orders, MAX_ORDER_BYTES)
