"""A runner that is done takes the next job: nothing of one job is left in the next, and nobody stays behind."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from running_jobs.actions import Actions
from running_jobs.executors.runner_process import MOST_JOBS
from running_jobs.job import ACTIVE, QUEUED, Job
from running_jobs.processes import boot_id, look_at
from running_jobs.recovery import declare_lost
from running_jobs.sampling import TICKS_PER_S
from running_jobs.store import JobStore

from .conftest import (
    PROJECT,
    dispatcher_of,
    end_everything,
    engine_of,
    is_gone,
    kill_and_wait,
    wait_for,
    wait_for_end,
    wait_for_session,
    wait_for_status,
)


@pytest.fixture
def one_slot(configure) -> Actions:
    """Actions of a data directory where one job runs at a time."""
    return configure("slots = 1\n")


def submit(actions: Actions, cmd: str, **options: object) -> Job:
    return actions.submit({"command": {"type": "exec", "cmd": cmd}, "start": True, **options})


def out(store: JobStore, job: Job) -> str:
    return Path(store.paths.out(job.id)).read_text()


def in_turn(actions: Actions, *wishes: dict[str, object]) -> list[Job]:
    """Queue jobs at once, each `cmd` with options, and return them as they ended."""
    actions.pause(True)
    jobs = [submit(actions, **wish) for wish in wishes]
    actions.pause(False)
    return [wait_for_end(actions.store, job.id) for job in jobs]


@contextlib.contextmanager
def spare_after_a_job(actions: Actions) -> Iterator[tuple[psutil.Process, Job]]:
    """Yield a runner without a job and the job that it ran, with a dispatcher that does not get to dismiss it."""
    actions.pause(True)
    job = submit(actions, "true")
    dispatcher = wait_for(lambda: dispatcher_of(actions.store.paths.data))
    actions.pause(False)
    job = wait_for_end(actions.store, job.id)
    dispatcher.suspend()
    try:
        runner = psutil.Process(job.pid)
        wait_for(lambda: " ".join(runner.cmdline()) == "running-jobs: without a job")
        yield runner, job
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            dispatcher.resume()


def has_an_order(runner: psutil.Process) -> bool:
    """Say whether something lies in one of a runner's pipes."""
    folder = f"/proc/{runner.pid}/fd"
    for name in os.listdir(folder):
        if os.readlink(f"{folder}/{name}").startswith("pipe:"):
            with open(f"{folder}/{name}", "rb") as pipe:
                if fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4) != b"\0" * 4:
                    return True
    return False


def test_jobs_that_follow_each_other_share_a_runner(one_slot: Actions) -> None:
    ended = in_turn(one_slot, *({"cmd": f"echo {number}; exit {number}"} for number in range(20)))
    assert [(job.exit_code, out(one_slot.store, job)) for job in ended] == [(n, f"{n}\n") for n in range(20)]
    assert len({(job.pid, job.pid_started) for job in ended}) == 1
    assert len({job.session for job in ended}) == 20
    assert all(job.cpu_before_s is None for job in ended)


def test_no_runner_runs_jobs_for_ever(configure) -> None:
    actions = configure("slots = 1\nfsync = false\n")
    ended = in_turn(actions, *({"cmd": "true"} for _ in range(2 * MOST_JOBS + 1)))
    runs = [len(list(group)) for _, group in itertools.groupby(job.pid for job in ended)]
    assert max(runs) == MOST_JOBS
    assert {(job.status, job.attempt) for job in ended} == {("done", 1)}


def test_a_runner_without_a_job_leaves_soon(one_slot: Actions) -> None:
    with spare_after_a_job(one_slot) as (runner, _):
        pass
    wait_for(lambda: is_gone(runner))
    assert not Path(one_slot.store.paths.errors).exists()


def test_a_runner_without_a_job_holds_nothing(one_slot: Actions) -> None:
    with spare_after_a_job(one_slot) as (runner, _):
        held = [os.readlink(f"/proc/{runner.pid}/fd/{name}") for name in os.listdir(f"/proc/{runner.pid}/fd")]
        pipes = [name for name in held if name.startswith("pipe:")]
        assert (len(pipes), len(set(pipes))) == (2, 2)
        assert set(held) - set(pipes) == {"/dev/null"}
        assert (runner.cwd(), runner.children()) == ("/", [])


