"""The dispatcher's ear: it may be deaf for a moment while no slot is free, and hears what it missed afterwards."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from running_jobs.actions import Actions
from running_jobs.dispatcher import Dispatcher
from running_jobs.executors.fork_server import NOT_FORKED
from running_jobs.executors.local import SPARE_S, LocalExecutor
from running_jobs.job import Job
from running_jobs.pokes import DEAF_S, Pokes
from running_jobs.store import JobStore
from running_jobs.wake import announce, poke
from running_jobs.watching import Watched

from .conftest import wait_for_end, wait_for_status


@pytest.fixture
def ear(store: JobStore) -> Iterator[tuple[Pokes, select.poll]]:
    """Where pokes are heard, open, with the poller that tells of them."""
    store.prepare()
    poller = select.poll()
    pokes = Pokes(store.paths, poller)
    pokes.open()
    yield pokes, poller
    pokes.close()


def submit(actions: Actions, **options: object) -> Job:
    return actions.submit({"command": {"type": "exec", "cmd": "true"}, "start": True, "cwd": "/", **options})


def test_a_poke_is_heard_even_by_who_may_be_deaf(store: JobStore, ear: tuple[Pokes, select.poll]) -> None:
    pokes, poller = ear
    assert pokes.listen(time.monotonic(), may_be_deaf=True) is None
    assert poke(store.paths)
    assert [descriptor for descriptor, _ in poller.poll(0)] == [pokes.descriptor]
    pokes.hear()
    assert poller.poll(0) == []


def test_the_next_ones_are_heard_together_after_a_moment(store: JobStore, ear: tuple[Pokes, select.poll]) -> None:
    pokes, poller = ear
    pokes.hear()
    now = time.monotonic()
    deaf_s = pokes.listen(now, may_be_deaf=True)
    assert deaf_s is not None
    assert 0 < deaf_s <= DEAF_S
    assert poke(store.paths)
    assert poke(store.paths)
    assert poller.poll(0) == []
    assert pokes.listen(now + deaf_s, may_be_deaf=True) is None
    assert len(poller.poll(0)) == 1
    pokes.hear()
    assert poller.poll(0) == []


def test_who_has_a_free_slot_is_never_deaf(store: JobStore, ear: tuple[Pokes, select.poll]) -> None:
    pokes, poller = ear
    pokes.hear()
    assert pokes.listen(time.monotonic(), may_be_deaf=False) is None
    assert poke(store.paths)
    assert len(poller.poll(0)) == 1


def test_the_first_job_in_a_while_is_announced_before_it_is_stored(
    actions: Actions, store: JobStore, ear: tuple[Pokes, select.poll], monkeypatch: pytest.MonkeyPatch
) -> None:
    pokes, _ = ear
    heard = []
    create_all = actions.store.create_all

    def listen_and_create(*arguments: object) -> object:
        heard.append(pokes.hear())
        return create_all(*arguments)

    monkeypatch.setattr(actions.store, "create_all", listen_and_create)
    for _ in range(2):
        submit(actions)
        assert not pokes.hear()  # that it is there now announces nothing
    assert heard == [True, False]
    monkeypatch.setattr("running_jobs.actions.IN_A_WHILE_S", 0)
    submit(actions)
    submit(actions)
    assert heard[3:] == [True]


@pytest.mark.parametrize("options", [{"start": False}, {"delay": 1000}, {"after": ["first"]}, {"executor": "slurm"}])
def test_what_cannot_start_at_once_is_not_announced(
    configure, ear: tuple[Pokes, select.poll], monkeypatch: pytest.MonkeyPatch, options: dict[str, object]
) -> None:
    actions = configure("[slurm]\n")
    pokes, _ = ear
    monkeypatch.setattr("running_jobs.actions.IN_A_WHILE_S", 0)
    first = submit(actions)
    assert pokes.hear()
    submit(actions, **{**options, **({"after": [first.id]} if "after" in options else {})})
    assert not pokes.hear()


def test_an_announcement_that_cannot_be_made_keeps_no_job_from_being_stored(store: JobStore, actions: Actions) -> None:
    store.prepare()
    Path(store.paths.wake).mkdir()
    assert store.get(submit(actions).id).status == "queued"


def test_nothing_is_announced_from_a_node(store: JobStore, ear: tuple[Pokes, select.poll], monkeypatch) -> None:
    pokes, _ = ear
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("JOB_ID", "20260101-000000-000000")
    monkeypatch.setenv("JOB_FILES", store.paths.results("20260101-000000-000000"))
    announce(store.paths)
    assert not pokes.hear()


def test_a_runner_is_made_ready_only_while_a_slot_is_free(store: JobStore, configure) -> None:
    store.prepare()
    dispatcher = Dispatcher(store, configure("slots = 1\n").settings, 0)
    dispatcher.pokes.open()
    asked = []
    dispatcher.executor.be_ready = asked.append
    announce(store.paths)
    dispatcher.wait()
    assert len(asked) == 1
    store.pause(True)
    announce(store.paths)
    dispatcher.wait()
    store.pause(False)
    assert len(asked) == 1
    dispatcher.runners.watch("busy", Watched(-1, "default", None))
    dispatcher.pokes._deaf_until = 0
    announce(store.paths)
    dispatcher.wait()
    assert len(asked) == 1
    assert not dispatcher.poller.poll(0)  # it was heard
    dispatcher.pokes.close()


@pytest.mark.parametrize("is_told_later", [False, True])
def test_without_processes_launching_waits_and_the_line_stays_as_it_is(
    store: JobStore, configure, is_told_later: bool
) -> None:
    """Whether the fork server cannot be had, or it says itself that it could not fork."""
    store.prepare()
    actions = configure("slots = 2\n")
    dispatcher = Dispatcher(store, actions.settings, 0)
    jobs = [submit(actions, priority=priority).id for priority in (100, 900, 500)]
    asked, held = [], []

    def refuse(orders: int, reports: int) -> None:
        asked.append(reports)
        held.append(os.dup(orders))
        if not is_told_later:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        os.write(reports, NOT_FORKED)

    dispatcher.executor._forks.fork = refuse
    dispatcher.look_at_all()
    for _ in range(3):
        dispatcher.launch_those_whose_turn_it_is()
        for job_id in list(dispatcher.runners._by_job):
            dispatcher.runner_ended(job_id)
    assert len(asked) == (2 if is_told_later else 1)
    assert len(dispatcher.postponed) == 0
    dispatcher.brake._held_until = 0
    started = []
    dispatcher.executor.launch = lambda job_id, _: started.append(job_id) or -1
    dispatcher.launch_those_whose_turn_it_is()
    assert started == [jobs[1], jobs[2]]
    [told] = Path(store.paths.errors).read_text().splitlines()
    assert f"{jobs[1]} could not be launched, trying again: " in told
    for descriptor in held:
        os.close(descriptor)


def test_two_announcements_make_one_runner_ready_for_longer(store: JobStore, actions: Actions) -> None:
    executor = LocalExecutor(store, actions.settings)
    forked = []
    executor._forks.fork = lambda *descriptors: forked.append(descriptors)
    executor.be_ready(10.0)
    executor.be_ready(10.4)
    assert len(forked) == 1
    assert executor.seconds_to_next(10.4) == SPARE_S


def test_a_dispatcher_that_is_deaf_sleeps_no_longer(actions: Actions, store: JobStore) -> None:
    store.prepare()
    dispatcher = Dispatcher(store, actions.settings, 0)
    now = time.monotonic()
    assert dispatcher.seconds_to_sleep(now, 0.015) == pytest.approx(0.015)
    assert dispatcher.seconds_to_sleep(now) > 1


def test_a_job_that_is_stopped_while_no_slot_is_free_is_let_go_at_once(configure, tmp_path: Path) -> None:
    """Nothing wakes the dispatcher but pokes that it does not hear at first."""
    actions = configure("slots = 1\n")
    busy = actions.submit({"command": {"type": "exec", "cmd": "sleep 1000"}, "start": True})
    wait_for_status(actions.store, busy.id, "active")
    first = actions.submit({"command": {"type": "exec", "cmd": "true"}, "start": True})
    after = actions.submit({"command": {"type": "exec", "cmd": "true"}, "start": True, "after": [first.id]})
    actions.stop(first.id, "vera")
    assert wait_for_end(actions.store, after.id).reason == f"job {first.id} ended stop"
    actions.kill(busy.id, "vera")
    wait_for_end(actions.store, busy.id)
