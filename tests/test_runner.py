"""One attempt: the double fork, the lock, the command's surroundings, and every way it can end."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from running_jobs import files
from running_jobs.actions import Actions
from running_jobs.errors import WrongState
from running_jobs.job import Job
from running_jobs.processes import LOOK_AGAIN
from running_jobs.runner import run_attempt
from running_jobs.store import JobStore

from .conftest import (
    PROJECT,
    dispatcher_of,
    end_everything,
    is_gone,
    processes_of,
    wait_for,
    wait_for_end,
    wait_for_session,
    wait_for_status,
)

FAMILY = "setsid sleep 1000 & (sleep 1000 &) ; exec sleep 1000"


def out(store: JobStore, job: Job) -> str:
    return Path(store.paths.out(job.id)).read_text()


def family_of(data: Path, size: int = 3) -> list[psutil.Process]:
    """Return a job's processes once there are so many that sleep."""

    def sleepers() -> list[psutil.Process] | None:
        with contextlib.suppress(psutil.NoSuchProcess):  # the shell between them may end while we look
            found = [process for process in processes_of(data) if process.name() == "sleep"]
            return found if len(found) == size else None
        return None

    return wait_for(sleepers)


def test_the_runner_is_a_child_of_init_in_a_session_of_its_own(launch, store: JobStore, data: Path) -> None:
    job = wait_for_session(store, launch("exec sleep 1000").id)
    runner, dispatcher = psutil.Process(job.pid), dispatcher_of(data)
    assert dispatcher is not None
    assert runner.ppid() != dispatcher.pid
    assert runner.ppid() in {
        1,
        *(process.pid for process in psutil.Process().parents()),
    }  # init, or a subreaper above us
    sessions = {os.getsid(pid) for pid in (job.pid, dispatcher.pid, job.session, os.getpid())}
    assert len(sessions) == 4
    assert os.getsid(job.session) == job.session
    assert [child for child in dispatcher.children() if child.status() == psutil.STATUS_ZOMBIE] == []
    assert dispatcher.children() == []


def test_the_runner_and_the_dispatcher_do_not_look_alike(launch, store: JobStore, data: Path) -> None:
    job = wait_for_status(store, launch("exec sleep 1000").id, "active")
    assert " ".join(psutil.Process(job.pid).cmdline()) == f"running-jobs: job {job.id}"
    assert dispatcher_of(data).cmdline()[-1] == str(data)


def test_the_runner_holds_only_its_lock_and_the_command_only_its_logs(launch, store: JobStore) -> None:
    job = launch("ls -l /proc/self/fd | sed 's/.* \\([0-9]\\+\\) -> /\\1 /'; echo --; exec sleep 1000")
    active = wait_for_session(store, job.id)
    wait_for(lambda: "--" in out(store, job))
    command_holds = [line for line in out(store, job).split("--")[0].splitlines() if " /" in line]
    assert [line for line in command_holds if "/proc/" not in line] == [
        "0 /dev/null",
        # `ls` writes into sed's pipe; only its err is the log itself
        f"2 {store.paths.err(job.id)}",
    ]

    def held_by_the_runner() -> list[str]:
        with contextlib.suppress(FileNotFoundError):  # it lets go of the store's lock once it has noted the session
            held = [os.readlink(f"/proc/{active.pid}/fd/{name}") for name in os.listdir(f"/proc/{active.pid}/fd")]
            return sorted(name.partition("[")[0] for name in held)
        return []

    wait_for(
        lambda: held_by_the_runner() == sorted(["/dev/null"] * 3 + ["pipe:"] * 2 + [store.paths.out(job.id)]),
        lambda: str(held_by_the_runner()),
    )
    logs = {"/dev/null", store.paths.out(job.id), store.paths.err(job.id)}

    def held_by_the_command() -> set[str]:
        with contextlib.suppress(FileNotFoundError):  # the loader opens and closes libraries while sleep starts
            return {os.readlink(f"/proc/{active.session}/fd/{fd}") for fd in os.listdir(f"/proc/{active.session}/fd")}
        return set()

    wait_for(lambda: held_by_the_command() == logs, lambda: str(held_by_the_command()))


