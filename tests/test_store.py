"""The store: one door for every change, safe under many processes; nothing that exists is ever damaged."""

from __future__ import annotations

import errno
import itertools
import json
import os
import shutil
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from running_jobs import files, folders
from running_jobs.creation import Creation
from running_jobs.errors import (
    AmbiguousId,
    DataGone,
    ForbiddenTransition,
    JobsError,
    LockTimeout,
    NoSuchJob,
    NotAllowed,
    StorageFailed,
    UnreadableJob,
    WrongState,
)
from running_jobs.housekeeping import UNFINISHED_S, open_jobs
from running_jobs.job import (
    ACTIVE,
    DONE,
    ERROR,
    IDLE,
    QUEUED,
    TRANSITIONS,
    Job,
    JobStatus,
    id_from_microseconds,
    is_job_id,
    next_id,
)
from running_jobs.store import JobStore

from .conftest import PROJECT


@pytest.fixture
def store(data: Path) -> JobStore:
    store = JobStore(str(data))
    store.prepare()
    return store


def add(store: JobStore, status: JobStatus = IDLE) -> Job:
    return store.create(Job(id="", status=status, command={"type": "exec", "cmd": "true"}))


def test_a_new_job_is_three_private_files_and_a_marker(store: JobStore, data: Path) -> None:
    job = add(store)
    for path in (
        store.paths.json(job.id),
        store.paths.out(job.id),
        store.paths.err(job.id),
        store.paths.marker(job.id),
    ):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    assert store.get(job.id) == job
    assert store.open_ids() == [job.id]


@pytest.mark.parametrize(("before", "after"), list(itertools.product(JobStatus, JobStatus)))
def test_only_the_transitions_in_the_table_happen(store: JobStore, before: JobStatus, after: JobStatus) -> None:
    job = add(store)
    record = store.get(job.id).to_dict() | {"status": before.value}
    Path(store.paths.json(job.id)).write_text(json.dumps(record))
    if after in TRANSITIONS[before]:
        moved = store.transition(job.id, {before}, after)
        assert moved is not None
        assert moved.status is store.get(job.id).status is after
    else:
        with pytest.raises(ForbiddenTransition):
            store.transition(job.id, {before}, after)
        assert store.get(job.id).status is before


def test_a_transition_says_if_someone_else_was_first(store: JobStore) -> None:
    job = add(store, QUEUED)
    assert store.transition(job.id, {QUEUED}, ACTIVE, pid=1) is not None
    assert store.transition(job.id, {QUEUED}, ACTIVE, pid=2) is None
    assert store.get(job.id).pid == 1


def test_unknown_keys_are_kept(store: JobStore) -> None:
    job = add(store)
    path = Path(store.paths.json(job.id))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"colour": {"of": "later"}}))
    store.transition(job.id, {IDLE}, QUEUED)
    assert json.loads(path.read_text())["colour"] == {"of": "later"}


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'"text"', b"null", b"\xff\xfe", b'{"id": "x"}', b'{"status": "idle", "id": 3}', b"[" * 100_000],
)
def test_an_unreadable_json_is_reported_and_left_alone(store: JobStore, content: bytes) -> None:
    job = add(store)
    path = Path(store.paths.json(job.id))
    path.write_bytes(content)
    with pytest.raises(UnreadableJob, match=job.id):
        store.get(job.id)
    with pytest.raises(UnreadableJob):
        store.transition(job.id, {IDLE}, QUEUED)
    with pytest.raises(UnreadableJob):
        store.delete(job.id)
    assert path.read_bytes() == content


def test_the_json_of_another_job_is_unreadable(store: JobStore) -> None:
    one, other = add(store), add(store)
    Path(store.paths.json(one.id)).write_bytes(Path(store.paths.json(other.id)).read_bytes())
    with pytest.raises(UnreadableJob, match=other.id):
        store.get(one.id)


def test_a_link_in_place_of_a_json_is_not_followed(store: JobStore, tmp_path: Path) -> None:
    job = add(store)
    path = Path(store.paths.json(job.id))
    secret = tmp_path / "elsewhere"
    secret.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(secret)
    with pytest.raises(UnreadableJob):
        store.get(job.id)


