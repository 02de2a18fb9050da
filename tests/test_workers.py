"""Workers over HTTP, against a real server: their routes, the life of their jobs, the code and parameters of these."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from running_jobs import looking, python_process
from running_jobs.actions import Actions
from running_jobs.errors import InvalidJob, InvalidWorker
from running_jobs.settings import load_settings
from running_jobs.store import JobStore
from running_jobs.worker_actions import WorkerActions

from .conftest import (
    PROJECT,
    Client,
    LocalClient,
    Server,
    is_gone,
    processes_of,
    wait_for,
    wait_for_end,
    wait_for_status,
)

COUNTER = """import time
from running_jobs import Worker


class {name}(Worker):
    \"\"\"Counts as TestWorker does.\"\"\"

    def run(self):
        for i in range(self.get_parameter("count", 1)):
            if not self.is_active():
                return
            self.log(f"log {{i}}")
            self.response(f"response {{i}}")
            time.sleep(self.get_parameter("sleep", 0))
"""
SAYS = "from running_jobs import Worker\n\n\nclass Says(Worker):\n    def run(self):\n        self.log({text!r})\n"
SCHEMA = """from running_jobs import Worker


class Strict(Worker):
    def run(self):
        self.log(f"{self.get_parameter('size')} {self.get_parameter('mode')} {self.get_parameter('other', 'none')}")

    def get_information(self):
        return {
            "description": "Takes what it says.",
            "parameters": [
                {"name": "file", "type": "string", "required": True, "pattern": "[a-z]+"},
                {"name": "size", "type": "integer", "default": 3, "minimum": 1, "maximum": 9},
                {"name": "ratio", "type": "number"},
                {"name": "loud", "type": "boolean"},
                {"name": "mode", "choices": ["fast", "good"], "default": "good"},
                {"name": "parts", "type": "array"},
                {"name": "more", "type": "object"},
                {"name": "other"},
            ],
        }
"""
HOLDS = """from pathlib import Path
import time
from running_jobs import Worker


class Holds(Worker):
    def run(self):
        self.log("old")
        while not Path(self.get_parameter("until")).exists():
            time.sleep(0.01)
        self.log("still old")
"""
NO_NAMES = [
    "__class__", "os.system", "App.Jobs;rm", "../x", "Foo.__init__", "Foo._private", "../../app", "/etc/passwd",
    "_Foo", "Foo ", "Foo\n", "Foo.py", "class", "None", "9Foo", "Föö", "", ".", "..", "F" * 101, "json", "os",
    "running_jobs", "TestWorker.py", "Foo\\", "Foo%00",
]  # fmt: skip
QUOTED = ["..%2Fx", "..%2F..%2Fapp", "%2e%2e%2fx", "..%252Fx", "Foo%00", "Foo%0A", "__class__", "os.system", "App.Jobs;rm",
          "Foo.__init__", "Foo._private", "../x", "../../app", "json", "%2Fetc%2Fpasswd"]  # fmt: skip


def put(server: Client, name: str, code: str) -> dict[str, Any]:
    """Store a worker and return what is answered."""
    answer = server.put(f"/workers/{name}", code)
    assert answer.code == 200, answer.text
    return answer.json["data"][0]


def create(server: Client, name: str, parameters: Any = None, **options: Any) -> str:
    """Make a worker's job and return its id."""
    answer = server.post("/jobs", {"worker": name, "parameters": parameters, **options})
    assert answer.code == 201, answer.text
    assert answer.json["data"][0]["status"] == ("queued" if options.get("start") else "idle")
    return answer.json["data"][0]["id"]


def status_of(server: Server, job_id: str) -> str:
    return server.get(f"/jobs/{job_id}/status").json["data"][0]["status"]


def messages(server: Client, job_id: str, of: str = "log") -> list[str]:
    return [entry["message"] for entry in server.get(f"/jobs/{job_id}/{of}").json["data"]]


@pytest.fixture
def server(data: Path, start_server: Callable[..., Server]) -> Server:
    """Give a running server with the grace that programs count on: the default, ten seconds."""
    (data / "config.toml").write_text("slots = 4\n")
    return start_server()


@pytest.fixture
def counter(server: Server, request: pytest.FixtureRequest) -> str:
    """Give the name of a worker that counts: the one that is built in, or one of one's own."""
    if request.param != "TestWorker":
        put(server, request.param, COUNTER.format(name=request.param))
    return request.param


both = pytest.mark.parametrize("counter", ["TestWorker", "MyCounter"], indirect=True)


# --- the sequence that programs rely on


@both
def test_workers_are_listed_and_shown(server: Server, counter: str) -> None:
    listed = server.get("/workers").json
    assert listed["total"] >= 1
    assert counter in [worker["name"] for worker in listed["data"]]
    shown = server.get(f"/workers/{counter}").json
    assert (shown["success"], shown["data"][0]["name"]) == (True, counter)
    assert "ounts" in shown["data"][0]["information"]["description"]
    code = server.get(f"/workers/{counter}/code")
    assert code.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert f"class {counter}(Worker)" in code.text


@both
def test_a_job_is_made_and_deleted(server: Server, counter: str, store: JobStore) -> None:
    answer = server.post("/jobs", {"worker": counter, "parameters": None})
    record = answer.json["data"][0]
    assert (answer.code, record["status"], record["worker"], record["parameters"]) == (201, "idle", counter, {})
    assert record["command"] == {"type": "worker", "name": counter, "parameters": {}}
    assert server.delete(f"/jobs/{record['id']}").json["success"] is True
    assert server.get(f"/jobs/{record['id']}").code == 404
    assert store.ids() == []


