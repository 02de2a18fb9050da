"""Runners on this machine: forked twice, so that each is a child of init, and handed one job after another."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import NamedTuple

from running_jobs.executors.fork_server import NOT_FORKED, ForkServer
from running_jobs.executors.runner_process import LEAVE, RunnerProcess, order_of
from running_jobs.files import Version
from running_jobs.runner import become_parent_of_runners
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
    """Starts runners, and keeps those that are done for the next jobs."""

    def __init__(self, store: JobStore, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._forks = ForkServer(become_parent_of_runners, self._run, store.note_error)
        self._busy: dict[int, _Runner] = {}  # by the descriptor that tells of it
        self._spare: list[tuple[float, _Runner]] = []  # with the time until when it is kept, which only grows

    def open(self) -> None:
        """Get ready to start runners; without processes or descriptors to be had just now, the first launch does."""
        with contextlib.suppress(OSError):
            self._forks.open()

    def be_ready(self, now: float) -> None:
        """Have a runner ready for a job that is about to come: to fork one takes longer than to store a job."""
        with contextlib.suppress(OSError):
            runner = self._spare.pop()[1] if self._spare else self._fork()
            self._spare.append((now + SPARE_S, runner))

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
        try:
            return self._order(self._fork(), order)
        except BrokenPipeError:
            raise BlockingIOError(errno.EAGAIN, "No process could be had for its runner") from None

    def hand_back(self, descriptor: int, now: float) -> bytes:
        """Take back what launch returned, and keep the runner for a moment if it says that it can take another job.

        Return its report, NOT_FORKED if there was no process for it, nothing if it is gone.
        """
        runner = self._busy.pop(descriptor)
        report = os.read(runner.reports, 1)
        if report and report != NOT_FORKED:
            self._spare.append((now + SPARE_S, runner))
        else:
            runner.close()
        return report

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
            self._forks.fork(orders_read, reports_write)
        except OSError:
            for descriptor in opened:
                os.close(descriptor)
            raise
        os.close(orders_read)
        os.close(reports_write)
        return _Runner(orders_write, reports_read)

    # --- in the process that forks

    def _run(self, orders: int, reports: int) -> None:
        RunnerProcess(self._store, self._settings, orders, reports).run()
