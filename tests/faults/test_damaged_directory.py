"""Parts of a data directory removed, emptied, garbled or replaced by hand while jobs run: the files of jobs are the
truth, and all else is made anew."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from running_jobs.actions import Actions
from running_jobs.job import Job
from running_jobs.store import JobStore

from ..conftest import LocalClient, Server, dispatcher_of, remove_tree, wait_for, wait_for_end, wait_for_status


def gate(path: Path) -> str:
    return f"while [ ! -e {path} ]; do sleep 0.02; done"


def remove(path: str) -> None:
    """Remove what is there, and what somebody puts there meanwhile."""
    remove_tree(Path(path)) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)


def garble(path: str) -> None:
    Path(path).write_bytes(os.urandom(5000) + b"\n" + b"x" * 3_000_000 + b"\n\0\0\n- - - \n")


def be_a_link(path: str) -> None:
    os.rename(path, f"{path}.was")
    os.symlink(f"{path}.was", path)


def be_a_folder(path: str) -> None:
    remove(path)
    os.makedirs(f"{path}/inner")


def be_a_fifo(path: str) -> None:
    remove(path)
    os.mkfifo(path)


@pytest.mark.parametrize(
    "damage",
    [remove, garble, lambda path: os.truncate(path, 0), lambda path: os.truncate(path, 30), be_a_link],
    ids=["removed", "garbled", "emptied", "cut off", "a link"],
)
def test_the_journal_may_be_damaged_while_jobs_run(
    local: LocalClient, launch: Callable[..., Job], store: JobStore, tmp_path: Path, damage: Callable[[str], None]
) -> None:
    before = wait_for_end(store, launch("true").id)
    running = wait_for_status(store, launch(gate(tmp_path / "go")).id, "active")
    assert local.get("/jobs").json["total"] == 2
    damage(store.paths.journal)
    if os.path.islink(store.paths.journal):  # is not followed: nothing can be changed until it is gone
        assert local.post("/jobs", {"command": {"type": "exec", "cmd": "true"}}).code >= 500
        assert local.get("/").code == 200
        os.unlink(store.paths.journal)
    then = launch("true", after=[running.id])
    (tmp_path / "go").touch()
    assert wait_for_end(store, then.id).status == "done"
    rows = {row["id"]: row["status"] for row in local.get("/jobs").json["data"]}
    assert rows == {before.id: "done", running.id: "done", then.id: "done"}
    assert f" {then.id} true - done - " in Path(store.paths.journal).read_text(errors="replace")


@pytest.mark.parametrize("part", ["run", "run/lock", "run/open", "run/wake", "run/awaited", "logs", "run/boot_id"])
def test_what_is_made_by_us_may_be_removed_while_jobs_run(
    server: Server, launch: Callable[..., Job], store: JobStore, data: Path, tmp_path: Path, part: str
) -> None:
    running = wait_for_status(store, launch(gate(tmp_path / "go")).id, "active")
    waiting = launch("echo $JOB_ID", delay=0.5)
    remove(f"{data}/{part}")
    answer = server.post("/jobs", {"command": {"type": "exec", "cmd": "true"}, "start": True})
    assert answer.code == 201, answer.text
    last = answer.json["data"][0]["id"]
    (tmp_path / "go").touch()
    for job_id in (running.id, waiting.id, last):
        job = wait_for_end(store, job_id)
        assert (job.status, job.attempt) == ("done", 1)
    assert Path(store.paths.out(waiting.id)).read_text() == f"{waiting.id}\n"
    assert server.get("/").code == 200
    wait_for(lambda: not store.open_ids(), lambda: f"markers to be gone: {store.open_ids()}")


@pytest.mark.parametrize("damage", [be_a_folder, be_a_fifo, be_a_link], ids=["a folder", "a FIFO", "a link"])
def test_what_was_laid_in_place_of_the_lock_hangs_nothing_and_is_named(
    local: LocalClient, launch: Callable[..., Job], store: JobStore, damage: Any
) -> None:
    done = wait_for_end(store, launch("true").id)
    damage(store.paths.lock)
    try:
        assert local.get(f"/?job={done.id}").code == 200
        answer = local.delete(f"/jobs/{done.id}")
        assert (answer.code, store.paths.lock in answer.json["message"]) == (507, True)
    finally:
        remove(store.paths.lock)
    assert wait_for_end(store, launch("true").id).status == "done"


@pytest.mark.parametrize("kind", ["folder", "full folder", "link", "FIFO", "link to nowhere"])
def test_whatever_stands_in_place_of_a_marker_is_a_marker(
    actions: Actions, launch: Callable[..., Job], store: JobStore, tmp_path: Path, data: Path, kind: str
) -> None:
    running = wait_for_status(store, launch(gate(tmp_path / "go")).id, "active")
    queued = launch("true", delay=0.5)
    (tmp_path / "elsewhere").write_text("kept")
    for job_id in (running.id, queued.id, "20010101-000000-000000"):
        marker = Path(store.paths.marker(job_id))
        marker.unlink(missing_ok=True)
        if "folder" in kind:
            marker.mkdir()
            if kind == "full folder":
                (marker / "a").touch()
        elif kind == "FIFO":
            os.mkfifo(marker)
        else:
            marker.symlink_to(tmp_path / ("elsewhere" if kind == "link" else "nowhere"))
    actions.replace_dispatcher()
    (tmp_path / "go").touch()
    for job_id in (running.id, queued.id):
        assert wait_for_end(store, job_id).status == "done"
    wait_for(lambda: not store.open_ids(), lambda: f"markers to be gone: {store.open_ids()}")
    assert (tmp_path / "elsewhere").read_text() == "kept"
    assert dispatcher_of(data)


@pytest.mark.parametrize("kind", ["link", "folder", "FIFO", "removed"])
def test_logs_and_results_replaced_while_a_job_runs(
    local: LocalClient, launch: Callable[..., Job], store: JobStore, tmp_path: Path, kind: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("secret")
    begun = tmp_path / "begun"  # an active job may still be about to open its logs
    job = launch(f"touch {begun}; {gate(tmp_path / 'go')}; echo end; exit 3")
    wait_for(begun.exists, "the command to run")
    paths = [f"{store.paths.data}/{job.id}.{ending}" for ending in ("out", "err", "response", "stats", "files")]
    for path in paths:
        if os.path.lexists(path):
            remove(path)
        if kind == "link":
            os.symlink(outside if path.endswith("files") else outside / "secret.txt", path)
        elif kind == "folder":
            os.makedirs(f"{path}/inner")
        elif kind == "FIFO":
            os.mkfifo(path)
    for path in ("", "/out", "/err", "/log", "/response", "/stats", "/files", "/files.zip", "/view/out", "/view/both"):
        answer = local.get(f"/jobs/{job.id}{path}")
        assert answer.code < 500, path
        assert "secret" not in answer.text, path
    for tab in ("log", "err", "both", "response", "chart", "files", "details"):
        assert local.get(f"/?job={job.id}&tab={tab}").code == 200, tab
    (tmp_path / "go").touch()
    ended = wait_for_end(store, job.id)
    assert (ended.status, ended.exit_code) == ("error", 3), ended.reason
    assert local.delete(f"/jobs/{job.id}").code == 200
    assert [name for name in os.listdir(store.paths.data) if name.startswith(job.id)] == []
    assert (outside / "secret.txt").read_text() == "secret"


@pytest.mark.parametrize("damage", [be_a_folder, be_a_fifo, be_a_link], ids=["a folder", "a FIFO", "a link"])
def test_the_page_comes_whatever_is_in_place_of_the_secret(
    store: JobStore, local: LocalClient, damage: Callable[[str], None]
) -> None:
    assert local.get("/").code == 200
    damage(store.paths.secret)
    assert local.get("/").code == 200


def test_the_page_comes_while_a_file_is_in_place_of_the_logs_folder(store: JobStore, local: LocalClient) -> None:
    assert local.get("/").code == 200
    os.rename(store.paths.logs, f"{store.paths.logs}.was")
    Path(store.paths.logs).touch()
    assert local.get("/").code == 200


def test_a_list_of_unfinished_jobs_that_is_too_large_is_named(store: JobStore, local: LocalClient) -> None:
    with open(store.paths.batch, "wb") as batch:
        batch.truncate(20 << 20)
    answer = local.post("/jobs", {"command": {"type": "exec", "cmd": "true"}})
    assert (answer.code, store.paths.batch in answer.json["message"]) == (507, True), answer.json["message"]
