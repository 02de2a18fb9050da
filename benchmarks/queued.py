"""Measure what a long queue costs: `python benchmarks/queued.py [JOBS]`.

Prints each figure beside the same with an almost empty queue. A fork of a bigger process takes longer, whatever the
queue is kept in, and is measured separately.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from running_jobs import wake  # noqa: E402 - the line above says where it is
from running_jobs.actions import Actions  # noqa: E402
from running_jobs.job import QUEUED, Job, id_from_microseconds, to_iso  # noqa: E402
from running_jobs.processes import boot_id  # noqa: E402
from running_jobs.settings import load_settings  # noqa: E402

FEW = 10
STARTED = 200
SUBMITTED = 100
EXEC_TRUE = {"type": "exec", "cmd": "true"}

INSIDE = """
import json, os, sys, time
sys.path.insert(0, sys.argv[1])
from running_jobs.dispatcher import Dispatcher
from running_jobs.scheduling import choose_next
from running_jobs.settings import load_settings
from running_jobs.store import JobStore

def cpu_ms(act, times):
    started = time.process_time()
    for _ in range(times):
        act()
    return (time.process_time() - started) * 1000 / times

def choose():
    chosen = choose_next(line, {}, 1, False)
    context = line.context_of(chosen)
    line.remove(chosen)
    removed.append((chosen, context))

def fork():
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)

settings = load_settings(sys.argv[2], {})
dispatcher = Dispatcher(JobStore.of(settings), settings, 0)
read_ms = cpu_ms(dispatcher.look_at_all, 1)
removed, line = [], dispatcher.queued.line
figures = {"read": read_ms, "choose": cpu_ms(choose, 5), "fork": cpu_ms(fork, 100)}
for chosen, context in removed:
    line.put(chosen, 500, context)
dispatcher.look_around()
figures["look around"] = cpu_ms(dispatcher.look_around, 5)
print(json.dumps(figures))
"""


def fill(actions: Actions, count: int) -> None:
    """Lay queued jobs into a data directory as files, which takes a hundredth of the time that submitting them does."""
    paths = actions.store.paths
    actions.store.prepare()
    first = int(time.time() * 1_000_000) - count
    for number in range(count):
        job_id = id_from_microseconds(first + number)
        created = to_iso(first / 1_000_000)
        job = Job(
            id=job_id, status=QUEUED, command=EXEC_TRUE, priority=number % 7, cwd="/", created_at=created,
            queued_at=created,
        )  # fmt: skip
        Path(paths.json(job_id)).write_bytes(job.to_json())
        os.close(os.open(paths.marker(job_id), os.O_WRONLY | os.O_CREAT, 0o600))
    Path(paths.boot_id).write_text(boot_id())


def dispatcher_of(actions: Actions) -> psutil.Process | None:
    """Return the dispatcher, if one has signed its lock and lives."""
    try:
        signed = json.loads(Path(actions.store.paths.dispatcher_lock).read_text())
        process = psutil.Process(signed["pid"])
        return process if process.status() != psutil.STATUS_ZOMBIE else None
    except (OSError, ValueError, KeyError, psutil.Error):
        return None


def cpu_ms(process: psutil.Process) -> float:
    """Return the processor time that a process has used, to the microsecond: /proc/PID/schedstat."""
    return int(Path(f"/proc/{process.pid}/schedstat").read_text().split()[0]) / 1e6


def seconds_to_first_launch(actions: Actions) -> float:
    """Return how long it takes from the death of a dispatcher until another one has started the first job."""
    urgent = actions.store.create(
        Job(id="", status=QUEUED, command={"type": "exec", "cmd": "exec sleep 1000"}, priority=1000, cwd="/")
    )
    if found := dispatcher_of(actions):
        found.kill()
    while wake.dispatcher_lives(actions.store.paths):
        time.sleep(0.001)
    started = time.perf_counter()
    os.waitpid(wake.ensure_dispatcher(actions.settings) or 0, 0)
    while actions.store.get(urgent.id).status == QUEUED:
        time.sleep(0.001)
    return time.perf_counter() - started


def measure(folder: str, count: int) -> dict[str, float]:
    """Return the figures of a queue of so many jobs."""
    environ = {"JOBS_SLOTS": "1", "JOBS_FSYNC": "false", "JOBS_GRACE_SECONDS": "1"}
    actions = Actions(load_settings(folder, environ))
    fill(actions, count)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", INSIDE, str(PROJECT), folder], stdout=subprocess.PIPE, check=True
    )
    figures = {f"inside: {name}, CPU ms": value for name, value in json.loads(done.stdout).items()}
    figures["restart to first launch, s"] = seconds_to_first_launch(actions)
    dispatcher = dispatcher_of(actions)
    assert dispatcher is not None
    time.sleep(0.5)
    figures["dispatcher RSS, MB"] = dispatcher.memory_info().rss / 1e6

    times, before = [], cpu_ms(dispatcher)
    for _ in range(SUBMITTED):
        started = time.perf_counter()
        actions.submit({"command": EXEC_TRUE, "start": True, "priority": 900, "cwd": "/"})
        times.append((time.perf_counter() - started) * 1000)
    time.sleep(0.5)
    figures["submit, median ms"] = statistics.median(times)
    figures["submit, dispatcher's CPU ms"] = (cpu_ms(dispatcher) - before) / SUBMITTED

    for _ in range(STARTED - SUBMITTED):
        actions.submit({"command": EXEC_TRUE, "start": True, "priority": 900, "cwd": "/"})
    time.sleep(0.5)
    queued = len(os.listdir(actions.store.paths.open))
    before = cpu_ms(dispatcher)
    actions.pause(True)
    for job_id in actions.store.open_ids()[count:]:
        if actions.store.get(job_id).status != QUEUED:
            actions.kill(job_id)
    while len(os.listdir(actions.store.paths.open)) >= queued:
        time.sleep(0.01)
    goal = queued - 1 - STARTED
    before = cpu_ms(dispatcher)
    started = time.perf_counter()
    actions.pause(False)
    while len(os.listdir(actions.store.paths.open)) > goal:
        time.sleep(0.05)
    actions.pause(True)
    figures["start a job, elapsed ms"] = (time.perf_counter() - started) * 1000 / STARTED
    ended = len(os.listdir(actions.store.paths.open))
    figures["start a job, dispatcher's CPU ms"] = (cpu_ms(dispatcher) - before) / (queued - 1 - ended)
    dispatcher.kill()
    return figures


def main() -> None:
    """Measure and print a table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as few, tempfile.TemporaryDirectory() as many:
        found = {FEW: measure(few, FEW), count: measure(many, count)}
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"{'queued jobs':<40}{FEW:>12}{count:>12}")
    for name, value in found[FEW].items():
        print(f"{name:<40}{value:>12.3f}{found[count][name]:>12.3f}")


if __name__ == "__main__":
    main()
