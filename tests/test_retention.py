"""Which ended jobs go, by themselves: never an open one, never one whose callbacks are still to be made."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from running_jobs.actions import Actions
from running_jobs.dispatcher import Dispatcher
from running_jobs.errands import Errands
from running_jobs.errors import LockTimeout, StorageFailed
from running_jobs.job import ACTIVE, DONE, ERROR, IDLE, QUEUED, Job, JobStatus, to_iso
from running_jobs.journal import parts_put_aside, put_aside
from running_jobs.retention import DAY_S, expired, prune
from running_jobs.store import JobStore

from .conftest import PROJECT, dispatcher_of, is_gone, kill_and_wait, wait_for, wait_for_end, wait_for_status

NOW = 1_800_000_000.0
CALL = {"type": "exec", "cmd": "true"}
WAYS = {
    IDLE: (), QUEUED: (QUEUED,), ACTIVE: (QUEUED, ACTIVE), DONE: (QUEUED, ACTIVE, DONE), ERROR: (QUEUED, ACTIVE, ERROR),
}  # fmt: skip


@pytest.fixture
def store(data: Path) -> JobStore:
    store = JobStore(str(data), sync=False, clock=lambda: NOW)
    store.prepare()
    return store


def add(store: JobStore, status: JobStatus, ended_days_ago: float = 0, **fields: object) -> str:
    """Add a job that went its way to a status, with files as long ago."""
    job = store.create(Job(id="", status=IDLE, command={"type": "exec", "cmd": "true"}, **fields))
    before, ended_s = IDLE, NOW - ended_days_ago * DAY_S
    for after in WAYS[status]:
        store.transition(job.id, {before}, after, **({"ended_at": to_iso(ended_s)} if after in (DONE, ERROR) else {}))
        before = after
    os.utime(store.paths.json(job.id), (ended_s, ended_s))
    return job.id


def test_neither_number_nor_age_touches_a_job_that_is_not_settled(store: JobStore) -> None:
    open_jobs = [add(store, status, 9) for status in (IDLE, QUEUED, ACTIVE)]
    pending = [add(store, DONE, 9, callback_done=CALL), add(store, ERROR, 9, callback_failed=CALL)]
    settled = [add(store, DONE, 9), add(store, ERROR, 9, callback_done=None), add(store, DONE, 9, callback_failed=CALL)]
    assert expired(store, 1, None) == expired(store, None, 1)[:2] + settled[2:] == settled
    assert expired(store, None, 2) == settled[:1]
    assert prune(store, 1, 1).ids == settled
    assert store.ids() == [*open_jobs, *pending]
    for job_id in pending:
        store.update(job_id, lambda job: {"callbacks": [{"callback": job.pending_callbacks[0]}]})
        os.utime(store.paths.json(job_id), (NOW - 9 * DAY_S,) * 2)
    assert prune(store, 1, None).ids == pending
    assert [path.name for path in Path(store.paths.data).glob(f"{pending[0]}*")] == []


def test_age_counts_from_the_end_and_not_from_the_arrival(store: JobStore) -> None:
    old, young, touched = add(store, DONE, 3.1), add(store, DONE, 2.9), add(store, DONE, 3.1)
    os.utime(store.paths.json(touched), (NOW, NOW))
    assert expired(store, 3, None) == [old]
    assert expired(store, 2, None) == [old, young]
    assert expired(store, None, None) == []


def test_without_the_time_of_its_end_a_job_does_not_expire_by_age(store: JobStore) -> None:
    job_id = add(store, DONE, 9)
    store.update(job_id, lambda job: {"ended_at": None})
    os.utime(store.paths.json(job_id), (0, 0))
    assert expired(store, 1, None) == []


@pytest.mark.parametrize("listing", ["ids", "open_ids"])
def test_jobs_that_arrive_meanwhile_cost_no_ended_one_its_place(
    store: JobStore, monkeypatch: pytest.MonkeyPatch, listing: str
) -> None:
    ended = [add(store, DONE) for _ in range(5)]
    inner: Callable = getattr(store, listing)

    def list_and_add(*args: object) -> list[str]:
        found = inner(*args)
        monkeypatch.setattr(store, listing, inner)
        for _ in range(3):
            add(store, QUEUED)
        return found

    monkeypatch.setattr(store, listing, list_and_add)
    assert expired(store, None, 5) == []
    assert expired(store, None, 4) == ended[:1]


def test_an_unreadable_job_is_left_alone(store: JobStore) -> None:
    job_id = add(store, DONE, 9)
    Path(store.paths.json(job_id)).write_text("{")
    os.utime(store.paths.json(job_id), (0, 0))
    assert prune(store, 1, None).ids == []
    add(store, DONE, 9)
    assert prune(store, None, 1).ids == []
    assert Path(store.paths.json(job_id)).read_text() == "{"


@pytest.mark.parametrize("refusal", [StorageFailed("The deletion", OSError(30, "no")), LockTimeout("run/lock", 10)])
def test_what_is_refused_holds_up_nothing_else_and_is_told(
    store: JobStore, app_here, monkeypatch: pytest.MonkeyPatch, refusal: Exception
) -> None:
    first, second, third = (add(store, DONE) for _ in range(3))
    delete = JobStore.delete

    def refuse_the_second(asked: JobStore, job_id: str, detail: str = "") -> None:
        if job_id == second:
            raise refusal
        delete(asked, job_id, detail)

    monkeypatch.setattr(JobStore, "delete", refuse_the_second)
    told = app_here("prune", "--keep-jobs", "0", "--json")
    assert (told.code, json.loads(told.out)) == (1, [first, third])
    assert str(refusal) in told.err
    assert store.ids() == [second]


def test_old_parts_of_logs_go_with_keep_days_and_nothing_else(store: JobStore) -> None:
    add(store, DONE)
    for log in (store.paths.journal, store.paths.errors, store.paths.slurm_log):
        for _ in range(2):
            Path(log).write_text("x\n")
            put_aside(log, 1, 1e9)
        os.utime(parts_put_aside(log)[0], (NOW - 3 * DAY_S,) * 2)
        os.utime(parts_put_aside(log)[1], (NOW - DAY_S,) * 2)
        Path(f"{log}.bak").touch()
        os.utime(f"{log}.bak", (0, 0))
    prune(store, None, 7)
    assert len(os.listdir(store.paths.logs)) == 9
    prune(store, 2, None)
    for log in (store.paths.journal, store.paths.errors, store.paths.slurm_log):
        assert len(parts_put_aside(log)) == 1
        assert Path(f"{log}.bak").exists()


def test_many_that_prune_at_once_do_not_disturb_each_other(store: JobStore, data: Path) -> None:
    (data / "config.toml").write_text("keep_jobs = 20\nfsync = false\n")
    ended = [add(store, DONE) for _ in range(200)]
    kept_open = [add(store, QUEUED) for _ in range(10)]
    program = [sys.executable, "-I", "-S", str(PROJECT / "running_jobs/commands/__main__.py"), "prune", str(data)]
    pruners = [subprocess.Popen(program, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(6)]
    for pruner in pruners:
        assert pruner.communicate()[1] == b""
        assert pruner.returncode == 0
    assert store.ids() == ended[-20:] + kept_open
    deleted = [line.split(" ")[1] for line in Path(store.paths.journal).read_text().splitlines() if "pruned" in line]
    assert sorted(deleted) == ended[:-20]
    assert not Path(store.paths.errors).exists()


def test_the_dispatcher_prunes_by_itself_and_what_runs_and_calls_back_stays(
    configure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    actions: Actions = configure("slots = 3\nkeep_jobs = 2\nfsync = false\n")
    store, go = actions.store, tmp_path / "go"

    def run(cmd: str = "true", **options: object) -> str:
        return actions.submit({"command": {"type": "exec", "cmd": cmd}, "start": True, "cwd": "/", **options}).id

    actions.pause(True)
    calling = run(callback_done={"type": "exec", "cmd": f"while [ ! -e {go} ]; do sleep 0.02; done"})
    running = run("exec sleep 1000")
    jobs = [run() for _ in range(8)]
    waiting = run(after=[jobs[0], jobs[-1], running])
    held = actions.submit({"command": {"type": "exec", "cmd": "true"}}).id
    actions.pause(False)
    wait_for(lambda: not set(jobs) & set(store.open_ids()))
    wait_for(lambda: not set(jobs[:-2]) & set(store.ids()), lambda: f"{store.ids()}", 30)
    assert store.ids() == sorted([calling, running, *jobs[-2:], waiting, held])
    assert store.get(calling).pending_callbacks == ["callback_done"]
    assert store.get(waiting).status == "queued"
    go.touch()
    wait_for(lambda: not store.get(calling).pending_callbacks)
    actions.stop(running)
    assert wait_for_end(store, waiting).reason == f"job {running} ended stop"  # not that another one was deleted


def test_a_dependent_is_told_that_a_pruned_job_was_done(configure) -> None:
    actions: Actions = configure("slots = 1\nfsync = false\nrotate_bytes = 500\n")
    store = actions.store
    good, bad = (
        actions.submit({"command": {"type": "exec", "cmd": cmd}, "start": True}).id for cmd in ("true", "exit 1")
    )
    held = [actions.submit({"command": {"type": "exec", "cmd": "true"}, "after": [one]}).id for one in (good, bad)]
    for job_id in (good, bad):
        wait_for_end(store, job_id)
    wait_for(lambda: set(store.open_ids()) == set(held))
    later = [actions.submit({"command": {"type": "exec", "cmd": "true"}, "start": True}).id for _ in range(8)]
    wait_for_end(store, later[-1])
    wait_for(lambda: set(store.open_ids()) == set(held))
    assert prune(store, None, 1).ids == sorted([good, bad, *later[:-1]])
    for job_id in held:
        actions.start(job_id)
    assert wait_for_end(store, held[0]).status == "done"
    assert wait_for_end(store, held[1]).reason == f"job {bad} was deleted"


def test_a_dispatcher_prunes_once_for_many_ends_and_not_again_for_its_own_deletions(
    configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    actions: Actions = configure("slots = 3\nkeep_jobs = 2\n")
    actions.store.prepare()
    spawned: list[str] = []
    monkeypatch.setattr(Errands, "_spawn", lambda self, arguments, job_id: spawned.append(arguments[0]))
    errands = Dispatcher(actions.store, actions.settings, 0).errands
    errands.start(100.0)
    assert spawned == ["prune"]
    errands.start(101.0)
    assert len(spawned) == 1
    for _ in range(50):  # the journal's last line is read again and again
        errands.job_ended("20260101-000000-000000")
    errands._prune_at = 110.0
    errands.start(105.0)
    assert (len(spawned), errands.seconds_to_next(105.0)) == (1, 5.0)
    errands.start(110.0)
    assert len(spawned) == 2
    errands.job_ended("20260101-000000-000000")
    assert errands.seconds_to_next(110.0) == 3600  # days pass also while nothing ends
    errands.job_ended("20260101-000000-000001")
    assert errands.seconds_to_next(110.0) == 0


def lay_beginnings(store: JobStore, at_s: float) -> list[Path]:
    """Lay there what a submitter leaves who is killed before its job is there."""
    job_id = f"{to_iso(at_s)[:10].replace('-', '')}-000000-{int(at_s) % 1_000_000:06d}"
    paths = [Path(path(job_id)) for path in (store.paths.unfinished, store.paths.out, store.paths.err)]
    for path in paths:
        path.touch(0o600)
        os.utime(path, (at_s, at_s))
    return paths


def test_what_killed_submitters_left_goes_within_a_day_whether_or_not_the_machine_restarts(
    actions: Actions, launch: Callable[..., Job], data: Path
) -> None:
    store, now_s = actions.store, time.time()
    wait_for_end(store, launch("true").id)
    old, young = lay_beginnings(store, now_s - 7200), lay_beginnings(store, now_s - 60)
    kill_and_wait(wait_for(lambda: dispatcher_of(data)))
    os.utime(store.paths.boot_id, (now_s - 2 * DAY_S,) * 2)
    assert wait_for_end(store, launch("true").id).status == "done"
    wait_for(lambda: not any(map(os.path.exists, old)), lambda: f"the end of {old}")
    assert all(path.exists() for path in young)
    wait_for(lambda: os.stat(store.paths.boot_id).st_mtime >= int(now_s), "the day to be noted")
    later = JobStore(store.paths.data, clock=lambda: now_s + DAY_S)
    assert prune(later, None, None).ids == []
    assert not any(path.exists() for path in young)
    assert len(store.ids()) == 2


def test_it_is_looked_for_once_a_day_where_no_job_expires(configure, monkeypatch: pytest.MonkeyPatch) -> None:
    actions: Actions = configure("slots = 3\n")
    actions.store.prepare()
    Path(actions.store.paths.boot_id).touch()
    spawned: list[str] = []
    monkeypatch.setattr(Errands, "_spawn", lambda self, arguments, job_id: spawned.append(arguments[0]))
    errands = Dispatcher(actions.store, actions.settings, 0).errands
    errands.start(100.0)
    assert errands.seconds_to_next(100.0) == pytest.approx(DAY_S, abs=5)
    errands.start(100.0 + DAY_S - 6)
    assert spawned == []
    errands.start(100.0 + DAY_S)
    errands.start(101.0 + DAY_S)
    assert spawned == ["prune"]


def test_a_callback_process_leaves_when_its_job_is_damaged(actions: Actions, tmp_path: Path) -> None:
    store, go = actions.store, tmp_path / "go"
    line = f"touch {go}.called; while [ ! -e {go} ]; do sleep 0.02; done"
    job = actions.submit(
        {"command": {"type": "exec", "cmd": "true"}, "start": True, "callback_done": {"type": "exec", "cmd": line}}
    )
    wait_for(Path(f"{go}.called").exists)
    [caller] = [p for p in psutil.process_iter(["cmdline"]) if (p.info["cmdline"] or [""])[-1] == job.id]
    wait_for_status(store, job.id, "done")
    Path(store.paths.json(job.id)).write_text("{")
    go.touch()
    wait_for(lambda: is_gone(caller))
    assert Path(store.paths.json(job.id)).read_text() == "{"
