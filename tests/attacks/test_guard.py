"""The guard: users, wrong passwords, other sites' pages, other host names, the doors that must not open."""

from __future__ import annotations

import http.client
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from werkzeug.security import generate_password_hash

from running_jobs.settings import load_settings
from running_jobs.web.application import build_app

from ..conftest import PROJECT, LocalClient, Server, free_port, wait_for_end
from .house import CHEAP

JOB = {"command": {"type": "exec", "cmd": "true"}}


@pytest.fixture
def guarded(data: Path) -> LocalClient:
    """Give an application with an operator and a viewer, whose passwords take no time to check."""
    (data / "config.toml").write_text(
        f'user = "olga"\npassword = "{generate_password_hash("o-secret", CHEAP)}"\n'
        f'[users.vera]\nhash = "{generate_password_hash("v-secret", CHEAP)}"\nrole = "viewer"\n'
    )
    return LocalClient(data)


def test_without_credentials_everything_but_health_is_401(guarded: LocalClient) -> None:
    for path in ("/", "/jobs", "/jobs/status", "/static/page.css", "/nope"):
        answer = guarded.get(path)
        assert answer.code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    for _ in range(10):
        assert guarded.get("/jobs").code == 401  # asking without credentials is not counted
    assert guarded.get("/health").code == 200
    assert guarded.post("/jobs", JOB).code == 401


def test_the_owner_of_a_job_is_who_logged_in(guarded: LocalClient) -> None:
    answer = guarded.post("/jobs", JOB, auth="olga:o-secret")
    assert answer.json["data"][0]["owner"] == "olga"
    stopped = guarded.put(f"/jobs/{answer.json['data'][0]['id']}/status", "stop", auth="olga:o-secret")
    assert stopped.json["data"][0]["reason"] == "stopped by olga before it started"


def test_a_viewer_may_look_but_change_nothing(guarded: LocalClient) -> None:
    job = guarded.post("/jobs", JOB, auth="olga:o-secret").json["data"][0]["id"]
    page = guarded.get(f"/?job={job}", auth="vera:v-secret")
    assert page.code == 200
    assert '<form class="launch' not in page.text
    assert "Delete" not in page.text
    for method, path in (("POST", "/jobs"), ("DELETE", f"/jobs/{job}"), ("PUT", f"/jobs/{job}/status"), ("POST", "/pause"),
                         ("POST", "/launch"), ("PATCH", f"/jobs/{job}"), ("POST", f"/jobs/{job}/log")):  # fmt: skip
        assert guarded.request(method, path, b"start", auth="vera:v-secret").code == 403, path
    assert guarded.get(f"/jobs/{job}/status", auth="vera:v-secret").json["data"] == [{"status": "idle"}]


def test_wrong_passwords_are_limited_and_the_right_one_always_passes(guarded: LocalClient) -> None:
    codes = [guarded.get("/jobs", auth=f"olga:wrong{n}").code for n in range(8)]
    assert codes == [401] * 5 + [429] * 3
    assert guarded.get("/jobs", auth="nobody:x").code == 429
    assert guarded.get("/jobs", auth="olga:o-secret").code == 200
    assert guarded.get("/jobs", auth="vera:v-secret").code == 200
    assert guarded.get("/jobs").code == 401


