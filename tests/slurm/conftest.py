"""Fixtures for jobs on a real Slurm: a cluster for all tests of a process, mended after each, and its calls counted."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from running_jobs.actions import Actions
from running_jobs.job import Job
from running_jobs.store import JobStore

from ..conftest import dispatcher_of, end_everything, wait_for
from .cluster import CLIENTS, SYSTEM, Cluster, running_cluster, what_is_missing

CONFIG = 'executor = "slurm"\ngrace_seconds = 1\n'


class Calls:
    """Programs before the real ones in PATH that note each call of a client of Slurm, and do to it what a test wants."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._log = folder / "calls"
        folder.mkdir()
        for name in CLIENTS:
            self.put(name)

    def put(self, name: str, before: str = "", after: str | None = None) -> None:
        """Put a client in place that runs a shell line `before` it goes on as the real one, or another `after` that."""
        note = f'echo "$EPOCHREALTIME {name} $*" >> {shlex.quote(str(self._log))}'
        real = f'/usr/bin/{name} "$@"'
        last = f"exec {real}" if after is None else f"{real}\ncode=$?\n{after}\nexit $code"
        made = self.folder / f".{name}"
        made.write_text(f"#!/bin/bash\n{note}\n{before}\n{last}\n")
        made.chmod(0o755)
        made.rename(self.folder / name)  # one that is just being called is not changed

    def remove(self) -> None:
        """Take all clients away."""
        for name in CLIENTS:
            (self.folder / name).unlink()

    def of(self, name: str) -> list[tuple[float, str]]:
        """Return when and with what a client was called."""
        lines = self._log.read_text().splitlines() if self._log.exists() else []
        called = (line.split(" ", 2) for line in lines)
        return [(float(at), arguments) for at, program, arguments in called if program == name]


@pytest.fixture(scope="session")
def one_cluster() -> Iterator[Cluster]:
    """Run a cluster for all tests of this process: one starts in half a second, and costs nothing while it is idle."""
    missing = what_is_missing()
    if missing:
        (pytest.fail if os.environ.get("TEST_REQUIRE") == "all" else pytest.skip)(f"no Slurm for tests: {missing}")
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(one_cluster: Cluster) -> Iterator[Cluster]:
    """Give a cluster on which nothing is broken and no job is left."""
    yield one_cluster
    one_cluster.mend()


@pytest.fixture
def calls(tmp_path: Path) -> Calls:
    """Give the clients of Slurm that a dispatcher of the test finds in its PATH."""
    return Calls(tmp_path / "clients")


@pytest.fixture
def data(data: Path, cluster: Cluster, calls: Calls, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give a data directory whose jobs run on the cluster; fail the test if a node used what is only this host's."""
    (data / "config.toml").write_text(CONFIG)
    monkeypatch.setenv("SLURM_CONF", cluster.env["SLURM_CONF"])
    monkeypatch.setenv("PATH", f"{calls.folder}:{SYSTEM}")
    (data / "run").mkdir(mode=0o700)
    os.mkfifo(data / "run" / "wake", 0o600)
    trap = data.parent / "trap"
    os.mkfifo(trap, 0o600)
    poked = os.open(trap, os.O_RDWR | os.O_NONBLOCK)
    with cluster.hidden(data / "run" / "wake", trap):
        yield data
        (data / "paused").touch()
        strangers = dispatchers_on_nodes(data)
        if dispatcher := dispatcher_of(data):
            dispatcher.kill()
        cluster.call("scancel", "--me", check=False)
        end_everything(data)
    with contextlib.suppress(BlockingIOError):
        pytest.fail(f"a node wrote into the FIFO of this host: {os.read(poked, 1000)!r}")
    os.close(poked)
    assert strangers == []


def dispatchers_on_nodes(data: Path) -> list[psutil.Process]:
    """Return the dispatchers of a data directory that run on nodes, where none belongs."""
    ours = os.readlink("/proc/self/ns/pid")
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if (process.info["cmdline"] or [])[-1:] == [str(data)]:
            with contextlib.suppress(OSError):
                found += [process] if os.readlink(f"/proc/{process.pid}/ns/pid") != ours else []
    return found


@pytest.fixture
def launch(actions: Actions) -> Callable[..., Job]:
    """Give a function that queues a shell line for Slurm, unless it says otherwise."""

    def start(cmd: str, **options: Any) -> Job:
        wish = {"command": {"type": "exec", "cmd": cmd}, "start": True, "cwd": "/", "executor": "slurm"}
        return actions.submit({**wish, **options})

    return start


class Ran:
    """What jobs note of their runs: a job's shell line begins with `note`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.note = f'echo "$JOB_ID $JOB_ATTEMPT $(hostname)" >> {shlex.quote(str(path))}'

    def of(self, job: Job) -> list[tuple[int, str]]:
        """Return each start of a job: the attempt's number, and the node."""
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        starts = (line.split() for line in lines)
        return [(int(attempt), node) for job_id, attempt, node in starts if job_id == job.id]

    def order(self) -> list[str]:
        """Return the ids of the jobs that ran, in the order of their starts."""
        return [line.split()[0] for line in self._path.read_text().splitlines()]


@pytest.fixture
def ran(tmp_path: Path) -> Ran:
    """Give the place where jobs note that they run."""
    return Ran(tmp_path / "ran")


def slurm_ids(cluster: Cluster, job: Job) -> list[str]:
    """Return Slurm's ids of everything that was ever submitted for a job, in order."""
    return sorted((number for number, told in cluster.queue().items() if told["name"] == job.id), key=int)


def submitted_keys(cluster: Cluster) -> list[str]:
    """Return the keys of all that was submitted, each as often as it was."""
    return [str(told["comment"]) for told in cluster.queue().values()]


def wait_for_node(store: JobStore, job: Job, attempt: int = 1, timeout_s: float = 20) -> str:
    """Return the node on which an attempt runs, once it does."""

    def node() -> str:
        found = store.get(job.id)
        runs = found.status == "active" and found.attempt == attempt
        return found.host or "" if runs else ""

    return str(wait_for(node, lambda: f"attempt {attempt}: {store.get(job.id)}", timeout_s))
