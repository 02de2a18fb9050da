"""rq: a pool of workers, each of which forks for every job, on a Redis server that keeps nothing on the disk."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.peers import Peer, RunJobs
from benchmarks.peers.python_environment import python_of, version_in
from benchmarks.peers.workers import processes, submit
from benchmarks.rounds import wait_until


def found(environment: Path | None) -> Peer:
    """Return the peer as an environment has it, with the server that is installed."""
    server = shutil.which("redis-server")
    version = version_in(environment, "rq") if server else None
    if server and version:
        said = subprocess.run([server, "--version"], capture_output=True, text=True, check=False).stdout
        version += f", Redis {said.split('v=')[-1].split()[0]}"
    return Peer("rq", version, partial(started, server or "", environment))


@contextlib.contextmanager
def started(server: str, environment: Path | None, below: Path, slots: int) -> Iterator[RunJobs]:
    """Run the server on a socket below the folder, and the pool."""
    python = python_of(environment or Path())
    sockets = Path(tempfile.mkdtemp(prefix="redis-"))  # a socket's path has room for 107 characters
    socket = sockets / "socket"
    redis = [server, "--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no"]
    pool = [str(Path(python).parent / "rq"), "worker-pool", "-n", str(slots), "-u", f"unix://{socket}", "-q"]
    with processes([redis], below):
        wait_until(socket.exists, at_most_s=30)
        with processes([[python, *pool]], below):
            yield partial(submit, python, "rq_tasks", below, str(socket))
    shutil.rmtree(sockets)