def test_a_runner_that_stays_without_a_job_is_found_and_ended_after_a_test(one_slot: Actions, data: Path) -> None:
    with spare_after_a_job(one_slot) as (runner, _):
        runner.suspend()  # it neither takes a job nor notices that its dispatcher is gone
        try:
            found = engine_of(data)
            assert {runner.pid, dispatcher_of(data).pid} < {process.pid for process in found}
            end_everything(data)
            assert all(map(is_gone, found))
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                runner.kill()


def test_nothing_of_one_job_is_in_the_next(one_slot: Actions, tmp_path: Path) -> None:
    look = "umask; pwd; nice; ulimit -n; ulimit -c; env | grep -c MINE; ls /proc/self/fd | wc -l; grep -E Sig[BIC] /proc/self/status"
    alter = f"umask 077; ulimit -n 50; ulimit -c 1; trap '' TERM; exec 9>{tmp_path}/open; {look}"
    first, altered, after = in_turn(
        one_slot,
        {"cmd": look, "cwd": "/"},
        {"cmd": alter, "cwd": str(tmp_path), "nice": 7, "env": {"MINE": "x"}},
        {"cmd": look, "cwd": "/"},
    )
    assert first.pid == altered.pid == after.pid
    assert out(one_slot.store, altered) != out(one_slot.store, first)
    assert out(one_slot.store, altered).splitlines()[:3] == ["0077", str(tmp_path), "7"]
    assert out(one_slot.store, after) == out(one_slot.store, first)


