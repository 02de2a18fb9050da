"""The JSON routes, asked over real sockets of a real server."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any
from unittest.mock import Mock
from urllib.parse import quote

import pytest

from running_jobs.job import IDLE, Job
from running_jobs.settings import load_settings
from running_jobs.store import JobStore
from running_jobs.web.application import build_app
from running_jobs.web.parts import LONG_ANSWERS

from .conftest import LocalClient, Server, wait_for, wait_for_end, wait_for_status


def add(server: Server, cmd: str = "true", **options: Any) -> dict[str, Any]:
    answer = server.post("/jobs", {"command": {"type": "exec", "cmd": cmd}, **options})
    assert answer.code == 201, answer.text
    return answer.json["data"][0]


def test_a_job_from_post_to_its_logs(server: Server, store: JobStore) -> None:
    answer = server.post("/jobs", {"command": {"type": "exec", "cmd": "echo out; echo err >&2; exit 3"}, "start": True})
    assert answer.code == 201
    assert answer.headers["Content-Type"] == "application/json"
    body = answer.json
    assert {key: body[key] for key in ("status", "success", "total")} == {"status": 201, "success": True, "total": 1}
    record = body["data"][0]
    assert record["status"] == "queued"
    assert answer.headers["Location"] == f"/jobs/{record['id']}"
    wait_for_end(store, record["id"])
    ended = server.get(f"/jobs/{record['id']}").json["data"][0]
    assert (ended["status"], ended["exit_code"], ended["reason"]) == ("error", 3, "exit code 3")
    assert server.get(f"/jobs/{record['id']}/out").body == b"out\n"
    assert server.get(f"/jobs/{record['id']}/err").body == b"err\n"
    assert server.get(f"/jobs/{record['id']}/log").json["data"] == [{"message": "out"}]
    assert server.get(f"/jobs/{record['id']}/status").json["data"] == [{"status": "error"}]


def test_a_job_is_idle_until_it_is_started(server: Server, store: JobStore) -> None:
    job = add(server)
    assert job["status"] == "idle"
    assert server.put(f"/jobs/{job['id']}/status", "start").json["data"][0]["status"] == "queued"
    assert wait_for_end(store, job["id"]).status == "done"
    for word in ("start", "stop", "kill", "active", "done"):
        assert server.put(f"/jobs/{job['id']}/status", word).code == 409


def test_stop_and_kill(server: Server, store: JobStore) -> None:
    for word, signum in (("stop", 15), ("kill", 9)):
        job = add(server, "exec sleep 1000", start=True)
        wait_for_status(store, job["id"], "active")
        answer = server.put(f"/jobs/{job['id']}/status", word)
        assert (answer.code, answer.json["data"][0]["asked"]["verb"]) == (200, word)
        ended = wait_for_end(store, job["id"])
        assert (ended.status, ended.signal) == ("stop", signum)


def test_an_active_job_cannot_be_deleted_and_a_final_one_goes_whole(
    server: Server, store: JobStore, data: Path
) -> None:
    job = add(server, "echo x > $JOB_FILES/y; exec sleep 1000", start=True)
    wait_for_status(store, job["id"], "active")
    assert server.delete(f"/jobs/{job['id']}").code == 409
    server.put(f"/jobs/{job['id']}/status", "kill")
    wait_for_end(store, job["id"])
    assert server.delete(f"/jobs/{job['id']}").json["data"] == []
    assert server.get(f"/jobs/{job['id']}").code == 404
    assert [path for path in data.iterdir() if path.name.startswith(job["id"])] == []


def test_the_list_is_paged_filtered_and_searched(server: Server, store: JobStore) -> None:
    ids = [add(server, f"true {n}", name=f"Näme {n}", context="odd" if n % 2 else "even")["id"] for n in range(7)]
    page = server.get("/jobs?limit=3").json
    assert [job["id"] for job in page["data"]] == ids[:3:-1]
    older = server.get(f"/jobs?limit=10&before={page['next']}").json
    assert [job["id"] for job in older["data"]] == ids[3::-1]
    assert older["next"] is None
    assert len(server.get("/jobs?context=odd").json["data"]) == 3
    assert [job["id"] for job in server.get(f"/jobs?q={quote('NÄME 4')}").json["data"]] == [ids[4]]
    server.put(f"/jobs/{ids[0]}/status", "done")
    assert [job["id"] for job in server.get("/jobs?status=done").json["data"]] == [ids[0]]
    for query in ("limit=0", "limit=1001", "limit=x", "status=nope", "before=../x", "limit=-1"):
        answer = server.get(f"/jobs?{query}")
        assert (answer.code, answer.json["success"], answer.json["data"]) == (400, False, [])


def test_the_list_sees_what_others_do_at_once(server: Server, launch, store: JobStore) -> None:
    assert server.get("/jobs").json["data"] == []
    job = launch("true")
    assert [record["id"] for record in server.get("/jobs").json["data"]] == [job.id]
    wait_for_end(store, job.id)
    assert server.get("/jobs?status=done").json["total"] == 1
    store.delete(job.id)
    assert server.get("/jobs").json["data"] == []


def test_entries_are_appended_and_read_back_in_order(server: Server) -> None:
    job = add(server)
    for part in ("log", "response"):
        assert server.get(f"/jobs/{job['id']}/{part}").json["data"] == []
        for entry in ("foo", "bär"):
            assert server.post(f"/jobs/{job['id']}/{part}", entry, headers={"Content-Type": "text/plain"}).code == 200
        assert server.get(f"/jobs/{job['id']}/{part}").json["data"] == [{"message": "foo"}, {"message": "bär"}]
        assert server.get(f"/jobs/{job['id']}/{part}?tail=1").json["data"] == [{"message": "bär"}]


def test_a_job_run_elsewhere(server: Server, store: JobStore) -> None:
    job = add(server)
    assert server.put(f"/jobs/{job['id']}/pid", "123").json["data"][0]["pid"] == 123
    assert server.put(f"/jobs/{job['id']}/status", "active").json["data"][0]["executor"] == "elsewhere"
    assert server.put(f"/jobs/{job['id']}/pid", "124").json["data"][0]["pid"] == 124
    assert server.put(f"/jobs/{job['id']}/status", "done").json["data"][0]["status"] == "done"
    other = add(server)
    server.put(f"/jobs/{other['id']}/status", "active")
    stopped = server.put(f"/jobs/{other['id']}/status", "stop").json["data"][0]
    assert (stopped["status"], stopped["reason"]) == ("stop", "stopped")
    for wrong in ("-1", "0", "x", "99999999999", ""):
        assert server.put(f"/jobs/{add(server)['id']}/pid", wrong).code == 400
    ours = add(server, "exec sleep 1000", start=True)
    wait_for_status(store, ours["id"], "active")
    assert server.put(f"/jobs/{ours['id']}/status", "done").code == 409
    assert server.put(f"/jobs/{ours['id']}/pid", "1").code == 409


def test_a_job_that_is_not_active_yet_can_be_changed(server: Server, store: JobStore) -> None:
    job = add(server, "echo $A; pwd")
    changed = server.request(
        "PATCH", f"/jobs/{job['id']}", {"name": "new", "env": {"A": "b"}, "cwd": "/", "priority": 7}
    )
    assert (changed.code, changed.json["data"][0]["name"], changed.json["data"][0]["priority"]) == (200, "new", 7)
    for wrong in ({"priority": "high"}, {"nope": 1}, {"command": {"type": "exec", "cmd": "x"}}, {"cwd": "/no/such"}):
        assert server.request("PATCH", f"/jobs/{job['id']}", wrong).code == 400
    server.put(f"/jobs/{job['id']}/status", "start")
    wait_for_end(store, job["id"])
    assert server.get(f"/jobs/{job['id']}/out").text == "b\n/\n"
    assert server.request("PATCH", f"/jobs/{job['id']}", {"name": "late"}).code == 409


def test_values_of_env_are_masked_everywhere(server: Server, store: JobStore) -> None:
    job = add(server, env={"TOKEN": "geheim"}, start=True)
    wait_for_end(store, job["id"])
    for path in (f"/jobs/{job['id']}", "/jobs", f"/?job={job['id']}&tab=details", "/"):
        answer = server.get(path)
        assert "geheim" not in answer.text
    assert server.get(f"/jobs/{job['id']}").json["data"][0]["env"] == {"TOKEN": "***"}
    again = server.post_form(f"/jobs/{job['id']}/again", {}).headers["Location"].split("job=")[1].split("&")[0]
    assert store.get(again).env == {"TOKEN": "geheim"}


@pytest.mark.parametrize(
    "body",
    [
        {}, {"command": None}, {"command": {}}, {"command": {"type": "exec"}}, {"command": {"type": "exec", "cmd": ""}},
        {"command": {"type": "exec", "cmd": "  \n"}}, {"command": {"type": "exec", "cmd": 3}},
        {"command": {"type": "exec", "cmd": ["ls"]}}, {"command": {"type": "shell", "cmd": "ls"}},
        {"command": {"type": ["exec"], "cmd": "ls"}}, {"command": {"type": "exec", "cmd": "a\0b"}},
        {"command": {"type": "exec", "cmd": "ls", "more": 1}}, {"command": {"type": "exec", "cmd": "\ud800"}},
        *({"command": {"type": "exec", "cmd": "ls"}, **wrong} for wrong in (
            {"colour": 1}, {"name": 3}, {"name": "a\0"}, {"timeout": -1}, {"timeout": "5"}, {"timeout": True},
            {"timeout": 1e300}, {"priority": 1.5}, {"priority": True}, {"priority": 1_000_001}, {"nice": 20},
            {"nice": "x"}, {"cwd": "relative"}, {"cwd": "/no/such/directory"}, {"cwd": ""}, {"cwd": 3}, {"env": []},
            {"env": {"A": 1}}, {"env": {"A=B": "c"}}, {"env": {"": "c"}}, {"env": {"A": "x\0"}}, {"context": ""},
            {"context": None}, {"start": 1}, {"start": "yes"}, {"id": "x"}, {"status": "done"}, {"pid": 1},
            {"owner": "x"}, {"reason": "x"},
        )),
    ],
)  # fmt: skip
def test_a_wrong_job_is_refused_and_nothing_is_stored(server_for_module: Server, body: dict[str, Any]) -> None:
    answer = server_for_module.post("/jobs", body)
    assert answer.code == 400
    assert answer.json["success"] is False
    assert answer.json["data"] == []
    assert len(answer.json["message"]) > 10
    assert "Traceback" not in answer.text
    assert server_for_module.get("/jobs").json["total"] == 0


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        (b"", {}, 400),
        (b"{", {}, 400),
        (b"[]", {}, 400),
        (b"null", {}, 400),
        (b'{"command": NaN}', {}, 400),
        (b"\xff\xfe{", {}, 400),
        (b"[" * 200_000, {}, 400),
        (b'{"a":' * 100_000, {}, 400),
        (b"cmd=ls", {"Content-Type": "application/x-www-form-urlencoded"}, 400),
        (b'{"command": {"type": "exec", "cmd": "\xff"}}', {}, 400),
        (b"x" * 10_000_000, {}, 413),
        (b"x" * 20_000_000, {}, 413),
    ],
)
def test_a_wrong_body_is_refused(server_for_module: Server, body: bytes, headers: dict[str, str], code: int) -> None:
    answer = server_for_module.post("/jobs", body, headers=headers)
    assert answer.code == code
    assert "Traceback" not in answer.text
    assert server_for_module.get("/jobs").json["total"] == 0


@pytest.mark.parametrize(
    "job_id",
    ["nope", "..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "%2e%2e%2fsecret", "%00", "a%00b" * 4, "x" * 41, "%ff%fe" * 5, "20261121-000000-000000", "config.toml", "%0d%0aSet-Cookie:x=y"],
)  # fmt: skip
@pytest.mark.parametrize("part", ["", "/status", "/log", "/out", "/err", "/files", "/files/..%2f..%2fsecret", "/stats"])
def test_an_unknown_id_is_404(server_for_module: Server, job_id: str, part: str) -> None:
    answer = server_for_module.get(f"/jobs/{job_id}{part}")
    assert answer.code == 404
    assert answer.json["success"] is False
    assert "Set-Cookie" not in answer.headers
    assert server_for_module.put(f"/jobs/{job_id}/status", "start").code == 404
    assert server_for_module.delete(f"/jobs/{job_id}").code in (404, 405)


def test_unknown_routes_and_methods_are_refused_in_the_envelope(server_for_module: Server) -> None:
    assert server_for_module.get("/nope").json["status"] == 404
    refused = server_for_module.delete("/health")
    assert refused.code == 405
    assert "GET" in refused.headers["Allow"]


def test_raw_logs_in_parts(server: Server, store: JobStore) -> None:
    job = add(server)
    content = bytes(range(256)) * 40
    Path(store.paths.out(job["id"])).write_bytes(content)
    url = f"/jobs/{job['id']}/out"
    whole = server.get(url)
    assert (whole.body, whole.headers["Content-Type"]) == (content, "text/plain; charset=utf-8")
    assert whole.headers["Accept-Ranges"] == "bytes"
    assert whole.headers["X-Next-Offset"] == str(len(content))
    for value, start, end in (("bytes=0-9", 0, 10), ("bytes=100-", 100, None), ("bytes=-5", len(content) - 5, None), ("bytes=10000-99999", 10000, None)):  # fmt: skip
        part = server.get(url, headers={"Range": value})
        assert (part.code, part.body) == (206, content[start:end])
        assert part.headers["Content-Range"] == f"bytes {start}-{(end or len(content)) - 1}/{len(content)}"
    short = server.get(url, headers={"Range": "bytes=-99999999"})  # the last of fewer bytes: all (RFC 9110, 14.1.2)
    assert (short.code, short.body) == (206, content)
    beyond = server.get(url, headers={"Range": f"bytes={len(content)}-"})
    assert (beyond.code, beyond.headers["Content-Range"]) == (416, f"bytes */{len(content)}")
    assert server.get(url, headers={"Range": "nonsense"}).body == content
    for validator in ('"stale"', "Sat, 01 Jan 2000 00:00:00 GMT"):
        changed = server.get(url, headers={"Range": "bytes=5-9", "If-Range": validator})
        assert (changed.code, changed.body, changed.headers.get("Content-Range")) == (200, content, None)
    tail = server.get(f"{url}?offset={len(content) - 3}")
    assert (tail.code, tail.body, tail.headers["X-Next-Offset"]) == (200, content[-3:], str(len(content)))
    assert server.get(f"{url}?offset=999999").body == b""
    assert server.get(f"{url}?tail=7").body == content[-7:]
    download = server.get(f"{url}?download=1")
    assert download.headers["Content-Disposition"].startswith(f'attachment; filename="{job["id"]}.out"')
    assert server.request("HEAD", url).headers["Content-Length"] == str(len(content))
    for wrong in ("offset=-1", "offset=x", "tail=1.5"):
        assert server.get(f"{url}?{wrong}").code == 400


def test_result_files_are_listed_and_sent_harmlessly(server: Server, store: JobStore, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("secret")
    lines = [
        "cd $JOB_FILES; mkdir sub; echo '<script>alert(1)</script>' > page.html; cp page.html 'sub/a b.svg'; echo t > t.txt",
        f"ln -s {tmp_path}/outside link; ln -s {tmp_path} linked; mkfifo fifo; printf '\\211PNG' > p.png",
    ]
    job = add(server, "; ".join(lines), start=True)
    wait_for_end(store, job["id"])
    listed = server.get(f"/jobs/{job['id']}/files").json["data"]
    assert sorted(entry["name"] for entry in listed) == ["p.png", "page.html", "sub/a b.svg", "t.txt"]
    assert next(entry["size"] for entry in listed if entry["name"] == "t.txt") == 2
    for name, kind in (
        ("page.html", None),
        ("sub/a%20b.svg", "image/svg+xml"),
        ("t.txt", "text/plain"),
        ("p.png", "image/png"),
    ):
        sent = server.get(f"/jobs/{job['id']}/files/{name}")
        assert sent.code == 200
        assert "sandbox" in sent.headers["Content-Security-Policy"]
        assert sent.headers["X-Content-Type-Options"] == "nosniff"
        assert sent.headers["Content-Type"].startswith(kind or "application/octet-stream")
        assert (sent.headers["Content-Disposition"] is None) == (name in ("t.txt", "p.png"))
    for name in (
        "link",
        "linked/outside",
        "fifo",
        "sub",
        "../secret",
        "..%2fsecret",
        "sub/../t.txt",
        "%2e%2e/x",
        "",
        "none",
    ):
        assert server.get(f"/jobs/{job['id']}/files/{name}").code == 404, name


def test_many_results_are_listed(server: Server, store: JobStore) -> None:
    cmd = "cd $JOB_FILES; for i in $(seq 1000 2100); do : > f$i.png; done; : > 'a\nb.txt'"
    job = wait_for_end(store, add(server, cmd, start=True)["id"])
    listed = server.get(f"/jobs/{job.id}/files").json
    assert listed["total"] == 1102


def test_a_dispatcher_that_cannot_be_started_is_no_reason_to_refuse_what_is_stored(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_processes(*_: Any, **__: Any) -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "posix_spawn", no_processes)
    client = build_app(load_settings(str(data))).test_client()
    answer = client.post("/jobs", json={"command": {"type": "exec", "cmd": "true"}, "start": True})
    assert answer.status_code == 201
    assert client.put(f"/jobs/{answer.json['data'][0]['id']}/status", data="stop").json["data"][0]["status"] == "stop"
    assert "No dispatcher could be started" in (data / "logs" / "background_jobs_errors.log").read_text()


def test_links_in_place_of_logs_are_not_followed(server: Server, store: JobStore, tmp_path: Path) -> None:
    job = add(server)
    (tmp_path / "outside").write_text("secret")
    os.unlink(store.paths.out(job["id"]))
    os.symlink(tmp_path / "outside", store.paths.out(job["id"]))
    for path in ("out", "log", "out?tail=5"):
        assert "secret" not in server.get(f"/jobs/{job['id']}/{path}").text
    page = server.get(f"/?job={job['id']}")
    assert page.code == 200
    assert "secret" not in page.text


def test_queue_status_counts_integers(server: Server, store: JobStore, launch) -> None:
    assert server.get("/jobs/status").json == {
        "status": 200,
        "data": {"waiting": 0, "working": 0, "max_threads": 4, "free_threads": 4},
    }
    wait_for_status(store, launch("exec sleep 1000").id, "active")
    assert server.get("/jobs/status").json["data"]["working"] == 1
    assert server.get("/jobs/status").json["data"]["free_threads"] == 3


def test_health_and_stats(server: Server, store: JobStore, launch) -> None:
    job = wait_for_status(store, launch("exec sleep 1000").id, "active")
    health = server.get("/health").json["data"]
    assert (health["dispatcher"], health["paused"]) == ("running", False)

    def used_now() -> dict[str, Any]:
        return server.get(f"/jobs/{job.id}/stats").json["data"][-1]

    def is_seen() -> bool:
        sample = used_now()
        return sample["processes"] == 1 and sample["rss_bytes"] > 100_000

    wait_for(is_seen, used_now)  # it is active before its command runs
    assert server.get(f"/jobs/{add(server)['id']}/stats").json["data"] == []


def with_a_long_log(store: JobStore) -> Job:
    """Store a job whose log's last lines become 24 MB of JSON."""
    job = store.create(Job(id="", status=IDLE, command={"type": "exec", "cmd": "true"}))
    Path(store.paths.out(job.id)).write_bytes(bytes(5 << 20))
    return job


