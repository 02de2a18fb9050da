"""Random SIGKILLs to dispatchers, runners and callbacks while mixed jobs run: each comes to one truthful end.

TEST_SEED repeats a run, as far as processes can be repeated; TEST_KILLS makes it longer.
"""

from __future__ import annotations

import contextlib
import os
import random
import select
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import psutil
import pytest

from running_jobs.actions import Actions
from running_jobs.errors import JobsError
from running_jobs.job import Job
from running_jobs.recovery import LOST

from .conftest import dispatcher_of, processes_of, wait_for

JOBS = 300
KILLS = int(os.environ.get("TEST_KILLS", "60"))
SETTINGS = "slots = 6\ngrace_seconds = 1\nfsync = false\nrotate_bytes = 20000\n[contexts.narrow]\nslots = 2\n"


def submit_mixed(actions: Actions, chance: random.Random, folder: Path) -> list[str]:
    """Queue jobs of all kinds, and return their ids."""
    call = {"type": "exec", "cmd": f'echo "$JOB_ID $JOB_STATUS" >> {folder}/called'}
    ids: list[str] = []
    for _ in range(JOBS):
        good_from = chance.choice([1, 1, 1, 2, 3, 9])
        line = (
            f'echo "$JOB_ID $JOB_ATTEMPT" >> {folder}/ran; sleep {chance.choice([0, 0, 0.05, 0.2])}; '
            f"[ $JOB_ATTEMPT -ge {good_from} ]"
        )
        options: dict[str, Any] = {
            "retries": chance.choice([0, 0, 1, 3]), "retry_delay": chance.choice([0, 0.1, 0.3]),
            "priority": chance.choice([1, 500, 900]), "context": chance.choice(["default", "narrow", "other"]),
        }  # fmt: skip
        if chance.random() < 0.3:
            options["delay"] = round(chance.uniform(0, 0.5), 3)
        if ids and chance.random() < 0.3:
            options["after"] = sorted(set(chance.choices(ids[-10:], k=2)))
        for name in ("callback_done", "callback_failed"):
            if chance.random() < 0.15:
                options[name] = call
        command = {"type": "exec", "cmd": line}
        ids.append(actions.submit({"command": command, "start": True, "cwd": "/", **options}).id)
    return ids


def victims(actions: Actions, kind: str) -> list[psutil.Process]:
    """Return the living processes of a kind: dispatcher, runner or callback."""
    data = actions.store.paths.data
    if kind == "dispatcher":
        found = dispatcher_of(data)
        return [found] if found else []
    processes = []
    if kind == "callback":
        for process in psutil.process_iter(["cmdline"]):
            line = process.info["cmdline"] or []
            if len(line) > 3 and line[-2] == data and line[-3].endswith("callback.py"):
                processes.append(process)
        return processes
    for job_id in actions.store.open_ids():
        with contextlib.suppress(JobsError, psutil.Error, TypeError):
            job = actions.store.get(job_id)
            if job.status == "active" and " ".join(psutil.Process(job.pid).cmdline()).endswith(job_id):
                processes.append(psutil.Process(job.pid))
    return processes


def runners_of(ids: set[str]) -> list[psutil.Process]:
    """Return the runners of these jobs, whatever the records say."""
    found = psutil.process_iter(["cmdline"])
    return [process for process in found if " ".join(process.info["cmdline"] or []).rpartition(" ")[2] in ids]


