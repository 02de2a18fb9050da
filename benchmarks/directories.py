"""Data directories to measure in, and servers on them. Whatever was started in one has ended before it is left."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from benchmarks.rounds import wait_until
from running_jobs.actions import Actions
from running_jobs.job import Job, JobStatus, id_from_microseconds, to_iso
from running_jobs.processes import boot_id
from running_jobs.settings import load_settings

PROJECT = Path(__file__).resolve().parent.parent
EXEC_TRUE = {"type": "exec", "cmd": "true"}
TRUE_JOB = {"command": EXEC_TRUE, "start": True, "cwd": "/"}


def new_folder(below: Path) -> Path:
    """Return a new folder. It stays until all is measured: removing thousands of files slows what makes files next."""
    return Path(tempfile.mkdtemp(prefix="running-jobs-benchmark-", dir=below))


def remove(path: Path) -> None:
    """Remove a folder in which somebody who ends may write a last word meanwhile."""
    while path.exists():
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def data_directory(below: Path, slots: int, *, sync: bool = True) -> Iterator[Actions]:
    """Yield the verbs on a new data directory; its dispatcher and its jobs are ended afterwards."""
    found = new_folder(below)
    lines = [f"slots = {slots}", f"fsync = {str(sync).lower()}", "grace_seconds = 1"]
    (found / "config.toml").write_text("\n".join(lines) + "\n")
    actions = Actions(load_settings(str(found), {}))
    actions.store.prepare()
    try:
        yield actions
    finally:
        end_all(actions)


def users_of(path: str) -> list[psutil.Process]:
    """Return the processes that have a file below a folder open: dispatcher, runners, commands that write logs."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(OSError, psutil.Error):
            descriptors = f"/proc/{process.pid}/fd"
            if process.pid != os.getpid() and any(
                _leads_below(f"{descriptors}/{each}", path) for each in os.listdir(descriptors)
            ):
                found.append(process)
    return found


def _leads_below(link: str, path: str) -> bool:
    with contextlib.suppress(OSError):
        return os.readlink(link).startswith(f"{path}/")
    return False


def dispatcher_of(actions: Actions) -> psutil.Process:
    """Return the dispatcher, started if none lives, once it has signed its lock."""
    actions.ensure_dispatcher()
    signed: list[int] = []

    def has_signed() -> bool:
        with contextlib.suppress(OSError, ValueError):
            signed[:] = [json.loads(Path(actions.store.paths.dispatcher_lock).read_text())["pid"]]
        return bool(signed) and psutil.pid_exists(signed[0])

    wait_until(has_signed, at_most_s=20)
    return psutil.Process(signed[0])


def runners_of(actions: Actions) -> list[psutil.Process]:
    """Return the runners of all jobs that run."""
    jobs = [actions.store.get(job_id) for job_id in actions.store.open_ids()]
    return [psutil.Process(job.pid) for job in jobs if job.status == JobStatus.ACTIVE and job.pid]


def end_all(actions: Actions) -> None:
    """End all that works in a data directory, until nobody does: a runner that ends may start a dispatcher."""
    quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < 0.2:
        for process in users_of(actions.settings.data):
            quiet_since = time.monotonic()
            with contextlib.suppress(psutil.Error):
                process.kill()
        time.sleep(0.05)


def fill(actions: Actions, count: int, status: JobStatus) -> None:
    """Lay jobs into a data directory as files, which takes a hundredth of the time that submitting them does."""
    paths = actions.store.paths
    first = int(time.time() * 1_000_000) - count * 1_000_000
    for number in range(count):
        job = _job(id_from_microseconds(first + number * 1_000_000), first / 1e6 + number, number, status)
        Path(paths.json(job.id)).write_bytes(job.to_json())
        for path in (paths.out(job.id), paths.err(job.id), *([] if job.is_final else [paths.marker(job.id)])):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    Path(paths.boot_id).write_text(boot_id())


def _job(job_id: str, created_s: float, number: int, status: JobStatus) -> Job:
    """Return a job like those that people keep, ended in one way or another if it has ended."""
    command = {"type": "exec", "cmd": f"python simulate.py --case {number} --output results/{number}.h5"}
    created_at = to_iso(created_s)
    job = Job(job_id, status, command, priority=500 + number % 7, cwd="/", created_at=created_at, queued_at=created_at)
    if job.is_final:
        job.exit_code = 0 if status == JobStatus.DONE else 1
        job.reason = f"exit code {job.exit_code}"
        job.started_at, job.ended_at = to_iso(created_s + 1), to_iso(created_s + 60 + number % 100)
        job.attempt, job.host, job.pid, job.usage = 1, "host", 1000, {"cpu_s": 1.5, "max_rss_bytes": 11 << 20}
        attempt = {"attempt": 1, "started_at": job.started_at, "ended_at": job.ended_at, "exit_code": job.exit_code}
        job.attempts = [{**attempt, "signal": None, "reason": job.reason}]
    return job


class Server:
    """A server that runs: its process and its port."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.port = port


@contextlib.contextmanager
def served(command: list[str], port: int) -> Iterator[Server]:
    """Run a server that listens on a port; yield it once it does."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=clean_environment()
    )
    try:
        wait_until(lambda: listens(port) or process.poll() is not None, at_most_s=60)
        if process.poll() is not None:
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
        yield Server(process, port)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def serve_command(actions: Actions, port: int) -> list[str]:
    """Return the command line that serves a data directory."""
    return [sys.executable, str(PROJECT / "app.py"), "--data", actions.settings.data, "serve", "--port", str(port)]


def clean_environment() -> dict[str, str]:
    """Return our environment without what has Python behave in its own way, or names other settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "JOBS_", "JOB_"))}


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Say whether somebody listens on a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