def test_a_verified_login_costs_no_second_hash(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from running_jobs.web import auth

    computed = []
    real = auth.check_password_hash
    monkeypatch.setattr(auth, "check_password_hash", lambda *given: (computed.append(1), real(*given))[1])
    (data / "config.toml").write_text(f'user = "olga"\npassword = "{generate_password_hash("o", CHEAP)}"\n')
    client = build_app(load_settings(str(data))).test_client()
    for _ in range(5):
        assert client.get("/jobs", auth=("olga", "o")).status_code == 200
    assert len(computed) == 1
    assert client.get("/jobs", auth=("olga", "p")).status_code == 401
    assert client.get("/jobs", auth=("nobody", "o")).status_code == 401
    assert len(computed) == 3  # an unknown name takes as long


HERE = "http://127.0.0.1:8000"


def test_only_the_own_page_may_change_something(local: LocalClient) -> None:
    made = 0
    for headers, code in (
        ({}, 201),
        ({"Sec-Fetch-Site": "same-origin"}, 201),
        ({"Sec-Fetch-Site": "none"}, 201),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": HERE}, 403),
        ({"Origin": HERE}, 201),
        ({"Origin": "null"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": f"{HERE}.evil.example"}, 403),
        ({"Origin": "http://127.0.0.1"}, 403),
    ):
        sent = {"Host": "127.0.0.1:8000", **headers}
        made += code == 201
        assert local.post("/jobs", JOB, headers=sent).code == code, headers
        assert local.get("/jobs").json["total"] == made, headers
        for method in ("PUT", "DELETE", "PATCH"):
            answer = local.request(method, "/jobs/20261121-000000-000000/status", b"x", headers=sent)
            assert (answer.code == 403) == (code == 403), (method, headers)


def test_forms_need_the_token_of_their_user(guarded: LocalClient) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert guarded.post("/launch", "cmd=true", headers=form, auth="olga:o-secret").code == 403
    of_vera = "token=0000&cmd=true"
    assert guarded.post("/launch", of_vera, headers=form, auth="olga:o-secret").code == 403
    assert guarded.post_form("/launch", {"cmd": "true"}, auth="olga:o-secret").code == 303
    assert guarded.get("/jobs", auth="olga:o-secret").json["total"] == 1


def test_the_token_outlives_the_server_and_differs_between_directories(
    data: Path, start_server: Callable[..., Server], tmp_path: Path
) -> None:
    first = start_server()
    token = first.token()
    first.kill()
    assert start_server().token() == token
    assert stat.S_IMODE((data / "secret").stat().st_mode) == 0o600
    other = build_app(load_settings(str(tmp_path / "other"))).test_client()
    assert token not in other.get("/").text


def test_only_trusted_host_names_are_served(data: Path) -> None:
    (data / "config.toml").write_text('trusted_hosts = ["jobs.example.com"]\n')
    client = build_app(load_settings(str(data))).test_client()
    for host, code in (
        ("localhost", 200), ("127.0.0.1:1", 200), ("[::1]:8000", 200), ("192.168.1.5", 200), ("app.localhost", 200),
        ("jobs.example.com", 200), ("JOBS.example.com:443", 200), ("evil.example.com", 400), ("localhost.evil.com", 400),
        ("jobs.example.com.evil.com", 400), ("", 400), ("a b", 400), ("jobs.example.com@evil.com", 400),
    ):  # fmt: skip
        assert client.get("/jobs", headers={"Host": host}).status_code == code, host


def test_answers_carry_the_security_headers(local: LocalClient) -> None:
    for path in ("/", "/jobs", "/nope", "/static/page.css"):
        headers = local.get(path).headers
        assert "unsafe-inline" not in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"


def test_no_get_changes_anything(local: LocalClient, data: Path) -> None:
    job = local.post("/jobs", JOB).json["data"][0]["id"]
    local.get("/")  # makes the secret

    def everything() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in data.glob("*") if path.is_file()}

    before = everything()
    paths = ["/", "/launch", "/pause", "/resume", "/health", "/jobs", "/jobs/status", f"/?job={job}&said=delete"]
    paths += [f"/jobs/{job}{part}" for part in ("", "/start", "/stop", "/kill", "/delete", "/again", "/status", "/log")]
    for path in paths:
        assert local.get(path).code in (200, 404, 405), path
    assert everything() == before


def test_it_refuses_to_listen_beyond_this_machine_without_a_user(data: Path) -> None:
    command = [sys.executable, str(PROJECT / "app.py"), "serve", "--host", "0.0.0.0", "--port", str(free_port())]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert refused.returncode == 1
    assert "no user is set" in refused.stderr
    assert "--no-auth" in refused.stderr


def test_said_to_be_guarded_otherwise_it_listens(start_server: Callable[..., Server]) -> None:
    server = start_server("--host", "0.0.0.0", "--no-auth")
    assert server.get("/health").code == 200
    assert "No user is set" in server.log.read_text()


def test_what_is_odd_or_claimed_is_of_no_use_to_a_real_server_either(server: Server) -> None:
    """In test_requests.py much more is sent to the application; a server in front of it may do something of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.putrequest("GET", "/jobs/%zz%%", skip_host=True)
    connection.putheader("Host", "127.0.0.1")
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 404
    assert b"Traceback" not in answer.read()
    connection.close()
    spoofed = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/evil"}
    page = server.get("/", headers=spoofed)
    assert page.code == 200
    assert "evil" not in page.text
    refused = server.post("/jobs", JOB, headers={**spoofed, "Origin": "https://evil.example"})
    assert refused.code == 403
    for path in ("/", "/jobs", "/nope", "/static/page.css"):
        assert server.get(path).headers["Server"] is None


def test_the_password_command_makes_a_hash_that_the_settings_take(data: Path, app_py, app_here) -> None:
    made = app_py("password", text="pass word\n")
    assert made.code == 0
    assert made.out.startswith("scrypt:")
    (data / "config.toml").write_text(f'user = "olga"\npassword = "{made.out.strip()}"\n')
    assert LocalClient(data).get("/jobs", auth="olga:pass word").code == 200
    assert app_here("password", text="\n").code == 1


def test_with_approved_commands_set_shell_lines_are_refused(data: Path, app_here) -> None:
    (data / "config.toml").write_text('[allowed_commands.report]\ncmd = "true"\n')
    local = LocalClient(data)
    assert local.post("/jobs", JOB).code == 403
    assert local.post_form("/launch", {"cmd": "true"}).code == 403
    assert app_here("run", "true").code == 1
    assert local.get("/jobs").json["total"] == 0


def test_the_password_is_nowhere_to_be_seen_by_jobs(data: Path, start_server: Callable[..., Server], store) -> None:
    (data / "config.toml").write_text('user = "olga"\npassword = "o-secret"\n')
    job = (
        start_server()
        .post(
            "/jobs",
            {"command": {"type": "exec", "cmd": "env; cat /proc/*/environ; cat /proc/*/cmdline"}, "start": True},
            auth="olga:o-secret",
        )
        .json["data"][0]["id"]
    )
    wait_for_end(store, job)
    assert b"o-secret" not in Path(store.paths.out(job)).read_bytes()
    assert os.path.getsize(store.paths.out(job)) > 0


def test_a_plain_password_is_hashed_at_the_start_so_that_no_name_can_be_told_by_time(data: Path) -> None:
    from running_jobs.setting_checks import looks_hashed
    from running_jobs.web.auth import users_of

    (data / "config.toml").write_text('user = "olga"\npassword = "o"\n')
    assert looks_hashed(users_of(load_settings(str(data)))["olga"].hash)