@pytest.mark.parametrize("how", ["open to others", "with another name"])
def test_what_others_may_see_is_replaced_and_not_written_into(tmp_path: Path, how: str) -> None:
    path, other = tmp_path / "laid", tmp_path / "other"
    path.touch(0o600)
    if how == "open to others":
        path.chmod(0o644)
    else:
        os.link(path, other)
    with path.open("rb") as opened:  # by whoever could
        files.write_anew(str(path), b"secret", sync=False)
        assert opened.read() == b""
    assert (stat.S_IMODE(path.stat().st_mode), path.read_bytes()) == (0o600, b"secret")


def test_ids_sort_by_arrival_whatever_the_clock_does(data: Path) -> None:
    times = iter([1e9, 1e9, 1e9 - 5000, 1e9 + 1, 5.0] * 3)
    now = [0.0]

    def clock() -> float:
        now[0] = next(times, now[0])
        return now[0]

    store = JobStore(str(data), clock=clock)
    store.prepare()
    ids = [add(store).id for _ in range(6)]
    assert ids == sorted(set(ids))
    assert all(is_job_id(job_id) for job_id in ids)


def test_an_id_is_not_given_twice_when_run_is_removed_or_the_last_job_deleted(store: JobStore) -> None:
    last = add(store)
    store.clock = lambda: 1e9  # the clock was set back by years
    store.delete(last.id)
    assert add(store).id > last.id
    newest = add(store)
    os.unlink(store.paths.lock)
    assert add(store).id > newest.id


def test_next_id_comes_after_names_of_others_making() -> None:
    assert next_id("zzzzzzzz", 1e9) > "zzzzzzzz"
    assert next_id("20261121-203915-999999", 0) == "20261121-203916-000000"


def test_prefixes_and_last_are_resolved(store: JobStore) -> None:
    one, two = add(store), add(store)
    assert store.resolve("last") == two.id
    assert store.resolve(one.id) == one.id
    differs = next(at for at, pair in enumerate(zip(one.id, two.id)) if pair[0] != pair[1])
    assert store.resolve(one.id[: differs + 1]) == one.id
    with pytest.raises(AmbiguousId):
        store.resolve(one.id[:4])
    for nothing in ("", "nope", "../x"):
        with pytest.raises(NoSuchJob):
            store.resolve(nothing)


def test_deleting_removes_every_file_and_follows_no_link(store: JobStore, data: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "precious").touch()
    one, two = add(store), add(store)
    Path(store.paths.results(one.id)).mkdir()
    Path(store.paths.results(one.id), "link").symlink_to(kept)
    Path(store.paths.results(two.id)).symlink_to(kept)
    Path(store.paths.response(one.id)).touch()
    for job in (one, two):
        store.delete(job.id)
    assert (kept / "precious").exists()
    assert [path.name for path in data.rglob("*") if path.name.startswith((one.id, two.id))] == []


def test_an_active_job_cannot_be_deleted(store: JobStore) -> None:
    job = add(store, QUEUED)
    store.transition(job.id, {QUEUED}, ACTIVE)
    with pytest.raises(WrongState, match="active"):
        store.delete(job.id)
    assert store.get(job.id).status is ACTIVE


def test_every_change_has_its_line_in_the_journal(store: JobStore) -> None:
    job = store.create(Job(id="", status=IDLE, command={"type": "exec", "cmd": "printf 'a\nb' - done - x" + "y" * 300}))
    store.transition(job.id, {IDLE}, QUEUED)
    store.transition(job.id, {QUEUED}, ERROR, reason="it\ncould not")
    lines = Path(store.paths.journal).read_text().splitlines()
    assert [line.split(" ")[1] for line in lines] == [job.id] * 3
    assert "a\\nb" in lines[0]
    assert all(len(line) < 300 for line in lines)
    assert lines[2].endswith(" - error - it\\ncould not")
    assert Path(store.paths.errors).read_text().splitlines() == [lines[2]]


def test_a_torn_line_is_closed_before_the_next(store: JobStore) -> None:
    job = add(store)
    with open(store.paths.journal, "ab") as journal:
        journal.write(b"2026-11-21T20:39:15.123Z torn")
    store.transition(job.id, {IDLE}, QUEUED)
    assert Path(store.paths.journal).read_text().splitlines()[1:][0].endswith("torn")
    assert f" {job.id} " in Path(store.paths.journal).read_text().splitlines()[-1]


