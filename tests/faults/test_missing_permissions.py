"""Files and folders of a data directory that the server may not open any more: it says so, damages nothing, and goes on
when it may again."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from running_jobs.store import JobStore

from ..conftest import PROJECT, Server, wait_for, wait_for_end, wait_for_status

DAC_OVERRIDE, DAC_READ_SEARCH = 1, 2  # capabilities(7): for whoever has them, permissions count for nothing
WITHOUT_THEM = """import ctypes, os, sys
for capability in {capabilities}:
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP: it counts from the next exec on
os.execv(sys.executable, [sys.executable, {program!r}, *sys.argv[1:]])
"""


@pytest.fixture
def server(start_server: Callable[..., Server], tmp_path: Path) -> Server:
    """Give a server whose dispatcher and runners, too, may open only what permissions let them."""
    program = WITHOUT_THEM.format(capabilities=(DAC_OVERRIDE, DAC_READ_SEARCH), program=str(PROJECT / "app.py"))
    (tmp_path / "app.py").write_text(program)
    return start_server(code=tmp_path)


@contextlib.contextmanager
def permissions(path: str, mode: int) -> Iterator[None]:
    before = stat.S_IMODE(Path(path).stat().st_mode)
    Path(path).chmod(mode)
    try:
        yield
    finally:
        Path(path).chmod(before)


def launch(server: Server, cmd: str) -> str:
    answer = server.post("/jobs", {"command": {"type": "exec", "cmd": cmd}, "start": True})
    assert answer.code == 201, answer.text
    return str(answer.json["data"][0]["id"])


def test_what_may_not_be_opened_is_named_and_nothing_is_lost(server: Server, store: JobStore, data: Path) -> None:
    done = launch(server, "echo here; echo x > $JOB_FILES/a.txt")
    wait_for_end(store, done)
    paths = store.paths
    looked_at = (
        "/", f"/?job={done}", f"/?job={done}&tab=files", "/jobs", f"/jobs/{done}", f"/jobs/{done}/out", f"/jobs/{done}/log",
        f"/jobs/{done}/files", f"/jobs/{done}/files/a.txt", f"/jobs/{done}/files.zip", "/health", "/metrics",
    )  # fmt: skip
    for path in (
        paths.json(done), paths.out(done), paths.results(done), paths.journal, paths.logs, paths.run, paths.lock,
        paths.open, paths.secret, paths.workers,
    ):  # fmt: skip
        server.get("/")  # makes the secret, and the folder of workers is there by now
        Path(paths.workers).mkdir(mode=0o700, exist_ok=True)
        with permissions(path, 0):
            for address in looked_at:
                answer = server.get(address)
                assert answer.code in (200, 404, 409, 503), (path, address, answer.text)
                assert answer.code != 503 or "permission denied" in answer.text, (path, address, answer.text)
            asked = server.post("/jobs", {"command": {"type": "exec", "cmd": "true"}, "start": True})
            assert asked.code == 201 or (asked.code == 507 and "Permission denied" in asked.text), (path, asked.text)
            deleted = server.delete(f"/jobs/{done}") if path == paths.json(done) else None
            assert deleted is None or (deleted.code, "permission denied" in deleted.text) == (409, True)
        assert server.get(f"/jobs/{done}/out").text == "here\n"
    wait_for(lambda: not store.open_ids(), "all to have ended")
    assert {store.get(job_id).status.value for job_id in store.ids()} == {"done"}
    assert "Traceback" not in server.log.read_text()


def test_an_end_waits_until_it_may_be_written(server: Server, store: JobStore, data: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    running = launch(server, f"while [ ! -e {go} ]; do sleep 0.02; done; exit 3")
    runner = wait_for_status(store, running, "active").pid
    with permissions(str(data), 0o500):
        for path in ("/", "/jobs", f"/jobs/{running}", "/health"):
            assert server.get(path).code == 200, path
        for answer in (
            server.post("/jobs", {"command": {"type": "exec", "cmd": "true"}}),
            server.put(f"/jobs/{running}/status", "stop"),
        ):
            assert (answer.code, "Permission denied" in answer.text) == (507, True), answer.text
        go.touch()
        children = Path(f"/proc/{runner}/task/{runner}/children")
        wait_for(lambda: not children.read_text(), "the command to end")
        assert store.get(running).status == "active"
    ended = wait_for_end(store, running)
    assert (ended.status, ended.exit_code) == ("error", 3)
