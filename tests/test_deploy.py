"""The shipped systemd unit, and the warning of a server whose unit would end the jobs with it."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest

from running_jobs.web import serving

from .conftest import PROJECT

CGROUP = "0::/system.slice/running-jobs.service"


@pytest.fixture
def unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let us be in a systemd unit; give the file that a systemctl of our own reads its KillMode from."""
    programs = tmp_path / "bin"
    programs.mkdir()
    kill_mode = tmp_path / "kill-mode"
    systemctl = programs / "systemctl"
    systemctl.write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/asked\nexec cat {kill_mode}\n')
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("INVOCATION_ID", "0" * 32)
    monkeypatch.setattr(serving, "_own_cgroup", lambda: CGROUP)
    return kill_mode


def test_the_shipped_unit_keeps_jobs_alive_when_the_server_stops() -> None:
    text = (PROJECT / "deploy" / "running-jobs.service").read_text()
    shipped = configparser.ConfigParser(interpolation=None, strict=False)
    shipped.optionxform = str  # type: ignore[assignment,method-assign] # systemd's keys are told apart by case
    shipped.read_string(text)
    service = shipped["Service"]
    assert service["KillMode"] == "process"
    assert service["OOMPolicy"] == "continue"
    assert service["ExecStart"].endswith("app.py serve")
    for breaking in ("PrivateTmp", "ProtectHome", "ProtectSystem", "NoNewPrivileges", "MemoryDenyWriteExecute"):
        assert breaking not in service, f"{breaking} would break users' commands"


@pytest.mark.parametrize("kill_mode", ["control-group", "mixed"])
def test_a_unit_that_kills_its_jobs_is_noticed(unit: Path, kill_mode: str) -> None:
    unit.write_text(f"{kill_mode}\n")
    assert serving.kills_jobs_with_the_unit()
    assert (unit.parent / "asked").read_text() == "show -p KillMode --value running-jobs.service\n"


@pytest.mark.parametrize("kill_mode", ["process", "none", ""])
def test_a_unit_that_leaves_its_jobs_alone_is_no_matter(unit: Path, kill_mode: str) -> None:
    unit.write_text(f"{kill_mode}\n")
    assert not serving.kills_jobs_with_the_unit()


def test_a_user_s_own_unit_is_asked_of_the_user_s_manager(unit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unit.write_text("control-group\n")
    own = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/running-jobs.service"
    monkeypatch.setattr(serving, "_own_cgroup", lambda: own)
    assert serving.kills_jobs_with_the_unit()
    assert (unit.parent / "asked").read_text() == "--user show -p KillMode --value running-jobs.service\n"


def test_nobody_is_asked_outside_of_a_unit(unit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unit.write_text("control-group\n")
    monkeypatch.delenv("INVOCATION_ID")
    assert not serving.kills_jobs_with_the_unit()
    monkeypatch.setenv("INVOCATION_ID", "0" * 32)
    monkeypatch.setattr(serving, "_own_cgroup", lambda: "0::/user.slice/user-1000.slice/session-2.scope")
    assert not serving.kills_jobs_with_the_unit()
    assert not (unit.parent / "asked").exists()


def test_a_machine_without_systemctl_is_no_matter(unit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/does/not/exist")
    assert not serving.kills_jobs_with_the_unit()


def test_the_server_warns_where_it_is_read(
    unit: Path, data: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    unit.write_text("control-group\n")
    serving._say_how_it_stands(serving.Settings(data=str(data)))
    assert "KillMode=process" in caplog.text
    unit.write_text("process\n")
    caplog.clear()
    serving._say_how_it_stands(serving.Settings(data=str(data)))
    assert "KillMode" not in caplog.text
