"""SIGKILL to whoever submits, between any two steps: a job is there as a whole or not at all, and nothing is left."""

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

# Forks once for each step; each child dies before its own, the last one comes to the end.
PROGRAM = """
import fcntl, itertools, os, signal, sys
project, data, count = sys.argv[1:]
sys.path.insert(0, project)
from running_jobs.job import QUEUED, Job
from running_jobs.store import JobStore

STEPS = ("open", "close", "write", "pwrite", "rename", "unlink", "mkdir", "truncate", "ftruncate", "fsync")
store = JobStore(data, sync=False)
store.prepare()
earlier = store.create(Job(id="", status=QUEUED, command={"type": "exec", "cmd": "true"})).id
jobs = [Job(id="", status=QUEUED, command={"type": "exec", "cmd": "true"}, after=[earlier])] * int(count)

def dying(call, last):
    def take(*args, **more):
        if next(last) == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **more)
    return take

for step in itertools.count():
    if (child := os.fork()) == 0:
        last = itertools.count(step, -1)
        for name in STEPS:
            setattr(os, name, dying(getattr(os, name), last))
        store.create_all(jobs, codes=[b"code"] * len(jobs))
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
print(step)
"""


@pytest.mark.parametrize("count", [1, 2])
def test_a_creation_killed_at_any_step_leaves_whole_jobs_or_nothing(data: Path, count: int) -> None:
    words = [sys.executable, "-I", "-S", "-c", PROGRAM, str(PROJECT), str(data), str(count)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert int(done.stdout) > 10 * count, "it took fewer steps than there must be"
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
