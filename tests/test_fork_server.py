"""The process that forks runners: it holds nothing, comes and goes with its dispatcher, and may be killed."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from running_jobs.actions import Actions
from running_jobs.executors.fork_server import TITLE, ForkServer
from running_jobs.executors.local import LocalExecutor
from running_jobs.job import Job
from running_jobs.wake import announce

from .conftest import (
    dispatcher_of,
    engine_of,
    is_gone,
    kill_and_wait,
    wait_for,
    wait_for_end,
    wait_for_status,
)


def fork_servers_of(data: Path) -> list[psutil.Process]:
    return [process for process in engine_of(data) if " ".join(process.cmdline()) == TITLE]


def submit(actions: Actions, cmd: str, **options: object) -> Job:
    return actions.submit({"command": {"type": "exec", "cmd": cmd}, "start": True, "cwd": "/", **options})


def test_it_is_a_child_of_init_and_holds_a_socket_alone(actions: Actions, data: Path) -> None:
    wait_for_end(actions.store, submit(actions, "true").id)
    [server] = fork_servers_of(data)
    dispatcher = dispatcher_of(data)
    assert dispatcher.children() == []
    assert server.ppid() == dispatcher.ppid()
    held = [os.readlink(f"/proc/{server.pid}/fd/{name}") for name in os.listdir(f"/proc/{server.pid}/fd")]
    assert [name.split(":")[0] for name in held if name != "/dev/null"] == ["socket"]
    assert (server.cwd(), server.children(), os.getsid(server.pid) != os.getsid(dispatcher.pid)) == ("/", [], True)


def test_a_runner_holds_no_socket(actions: Actions, data: Path) -> None:
    job = wait_for_status(actions.store, submit(actions, "exec sleep 1000").id, "active")
    held = [os.readlink(f"/proc/{job.pid}/fd/{name}") for name in os.listdir(f"/proc/{job.pid}/fd")]
    assert [name for name in held if name.startswith("socket")] == []


def test_it_leaves_when_its_dispatcher_is_killed_and_the_next_has_its_own(actions: Actions, data: Path) -> None:
    job = wait_for_status(actions.store, submit(actions, "exec sleep 1000").id, "active")
    [server] = fork_servers_of(data)
    kill_and_wait(dispatcher_of(data))
    wait_for(lambda: is_gone(server))
    assert wait_for_end(actions.store, submit(actions, "true").id).status == "done"
    [another] = fork_servers_of(data)
    assert another != server
    assert actions.store.get(job.id).status == "active"


def test_another_takes_its_place_when_it_is_killed(actions: Actions, data: Path) -> None:
    running = wait_for_status(actions.store, submit(actions, "exec sleep 1000").id, "active")
    dispatcher = dispatcher_of(data)
    for _ in range(3):
        [server] = fork_servers_of(data)
        kill_and_wait(server)
        jobs = [submit(actions, "exit 3") for _ in range(5)]
        assert [wait_for_end(actions.store, job.id).reason for job in jobs] == ["exit code 3"] * 5
        wait_for(lambda: len(engine_of(data)) == 3)  # those that ran them would take the next ones, too
    assert dispatcher_of(data) == dispatcher
    assert actions.store.get(running.id).status == "active"
    assert "failed" not in Path(actions.store.paths.errors).read_text()


def test_a_job_that_it_was_killed_over_is_launched_again(actions: Actions, data: Path) -> None:
    """It dies with the request: what it was to hold is closed, as if the runner had died before it claimed the job."""
    wait_for_end(actions.store, submit(actions, "true").id)
    wait_for(lambda: len(engine_of(data)) == 2)  # nobody is left who could take the next
    [server] = fork_servers_of(data)
    server.suspend()
    job = submit(actions, "echo once")
    assert actions.store.get(job.id).status == "queued"
    kill_and_wait(server)
    assert wait_for_end(actions.store, job.id).attempt == 1
    assert Path(actions.store.paths.out(job.id)).read_text() == "once\n"


def test_that_no_process_was_forked_is_said_as_that(actions: Actions, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = LocalExecutor(actions.store, actions.settings)
    monkeypatch.setattr(ForkServer, "fork", lambda *_: None)
    with pytest.raises(BlockingIOError, match="No process could be had"):
        executor.launch("20261123-000000-000000", (0, 0, 0))


def test_a_job_that_it_had_no_descriptors_for_is_launched_again(actions: Actions, data: Path) -> None:
    wait_for_end(actions.store, submit(actions, "true").id)
    wait_for(lambda: len(engine_of(data)) == 2)
    [server] = fork_servers_of(data)
    before = server.rlimit(psutil.RLIMIT_NOFILE)
    for room in (0, 1):  # for none, or for one of the two that a runner is to hold
        server.rlimit(psutil.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{server.pid}/fd")) + room, before[1]))
        waits = server.num_ctx_switches().voluntary
        job = submit(actions, "echo once")
        wait_for(lambda before=waits: server.num_ctx_switches().voluntary > before)  # it was asked, and waits again
        server.rlimit(psutil.RLIMIT_NOFILE, before)
        assert wait_for_end(actions.store, job.id).attempt == 1
        assert Path(actions.store.paths.out(job.id)).read_text() == "once\n"
        wait_for(lambda: len(engine_of(data)) == 2)
    assert fork_servers_of(data) == [server]
    errors = Path(actions.store.paths.errors)
    assert not errors.exists() or "failed" not in errors.read_text()


def test_a_runner_is_forked_for_a_job_that_is_announced_and_leaves_if_none_comes(actions: Actions, data: Path) -> None:
    wait_for_end(actions.store, submit(actions, "true").id)
    wait_for(lambda: len(engine_of(data)) == 2)
    announce(actions.store.paths)
    wait_for(lambda: len(engine_of(data)) == 3)
    wait_for(lambda: len(engine_of(data)) == 2)


def test_runners_take_further_jobs_though_its_own_priority_was_changed(configure, data: Path) -> None:
    actions = configure("slots = 1\n")
    wait_for_end(actions.store, submit(actions, "true").id)
    wait_for(lambda: len(engine_of(data)) == 2)
    fork_servers_of(data)[0].nice(5)
    actions.pause(True)
    jobs = [submit(actions, "true") for _ in range(5)]
    actions.pause(False)
    assert len({wait_for_end(actions.store, job.id).pid for job in jobs}) == 1


def test_what_a_dead_dispatcher_ordered_is_left_to_the_next(configure, data: Path) -> None:
    """It comes to a runner late: by then, the next dispatcher has given the slot to another job."""
    actions = configure("slots = 1\n")
    wait_for_end(actions.store, submit(actions, "true").id)
    wait_for(lambda: len(engine_of(data)) == 2)
    [server] = fork_servers_of(data)
    dispatcher = dispatcher_of(data)
    server.suspend()
    first = submit(actions, "exec sleep 1000")
    wait_for(lambda: has_ordered(dispatcher))
    second = submit(actions, "exec sleep 1000", priority=900)
    kill_and_wait(dispatcher)
    actions.ensure_dispatcher()
    wait_for_status(actions.store, second.id, "active")
    server.resume()
    wait_for(lambda: is_gone(server))
    wait_for(lambda: len(engine_of(data)) == 3)  # the next dispatcher, its fork server, a runner
    assert actions.store.get(first.id).status == "queued"


def has_ordered(dispatcher: psutil.Process) -> bool:
    """Say whether a dispatcher has handed over a job to somebody: then it holds pipes."""
    folder = f"/proc/{dispatcher.pid}/fd"
    return any(os.readlink(f"{folder}/{name}").startswith("pipe:") for name in os.listdir(folder))
