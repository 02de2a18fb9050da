"""The dispatcher: one per directory, started on demand, replaced, leaving, never a loss when it is killed."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from running_jobs import dispatcher as dispatcher_module
from running_jobs import engine, files, wake
from running_jobs.actions import Actions
from running_jobs.errors import LockTimeout
from running_jobs.files import try_lock
from running_jobs.job import QUEUED, Job, JobStatus
from running_jobs.processes import ENGINE_MARK, boot_id, own_start
from running_jobs.store import JobStore

from .conftest import (
    PROJECT,
    TEST_MARK,
    Server,
    dispatcher_of,
    is_gone,
    kill_and_wait,
    remove_tree,
    wait_for,
    wait_for_end,
    wait_for_status,
)


def test_slots_bound_how_many_run_and_the_first_come_is_the_first_served(configure, tmp_path: Path) -> None:
    actions = configure("slots = 2\n")
    log = tmp_path / "order"
    line = f'echo "+$JOB_ID" >> {log}; sleep 0.05; echo "-$JOB_ID" >> {log}'
    jobs = [actions.submit({"command": {"type": "exec", "cmd": line}, "start": True}).id for _ in range(8)]
    for job_id in jobs:
        wait_for_end(actions.store, job_id)
    running = most = 0
    for mark in log.read_text().split():
        running += 1 if mark[0] == "+" else -1
        most = max(most, running)
    assert most == 2
    started = [actions.store.get(job_id).started_at for job_id in jobs]
    assert all(first <= later for first, later in zip(started, started[2:]))  # two at a time may change places


def test_one_slot_runs_them_in_order_of_priority_then_arrival(configure, tmp_path: Path) -> None:
    actions = configure("slots = 1\n")
    actions.pause(True)
    log = tmp_path / "order"
    for number, priority in enumerate([100, 900, 500, 900]):
        cmd = f"echo {number} >> {log}"
        actions.submit({"command": {"type": "exec", "cmd": cmd}, "start": True, "priority": priority})
    actions.pause(False)
    wait_for(lambda: log.exists() and log.read_text().split() == ["1", "3", "2", "0"], lambda: log.read_text())


def test_paused_starts_nothing_and_running_jobs_go_on(actions: Actions, launch, store: JobStore) -> None:
    running = launch("sleep 0.3; echo through")
    wait_for_status(store, running.id, "active")
    actions.pause(True)
    waiting = launch("true")
    assert wait_for_end(store, running.id).status == "done"
    assert store.get(waiting.id).status == "queued"
    actions.pause(False)
    assert wait_for_end(store, waiting.id).status == "done"


def test_fifty_submitters_start_one_dispatcher_and_every_job_runs_once(
    data: Path, store: JobStore, tmp_path: Path
) -> None:
    (data / "config.toml").write_text("slots = 4\n")
    ran = tmp_path / "ran"
    ran.mkdir()
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from running_jobs.actions import Actions\n"
        "from running_jobs.settings import load_settings\n"
        "actions = Actions(load_settings(sys.argv[2]))\n"
        "for _ in range(40):\n"
        "    cmd = 'echo x >> ' + sys.argv[3] + '/$JOB_ID'\n"
        "    print(actions.submit({'command': {'type': 'exec', 'cmd': cmd}, 'start': True}).id)\n"
    )
    submitters = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(PROJECT), str(data), str(ran)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(50)
    ]
    accepted = [job_id for submitter in submitters for job_id in submitter.communicate()[0].split()]
    assert all(submitter.returncode == 0 for submitter in submitters)
    assert len(accepted) == len(set(accepted)) == 2000
    wait_for(lambda: not os.listdir(store.paths.open), lambda: f"{len(store.open_ids())} of 2000 jobs", 100)
    assert {store.get(job_id).status for job_id in accepted} == {"done"}
    assert sorted(os.listdir(ran)) == sorted(accepted)
    assert all((ran / job_id).read_text() == "x\n" for job_id in accepted)
    owners = [p for p in psutil.process_iter(["cmdline"]) if (p.info["cmdline"] or [""])[-1] == str(data)]
    assert len(owners) == 1
    assert not Path(store.paths.errors).exists(), Path(store.paths.errors).read_text()


def test_killing_the_dispatcher_loses_nothing(actions: Actions, configure, data: Path) -> None:
    actions = configure("slots = 3\n")
    jobs = [
        actions.submit({"command": {"type": "exec", "cmd": f"sleep 0.5; echo {n}; exit {n}"}, "start": True})
        for n in range(10)
    ]
    wait_for_status(actions.store, jobs[2].id, "active")
    kill_and_wait(dispatcher_of(data))
    for number, job in enumerate(jobs):  # the runners that end find none, and start another
        ended = wait_for_end(actions.store, job.id)
        assert (ended.exit_code, ended.attempt) == (number, 1)
        assert Path(actions.store.paths.out(job.id)).read_text() == f"{number}\n"


def test_a_replaced_dispatcher_has_the_new_settings_and_no_job_notices(configure, data: Path, tmp_path: Path) -> None:
    actions = configure("slots = 1\n")
    go = tmp_path / "go"
    line = f"while [ ! -e {go} ]; do sleep 0.02; done; echo through"
    running, waiting = (actions.submit({"command": {"type": "exec", "cmd": line}, "start": True}) for _ in range(2))
    wait_for_status(actions.store, running.id, "active")
    old = dispatcher_of(data)
    actions = configure("slots = 2\n")
    actions.replace_dispatcher()
    wait_for_status(actions.store, waiting.id, "active")
    assert actions.store.get(running.id).status == "active"
    assert is_gone(old)
    assert dispatcher_of(data).pid != old.pid
    go.touch()
    for job in (running, waiting):
        assert wait_for_end(actions.store, job.id).exit_code == 0


def test_it_sees_nothing_of_the_environment_of_who_started_it(
    launch, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOB_ID", "of-another")
    monkeypatch.setenv("TOKEN", "x")
    launch("true")
    dispatcher = wait_for(lambda: dispatcher_of(data))
    assert set(dispatcher.environ()) <= {*engine.PASSED_ON, ENGINE_MARK, "LC_CTYPE", "LC_ALL", TEST_MARK}
    assert dispatcher.cmdline()[1:3] == ["-I", "-S"]
    assert dispatcher.num_threads() == 1


def test_it_uses_no_cpu_while_it_waits(launch, store: JobStore, data: Path) -> None:
    wait_for_status(store, launch("exec sleep 1000").id, "active")
    dispatcher = dispatcher_of(data)
    wait_for(lambda: dispatcher.status() == "sleeping")
    before = dispatcher.cpu_times()
    before_switches = dispatcher.num_ctx_switches().voluntary
    select.select([], [], [], 3)
    after = dispatcher.cpu_times()
    assert round(after.user + after.system - before.user - before.system, 3) <= 0.02
    assert dispatcher.num_ctx_switches().voluntary - before_switches < 20


def run_inline(actions: Actions, data: Path) -> subprocess.Popen:
    """Start a dispatcher by hand that leaves after half a second without work."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from running_jobs import daemon, dispatcher\n"
        "dispatcher.LINGER_S = 0.5\n"
        "daemon.main(sys.argv[-1])\n"
    )
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", program, str(PROJECT), str(data)], stdin=subprocess.DEVNULL
    )


