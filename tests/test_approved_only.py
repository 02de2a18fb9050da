"""Where only approved commands run: every way around them is refused, and nothing is stored or changed.

The routes come from the application: one that changes something and is not known here fails a test.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from running_jobs import run_background_job
from running_jobs.actions import Actions
from running_jobs.errors import NotAllowed
from running_jobs.saved import SavedCommands
from running_jobs.settings import load_settings
from running_jobs.store import JobStore
from running_jobs.web.application import build_app

from .conftest import PROJECT, Listener, Server, wait_for, wait_for_end

BEFORE = 'slots = 4\ngrace_seconds = 1\npython_path = ["{code}"]\nallowed_classes = ["app_jobs.Report"]\n'
SET = '[allowed_commands.greet]\ncommand = ["echo", "hello", "{who}"]\nparameters = ["who"]\n'
WORKER = "from running_jobs import Worker\n\nclass Mine(Worker):\n    def run(self):\n        self.log('mine')\n"

SHELL = {"type": "exec", "cmd": "echo walked around"}
HTTP = {"type": "http", "url": "http://127.0.0.1:9/"}
GREET = {"type": "approved", "name": "greet", "parameters": {"who": "you"}}
METHOD = {"type": "method", "class": "app_jobs.Report", "method": "make", "params": ["a"]}
MINE = {"type": "worker", "name": "Mine", "parameters": {}}

# what each kind of job could be given to walk around the setting
AROUND: dict[str, dict[str, Any]] = {
    "callback_done": {"callback_done": SHELL}, "callback_failed": {"callback_failed": SHELL},
    "env": {"env": {"PYTHONPATH": "/tmp"}}, "cwd": {"cwd": "/tmp"}, "home": {"cwd": "~"},
}  # fmt: skip

# rules of the application that change something, by who tests them below, or as harmless with the reason
REFUSING = {
    ("POST", "/launch"), ("POST", "/jobs"), ("POST", "/jobs/add"), ("PATCH", "/jobs/<job_id>"),
    ("PUT", "/jobs/<job_id>/status"), ("POST", "/jobs/<job_id>/<any(start,stop,kill,delete,again):verb>"),
    ("POST", "/jobs/<job_id>/set"), ("PUT", "/workers/<name>"), ("DELETE", "/workers/<name>"),
    ("POST", "/workers/save"), ("POST", "/workers/<name>/delete"),
    ("POST", "/saved"), ("POST", "/saved/<saved_id>/launch"),
}  # fmt: skip
HARMLESS = {
    ("DELETE", "/jobs/<job_id>"): "runs nothing",
    ("PUT", "/jobs/<job_id>/pid"): "a number of somebody else's process, never signalled",
    ("POST", "/jobs/<job_id>/log"): "a line in a log",
    ("POST", "/jobs/<job_id>/response"): "a line in a response",
    ("POST", "/selected"): "stops, kills and deletes",
    ("POST", "/saved/<saved_id>/delete"): "forgets what was kept",
    ("POST", "/<any(pause,resume):verb>"): "starts or holds what was let in",
}


@pytest.fixture
def old(data: Path, configure: Callable[..., Actions], tmp_path: Path) -> dict[str, str]:
    """Give jobs and a worker from before the setting, as ids by what is in them; then the setting is set."""
    code = tmp_path / "code"
    code.mkdir()
    (code / "app_jobs.py").write_text("class Report:\n    def make(self, what):\n        return what\n")
    before = configure(BEFORE.format(code=code))
    (data / "workers").mkdir()
    (data / "workers" / "Mine.py").write_text(WORKER)
    made = {"shell": before.submit({"command": SHELL}).id}
    for name in ("callback_done", "callback_failed", "env", "cwd"):
        made[name] = before.submit({"command": METHOD, **AROUND[name]}).id
    made["plain"] = before.submit({"command": METHOD}).id
    configure(BEFORE.format(code=code) + SET)
    return made


@pytest.fixture
def locked(old: dict[str, str], data: Path) -> Actions:
    """Give the verbs where only approved commands run."""
    return Actions(load_settings(str(data)))


@pytest.fixture
def server(old: dict[str, str], start_server: Callable[..., Server]) -> Server:
    """Give a server where only approved commands run."""
    return start_server()


@pytest.fixture
def unchanged(old: dict[str, str], data: Path) -> Callable[[], None]:
    """Give a function that sees that jobs and workers are what they were."""

    def look() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in [*data.glob("*.json"), *data.glob("workers/*")]}

    before = look()

    def check() -> None:
        assert look() == before

    return check


def refused(answer: Any) -> None:
    """See that an answer of the API says what is forbidden and why."""
    assert (answer.code, answer.json["success"], answer.json["data"]) == (403, False, [])
    assert "allowed_commands is set" in answer.json["message"]


# --- no route is forgotten


def changing_routes(data: Path) -> set[tuple[str, str]]:
    """Return the application's rules that change something, as (method, rule)."""
    app = build_app(load_settings(str(data)))
    return {
        (method, str(rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"GET", "HEAD", "OPTIONS"}
    }


def test_every_route_that_changes_something_is_known_here(data: Path) -> None:
    known = REFUSING | set(HARMLESS)
    assert changing_routes(data) - known == set(), "test it below, or say in HARMLESS why it cannot walk around"
    assert known - changing_routes(data) == set(), "the application has no such route any more"


# --- over HTTP


@pytest.mark.parametrize("path", ["/jobs", "/jobs/add"])
def test_new_jobs_cannot_walk_around_it(server: Callable[..., Any], unchanged: Callable[[], None], path: str) -> None:
    payloads = [{"command": SHELL}, {"command": {**SHELL, "cmd": ""}}, {"command": SHELL, "executor": "local"}]
    payloads += [{"command": command, **more} for command in (GREET, METHOD, HTTP, MINE) for more in AROUND.values()]
    payloads += [{"worker": "Mine", "parameters": {}, **more} for more in AROUND.values()]
    for payload in payloads:
        for start in (False, True):
            refused(server.post(path, {**payload, "start": start}))
        if path == "/jobs/add":
            refused(server.post(path, [{"command": GREET}, payload, {"command": GREET}]))
    unchanged()


def test_jobs_from_before_are_not_changed_into_something_forbidden(
    server: Server, old: dict[str, str], unchanged: Callable[[], None]
) -> None:
    for job_id in (old["plain"], old["shell"]):
        for more in AROUND.values():
            refused(server.request("PATCH", f"/jobs/{job_id}", {"priority": 1, **more}))
        assert server.request("PATCH", f"/jobs/{job_id}", {"command": SHELL}).code == 400
        fields = {"env": "A=b", "cwd": "/tmp", "callback_done": json.dumps(SHELL), "command": "id", "cmd": "id"}
        answer = server.post_form(f"/jobs/{job_id}/set", fields)
        assert (answer.code, "said=same" in answer.headers["Location"]) == (303, True)
    unchanged()


@pytest.mark.parametrize("what", ["shell", "callback_done", "callback_failed", "env", "cwd"])
def test_jobs_from_before_do_not_start(
    server: Server, old: dict[str, str], unchanged: Callable[[], None], what: str
) -> None:
    refused(server.put(f"/jobs/{old[what]}/status", "start"))
    for verb in ("start", "again") if what != "cwd" else ("start",):
        answer = server.post_form(f"/jobs/{old[what]}/{verb}", {})
        assert answer.code == 403
        assert "allowed_commands is set" in answer.text
    unchanged()


def test_a_copy_of_a_job_runs_in_the_home_directory_not_where_the_old_one_did(
    server: Server, old: dict[str, str], store: JobStore
) -> None:
    answer = server.post_form(f"/jobs/{old['cwd']}/again", {})
    assert answer.code == 303
    [made] = set(store.ids()) - set(old.values())
    assert (store.get(made).cwd, store.get(old["cwd"]).cwd) == (os.path.expanduser("~"), "/tmp")


def test_the_launch_form_takes_no_shell_line_and_keeps_none(server: Server, unchanged: Callable[[], None]) -> None:
    for more in ({}, {"hold": "1"}, {"env": "A=b"}, {"cwd": "/tmp"}, {"callback_done": json.dumps(SHELL)}):
        for path in ("/launch", "/saved"):
            answer = server.post_form(path, {"cmd": "echo walked around", "keep_as": "shell", **more})
            assert answer.code == 403
            assert "allowed_commands is set" in answer.text
    unchanged()


def test_what_was_kept_before_is_not_launched(
    server: Server, old: dict[str, str], store: JobStore, unchanged: Callable[[], None]
) -> None:
    for more in ({"command": SHELL}, *({"command": METHOD, **more} for more in AROUND.values())):
        kept = SavedCommands(store).keep("from before", more)
        answer = server.post_form(f"/saved/{kept.id}/launch", {})
        assert (answer.code, "allowed_commands is set" in answer.text) == (403, True)
    unchanged()


def test_workers_stay_as_they_are(server: Server, unchanged: Callable[[], None]) -> None:
    for name in ("Mine", "New", "TestWorker"):
        refused(server.put(f"/workers/{name}", WORKER.replace("Mine", name)))
        refused(server.delete(f"/workers/{name}"))
        for new in ("0", "1"):
            answer = server.post_form("/workers/save", {"name": name, "code": WORKER.replace("Mine", name), "new": new})
            assert (answer.code, "allowed_commands is set" in answer.text) == (403, True)
        assert server.post_form(f"/workers/{name}/delete", {}).code == 403
    unchanged()


# --- on the command line and from Python


def test_the_command_line_does_not_walk_around_it(
    app_py: Callable[..., SimpleNamespace], old: dict[str, str], unchanged: Callable[[], None]
) -> None:
    callback = json.dumps(SHELL)
    method = ("app_jobs.Report", "make", "a")
    for args in (
        ("run", "true"), ("run", "--hold", "true"), ("run", "--wait", "--", "echo", "a"), ("run", "--env", "A=b", "true"),
        ("job:run", "--env", "A=b", *method), ("job:run", "--cwd", "/tmp", *method), ("job:run", "--cwd", ".", *method),
        ("job:run", "--callback-done", callback, *method), ("job:run", "--callback-failed", callback, *method),
        *(("again", old[what]) for what in ("shell", "callback_done", "callback_failed", "env")),
        *(("start", old[what]) for what in ("shell", "callback_done", "callback_failed", "env", "cwd")),
        *(("set", old["plain"], pair) for pair in (f"callback_done={callback}", f"callback_failed={callback}", "env=A=b", "cwd=/tmp")),
    ):  # fmt: skip
        done = app_py(*args)
        assert (done.code, done.out, done.err.count("\n")) == (1, "", 1), args
        assert "allowed_commands is set" in done.err, args
    unchanged()


def test_python_does_not_walk_around_it(
    locked: Actions, old: dict[str, str], unchanged: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for more in AROUND.values():
        with pytest.raises(NotAllowed, match="allowed_commands is set"):
            run_background_job("app_jobs.Report", "make", ["a"], **more)
        with pytest.raises(NotAllowed):
            locked.submit_all([{"command": GREET}, {"command": METHOD, **more}])
        with pytest.raises(NotAllowed):
            locked.edit(old["plain"], more)
    with pytest.raises(NotAllowed):
        locked.submit({"command": SHELL})
    unchanged()


# --- what was let in before


def test_what_was_queued_before_is_not_run_by_a_dispatcher_that_knows_the_setting(
    configure: Callable[..., Actions], store: JobStore
) -> None:
    before = configure(BEFORE.format(code="/tmp"))
    jobs = [
        before.submit({"command": SHELL, "delay": 1000, "start": True}),
        before.submit({"command": HTTP, "env": {"A": "b"}, "delay": 1000, "start": True, "callback_failed": SHELL}),
    ]
    now = configure(BEFORE.format(code="/tmp") + SET)
    now.replace_dispatcher()
    told = "only approved commands run here (allowed_commands is set), no"
    for job, what in zip(jobs, ("shell lines", "env"), strict=True):
        now.edit(job.id, {"delay": 0})
        ended = wait_for_end(store, job.id)
        assert (ended.status, ended.exit_code, ended.reason) == ("error", None, f"could not start: {told} {what}")
    [callback] = wait_for(lambda: store.get(jobs[1].id).callbacks)
    assert (callback["outcome"], callback["detail"]) == ("failed", f"{told} shell lines")


@pytest.mark.parametrize("word", ["stop", "kill", "done"])
def test_ending_a_job_from_before_makes_no_callback_that_is_a_shell_line(
    server: Server, old: dict[str, str], store: JobStore, word: str
) -> None:
    assert server.put(f"/jobs/{old['callback_done']}/status", word).code == 200
    [callback] = wait_for(lambda: store.get(old["callback_done"]).callbacks)
    assert (callback["outcome"], "allowed_commands is set" in callback["detail"]) == ("failed", True)


# --- what still runs


def test_what_was_approved_still_runs(
    server: Server, app_py: Callable[..., SimpleNamespace], store: JobStore, old: dict[str, str], listener: Listener
) -> None:
    request = {"type": "http", "url": listener.url}
    answer = server.post(
        "/jobs/add",
        [{"command": command, "callback_done": request, "env": {}, "cwd": None} for command in (GREET, MINE, METHOD, request)],
    )  # fmt: skip
    assert answer.code == 200, answer.text
    made = [*answer.json["job_ids"], server.post("/jobs", {"worker": "Mine", "start": True}).json["data"][0]["id"]]
    made.append(app_py("job:run", "app_jobs.Report", "make", "a").out.strip())
    made.append(app_py("again", old["plain"]).out.strip())
    made.append(run_background_job("app_jobs.Report", "make", ["a"]))
    assert app_py("start", old["plain"]).code == 0
    for job_id in [*made, old["plain"]]:
        job = wait_for_end(store, job_id)
        assert (job.status, job.cwd) == ("done", os.path.expanduser("~")), job
    assert Path(store.paths.out(made[0])).read_text() == "hello you\n"


def test_by_hand_only_what_is_approved_runs(old: dict[str, str]) -> None:
    def by_hand(*args: str) -> SimpleNamespace:
        done = subprocess.run(
            [sys.executable, "-m", "running_jobs.commands.approved", *args], cwd=PROJECT, capture_output=True, text=True
        )
        return SimpleNamespace(code=done.returncode, out=done.stdout, err=done.stderr)

    assert by_hand("greet", '{"who": "you"}').out == "hello you\n"
    for args in (("touch",), ("greet", '{"who": "you", "env": "a"}'), ("greet", '{"who": "-n"}')):
        done = by_hand(*args)
        assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
