"""No-op commands from their submission to their recorded ends, against peers and against a bare loop of posix_spawn."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from benchmarks.directories import TRUE_JOB, data_directory, new_folder
from benchmarks.peers import LINE, Peer, RunJobs
from benchmarks.results import Goal, Row, compared
from benchmarks.rounds import in_turns, wait_until
from benchmarks.scale import Scale
from running_jobs.actions import Actions

BARE = "bare loop of posix_spawn"
FILES = "the same files and commands, nothing between"
BARE_FILES = str(Path(__file__).parent / "peers" / "bare_files.py")
GOALS = {"task-spooler": 1.5, "huey (processes, SQLite)": 1.2, "GNU parallel": 4, "rq": 10, BARE: 0.5}


def measure(scale: Scale, below: Path, peers: Sequence[Peer]) -> list[Row]:
    """Measure how many jobs a second each gets done. Ours are durable; once more without, as the peers are not."""
    with contextlib.ExitStack() as stack:
        actions = stack.enter_context(data_directory(below, scale.slots))
        unsynced = stack.enter_context(data_directory(below, scale.slots, sync=False))
        measures = {
            "ours": partial(jobs_per_s, actions, scale.jobs),
            "ours unsynced": partial(jobs_per_s, unsynced, scale.jobs),
            BARE: partial(bare_spawns_per_s, scale.jobs),
            FILES: partial(stack.enter_context(_bare_files(below, scale.slots)), scale.jobs),
        }
        for peer in peers:
            if peer.version is not None:
                own = new_folder(below)
                measures[peer.name] = partial(stack.enter_context(peer.started(own, scale.slots)), scale.jobs)
        in_turns(measures, 1)  # warm-up: dispatcher and workers live from here on
        found = in_turns(measures, scale.rounds)
    rows = []
    for ours, how in (("ours", "durable"), ("ours unsynced", "fsync = false")):
        what = f"no-op commands, {scale.slots} slots, {how}"
        for name in (BARE, *(peer.name for peer in peers)):
            goal = _goal(name) if ours == "ours" else None
            rows.append(compared(what, "/s", found[ours], name, found.get(name, []), goal))
    rows.append(compared("no-op commands, durable", "/s", found["ours"], FILES, found[FILES]))
    rows.append(compared(f"the floor of that: {FILES}", "/s", found[FILES], BARE, found[BARE]))
    return rows


def _goal(name: str) -> Goal | None:
    return Goal(GOALS[name], at_least=True) if name in GOALS else None


def jobs_per_s(actions: Actions, count: int) -> float:
    """Submit jobs one by one, wait until the last end is recorded: none has a marker then."""
    begun = time.perf_counter()
    for _ in range(count):
        actions.submit(TRUE_JOB)
    wait_until(lambda: not os.listdir(actions.store.paths.open))
    return count / (time.perf_counter() - begun)


def bare_spawns_per_s(count: int) -> float:
    """Run the shell line again and again, one at a time, keeping nothing."""
    begun = time.perf_counter()
    for _ in range(count):
        os.waitpid(os.posix_spawn("/bin/sh", ["/bin/sh", "-c", LINE], os.environ), 0)
    return count / (time.perf_counter() - begun)


@contextlib.contextmanager
def _bare_files(below: Path, slots: int) -> Iterator[RunJobs]:
    """Yield what makes a job's files and runs its command as fast as that can be done."""
    command = [sys.executable, "-I", "-S", BARE_FILES, str(new_folder(below)), str(slots)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    given, answers = process.stdin, process.stdout

    def per_s(count: int) -> float:
        print(count, file=given, flush=True)
        return float(answers.readline())

    try:
        yield per_s
    finally:
        given.close()
        process.wait()
