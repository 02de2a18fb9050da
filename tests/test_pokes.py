"""The dispatcher's ear: it may be deaf for a moment while no slot is free, and hears what it missed afterwards."""

from __future__ import annotations

import select
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from running_jobs.pokes import DEAF_S, Pokes
from running_jobs.store import JobStore
from running_jobs.wake import poke

from .conftest import wait_for, wait_for_end, wait_for_status


@pytest.fixture
def ear(store: JobStore) -> Iterator[tuple[Pokes, select.poll]]:
    """Where pokes are heard, open, with the poller that tells of them."""
    store.prepare()
    poller = select.poll()
    pokes = Pokes(store.paths, poller)
    pokes.open()
    yield pokes, poller
    pokes.close()


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


def test_what_else_there_is_to_do_is_done_while_no_slot_is_free(configure, tmp_path: Path) -> None:
    actions = configure("slots = 1\n")
    busy = actions.submit({"command": {"type": "exec", "cmd": "sleep 1000"}, "start": True})
    wait_for_status(actions.store, busy.id, "active")
    told = tmp_path / "told"
    callback = {"type": "exec", "cmd": f"echo $JOB_ID >> {told}"}
    waiting = [
        actions.submit({"command": {"type": "exec", "cmd": "true"}, "start": True, "callback_done": callback})
        for _ in range(20)
    ]
    for job in waiting:
        actions.stop(job.id, "vera")
    wait_for(lambda: told.exists() and len(told.read_text().splitlines()) == 20)
    actions.kill(busy.id, "vera")
    wait_for_end(actions.store, busy.id)
