"""The README is true: its commands run, in a fresh clone, and every setting, command and route is in it."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from running_jobs import cli
from running_jobs.setting_checks import CHECKS
from running_jobs.settings import Settings, load_settings
from running_jobs.store import JobStore
from running_jobs.web.application import build_app

from .conftest import PROJECT, Client, Server, dispatcher_of, free_port, kill_and_wait, wait_for, wait_for_end

README = (PROJECT / "README.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
SET_UP = [block for block in BLOCKS if "venv" in block and "pip" in block]
APPROVED = README.partition("\n## Approved commands\n")[2].partition("\n## ")[0]  # where they are, `run` is refused
SLURM = README.partition("\n## Slurm\n")[2].partition("\n## ")[0]  # run in tests/slurm, on one
APART = (APPROVED, SLURM)
COMMANDS = [
    line for block in BLOCKS if block not in SET_UP and not any(block in part for part in APART)
    for line in block.splitlines()
]  # fmt: skip


def test_the_two_set_up_commands_are_there_in_one_line_each() -> None:
    assert [block.strip() for block in SET_UP] == [
        "python3 -m venv .venv && .venv/bin/pip install -q -r requirements.txt && .venv/bin/python app.py",
        "python3 -m venv .venv && .venv/bin/pip install -q -r requirements.txt -r tests/requirements.txt && .venv/bin/pytest",
    ]


def clone_to(folder: Path) -> Path:
    """Clone what is committed, and lay over it what is not yet."""
    subprocess.run(["git", "clone", "-q", str(PROJECT), str(folder)], check=True)
    listed = subprocess.run(
        ["git", "ls-files", "-com", "--exclude-standard"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    for name in set(listed.stdout.split()):
        if (PROJECT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((PROJECT / name).read_bytes())
    return folder


@pytest.mark.timeout(300)
def test_the_first_command_serves_a_job_in_a_fresh_clone_with_an_empty_home(tmp_path: Path) -> None:
    clone, home = clone_to(tmp_path / "clone"), tmp_path / "home"
    home.mkdir()
    port = free_port()
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("JOBS_", "VIRTUAL_ENV"))}
    environ |= {"HOME": str(home), "JOBS_PORT": str(port), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    with (tmp_path / "log").open("wb") as log:
        started = subprocess.Popen(
            ["bash", "-c", SET_UP[0].replace(".venv/bin/python app.py", "exec .venv/bin/python app.py")],
            cwd=clone, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    client = Client(f"http://127.0.0.1:{port}")

    def is_up() -> bool:
        assert started.poll() is None, (tmp_path / "log").read_text()
        with contextlib.suppress(OSError):
            return client.get("/health").code == 200
        return False

    try:
        wait_for(is_up, lambda: (tmp_path / "log").read_text(), 200)
        assert "<h1>" in client.get("/").text
        assert client.post_form("/launch", {"cmd": "pwd; echo made > $JOB_FILES/it"}).code == 303
        job = wait_for(lambda: [job for job in client.get("/jobs").json["data"] if job["status"] == "done"])[0]
        assert client.get(f"/jobs/{job['id']}/out").text == f"{home}\n"
        assert client.get(f"/jobs/{job['id']}/files/it").body == b"made\n"
    finally:
        started.kill()
        started.wait()
        if dispatcher := dispatcher_of(clone / "jobs_data"):
            kill_and_wait(dispatcher)
    status = subprocess.run(["git", "status", "--porcelain", "jobs_data"], cwd=clone, capture_output=True, text=True)
    assert status.stdout == ""


def set_up_classes(data: Path) -> Path:
    """Lay the README's approved class where its settings say, and return that folder."""
    settings = re.search(r"```toml\n(python_path.*?)```", README, re.DOTALL)
    module = re.search(r"```python\n# /srv/jobs/app_jobs.py\n(.*?)```", README, re.DOTALL)
    assert settings
    assert module
    folder = data.parent / "srv jobs"
    folder.mkdir()
    (folder / "app_jobs.py").write_text(module[1])
    with (data / "config.toml").open("a") as config:
        config.write(settings[1].replace("/srv/jobs", str(folder)))
    return folder


