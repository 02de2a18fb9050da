"""Records damaged by hand, by a disk or by another program: each is named, left alone, and holds nobody up."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from running_jobs.actions import Actions
from running_jobs.job import Job, next_id
from running_jobs.retention import prune
from running_jobs.store import JobStore

from ..conftest import LocalClient, dispatcher_of, wait_for, wait_for_end

HUGE_BYTES = 100_000_000
TABS = ("log", "err", "both", "response", "chart", "files", "details")


def record_of(store: JobStore, job: Job) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(store.paths.json(job.id)).read_text())
    return found


def nested(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


def contents(record: dict[str, Any], other: bytes) -> dict[str, bytes]:
    """Return, by what is wrong with it, contents that are no record of this job."""
    whole = json.dumps(record)

    def with_value(text: str) -> bytes:
        return f'{whole[:-1]}, "unknown": {text}}}'.encode()

    return {
        "empty": b"",
        "zeros": bytes(4096),
        "truncated": whole[: len(whole) // 2].encode(),
        "of another job": other,
        "wrong id": json.dumps({**record, "id": "20010101-000000-000000"}).encode(),
        "id is a path": json.dumps({**record, "id": "../../etc/passwd"}).encode(),
        "twice": (whole + whole).encode(),
        "a list": b"[]",
        "null": b"null",
        "a number": b"1e999",
        "no UTF-8": whole.replace("true", "tr\udcfce").encode("utf-8", "surrogateescape"),
        "UTF-16": whole.encode("utf-16"),
        "a byte order mark": b"\xef\xbb\xbf" + whole.encode(),
        "half a pair": with_value('"\\ud800"'),
        "NaN": with_value("NaN"),
        "infinite": with_value("-Infinity"),
        "infinite in digits": with_value("1e999"),
        "too many digits": with_value("9" * 5000),
        "5,000 deep": with_value(nested(5000)),
        "900 deep": with_value(nested(900)),
        "300 deep": json.dumps({**record, "command": json.loads(nested(300))}).encode(),
        "a status of its own": json.dumps({**record, "status": "waiting"}).encode(),
        "a status that is none": json.dumps({**record, "status": ["idle"]}).encode(),
        "no command": json.dumps({name: value for name, value in record.items() if name != "command"}).encode(),
        "priority of 400 digits": json.dumps({**record, "priority": 10**400}).encode(),
        "true for a number": json.dumps({**record, "retries": True}).encode(),
    }


def lay_each(store: JobStore, job: Job, changes: dict[str, Any]) -> dict[str, str]:
    """Lay one more record for each content, marked as open; return what is wrong by id."""
    record, other = record_of(store, job), Path(store.paths.json(job.id)).read_bytes()
    laid, last = {}, job.id
    for what in contents(record, other):
        last = next_id(last, store.clock())
        content = contents({**record, **changes, "id": last}, other)[what]
        for path in (store.paths.out(last), store.paths.err(last), store.paths.marker(last)):
            Path(path).touch()
        Path(store.paths.json(last)).write_bytes(content)
        laid[last] = what
    return laid


def special_files(store: JobStore, job: Job, outside: Path) -> Iterator[tuple[str, str]]:
    """Lay what is no regular file in place of records; yield the id of each and what it is."""
    last = next_id(job.id, store.clock() + 10)
    for what in ("a folder", "a FIFO", "a link", "a socket"):
        path = store.paths.json(last)
        if what == "a folder":
            os.makedirs(f"{path}/inner")
        elif what == "a FIFO":
            os.mkfifo(path)
        elif what == "a link":
            os.symlink(outside, path)
        else:
            with socket.socket(socket.AF_UNIX) as listening:
                here = os.getcwd()
                os.chdir(store.paths.data)  # the name of a socket has no more than 107 bytes
                try:
                    listening.bind(f"{last}.json")
                finally:
                    os.chdir(here)
        yield last, what
        last = next_id(last, store.clock() + 10)


def test_what_is_no_record_is_named_on_the_page_and_left_alone(
    local: LocalClient, actions: Actions, store: JobStore, tmp_path: Path
) -> None:
    good = actions.submit({"command": {"type": "exec", "cmd": "true"}})
    outside = tmp_path / "outside.json"
    shutil.copy(store.paths.json(good.id), outside)
    laid = {**lay_each(store, good, {}), **dict(special_files(store, good, outside))}
    before = {job_id: content_of(store, job_id) for job_id in laid}
    page = local.get("/").text
    assert [row["id"] for row in local.get("/jobs").json["data"]] == [good.id]
    for job_id, what in laid.items():
        assert f"{job_id}.json" in page, what
        for tab in TABS:
            answer = local.get(f"/?job={job_id}&tab={tab}")
            assert (answer.code, f"{job_id} cannot be read" in answer.text) == (200, True), (what, tab)
        for path in ("", "/status", "/log", "/out", "/stats", "/files", "/files.zip", "/files/a"):
            assert local.get(f"/jobs/{job_id}{path}").code == 409, (what, path)
        assert local.get(f"/jobs/status/{job_id}").code == 409, what
        assert local.delete(f"/jobs/{job_id}").code == 409, what
        assert local.put(f"/jobs/{job_id}/status", "start").code == 409, what
        assert local.request("PATCH", f"/jobs/{job_id}", {"name": "x"}).code == 409, what
    assert before == {job_id: content_of(store, job_id) for job_id in laid}
    assert prune(store, keep_days=None, keep_jobs=0).ids == []
    assert local.post("/jobs/add", {"command": {"type": "exec", "cmd": "true"}, "priority": 1}).code == 200


def content_of(store: JobStore, job_id: str) -> Any:
    path = Path(store.paths.json(job_id))
    status = path.lstat()
    return (status.st_ino, status.st_size, path.read_bytes() if path.is_file() and not path.is_symlink() else None)


WRONG_WITHIN = [
    {"attempts": [{"attempt": [], "started_at": 5, "ended_at": {}, "exit_code": 10**400, "signal": -1, "reason": []}]},
    {"attempts": [{}]},
    {"attempts": [{"started_at": "yesterday", "signal": 10**9, "exit_code": 1.5}]},
    {"callbacks": [{"callback": []}, {"callback": {}}, {"callback": None}, {}], "callback_done": {}},
    {"callbacks": [{"callback": "callback_done", "outcome": {}, "tries": "x", "detail": []}]},
    {"callback_done": {"type": "exec"}, "callback_failed": {"type": 5, "url": [], "headers": "x"}},
    {"usage": {"cpu_s": 10**400, "max_rss_bytes": -(10**400)}},
    {"usage": {"cpu_s": -1, "max_rss_bytes": []}},
    {"asked": {"verb": [], "by": {}, "at": 5}},
    {"asked": {}},
    {"timer": {"boot_id": [], "boottime_s": "x"}, "not_before": "9999-12-31T23:59:59.999Z"},
    {"not_before": "0001-01-01T00:00:00.000Z"},
    {"started_at": "yesterday", "ended_at": "0000", "created_at": "\u202e", "queued_at": ""},
    {"started_at": "9999-12-31T23:59:59.999Z", "ended_at": "0001-01-01T00:00:00.000Z"},
    {"env": {"A": 5, "": None, "B=": []}},
    {"signal": 99999, "exit_code": -1, "reason": "<script>\0"},
    {"attempt": -5, "retries": -(10**14), "priority": 10**14, "timeout": -1, "delay": 1e14, "retry_delay": -1},
    {"name": "\0\u202e<b>\n", "context": "", "owner": "\0", "executor": "", "host": "\n", "progress_pattern": "(((("},
    {"after": ["", "../..", "20010101-000000-000000"], "after_done": ["x"]},
    {"command": {}},
    {"command": {"type": [], "cmd": {}, "name": 5}},
    {"command": {"type": "worker", "name": [], "parameters": 5}},
    {"command": {"type": "method", "class": {}, "method": 5, "params": "x"}},
    {"command": {"type": "http", "url": 5, "headers": [], "params": "x", "timeout": []}},
    {"command": {"type": "approved", "name": None, "parameters": []}},
    {"command": json.loads(nested(150))},
    {"pid": -1, "pid_started": 10**14, "session": 10**14, "boot_id": ""},
]


@pytest.mark.parametrize("status", ["idle", "queued", "active", "error"])
def test_wrong_values_within_a_record_break_neither_page_nor_list(
    local: LocalClient, actions: Actions, store: JobStore, status: str
) -> None:
    job = actions.submit({"command": {"type": "exec", "cmd": "true"}})
    record = record_of(store, job)
    for change in WRONG_WITHIN:
        Path(store.paths.json(job.id)).write_text(json.dumps({**record, "status": status, **change}))
        paths = [f"/?job={job.id}&tab={tab}" for tab in TABS]
        paths += ["/?part=live", f"/?like={job.id}", "/jobs", f"/jobs/{job.id}", f"/jobs/status/{job.id}"]
        paths += ["/jobs/status", f"/jobs/{job.id}/stats", "/health"]
        for path in paths:
            assert local.get(path).code in (200, 400, 409), (change, path)


def test_a_key_that_is_there_twice_counts_as_it_stands_last(store: JobStore, actions: Actions) -> None:
    job = actions.submit({"command": {"type": "exec", "cmd": "true"}, "name": "first"})
    path = Path(store.paths.json(job.id))
    path.write_text(path.read_text().rstrip()[:-1] + ', "name": "last"}')
    assert store.get(job.id).name == "last"
    actions.edit(job.id, {"priority": 7})
    assert (path.read_text().count('"name"'), store.get(job.id).name) == (1, "last")


def test_a_hundred_megabytes_of_json_cost_nobody_memory(
    local: LocalClient, actions: Actions, launch: Callable[..., Job], store: JobStore, data: Path
) -> None:
    huge = actions.submit({"command": {"type": "exec", "cmd": "true"}})
    wait_for_end(store, launch("true").id)
    local.get("/")
    path = Path(store.paths.json(huge.id))
    with path.open("a") as file:
        file.write(" " * HUGE_BYTES)
    dispatcher = wait_for(lambda: dispatcher_of(data), "a dispatcher")
    processes = [psutil.Process(), dispatcher]
    before = [process.memory_info().rss for process in processes]
    Path(store.paths.marker(huge.id)).touch()
    for _ in range(3):
        assert "file too large" in local.get(f"/?job={huge.id}").text
        assert local.get(f"/jobs/{huge.id}").code == 409
        assert local.get("/jobs").json["total"] == 1
    assert wait_for_end(store, launch("true").id).status == "done"
    after = [process.memory_info().rss for process in processes]
    assert max(now - then for now, then in zip(after, before)) < 20_000_000
    assert path.stat().st_size > HUGE_BYTES


def test_none_of_them_holds_up_the_dispatcher(
    actions: Actions, launch: Callable[..., Job], store: JobStore, tmp_path: Path
) -> None:
    first = wait_for_end(store, launch("true").id)
    waiting = {"status": "queued", "attempt": 0, "attempts": [], "callbacks": []}
    laid = {**lay_each(store, first, waiting), **dict(special_files(store, first, tmp_path))}
    for job_id in laid:
        Path(store.paths.marker(job_id)).touch()
    actions.replace_dispatcher()
    good = [launch("true").id for _ in range(5)]
    assert {wait_for_end(store, job_id).status for job_id in good} == {"done"}
    told = Path(store.paths.errors).read_text()
    for job_id, what in laid.items():
        assert 1 <= told.count(f" {job_id} cannot be read") <= 2, what  # once by each dispatcher
        assert not os.path.exists(store.paths.results(job_id)), what
