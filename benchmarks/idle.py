"""What server, dispatcher, runners and sleeping jobs use of a core while nothing happens."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import psutil

from benchmarks.client import Connection, get
from benchmarks.directories import data_directory, dispatcher_of, free_port, serve_command, served, users_of
from benchmarks.memory import start_sleeping
from benchmarks.results import Goal, Row, bounded
from benchmarks.scale import Scale
from running_jobs.executors.fork_server import TITLE


def measure(scale: Scale, below: Path) -> list[Row]:
    """Measure for some time, after what follows a start has been done. Nobody looks at the page meanwhile."""
    port = free_port()
    with data_directory(below, scale.running) as actions, served(serve_command(actions, port), port) as server:
        Connection(port).ask(get("/"))
        start_sleeping(actions, scale.running)
        time.sleep(scale.settle_s)
        pids = {server.process.pid, *(process.pid for process in users_of(actions.settings.data))}
        pids.add(_fork_server_of(dispatcher_of(actions)))
        before, begun = sum(map(cpu_s, pids)), time.monotonic()
        time.sleep(scale.idle_s)
        percent = 100 * (sum(map(cpu_s, pids)) - before) / (time.monotonic() - begun)
    what = f"idle: server, dispatcher, {scale.running} sleeping jobs, over {scale.idle_s:g} s"
    return [bounded(what, percent, Goal(0.5, unit="% of a core"), 2)]


def _fork_server_of(dispatcher: psutil.Process) -> int:
    """Return the pid of what runners are forked from: of those that began after the dispatcher, the first."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            begun = process.create_time()
            if " ".join(process.cmdline()).startswith(TITLE) and begun >= dispatcher.create_time():
                found.append((begun, process.pid))
    return min(found)[1]


def cpu_s(pid: int) -> float:
    """Return what all threads of a process have used, to the microsecond: /proc/PID/task/TID/schedstat."""
    used_ns = 0
    with contextlib.suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                used_ns += int((thread / "schedstat").read_text().split()[0])
    return used_ns / 1e9