def test_a_directory_of_others_is_not_made_private(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    (shared / "letters.txt").touch()
    with pytest.raises(NotAllowed, match="holds other things"):
        JobStore(str(shared)).prepare()
    assert stat.S_IMODE(shared.stat().st_mode) == 0o755
    assert os.listdir(shared) == ["letters.txt"]
    (shared / "letters.txt").unlink()
    JobStore(str(shared)).prepare()
    assert stat.S_IMODE(shared.stat().st_mode) == 0o700


def test_the_lock_is_waited_for_no_longer_than_said(store: JobStore) -> None:
    with files.locked(store.paths.lock), pytest.raises(LockTimeout), files.locked(store.paths.lock, wait_s=0.05):
        pass


def test_many_processes_move_each_job_exactly_once(store: JobStore, data: Path) -> None:
    jobs = [add(store, QUEUED).id for _ in range(50)]
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from running_jobs.store import JobStore\n"
        "from running_jobs.job import QUEUED, ACTIVE\n"
        "store = JobStore(sys.argv[2])\n"
        "print(*[i for i in sys.argv[3:] if store.transition(i, {QUEUED}, ACTIVE)])\n"
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(PROJECT), str(data), *jobs], stdout=subprocess.PIPE, text=True
        )
        for _ in range(6)
    ]
    won = [job_id for racer in racers for job_id in racer.communicate()[0].split()]
    assert sorted(won) == jobs


def test_markers_are_rebuilt_from_the_jobs_after_a_boot_or_when_they_are_gone(store: JobStore) -> None:
    open_job, ended = add(store, QUEUED), add(store)
    store.transition(ended.id, {IDLE}, DONE)
    open_jobs(store, "this boot")
    os.unlink(store.paths.marker(open_job.id))
    open_jobs(store, "this boot")
    assert store.open_ids() == []  # believed: nothing but a power cut loses one
    open_jobs(store, "the next boot")
    assert store.open_ids() == [open_job.id]
    os.unlink(store.paths.marker(open_job.id))
    os.rmdir(store.paths.open)
    store.prepare()
    open_jobs(store, "the next boot")
    assert store.open_ids() == [open_job.id]


