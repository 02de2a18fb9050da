"""Submission over HTTP, durable before it is answered, against an empty Flask view on the same server."""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from benchmarks.client import post, requests_per_s
from benchmarks.directories import TRUE_JOB, data_directory, folder, free_port, serve_command, served
from benchmarks.results import Goal, Row, compared
from benchmarks.rounds import in_turns
from benchmarks.scale import Scale

EMPTY_VIEW = str(Path(__file__).parent / "peers" / "empty_view.py")
RECORD = bytes(900)


def measure(scale: Scale, below: Path) -> list[Row]:
    """Measure how many jobs a second are taken. They are queued, and a pause keeps them from running meanwhile."""
    request = post("/jobs", json.dumps(TRUE_JOB).encode())
    port, empty_port, bound_port = free_port(), free_port(), free_port()
    empty_command = [sys.executable, EMPTY_VIEW]
    with data_directory(below, scale.slots) as actions, folder(below) as bare:
        actions.pause(True)
        with (
            served(serve_command(actions, port), port),
            served([*empty_command, str(empty_port)], empty_port),
            served([*empty_command, str(bound_port), "bound"], bound_port),
        ):
            measures = {
                "ours": partial(requests_per_s, port, request, scale.connections, scale.requests),
                "empty": partial(requests_per_s, empty_port, request, scale.connections, scale.requests),
                "bound": partial(requests_per_s, bound_port, request, scale.connections, scale.requests),
                "files": partial(bare_files_per_s, bare, scale.connections, scale.requests),
            }
            in_turns(measures, 1)  # warm-up
            found = in_turns(measures, scale.rounds)
    what = f"submission over HTTP, durable, {scale.connections} connections"
    floor = f"the floor of that: a job's files, made and synced by {scale.connections} threads, no server"
    return [
        compared(what, "/s", found["ours"], "empty Flask view", found["empty"], Goal(0.4, at_least=True)),
        compared(what, "/s", found["ours"], "empty view bound to one processor, too", found["bound"]),
        compared(floor, "/s", found["files"], "empty Flask view", found["empty"]),
    ]


def bare_files_per_s(path: Path, threads: int, count: int) -> float:
    """Make what the disk has of a new job, and nothing else: two logs, a record with two names; sync all that."""
    begun = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(partial(_make_files, str(path)), (next(_NUMBERS) for _ in range(count))))
    return count / (time.perf_counter() - begun)


_NUMBERS = itertools.count()


def _make_files(path: str, number: int) -> None:
    for ending in ("out", "err"):
        os.close(os.open(f"{path}/{number}.{ending}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    record = os.open(f"{path}/{number}.new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(record, RECORD)
    os.fsync(record)
    os.close(record)
    os.link(f"{path}/{number}.new", f"{path}/{number}.marker")
    os.rename(f"{path}/{number}.new", f"{path}/{number}.json")
    names = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(names)
    os.close(names)
