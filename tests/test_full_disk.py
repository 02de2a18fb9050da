"""A disk that is full: nothing that was there is damaged, the job that filled it can be ended, deleting makes room."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from running_jobs.actions import Actions
from running_jobs.attempt import RETRY_WRITE_S
from running_jobs.errors import StorageFailed
from running_jobs.job import from_iso
from running_jobs.settings import load_settings

from .conftest import Server, end_everything, kill_and_wait, wait_for, wait_for_end, wait_for_session

LONG = "x" * 5000  # the end of a job with such a name finds no room: a shorter one is written over what a runner notes


@pytest.fixture
def small(tmp_path: Path, data: Path) -> Iterator[Actions]:
    """Give actions on a data directory of one megabyte."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted: {mounted.stderr}")
    try:
        yield Actions(load_settings(str(place / "data"), {"JOBS_GRACE_SECONDS": "1"}))
    finally:
        end_everything(place / "data")
        subprocess.run(["umount", "-l", str(place)], check=True)


def run(actions: Actions, cmd: str, **options: Any) -> str:
    return actions.submit({"command": {"type": "exec", "cmd": cmd}, "start": True, **options}).id


def free_bytes(actions: Actions) -> int:
    disk = os.statvfs(actions.store.paths.data)
    return disk.f_bavail * disk.f_frsize


