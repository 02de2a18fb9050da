"""From a submission's answer to the command's first instruction, with a free slot.

The command writes a byte into a FIFO that we read: that takes a shell no further program, which would be most of what
is measured otherwise. What remains of ours in the figure is measured as well: the same line by posix_spawn.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil

from benchmarks.directories import data_directory, dispatcher_of
from benchmarks.results import Goal, Row, bounded
from benchmarks.rounds import median, percentile, wait_until
from benchmarks.scale import Scale
from running_jobs.actions import Actions

Started = TypeVar("Started")


def measure(scale: Scale, below: Path) -> list[Row]:
    """Measure one job after the other, each once the one before has ended, and the floor in turns with them."""
    with data_directory(below, scale.slots) as actions:
        fifo_path = f"{actions.settings.data}/first"
        os.mkfifo(fifo_path)
        fifo = os.open(fifo_path, os.O_RDWR)
        line = f"echo >{fifo_path}"
        try:
            job_ms(actions, fifo, line)  # warm-up: the dispatcher lives from here on
            found = [(job_ms(actions, fifo, line), spawn_ms(fifo, line)) for _ in range(scale.latencies)]
            after_pauses = [_after_a_pause_ms(actions, fifo, line) for _ in range(scale.cold_latencies)]
            firsts = [_without_a_dispatcher_ms(actions, fifo, line) for _ in range(scale.rounds)]
        finally:
            os.close(fifo)
    ours, floor = [one for one, _ in found], [other for _, other in found]
    what = "from a submission's answer to the command's first instruction"
    rows = [bounded(f"{what}, median", median(ours), Goal(5, unit="ms"), 2)]
    rows.append(bounded(f"{what}, 99th percentile", percentile(ours, 99), Goal(25, unit="ms"), 2))
    cold = f"{what}, after a pause (a new runner)"
    rows.append(bounded(f"{cold}, median", median(after_pauses), Goal(5, unit="ms"), 2))
    rows.append(bounded(f"{cold}, largest of {scale.cold_latencies}", max(after_pauses), Goal(25, unit="ms"), 2))
    rows.append(Row(f"{what}, after half a minute (a new dispatcher, too), median", f"{median(firsts):.0f} ms"))
    floors = f"{median(floor):.2f} and {percentile(floor, 99):.2f} ms"
    rows.append(Row("the floor of that: from posix_spawn to the same, median and 99th percentile", floors))
    return rows


def job_ms(actions: Actions, fifo: int, line: str) -> float:
    """Return how long after the answer the byte came, and let the job end."""

    def submit() -> str:
        return actions.submit({"command": {"type": "exec", "cmd": line}, "start": True, "cwd": "/"}).id

    job_id, took_ms = _until_first_byte(fifo, submit)
    wait_until(lambda: not os.path.lexists(actions.store.paths.marker(job_id)), every_s=0.002)
    return took_ms


def _after_a_pause_ms(actions: Actions, fifo: int, line: str) -> float:
    """Do as job_ms does, once the runner of the job before is gone that could take this one."""
    _wait_until_no_runner_lives(actions)
    return job_ms(actions, fifo, line)


def _wait_until_no_runner_lives(actions: Actions) -> None:
    before = actions.store.get(actions.store.ids()[-1])
    wait_until(lambda: not os.path.exists(f"/proc/{before.pid}"), every_s=0.02)


def _without_a_dispatcher_ms(actions: Actions, fifo: int, line: str) -> float:
    """Do as job_ms does while no dispatcher lives: it leaves when nothing was to do for half a minute."""
    _wait_until_no_runner_lives(actions)  # it would start another
    dispatcher = dispatcher_of(actions)
    dispatcher.kill()
    wait_until(lambda: not dispatcher.is_running() or dispatcher.status() == psutil.STATUS_ZOMBIE)
    return job_ms(actions, fifo, line)


def spawn_ms(fifo: int, line: str) -> float:
    """Return how long after posix_spawn the byte came."""
    pid, took_ms = _until_first_byte(fifo, lambda: os.posix_spawn("/bin/sh", ["/bin/sh", "-c", line], os.environ))
    os.waitpid(pid, 0)
    return took_ms


def _until_first_byte(fifo: int, start: Callable[[], Started]) -> tuple[Started, float]:
    started = start()
    answered = time.perf_counter()
    os.read(fifo, 1)
    return started, (time.perf_counter() - answered) * 1000