def bash(line: str, port: int, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a line of the README with this interpreter against a server on a port; fail the test if it fails."""
    ran = line.replace(".venv/bin/python app.py", f"{sys.executable} {PROJECT}/app.py")
    ran = ran.replace("127.0.0.1:8000", f"127.0.0.1:{port}")
    done = subprocess.run(["bash", "-c", ran], capture_output=True, text=True, timeout=60, cwd=cwd)
    assert done.returncode == 0, f"{line}: {done.stderr}"
    assert done.stdout, line
    return done


def set_up_worker(data: Path) -> Path:
    """Lay the README's worker where its reader saved it, and return that folder."""
    code = re.search(r"```python\n# Shrink.py\n(.*?)```", README, re.DOTALL)
    assert code
    folder = data.parent / "here"
    folder.mkdir()
    (folder / "Shrink.py").write_text(code[1])
    return folder


def test_every_other_command_runs_as_it_stands(start_server: Callable[..., Server], data: Path) -> None:
    set_up_classes(data)
    folder = set_up_worker(data)
    server = start_server()
    assert len(COMMANDS) > 10
    for line in COMMANDS:
        assert line.startswith((".venv/bin/python app.py ", "curl ")), line
        done = bash(line, server.port, folder)
        if line.startswith("curl"):
            assert '"success": true' in done.stdout or '{"status": 200' in done.stdout


def test_the_program_that_queues_a_method_runs_as_it_stands(data: Path, store: JobStore) -> None:
    program = re.search(r"```python\n(from running_jobs import run_background_job.*?)```", README, re.DOTALL)
    assert program
    environ = {**os.environ, "PYTHONPATH": f"{PROJECT}:{set_up_classes(data)}"}
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", program[1]], capture_output=True, text=True, cwd=data.parent, env=environ, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - begin < 5
    by_name, by_class = (store.get(job_id) for job_id in done.stdout.split())
    assert (by_name.delay, by_name.retries, by_name.what) == (10, 3, "app_jobs.Report::make")
    assert wait_for_end(store, by_class.id).status == "done"
    assert Path(store.paths.response(by_class.id)).read_text() == '{"month": "2026-11", "copies": 2}\n'


def set_up_commands(data: Path) -> Path:
    """Lay the README's approved commands into the settings, and what they need where these say; return that folder."""
    settings = re.search(r"```toml\n(.*?)```", APPROVED, re.DOTALL)
    assert settings
    folder = data.parent / "srv"
    (folder / "projects" / "lamp").mkdir(parents=True)
    (folder / "projects" / "lamp" / "scene").write_text("a lamp\n")
    (folder / "render").mkdir()
    (folder / "render" / "render").write_text('#!/bin/sh\necho "rendering in $(pwd):" "$@"\n')
    (folder / "render" / "render").chmod(0o755)
    with (data / "config.toml").open("a") as config:
        config.write(settings[1].replace("/srv/", f"{folder}/"))
    return folder


def test_approved_commands_are_run_as_it_stands(
    start_server: Callable[..., Server], data: Path, store: JobStore
) -> None:
    folder = set_up_commands(data)
    server = start_server()
    lines = [line for block in BLOCKS if block in APPROVED for line in block.splitlines()]
    program = re.search(r"```python\n(.*?)```", APPROVED, re.DOTALL)
    assert program
    started = [bash(line, server.port) for line in lines]
    render, pack = (json.loads(done.stdout)["data"][0]["id"] for done in started)
    by_python = subprocess.run(
        [sys.executable, "-c", program[1]], capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )  # fmt: skip
    assert by_python.stderr == ""
    said = [
        (render, "--width=1280 --quality draft lamp.pov"),
        (by_python.stdout.strip(), "--width=640 --quality final lamp.pov"),
    ]
    if "approved" in cli.main.commands:
        [in_text] = re.findall(r"`(\.venv/bin/python app\.py approved .*?)`", APPROVED)
        said.append((bash(in_text, server.port).stdout.strip(), "--width=1280 --quality draft lamp.pov"))
    for job_id, arguments in said:
        assert wait_for_end(store, job_id).status == "done"
        assert Path(store.paths.out(job_id)).read_text() == f"rendering in {folder}/render: {arguments}\n"
    assert wait_for_end(store, pack).status == "done"
    assert Path(store.paths.results(pack), "lamp.tar.gz").read_bytes()[:2] == b"\x1f\x8b"
    [by_hand] = re.findall(r"`(python -m running_jobs\.commands\.approved .*?)`", APPROVED)
    assert bash(f"cd {PROJECT} && {by_hand.replace('python', sys.executable, 1)}", server.port).stdout.endswith(
        "/render: --width=640 --quality draft lamp.pov\n"
    )
    assert server.post("/jobs", {"command": {"type": "exec", "cmd": "true"}}).code == 403


def test_the_worker_and_the_program_that_queues_it_run_as_they_stand(app_py, data: Path, store: JobStore) -> None:
    program = re.search(r"```python\n(from running_jobs.actions import .*?)```", README, re.DOTALL)
    assert program
    assert app_py("workers", "add", "Shrink", str(set_up_worker(data) / "Shrink.py")).out == "Worker Shrink added\n"
    assert "Shrinks pictures to a width." in app_py("workers").out
    environ = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        [sys.executable, "-c", program[1]], capture_output=True, text=True, cwd=data.parent, env=environ, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    job = wait_for_end(store, done.stdout.strip())
    assert (job.status, job.retries, job.what) == ("done", 3, "Shrink")
    out = Path(store.paths.out(job.id)).read_text().splitlines()
    assert out == [
        "STARTED", "a.png to 64 pixels", "progress 50.0% a.png", "b.png to 64 pixels", "progress 100.0% b.png", "ENDED"
    ]  # fmt: skip
    assert Path(store.paths.response(job.id)).read_text() == '{"shrunk": 2}\n'


def test_every_setting_is_in_the_readme_and_has_a_place_in_the_code() -> None:
    settings = README.partition("## Settings")[2].partition("\n## ")[0]
    for key in CHECKS:
        assert re.search(rf"(`|\[|\s){key}\b", settings), key
    engine = "\n".join(path.read_text() for path in (PROJECT / "running_jobs").rglob("*.py"))
    for key in CHECKS:
        assert f"settings.{key}" in engine or f"self.{key}" in inspect.getsource(Settings), key


def test_every_command_and_route_is_in_the_readme(data: Path, configure: Callable[..., object]) -> None:
    for name in cli.main.commands:
        assert f"`{name}" in README, name
    app = build_app(load_settings(str(data)))
    api = README.partition("## API")[2].partition("\n## ")[0]
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<any\(([a-z,]+)\):\w+>", lambda found: found[1].split(",")[0], str(rule))
        path = path.replace("<job_id>", "ID").replace("<path:name>", "PATH").replace("<name>", "NAME")
        path = path.replace("<saved_id>", "KEPT")
        if rule.endpoint not in ("static", "pages.show_page"):
            assert f"{path}`" in api or f"{path} " in api or path in api, path
