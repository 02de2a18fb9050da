"""Secrets: passwords, hashes, tokens, values of env, credentials in headers. Where each may be, and that it is nowhere else."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from werkzeug.security import generate_password_hash

from running_jobs.store import JobStore

from ..conftest import (
    Server,
    dispatcher_of,
    free_port,
    processes_of,
    runners_of,
    wait_for,
    wait_for_end,
    wait_for_status,
)
from .house import CHEAP, House

PASSWORD, ENV, HEADER, CALLBACK, SETTING = (f"{name}-geheim-{number}" for number, name in enumerate(
    ("password", "env", "header", "callback", "setting")))  # fmt: skip
HASH = generate_password_hash("viewer-geheim", CHEAP)


@pytest.fixture
def told(data: Path, start_server: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> Server:
    """Give a server that has been told secrets in every way there is."""
    (data / "config.toml").write_text(
        f'slots = 4\ngrace_seconds = 1\nuser = "olga"\npassword = "{PASSWORD}"\n[users.vera]\nhash = "{HASH}"\nrole = "viewer"\n'
    )
    monkeypatch.setenv("SECRET_OF_WHO_STARTED_IT", SETTING)
    return start_server()


def submit(server: Server, command: dict[str, Any], **options: Any) -> str:
    answer = server.post("/jobs", {"command": command, "start": True, **options}, auth=f"olga:{PASSWORD}")
    assert answer.code == 201, answer.text
    return str(answer.json["data"][0]["id"])


def read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""


def test_secrets_are_in_no_command_line_environment_log_or_answer(told: Server, data: Path, store: JobStore) -> None:
    closed = f"http://127.0.0.1:{free_port()}/"
    request = {
        "type": "http",
        "url": closed,
        "method": "POST",
        "headers": {"Authorization": f"Bearer {HEADER}", "Cookie": HEADER},
        "timeout": 5,
    }
    callback = {**request, "headers": {"Authorization": f"Bearer {CALLBACK}"}}
    gate = data.parent / "gate"
    os.mkfifo(gate)
    env = {"API_TOKEN": ENV}
    waiting = submit(
        told,
        {"type": "exec", "cmd": f"read line < {gate}; false"},
        env=env,
        callback_done=callback,
        callback_failed=callback,
    )
    failing = submit(told, request, env=env)
    wait_for_end(store, failing)
    wait_for_status(store, waiting, "active")
    wait_for(lambda: processes_of(data), "the command")
    token, key = told.token(auth=f"olga:{PASSWORD}"), (data / "secret").read_bytes()
    kept = [PASSWORD, HASH, HASH.rpartition("$")[2], "viewer-geheim", HEADER, CALLBACK, SETTING, token, key.decode()]
    command = {process.pid for process in processes_of(data)}
    roles = {"server": [told.process.pid], "dispatcher": [found.pid for found in [dispatcher_of(data)] if found],
             "runner": [process.pid for process in runners_of(store)], "command": command}  # fmt: skip
    assert all(roles.values()), roles
    for role, pids in roles.items():
        for pid in pids:
            argv, environ = read(f"/proc/{pid}/cmdline"), read(f"/proc/{pid}/environ")
            assert argv, role
            for secret in [*kept, ENV]:
                assert secret.encode() not in argv, (role, secret)
                if (role, secret) not in (("command", ENV), ("server", SETTING)):
                    assert secret.encode() not in environ, (role, secret)
    gate.write_text("go\n")
    wait_for_end(store, waiting)
    wait_for(lambda: len(store.get(waiting).callbacks) == 2, "the callbacks")
    for path in (told.log, *(data / "logs").iterdir(), *data.glob("*.out"), *data.glob("*.err"), *data.glob("run/*")):
        for secret in [*kept, ENV]:
            assert secret.encode() not in (path.read_bytes() if path.is_file() else b""), (path, secret)
    answers_of(told, data, [waiting, failing], [*kept, ENV], token)


def test_what_is_on_its_way_to_another_server_shows_no_secret(told: Server, data: Path, store: JobStore) -> None:
    with contextlib.ExitStack() as held:
        deaf = held.enter_context(socket.create_server(("127.0.0.1", 0)))
        request = {
            "type": "http",
            "url": f"http://127.0.0.1:{deaf.getsockname()[1]}/?key={HEADER}",
            "method": "POST",
            "headers": {"Authorization": HEADER},
            "json": {"key": HEADER},
        }
        asking = submit(told, request)
        calling = submit(told, {"type": "exec", "cmd": "true"}, callback_done={**request, "timeout": 60})
        deaf.settimeout(20)
        for _ in (asking, calling):
            held.enter_context(deaf.accept()[0])  # both are being made, and get no answer
        [calls] = [child for child in dispatcher_of(data).children() if "commands" in " ".join(child.cmdline())]
        for pid in (calls.pid, *(process.pid for process in processes_of(data))):
            shown = read(f"/proc/{pid}/cmdline")
            assert b"commands" in shown
            assert HEADER.encode() not in shown + read(f"/proc/{pid}/environ")
        assert store.get(calling).status == "done"
        told.put(f"/jobs/{asking}/status", "kill", auth=f"olga:{PASSWORD}")
        wait_for_end(store, asking)


def answers_of(server: Server, data: Path, jobs: list[str], secrets: list[str], token: str) -> None:
    """See that no answer to either user holds a secret, but for the token in the forms of its own user."""
    addresses = [
        "/",
        "/jobs",
        "/jobs/status",
        "/health",
        "/workers",
        "/nope",
        "/logs/background_jobs.log",
        "/logs/background_jobs_errors.log",
    ]
    for job in jobs:
        parts = ("", "/status", "/log", "/response", "/out", "/err", "/stats", "/files", "/view/out", "/view/both")
        addresses += (
            [f"/jobs/{job}{part}" for part in parts]
            + [f"/?job={job}&tab={tab}" for tab in ("log", "details", "files")]
            + [f"/jobs?q={ENV}"]
        )
    for auth in (f"olga:{PASSWORD}", "vera:viewer-geheim"):
        for address in addresses:
            text = server.get(address, auth=auth).text.replace(f"/jobs?q={ENV}", "")
            for secret in secrets:
                assert secret not in text or (secret == token and auth.startswith("olga")), (address, secret)
    for method, path, body in (
        ("PATCH", jobs[0], {"env": {"A=B": ENV}}), ("PATCH", jobs[0], {"env": {"A": [ENV]}}), ("PATCH", jobs[0], {"env": ENV}), ("PATCH", jobs[0], {"env": {"A": f"{ENV}\0"}}),
    ):  # fmt: skip
        answer = server.request(method, f"/jobs/{path}", body, auth=f"olga:{PASSWORD}")
        assert (answer.code in (400, 409), ENV in answer.text) == (True, False), answer.text
    refused = server.post(
        "/jobs", {"command": {"type": "exec", "cmd": "true"}, "env": {"A": f"{ENV}\0"}}, auth=f"olga:{PASSWORD}"
    )
    assert (refused.code, ENV in refused.text) == (400, False)
    like = {
        auth: server.get(f"/?like={jobs[0]}", auth=auth).text for auth in (f"olga:{PASSWORD}", "vera:viewer-geheim")
    }
    assert [ENV in text for text in like.values()] == [True, False]  # the form of who may launch it again


def test_what_a_command_finds_in_its_environment_is_what_the_readme_lists(
    told: Server, data: Path, store: JobStore
) -> None:
    job = submit(told, {"type": "exec", "cmd": "env -0; ls -l /proc/$$/fd"}, env={"OWN": "mine"})
    wait_for_end(store, job)
    *variables, descriptors = Path(store.paths.out(job)).read_text().split("\0")
    names = {variable.partition("=")[0] for variable in variables}
    assert "OWN" in names
    known = {
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "LANG",
        "TZ",
        "TMPDIR",
        "OWN",
        "PWD",
        "OLDPWD",
        "SHLVL",
        "_",
        "SLURM_CONF",
    }
    assert not [name for name in names - known if not name.startswith(("JOB_", "LC_", "PYTHON"))], names
    assert not [name for name in names if name.startswith("JOBS_")]
    for file in ("config.toml", "secret", ".lock", "socket:"):
        assert file not in descriptors, descriptors


def test_a_hash_is_no_password_of_its_own_page(data: Path) -> None:
    house = House(data)
    page = house.ask("GET", "/", ("olga", "o-secret"), {}).text
    for user in json.loads(json.dumps(house.actions.settings.users)).values():
        assert user["hash"] not in page
    assert str(house.actions.settings).count("pbkdf2") == 0  # nor in what a traceback would show
    assert "pbkdf2" not in repr(house.actions.settings)


def test_no_process_is_told_a_secret_while_it_is_started(
    data: Path, monkeypatch: pytest.MonkeyPatch, app_py: Any
) -> None:
    """A password given by the environment reaches the server alone, not what the command line starts."""
    monkeypatch.setenv("JOBS_USER", "olga")
    monkeypatch.setenv("JOBS_PASSWORD", PASSWORD)
    gate = data.parent / "gate"
    os.mkfifo(gate)
    started = app_py("run", "--env", f"TOKEN={ENV}", f"read line < {gate}")
    assert started.code == 0
    store = JobStore(str(data))
    wait_for_status(store, started.out.strip(), "active")

    def engine() -> list[int]:
        return [
            *(process.pid for process in runners_of(store)),
            *(found.pid for found in [dispatcher_of(data)] if found),
        ]

    wait_for(lambda: len(engine()) == 2)  # the process between the two forks may still be there
    pids = engine()
    for pid in [*pids, *(process.pid for process in wait_for(lambda: processes_of(data)))]:
        assert PASSWORD.encode() not in read(f"/proc/{pid}/environ") + read(f"/proc/{pid}/cmdline")
        assert os.fsencode(ENV) not in read(f"/proc/{pid}/cmdline")
        assert psutil.pid_exists(pid)
    gate.write_text("go\n")
    wait_for_end(store, started.out.strip())
