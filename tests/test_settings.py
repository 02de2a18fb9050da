"""The settings: each key checked, the environment over the file, errors that say where and what."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from running_jobs.errors import InvalidSettings
from running_jobs.settings import PROJECT, Settings, engine_settings, load_settings


def test_defaults_and_where_the_data_is(tmp_path: Path) -> None:
    found = load_settings(str(tmp_path), {})
    assert (found.host, found.port, found.grace_seconds, found.shell) == ("127.0.0.1", 8000, 10, "/bin/sh")
    assert load_settings(None, {"JOBS_DATA": str(tmp_path)}).data == str(tmp_path)
    assert load_settings(None, {}).data == f"{PROJECT}/jobs_data"
    assert not (tmp_path / "run").exists()


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('port = 8100\nslots = 3\npass_env = ["A"]\nfsync = true\n')
    found = load_settings(
        str(tmp_path),
        {
            "JOBS_PORT": "8200",
            "JOBS_PASS_ENV": '["B", "C"]',
            "JOBS_FSYNC": "false",
            "JOBS_TIMEOUT": "1.5",
            "HOME": "/x",
        },
    )
    assert (found.port, found.slots, found.pass_env, found.fsync, found.timeout) == (8200, 3, ["B", "C"], False, 1.5)


@pytest.mark.parametrize(
    ("toml", "key"),
    [
        ("colour = 1", "colour"), ("port = 0", "port"), ("port = 65536", "port"), ('port = "x"', "port"),
        ("port = true", "port"), ("slots = 0", "slots"), ("grace_seconds = -1", "grace_seconds"),
        ('shell = "sh"', "shell"), ('shell = "/no/such"', "shell"), ("nice = 20", "nice"), ("pass_env = [1]", "pass_env"),
        ('pass_env = ["JOBS_PASSWORD"]', "pass_env"), ('allowed_classes = ["*"]', "allowed_classes"),
        ('allowed_classes = ["app.Report", "app.*"]', "allowed_classes"),
        ('user = "x"', "password"), ('password = "x"', "user"), ('user = ""\npassword = "x"', "user"),
        ('user = "x"\npassword = ""', "password"), ('[users.x]\nhash = "plain"', "users"), ("[users.x]", "users"),
        ('[users.x]\nhash = "scrypt:1$a$00"\nrole = "king"', "users"), ("fsync = 2", "fsync"),
        ('executor = "moon"', "executor"), ("contexts = 3", "contexts"), ("allowed_commands = []", "allowed_commands"),
        ('url_prefix = "x y"', "url_prefix"), ("trusted_hosts = 3", "trusted_hosts"), ("port = ", "file"),
        ("data = '/x'", "data"), ("timeout = inf", "timeout"), ("timeout = nan", "timeout"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_with_its_place(tmp_path: Path, toml: str, key: str) -> None:
    (tmp_path / "config.toml").write_text(toml + "\n")
    with pytest.raises(InvalidSettings) as caught:
        load_settings(str(tmp_path), {})
    assert caught.value.key == key
    assert str(tmp_path / "config.toml") in str(caught.value)


@pytest.mark.parametrize("name", ["a:b", ":", "a\\n", "\\t", "a\\u0085b", "\\u007f", " "])
def test_a_name_that_nobody_could_log_in_with_is_refused(tmp_path: Path, name: str) -> None:
    for toml, key in (
        (f'user = "{name}"\npassword = "x"', "user"),
        (f'[users."{name}"]\nhash = "pbkdf2:sha256:1$a${"0" * 64}"', "users"),
    ):
        (tmp_path / "config.toml").write_text(toml + "\n")
        with pytest.raises(InvalidSettings, match=r"colon|not empty") as caught:
            load_settings(str(tmp_path), {})
        assert caught.value.key == key


@pytest.mark.parametrize(
    ("name", "value"),
    [("JOBS_COLOUR", "1"), ("JOBS_PORT", "x"), ("JOBS_PORT", ""), ("JOBS_PASS_ENV", "a,b"), ("JOBS_FSYNC", "maybe"), ("JOBS_USERS", "{}"), ("JOBS_TIMEOUT", "nan"), ("JOBS_", "x")],
)  # fmt: skip
def test_a_wrong_variable_is_named(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(InvalidSettings, match=name) as caught:
        load_settings(str(tmp_path), {name: value})
    assert "environment" in str(caught.value)


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("slurm = 3", "slurm: expected a table, found 3"),
        (
            "[slurm]\ncpu = 2",
            "slurm: cpu: is not known; known are partition, account, qos, cpus, mem, gpus, time, args",
        ),
        ('[slurm]\ncpus = "2"', "slurm: cpus: expected a whole number, found a text"),
        ("[slurm]\ntime = 90", "slurm: time: expected a text with minutes"),
        ("[slurm]\nslots = -1", "slurm: slots: expected 0 to"),
        ('[slurm]\npartition = "--hold"', "slurm: partition: expected the name of a partition"),
        ('[slurm]\nargs = ["--array=1-9"]', "slurm: args: '--array=1-9' cannot be given"),
        ('[slurm]\nargs = ["--mem=4G"]', "use the option mem"),
        ('[slurm]\nmem = "1G"\nargs = ["--mem-per-cpu=1G"]', "together with mem; leave one out"),
    ],
)
def test_a_wrong_value_for_slurm_is_named_with_its_key(tmp_path: Path, toml: str, said: str) -> None:
    (tmp_path / "config.toml").write_text(toml + "\n")
    with pytest.raises(InvalidSettings) as caught:
        load_settings(str(tmp_path), {})
    assert caught.value.key == "slurm"
    assert said in str(caught.value)


def test_slurm_is_set_up_by_its_table_even_an_empty_one_or_as_the_default(tmp_path: Path) -> None:
    for toml, has_slurm in (
        ("", False),
        ("[slurm]", True),
        ('executor = "slurm"', True),
        ('executor = "local"', False),
    ):
        (tmp_path / "config.toml").write_text(toml + "\n")
        found = load_settings(str(tmp_path), {})
        assert found.has_slurm is has_slurm
        assert engine_settings(found.for_engine()).has_slurm is has_slurm
    (tmp_path / "config.toml").write_text('[slurm]\npartition = "main"\ngpus = 2\nargs = ["--exclusive"]\n')
    found = load_settings(str(tmp_path), {"JOBS_EXECUTOR": "slurm"})
    assert found.executor == "slurm"
    assert found.slurm == {"slots": 0, "partition": "main", "gpus": "2", "args": ["--exclusive"]}
    with pytest.raises(InvalidSettings, match=r"is a table; write it as \[slurm\]"):
        load_settings(str(tmp_path), {"JOBS_SLURM": "{}"})


def test_a_password_is_never_in_a_message(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('user = "x"\n[password]\nsecret = "geheim"\n')
    with pytest.raises(InvalidSettings) as caught:
        load_settings(str(tmp_path), {})
    assert "geheim" not in str(caught.value)
    assert "geheim" not in repr(Settings(data="/x", password="geheim"))


def test_what_the_engine_gets_holds_nothing_of_the_guard(tmp_path: Path) -> None:
    whole = Settings(data=str(tmp_path), user="u", password="geheim", slots=7)
    handed = whole.for_engine()
    assert "geheim" not in str(handed)
    assert engine_settings({**handed, "of_a_later_version": 1}) == dataclasses.replace(whole, user="", password="")


def test_a_wrong_setting_stops_every_face_with_one_line(data: Path, app_py) -> None:
    (data / "config.toml").write_text("slotz = 3\n")
    for command in (["list"], ["run", "true"], ["serve"], ["status"]):
        done = app_py(*command)
        assert done.code == 1
        assert "slotz" in done.err
        assert len(done.err.strip().splitlines()) == 1
    assert list(data.glob("*.json")) == []
