"""The command line, run as a user runs it: exit codes, one line on stderr, the server down."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from running_jobs.store import JobStore

from .conftest import PROJECT, wait_for, wait_for_end, wait_for_status


def test_run_prints_the_id_and_the_job_runs(app_py, store: JobStore) -> None:
    done = app_py("run", "--name", "greeting", "echo hello; echo $A", "--help")
    assert done.code == 0, done.err
    job_id = app_py(
        "run", "--name", "greeting", "--env", "A=b c", "--timeout", "9.5", "--priority", "3", "echo hello; echo $A"
    ).out
    job = wait_for_end(store, job_id.strip())
    assert (job.name, job.timeout, job.priority, job.command["cmd"]) == ("greeting", 9.5, 3, "echo hello; echo $A")
    assert app_py("log", job.id).out == "hello\nb c\n"


def test_one_argument_is_a_shell_line_and_several_are_quoted(app_py, store: JobStore) -> None:
    assert app_py("run", "--wait", "echo a  b | tr a c").out == "c b\n"
    assert app_py("run", "--wait", "--", "printf", "%s|", "a  b", "$HOME", "it's").out == "a  b|$HOME|it's|"
    assert app_py("run", "--wait", "--", "printf", "%s|", "-n", "--wait").out == "-n|--wait|"


def test_wait_copies_both_streams_and_exits_like_the_job(app_py) -> None:
    done = app_py("run", "--wait", "echo out; echo err >&2; exit 7")
    assert (done.code, done.out) == (7, "out\n")
    assert "err\n" in done.err
    assert app_py("run", "--wait", "kill -TERM $$").code == 143
    assert app_py("run", "--wait", "true").code == 0
    assert app_py("run", "--wait", "--timeout", "0.2", "sleep 9").code == 128 + 15


def test_it_runs_where_it_was_called(app_py, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "here ünd"
    place.mkdir()
    monkeypatch.chdir(place)
    assert app_py("run", "--wait", "pwd").out == f"{place}\n"
    (place / "sub").mkdir()
    assert app_py("run", "--wait", "--cwd", "sub", "pwd").out == f"{place}/sub\n"


def test_a_directory_that_cannot_be_used_is_refused_in_one_line(
    data: Path, app_py, tmp_path: Path, monkeypatch
) -> None:
    gone, odd = tmp_path / "gone", os.fsencode(tmp_path) + b"/w\xff"
    for place in (os.fsencode(gone), odd):
        os.mkdir(place)
        monkeypatch.chdir(os.fsdecode(place))
        if place != odd:
            os.rmdir(place)
        refused = app_py("run", "true")
        assert (refused.code, len(refused.err.strip().splitlines())) == (1, 1), refused.err
        assert app_py("run", "--wait", "--cwd", "/", "pwd").out == "/\n"
    ids = [path.stem for path in data.glob("*.json")]
    assert sorted(path.stem for path in data.glob("*.out")) == sorted(ids)


def test_a_name_cannot_drive_the_terminal(app_py) -> None:
    app_py("run", "--hold", "--name", "\x1b[31mred\x07", "true")
    for command in (["list"], ["show", "last"]):
        assert "\x1b" not in app_py(*command).out


def test_interrupting_wait_leaves_the_job_running(data: Path, store: JobStore) -> None:
    app_py = [sys.executable, str(PROJECT / "app.py")]
    with subprocess.Popen(
        ["env", "--default-signal=INT", *app_py, "run", "--wait", "sleep 1; echo through"],  # tests in the background
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as waiting:
        job_id = wait_for(lambda: store.ids())[0]
        wait_for_status(store, job_id, "active")
        os.killpg(waiting.pid, signal.SIGINT)
        _, err = waiting.communicate(timeout=10)
    assert waiting.returncode == 130
    assert f"Job {job_id} goes on" in err
    assert wait_for_end(store, job_id).status == "done"


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["run"], 2, "Missing argument"),
        (["run", ""], 1, "is empty"),
        (["run", "--env", "A", "true"], 2, "NAME=VALUE"),
        (["run", "--cwd", "/no/such", "true"], 1, "does not exist"),
        (["run", "--timeout", "x", "true"], 2, "not a valid float"),
        (["run", "--timeout", "-1", "true"], 1, "0 or more"),
        (["run", "--nope", "true"], 2, "No such option"),
        (["run", "--hold", "--wait", "true"], 2, "--hold"),
        (["nope"], 2, "No such command"),
        (["show", "nope"], 1, "does not exist"),
        (["stop", "nope"], 1, "does not exist"),
        (["stop"], 2, "Missing argument"),
        (["list", "--status", "nope"], 2, "is not one of"),
        (["log", "../x"], 1, "does not exist"),
        (["--data", "/dev/null", "list"], 1, "is not a directory"),
    ],
)
def test_bad_usage_is_2_and_a_refusal_1_and_nothing_is_stored(
    app_py, data: Path, args: list[str], code: int, said: str
) -> None:
    done = app_py(*args)
    assert (done.code, said in done.err) == (code, True), done.err
    assert "Traceback" not in done.err
    assert code == 2 or len(done.err.strip().splitlines()) == 1
    assert list(data.glob("*.json")) == []


def test_bytes_that_are_no_utf8_are_refused(data: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(PROJECT / "app.py"), "run", b"echo \xff"], capture_output=True, timeout=30
    )
    assert done.returncode == 1
    assert b"not valid UTF-8" in done.stderr
    assert list(data.glob("*.json")) == []


def test_list_show_and_status(app_py, store: JobStore) -> None:
    held = app_py("run", "--hold", "--name", "held one", "--context", "mails", "true").out.strip()
    failed = app_py("run", "exit 3").out.strip()
    wait_for_end(store, failed)
    listed = app_py("list").out.splitlines()
    assert [line.split()[0] for line in listed] == [failed, held]
    assert "held one" in listed[1]
    assert [job["id"] for job in json.loads(app_py("list", "--status", "error", "--json").out)] == [failed]
    assert app_py("list", "--context", "mails").out.split()[0] == held
    assert len(app_py("list", "--limit", "1").out.splitlines()) == 1
    assert json.loads(app_py("show", "last", "--json").out)["exit_code"] == 3
    assert "exit code 3" in app_py("show", failed).out
    status = json.loads(app_py("status", "--json").out)
    assert (status["jobs"]["idle"], status["jobs"]["error"], status["slots"]) == (1, 1, 4)
    assert "4 of 4 free" in app_py("status").out


def test_verbs_take_several_ids_prefixes_and_last(app_py, store: JobStore) -> None:
    one, two = (app_py("run", "--hold", "true").out.strip() for _ in range(2))
    started = app_py("start", one, "last")
    assert (started.code, started.out.splitlines()) == (0, [f"{one} queued", f"{two} queued"])
    for job_id in (one, two):
        wait_for_end(store, job_id)
    mixed = app_py("stop", one, two, "nope")
    assert (mixed.code, len(mixed.err.splitlines())) == (1, 3)
    copy = app_py("again", one).out.strip()
    assert copy not in (one, two)
    assert wait_for_end(store, copy).status == "done"
    assert app_py("delete", one, two, copy).code == 0
    assert store.ids() == []


def test_kill_and_stop(app_py, store: JobStore) -> None:
    for verb, signum in (("kill", 9), ("stop", 15)):
        job_id = app_py("run", "exec sleep 1000").out.strip()
        wait_for_status(store, job_id, "active")
        assert app_py("delete", job_id).code == 1
        assert app_py(verb, job_id).code == 0
        assert wait_for_end(store, job_id).signal == signum


def test_pause_and_resume(app_py, store: JobStore) -> None:
    assert app_py("pause").code == 0
    job_id = app_py("run", "true").out.strip()
    assert json.loads(app_py("status", "--json").out)["paused"] is True
    assert store.get(job_id).status == "queued"
    app_py("resume")
    assert wait_for_end(store, job_id).status == "done"


def test_log_in_parts(app_py, store: JobStore) -> None:
    job_id = app_py("run", "seq 1 100; echo oops >&2; printf end").out.strip()
    wait_for_end(store, job_id)
    assert app_py("log", job_id, "-n", "3").out == "99\n100\nend"
    assert app_py("log", job_id, "-n", "0").out == ""
    assert app_py("log", job_id, "-n", "1000").out.startswith("1\n2\n")
    assert app_py("log", "--err", job_id).out == "oops\n"


def test_log_f_follows_until_the_end(data: Path, app_py, store: JobStore, tmp_path: Path) -> None:
    go = tmp_path / "go"
    job_id = app_py("run", f"echo first; while [ ! -e {go} ]; do sleep 0.02; done; echo last").out.strip()
    wait_for_status(store, job_id, "active")
    with subprocess.Popen(
        [sys.executable, str(PROJECT / "app.py"), "log", "-f", job_id], stdout=subprocess.PIPE, text=True
    ) as following:
        assert following.stdout.readline() == "first\n"
        go.touch()
        assert following.stdout.read() == "last\n"
    assert following.returncode == 0


def test_password_asks_twice_on_a_terminal(data: Path) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, str(PROJECT / "app.py"), "password"])
    said = b""
    for _ in range(2):
        while b"assword" not in said.rpartition(b"\n")[2] and b"onfirm" not in said.rpartition(b"\n")[2]:
            select.select([terminal], [], [], 20)
            said += os.read(terminal, 1000)
        os.write(terminal, b"geheim\n")
        said += b"\n"
    while True:
        try:
            part = os.read(terminal, 1000)
        except OSError:
            break
        if not part:
            break
        said += part
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(terminal)
    assert b"scrypt:" in said
    assert b"geheim" not in said


def test_a_pipe_that_closes_early_is_no_error(app_py, data: Path) -> None:
    for _ in range(3):
        app_py("run", "--hold", "x" * 50_000)
    done = subprocess.run(
        f"{sys.executable} {PROJECT}/app.py list --json | head -1",
        shell=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stdout == "[\n"
    assert "Traceback" not in done.stderr


def test_nothing_of_flask_is_imported_to_run_a_command(data: Path) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); sys.argv[:] = ['app.py', 'run', '--hold', 'true']\n"
        "from running_jobs.cli import main\n"
        "main(standalone_mode=False)\n"
        "print(*sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(PROJECT)], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.split()
    assert "click" in loaded
    assert not {"flask", "werkzeug", "jinja2", "waitress", "psutil"} & set(loaded)
    assert not {"concurrent.futures", "getpass", "hashlib", "logging", "shutil", "tempfile"} & set(loaded)
