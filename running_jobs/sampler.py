"""When a dispatcher looks at what its jobs use, and what it keeps of that. Bounded in cost, whatever runs.

The first look comes soon after the start, the next ever later: twice as late while nothing changes, and in general
the longer the attempt has run, since as many samples are kept of a year as of an hour. Jobs due at about the same time
are looked at together. Whatever a round of looks cost, nothing is looked at for more than a thousand times as long.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import Any

from running_jobs import samples
from running_jobs.errors import JobsError
from running_jobs.gpu import Gpu, find_nvidia_smi
from running_jobs.job import ACTIVE
from running_jobs.processes import boot_id
from running_jobs.samples import MOST, Sample
from running_jobs.sampling import (
    Children,
    Cumulative,
    Member,
    Table,
    Usage,
    age_s,
    has_lists_of_children,
    listed_children,
    read_member,
    usage_below,
)
from running_jobs.store import JobStore

FIRST_LOOK_S = 0.3  # and AFTER_LAUNCH_S
LOOK_EVERY_S = 1.0
LOOK_EVERY_QUIET_S = 10.0
TOGETHER_S = 0.25
SHARE = 0.0008  # of one core, for all jobs together; with what a wake costs besides, under a thousandth
AFTER_LAUNCH_S = 0.3
PUT_OFF_TIMES = 15
NEVER = float("inf")
SLICE_S = 0.005  # for which a launch may be held up
BETWEEN_SLICES_S = 0.02
WAKE_COST_S = 0.0001  # what a wake costs beside the looks
QUIET_CORES = 0.01
QUIET_PART = 0.01
SAME = ("processes", "out_bytes", "err_bytes", "gpu_percent")
NEAR = ("rss_bytes", "gpu_bytes")


class _Followed:
    """A job that is followed. Small: what a dispatcher writes to its memory between two forks costs a runner pages.

    `kept` are the figures of the sample that was written last, `held` is one that said the same since.
    """

    __slots__ = (
        "attempt", "before_s", "count", "cpu", "due_at", "held", "interval_s", "job_id", "kept", "looked_at", "runner",
        "started",
    )  # fmt: skip

    def __init__(self, job_id: str, due_at: float) -> None:
        self.job_id = job_id
        self.due_at = due_at
        self.interval_s = LOOK_EVERY_S
        self.runner: tuple[int, int] | None = None  # pid and start time, once its record tells
        self.before_s = 0.0  # CPU of what that runner ran before this job
        self.started = 0  # in ticks since boot
        self.attempt = 0
        self.count = 0
        self.cpu: Cumulative = Cumulative()
        self.looked_at = 0.0
        self.kept: tuple[list[Any], list[float]] | None = None
        self.held: Sample | None = None


class Sampler:
    """Keeps samples of the jobs that it is told to follow. Single-threaded; `gpu` asks for what processes use there.

    `look` is to be called once it is `due_at` (monotonic seconds).
    """

    def __init__(self, store: JobStore, gpu: Gpu | None = None) -> None:
        self._store = store
        self._gpu = gpu
        self._share = SHARE / 2 if gpu else SHARE  # the other half is the GPU's
        self._lists_children = has_lists_of_children()
        self._new: list[str] = []  # not looked at yet
        self._jobs: dict[str, _Followed] = {}
        self._round: Iterator[None] | None = None
        self._round_cost_s = 0.0
        self.due_at = NEVER
        self._rest_until = 0.0
        self._came = 0
        self._put_off = 0

    @classmethod
    def of(cls, store: JobStore) -> Sampler:
        """Return one that asks nvidia-smi where that is in the PATH."""
        program = find_nvidia_smi(os.environ.get("PATH", ""))
        return cls(store, Gpu(program) if program else None)

    def follow(self, job_id: str) -> None:
        """Look at a job from now on: one that is just being started, or that ran before we did."""
        self._new.append(job_id)
        if self.due_at == NEVER:
            self.due_at = time.monotonic() + FIRST_LOOK_S

    def forget(self, job_id: str) -> None:
        """Look at a job no more: its runner is gone."""
        followed = self._jobs.pop(job_id, None)
        if followed is None:
            with contextlib.suppress(ValueError):
                self._new.remove(job_id)
        elif followed.held:
            self._write(followed, [followed.held])
        if not self._has_jobs and not self._is_asking:
            self.due_at = NEVER

    def look(self, now: float) -> None:
        """Look at the jobs that are due, for a few milliseconds at most; what is left then comes after a pause."""
        if self._gpu:
            self._gpu.turn(now, is_wanted=self._has_jobs)
        if self._launches_go_on(now):
            self.due_at = now + AFTER_LAUNCH_S
        elif now >= self._rest_until:
            self._go_on(now)
        else:
            self.due_at = self._next_look()

    @property
    def _has_jobs(self) -> bool:
        return bool(self._new or self._jobs)

    @property
    def _is_asking(self) -> bool:
        return self._gpu is not None and self._gpu.is_asking

    def _launches_go_on(self, now: float) -> bool:
        """Say whether to wait, for a bounded time, until no more jobs come: a look would hold up the next launch,
        and what is written to our memory between two forks costs a runner pages."""
        came, self._came = len(self._new) > self._came, len(self._new)
        if came and self._round is None and self._put_off < PUT_OFF_TIMES:
            self._put_off += 1
            return True
        self._put_off = 0
        return False

    def _go_on(self, now: float) -> None:
        if self._round is None:
            self._round = self._look_at_due(now)
            self._round_cost_s = WAKE_COST_S
        began_s, until = time.thread_time(), time.monotonic() + SLICE_S
        is_over = True
        for _ in self._round:
            if time.monotonic() >= until:
                is_over = False
                break
        self._round_cost_s += time.thread_time() - began_s
        if is_over:
            self._round = None
            self._rest_until = now + self._round_cost_s / self._share
        self.due_at = self._next_look() if is_over else now + BETWEEN_SLICES_S

    def _next_look(self) -> float:
        """Return when to look next, which may be when to see whether the GPU's child has an answer."""
        times = [followed.due_at for followed in self._jobs.values()]
        if self._new:
            times.append(time.monotonic() + FIRST_LOOK_S)
        due_at = max(min(times), self._rest_until) if times else NEVER
        return min(due_at, time.monotonic() + LOOK_EVERY_S) if self._is_asking else due_at

    # --- one round

    def _look_at_due(self, now: float) -> Iterator[None]:
        self._jobs.update((job_id, _Followed(job_id, now)) for job_id in self._new)
        self._new.clear()
        self._came = 0
        due = [followed for followed in self._jobs.values() if followed.due_at <= now + TOGETHER_S]
        children: Children = listed_children
        if due and not self._lists_children:
            table = Table()
            yield from table.fill()
            children = table.children
        for followed in due:
            if self._jobs.get(followed.job_id) is followed:
                self._look_at(followed, children)
            yield

    def _look_at(self, followed: _Followed, children: Children) -> None:
        now = time.monotonic()
        runner = self._runner_of(followed)
        if runner is None:  # not yet, or not any more
            followed.interval_s = min(2 * followed.interval_s, LOOK_EVERY_QUIET_S)
        else:
            used_s = followed.cpu.total
            sample = self._sample_of(followed, usage_below(runner, children, followed.before_s))
            cores = (followed.cpu.total - used_s) / max(now - followed.looked_at, 1e-3)
            every_s = interval_for(age_s(followed.started), LOOK_EVERY_S)
            if cores < QUIET_CORES and followed.kept and _says_the_same(sample, *followed.kept):
                followed.held = sample
                followed.interval_s = max(every_s, min(2 * followed.interval_s, LOOK_EVERY_QUIET_S))
            else:
                self._write(followed, [sample] if followed.held is None else [followed.held, sample])
                followed.kept, followed.held = (_of(sample, SAME), _of(sample, NEAR)), None
                followed.interval_s = every_s
        followed.looked_at = now
        followed.due_at = now + followed.interval_s

    def _runner_of(self, followed: _Followed) -> Member | None:
        """Return a job's runner, known by pid and start time, None if it is not there."""
        if followed.runner is None and not self._knows_runner(followed):
            return None
        pid, started = followed.runner or (0, 0)
        runner = read_member(pid)
        return runner if runner and runner.started == started and not runner.is_dead else None

    def _knows_runner(self, followed: _Followed) -> bool:
        """Learn from a job's record who its runner is; return whether it says so already."""
        try:
            job = self._store.get(followed.job_id)
        except (JobsError, OSError):
            return False
        if job.status is not ACTIVE or job.pid is None or job.pid_started is None or job.boot_id != boot_id():
            return False
        followed.runner, followed.attempt = (job.pid, job.pid_started), job.attempt
        followed.before_s = job.cpu_before_s or 0.0
        followed.started = job.session_started or job.pid_started
        before = samples.read(self._store.paths.stats(job.id))
        followed.count = len(before)
        if before and before[-1]["attempt"] == job.attempt:  # another dispatcher followed it before us
            followed.cpu = Cumulative(before[-1]["cpu_s"])
        return True

    def _sample_of(self, followed: _Followed, usage: Usage) -> Sample:
        summed = usage._replace(cpu_s=followed.cpu.add(usage.cpu_s))
        sample = samples.taken(self._store.paths, followed.job_id, followed.attempt, summed, self._store.clock)
        return {**sample, **(_gpu_figures(self._gpu, usage.pids) if self._gpu else {})}

    def _write(self, followed: _Followed, new: list[Sample]) -> None:
        followed.count = samples.append(self._store.paths, followed.job_id, new, followed.count)


def interval_for(attempt_age_s: float, shortest_s: float) -> float:
    """Return how long to wait between looks so that an attempt of that age has no more than MOST: doubled as needed."""
    interval_s = shortest_s
    while attempt_age_s > MOST * interval_s:
        interval_s *= 2
    return interval_s


def _of(sample: Sample, names: tuple[str, ...]) -> list[Any]:
    return [sample.get(name, 0) for name in names]


def _says_the_same(sample: Sample, same: list[Any], near: list[float]) -> bool:
    if _of(sample, SAME) != same:
        return False
    return all(abs(now - before) <= QUIET_PART * before for now, before in zip(_of(sample, NEAR), near))


def _gpu_figures(gpu: Gpu, pids: list[int]) -> dict[str, Any]:
    """Return what a job's processes use of GPUs; what is not known is left out."""
    used = [gpu.by_pid[pid] for pid in pids if pid in gpu.by_pid]
    percents = [use.percent for use in used if use.percent is not None]
    amounts = [use.used_bytes for use in used if use.used_bytes is not None]
    figures: dict[str, Any] = {"gpu_percent": round(sum(percents))} if percents else {}
    return {**figures, "gpu_bytes": int(sum(amounts))} if amounts else figures
