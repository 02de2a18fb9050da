"""A runner's process: it runs the jobs that it is handed over, one after another, until there are no more.

One that has recorded its job's end and has no process of it left takes the next job instead of ending: that spares both
forks. Two pipes join it with the dispatcher: what it is to do next, and that it is done. It leaves when it is told to,
when nothing comes for a while, or when there is no dispatcher any more at the other end.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import traceback

from running_jobs.child import inheritance
from running_jobs.errors import JobsError
from running_jobs.files import Version
from running_jobs.job import DONE
from running_jobs.processes import become_subreaper, rename_self
from running_jobs.runner import run_attempt
from running_jobs.settings import Settings
from running_jobs.store import JobStore
from running_jobs.wake import DYING_S, PROBED_S, ensure_dispatcher

NAMED_SPARE_AFTER_S = 0.05
WITHOUT_A_JOB_S = 1.0  # after which one leaves that nobody dismissed: the dispatcher hangs, or is held up
MOST_JOBS = 50  # in one runner: what it touches of its memory is its own from then on
LEAVE = b"leave"
RAN, SETTLED_WELL, SETTLED = b".", b"+", b"-"  # what a runner reports: the latter two if nothing is left to do for it
_MAX_ORDER_BYTES = 200


def order_of(job_id: str, version: Version) -> bytes:
    """Return the order to run a queued job whose record was of this version when its turn came."""
    return b"%s %d %d %d" % (job_id.encode(), *version)


class RunnerProcess:
    """What a process does that was forked to be a runner. `orders` and `reports` are its ends of two pipes."""

    def __init__(self, store: JobStore, settings: Settings, orders: int, reports: int) -> None:
        self._store = store
        self._settings = settings
        self._orders = orders
        self._poller = select.poll()  # select itself would fill 50 kB for three sets of descriptors
        self._poller.register(orders, select.POLLIN)
        self._reports = reports

    def run(self) -> None:
        """Run what is ordered."""
        become_subreaper()
        left, inherited, order = MOST_JOBS, inheritance(), b""
        try:
            while order := self._next_order():
                if order == LEAVE:
                    return
                left -= 1
                report = self._run_job(order)
                if not report or not left or inheritance() != inherited:  # a job may change its parent
                    break
                os.write(self._reports, report)
        except BrokenPipeError:
            order = b""
        with contextlib.suppress(OSError, JobsError):  # whoever goes unasked sees to it that a dispatcher lives
            os.close(self._orders)  # so that nobody hands over a job meanwhile
            signal.pthread_sigmask(signal.SIG_SETMASK, [])
            ensure_dispatcher(self._settings, PROBED_S if order else DYING_S)

    def _next_order(self) -> bytes:
        """Wait for the next order, and do not pose as a job meanwhile; empty when none comes, or nobody is there."""
        came = self._poller.poll(NAMED_SPARE_AFTER_S * 1000)
        if not came:
            rename_self("running-jobs: without a job")
            came = self._poller.poll(WITHOUT_A_JOB_S * 1000)
            if not came:
                return b""
        order = os.read(self._orders, _MAX_ORDER_BYTES)
        is_alone = came[0][1] & select.POLLHUP  # whoever comes after that dispatcher counts the slots anew
        return b"" if is_alone and order != LEAVE else order

    def _run_job(self, order: bytes) -> bytes:
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
