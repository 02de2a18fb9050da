"""huey: process workers on its SQLite storage, which poll it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.peers import Peer, RunJobs
from benchmarks.peers.python_environment import python_of, version_in
from benchmarks.peers.workers import processes, submit


def found(environment: Path | None) -> Peer:
    """Return the peer as an environment has it."""
    return Peer("huey (processes, SQLite)", version_in(environment, "huey"), partial(started, environment))


@contextlib.contextmanager
def started(environment: Path | None, below: Path, slots: int) -> Iterator[RunJobs]:
    """Run its consumer. It asks a hundred times a second while nothing is queued: by default it would sleep longer."""
    python = python_of(environment or Path())
    consumer = [str(Path(python).parent / "huey_consumer"), "huey_tasks.huey", "-k", "process", "-w", str(slots)]
    with processes([[python, *consumer, "-d", "0.01", "-m", "0.01", "-n", "-q"]], below):
        yield partial(submit, python, "huey_tasks", below)