def test_it_leaves_when_there_is_nothing_to_do_and_comes_back(actions: Actions, data: Path, launch) -> None:
    actions.store.prepare()
    process = run_inline(actions, data)
    assert process.wait(timeout=20) == 0
    assert not wake.dispatcher_lives(actions.store.paths)
    assert wait_for_end(actions.store, launch("true").id).status == "done"


def test_jobs_queued_while_it_leaves_are_never_left_behind(actions: Actions, data: Path, launch) -> None:
    actions.store.prepare()
    for _ in range(2):
        process = run_inline(actions, data)
        while process.poll() is None:
            wait_for_end(actions.store, launch("true").id)
            select.select([], [], [], 0.499)
        wait_for_end(actions.store, launch("true").id)
        if dispatcher := dispatcher_of(data):
            kill_and_wait(dispatcher)


def test_a_second_one_by_hand_gives_way(actions: Actions, data: Path, launch, monkeypatch: pytest.MonkeyPatch) -> None:
    wait_for_end(actions.store, launch("true").id)
    first = dispatcher_of(data)
    second = subprocess.run(
        [sys.executable, "-I", "-S", str(PROJECT / "running_jobs" / "__main__.py"), str(data)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert "is locked by another process" in second.stderr
    assert dispatcher_of(data) == first


def test_it_leaves_when_its_folder_is_gone(actions: Actions, data: Path, launch) -> None:
    wait_for_end(actions.store, launch("true").id)
    dispatcher = dispatcher_of(data)
    remove_tree(data)
    wait_for(lambda: is_gone(dispatcher))
    data.mkdir()


def test_run_may_be_deleted_when_nothing_runs(actions: Actions, data: Path, launch) -> None:
    held = actions.submit({"command": {"type": "exec", "cmd": "echo held"}})
    first = wait_for_end(actions.store, launch("true").id)
    runner = first.pid
    wait_for(lambda: not psutil.pid_exists(runner) or is_gone(psutil.Process(runner)))  # then nothing runs
    remove_tree(data / "run")
    second = wait_for_end(actions.store, launch("true").id)
    assert second.id > first.id
    actions.start(held.id)
    assert wait_for_end(actions.store, held.id).status == "done"


def test_anything_in_place_of_the_fifo_is_replaced(actions: Actions, data: Path, launch, tmp_path: Path) -> None:
    actions.store.prepare()
    target = tmp_path / "target"
    target.touch()
    os.symlink(target, actions.store.paths.wake)
    assert wait_for_end(actions.store, launch("true").id).status == "done"
    assert target.read_bytes() == b""


def test_few_descriptors_delay_jobs_and_lose_none(configure, data: Path) -> None:
    actions = configure("slots = 60\n")
    program = (
        "import resource, sys; sys.path.insert(0, sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (30, 30))\n"
        "from running_jobs import daemon; daemon.main(sys.argv[-1])\n"
    )
    jobs = [actions.submit({"command": {"type": "exec", "cmd": "sleep 0.2"}}).id for _ in range(60)]
    hungry = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", program, str(PROJECT), str(data)], stdin=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: wake.dispatcher_lives(actions.store.paths))
        for job_id in jobs:
            actions.start(job_id)
        for job_id in jobs:
            assert wait_for_end(actions.store, job_id, 40).exit_code == 0
        assert hungry.poll() is None
        wait_for(lambda: psutil.Process(hungry.pid).num_fds() < 12)
    finally:
        hungry.kill()
        hungry.wait()


def test_a_command_gets_the_open_files_limit_of_whoever_started_it_all(launch, store: JobStore) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(500, hard), hard))
    try:
        job = wait_for_end(store, launch("ulimit -n").id)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert Path(store.paths.out(job.id)).read_text() == "500\n"


