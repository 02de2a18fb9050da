"""The listing of a server that has just been started: the newest jobs are there before all have been read."""

from __future__ import annotations

import errno
import itertools
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from running_jobs import index as index_module
from running_jobs.index import JobFilter, JobIndex
from running_jobs.job import ACTIVE, DONE, ERROR, IDLE, QUEUED, Job, JobStatus
from running_jobs.store import JobStore

READ_ALL = float("inf")


@pytest.fixture
def ended(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Give six jobs that have ended, oldest first, and have listings read nothing that they need not."""
    monkeypatch.setattr(index_module, "READ_ON_S", 0)
    return [add(store, DONE, context=f"c{number % 2}") for number in range(6)]


def add(store: JobStore, status: JobStatus, **options: Any) -> Job:
    job = store.create(Job(id="", status=QUEUED, command={"type": "exec", "cmd": "true"}, **options))
    for to in {QUEUED: [], ACTIVE: [ACTIVE], DONE: [ACTIVE, DONE]}[status]:
        job = store.transition(job.id, {job.status}, to) or job
    return job


def ids(rows: list[Any]) -> list[str]:
    return [row.id for row in rows]


def test_a_page_reads_no_more_than_it_shows_and_what_has_not_ended(
    store: JobStore, ended: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = add(store, QUEUED)
    newer = [add(store, DONE) for _ in range(3)]
    read: list[str] = []
    really_get = store.get
    monkeypatch.setattr(store, "get", lambda job_id: (read.append(job_id), really_get(job_id))[1])
    index = JobIndex(store)
    page = index.page(JobFilter(), limit=2)
    assert (ids(page.rows), page.total) == ([newer[2].id, newer[1].id], 10)
    assert sorted(set(read)) == [waiting.id, *(job.id for job in newer)]
    older = index.page(JobFilter(), before=page.next_before, limit=3)
    assert ids(older.rows) == [newer[0].id, waiting.id, ended[5].id]


def test_what_has_not_ended_is_counted_at_once_and_the_rest_when_it_was_read(store: JobStore, ended: list[Job]) -> None:
    add(store, QUEUED)
    index = JobIndex(store)
    counts, are_complete = index.counts_so_far()
    assert (counts["queued"], counts["done"], are_complete) == (1, 0, False)
    assert index.has_work()
    assert index.read_on(READ_ALL)
    assert index.counts_so_far() == ({**counts, "done": 6}, True)
    assert JobIndex(store).counts()["done"] == 6


@pytest.mark.parametrize("wanted", [JobFilter(context="c0"), JobFilter(status="done"), JobFilter(since="2000")])
def test_a_filter_finds_what_was_not_read_yet(store: JobStore, ended: list[Job], wanted: JobFilter) -> None:
    fitting = [job.id for job in reversed(ended) if wanted.context in (None, job.context)]
    index = JobIndex(store)
    assert ids(index.page(wanted, limit=2).rows) == fitting[:2]
    assert ids(index.page(wanted).rows) == fitting


@pytest.mark.parametrize("wanted", [JobFilter(text="no such"), JobFilter(since="2000")])
def test_who_searches_what_was_not_read_yet_lets_others_in(
    store: JobStore, ended: list[Job], monkeypatch: pytest.MonkeyPatch, wanted: JobFilter
) -> None:
    index = JobIndex(store)
    let_in: list[int] = []

    def sleep(_: float) -> None:
        let_in.append(index.counts_so_far()[0]["done"])  # whoever else asks now gets in

    ticks = itertools.count()
    monkeypatch.setattr(index_module, "SLICE_S", 1.5)  # one job is read in it: each look at the clock takes a second
    monkeypatch.setattr(index_module, "time", SimpleNamespace(monotonic=lambda: next(ticks), sleep=sleep))
    found = ids(index.page(wanted).rows)
    assert found == ([job.id for job in reversed(ended)] if wanted.since else [])
    assert let_in == [1, 2, 3, 4, 5, 6]


def test_changes_and_deletions_of_what_was_not_read_yet_are_seen(store: JobStore, ended: list[Job]) -> None:
    running = add(store, ACTIVE)
    index = JobIndex(store)
    assert index.running() == 1
    store.delete(ended[2].id)
    store.transition(running.id, {ACTIVE}, DONE)
    added = add(store, QUEUED)
    Path(store.paths.json(ended[4].id)).write_text("{")  # by hand, and no line tells of it
    assert ids(index.page(JobFilter()).rows) == [
        job.id for job in (added, running, ended[5], ended[3], ended[1], ended[0])
    ]
    assert index.counts()["done"] == 5
    assert list(index.problems()) == [ended[4].id]
    assert index.read_on(0)


def test_jobs_that_others_wait_for_are_read_when_they_are_asked_about(store: JobStore, ended: list[Job]) -> None:
    index = JobIndex(store)
    assert index.still_to_end([ended[0].id, "20000101-000000-000000"]) == {}
    Path(store.paths.json(ended[1].id)).write_text("{")
    assert index.still_to_end([ended[1].id]) == {ended[1].id: ended[1].id}


def test_a_job_without_its_marker_is_found_among_the_unsettled(store: JobStore, ended: list[Job]) -> None:
    idle = store.create(Job(id="", status=IDLE, command={}))
    Path(store.paths.marker(idle.id)).unlink()
    assert JobIndex(store).unsettled_ids() == [idle.id]


def test_the_page_says_which_counts_are_not_complete(local: Any, store: JobStore, ended: list[Job]) -> None:
    failed = [add(store, ACTIVE).id for _ in range(2)]
    for job_id in failed:
        store.transition(job_id, {ACTIVE}, ERROR)
    add(store, ACTIVE)
    index = local._client.application.extensions["running_jobs"].index
    for known, title in ((failed[:0], b"(1 running)"), (failed[:1], b"(1 running, 1+ failed)")):
        index.still_to_end(known)
        body = local.get(f"/?before={ended[2].id}").body
        assert b"still being read" in body
        assert b"<title>" + title + b" Running Jobs</title>" in body
    index.read_on(READ_ALL)
    body = local.get(f"/?before={ended[2].id}").body
    assert b"still being read" not in body
    assert b"<title>(1 running, 2 failed) Running Jobs</title>" in body


def test_what_could_not_be_read_for_want_of_descriptors_is_read_later(
    store: JobStore, ended: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    index = JobIndex(store)
    for name in ("ids", "get"):
        with monkeypatch.context() as patch:
            patch.setattr(store, name, refuse)
            with pytest.raises(OSError):
                index.counts()
    assert index.counts()["done"] == 6
    assert index.read_on(0)
