"""Logs of changes that are put aside when they are long: no line is lost, and who follows them misses no job."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from running_jobs.index import JobFilter, JobIndex
from running_jobs.job import IDLE, QUEUED, Job
from running_jobs.journal import Follower, parts_put_aside, put_aside
from running_jobs.store import JobStore

from .conftest import PROJECT, wait_for, wait_for_end

WRITER = """
import sys; sys.path.insert(0, sys.argv[1])
from running_jobs.job import ACTIVE, DONE, ERROR, IDLE, QUEUED, Job
from running_jobs.store import JobStore
store = JobStore(sys.argv[2], sync=False, rotate_bytes=int(sys.argv[3]))
for number in range(int(sys.argv[4])):
    job = store.create(Job(id="", status=IDLE, command={"type": "exec", "cmd": "true"}))
    for before, after in ((IDLE, QUEUED), (QUEUED, ACTIVE), (ACTIVE, ERROR if number % 5 == 0 else DONE)):
        store.transition(job.id, {before}, after)
    if number % 3 == 0:
        store.delete(job.id)
"""
WRITERS, EACH, SMALL = 6, 40, 600


@pytest.fixture
def store(data: Path) -> JobStore:
    store = JobStore(str(data), sync=False, rotate_bytes=SMALL)
    store.prepare()
    return store


def add(store: JobStore) -> Job:
    return store.create(Job(id="", status=IDLE, command={"type": "exec", "cmd": "true"}))


def lines_of(path: str) -> list[str]:
    parts = [*parts_put_aside(path), path]
    return [line for part in parts if Path(part).exists() for line in Path(part).read_text().splitlines()]


def listed(index: JobIndex) -> dict[str, str]:
    return {row.id: row.status.value for row in index.page(JobFilter(), limit=10**6).rows}


def what_the_files_say(store: JobStore) -> dict[str, str]:
    return {job_id: store.get(job_id).status.value for job_id in store.ids()}


def test_many_writers_lose_no_line_and_followers_no_job(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    scans: list[None] = []
    scan = JobIndex._scan
    monkeypatch.setattr(JobIndex, "_scan", lambda index: scans.append(None) or scan(index))
    follower, slow, index = Follower(store.paths.journal), Follower(store.paths.journal), JobIndex(store)
    assert listed(index) == {}
    program = [sys.executable, "-c", WRITER, str(PROJECT), store.paths.data, str(SMALL), str(EACH)]
    writers = [subprocess.Popen(program) for _ in range(WRITERS)]
    named: set[str] = set()
    lost = 0
    while any(writer.poll() is None for writer in writers):
        changed = follower.changed()
        lost += changed is None
        named.update(changed or ())
        listed(index)
    assert [writer.returncode for writer in writers] == [0] * WRITERS
    changed = follower.changed()
    named.update(changed or ())
    lines = lines_of(store.paths.journal)
    per_job = Counter(line.split(" ")[1] for line in lines)
    assert sorted(Counter(per_job.values()).items()) == [
        (4, WRITERS * (EACH - len(range(0, EACH, 3)))),
        (5, WRITERS * len(range(0, EACH, 3))),
    ]
    times = [line.split(" ")[0] for line in lines]
    assert times == sorted(times)
    assert len(parts_put_aside(store.paths.journal)) > 40
    assert len(parts_put_aside(store.paths.errors)) > 3
    errors = lines_of(store.paths.errors)
    assert len(errors) == len(set(errors)) == WRITERS * len(range(0, EACH, 5))
    assert (named, lost) == (set(per_job), 0)
    assert set(slow.changed() or ()) == set(per_job)
    assert listed(index) == what_the_files_say(store)
    assert len(scans) == 1


def test_every_part_is_a_little_longer_than_the_limit(store: JobStore) -> None:
    for _ in range(60):
        add(store)
    sizes = [Path(part).stat().st_size for part in parts_put_aside(store.paths.journal)]
    assert len(sizes) > 3
    assert all(SMALL < size < SMALL + 200 for size in sizes)


def test_nothing_is_put_aside_without_a_limit(data: Path) -> None:
    store = JobStore(str(data), sync=False, rotate_bytes=0)
    store.prepare()
    for _ in range(60):
        add(store)
    assert parts_put_aside(store.paths.journal) == []


def test_parts_sort_as_they_were_written_when_the_clock_is_set_back(store: JobStore) -> None:
    log = store.paths.journal
    for number, clock in enumerate([2e9, 1e9, 1e9, 3e9, 5.0]):
        Path(log).write_text(f"{number}\n" * 10)
        put_aside(log, 1, clock)
    assert [Path(part).read_text()[0] for part in parts_put_aside(log)] == list("01234")


def test_what_somebody_else_put_beside_a_log_is_no_part_of_it(store: JobStore) -> None:
    add(store)
    for name in ("1", "gz", "20261122", "20261122-101010-123456.gz"):
        Path(f"{store.paths.journal}.{name}").touch()
    assert parts_put_aside(store.paths.journal) == []
    put_aside(store.paths.journal, 1, 1e9)
    assert [part[-22:] for part in parts_put_aside(store.paths.journal)] == ["20010909-014640-000000"]


@pytest.mark.parametrize("begun", [False, True])
def test_a_follower_reads_all_parts_that_were_put_aside_since(store: JobStore, begun: bool) -> None:
    if begun:
        add(store)
    follower = Follower(store.paths.journal)
    follower.changed()
    first = add(store)
    assert first.id in follower.changed()
    jobs = [add(store) for _ in range(60)]
    assert len(parts_put_aside(store.paths.journal)) > 3
    assert set(follower.changed()) == {first.id, *(job.id for job in jobs)}
    assert set(follower.changed()) == {jobs[-1].id}


def test_a_follower_waits_for_the_next_line_while_there_is_no_journal(store: JobStore) -> None:
    job = add(store)
    follower = Follower(store.paths.journal)
    put_aside(store.paths.journal, 1, 1e9)
    for _ in range(2):
        assert follower.changed() == {job.id: "idle"}
        assert not follower.has_more()
    later = add(store)
    assert follower.has_more()
    assert follower.changed() == {job.id: "idle", later.id: "idle"}
    assert not follower.has_more()


def test_parts_that_were_removed_before_they_were_read_are_noticed(store: JobStore) -> None:
    add(store)
    follower = Follower(store.paths.journal)
    for _ in range(60):
        add(store)
    for part in parts_put_aside(store.paths.journal)[:2]:
        Path(part).unlink()
    assert follower.changed() is None
    assert follower.changed() is not None


def test_a_follower_says_whether_there_is_more(store: JobStore) -> None:
    follower = Follower(store.paths.journal)
    assert not follower.has_more()
    job = add(store)
    assert follower.has_more()
    follower.changed()
    assert not follower.has_more()
    store.transition(job.id, {IDLE}, QUEUED)
    assert follower.has_more()
    follower.changed()
    with open(store.paths.journal, "a") as torn:
        torn.write("a line that nobody ends")
    assert follower.has_more()
    follower.changed()
    assert not follower.has_more()


def test_jobs_run_and_dependents_start_while_everything_is_put_aside(configure) -> None:
    actions = configure(f"slots = 3\nrotate_bytes = {SMALL}\nfsync = false\n")
    store = actions.store

    def run(**options: object) -> str:
        return actions.submit({"command": {"type": "exec", "cmd": "true"}, "start": True, "cwd": "/", **options}).id

    first = wait_for_end(store, run())
    held = actions.submit({"command": {"type": "exec", "cmd": "true"}, "after": [first.id], "cwd": "/"})
    store.delete(first.id)
    jobs = [run() for _ in range(40)]
    chain = [run(after=jobs[-3:])]
    for _ in range(5):
        chain.append(run(after=[chain[-1], *jobs[:2]]))
    for job_id in [*jobs, *chain]:
        assert wait_for_end(store, job_id).status == "done"
    assert len(parts_put_aside(store.paths.journal)) > 3
    actions.start(held.id)
    assert wait_for_end(store, held.id).status == "done"
    wait_for(lambda: not store.open_ids())
