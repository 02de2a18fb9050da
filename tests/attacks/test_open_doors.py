"""Settings that would open the door: refused with a message, or without effect; never silently open."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import request
from werkzeug.security import generate_password_hash

from running_jobs.errors import InvalidSettings, NotApproved
from running_jobs.settings import load_settings
from running_jobs.web import serving
from running_jobs.web.application import build_app

from .house import CHEAP, House

HASH = generate_password_hash("v", CHEAP)


@pytest.mark.parametrize(
    ("toml", "key"),
    [
        # users
        ('user = ""\npassword = "x"', "user"), ('user = "x"\npassword = ""', "password"),
        ('user = "x"\npassword = " \\t"', "password"), ('user = "x"', "password"), ('password = "x"', "user"),
        ('user = "x"\npassword = false', "password"), ('user = "x"\npassword = []', "password"),
        ("[users]", "users"), ("users = {}", "users"), ("[users.vera]", "users"), ('[users.vera]\nhash = ""', "users"),
        ('[users.vera]\nhash = "plain"', "users"), ('[users.vera]\npassword = "plain"', "users"),
        (f'[users.vera]\nhash = "{HASH}"\nrole = "admin"', "users"), (f'[users.vera]\nhash = "{HASH}"\nrole = ""', "users"),
        (f'[users.vera]\nhash = "{HASH}"\nrole = "Viewer"', "users"), (f'[users.vera]\nhash = "{HASH}"\nrole = 1', "users"),
        (f'[users.""]\nhash = "{HASH}"', "users"), (f'[users."a:b"]\nhash = "{HASH}"', "users"),
        (f'user = "vera"\npassword = "x"\n[users.vera]\nhash = "{HASH}"\nrole = "viewer"', "user"),
        # hashes that would never, or always, be right
        ('user = "x"\npassword = "scrypt:32768:8:1$salt"', "password"), ('user = "x"\npassword = "scrypt:32768:8:1$salt$"', "password"),
        ('user = "x"\npassword = "scrypt:32768:8:1$salt$00"', "password"), ('user = "x"\npassword = "pbkdf2:sha256:1$salt$"', "password"),
        (f'user = "x"\npassword = "scrypt:1$salt${"0" * 128}"', "password"), (f'user = "x"\npassword = "scrypt:0:8:1$salt${"0" * 128}"', "password"),
        (f'[users.x]\nhash = "scrypt:3:8:1$salt${"0" * 128}"', "users"), (f'[users.x]\nhash = "plain:1$salt${"0" * 64}"', "users"),
        # what is allowed
        ("allowed_commands = {}", "allowed_commands"), ("[allowed_commands]", "allowed_commands"), ("allowed_commands = false", "allowed_commands"),
        ('allowed_classes = [""]', "allowed_classes"), ('allowed_classes = "*"', "allowed_classes"),
        # where requests come from
        ('host = ""', "host"), ('host = " "', "host"), ("trusted_proxies = 11", "trusted_proxies"), ("trusted_proxies = -1", "trusted_proxies"),
        ("trusted_proxies = true", "trusted_proxies"), ('trusted_hosts = ["*"]', "trusted_hosts"), ('trusted_hosts = "*"', "trusted_hosts"),
        ('trusted_hosts = ["*.example.com"]', "trusted_hosts"), ('trusted_hosts = [".example.com"]', "trusted_hosts"),
        ('trusted_hosts = ["https://jobs.example.com"]', "trusted_hosts"), ('trusted_hosts = ["jobs.example.com:443"]', "trusted_hosts"),
        ('trusted_hosts = ["jobs.example.com/"]', "trusted_hosts"), ('trusted_hosts = [" "]', "trusted_hosts"), ('trusted_hosts = [""]', "trusted_hosts"),
        # what stands in front of every address
        *((f"url_prefix = {text}", "url_prefix") for text in (
            '"/<script>"', '"/a\\"b"', '"//evil.example"', '"https://evil.example"', '"/a\\r\\nSet-Cookie: x=y"', '"/a\\n"', '"/a?b"',
            '"/a#b"', '"/a b"', '"/a\\\\b"', '"/a%2fb"', '"/.."', '"/a/../b"', '"/./a"', '"javascript:alert(1)"', '"jobs"', '"/ü"', '"/a\\u0000"',
        )),
    ],
)  # fmt: skip
def test_a_setting_that_opens_the_door_or_looks_as_if_it_closed_it_is_refused(
    tmp_path: Path, toml: str, key: str
) -> None:
    (tmp_path / "config.toml").write_text(toml + "\n")
    with pytest.raises(InvalidSettings) as caught:
        load_settings(str(tmp_path), {})
    assert caught.value.key == key


def test_sound_settings_are_not_refused(tmp_path: Path) -> None:
    scrypt = generate_password_hash("p")
    lines = [
        f'user = "olga"\npassword = "{scrypt}"', 'trusted_hosts = ["jobs.example.com", "JOBS", "a_b.c-d.e", "10.0.0.1"]',
        'url_prefix = "/a.b/..c/~d/"', "trusted_proxies = 2", f'[users.vera]\nhash = "{HASH}"',
    ]  # fmt: skip
    (tmp_path / "config.toml").write_text("\n".join(lines))
    found = load_settings(str(tmp_path), {})
    assert (found.password, found.url_prefix, found.trusted_proxies) == (scrypt, "/a.b/..c/~d", 2)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "0", "192.168.1.5", "example.com", "localhost.example.com", "127.1.example"]
)
def test_it_listens_to_others_only_with_a_user(data: Path, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    def listen(*_: Any, **__: Any) -> None:
        pytest.fail("it would listen")

    monkeypatch.setattr(serving, "listen", listen)
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)
    for settings, given in ((load_settings(str(data)), host), (load_settings(str(data), {"JOBS_HOST": host}), None)):
        with pytest.raises(InvalidSettings, match="no user is set"):
            serving.serve(settings, given, None, no_auth=False)


def test_an_empty_variable_does_not_unset_what_the_file_says(data: Path) -> None:
    (data / "config.toml").write_text('user = "olga"\npassword = "o"\n')
    for variable in ("JOBS_USER", "JOBS_PASSWORD"):
        with pytest.raises(InvalidSettings, match=variable):
            load_settings(str(data), {variable: ""})
    for table in ("JOBS_USERS", "JOBS_ALLOWED_COMMANDS"):
        with pytest.raises(InvalidSettings, match=table):
            load_settings(str(data), {table: "{}"})


def test_an_empty_list_of_classes_allows_none(data: Path) -> None:
    house = House(data, "allowed_classes = []")
    for name in ("os.system", "subprocess.Popen", "builtins.object", "", "*"):
        for method in ("system", "__init__", "*", ""):
            answer = house.client.post(
                "/jobs",
                json={"command": {"type": "method", "class": name, "method": method}},
                auth=("olga", "o-secret"),
            )
            assert answer.status_code in (400, 403), name
    with pytest.raises(NotApproved):
        house.actions.submit({"command": {"type": "method", "class": "os.system", "method": "x"}})
    assert list(house.actions.store.ids()) == [house.job.id]


def test_approved_commands_are_not_walked_around_by_a_name_that_comes_twice(data: Path) -> None:
    (data / "config.toml").write_text('[allowed_commands.hello]\ncommand = ["echo", "hello"]\n')
    client = build_app(load_settings(str(data))).test_client()
    twice = b'{"command": {"type": "approved", "name": "hello"}, "command": {"type": "exec", "cmd": "id"}}'
    inner = b'{"command": {"type": "approved", "name": "hello", "type": "exec", "cmd": "id"}}'
    for body in (twice, inner):
        for path in ("/jobs", "/jobs/add"):
            assert client.post(path, data=body).status_code == 403
    assert list(data.glob("*.json")) == []


@pytest.mark.parametrize("hops", [0, 2, 10])
def test_with_another_number_of_proxies_than_there_are_nothing_is_believed(data: Path, hops: int) -> None:
    """The shipped nginx.conf sends one value of each, its own; a number that is too large finds too few."""
    (data / "config.toml").write_text(f"trusted_proxies = {hops}\n")
    app = build_app(load_settings(str(data)))
    seen = []
    app.before_request(lambda: seen.append((request.remote_addr, request.url_root)))
    sent = {"For": "203.0.113.9", "Host": "evil.example", "Proto": "https", "Prefix": "/evil", "Port": "99"}
    page = app.test_client().get("/", headers={f"X-Forwarded-{name}": text for name, text in sent.items()})
    assert (page.status_code, "evil" in page.text) == (200, False)
    assert seen == [("127.0.0.1", "http://localhost/")]


def test_the_command_line_says_what_is_wrong_and_shows_no_secret(data: Path, app_here: Any) -> None:
    for config in (
        'user = "x"\npassword = "scrypt:geheim"',
        'user = "x"\npassword = ["geheim"]',
        '[users.x]\nhash = "geheim"',
    ):
        (data / "config.toml").write_text(config + "\n")
        done: SimpleNamespace = app_here("list")
        assert (done.code, done.out) == (1, "")
        assert "geheim" not in done.err
        assert "config.toml" in done.err
