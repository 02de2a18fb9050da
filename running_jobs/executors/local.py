"""Runners on this machine: two forks of the slim dispatcher, so that each is a child of init.

Only for a process with one thread and few descriptors; everything the runner needs is imported
before the fork, since what it imported itself would cost every job.
"""

from __future__ import annotations

import contextlib
import os
import traceback
from typing import NamedTuple

from running_jobs.executors.runner_process import LEAVE, SETTLED, SETTLED_WELL, RunnerProcess, order_of
from running_jobs.files import Version
from running_jobs.settings import Settings
from running_jobs.store import JobStore

SPARE_S = 0.5  # for which a runner without a job is kept


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
        order = order_of(job_id, version)
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
            RunnerProcess(self._store, self._settings, orders, reports).run()
            os._exit(0)
        except BaseException:  # the last place where a defect can be told
            self._store.note_error(f"A runner failed: {traceback.format_exc()}")
        finally:
            os._exit(1)