def test_a_job_is_locked_as_long_as_it_lives(launch, store: JobStore) -> None:
    job = launch("exec sleep 1000")
    active = wait_for_session(store, job.id)
    assert files.is_locked(store.paths.out(job.id))
    os.kill(active.session, signal.SIGKILL)
    wait_for_end(store, job.id)
    wait_for(lambda: not files.is_locked(store.paths.out(job.id)))


def test_the_command_sees_its_job_and_nothing_of_the_application(
    launch, store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_MINE", "x")
    monkeypatch.setenv("JOBS_GRACE_SECONDS", "2")
    monkeypatch.setenv("JOB_ID", "of-another")
    monkeypatch.setenv("LC_TIME", "C")
    job = wait_for_end(store, launch("env", env={"MINE": "a b", "PATH": os.environ["PATH"]}).id)
    seen = dict(line.split("=", 1) for line in out(store, job).splitlines())
    assert seen["JOB_ID"] == job.id
    assert seen["JOB_ATTEMPT"] == "1"
    assert seen["JOB_FILES"] == store.paths.results(job.id)
    assert seen["PYTHONUNBUFFERED"] == "1"
    assert seen["MINE"] == "a b"
    assert seen["LC_TIME"] == "C"
    assert not [name for name in seen if name.startswith("JOBS_") or name == "SECRET_OF_MINE"]


def test_variables_that_the_settings_name_are_passed_on(configure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    actions = configure('pass_env = ["CUDA_VISIBLE_DEVICES"]\n')
    job = actions.submit({"command": {"type": "exec", "cmd": "echo $CUDA_VISIBLE_DEVICES"}, "start": True})
    assert out(actions.store, wait_for_end(actions.store, job.id)) == "1\n"


def test_the_command_starts_with_default_signals_umask_and_stdin(launch, store: JobStore, tmp_path: Path) -> None:
    job = launch("grep -E 'Sig(Blk|Ign)' /proc/self/status; umask; wc -c; pwd; touch made", cwd=str(tmp_path))
    wait_for_end(store, job.id)
    lines = out(store, job).split()
    reserved_by_the_c_library = 0x180000000  # 32 and 33: no program can set them, some set them all the same
    assert int(lines[1], 16) == 0
    assert int(lines[3], 16) & ~reserved_by_the_c_library == 0
    assert lines[4:] == ["0022", "0", str(tmp_path)]
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o644


def test_exit_code_times_and_usage_are_recorded(launch, store: JobStore) -> None:
    job = wait_for_end(store, launch("i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; exit 7").id)
    assert (job.status, job.exit_code, job.signal, job.reason) == ("error", 7, None, "exit code 7")
    assert job.usage["cpu_s"] > 0.02
    assert job.usage["max_rss_bytes"] > 500_000
    assert job.created_at <= job.queued_at <= job.started_at <= job.ended_at
    assert job.attempt == len(job.attempts) == 1
    assert job.attempts[0]["exit_code"] == 7
    assert job.attempts[0]["ended_at"] == job.ended_at


def test_a_signal_leaves_no_exit_code(launch, store: JobStore) -> None:
    job = wait_for_end(store, launch("kill -SEGV $$").id)
    assert (job.status, job.exit_code, job.signal, job.reason) == ("error", None, 11, "killed by SIGSEGV")
    assert wait_for_end(store, launch("kill -KILL $$").id).reason == "killed by SIGKILL (out of memory?)"


def test_out_and_err_are_kept_apart_and_private(launch, store: JobStore) -> None:
    job = wait_for_end(store, launch("echo one; echo two >&2; printf '\\377raw'").id)
    assert Path(store.paths.out(job.id)).read_bytes() == b"one\n\xffraw"
    assert Path(store.paths.err(job.id)).read_text() == "two\n"
    for path in (store.paths.out(job.id), store.paths.err(job.id), store.paths.json(job.id)):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


@pytest.mark.parametrize("verb", ["stop", "kill", "timeout"])
def test_every_process_is_gone_at_the_end(actions: Actions, launch, data: Path, verb: str) -> None:
    job = launch(FAMILY, timeout=2 if verb == "timeout" else 0)
    family = family_of(data)
    if verb != "timeout":
        getattr(actions, verb)(job.id, "alice")
    ended = wait_for_end(actions.store, job.id)
    assert all(is_gone(process) for process in family)
    assert {
        "stop": ("stop", "stopped by alice (killed by SIGTERM)"),
        "kill": ("stop", "killed by alice (killed by SIGKILL)"),
        "timeout": ("error", "timed out after 2 s"),
    }[verb] == (ended.status, ended.reason)


def test_kill_reaches_a_grandchild_that_daemonised_with_a_cleared_environment(actions: Actions, launch) -> None:
    job = launch("env -i setsid setsid sh -c 'echo $$; exec sleep 1000' & wait; exec sleep 1000")
    wait_for(lambda: out(actions.store, job).strip())
    daemon = psutil.Process(int(out(actions.store, job)))
    actions.kill(job.id)
    wait_for_end(actions.store, job.id)
    assert is_gone(daemon)


def test_a_job_that_ignores_sigterm_is_gone_after_the_grace(actions: Actions, launch) -> None:
    job = launch("trap '' TERM; echo ready; while :; do sleep 0.1; done")
    wait_for(lambda: "ready" in out(actions.store, job))
    before = time.monotonic()
    actions.stop(job.id)
    ended = wait_for_end(actions.store, job.id)
    assert ended.status == "stop"
    assert ended.signal == signal.SIGKILL
    assert time.monotonic() - before > 0.9  # the grace is one second here


def test_a_command_that_still_exits_0_after_stop_is_done(actions: Actions, launch) -> None:
    job = launch("trap 'echo saved; exit 0' TERM; echo ready; while :; do sleep 0.05; done")
    wait_for(lambda: "ready" in out(actions.store, job))
    actions.stop(job.id, "alice")
    ended = wait_for_end(actions.store, job.id)
    assert (ended.status, ended.reason) == ("done", "exit code 0 after it was asked to stop by alice")
    assert out(actions.store, job) == "ready\nsaved\n"


def test_twenty_stops_send_one_sigterm_and_a_kill_ends_the_grace(actions: Actions, launch, configure) -> None:
    actions = configure("grace_seconds = 60\n")
    actions.replace_dispatcher()
    job = actions.submit(
        {
            "command": {"type": "exec", "cmd": "trap 'echo term' TERM; echo ready; while :; do sleep 0.05; done"},
            "start": True,
        }
    )
    wait_for(lambda: "ready" in out(actions.store, job))
    for _ in range(20):
        actions.stop(job.id)
    wait_for(lambda: "term" in out(actions.store, job))
    actions.kill(job.id)
    assert wait_for_end(actions.store, job.id).reason == "killed (killed by SIGKILL)"
    assert out(actions.store, job) == "ready\nterm\n"


def test_a_stopped_process_sees_sigterm_too(actions: Actions, launch) -> None:
    job = launch("trap 'exit 0' TERM; echo ready; kill -STOP $$; while :; do sleep 0.05; done")
    active = wait_for_session(actions.store, job.id)
    wait_for(lambda: psutil.Process(active.session).status() == "stopped")
    actions.stop(job.id)
    assert wait_for_end(actions.store, job.id).status == "done"


def test_background_children_of_a_command_that_ended_are_left_and_named(launch, store: JobStore, data: Path) -> None:
    job = wait_for_end(store, launch("sleep 1000 & sleep 0.1; exit 0").id)
    (left,) = processes_of(data)
    assert job.status == "done"
    assert job.reason == f"exit code 0; left running in the background: sleep (pid {left.pid})"


def test_a_stop_that_comes_while_children_are_left_ends_them(actions: Actions, launch, data: Path) -> None:
    job = launch("trap 'exit 5' TERM; (trap '' TERM; exec sleep 1000) & echo ready; wait")
    wait_for(lambda: "ready" in out(actions.store, job))
    actions.stop(job.id)
    assert wait_for_end(actions.store, job.id).exit_code == 5
    assert processes_of(data) == []


def test_a_signal_to_a_runner_says_nothing_but_look(launch, store: JobStore) -> None:
    job = wait_for_status(store, launch("sleep 0.5; echo whole").id, "active")
    for signum in (LOOK_AGAIN, signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        os.kill(job.pid, signum)
    assert wait_for_end(store, job.id).status == "done"
    assert out(store, job) == "whole\n"


@pytest.mark.parametrize("what", ["cwd", "shell"])
def test_a_command_that_cannot_start_says_why(configure, tmp_path: Path, what: str) -> None:
    shell = tmp_path / "shell"
    shell.write_text("#!/no/such/interpreter\n")
    shell.chmod(0o755)
    actions = configure(f'shell = "{shell}"\n' if what == "shell" else "")
    place = tmp_path / "place"
    place.mkdir()
    job = actions.submit({"command": {"type": "exec", "cmd": "true"}, "cwd": str(place)})
    place.rmdir() if what == "cwd" else None
    actions.start(job.id)
    ended = wait_for_end(actions.store, job.id)
    assert ended.status == "error"
    assert ended.exit_code is None
    assert ended.reason == f"could not start: {place if what == 'cwd' else shell}: No such file or directory"


def test_the_results_folder_is_there_before_and_gone_if_empty(launch, store: JobStore) -> None:
    kept = wait_for_end(store, launch('echo x > "$JOB_FILES/result"').id)
    empty = wait_for_end(store, launch('test -d "$JOB_FILES"').id)
    assert empty.exit_code == 0
    wait_for(lambda: not os.path.exists(store.paths.results(empty.id)))
    assert os.listdir(store.paths.results(kept.id)) == ["result"]
    assert stat.S_IMODE(os.stat(store.paths.results(kept.id)).st_mode) == 0o700


def test_nice_belongs_to_the_command_alone(launch, store: JobStore) -> None:
    job = wait_for_session(store, launch("exec sleep 1000", nice=7).id)
    wait_for(lambda: psutil.Process(job.session).nice() == 7)
    assert psutil.Process(job.pid).nice() == 0


def test_ending_a_job_leaves_the_jobs_that_it_submitted_alone(
    actions: Actions, launch, data: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    go = tmp_path / "go"
    submit = f"{sys.executable} {PROJECT}/app.py --data {other} run 'until [ -e {go} ]; do sleep 0.05; done; exit 5'"
    job = launch(f"{submit}; {submit}; sleep 0.2; echo submitted; exec sleep 1000")
    wait_for(lambda: "submitted" in out(actions.store, job))
    there = JobStore(str(other))
    inner = [wait_for_status(there, job_id, "active") for job_id in there.ids()]
    assert len(inner) == 2
    try:
        actions.kill(job.id)
        assert wait_for_end(actions.store, job.id).status == "stop"
        go.touch()
        for job in inner:
            assert wait_for_end(there, job.id).exit_code == 5
    finally:
        end_everything(other)


@pytest.mark.parametrize("verb", ["stop", "kill", "timeout"])
def test_the_engine_s_mark_protects_no_command(actions: Actions, data: Path, verb: str) -> None:
    job = actions.submit(
        {
            "command": {"type": "exec", "cmd": "setsid env RUNNING_JOBS_ENGINE=1 sleep 1000 & exec sleep 1000"},
            "env": {"RUNNING_JOBS_ENGINE": "1"},
            "timeout": 0.7 if verb == "timeout" else 0,
            "start": True,
        }
    )
    family = family_of(data, 2)
    if verb != "timeout":
        getattr(actions, verb)(job.id)
    wait_for_end(actions.store, job.id)
    assert all(is_gone(process) for process in family)


def test_an_ignored_sigchld_of_whoever_starts_the_dispatcher_does_no_harm(data: Path, store: JobStore) -> None:
    program = (
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    )
    submit = [sys.executable, "-c", program, sys.executable, str(PROJECT / "app.py"), "run", "exit 3"]
    done = subprocess.run(submit, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert wait_for_end(store, done.stdout.strip()).exit_code == 3


def test_deletes_and_stops_during_a_start_leave_nothing(actions: Actions, launch, data: Path) -> None:
    for verb in ("delete", "stop"):
        for _ in range(40):
            job = launch("true")
            with contextlib.suppress(WrongState):
                getattr(actions, verb)(job.id)
    wait_for(lambda: not os.listdir(actions.store.paths.open))
    wait_for_end(actions.store, launch("true").id)

    def orphans() -> list[str]:
        return [
            path.name
            for path in data.iterdir()
            if path.suffix in (".out", ".err") and not path.with_suffix(".json").exists()
        ]

    wait_for(lambda: not orphans(), lambda: str(orphans()))
    wait_for(lambda: not list(data.glob("*.files")), lambda: str(list(data.glob("*.files"))))
    errors = Path(actions.store.paths.errors)
    assert not errors.exists() or "still queued" not in errors.read_text()


def test_kill_catches_a_process_that_forks_and_exits_all_the_time(actions: Actions, launch, data: Path) -> None:
    comet = "import os\nwhile True:\n    if os.fork(): os._exit(0)\n    os.setsid()\n"
    job = launch(f"{sys.executable} -c '{comet}' & exec sleep 1000")
    wait_for(lambda: len(processes_of(data)) >= 2)
    actions.kill(job.id)
    wait_for_end(actions.store, job.id, 5)
    assert processes_of(data) == []


def test_a_link_in_place_of_a_log_ends_the_job_with_a_reason(actions: Actions, store: JobStore, tmp_path: Path) -> None:
    job = actions.submit({"command": {"type": "exec", "cmd": "echo x"}})
    os.unlink(store.paths.err(job.id))
    os.symlink(tmp_path / "target", store.paths.err(job.id))
    actions.start(job.id)
    ended = wait_for_end(store, job.id)
    assert ended.status == "error"
    assert "could not start" in ended.reason
    assert not (tmp_path / "target").exists()


def test_a_runner_that_finds_its_job_claimed_leaves_it_alone(actions: Actions, launch, store: JobStore) -> None:
    job = launch("echo once; sleep 0.3")
    wait_for_status(store, job.id, "active")
    actions.replace_dispatcher()
    ended = wait_for_end(store, job.id)
    assert ended.attempt == 1
    assert out(store, job) == "once\n"


@pytest.mark.parametrize("is_late", [True, False], ids=["its turn is over", "its turn has come, as far as it knows"])
def test_a_second_runner_of_a_job_leaves_the_folder_of_the_first(
    launch, store: JobStore, actions: Actions, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_late: bool
) -> None:
    go_on = tmp_path / "go on"
    job = launch(f"until [ -e '{go_on}' ]; do sleep 0.01; done; echo kept > $JOB_FILES/result")
    wait_for_session(store, job.id)
    monkeypatch.setattr("running_jobs.runner.CLAIM_WAIT_S", 0.05)
    ran = run_attempt(store, actions.settings, job.id, (0, 0, 0) if is_late else store.version(job.id))
    assert ran.settled is None
    go_on.touch()
    assert wait_for_end(store, job.id).status == "done"
    assert Path(store.paths.results(job.id), "result").read_text() == "kept\n"
    assert not os.path.exists(store.paths.errors)


def test_kill_outruns_a_storm_of_forks(actions: Actions, launch, data: Path) -> None:
    storm = "f() { while [ $(ls -d /proc/[0-9]* | wc -l) -lt 400 ]; do (f) & sleep 0.03; done; sleep 0.05; f; }; f"
    job = launch(storm)
    wait_for(lambda: len(processes_of(data)) > 60)
    actions.kill(job.id)
    assert wait_for_end(actions.store, job.id).reason == "killed (killed by SIGKILL)"
    assert processes_of(data) == []