@both
def test_entries_are_appended_and_read_in_order(server: Server, counter: str) -> None:
    job_id = create(server, counter)
    for of in ("log", "response"):
        for entry in ("foo", "bar"):
            assert server.post(f"/jobs/{job_id}/{of}", entry, headers={"Content-Type": "text/plain"}).json["success"]
        data = server.get(f"/jobs/{job_id}/{of}").json["data"]
        assert (data[0]["message"], data[1]["message"]) == ("foo", "bar")


@both
def test_a_job_that_is_run_elsewhere_is_reported(server: Server, counter: str) -> None:
    job_id = create(server, counter)
    assert server.put(f"/jobs/{job_id}/pid", "123").json["success"]
    assert server.get(f"/jobs/{job_id}").json["data"][0]["pid"] == 123
    assert server.put(f"/jobs/{job_id}/status", "done").json["success"]
    assert status_of(server, job_id) == "done"


@both
@pytest.mark.parametrize("ends", ["by itself", "stop", "kill"])
def test_the_sequence_as_it_is_stated(server: Server, counter: str, ends: str) -> None:
    """With the very waits that programs make: these are bounds of theirs, not hopes of ours."""
    job_id = create(server, counter, {"count": 1 if ends == "by itself" else 50, "sleep": 3})
    assert server.put(f"/jobs/{job_id}/status", "start").json["success"]
    time.sleep(3)
    assert status_of(server, job_id) == "active"
    if ends == "by itself":
        time.sleep(5)
        assert status_of(server, job_id) == "done"
        assert messages(server, job_id)[1] == "log 0"
        assert messages(server, job_id, "response")[0] == "response 0"
        return
    refused = server.delete(f"/jobs/{job_id}")
    assert (refused.code, refused.json["success"]) == (409, False)
    assert server.put(f"/jobs/{job_id}/status", ends).json["success"]
    wanted, within_s = ("done", 12) if ends == "stop" else ("stop", 1)
    wait_for(lambda: status_of(server, job_id) == wanted, wanted, within_s)
    assert server.delete(f"/jobs/{job_id}").json["success"] is True


def test_a_new_worker_is_stored_run_and_deleted(server: Server) -> None:
    assert put(server, "Fresh", COUNTER.format(name="Fresh"))["name"] == "Fresh"
    assert server.get("/workers/Fresh").json["data"][0]["name"] == "Fresh"
    job_id = create(server, "Fresh")
    server.put(f"/jobs/{job_id}/status", "start")
    wait_for(lambda: status_of(server, job_id) == "done", "done", 1)
    assert messages(server, job_id) == ["STARTED", "log 0", "ENDED"]
    assert server.delete("/workers/Fresh").json["data"] == []
    gone = server.get("/workers/Fresh")
    assert (gone.code, gone.json["data"]) == (404, [])
    assert server.get("/workers/Fresh/code").code == 404