def test_a_line_without_its_change_makes_no_job_starve(configure, data: Path) -> None:
    actions = configure("slots = 1\n")
    store = actions.store
    first = actions.submit({"command": {"type": "exec", "cmd": "sleep 0.5"}, "start": True})
    wait_for_status(store, first.id, "active")
    waiting = actions.submit({"command": {"type": "exec", "cmd": "true"}, "start": True})
    with open(store.paths.journal, "a") as journal:
        journal.write(f"2026-11-21T20:39:15.123Z {waiting.id} true - stop - stopped before it started\n")
    later = actions.submit({"command": {"type": "exec", "cmd": "true"}, "start": True})
    assert wait_for_end(store, later.id).started_at > wait_for_end(store, waiting.id).started_at


def test_a_chain_of_jobs_that_can_never_run_ends_without_a_poke_for_each(launch, store: JobStore) -> None:
    failing = launch("sleep 0.2; exit 1")
    chain = [failing.id]
    for _ in range(20):
        chain.append(launch("true", after=[chain[-1]]).id)
    assert wait_for_end(store, chain[-1]).reason == f"job {chain[-2]} ended error"  # at ten seconds each, in 200
    assert {store.get(job_id).status for job_id in chain} == {"error"}


def test_who_only_looks_whether_one_lives_keeps_none_from_starting(
    actions: Actions, monkeypatch: pytest.MonkeyPatch
) -> None:
    actions.pause(True)
    wait_for(lambda: wake.dispatcher_lives(actions.store.paths))
    wake.poke(actions.store.paths)
    kill_and_wait(wait_for(lambda: dispatcher_of(actions.store.paths.data)))
    held = [True]
    with monkeypatch.context() as patched:
        patched.setattr(files, "try_lock", lambda *args: not (held and held.pop()) and try_lock(*args))
        pid = wake.ensure_dispatcher(actions.settings)
    assert (held, pid is not None) == ([], True)
    os.waitpid(pid, 0)


