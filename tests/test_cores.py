"""The server's threads share one processor; what it starts has all of them."""

from __future__ import annotations

import gzip
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from running_jobs import cores, matching
from running_jobs.store import JobStore
from running_jobs.web import compression

from .conftest import Server, dispatcher_of, kill_and_wait, wait_for, wait_for_end

EVERY = os.sched_getaffinity(0)
NAMED = "import os; print(sorted(os.sched_getaffinity(0)))"

pytestmark = pytest.mark.skipif(len(EVERY) < 2, reason="this machine has one processor")


def processors_of(pid: int) -> set[frozenset[int]]:
    """Return what each thread of a process may run on."""
    return {frozenset(os.sched_getaffinity(int(thread))) for thread in os.listdir(f"/proc/{pid}/task")}


def printed_by_a_job(server: Server, store: JobStore) -> str:
    command = {"type": "exec", "cmd": f"{sys.executable} -c '{NAMED}'"}
    job_id = server.post("/jobs", {"command": command, "start": True}).json["data"][0]["id"]
    wait_for_end(store, job_id)
    return Path(store.paths.out(job_id)).read_text().strip()


def test_the_servers_threads_share_one_processor_and_jobs_have_all(server: Server, store: JobStore) -> None:
    server.get("/")
    [shared] = processors_of(server.process.pid)
    assert len(shared) == 1
    assert printed_by_a_job(server, store) == str(sorted(EVERY))
    dispatcher = wait_for(lambda: dispatcher_of(store.paths.data))
    assert processors_of(dispatcher.pid) == {frozenset(EVERY)}


def test_a_dispatcher_that_a_thread_of_the_server_started_has_all(server: Server, store: JobStore) -> None:
    kill_and_wait(wait_for(lambda: dispatcher_of(store.paths.data)))
    assert printed_by_a_job(server, store) == str(sorted(EVERY))
    assert processors_of(wait_for(lambda: dispatcher_of(store.paths.data)).pid) == {frozenset(EVERY)}
    assert len(next(iter(processors_of(server.process.pid)))) == 1


def test_code_that_is_looked_at_has_all(start_server: Callable[..., Server], data: Path, tmp_path: Path) -> None:
    (tmp_path / "wide.py").write_text(
        f"import os\nassert len(os.sched_getaffinity(0)) == {len(EVERY)}\nclass Wide:\n    def run(self): pass\n"
    )
    (data / "config.toml").write_text(f'python_path = ["{tmp_path}"]\nallowed_classes = ["wide.Wide"]\n')
    command = {"type": "method", "class": "wide.Wide", "method": "run"}
    answer = start_server().post("/jobs", {"command": command})
    assert answer.code == 201, answer.text


def test_a_server_that_may_use_one_processor_alone_starts_jobs_there(
    start_server: Callable[..., Server], store: JobStore
) -> None:
    one = min(EVERY)
    os.sched_setaffinity(0, {one})
    try:
        server = start_server()
    finally:
        os.sched_setaffinity(0, EVERY)
    assert processors_of(server.process.pid) == {frozenset({one})}
    assert printed_by_a_job(server, store) == str([one])


@pytest.fixture
def bound(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], Any]:
    """Give a function that calls another in a thread that is bound as those of a server are."""
    monkeypatch.setattr(cores, "_shared", set())
    monkeypatch.setattr(cores, "_every", set())

    def call(act: Callable[[], Any]) -> Any:
        found = []

        def run() -> None:
            cores.share_one(min(EVERY))
            found.append(act())
            assert os.sched_getaffinity(0) == {min(EVERY)}
            found.append("bound again")

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        assert found[1:] == ["bound again"]
        return found[0]

    return call


def test_what_matches_a_dear_pattern_has_all(
    bound: Callable[[Callable[[], Any]], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    program = f"import os, sys; sys.stdin.read(); sys.exit(0 if len(os.sched_getaffinity(0)) == {len(EVERY)} else 3)"
    monkeypatch.setattr(matching, "_PROGRAM", program)
    assert bound(lambda: matching.fits("([a-z]+-?)+", "a" * 40 + "!"))


def test_what_compresses_much_has_all(
    bound: Callable[[Callable[[], Any]], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    class Watched(gzip.GzipFile):
        def write(self, data: Any) -> int:
            seen.append(len(os.sched_getaffinity(0)))
            return super().write(data)

    monkeypatch.setattr(gzip, "GzipFile", Watched)
    for size in (compression.LARGE_BYTES - 1, compression.LARGE_BYTES):
        bound(lambda size=size: compression._gzip(b"x" * size, 1, ""))
    assert seen == [1, len(EVERY)]