def test_two_starts_at_the_same_moment_give_one_process(server: Server, store: JobStore) -> None:
    job_ids = [create(server, "TestWorker", {"count": 2, "sleep": 0.2}) for _ in range(5)]
    barrier = threading.Barrier(10)

    def start(job_id: str) -> None:
        barrier.wait()
        assert server.put(f"/jobs/{job_id}/status", "start").json["success"]

    threads = [threading.Thread(target=start, args=(job_id,)) for job_id in job_ids * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for job_id in job_ids:
        job = wait_for_end(store, job_id)
        assert (job.status, job.attempt, len(job.attempts)) == ("done", 1, 1)
        assert messages(server, job_id) == ["STARTED", "log 0", "log 1", "ENDED"]


def test_twenty_stops_give_one_sigterm(data: Path, server: Server, store: JobStore) -> None:
    put(
        server,
        "Counts",
        "import signal, time\nfrom pathlib import Path\nfrom running_jobs import Worker\n\n\nclass Counts(Worker):\n"
        "    def run(self):\n        seen = []\n"
        "        signal.signal(signal.SIGTERM, lambda *_: seen.append(1))\n        self.log('ready')\n"
        "        while not (seen and Path(self.get_parameter('until')).exists()):\n            time.sleep(0.01)\n"
        "        self.log(f'{len(seen)} seen')\n",
    )
    until = data.parent / "until"
    job_id = create(server, "Counts", {"until": str(until)}, start=True)
    wait_for(lambda: "ready" in messages(server, job_id))
    stops = [threading.Thread(target=server.put, args=(f"/jobs/{job_id}/status", "stop")) for _ in range(20)]
    for stop in stops:
        stop.start()
    for stop in stops:
        stop.join()
    until.touch()
    assert wait_for_end(store, job_id).status == "done"
    assert messages(server, job_id) == ["STARTED", "ready", "1 seen", "ENDED"]


# --- jobs of workers through the other routes


def test_workers_are_queued_one_and_many(server: Server, store: JobStore) -> None:
    added = server.post("/jobs/add", {"worker": "TestWorker", "parameters": {"count": 1}, "priority": 900})
    assert (added.code, added.json["status"], added.json["data"][0]["worker"]) == (200, "OK", "TestWorker")
    many = server.post(
        "/jobs/add",
        [
            {"worker": "TestWorker"},
            {"command": {"type": "worker", "name": "TestWorker", "parameters": {"count": 2}}},
            {"command": {"type": "exec", "cmd": "true"}},
        ],
    ).json
    for job_id in (added.json["job_id"], *many["job_ids"]):
        assert wait_for_end(store, job_id).status == "done"
    assert messages(server, many["job_ids"][1])[-2] == "log 1"
    wrong = server.post("/jobs/add", [{"worker": "TestWorker"}, {"worker": "TestWorker", "parameters": {"count": -1}}])
    assert wrong.code == 400
    assert len(store.ids()) == 4


@pytest.mark.parametrize(
    "body",
    [
        {"worker": "TestWorker", "command": {"type": "exec", "cmd": "true"}},
        {"worker": "TestWorker", "command": {"type": "worker", "name": "TestWorker"}},
        {"parameters": {}}, {"worker": 5}, {"worker": None}, {"worker": ["TestWorker"]}, {"worker": "Gone"},
        {"command": {"type": "exec", "cmd": "true"}, "parameters": {}},
        {"command": {"type": "worker"}}, {"command": {"type": "worker", "name": "TestWorker", "code": "x"}},
        {"worker": "TestWorker", "parameters": []}, {"worker": "TestWorker", "parameters": "x"},
        {"worker": "TestWorker", "parameters": False},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_job_of_a_worker_is_refused(local: LocalClient, store: JobStore, body: dict[str, Any]) -> None:
    for route in ("/jobs", "/jobs/add"):
        assert local.post(route, body).code == 400
    assert store.ids() == []


def test_options_of_a_waiting_job_are_changed_and_its_worker_is_not(server: Server) -> None:
    job_id = create(server, "TestWorker", {"count": 1}, delay=1000, start=True)
    changed = server.request("PATCH", f"/jobs/{job_id}", {"priority": 900, "name": "counts"}).json["data"][0]
    assert (changed["priority"], changed["name"], changed["worker"]) == (900, "counts", "TestWorker")
    for body in ({"worker": "Other"}, {"parameters": {}}, {"command": {"type": "worker", "name": "Other"}}):
        assert server.request("PATCH", f"/jobs/{job_id}", body).code == 400


def test_a_viewer_changes_no_worker(data: Path, start_server: Callable[..., Server], store: JobStore) -> None:
    from werkzeug.security import generate_password_hash

    (data / "config.toml").write_text(
        f'[users.eve]\nhash = "{generate_password_hash("pw")}"\nrole = "viewer"\n'
        f'[users.bob]\nhash = "{generate_password_hash("pw")}"\nrole = "operator"\n'
    )
    server = start_server()
    code = COUNTER.format(name="Mine")
    for client in ({}, {"auth": "eve:pw"}):
        assert server.put("/workers/Mine", code, **client).code == (403 if client else 401)
        assert server.delete("/workers/TestWorker", **client).code == (403 if client else 401)
    assert server.get("/workers", auth="eve:pw").json["data"][0]["name"] == "TestWorker"
    assert server.put("/workers/Mine", code, auth="bob:pw").code == 200
    assert server.put("/workers/Mine", code, auth="bob:pw", headers={"Origin": "http://evil.example"}).code == 403


def test_workers_are_not_changed_where_only_approved_commands_run(data: Path, start_server, store: JobStore) -> None:
    (data / "config.toml").write_text('[allowed_commands.greet]\ncommand = ["echo", "hello"]\n')
    server = start_server()
    assert server.put("/workers/Mine", COUNTER.format(name="Mine")).code == 403
    assert server.delete("/workers/Mine").code == 403
    assert wait_for_end(store, create(server, "TestWorker", start=True)).status == "done"


# --- names


@pytest.fixture
def laid_out(data: Path) -> Path:
    """Give workers/ with things in it that are no workers, each of which would work if it were taken for one."""
    folder = data / "workers"
    (folder / "Folder.py").mkdir(parents=True)
    (data.parent / "outside.py").write_text(COUNTER.format(name="Link"))
    (folder / "Link.py").symlink_to(data.parent / "outside.py")
    os.mkfifo(folder / "Fifo.py")
    for name in ("json", "_Foo", "class", "Foo.x", "x y"):
        (folder / f"{name}.py").write_text(COUNTER.format(name="Link"))
    (data.parent / "x.py").write_text(COUNTER.format(name="x"))
    (data / "app.py").write_text(COUNTER.format(name="app"))
    return folder


LAID = ["Link", "Fifo", "Folder"]


def test_the_api_takes_no_other_names(server: Server, store: JobStore, laid_out: Path) -> None:
    before = sorted(laid_out.iterdir())
    assert [worker["name"] for worker in server.get("/workers").json["data"]] == ["TestWorker"]
    for name in [*NO_NAMES, *LAID]:
        for body in ({"worker": name}, {"command": {"type": "worker", "name": name}, "start": True}):
            assert server.post("/jobs", body).code == 400, name
    for quoted in [*QUOTED, *LAID]:
        assert server.get(f"/workers/{quoted}").code in (400, 404), quoted
        assert server.get(f"/workers/{quoted}/code").code in (400, 404), quoted
        assert server.delete(f"/workers/{quoted}").code in (400, 404, 405), quoted
    for quoted in [*QUOTED, "Folder"]:
        code = COUNTER.format(name="Foo" if quoted in QUOTED else quoted)
        assert server.put(f"/workers/{quoted}", code).code in (400, 404, 405, 507), quoted
    assert sorted(laid_out.iterdir()) == before
    assert store.ids() == []


def test_what_was_laid_in_the_place_of_a_worker_is_replaced(server: Server, data: Path, laid_out: Path) -> None:
    put(server, "Link", COUNTER.format(name="Link") + "# new\n")
    assert not (laid_out / "Link.py").is_symlink()
    assert "# new" not in (data.parent / "outside.py").read_text()


@pytest.mark.parametrize("name", [name for name in [*NO_NAMES, *LAID] if "\0" not in name], ids=repr)
def test_the_command_line_and_the_foreground_take_no_other_names(
    app_here, store: JobStore, laid_out: Path, name: str
) -> None:
    before = sorted(laid_out.iterdir())
    queued = app_here("worker", "--", name)
    assert (queued.code, queued.out, queued.err.count("\n")) == (1, "", 1), queued.err
    for args, text in (
        (("show", "--", name), None),
        (("delete", "--", name), None),
        (("edit", "--", name, "-"), "x=1\n"),
    ):
        done = app_here("workers", *args, text=text)
        assert (done.code, done.out, done.err.count("\n")) == (1, "", 1), done.err
    by_hand = subprocess.run(
        [sys.executable, "-m", "running_jobs.commands.worker", name], cwd=PROJECT, capture_output=True, text=True
    )
    assert by_hand.returncode == 1
    assert "does not exist" in by_hand.stderr
    assert "STARTED" not in by_hand.stdout
    if name not in LAID:
        added = app_here("workers", "add", "--", name, text=COUNTER.format(name="Foo"))
        assert (added.code, added.out) == (1, "")
    assert sorted(laid_out.iterdir()) == before
    assert store.ids() == []


# --- saving and deleting


@pytest.mark.parametrize(
    ("code", "line", "column", "said"),
    [
        ("class Foo(Worker):\n    def run(self)\n        pass\n", 2, 18, "expected ':'"),
        ("x = 1\nreturn 5\n", 2, 1, "'return' outside function"),
        ("def f():\n\tx\n        y\n", 3, None, "tab"),
        ("", 1, 1, "has no class Foo"),
        ("class Bar: pass\n", 1, 1, "has no class Foo"),
        ("\nclass Foo:\n    def run(self): pass\n", 2, 1, "is not derived from Worker"),
        ("Foo = 5\n", 1, 1, "has no class Foo"),
        ("from running_jobs import Worker as Foo\n", 1, 1, "is not derived from Worker"),
        ("raise ValueError('no\\nway')\n", 1, 1, "raises ValueError: no way"),
        ("x\0y\n", 1, None, "null byte"),
        ("(" * 10_000, 1, None, "parenthes"),
        (b"# one\n#  \xff\n", None, None, "not UTF-8"),
        ("import os\nos._exit(3)\nclass Foo: pass\n", None, None, "ended with exit code 3"),
    ],
    ids=range(13),
)
def test_code_that_is_no_worker_is_refused_where_it_is_wrong(
    local: LocalClient, data: Path, code: str | bytes, line: int | None, column: int | None, said: str
) -> None:
    answer = local.request("PUT", "/workers/Foo", code)
    assert (answer.code, answer.json["success"]) == (400, False)
    message = answer.json["message"]
    assert said in message
    if line is not None:
        assert message.startswith(f"line {line}, column {'' if column is None else f'{column}: '}"), message
    assert not (data / "workers" / "Foo.py").exists()
    assert not list((data / "workers").glob("*")) if (data / "workers").exists() else True


def test_what_is_too_large_is_refused_and_told(server: Server, data: Path) -> None:
    assert "at most 1048576" in server.put("/workers/Foo", "#" * (1 << 20) + "\n").json["message"]
    (data / "workers").mkdir(exist_ok=True)
    (data / "workers" / "Foo.py").write_text("#" * (1 << 20) + "\n" + COUNTER.format(name="Foo"))
    for answer in (
        server.get("/workers/Foo"),
        server.get("/workers/Foo/code"),
        server.post("/jobs", {"worker": "Foo"}),
    ):
        assert answer.code == 400
        assert "more than 1048576 bytes" in answer.json["message"]
    assert server.delete("/workers/Foo").code == 200
    put(server, "Foo", COUNTER.format(name="Foo"))


def test_a_worker_that_is_built_in_stays(server: Server, data: Path) -> None:
    (data / "workers").mkdir(exist_ok=True)
    (data / "workers" / "TestWorker.py").write_text("not Python at all")
    for answer in (
        server.put("/workers/TestWorker", COUNTER.format(name="TestWorker")),
        server.delete("/workers/TestWorker"),
    ):
        assert answer.code == 409
        assert "comes with the application" in answer.json["message"]
    assert [worker["name"] for worker in server.get("/workers").json["data"]] == ["TestWorker"]
    assert "class TestWorker" in server.get("/workers/TestWorker/code").text


def test_line_ends_are_kept_plain_and_files_private(server: Server, data: Path) -> None:
    put(server, "Foo", COUNTER.format(name="Foo").replace("\n", "\r\n"))
    path = data / "workers" / "Foo.py"
    assert path.read_bytes() == COUNTER.format(name="Foo").encode()
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert os.listdir(path.parent) == ["Foo.py"]


def test_it_is_not_deleted_while_its_jobs_are_queued_or_active(server: Server, data: Path, store: JobStore) -> None:
    until = data.parent / "until"
    put(server, "Holds", HOLDS)
    idle = create(server, "Holds", {"until": str(until)})
    queued = create(server, "Holds", {"until": str(until)}, start=True, delay=1000)
    active = create(server, "Holds", {"until": str(until)}, start=True)
    wait_for_status(store, active, "active")
    for job_id, verb in ((queued, "stop"), (active, "kill")):
        refused = server.delete("/workers/Holds")
        assert (refused.code, refused.json["success"]) == (409, False)
        assert job_id in refused.json["message"]
        server.put(f"/jobs/{job_id}/status", verb)
        wait_for_end(store, job_id)
    assert server.delete("/workers/Holds").code == 200
    started = server.put(f"/jobs/{idle}/status", "start")
    assert (started.code, status_of(server, idle)) == (400, "idle")
    assert server.delete("/workers/Holds").code == 404


# --- which code a job runs


def test_a_running_job_keeps_its_code(server: Server, data: Path, store: JobStore) -> None:
    until = data.parent / "until"
    put(server, "Holds", HOLDS)
    job_id = create(server, "Holds", {"until": str(until)}, start=True)
    wait_for(lambda: "old" in messages(server, job_id))
    put(server, "Holds", HOLDS.replace('old")', 'new")'))
    until.touch()
    assert wait_for_end(store, job_id).status == "done"
    assert messages(server, job_id) == ["STARTED", "old", "still old", "ENDED"]
    again = server.post_form(f"/jobs/{job_id}/again", {})
    assert again.code == 303
    copy = wait_for_end(store, max(store.ids()))
    assert messages(server, copy.id) == ["STARTED", "new", "still new", "ENDED"]


@pytest.mark.parametrize("change", ["saved anew", "deleted by hand"])
def test_a_queued_job_runs_the_code_of_when_it_was_queued(
    server: Server, data: Path, store: JobStore, change: str
) -> None:
    put(server, "Says", SAYS.format(text="first"))
    held = create(server, "Says")
    put(server, "Says", SAYS.format(text="second"))
    server.post_form("/pause", {})
    delayed = create(server, "Says", start=True, delay=0.05)
    server.put(f"/jobs/{held}/status", "start")
    if change == "saved anew":
        put(server, "Says", SAYS.format(text="third"))
    else:
        (data / "workers" / "Says.py").unlink()
    server.post_form("/resume", {})
    for job_id in (held, delayed):
        assert wait_for_end(store, job_id).status == "done"
        assert messages(server, job_id) == ["STARTED", "second", "ENDED"]
        assert Path(store.paths.code(job_id)).read_text() == SAYS.format(text="second")
        assert Path(store.paths.code(job_id)).stat().st_mode & 0o777 == 0o600
        assert server.delete(f"/jobs/{job_id}").code == 200
    assert not list(data.glob("2*"))
    if change == "saved anew":
        assert messages(server, wait_for_end(store, create(server, "Says", start=True)).id)[1] == "third"
    else:
        assert server.post("/jobs", {"worker": "Says"}).code == 400


def test_a_retry_runs_the_same_code(server: Server, store: JobStore) -> None:
    code = SAYS.format(text="first") + "        raise ValueError('again')\n"
    put(server, "Says", code)
    job_id = create(server, "Says", start=True, retries=1, retry_delay=1000)
    wait_for(lambda: store.get(job_id).attempt == 1 and store.get(job_id).status == "queued")
    put(server, "Says", SAYS.format(text="second"))
    assert server.delete("/workers/Says").code == 409
    assert server.request("PATCH", f"/jobs/{job_id}", {"delay": 0}).code == 200
    assert wait_for_end(store, job_id).status == "error"
    assert messages(server, job_id).count("first") == 2
    assert "second" not in messages(server, job_id)


def test_again_of_a_worker_that_is_gone_is_refused(server: Server, app_py, store: JobStore) -> None:
    put(server, "Says", SAYS.format(text="first"))
    job_id = wait_for_end(store, create(server, "Says", start=True)).id
    server.delete("/workers/Says")
    done = app_py("again", job_id)
    assert (done.code, done.err) == (1, "Error: worker: Worker Says does not exist. Look at the list of workers.\n")
    assert store.ids() == [job_id]


# --- parameters


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        (None, "parameters.file: is missing"),
        ({}, "parameters.file: is missing"),
        ({"file": None}, "parameters.file: expected a text"),
        ({"file": 5}, "parameters.file: expected a text, found 5"),
        ({"file": "A"}, "parameters.file: expected a text that fits [a-z]+ as a whole"),
        ({"file": "a\n"}, "parameters.file: expected a text that fits"),
        ({"file": "a", "size": "3"}, "parameters.size: expected a whole number, found a text"),
        ({"file": "a", "size": 3.0}, "parameters.size: expected a whole number"),
        ({"file": "a", "size": True}, "parameters.size: expected a whole number"),
        ({"file": "a", "size": 0}, "parameters.size: expected at least 1, found 0"),
        ({"file": "a", "size": 10}, "parameters.size: expected at most 9, found 10"),
        ({"file": "a", "ratio": "0.5"}, "parameters.ratio: expected a number"),
        ({"file": "a", "loud": 1}, "parameters.loud: expected true or false"),
        ({"file": "a", "mode": "bad"}, 'parameters.mode: expected one of "fast", "good"'),
        ({"file": "a", "parts": {}}, "parameters.parts: expected a list"),
        ({"file": "a", "more": []}, "parameters.more: expected an object"),
        ({"file": "a", "unknown": 1}, "parameters.unknown: is not declared; declared are file"),
        ({"file": "a", "": 1}, "is not declared"),
    ],
    ids=range(18),
)
def test_parameters_are_checked_before_anything_is_stored(
    data: Path, store: JobStore, parameters: Any, said: str, local: LocalClient
) -> None:
    (data / "workers").mkdir()
    (data / "workers" / "Strict.py").write_text(SCHEMA)
    command = {"type": "worker", "name": "Strict", "parameters": parameters}
    for route, body in (
        ("/jobs", {"worker": "Strict", "parameters": parameters}),
        ("/jobs/add", {"worker": "Strict", "parameters": parameters}),
        ("/jobs/add", [{"worker": "TestWorker"}, {"command": command}]),
    ):
        answer = local.post(route, body)
        assert answer.code == 400
        assert said in answer.json["message"]
    assert store.ids() == []


def test_defaults_reach_the_worker(server: Server, store: JobStore) -> None:
    put(server, "Strict", SCHEMA)
    for parameters, said in (
        ({"file": "a"}, "3 good none"),
        ({"file": "a", "size": None, "other": None}, "3 good None"),
        ({"file": "a", "size": 9, "mode": "fast", "ratio": 1, "loud": False, "other": [1]}, "9 fast [1]"),
    ):
        job_id = create(server, "Strict", parameters, start=True)
        assert wait_for_end(store, job_id).status == "done"
        assert messages(server, job_id) == ["STARTED", said, "ENDED"]
        assert server.get(f"/jobs/{job_id}").json["data"][0]["parameters"] == parameters


def test_without_a_schema_anything_is_taken(server: Server, store: JobStore) -> None:
    put(
        server,
        "Free",
        "from running_jobs import Worker\n\n\nclass Free(Worker):\n    def run(self):\n"
        "        self.response(self.parameters)\n",
    )
    given = {"a b": [1, None, {"c": "ä"}], "": 1.5, "self": "x"}
    job_id = create(server, "Free", given, start=True)
    assert wait_for_end(store, job_id).status == "done"
    assert messages(server, job_id, "response") == ['{"a b": [1, null, {"c": "ä"}], "": 1.5, "self": "x"}']


NONSENSE = {
    "raises": "raise ValueError('no information')",
    "a number": "return 5",
    "nothing": "return None",
    "a list": "return [1, 2]",
    "parameters are a text": "return {'parameters': 'x'}",
    "a type of no kind": "return {'parameters': [{'name': 'a', 'type': 'nonsense'}]}",
    "a name of no kind": "return {'parameters': [{'name': 5}]}",
    "twice the same": "return {'parameters': ['a', 'a']}",
    "a default that does not fit": "return {'parameters': [{'name': 'a', 'type': 'integer', 'default': 'x'}]}",
    "no number": "return {'description': float('nan')}",
    "a circle": "x = {}\n        x['x'] = x\n        return x",
    "leaves": "raise SystemExit(0)",
}


@pytest.mark.parametrize("body", NONSENSE.values(), ids=NONSENSE)
def test_a_worker_that_says_nonsense_of_itself_is_told_and_runs(local: LocalClient, store: JobStore, body: str) -> None:
    code = SAYS.format(text="ran") + f"\n    def get_information(self):\n        {body}\n"
    assert "problem" in put(local, "Says", code)
    listed = {worker["name"]: worker for worker in local.get("/workers").json["data"]}
    assert listed["Says"]["problem"]
    assert "problem" not in listed["TestWorker"]
    job_id = create(local, "Says", {"a": "b"}, start=True)
    job = wait_for_end(store, job_id)
    assert (job.status, messages(local, job_id)) == ("done", ["STARTED", "ran", "ENDED"])


# --- looking into workers


def describe(data: Path, name: str) -> dict[str, Any]:
    return WorkerActions(load_settings(str(data)), JobStore(str(data))).show(name)


def test_a_worker_is_imported_once_for_each_change(data: Path, server: Server, store: JobStore) -> None:
    noted = data.parent / "imported"
    head = f"with open({str(noted)!r}, 'a') as file:\n    file.write('x')\n"
    put(server, "Says", head + SAYS.format(text="ran"))
    assert noted.read_text() == "x"
    for _ in range(3):
        server.get("/workers")
        server.get("/workers/Says")
        create(server, "Says")
    assert noted.read_text() == "x"
    put(server, "Says", head + SAYS.format(text="ran again"))
    server.get("/workers/Says")
    assert noted.read_text() == "xx"
    (data / "workers" / "Says.py").write_text(head + SAYS.format(text="ran once more"))
    for _ in range(2):
        create(server, "Says")
        server.get("/workers")
    assert noted.read_text() == "xxx"
    job_id = create(server, "Says", start=True)
    assert wait_for_end(store, job_id).status == "done"
    assert noted.read_text() == "xxxx"


def test_what_a_worker_imports_from_beside_it_counts_as_its_own(data: Path, server: Server) -> None:
    (data / "workers").mkdir()
    beside = data / "workers" / "modes_of_mine.py"
    beside.write_text("MODES = ['fast']\n")
    put(
        server,
        "Says",
        SAYS.format(text="ran").replace("\n\n", "\nfrom modes_of_mine import MODES\n\n", 1)
        + "\n    def get_information(self):\n        return {'parameters': [{'name': 'mode', 'choices': MODES}]}\n",
    )
    assert server.post("/jobs", {"worker": "Says", "parameters": {"mode": "slow"}}).code == 400
    beside.write_text("MODES = ['fast', 'slow']\n")
    assert server.post("/jobs", {"worker": "Says", "parameters": {"mode": "slow"}}).code == 201


def test_parameters_are_checked_by_what_is_declared_at_the_start(server: Server) -> None:
    put(server, "Strict", SCHEMA)
    job_id = create(server, "Strict", {"file": "a", "size": 9})
    put(server, "Strict", SCHEMA.replace('"maximum": 9', '"maximum": 5'))
    refused = server.put(f"/jobs/{job_id}/status", "start")
    assert (refused.code, status_of(server, job_id)) == (400, "idle")
    assert "expected at most 5" in refused.json["message"]


def test_a_problem_is_looked_at_again(data: Path, server: Server) -> None:
    code = "import comes_later\n" + SAYS.format(text="ran")
    assert "comes_later" in put(server, "Says", code)["problem"]
    assert "comes_later" in server.get("/workers/Says").json["data"][0]["problem"]
    (data / "workers" / "comes_later.py").write_text("")
    assert "problem" not in server.get("/workers/Says").json["data"][0]


def test_one_that_hangs_when_it_is_imported_holds_up_nobody_twice(
    data: Path, actions: Actions, store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = data.parent / "imported"
    monkeypatch.setattr(python_process, "LOOK_UP_S", 0.3)
    store.prepare()
    (data / "workers").mkdir()
    path = data / "workers" / "Says.py"
    head = f"import os, time\nopen({str(noted)!r}, 'a').write('x')\n"
    path.write_text(f"{head}if 'JOB_ID' not in os.environ: time.sleep(1000)\n{SAYS.format(text='ran')}")
    for _ in range(3):
        assert describe(data, "Says")["problem"] == "importing and asking it took more than 0.3 s"
    job = actions.submit({"command": {"type": "worker", "name": "Says", "parameters": {"a": 1}}, "start": True})
    assert wait_for_end(store, job.id).status == "done"
    assert len(noted.read_text()) <= 2
    workers = WorkerActions(load_settings(str(data)), store)
    with pytest.raises(InvalidWorker, match="has no class Other"):
        workers.save("Other", path.read_text())
    assert "took more than" in workers.save("Other", path.read_text().replace("class Says", "class Other"))["problem"]
    monkeypatch.setattr(looking, "SLOW_FOR_S", 0.0)
    before = len(noted.read_text())
    monkeypatch.setattr(python_process, "LOOK_UP_S", 60.0)
    path.write_text(head + SAYS.format(text="mended"))
    assert describe(data, "Says")["information"]["parameters"] == []
    assert len(noted.read_text()) == before + 1
    assert processes_of(data) == []


def test_what_an_import_prints_and_breaks_stays_with_it(server: Server) -> None:
    head = "import sys, os\nprint('x' * 100000)\nsys.stderr.write('y' * 100000)\nos.chdir('/')\nsys.stdout.close()\n"
    assert "problem" not in put(server, "Says", head + SAYS.format(text="ran"))
    assert server.get("/workers").json["total"] == 2


def test_a_list_misses_none_while_others_are_written(data: Path, store: JobStore) -> None:
    verbs = WorkerActions(load_settings(str(data)), store)
    store.prepare()
    for number in range(20):
        verbs.workers.write(f"W{number}", b"", False)
    is_over = threading.Event()

    def write() -> None:
        while not is_over.is_set():
            verbs.workers.write("Busy", b"", False)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(300):
            assert len([name for name in verbs.workers.names() if name.startswith("W")]) == 20
    finally:
        is_over.set()
        thread.join()


def test_the_server_imports_no_worker(server: Server, data: Path) -> None:
    noted = data.parent / "pids"
    head = f"import os\nwith open({str(noted)!r}, 'a') as file:\n    file.write(f'{{os.getpid()}} ')\n"
    put(server, "Says", head + SAYS.format(text="ran"))
    server.get("/workers/Says")
    assert str(server.process.pid) not in noted.read_text().split()


HANGS = "import os, time\nif 'JOB_ID' not in os.environ: time.sleep(1000)\n"


def test_many_imports_that_hang_leave_the_server_answering(
    data: Path, start_server: Callable[..., Server], server: Server
) -> None:
    """More than there are threads, each for an import of its own."""
    codes: list[int] = []
    code = HANGS + SAYS.format(text="x").replace("Says", "Slow")

    def save() -> None:
        with contextlib.suppress(OSError):  # the server is gone before those who may wait are answered
            codes.append(server.put("/workers/Slow", code).code)

    for _ in range(24):
        threading.Thread(target=save, daemon=True).start()
    wait_for(lambda: codes.count(503) >= 24 - looking.MAX_WAITING, lambda: f"those who may not wait: {codes}")
    assert server.get("/health").code == 200
    assert set(codes) == {503}
    looks = [child for child in psutil.Process(server.process.pid).children() if "look" in child.cmdline()]
    assert 0 < len(looks) <= looking.AT_ONCE
    server.kill()
    wait_for(lambda: all(is_gone(look) for look in looks), "the imports to end with the server")


def test_one_import_serves_all_who_ask_at_once(data: Path, actions: Actions, store: JobStore) -> None:
    noted, go = data.parent / "imported", data.parent / "go"
    store.prepare()
    (data / "workers").mkdir()
    (data / "workers" / "Says.py").write_text(
        f"import os, time\nopen({str(noted)!r}, 'a').write('x')\n"
        f"while not os.path.exists({str(go)!r}): time.sleep(0.01)\n" + SAYS.format(text="ran")
    )
    command = {"type": "worker", "name": "Says", "parameters": {}}
    threads = [threading.Thread(target=lambda: actions.submit({"command": command})) for _ in range(6)]
    for thread in threads:
        thread.start()
    wait_for(lambda: noted.exists() and noted.read_text())
    go.touch()
    for thread in threads:
        thread.join(20)
    assert (len(store.ids()), noted.read_text()) == (6, "x")


def test_workers_that_hang_do_not_hide_the_others(server: Server, data: Path) -> None:
    assert server.get("/workers/TestWorker").json["data"][0]["information"]
    (data / "workers").mkdir(exist_ok=True)
    for number in range(looking.AT_ONCE + 1):
        (data / "workers" / f"Slow{number}.py").write_text(HANGS)
    page = server.get("/?run=worker").text
    assert "Counts, and sleeps" in page and "still being imported" in page
    assert 'name="param.count"' in server.get("/?run=worker&of=TestWorker").text
    assert server.post_form("/launch", {"worker": "TestWorker", "param.count": "0"}).code == 303


def test_parameters_are_checked_by_the_code_that_the_job_keeps(
    data: Path, actions: Actions, store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A save that comes between reading the code and looking at its schema is noticed."""
    store.prepare()
    (data / "workers").mkdir()
    path = data / "workers" / "Strict.py"
    path.write_text(SCHEMA)
    look = looking.describe_worker

    def saved_meanwhile(*args: Any) -> dict[str, Any]:
        monkeypatch.setattr(looking, "describe_worker", look)
        found = look(*args)
        path.write_text(SCHEMA.replace('"name": "file"', '"name": "picture"'))
        return found

    monkeypatch.setattr(looking, "describe_worker", saved_meanwhile)
    with pytest.raises(InvalidJob, match=r"parameters\.file: is not declared"):
        actions.submit({"command": {"type": "worker", "name": "Strict", "parameters": {"file": "a"}}, "start": True})
    assert store.ids() == []


def test_a_schema_from_a_library_of_ones_own_is_read_anew_when_that_changes(data: Path) -> None:
    folder = data.parent / "lib"
    folder.mkdir()
    (data / "config.toml").write_text(f'python_path = ["{folder}"]\n')
    (folder / "my_schema.py").write_text("SCHEMA = [{'name': 'a'}]\n")
    JobStore(str(data)).prepare()
    (data / "workers").mkdir()
    (data / "workers" / "Says.py").write_text(
        "import my_schema\n" + SAYS.format(text="x") + "    def get_information(self):\n"
        "        return {'parameters': my_schema.SCHEMA}\n"
    )
    assert describe(data, "Says")["information"]["parameters"] == [{"name": "a"}]
    (folder / "my_schema.py").write_text("SCHEMA = [{'name': 'another'}]\n")
    assert describe(data, "Says")["information"]["parameters"] == [{"name": "another"}]


@pytest.mark.parametrize(
    ("says", "problem"),
    [
        ("{'description': 'bad \\ud800 text'}", None), ("[[]] * 5", "expected an object"),
        ("{'parameters': [{'name': 'a', 'default': float('inf')}]}", "it does not say what it is"),
        ("{'description': 'x' * 5_000_000}", "it does not say what it is"),
        ("{'deep': eval('[' * 150 + ']' * 150)}", "it does not say what it is"),
    ],
)  # fmt: skip
def test_whatever_a_worker_says_of_itself_it_is_listed(
    server: Server, data: Path, says: str, problem: str | None
) -> None:
    (data / "workers").mkdir(exist_ok=True)
    (data / "workers" / "Says.py").write_text(
        SAYS.format(text="x") + f"    def get_information(self):\n        return {says}\n"
    )
    [found] = server.get("/workers/Says").json["data"]
    assert (problem or "") in found.get("problem", "") and bool(problem) == ("problem" in found)
    for path in ("/workers", "/?run=worker", "/?run=worker&of=Says&code=Says"):
        assert server.get(path).code == 200


def test_code_in_another_encoding_is_shown_as_it_is_and_not_spoiled(server: Server, data: Path) -> None:
    (data / "workers").mkdir(exist_ok=True)
    path = data / "workers" / "Says.py"
    code = "# -*- coding: latin-1 -*-\n" + SAYS.format(text="grün")
    path.write_bytes(code.encode("latin-1"))
    assert server.get("/workers/Says/code").text == code
    for sent in (code, code.encode("latin-1")):
        answer = server.put("/workers/Says", sent)
        assert answer.code == 400
        assert answer.json["message"].startswith("line ")
    assert path.read_bytes() == code.encode("latin-1")
    path.write_bytes(b"# -*- coding: rot13 -*-\n")
    assert server.get("/workers/Says/code").code == 400


def test_a_name_of_an_installed_module_is_refused(server: Server, data: Path) -> None:
    answer = server.put("/workers/flask", SAYS.format(text="x").replace("Says", "flask"))
    assert answer.code == 400
    assert "flask is the name of a module that is installed" in answer.json["message"]


def test_null_takes_the_default_of_what_is_required(server: Server) -> None:
    put(server, "Strict", SCHEMA.replace('"default": 3,', '"default": 3, "required": True,'))
    job_id = create(server, "Strict", {"file": "a", "size": None}, start=True)
    wait_for(lambda: status_of(server, job_id) == "done")
    assert messages(server, job_id)[1] == "3 good none"


def test_saving_what_is_there_already_is_no_conflict(data: Path) -> None:
    workers = WorkerActions(load_settings(str(data)), JobStore(str(data)))
    code = SAYS.format(text="x")
    for _ in range(2):
        workers.save("Says", code, is_new=True)
        workers.save("Says", code, was="what it was before")
