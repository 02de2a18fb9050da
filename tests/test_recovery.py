"""Jobs whose runner died: found, their leftovers ended, declared lost, and nobody else touched."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from running_jobs.actions import Actions
from running_jobs.errors import WrongState
from running_jobs.job import to_iso
from running_jobs.processes import boot_id, look_at
from running_jobs.recovery import LOST
from running_jobs.store import JobStore

from .conftest import (
    Server,
    dispatcher_of,
    is_gone,
    kill_and_wait,
    processes_of,
    wait_for,
    wait_for_end,
    wait_for_session,
    wait_for_status,
)
from .test_runner import FAMILY, family_of


@pytest.mark.parametrize("also_the_dispatcher", [False, True])
def test_a_killed_runner_is_lost_and_its_processes_are_gone(
    actions: Actions, launch, data: Path, also_the_dispatcher: bool
) -> None:
    store = actions.store
    job = launch(f"echo kept; {FAMILY}")
    active = wait_for_status(store, job.id, "active")
    family = family_of(data)
    if also_the_dispatcher:
        kill_and_wait(dispatcher_of(data))
    os.kill(active.pid, signal.SIGKILL)
    if also_the_dispatcher:
        actions.wake()  # anything that wakes the directory
    lost = wait_for_end(store, job.id, 10)
    assert (lost.status, lost.reason, lost.exit_code) == ("error", LOST, None)
    assert lost.attempts[-1]["reason"] == LOST
    assert Path(store.paths.out(job.id)).read_text() == "kept\n"
    assert all(is_gone(process) for process in family)
    assert processes_of(data) == []


def test_a_leftover_with_a_cleared_environment_is_found_by_its_session(actions: Actions, launch) -> None:
    job = launch("exec env -i sleep 1000")
    active = wait_for_session(actions.store, job.id)
    command = psutil.Process(active.session)
    wait_for(lambda: command.name() == "sleep")
    os.kill(active.pid, signal.SIGKILL)
    wait_for_end(actions.store, job.id, 10)
    assert is_gone(command)


def forge(store: JobStore, actions: Actions, **fields: object) -> str:
    """Write a job that claims to be active, with nobody holding its lock."""
    job = actions.submit({"command": {"type": "exec", "cmd": "sleep 1000"}})
    record = store.get(job.id).to_dict() | {"status": "active", "started_at": to_iso(0), "attempt": 1, **fields}
    Path(store.paths.json(job.id)).write_text(json.dumps(record))
    return job.id


@pytest.mark.parametrize("case", ["other start time", "other boot", "no start time"])
def test_a_reused_pid_is_never_signalled(actions: Actions, store: JobStore, case: str) -> None:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as bystander:
        started = look_at(bystander.pid).started
        fields = {
            "other start time": {"pid_started": started - 1, "session_started": started - 1, "boot_id": boot_id()},
            "other boot": {"pid_started": started, "session_started": started, "boot_id": "another boot"},
            "no start time": {"pid_started": None, "session_started": None, "boot_id": boot_id()},
        }[case]
        job_id = forge(store, actions, pid=bystander.pid, session=bystander.pid, **fields)
        for verb in (actions.stop, actions.kill):  # asking must not signal it either
            with contextlib.suppress(WrongState):  # it was found lost already
                verb(job_id)
        assert wait_for_end(store, job_id, 12).reason == LOST
        assert bystander.poll() is None
        bystander.kill()


def daemon_with_a_dead_leader() -> psutil.Process:
    """Start a process as daemons are: a session whose leader has exited."""
    program = "import os, time; os.setsid(); p = os.fork(); print(p, flush=True) if p else time.sleep(1000)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as leader:
        return psutil.Process(int(leader.stdout.readline()))


def test_a_reused_session_is_not_believed_without_its_leader(actions: Actions, store: JobStore) -> None:
    bystander = daemon_with_a_dead_leader()
    try:
        earlier = look_at(bystander.pid).started - 1
        session = os.getsid(bystander.pid)
        job_id = forge(
            store, actions, pid=1, pid_started=0, boot_id=boot_id(), session=session, session_started=earlier
        )
        actions.wake()
        assert wait_for_end(store, job_id, 12).reason == LOST
        assert not is_gone(bystander)
    finally:
        kill_and_wait(bystander)


def test_a_leftover_that_hid_everything_is_found_by_the_log_it_writes(actions: Actions, launch, data: Path) -> None:
    job = launch("env -i setsid -f sleep 1000; env -i setsid -f sh -c 'echo $$; exec sleep 1000'; exec sleep 1000")
    active = wait_for_status(actions.store, job.id, "active")
    log = Path(actions.store.paths.out(job.id))
    wait_for(lambda: log.read_text().strip())
    hidden = psutil.Process(int(log.read_text()))
    os.kill(active.pid, signal.SIGKILL)
    assert wait_for_end(actions.store, job.id, 10).reason == LOST
    assert is_gone(hidden)


@pytest.mark.parametrize(
    "damage",
    [
        {"attempts": [1]}, {"pid": 99999999999}, {"name": "\ud800"}, {"timeout": 1e400}, {"retries": 10**400},
        {"command": {}}, {"command": {"type": "exec"}}, {"env": {"A": 1}}, {"asked": {"verb": 3}}, {"cwd": 3},
    ],
)  # fmt: skip
@pytest.mark.parametrize("status", ["active", "queued"])
def test_one_damaged_record_holds_nobody_up(
    actions: Actions, store: JobStore, launch, status: str, damage: dict
) -> None:
    job_id = forge(store, actions, pid=1, pid_started=0, boot_id=boot_id())
    record = json.loads(Path(store.paths.json(job_id)).read_text())
    Path(store.paths.json(job_id)).write_text(json.dumps(record | {"status": status} | damage))
    assert wait_for_end(store, launch("echo on").id).status == "done"
    errors = Path(store.paths.errors)
    assert wait_for_end(store, launch("echo on").id).status == "done"
    assert not errors.exists() or errors.read_text().count("dispatcher failed") == 0


def test_a_record_that_was_damaged_and_mended_by_hand_goes_on(actions: Actions, store: JobStore, launch) -> None:
    wait_for_status(store, launch("exec sleep 1000").id, "active")  # so that the dispatcher stays
    idle = actions.submit({"command": {"type": "exec", "cmd": "true"}})
    path = Path(store.paths.json(idle.id))
    whole = json.loads(path.read_text())
    path.write_text("{broken")
    wait_for_end(store, launch("true").id)
    path.write_text(json.dumps(whole | {"status": "queued"}))
    assert wait_for_end(store, idle.id, 15).status == "done"


def test_a_job_of_the_same_id_in_another_directory_is_not_a_leftover(
    actions: Actions, store: JobStore, tmp_path: Path
) -> None:
    job_id = forge(store, actions, pid=1, pid_started=0, boot_id="another boot")
    marks = {"JOB_ID": job_id, "JOB_FILES": str(tmp_path / "elsewhere" / f"{job_id}.files")}
    with subprocess.Popen(["sleep", "1000"], env={**os.environ, **marks}) as bystander:
        actions.wake()
        assert wait_for_end(store, job_id, 12).reason == LOST
        assert bystander.poll() is None
        bystander.kill()


def test_a_living_runner_whose_log_was_replaced_is_not_lost(actions: Actions, launch, data: Path) -> None:
    store = actions.store
    job = wait_for_status(store, launch("sleep 1; exit 6").id, "active")
    os.unlink(store.paths.out(job.id))
    actions.replace_dispatcher()
    ended = wait_for_end(store, job.id)
    assert (ended.status, ended.exit_code) == ("error", 6)


def test_a_job_lost_while_nothing_ran_is_found_when_a_server_starts(
    actions: Actions, store: JobStore, start_server
) -> None:
    job_id = forge(store, actions, pid=1, pid_started=0, boot_id="another boot")
    start_server()
    assert wait_for_end(store, job_id, 10).reason == LOST


def test_a_look_from_the_command_line_finds_it_too(actions: Actions, store: JobStore, app_py) -> None:
    job_id = forge(store, actions, pid=1, pid_started=0, boot_id="another boot")
    app_py("list")
    assert wait_for_end(store, job_id, 10).reason == LOST


def test_a_job_that_somebody_else_runs_is_never_lost(actions: Actions, store: JobStore, launch) -> None:
    job = actions.submit({"command": {"type": "exec", "cmd": "theirs"}})
    actions.report(job.id, store.get(job.id).status.__class__.ACTIVE)
    actions.replace_dispatcher()
    wait_for_end(store, launch("true").id)
    assert store.get(job.id).status == "active"


def test_server_and_dispatcher_killed_while_ten_jobs_run(configure, start_server, data: Path) -> None:
    actions = configure("slots = 10\n")
    server = start_server()
    line = "for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.1; done; exit %d"
    jobs = [
        actions.submit({"command": {"type": "exec", "cmd": line % number}, "start": True}).id for number in range(12)
    ]
    for job_id in jobs[:10]:
        wait_for_status(actions.store, job_id, "active")
    server.kill()
    kill_and_wait(dispatcher_of(data))
    for number, job_id in enumerate(jobs):
        ended = wait_for_end(actions.store, job_id)
        assert (ended.exit_code, ended.attempt) == (number, 1)
        assert Path(actions.store.paths.out(job_id)).read_text() == "1\n2\n3\n4\n5\n6\n7\n8\n"


def test_a_job_laid_there_by_hand_is_found_when_a_server_starts(
    actions: Actions, store: JobStore, start_server
) -> None:
    job_id = forge(store, actions, pid=1, pid_started=0, boot_id="another boot")
    start_server().kill()
    wait_for_end(store, job_id, 12)
    forged = forge(store, actions, pid=1, pid_started=0, boot_id="another boot")
    os.unlink(store.paths.marker(forged))
    start_server()
    assert wait_for_end(store, forged, 15).reason == LOST


def test_what_a_killed_runner_had_not_finished_writing_goes(actions: Actions, store: JobStore) -> None:
    job_id = forge(store, actions, pid=1, pid_started=0, boot_id="another boot")
    Path(store.paths.prepared(job_id)).write_text("{")
    actions.wake()
    assert wait_for_end(store, job_id, 12).reason == LOST
    wait_for(lambda: not os.path.lexists(store.paths.prepared(job_id)), timeout_s=2)


def test_a_job_changed_by_hand_is_found_within_ten_seconds(actions: Actions, store: JobStore, launch) -> None:
    wait_for_status(store, launch("exec sleep 1000").id, "active")  # a dispatcher lives
    idle = actions.submit({"command": {"type": "exec", "cmd": "true"}})
    os.unlink(store.paths.json(idle.id))  # half a creation, as a power cut would leave it
    wait_for(lambda: idle.id not in store.open_ids(), "the marker to be tidied away", 12)
    assert not os.path.exists(store.paths.out(idle.id))


def put_instead(path: Path, what: str) -> None:
    """Put something else in place of a file."""
    path.unlink(missing_ok=True)
    {
        "folder": path.mkdir,
        "link": lambda: path.symlink_to("/etc/hostname"),
        "dangling link": lambda: path.symlink_to("/nowhere/at/all"),
        "FIFO": lambda: os.mkfifo(path),
    }[what]()


ODD = ["folder", "link", "dangling link", "FIFO"]


@pytest.mark.parametrize("what", ODD)
def test_a_job_whose_log_was_replaced_and_whose_runner_died_is_lost(
    actions: Actions, launch, data: Path, what: str
) -> None:
    store = actions.store
    active = wait_for_session(store, launch("exec sleep 1000").id)
    put_instead(Path(store.paths.out(active.id)), what)
    os.kill(active.pid, signal.SIGKILL)
    lost = wait_for_end(store, active.id)
    assert (lost.status, lost.reason) == ("error", LOST)
    assert processes_of(data) == []


@pytest.mark.parametrize("what", ODD)
def test_something_in_place_of_the_dispatchers_lock_is_cleared_away(
    actions: Actions, launch, data: Path, server: Server, what: str
) -> None:
    store = actions.store
    wait_for_end(store, launch("true").id)
    put_instead(Path(store.paths.dispatcher_lock), what)
    assert server.get("/health").code == 200
    assert server.get("/metrics").code == 200
    job = launch("echo again")
    assert wait_for_end(store, job.id).status == "done"
    assert Path(store.paths.dispatcher_lock).is_file()


def test_a_file_in_place_of_the_results_ends_a_job_with_its_reason(actions: Actions, store: JobStore) -> None:
    job = actions.submit({"command": {"type": "exec", "cmd": "true"}})
    Path(store.paths.results(job.id)).write_text("mine")
    actions.start(job.id)
    ended = wait_for_end(store, job.id)
    assert (ended.status, ended.reason) == ("error", f"could not start: {store.paths.results(job.id)}: Not a directory")
    assert Path(store.paths.results(job.id)).read_text() == "mine"
