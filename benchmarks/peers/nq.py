"""nq: no server and no slots; a folder is a queue that runs one after the other, so there is a folder for each slot."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.peers import LINE, Peer, RunJobs

_SUBMIT = 'n=0; while [ $n -lt "$1" ]; do NQDIR="$3/$((n%$4))" "$0" -q /bin/sh -c "$2"; n=$((n+1)); done'


def found() -> Peer:
    """Return the peer. It does not say its version."""
    program = shutil.which("nq")
    return Peer("nq", _version() if program else None, lambda below, slots: started(program or "", below, slots))


def _version() -> str:
    with contextlib.suppress(OSError):
        asked = ["dpkg-query", "-W", "-f", "${Version}", "nq"]
        return subprocess.run(asked, capture_output=True, text=True, check=False).stdout or "unknown version"
    return "unknown version"


@contextlib.contextmanager
def started(program: str, below: Path, slots: int) -> Iterator[RunJobs]:
    """Have a folder for each slot, new ones for each run: what is kept there is looked through again and again."""
    runs = 0

    def run(count: int) -> float:
        nonlocal runs
        runs += 1
        queues = below / str(runs)
        queues.mkdir()
        begun = time.perf_counter()
        command = ["/bin/sh", "-c", _SUBMIT, program, str(count), LINE, str(queues), str(slots)]
        subprocess.run(command, check=True)
        for queue in sorted(queues.iterdir()):
            subprocess.run([program, "-w"], env={**os.environ, "NQDIR": str(queue)}, check=True)
        return count / (time.perf_counter() - begun)

    yield run
