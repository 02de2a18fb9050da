"""The page and `GET /jobs` with many jobs against few; the first page of a server just started; its memory."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil

from benchmarks.client import Connection, get, request_ms
from benchmarks.directories import data_directory, fill, free_port, serve_command, served
from benchmarks.results import Goal, Row, bounded, compared
from benchmarks.rounds import in_turns, median
from benchmarks.scale import Scale
from running_jobs.actions import Actions
from running_jobs.job import JobStatus

PAGES = {"the page, `GET /`": "/", "`GET /jobs`": "/jobs"}
MB = 1e6


def measure(scale: Scale, below: Path) -> list[Row]:
    """Measure a server with many ended jobs and one with few in turns; start the first several times before."""
    with contextlib.ExitStack() as stack:
        few = stack.enter_context(data_directory(below, scale.slots))
        many = stack.enter_context(data_directory(below, scale.slots))
        fill(few, scale.few, JobStatus.DONE)
        fill(many, scale.many, JobStatus.DONE)
        rows = _cold_rows([_seconds_to_first_page(many) for _ in range(scale.rounds)], scale.many)
        port, other_port = free_port(), free_port()
        processors = sorted(os.sched_getaffinity(0))
        with _only_on(processors[-1]):  # both on the same: one that shares it with us takes half as long again
            server = stack.enter_context(served(serve_command(many, port), port))
            stack.enter_context(served(serve_command(few, other_port), other_port))
        with _only_on(processors[0]):
            rows += [_compared(scale, what, get(path), port, other_port) for what, path in PAGES.items()]
        return [*rows, *_memory_rows(psutil.Process(server.process.pid), scale.many)]


@contextlib.contextmanager
def _only_on(processor: int) -> Iterator[None]:
    """Use one processor, and have what is started meanwhile use that one for ever."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {processor})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _seconds_to_first_page(actions: Actions) -> tuple[float, float]:
    """Return how long a new server took from its start to its first page, and how much of that was the request."""
    port = free_port()
    started = time.perf_counter()
    with served(serve_command(actions, port), port):
        asked = time.perf_counter()
        Connection(port).ask(get("/"))
        answered = time.perf_counter()
    return answered - started, answered - asked


def _cold_rows(found: list[tuple[float, float]], count: int) -> list[Row]:
    whole, request = (median([each[place] for each in found]) for place in (0, 1))
    what = f"first page of a cold server, {count:,} jobs"
    return [
        bounded(f"{what}, the request", request, Goal(1, unit="s"), 2),
        Row(f"{what}, from the start of the process", f"{whole:.2f} s"),
    ]


def _compared(scale: Scale, what: str, request: bytes, port: int, other_port: int) -> Row:
    """Compare one request; the warm-up waits until all jobs are read, which a server does in its first seconds."""
    asks = {
        "many": partial(request_ms, port, request, scale.pages),
        "few": partial(request_ms, other_port, request, scale.pages),
    }
    client = Connection(port)
    client.ask(get("/jobs?q=nothing-has-this-in-its-name"))
    client.close()
    in_turns(asks, 1)
    found = in_turns(asks, scale.rounds)
    return compared(f"{what}, {scale.many:,} jobs", "ms", found["many"], f"{scale.few} jobs", found["few"], Goal(1.3))


def _memory_rows(server: psutil.Process, count: int) -> list[Row]:
    used = server.memory_full_info()
    row = bounded(f"memory of the server, {count:,} jobs, resident", used.rss / MB, Goal(200, unit="MB"), 0)
    return [row, Row(f"memory of the server, {count:,} jobs, its own alone", f"{used.uss / MB:.0f} MB")]
