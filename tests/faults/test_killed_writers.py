"""SIGKILL between any two steps: a job is there as a whole or not at all, it has ended or not, and nothing is left."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from running_jobs.housekeeping import UNFINISHED_S, open_jobs, tidy
from running_jobs.store import JobStore
from tests.conftest import PROJECT

# Both fork once for each step; each child dies before its own, the last one comes to the end.
BEGIN = """
import fcntl, itertools, os, signal, sys
project, data, *rest = sys.argv[1:]
sys.path.insert(0, project)
from running_jobs.job import ACTIVE, ERROR, IDLE, QUEUED, STOP, Job
from running_jobs.store import JobStore

STEPS = ("open", "close", "write", "pwrite", "rename", "unlink", "mkdir", "truncate", "ftruncate", "fsync")
store = JobStore(data, sync=False)
store.prepare()
template = Job(id="", status=QUEUED, command={"type": "exec", "cmd": "true"})

def dying(call, last):
    def take(*args, **more):
        if next(last) == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **more)
    return take

def die_at(step):
    last = itertools.count(step, -1)
    for name in STEPS:
        setattr(os, name, dying(getattr(os, name), last))
"""

CREATE = """
earlier = store.create(template).id
jobs = [Job(**{**vars(template), "after": [earlier]})] * int(rest[0])
for step in itertools.count():
    if (child := os.fork()) == 0:
        die_at(step)
        store.create_all(jobs, codes=[b"code"] * len(jobs))
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
print(step)
"""

SETTLE = """
for step in itertools.count():
    job = store.create(template)
    store.update(job.id, lambda job: {"status": ACTIVE})
    store.files.note_session(job.id, 1, 2, 3)
    store.files.prepare(job, is_told=False)
    if (child := os.fork()) == 0:
        die_at(step)
        store.update(job.id, lambda job: {"status": ERROR})
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
print(step)
"""

ASK = """
from running_jobs.own_record import OwnRecord
worker = Job(**{**vars(template), "status": IDLE, "command": {"type": "worker", "name": "A"}})

def begin(job):
    store.keep_code(job.id, b"code")
    return {"status": QUEUED}

steps = 0
for waiting, decide in ((template, lambda job: {"asked": {"verb": "stop"}}), (worker, begin)):
    for step in itertools.count():
        job = store.create(waiting)
        if (child := os.fork()) == 0:
            die_at(step)
            store.update(job.id, decide)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        if store.get(job.id).status is QUEUED:  # as a runner does, and for one that is not started as who stops it
            own = OwnRecord(store, job.id)
            own.change(lambda job: {"status": ACTIVE, "attempt": 1})
            own.change(lambda job: {"status": STOP})
        else:
            store.update(job.id, lambda job: {"status": STOP})
        if status == 0:
            break
    steps += step
print(steps)
"""


def killed_at_each_step(program: str, data: Path, *arguments: str) -> int:
    """Run a program on a data directory and return how many steps it has."""
    words = [sys.executable, "-I", "-S", "-c", BEGIN + program, str(PROJECT), str(data), *arguments]
    return int(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize("count", [1, 2])
def test_a_creation_killed_at_any_step_leaves_whole_jobs_or_nothing(data: Path, count: int) -> None:
    assert killed_at_each_step(CREATE, data, str(count)) > 10 * count, "it took fewer steps than there must be"
    store = JobStore(str(data))
    with store.door():  # whoever takes the lock next undoes what is begun
        pass
    for job_id in store.open_ids():  # as the dispatcher does on seeing one that is settled or not there
        tidy(store, job_id)
    later = JobStore(str(data), clock=lambda: time.time() + 2 * UNFINISHED_S)
    open_jobs(later, "another boot")  # as the first dispatcher does after the machine was restarted
    ids = store.ids()
    assert set(store.open_ids()) == set(ids)
    assert len(ids) % count == 1 % count, "some of those that were stored together are missing"
    wanted = {f"{job_id}.{kind}" for job_id in ids for kind in ("json", "out", "err")}
    wanted |= {f"{job_id}.worker.py" for job_id in ids[1:]}
    assert set(os.listdir(data)) - {"config.toml", "run", "logs"} == wanted
    assert {store.get(job_id).status.value for job_id in ids} == {"queued"}


def test_an_end_killed_at_any_step_leaves_nothing_beside_the_record(data: Path) -> None:
    assert killed_at_each_step(SETTLE, data) > 10, "it took fewer steps than there must be"
    store = JobStore(str(data))
    for job_id in store.open_ids():
        tidy(store, job_id)
    by_status = {
        status: [i for i in store.ids() if store.get(i).status.value == status] for status in ("active", "error")
    }
    assert all(by_status.values())
    assert store.open_ids() == by_status["active"]
    left = [name for name in os.listdir(data) if name.endswith((".next", ".session"))]
    assert {name[1:].partition(".")[0] for name in left} == set(by_status["active"])


def test_a_wish_killed_at_any_step_leaves_nothing_once_the_job_has_ended(data: Path) -> None:
    assert killed_at_each_step(ASK, data) > 20, "it took fewer steps than there must be"
    store = JobStore(str(data))
    assert {store.get(job_id).status.value for job_id in store.ids()} == {"stop"}
    assert store.open_ids() == []
    assert [name for name in os.listdir(data) if name.startswith(".")] == []
