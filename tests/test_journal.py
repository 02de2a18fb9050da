"""Following the journal: no change is missed, whenever a reader starts and however slowly a writer writes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from running_jobs.index import JobFilter, JobIndex
from running_jobs.job import IDLE, QUEUED, Job, JobStatus
from running_jobs.journal import Follower
from running_jobs.store import JobStore


@pytest.fixture
def store(data: Path) -> JobStore:
    store = JobStore(str(data))
    store.prepare()
    return store


def add(store: JobStore, cmd: str = "true") -> Job:
    return store.create(Job(id="", status=IDLE, command={"type": "exec", "cmd": cmd}))


def listed(index: JobIndex) -> dict[str, str]:
    return {row.id: row.status.value for row in index.page(JobFilter()).rows}


def test_it_names_what_changed_and_the_last_once_more(store: JobStore) -> None:
    follower = Follower(store.paths.journal)
    assert follower.changed() == {}
    one, two = add(store), add(store)
    assert follower.changed() == {one.id: "idle", two.id: "idle"}
    assert follower.changed() == {two.id: "idle"}  # its change may not have been in its file before
    store.transition(one.id, {IDLE}, QUEUED)
    assert follower.changed() == {two.id: "idle", one.id: "queued"}


def test_a_status_is_only_a_hint_where_the_command_cannot_be_mistaken_for_it(store: JobStore) -> None:
    follower = Follower(store.paths.journal)
    job = add(store, "echo x - done - y - queued - z")
    assert follower.changed() == {job.id: None}


def half_written(store: JobStore, job: Job) -> bytes:
    """Put a job back to where its last line is in the journal and its file is not there yet; return the file."""
    path = Path(store.paths.json(job.id))
    content = path.read_bytes()
    path.unlink()
    return content


def test_a_reader_that_starts_between_a_line_and_its_change_misses_neither(store: JobStore) -> None:
    earlier, late = add(store), add(store)
    content = half_written(store, late)
    index = JobIndex(store)
    assert listed(index) == {earlier.id: "idle"}
    Path(store.paths.json(late.id)).write_bytes(content)
    assert listed(index) == {earlier.id: "idle", late.id: "idle"}


def test_a_reader_that_looks_between_a_line_and_its_change_looks_again(store: JobStore) -> None:
    index = JobIndex(store)
    assert listed(index) == {}
    late = add(store)
    content = half_written(store, late)
    for _ in range(3):
        assert listed(index) == {}
    Path(store.paths.json(late.id)).write_bytes(content)
    after = add(store)
    assert listed(index) == {late.id: "idle", after.id: "idle"}


def test_a_reader_that_starts_in_the_middle_of_a_line_reads_it_whole(store: JobStore) -> None:
    first, second = add(store), add(store)
    whole = Path(store.paths.journal).read_bytes()
    Path(store.paths.journal).write_bytes(whole[:-20])
    follower = Follower(store.paths.journal)
    assert follower.changed() == {first.id: "idle"}
    with open(store.paths.journal, "ab") as journal:
        journal.write(whole[-20:])
    assert follower.changed() == {first.id: "idle", second.id: "idle"}


def test_a_replaced_or_shortened_journal_is_noticed(store: JobStore) -> None:
    add(store)
    index = JobIndex(store)
    listed(index)
    os.rename(store.paths.journal, f"{store.paths.journal}.1")
    second = add(store)
    assert second.id in listed(index)
    Path(store.paths.journal).write_bytes(b"")
    third = add(store)
    assert third.id in listed(index)
    follower = Follower(store.paths.journal)
    os.unlink(store.paths.journal)
    assert follower.changed() is None


def test_lines_that_are_not_ours_are_passed_over(store: JobStore) -> None:
    follower = Follower(store.paths.journal)
    Path(store.paths.journal).write_bytes(b"\n\xff\xfe\n a b c\n" + b"x" * 3_000_000 + b"\nx ../../etc y - done - z\n")
    assert follower.changed() == {}
    job = add(store)
    assert follower.changed() == {job.id: "idle"}


def test_the_index_counts_and_lists_what_the_files_say(store: JobStore) -> None:
    index = JobIndex(store)
    jobs = [add(store) for _ in range(5)]
    assert index.counts()["idle"] == 5
    store.transition(jobs[0].id, {IDLE}, JobStatus.STOP)
    store.delete(jobs[1].id)
    Path(store.paths.json(jobs[2].id)).write_text("{")
    store.transition(jobs[3].id, {IDLE}, QUEUED)
    assert listed(index) == {jobs[4].id: "idle", jobs[3].id: "queued", jobs[2].id: "idle", jobs[0].id: "stop"}
    assert listed(JobIndex(store)) == {jobs[4].id: "idle", jobs[3].id: "queued", jobs[0].id: "stop"}
    fresh = JobIndex(store)
    assert (fresh.counts()["stop"], fresh.counts()["idle"], list(fresh.problems())) == (1, 1, [jobs[2].id])