def fill(actions: Actions, leave: int = 0, reserves: bool = False) -> Path:
    """Fill the disk, the reserves included unless they are to stay, and return the file to remove for room."""
    if not reserves:
        for reserve in actions.store.paths.reserves:
            os.unlink(reserve)
    filler = Path(actions.store.paths.data, "filler")
    with open(filler, "wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(4096))
    os.truncate(filler, os.path.getsize(filler) - leave)
    return filler


def check_files(actions: Actions) -> None:
    """See that every record can be read, and that the journal ends for each job with what its record says."""
    told = {line.split(" ")[1]: line.rsplit(" - ", 2)[1] for line in journal_of(actions)}
    for path in Path(actions.store.paths.data).glob("*.json"):
        job = actions.store.get(path.stem)
        assert told.pop(job.id).split(" ")[0] in (job.status, "retry")
    assert set(told.values()) <= {"deleted"}


def journal_of(actions: Actions) -> list[str]:
    return Path(actions.store.paths.journal).read_text().splitlines()


@pytest.mark.parametrize("verb", ["stop", "kill"])
def test_the_job_that_filled_it_can_be_ended_and_deleting_makes_room(small: Actions, verb: str) -> None:
    store = small.store
    before = wait_for_end(store, run(small, "echo before"))
    filling = run(small, "trap '' PIPE; while :; do cat /dev/zero 2>/dev/null; sleep 0.02; done")
    wait_for(lambda: free_bytes(small) == 0)
    with pytest.raises(StorageFailed, match="No space left"):
        run(small, "echo one too many")
    assert store.ids() == [before.id, filling]
    getattr(small, verb)(filling)
    assert wait_for_end(store, filling).status == "stop"
    assert Path(store.paths.out(before.id)).read_text() == "before\n"
    for path in Path(store.paths.data).glob("*.json"):
        json.loads(path.read_text())
    small.delete(filling)
    assert wait_for_end(store, run(small, "echo after")).status == "done"
    lines = Path(store.paths.journal).read_text().splitlines()
    assert len([line for line in lines if f" {filling} " in line and " - stop - " in line]) == 1


def test_a_job_that_fills_it_again_and_again_can_be_killed(small: Actions) -> None:
    hog = run(small, "while :; do head -c 65536 /dev/zero 2>/dev/null || sleep 0.005; done")
    wait_for(lambda: free_bytes(small) == 0)
    small.kill(hog)
    assert wait_for_end(small.store, hog).status == "stop"
    small.delete(hog)
    assert wait_for_end(small.store, run(small, "true")).status == "done"


def test_an_end_that_cannot_be_written_is_written_as_soon_as_it_can(small: Actions) -> None:
    store = small.store
    ending = run(small, "while [ ! -e $JOB_FILES/go ]; do sleep 0.02; done; exit 7", name=LONG)
    wait_for_session(store, ending)
    Path(store.paths.results(ending), "go.not").touch()
    filler = fill(small)
    Path(store.paths.results(ending), "go").touch()
    runner = store.get(ending).pid
    wait_for(
        lambda: (
            len(os.listdir(f"/proc/{runner}/task/{runner}/"))
            and not Path(f"/proc/{runner}/task/{runner}/children").read_text()
        )
    )
    assert store.get(ending).status == "active"
    seen_ended_s = time.time()
    wait_for(lambda: time.time() > seen_ended_s + RETRY_WRITE_S, "another try to write it")
    filler.unlink()
    ended = wait_for_end(store, ending)
    assert (ended.status, ended.exit_code) == ("error", 7)
    assert from_iso(ended.ended_at) <= seen_ended_s + RETRY_WRITE_S / 2  # when it ended, not when there was room


@pytest.mark.parametrize("leave", [0, 4096, 3 * 4096, 10 * 4096])
def test_jobs_that_do_not_all_fit_are_not_stored_at_all(small: Actions, leave: int) -> None:
    store = small.store
    before = wait_for_end(store, run(small, "true"))
    payloads = [{"command": {"type": "exec", "cmd": f"echo {n}"}, "start": True} for n in range(60)]
    filler = fill(small, leave)
    with pytest.raises(StorageFailed, match="No space left"):
        small.submit_all(payloads)
    assert store.ids() == [before.id]
    assert os.listdir(store.paths.open) == []
    left = {path.name for path in Path(store.paths.data).iterdir()}
    assert left <= {"run", "logs", "filler", *(f"{before.id}.{kind}" for kind in ("json", "out", "err"))}
    filler.unlink()
    jobs = small.submit_all(payloads)
    for number, job in enumerate(jobs):
        assert wait_for_end(store, job.id).status == "done"
        assert Path(store.paths.out(job.id)).read_text() == f"{number}\n"
    check_files(small)


@pytest.mark.parametrize("reserves", [True, False])
def test_another_attempt_follows_as_soon_as_there_is_room(small: Actions, tmp_path: Path, reserves: bool) -> None:
    store = small.store
    go, ran = tmp_path / "go", tmp_path / "ran"
    line = f"echo $JOB_ATTEMPT >> {ran}; while [ ! -e {go} ]; do sleep 0.02; done; [ $JOB_ATTEMPT = 3 ]"
    failing = run(small, line, retries=2, retry_delay=0, name=LONG)
    wait_for(lambda: ran.exists())
    wait_for_session(store, failing)
    filler = fill(small, reserves=reserves)
    go.touch()
    if reserves:  # the next attempt begins at the cost of them
        wait_for(lambda: store.get(failing).attempt == 2)
        json.loads(Path(store.paths.json(failing)).read_text())
    else:
        runner = psutil.Process(store.get(failing).pid)
        wait_for(lambda: not runner.children())
        assert store.get(failing).status == "active"
    filler.unlink()
    ended = wait_for_end(store, failing, 40)
    assert (ended.status, [attempt["exit_code"] for attempt in ended.attempts]) == ("done", [1, 1, 0])
    assert ran.read_text().split() == ["1", "2", "3"]
    check_files(small)


@pytest.mark.parametrize("kill_it", [False, True])
def test_a_callback_is_made_once_and_recorded_when_there_is_room(small: Actions, tmp_path: Path, kill_it: bool) -> None:
    store = small.store
    go, called = tmp_path / "go", tmp_path / "called"
    line = f"echo $JOB_STATUS >> {called}; while [ ! -e {go} ]; do sleep 0.02; done"
    job = wait_for_end(store, run(small, "exit 3", callback_failed={"type": "exec", "cmd": line}))
    wait_for(called.exists)
    filler = fill(small)
    go.touch()
    arguments = [store.paths.data, job.id]
    [caller] = [p for p in psutil.process_iter(["cmdline"]) if (p.info["cmdline"] or [])[-2:] == arguments]
    wait_for(lambda: not caller.children())
    if kill_it:  # between making and recording it: then it is made again
        kill_and_wait(caller)
    assert store.get(job.id).pending_callbacks == ["callback_failed"]
    filler.unlink()
    wait_for(lambda: not store.get(job.id).pending_callbacks)
    [outcome] = store.get(job.id).callbacks
    assert (outcome["outcome"], outcome["tries"]) == ("made", 1)
    assert called.read_text().split() == ["error"] * (2 if kill_it else 1)
    wait_for(lambda: not store.open_ids())
    check_files(small)


def test_what_can_never_run_is_ended_when_there_is_room(small: Actions, tmp_path: Path) -> None:
    store = small.store
    go = tmp_path / "go"
    first = run(small, f"while [ ! -e {go} ]; do sleep 0.02; done; exit 1", name=LONG)
    then = run(small, "true", after=[first])
    wait_for_session(store, first)
    filler = fill(small)
    go.touch()
    runner = psutil.Process(store.get(first).pid)
    wait_for(lambda: not runner.children())
    assert [store.get(job_id).status for job_id in (first, then)] == ["active", "queued"]
    filler.unlink()
    assert wait_for_end(store, then, 40).reason == f"job {first} ended error"
    check_files(small)


def test_a_server_starts_shows_and_refuses_with_a_reason(small: Actions) -> None:
    """Nothing new is stored, what is there is shown, and it goes on when there is room."""
    ended = wait_for_end(small.store, run(small, "echo before"))
    data = Path(small.settings.data)
    filler = fill(small)
    server = Server(data)
    try:
        before = set(os.listdir(data))
        assert "echo before" in server.get(f"/?job={ended.id}").text
        code = "from running_jobs import Worker\n\n\nclass Abc(Worker):\n    def run(self):\n        pass\n"
        refused = [
            server.request("PUT", "/workers/Abc", code.encode()),
            server.request("POST", "/jobs", b'{"command": {"type": "exec", "cmd": "true"}}'),
            server.post_form("/launch", {"cmd": "true"}),
            server.post_form("/saved", {"keep_as": "nightly", "cmd": "true"}),
        ]
        assert [answer.code for answer in refused] == [507] * 4
        assert all("Make room" in answer.text for answer in refused)
        assert set(os.listdir(data)) - before <= {"saved", "workers"}  # empty folders
        assert not list(data.rglob("*Abc*")) + list(data.rglob("nightly*"))
        filler.unlink()
        assert server.request("PUT", "/workers/Abc", code.encode()).code == 200
        assert wait_for_end(small.store, run(small, "echo after")).status == "done"
    finally:
        server.kill()
