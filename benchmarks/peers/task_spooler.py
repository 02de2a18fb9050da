"""task-spooler: a server that is asked by `tsp`, once a job. Out and err share a file: its -E loses jobs in 1.0.1."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.peers import LINE, Peer, RunJobs

_SUBMIT = 'n=0; while [ $n -lt "$1" ]; do "$0" /bin/sh -c "$2"; n=$((n+1)); done'


def found() -> Peer:
    """Return the peer. Debian calls the program tsp, its author ts."""
    program = shutil.which("tsp")
    version = None
    if program:
        said = subprocess.run([program, "-V"], capture_output=True, text=True, check=False).stdout
        version = said.split(" - ")[0].replace("Task Spooler", "").strip() or "unknown version"
    return Peer("task-spooler", version, lambda below, slots: started(program or "", below, slots))


@contextlib.contextmanager
def started(program: str, below: Path, slots: int) -> Iterator[RunJobs]:
    """Run its server with so many slots; the loop that submits is one of the shell, with nothing slow in it."""
    sockets = tempfile.mkdtemp(prefix="tsp-")  # a socket's path has room for 107 characters
    environ = {
        **os.environ, "TS_SOCKET": f"{sockets}/socket", "TMPDIR": str(below), "TS_SLOTS": str(slots),
        "TS_MAXFINISHED": "10000", "TS_MAXCONN": "900",
    }  # fmt: skip

    def run(count: int) -> float:
        begun = time.perf_counter()
        command = ["/bin/sh", "-c", _SUBMIT, program, str(count), LINE]
        ids = subprocess.run(command, env=environ, stdout=subprocess.PIPE, check=True).stdout.split()
        for job_id in ids[-2 * slots :]:  # the others ended before these began
            subprocess.run([program, "-w", job_id], env=environ, stdout=subprocess.DEVNULL, check=True)
        return count / (time.perf_counter() - begun)

    try:
        yield run
    finally:
        subprocess.run([program, "-K"], env=environ, check=False)
        shutil.rmtree(sockets, ignore_errors=True)
