"""What a waiting job costs the dispatcher's memory, and what the runner of a running job has for itself."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import psutil

from benchmarks.directories import TRUE_JOB, data_directory, dispatcher_of, fill, runners_of
from benchmarks.results import Goal, Row, bounded
from benchmarks.rounds import median, wait_until
from benchmarks.scale import Scale
from running_jobs.actions import Actions
from running_jobs.executors.runner_process import MOST_JOBS
from running_jobs.job import JobStatus

MB = 1e6
SLEEP = {"command": {"type": "exec", "cmd": "exec sleep 100000"}, "start": True, "cwd": "/"}


def measure(scale: Scale, below: Path) -> list[Row]:
    """Measure both."""
    return [_waiting(scale, below), *_runners(scale, below), *_reused_runners(scale, below)]


def _waiting(scale: Scale, below: Path) -> Row:
    """Compare the dispatcher of an empty queue with that of a long one, kept from starting anything by a pause."""
    own_bytes = []
    for count in (0, scale.waiting):
        with data_directory(below, scale.slots) as actions:
            fill(actions, count, JobStatus.QUEUED)
            Path(actions.store.paths.paused).touch(0o600)
            dispatcher = dispatcher_of(actions)
            _wait_until_it_blocks(dispatcher)
            own_bytes.append(dispatcher.memory_full_info().uss)
    bytes_each = (own_bytes[1] - own_bytes[0]) / scale.waiting
    return bounded(f"a waiting job in the dispatcher, of {scale.waiting:,}", bytes_each, Goal(1024, unit="bytes"), 0)


def _wait_until_it_blocks(process: psutil.Process) -> None:
    """Wait until a process has used no CPU for half a second."""
    used, since = -1.0, time.monotonic()
    while time.monotonic() - since < 0.5:
        now = sum(process.cpu_times()[:2])
        if now != used:
            used, since = now, time.monotonic()
        time.sleep(0.05)


def _runners(scale: Scale, below: Path) -> list[Row]:
    with data_directory(below, scale.running) as actions:
        start_sleeping(actions, scale.running)
        own = [runner.memory_full_info().uss / MB for runner in runners_of(actions)]
    what = f"unique memory of a running job's runner, of {scale.running}"
    goal = Goal(2, unit="MB")
    return [bounded(f"{what}, median", median(own), goal, 2), bounded(f"{what}, largest", max(own), goal, 2)]


def _reused_runners(scale: Scale, below: Path) -> list[Row]:
    """Have each runner run about as many jobs as one may, and then one that sleeps."""
    with data_directory(below, scale.reused, sync=False) as actions:
        before = actions.submit_all([TRUE_JOB] * (scale.reused * (MOST_JOBS - 5)))
        start_sleeping(actions, scale.reused)
        ran = Counter(actions.store.get(job.id).pid for job in before)
        runners = [runner for runner in runners_of(actions) if ran[runner.pid] > 1]  # one that ran 50 is followed anew
        own = [runner.memory_full_info().uss / MB for runner in runners]
        jobs = median([ran[runner.pid] for runner in runners])
    what = f"the same of {len(own)} runners that ran other jobs before (median: {jobs:.0f})"
    goal = Goal(2, unit="MB")
    return [bounded(f"{what}, median", median(own), goal, 2), bounded(f"{what}, largest", max(own), goal, 2)]


def start_sleeping(actions: Actions, count: int) -> None:
    """Run so many jobs that sleep."""
    ids = [actions.submit(SLEEP).id for _ in range(count)]
    wait_until(lambda: all(actions.store.get(job_id).status is JobStatus.ACTIVE for job_id in ids), every_s=0.1)