def test_what_a_killed_dispatcher_had_just_forked_keeps_none_from_starting(actions: Actions) -> None:
    lock = _lock_signed_by(actions, pid=2**22, started=1)  # higher than pids can be
    threading.Timer(0.1, os.close, [lock]).start()
    pid = wake.ensure_dispatcher(actions.settings)
    assert pid is not None
    os.waitpid(pid, 0)


def test_one_that_lives_is_not_waited_for_nor_one_that_is_about_to(actions: Actions) -> None:
    lock = _lock_signed_by(actions, pid=os.getpid(), started=own_start())
    asked = []

    def give_up(descriptor: int, path: str, wait_s: float) -> None:
        asked.append(wait_s)
        raise LockTimeout(path, wait_s)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(files, "wait_for_lock", give_up)
        assert wake.ensure_dispatcher(actions.settings) is None
        os.pwrite(lock, b"".ljust(200), 0)
        assert wake.ensure_dispatcher(actions.settings) is None
    assert asked == [wake.PROBED_S] * 2
    os.close(lock)


def _lock_signed_by(actions: Actions, pid: int, started: int | None) -> int:
    actions.store.prepare()
    lock = files.take_lock(actions.store.paths.dispatcher_lock)
    os.write(lock, json.dumps({"pid": pid, "started": started, "boot_id": boot_id()}).encode())
    return lock


def test_whoever_starts_one_removes_the_signature_of_the_last(actions: Actions) -> None:
    signed = Path(actions.store.paths.dispatcher_lock)
    os.close(_lock_signed_by(actions, pid=2**22, started=1))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(wake, "spawn", lambda *args: 1)
        assert wake.ensure_dispatcher(actions.settings) == 1
    assert signed.read_text().strip() == ""


def test_a_server_serves_beside_a_dispatcher_that_does_not_leave(
    actions: Actions, data: Path, start_server: Callable[..., Server]
) -> None:
    launch = {"command": {"type": "exec", "cmd": "true"}, "start": True}
    wait_for_end(actions.store, actions.submit(launch).id)
    found = wait_for(lambda: dispatcher_of(data))
    found.suspend()
    try:
        server = start_server()
        assert server.get("/health").code == 200
        assert "The dispatcher that lives has not left" in server.log.read_text()
    finally:
        found.resume()
    assert wait_for_end(actions.store, actions.submit(launch).id).status == "done"


