"""Writing a big log as a job against the shell's own redirection into a file beside it."""

from __future__ import annotations

import os
import subprocess
import time
from functools import partial
from pathlib import Path

from benchmarks.directories import data_directory
from benchmarks.results import Goal, Row, compared
from benchmarks.rounds import in_turns, wait_until
from benchmarks.scale import Scale
from running_jobs.actions import Actions


def measure(scale: Scale, below: Path) -> list[Row]:
    """Measure megabytes a second, from the start to the recorded end; what was written is removed between.

    The redirection is measured twice in each round, to show how far two figures of the same thing lie apart.
    """
    line = f"head -c {scale.log_bytes} /dev/zero"
    with data_directory(below, scale.slots) as actions:
        by_redirection = partial(by_shell, Path(actions.settings.data, "redirected"), line, scale.log_bytes)
        measures = {
            "job": partial(by_job, actions, line, scale.log_bytes),
            "shell": by_redirection,
            "again": by_redirection,
        }
        in_turns(measures, 1)
        found = in_turns(measures, scale.log_rounds)
    job, shell, again = found.values()
    what = f"writing {scale.log_bytes / (1 << 30):.3g} GiB to the log"
    redirection = "the shell's redirection"
    return [
        compared(what, "MB/s", job, redirection, shell, Goal(0.97, at_least=True)),
        compared(f"{what}, the fastest of {len(job)} rounds", "MB/s", [max(job)], redirection, [max(shell)]),
        compared(f"the noise of that: {redirection}", "MB/s", again, "itself", shell),
    ]


def by_job(actions: Actions, line: str, size_bytes: int) -> float:
    """Write as a job."""
    begun = time.perf_counter()
    job = actions.submit({"command": {"type": "exec", "cmd": line}, "start": True, "cwd": "/"})
    wait_until(lambda: not os.path.lexists(actions.store.paths.marker(job.id)), every_s=0.002)
    took_s = time.perf_counter() - begun
    _check(actions.store.paths.out(job.id), size_bytes)
    actions.delete(job.id)
    os.sync()
    return size_bytes / took_s / 1e6


def by_shell(path: Path, line: str, size_bytes: int) -> float:
    """Write by a redirection."""
    begun = time.perf_counter()
    subprocess.run(["/bin/sh", "-c", f'{line} >"$0"', path], check=True)
    took_s = time.perf_counter() - begun
    _check(str(path), size_bytes)
    path.unlink()
    os.sync()
    return size_bytes / took_s / 1e6


def _check(path: str, size_bytes: int) -> None:
    if os.path.getsize(path) != size_bytes:
        raise RuntimeError(f"{path} has {os.path.getsize(path)} bytes, not {size_bytes}")