def test_a_long_answer_waits_in_a_file_that_is_closed_then(
    data: Path, store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = build_app(load_settings(str(data))).test_client()
    job = with_a_long_log(store)
    with TemporaryFile() as file:
        monkeypatch.setattr("tempfile.TemporaryFile", Mock(return_value=file))
        with client.get(f"/jobs/{job.id}/log") as answer:
            assert int(answer.headers["Content-Length"]) > 6 * (4 << 20)
            assert answer.json["data"] == [{"message": "\0" * (4 << 20)}]
        assert file.closed


def test_without_room_for_a_long_answer_it_is_refused(
    local: LocalClient, store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_room = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr("tempfile.TemporaryFile", Mock(side_effect=no_room))
    long = {"type": "exec", "cmd": f"true {'x' * 3000}"}
    store.create_all([Job(id="", status=IDLE, command=long)] * 200)
    for path in (f"/jobs/{with_a_long_log(store).id}/log", "/jobs?limit=1000"):
        answer = local.get(path)
        assert (answer.code, "Make room" in answer.json["message"]) == (507, True), answer.json["message"]
    assert local.get("/jobs?limit=10").code == local.get("/").code == 200


def test_who_asks_for_long_logs_takes_no_threads_from_others(data: Path, store: JobStore) -> None:
    app = build_app(load_settings(str(data)))
    client, parts = app.test_client(), app.extensions["running_jobs"]
    job, short = with_a_long_log(store), store.create(Job(id="", status=IDLE, command={"type": "exec", "cmd": "true"}))
    with contextlib.ExitStack() as taken:
        for _ in range(LONG_ANSWERS):
            taken.enter_context(parts.long_answers)
        assert client.get(f"/jobs/{job.id}/log").status_code == 503
        assert client.get(f"/jobs/{short.id}/log").status_code == 200
    with client.get(f"/jobs/{job.id}/log") as answer:
        assert answer.status_code == 200


def test_an_unreadable_job_is_a_message_and_stays(server: Server, store: JobStore) -> None:
    job = add(server)
    Path(store.paths.json(job["id"])).write_text("{broken")
    assert server.get(f"/jobs/{job['id']}").code == 409
    assert server.delete(f"/jobs/{job['id']}").code == 409
    server.put(f"/jobs/{add(server)['id']}/status", "stop")
    assert Path(store.paths.json(job["id"])).read_text() == "{broken"


def test_jobs_written_by_hand_with_wrong_types_do_not_break_the_list(server: Server, store: JobStore) -> None:
    job = add(server)
    record = json.loads(Path(store.paths.json(job["id"])).read_text())
    for change in ({"started_at": "yesterday"}, {"usage": {"cpu_s": "x"}}, {"attempts": 3}, {"command": {"type": 5}}):
        Path(store.paths.json(job["id"])).write_text(json.dumps(record | change))
        store.note_error("nothing")
        assert server.get(f"/?job={job['id']}").code == 200
        assert server.get("/jobs").code == 200


@pytest.fixture(scope="module")
def server_for_module(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Give one server for many refusals: what they store is nothing."""
    data = tmp_path_factory.mktemp("refusals") / "data"
    data.mkdir()
    server = Server(data)
    yield server
    server.kill()