def test_a_runner_that_comes_too_early_leaves_the_job_queued(actions: Actions, data: Path, store: JobStore) -> None:
    """As one does that was started for an earlier attempt, and waited for the lock until that had failed."""
    store.prepare()
    job = store.create(
        Job(
            id="",
            status=QUEUED,
            command={"type": "exec", "cmd": "true"},
            cwd="/",
        )
    )
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import select\n"
        "from running_jobs.executors.local import LocalExecutor\n"
        "from running_jobs.settings import load_settings\n"
        "from running_jobs.store import JobStore\n"
        "settings = load_settings(sys.argv[2])\n"
        "store = JobStore.of(settings)\n"
        "version = store.version(sys.argv[3])\n"
        "store.update(sys.argv[3], lambda job: {'not_before': '2100-01-01T00:00:00.000Z'})\n"
        "done = LocalExecutor(store, settings).launch(sys.argv[3], version)\n"
        "select.select([done], [], [])\n"
    )
    subprocess.run([sys.executable, "-I", "-S", "-c", program, str(PROJECT), str(data), job.id], check=True)
    assert (store.get(job.id).status, store.get(job.id).attempt) == ("queued", 0)
    assert not Path(store.paths.results(job.id)).exists()
    assert not Path(store.paths.errors).exists()


def test_a_job_run_elsewhere_keeps_no_dispatcher(actions: Actions, data: Path) -> None:
    job = actions.submit({"command": {"type": "exec", "cmd": "theirs"}})
    actions.report(job.id, JobStatus.ACTIVE)
    assert run_inline(actions, data).wait(timeout=20) == 0


def test_a_removed_directory_is_not_made_again(launch, store: JobStore, data: Path) -> None:
    job = wait_for_status(store, launch("sleep 0.5").id, "active")
    runner = psutil.Process(job.pid)
    remove_tree(data)
    wait_for(lambda: is_gone(runner))
    assert not data.exists()
    data.mkdir()


def test_a_disk_that_refuses_the_claim_is_tried_again(actions: Actions, launch, store: JobStore) -> None:
    """A log on a read-only mount makes the claim fail as a failing disk would, until it can be written again."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    actions.pause(True)
    job = launch("echo ran")
    log = store.paths.out(job.id)
    if subprocess.run(["mount", "--bind", log, log], capture_output=True).returncode != 0:
        pytest.skip("nothing can be mounted")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", log], check=True)
        actions.pause(False)
        wait_for(lambda: Path(store.paths.errors).exists() and "was not run" in Path(store.paths.errors).read_text())
        assert store.get(job.id).status == "queued"
    finally:
        subprocess.run(["umount", "-l", log], check=True)
    assert wait_for_end(store, job.id).attempt == 1


def test_an_unreadable_job_is_told_once_and_holds_nobody_up(actions: Actions, store: JobStore, launch) -> None:
    held = actions.submit({"command": {"type": "exec", "cmd": "true"}})
    Path(store.paths.json(held.id)).write_text("{broken")
    for _ in range(3):
        wait_for_end(store, launch("true").id)
    assert Path(store.paths.errors).read_text().count(held.id) <= 1
    assert Path(store.paths.json(held.id)).read_text() == "{broken"


def test_a_dead_dispatcher_is_not_kept_alive_by_its_runners(launch, store: JobStore, data: Path) -> None:
    wait_for_status(store, launch("exec sleep 1000").id, "active")
    kill_and_wait(dispatcher_of(data))
    wait_for(lambda: not wake.dispatcher_lives(store.paths), "the lock to be free", 5)
    assert not wake.poke(store.paths)


def test_the_wait_is_never_longer_than_ten_seconds() -> None:
    assert dispatcher_module.LOOK_EVERY_S <= 10


def test_sigterm_ends_it_at_once(launch, store: JobStore, data: Path) -> None:
    job = wait_for_status(store, launch("sleep 0.5; exit 4").id, "active")
    dispatcher = dispatcher_of(data)
    dispatcher.send_signal(signal.SIGTERM)
    wait_for(lambda: is_gone(dispatcher), "its end", 5)
    assert wait_for_end(store, job.id).exit_code == 4
