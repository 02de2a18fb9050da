"""How much a job may write, and how much room there must be before one starts."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from running_jobs.actions import Actions
from running_jobs.growth import LOOK_AT_LOGS_AGAIN_S, LOOK_AT_LOGS_S, Growth
from running_jobs.settings import load_settings

from .conftest import end_everything, is_gone, processes_of, wait_for, wait_for_end, wait_for_status

LIMIT = 2_000_000
ROOM = 600 << 10


@pytest.fixture
def limited(configure) -> Actions:
    """Give actions on a directory whose jobs may write two megabytes."""
    return configure(f"slots = 2\ngrace_seconds = 60\nmax_log_bytes = {LIMIT}\n")


def run(actions: Actions, cmd: str, **options: object) -> str:
    return actions.submit({"command": {"type": "exec", "cmd": cmd}, "start": True, **options}).id


@pytest.mark.parametrize("cmd", ["yes", "yes >&2", "setsid yes & wait", "exec cat /dev/zero"])
def test_a_job_that_writes_too_much_is_ended_and_not_tried_again(limited: Actions, data: Path, cmd: str) -> None:
    store = limited.store
    job = wait_for_end(store, run(limited, cmd, retries=3, retry_delay=0))
    assert (job.status, job.attempt) == ("error", 1)
    assert job.reason.startswith(f"stopped: its output grew over max_log_bytes ({LIMIT} bytes)")
    size = sum(os.path.getsize(path) for path in (store.paths.out(job.id), store.paths.err(job.id)))
    assert LIMIT < size < 1_000_000_000  # kept, and not for as long as it would have written
    wait_for(lambda: processes_of(data) == [])
    assert wait_for_end(store, run(limited, "echo on")).status == "done"


def test_one_that_ignores_being_asked_is_killed_long_before_its_grace_is_over(limited: Actions, data: Path) -> None:
    job = wait_for_end(limited.store, run(limited, "trap '' TERM; while :; do yes; done"), 30)
    assert job.reason.startswith("stopped: its output grew over max_log_bytes")
    wait_for(lambda: processes_of(data) == [])


def test_one_that_stops_writing_when_asked_may_finish(limited: Actions, tmp_path: Path) -> None:
    cleaned = tmp_path / "cleaned"
    line = f"trap 'sleep 0.4; touch {cleaned}; exit 0' TERM; head -c {LIMIT * 3 // 2} /dev/zero; while :; do sleep 0.01; done"
    job = wait_for_end(limited.store, run(limited, line))
    assert (job.status, job.exit_code) == ("error", 0)
    assert job.reason.startswith("stopped: its output grew over max_log_bytes")
    assert cleaned.exists()


def test_one_slightly_below_the_limit_is_left_alone(limited: Actions) -> None:
    line = f"head -c {LIMIT // 2} /dev/zero; head -c {LIMIT // 2} /dev/zero >&2; sleep 0.6"  # two looks at the least
    job = wait_for_end(limited.store, run(limited, line))
    assert (job.status, job.reason) == ("done", "exit code 0")
    assert os.path.getsize(limited.store.paths.out(job.id)) == LIMIT // 2


def test_what_earlier_attempts_wrote_counts(limited: Actions) -> None:
    line = f"head -c {LIMIT * 2 // 3} /dev/zero; [ $JOB_ATTEMPT = 1 ] && exit 1; exec sleep 1000"
    job = wait_for_end(limited.store, run(limited, line, retries=5, retry_delay=0))
    assert (job.status, job.attempt) == ("error", 2)
    assert job.attempts[0]["reason"] == "exit code 1"
    assert job.reason.startswith("stopped: its output grew over max_log_bytes")


def test_a_stop_while_it_ends_is_still_an_end(limited: Actions) -> None:
    job = run(limited, f"trap '' TERM; head -c {2 * LIMIT} /dev/zero; exec sleep 1000")
    wait_for(lambda: os.path.getsize(limited.store.paths.out(job)) > LIMIT)
    runner = psutil.Process(wait_for_status(limited.store, job, "active").pid)
    limited.kill(job)
    wait_for_end(limited.store, job)
    wait_for(lambda: is_gone(runner))


@pytest.mark.parametrize("speed", [0, 1000, 1_000_000_000])
def test_growth_is_looked_at_the_sooner_the_faster_it_is(speed: int) -> None:
    growth = Growth(LIMIT)
    now, size = 100.0, 0
    while now < 110 and size <= LIMIT:
        pause = growth.look_again_in(size, now)
        assert LOOK_AT_LOGS_AGAIN_S <= pause <= LOOK_AT_LOGS_S
        now += pause
        size = int((now - 100) * speed)
    assert size <= LIMIT + speed * LOOK_AT_LOGS_AGAIN_S * 2
    assert pause == LOOK_AT_LOGS_S or speed > 1000


@pytest.fixture
def roomy(tmp_path: Path, data: Path) -> Iterator[Actions]:
    """Give actions on a data directory of two megabytes that starts nothing with less than ROOM left."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted: {mounted.stderr}")
    environ = {"JOBS_SLOTS": "1", "JOBS_MIN_FREE_BYTES": str(ROOM)}
    try:
        yield Actions(load_settings(str(place / "data"), environ))
    finally:
        end_everything(place / "data")
        subprocess.run(["umount", "-l", str(place)], check=True)


def test_nothing_starts_with_too_little_room_and_all_goes_on_with_enough(roomy: Actions) -> None:
    store = roomy.store
    room = f"df --output=avail -B1 {store.paths.data} | tail -n 1"
    before = wait_for_end(store, run(roomy, room))
    assert int(Path(store.paths.out(before.id)).read_text()) > ROOM
    filler = Path(store.paths.data, "filler")
    holding = run(roomy, f"dd if=/dev/zero of={filler} bs=1k count=1500 2>/dev/null; sleep 0.3")
    wait_for_status(store, holding, "active")
    low, high = run(roomy, room), run(roomy, room, priority=900)
    assert wait_for_end(store, holding).status == "done"
    runner = store.get(holding).pid
    wait_for(lambda: not psutil.pid_exists(runner) or is_gone(psutil.Process(runner)))  # its slot is free
    assert [store.get(job_id).status for job_id in (low, high)] == ["queued", "queued"]
    filler.unlink()  # nobody pokes
    ended = [wait_for_end(store, job_id) for job_id in (high, low)]
    assert ended[0].started_at <= ended[1].started_at
    for job in ended:
        assert (job.status, job.attempt) == ("done", 1)
        assert int(Path(store.paths.out(job.id)).read_text()) >= ROOM
