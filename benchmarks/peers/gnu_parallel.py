"""GNU parallel: one process that reads its jobs, keeps their output in a folder each and their exit codes in a log."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.peers import LINE, Peer, RunJobs


def found() -> Peer:
    """Return the peer, unless `parallel` is the other program of that name."""
    program = shutil.which("parallel")
    said = ""
    if program:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    version = said.split("\n")[0].split()[-1] if said.startswith("GNU parallel") else None
    return Peer("GNU parallel", version, lambda below, slots: started(program or "", below, slots))


@contextlib.contextmanager
def started(program: str, below: Path, slots: int) -> Iterator[RunJobs]:
    """Run it once for all jobs of a run; that its own start counts is how it is used."""
    runs = 0
    environ = {**os.environ, "HOME": str(below), "PARALLEL_SHELL": "/bin/sh", "TMPDIR": str(below)}

    def run(count: int) -> float:
        nonlocal runs
        runs += 1
        kept = below / str(runs)
        options = ["-j", str(slots), "-n0", "--will-cite", "--results", str(kept), "--joblog", f"{kept}.log"]
        numbers = "".join(f"{number}\n" for number in range(count)).encode()
        begun = time.perf_counter()
        done = subprocess.run([program, *options, LINE], input=numbers, env=environ, capture_output=True, check=False)
        took_s = time.perf_counter() - begun
        ended = Path(f"{kept}.log").read_text().count("\n") - 1
        if done.returncode or ended != count:
            raise RuntimeError(f"GNU parallel ran {ended} of {count}: {done.stderr.decode()[:500]}")
        return count / took_s

    yield run