def test_what_could_not_be_started_is_nothing_to_the_next(one_slot: Actions, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    one_slot.pause(True)
    jobs = [submit(one_slot, "true", cwd=str(gone)), submit(one_slot, "pwd", cwd="/")]
    gone.rmdir()
    one_slot.pause(False)
    lost, ran = (wait_for_end(one_slot.store, job.id) for job in jobs)
    assert lost.reason == f"could not start: {gone}: No such file or directory"
    assert (ran.status, out(one_slot.store, ran), ran.pid) == ("done", "/\n", lost.pid)


PUT_BACK = """
import errno, os, sys
sys.path.insert(0, sys.argv[1])
from running_jobs.runner import become_runner, run_attempt
from running_jobs.settings import Settings
from running_jobs.store import JobStore

def no_process(*_, **__):
    if "stop" in sys.argv:
        store.update(job_id, lambda job: {"asked": {"verb": "stop", "by": "vera", "at": job.created_at}})
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN), "/bin/sh")

store, job_id = JobStore(sys.argv[2]), sys.argv[3]
os.posix_spawn = no_process
become_runner()
assert run_attempt(store, Settings(data=sys.argv[2]), job_id, store.version(job_id)).leaves_nothing
"""


def without_a_process(store: JobStore, *what: str) -> Job:
    """Run a job in a process of its own that can start no other, and return it as it is then."""
    store.prepare()
    job = store.create(Job(id="", status=QUEUED, command={"type": "exec", "cmd": "x"}, cwd="/"))
    program = [sys.executable, "-I", "-S", "-c", PUT_BACK, str(PROJECT), store.paths.data, job.id, *what]
    subprocess.run(program, check=True, timeout=60)
    return store.get(job.id)


def test_a_command_that_finds_no_process_just_now_is_put_back(store: JobStore) -> None:
    found = without_a_process(store)
    assert (found.status, found.attempt, found.attempts, found.pid) == ("queued", 0, [], None)
    assert found.reason == "could not start yet: /bin/sh: Resource temporarily unavailable"
    assert found.not_before is not None


def test_a_job_that_leaves_processes_keeps_its_runner_from_the_next(one_slot: Actions) -> None:
    first, after = in_turn(one_slot, {"cmd": "sleep 1000 & echo $!"}, {"cmd": "true"})
    left = psutil.Process(int(out(one_slot.store, first)))
    try:
        assert "left running in the background: " in first.reason
        assert (after.reason, after.pid == first.pid) == ("exit code 0", False)
        assert left.is_running()
        wait_for(lambda: left.ppid() != first.pid)
    finally:
        left.kill()


def test_stop_kill_and_timeout_end_the_job_that_they_mean_in_a_runner_used_before(one_slot: Actions) -> None:
    store = one_slot.store
    for end in (one_slot.stop, one_slot.kill):
        with spare_after_a_job(one_slot) as (_, before):
            job = submit(one_slot, "sleep 1000; true")
        assert wait_for_session(store, job.id).pid == before.pid
        end(job.id)
        assert wait_for_end(store, job.id).status == "stop"
    with spare_after_a_job(one_slot) as (_, before):
        job = submit(one_slot, "sleep 1000", timeout=0.1)
    job = wait_for_end(store, job.id)
    assert (job.reason, job.pid) == ("timed out after 0.1 s", before.pid)
    assert wait_for_end(store, submit(one_slot, "true").id).status == "done"


def test_what_a_job_does_to_its_runner_does_not_reach_the_next(one_slot: Actions) -> None:
    look = "nice; ulimit -n; cat /proc/self/oom_score_adj; taskset -p $$ | cut -d: -f2"
    alter = "renice -n 15 -p $PPID; prlimit --pid $PPID --nofile=64:64; echo 700 > /proc/$PPID/oom_score_adj"
    for change in (*alter.split("; "), "taskset -p 1 $PPID"):
        first, altered, after = in_turn(one_slot, {"cmd": look}, {"cmd": f"{{ {change}; }} > /dev/null"}, {"cmd": look})
        assert altered.exit_code == 0, change
        assert (first.pid, after.pid != altered.pid) == (altered.pid, True), change
        assert out(one_slot.store, after) == out(one_slot.store, first), change


def test_a_runner_whose_dispatcher_hangs_leaves_by_itself(one_slot: Actions) -> None:
    with spare_after_a_job(one_slot) as (runner, _):
        wait_for(lambda: is_gone(runner))
    assert wait_for_end(one_slot.store, submit(one_slot, "true").id).status == "done"


def test_an_adopted_job_gives_its_slot_back_though_its_runner_lives_on(one_slot: Actions, tmp_path: Path) -> None:
    """Its first dispatcher hangs, and somebody removed the files by which the second would have waited for it."""
    store = one_slot.store
    go = tmp_path / "go"
    first = submit(one_slot, f"until [ -e {go} ]; do sleep 0.05; done")
    active = wait_for_session(store, first.id)
    hanging = dispatcher_of(store.paths.data)
    hanging.suspend()
    runner = psutil.Process(active.pid)
    try:
        for path in (store.paths.dispatcher_lock, store.paths.wake):
            os.unlink(path)
        after = submit(one_slot, "true")
        wait_for(lambda: (found := dispatcher_of(store.paths.data)) and found.pid != hanging.pid)
        go.touch()
        assert wait_for_end(store, first.id).status == "done"
        assert wait_for_end(store, after.id).status == "done"
    finally:
        hanging.kill()
        wait_for(lambda: is_gone(runner))


def test_a_pause_holds_a_job_that_was_handed_over_already(one_slot: Actions) -> None:
    with spare_after_a_job(one_slot) as (runner, _):
        runner.suspend()
        after = submit(one_slot, "echo ran")
    wait_for(lambda: has_an_order(runner))
    one_slot.pause(True)
    runner.resume()
    wait_for(lambda: is_gone(runner))
    assert one_slot.store.get(after.id).status == "queued"
    one_slot.pause(False)
    assert wait_for_end(one_slot.store, after.id).status == "done"


def test_a_job_put_back_is_stopped_if_that_was_asked(store: JobStore) -> None:
    found = without_a_process(store, "stop")
    assert found.status == "stop"
    assert found.reason == "stopped by vera (could not start: /bin/sh: Resource temporarily unavailable)"


def test_a_runner_that_is_killed_without_a_job_costs_nobody_anything(one_slot: Actions) -> None:
    with spare_after_a_job(one_slot) as (runner, job):
        runner.kill()
        wait_for(lambda: is_gone(runner))
        after = submit(one_slot, "echo ran")
    after = wait_for_end(one_slot.store, after.id)
    assert (after.status, after.attempt, out(one_slot.store, after)) == ("done", 1, "ran\n")
    assert (after.pid, after.pid_started) != (job.pid, job.pid_started)


def test_a_job_handed_over_and_not_claimed_is_still_queued_and_then_run_by_another(one_slot: Actions) -> None:
    store = one_slot.store
    with spare_after_a_job(one_slot) as (runner, job):
        runner.suspend()
        after = submit(one_slot, "echo ran")
    wait_for(lambda: has_an_order(runner))
    assert store.get(after.id).status == "queued"
    runner.kill()
    after = wait_for_end(store, after.id)
    assert (after.status, after.attempt, out(store, after)) == ("done", 1, "ran\n")
    assert (after.pid, after.pid_started) != (job.pid, job.pid_started)


def test_a_runner_without_a_dispatcher_leaves_at_once_and_sees_to_it_that_there_is_one(one_slot: Actions) -> None:
    store = one_slot.store
    with spare_after_a_job(one_slot) as (runner, _):
        kill_and_wait(dispatcher_of(store.paths.data))
        wait_for(lambda: is_gone(runner))
    wait_for(lambda: dispatcher_of(store.paths.data))


def test_a_job_outlives_its_dispatcher_in_a_runner_used_before(one_slot: Actions, tmp_path: Path) -> None:
    store = one_slot.store
    go = tmp_path / "go"
    with spare_after_a_job(one_slot) as (_, before):
        job = submit(one_slot, f"until [ -e {go} ]; do sleep 0.05; done; exit 5")
    active = wait_for_status(store, job.id, "active")
    assert active.pid == before.pid
    kill_and_wait(dispatcher_of(store.paths.data))
    go.touch()
    assert wait_for_end(store, job.id).exit_code == 5
    wait_for(lambda: not psutil.pid_exists(active.pid))
    wait_for(lambda: dispatcher_of(store.paths.data))
    assert wait_for_end(store, submit(one_slot, "true").id).status == "done"


def test_figures_of_a_job_are_its_own(one_slot: Actions) -> None:
    busy = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done"
    one_slot.pause(True)
    first, after = submit(one_slot, busy), submit(one_slot, "exec sleep 1000")
    one_slot.pause(False)
    first = wait_for_end(one_slot.store, first.id)
    after = wait_for_session(one_slot.store, after.id)
    assert first.usage["cpu_s"] > 0.1
    assert after.pid == first.pid
    assert after.cpu_before_s >= first.usage["cpu_s"] - 2 / TICKS_PER_S  # in ticks, user and system, as in /proc
    stats = Path(one_slot.store.paths.stats(after.id))
    wait_for(stats.exists)
    assert '"cpu_s":0.0,' in stats.read_text().splitlines()[0]
    one_slot.kill(after.id)
    assert wait_for_end(one_slot.store, after.id).usage["cpu_s"] < 0.1


def test_a_session_that_only_a_note_tells_is_ended(store: JobStore) -> None:
    """Its runner died between the start of the command and the record that tells its session."""
    store.prepare()
    job = store.create(Job(id="", status=QUEUED, command={"type": "exec", "cmd": "x"}, cwd="/"))
    pid = os.posix_spawn("/bin/sleep", ["sleep", "1000"], {}, setsid=True)
    left = psutil.Process(pid)
    try:
        found = look_at(pid)
        claim = {"status": ACTIVE, "pid": 1, "pid_started": 0, "boot_id": boot_id(), "attempt": 1, "attempts": [{}]}
        store.update(job.id, lambda job: claim)
        store.files.note_session(job.id, pid, found.started - 1, found.started + 1)
        assert not declare_lost(store, job.id)
        assert left.wait(10) == -signal.SIGKILL
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            left.kill()


SETTLED = """
import sys
sys.path.insert(0, sys.argv[1])
from running_jobs.runner import become_runner, run_attempt
from running_jobs.settings import Settings
from running_jobs.store import JobStore

store = JobStore(sys.argv[2])
become_runner()
for job_id in sys.argv[3:]:
    print(run_attempt(store, Settings(data=sys.argv[2]), job_id, store.version(job_id)).settled)
"""


def test_a_runner_says_which_jobs_need_no_further_look(store: JobStore) -> None:
    store.prepare()
    callback = {"type": "exec", "cmd": "true"}
    jobs = [
        store.create(Job(id="", status=QUEUED, command={"type": "exec", "cmd": cmd}, cwd="/", **options))
        for cmd, options in (
            ("true", {}),
            ("exit 1", {}),
            ("exit 1", {"retries": 1}),
            ("true", {"callback_done": callback}),
            ("exit 1", {"callback_failed": callback}),
            ("true", {"callback_failed": callback}),
        )
    ]
    words = [sys.executable, "-I", "-S", "-c", SETTLED, str(PROJECT), store.paths.data, *(job.id for job in jobs)]
    said = subprocess.run(words, check=True, timeout=60, capture_output=True, text=True).stdout.split()
    assert said == ["done", "error", "None", "None", "None", "done"]