def check_attempts(job: Job, others: dict[str, Job], ran: list[int]) -> None:
    """See that a job's attempts are what its end says."""
    assert [attempt["attempt"] for attempt in job.attempts] == list(range(1, job.attempt + 1))
    assert len(ran) == len(set(ran)), "an attempt ran twice"
    assert set(ran) <= set(range(1, job.attempt + 1))
    for attempt in job.attempts:
        assert attempt["reason"] == LOST or attempt["attempt"] in ran
        assert attempt["ended_at"] >= attempt["started_at"]
    bad = [other for other in job.after if others[other].status != "done"]
    if bad:
        assert (job.status, job.attempt) == ("error", 0)
        assert job.reason in [f"job {other} ended {others[other].status}" for other in bad]
        return
    assert 1 <= job.attempt <= job.retries + 1
    assert (job.status == "done") == (job.attempts[-1]["exit_code"] == 0)
    assert job.status == "done" or (job.status, job.attempt) == ("error", job.retries + 1)
    assert all(attempt["exit_code"] != 0 for attempt in job.attempts[:-1])


def most_at_once(jobs: list[Job]) -> int:
    """Return how many of these jobs' attempts ran at once."""
    marks = []
    for job in jobs:
        for attempt in job.attempts:
            marks += [(attempt["started_at"], 1), (attempt["ended_at"], -1)]
    running = most = 0
    for _, change in sorted(marks):
        running += change
        most = max(most, running)
    return most


@pytest.mark.timeout(600)
def test_random_kills_leave_every_job_with_one_truthful_end(configure, data: Path, tmp_path: Path) -> None:
    seed = int(os.environ.get("TEST_SEED", random.randrange(10**6)))
    print(f"TEST_SEED={seed}")
    chance = random.Random(seed)
    actions: Actions = configure(SETTINGS)
    store = actions.store
    ids = submit_mixed(actions, chance, tmp_path)
    killed: Counter[str] = Counter()
    while sum(killed.values()) < KILLS and store.open_ids():
        kind = chance.choice(["dispatcher", "runner", "callback"])
        if found := victims(actions, kind):
            with contextlib.suppress(psutil.Error):
                chance.choice(found).kill()
                killed[kind] += 1
        select.select([], [], [], chance.uniform(0, 0.15))
        actions.ensure_dispatcher()  # as whoever looks at the directory does

    def is_settled() -> bool:
        actions.ensure_dispatcher()
        return not store.open_ids()

    wait_for(is_settled, lambda: f"{[store.get(job_id) for job_id in store.open_ids()]}", 120)
    narrow = most_at_once([job for job_id in ids if (job := store.get(job_id)).context == "narrow"])
    most = most_at_once([store.get(job_id) for job_id in ids])
    print(f"{dict(killed)}; at once {most}, in the narrow context {narrow}")
    assert most <= 6
    assert narrow <= 2
    assert killed["dispatcher"]
    assert killed["runner"]

    jobs = {job_id: store.get(job_id) for job_id in ids}
    ran: dict[str, list[int]] = defaultdict(list)
    for line in (tmp_path / "ran").read_text().splitlines():
        ran[line.split()[0]].append(int(line.split()[1]))
    called = Counter((tmp_path / "called").read_text().splitlines())
    for job_id, job in jobs.items():
        check_attempts(job, jobs, ran[job_id])
        meant = [name for name in ("callback_done", "callback_failed") if getattr(job, name)]
        if job.status == "done":
            meant = [name for name in meant if name == "callback_done"]
        assert [entry["callback"] for entry in job.callbacks] == meant
        assert all(entry["outcome"] == "made" for entry in job.callbacks)
        assert called.pop(f"{job_id} {job.status}", 0) >= len(meant)
    assert not called, "a callback that nobody asked for, or of an end that did not come"

    wait_for(lambda: not (processes_of(data) + victims(actions, "callback") + runners_of(set(ids))))
    errors = "".join(path.read_text() for path in Path(store.paths.logs).glob("*_errors.log*"))
    assert "Traceback" not in errors, errors
    told = {}
    for path in [*sorted(Path(store.paths.logs).glob("background_jobs.log.*")), Path(store.paths.journal)]:
        if path.exists():
            told.update((line.split(" ")[1], line.rsplit(" - ", 2)[1]) for line in path.read_text().splitlines())
    assert told == {job_id: job.status for job_id, job in jobs.items()}
