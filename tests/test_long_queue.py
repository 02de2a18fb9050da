"""A queue of 100,000 jobs: what it costs the dispatcher in memory, and who of them is next."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from running_jobs import wake
from running_jobs.actions import Actions
from running_jobs.dispatcher import Dispatcher
from running_jobs.job import QUEUED, Job, id_from_microseconds
from running_jobs.processes import boot_id
from running_jobs.store import JobStore

from .conftest import dispatcher_of, kill_and_wait, wait_for_end, wait_for_status

MANY = 100_000
FIRST = 1_763_000_000_000_000


def lay(store: JobStore, count: int, **fields: object) -> list[str]:
    """Lay queued jobs into a data directory as files, all of them alike."""
    ids = [id_from_microseconds(FIRST + number) for number in range(count)]
    command = {"type": "exec", "cmd": "true"}
    record = Job(**{"id": ids[0], "status": QUEUED, "command": command, "cwd": "/", **fields}).to_json()
    for number, job_id in enumerate(ids):
        with open(store.paths.json(job_id), "wb", buffering=0) as file:
            file.write(record.replace(ids[0].encode(), job_id.encode(), 1))
        if number % 10_000 == 0:
            Path(store.paths.marker(job_id)).touch(0o600)
        else:  # quicker to make than a file
            os.link(store.paths.marker(ids[number - number % 10_000]), store.paths.marker(job_id))
    Path(store.paths.boot_id).write_text(boot_id())
    return ids


def test_a_hundred_thousand_queued_jobs_fit_into_150_megabytes_and_the_most_urgent_is_first(configure, data) -> None:
    actions: Actions = configure("slots = 1\n")
    store = actions.store
    store.prepare()
    ids = lay(store, MANY)
    for place, priority in ((MANY // 3, 700), (MANY // 2, 701), (MANY - 1, 701)):
        job = store.get(ids[place])
        job.priority, job.command["cmd"] = priority, "exec sleep 1000"
        Path(store.paths.json(job.id)).write_bytes(job.to_json())
    try:
        os.waitpid(wake.ensure_dispatcher(actions.settings), 0)
        first = wait_for_status(store, ids[MANY // 2], "active", 60)
        dispatcher = dispatcher_of(data)
        assert dispatcher.memory_info().rss < 150_000_000
        actions.kill(first.id)
        assert wait_for_end(store, first.id).status == "stop"
        second = wait_for_status(store, ids[MANY - 1], "active", 60)
        assert dispatcher.memory_info().rss < 150_000_000
        lines = Path(store.paths.journal).read_text().splitlines()
        assert list(dict.fromkeys(line.split(" ")[1] for line in lines)) == [first.id, second.id]
        actions.pause(True)
        actions.kill(second.id)
        assert wait_for_end(store, second.id).status == "stop"
        kill_and_wait(dispatcher)
    finally:
        (data / "paused").touch()
        shutil.rmtree(store.paths.open)


@pytest.mark.parametrize("fields", [{}, {"not_before": "2100-01-01T00:00:00.000Z"}])
def test_a_look_around_reads_no_job_that_waits(actions: Actions, monkeypatch: pytest.MonkeyPatch, fields: dict) -> None:
    store = actions.store
    store.prepare()
    ids = lay(store, 500, **fields)
    dispatcher = Dispatcher(store, actions.settings, 0)
    dispatcher.look_at_all()
    assert len(dispatcher.queued) == 500
    read: list[str] = []
    monkeypatch.setattr(dispatcher, "look_at", read.append)
    monkeypatch.setattr(dispatcher.store, "version", lambda job_id: read.append(job_id) or (0, 0))
    dispatcher.look_around()
    assert read == []
    dispatcher.queued.remove(ids[7])
    dispatcher.look_around()
    assert set(read) == {ids[7]}