def test_a_results_folder_that_its_runner_removes_meanwhile_is_no_hindrance(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = store.create(Job(id="", status=IDLE, command={"type": "exec", "cmd": "true"}))
    os.mkdir(store.paths.results(job.id))

    def too_late(path: str) -> None:
        os.rmdir(path)
        raise FileNotFoundError(path)

    monkeypatch.setattr(folders, "remove_tree", too_late)
    store.delete(job.id)
    assert store.ids() == []


def test_nobody_holds_the_lock_while_a_new_job_is_made_durable(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = JobStore(str(data))
    store.prepare()
    was_locked = []
    really_sync = os.fsync

    def note_and_sync(descriptor: int) -> None:
        was_locked.append(files.is_locked(store.paths.lock))
        really_sync(descriptor)

    monkeypatch.setattr(os, "fsync", note_and_sync)
    store.create(Job(id="", status=QUEUED, command={"type": "exec", "cmd": "true"}))
    assert was_locked == [False, False]  # the record, then the directory's names


def test_threads_wait_for_the_lock_in_turn(store: JobStore) -> None:
    with ThreadPoolExecutor(8) as pool:
        jobs = list(pool.map(lambda _: store.create(Job(id="", status=IDLE, command={})), range(64)))
    assert store.ids() == sorted(job.id for job in jobs)
    assert len(set(store.ids())) == 64


def test_a_job_that_cannot_be_made_durable_is_not_there(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = JobStore(str(data))
    store.prepare()

    def fail(path: str) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(files, "sync_directory", fail)
    with pytest.raises(StorageFailed):
        store.create(Job(id="", status=QUEUED, command={}))
    assert store.ids() == store.open_ids() == []
    assert sorted(path.name for path in data.iterdir() if path.is_file()) == ["config.toml"]


def test_a_job_that_runs_already_is_there_whatever_the_disk_says(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = JobStore(str(data))
    store.prepare()

    def claim_and_fail(path: str) -> None:
        store.transition(store.ids()[0], {QUEUED}, ACTIVE)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(files, "sync_directory", claim_and_fail)
    job = store.create(Job(id="", status=QUEUED, command={}))
    assert store.get(job.id).status is ACTIVE


def test_what_a_killed_submitter_left_goes_after_the_next_boot(store: JobStore, data: Path) -> None:
    left, young = (Path(store.paths.unfinished(f"20261122-101112-00000{number}")) for number in (1, 2))
    for path in (left, young):
        path.write_text("{}")
    os.utime(left, (1, 1))
    open_jobs(store, "the next boot")
    assert not left.exists()
    assert young.exists()


def test_whoever_is_interrupted_after_a_job_was_published_leaves_it_whole(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = Creation._publish

    def interrupted(self: Creation, *args: Any) -> None:
        publish(self, *args)
        raise KeyboardInterrupt

    monkeypatch.setattr(Creation, "_publish", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.create(Job(id="", status=IDLE, command={"type": "exec", "cmd": "true"}))
    [job_id] = store.ids()
    assert os.path.exists(store.paths.out(job_id))
    assert os.path.exists(store.paths.err(job_id))


@pytest.mark.parametrize("kind", ["json", "out", "err"])
def test_an_id_of_which_somebody_has_a_file_is_passed_over(data: Path, kind: str) -> None:
    store = JobStore(str(data), clock=lambda: 1_000_000.0)
    store.prepare()
    theirs = data / f"{id_from_microseconds(1_000_000_000_000)}.{kind}"
    theirs.write_text("theirs")
    assert store.create(Job(id="", status=IDLE, command={"type": "exec", "cmd": "true"})).id == id_from_microseconds(
        1_000_000_000_001
    )
    assert theirs.read_text() == "theirs"


def test_what_a_crash_left_beside_records_is_removed_after_the_next_boot(data: Path) -> None:
    store = JobStore(str(data), clock=lambda: time.time() + 2 * UNFINISHED_S)
    store.prepare()
    ended, waiting = (store.create(Job(id="", status=IDLE, command={"type": "exec", "cmd": "x"})).id for _ in range(2))
    store.transition(ended, {IDLE}, DONE)
    gone, broken = "20010101-000000-000001", "20010101-000000-000002"
    Path(store.paths.json(broken)).write_text("{")
    beside = (store.paths.unfinished, store.paths.prepared, store.paths.prepared_untold)
    for job_id in (ended, waiting, gone, broken):
        for path in beside:
            Path(path(job_id)).write_text("{")
    others = data / ".no id.json.next"
    others.write_text("somebody's")
    open_jobs(store, "another boot")
    left = {
        path(job_id) for job_id in (ended, waiting, gone, broken) for path in beside if os.path.exists(path(job_id))
    }
    assert left == {*(path(waiting) for path in beside[1:]), *(path(broken) for path in beside)}
    assert others.exists()


def test_nothing_is_stored_where_a_data_directory_was_taken_away(data: Path, store: JobStore) -> None:
    template = Job(id="", status=IDLE, command={"type": "exec", "cmd": "true"})
    kept = store.create(template)
    for make_another in (lambda: None, data.mkdir):  # a disk that is not mounted leaves its place empty
        aside = data.rename(data.with_name("aside"))
        make_another()
        store._prepare_again_at = 0.0  # as a second later
        for _ in range(2):
            with pytest.raises(DataGone, match="Bring it back"):
                store.create(template)
        with pytest.raises(JobsError):
            store.update(kept.id, lambda job: {"name": "other"})
        if data.exists():
            assert os.listdir(data) == []
            data.rmdir()
        aside.rename(data)
        assert store.get(store.create(template).id).status is IDLE


def test_a_data_directory_may_be_emptied_and_replaced_by_another(data: Path, store: JobStore) -> None:
    template = Job(id="", status=IDLE, command={"type": "exec", "cmd": "true"})
    kept = store.create(template).id
    shutil.copytree(data, data.with_name("copy"))
    data.rename(data.with_name("aside"))
    data.with_name("copy").rename(data)
    assert store.ids() == [kept]
    store._prepare_again_at = 0.0  # as a second later
    store.create(template)
    for name in os.listdir(data):
        shutil.rmtree(data / name) if (data / name).is_dir() else (data / name).unlink()
    assert store.ids() == []
    new = store.create(template).id
    assert store.ids() == [new]
