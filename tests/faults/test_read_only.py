"""A data directory that becomes read-only while jobs run: it can be looked at, changes are refused with a reason, and
what ended meanwhile is recorded as soon as that is possible."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from running_jobs.job import Job, from_iso
from running_jobs.store import JobStore

from ..conftest import Server, dispatcher_of, kill_and_wait, wait_for, wait_for_end, wait_for_status


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let nobody open anything in a folder for writing; what is open already is not concerned."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    if subprocess.run(["mount", "--bind", folder, folder], capture_output=True).returncode != 0:
        pytest.skip("nothing can be mounted")
    try:
        remount = ["mount", "-o", "remount,bind,ro", folder]  # refused as long as somebody has a file open for writing
        wait_for(lambda: subprocess.run(remount, capture_output=True).returncode == 0, "a mount that is read-only")
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_it_can_be_looked_at_and_goes_on_when_it_can_be_written_again(
    start_server: Callable[..., Server],
    app_py: Callable[..., SimpleNamespace],
    launch: Callable[..., Job],
    store: JobStore,
    data: Path,
    tmp_path: Path,
) -> None:
    done = wait_for_end(store, launch("echo here").id)
    go = tmp_path / "go"
    running = wait_for_status(store, launch(f"while [ ! -e {go} ]; do sleep 0.02; done; exit 3").id, "active")
    server = start_server()
    server.get("/")  # makes the secret
    journal = Path(store.paths.journal)
    with read_only(data):
        before = journal.read_bytes()
        second = start_server("--host", "127.0.0.1")  # one that starts now can be looked at, too
        for looked_at in (server, second):
            for path in ("/", f"/?job={done.id}", f"/?job={running.id}&tab=details", "/?part=live", "/jobs", "/health"):
                assert looked_at.get(path).code == 200, path
            assert looked_at.get(f"/jobs/{done.id}/out").text == "here\n"
        code = "from running_jobs import Worker\nclass Abc(Worker):\n    def run(self): pass\n"
        exec_true = {"command": {"type": "exec", "cmd": "true"}}
        for answer in (
            server.post_form("/launch", {"cmd": "true"}),
            server.post_form(f"/jobs/{done.id}/delete", {}),
            server.post_form(f"/jobs/{done.id}/again", {}),
            server.post_form(f"/jobs/{running.id}/stop", {}),
            server.post_form("/pause", {}),
            server.post_form("/workers/save", {"name": "Abc", "code": code}),
            server.post_form("/saved", {"cmd": "true", "keep_as": "x"}),
            server.post("/jobs", exec_true),
            server.post("/jobs/add", exec_true),
            server.put("/workers/Abc", code),
            server.delete(f"/jobs/{done.id}"),
            server.post(f"/jobs/{done.id}/log", "x"),
        ):
            assert (answer.code, "Read-only file system" in answer.text) == (507, True), answer.text[:500]
        go.touch()
        children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
        wait_for(lambda: not children.read_text(), "the command to end")
        assert store.get(running.id).status == "active"
        assert journal.read_bytes() == before
        ended_by_s = time.time()
        refused = app_py("prune", "--keep-jobs", "0")
        assert (refused.code, "Read-only file system" in refused.err) == (1, True)
        assert app_py("list", "--json").code == 0
        kill_and_wait(dispatcher_of(data))
        wait_for(lambda: time.time() > ended_by_s + 1, "a second in which the end could not be written")
        told = app_py("status", "--json")
        assert json.loads(told.out)["dispatcher"] == "missing"
        assert told.err.startswith("Warning: No dispatcher could be started")
    ended = wait_for_end(store, running.id)
    assert (ended.status, ended.exit_code) == ("error", 3)
    assert from_iso(ended.ended_at) <= ended_by_s + 0.5
    assert server.post("/jobs", {**exec_true, "start": True}).code == 201
    wait_for(lambda: not store.open_ids(), "all to have ended")
