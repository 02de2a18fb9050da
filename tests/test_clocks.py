"""Times as people write them, and waits while clocks are put forward and back."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from running_jobs import clocks, wake
from running_jobs.actions import Actions
from running_jobs.brake import Brake
from running_jobs.clocks import Moment, local_zone, moment, read_time, seconds_left, wait_of
from running_jobs.dispatcher import Dispatcher
from running_jobs.errors import InvalidJob
from running_jobs.job import QUEUED, Job, from_iso, to_iso
from running_jobs.scheduling import Timetable
from running_jobs.store import JobStore

from .conftest import wait_for, wait_for_end

HOUR = 3600.0
NOON = 1_790_000_000.0


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Give a function that sets this process's local zone."""

    def set_zone(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield set_zone
    monkeypatch.undo()
    time.tzset()


# --- reading

BERLIN = "CET-1CEST,M3.5.0,M10.5.0/3"  # as the zone file of Europe/Berlin says for these years


@pytest.mark.parametrize("name", ["Europe/Berlin", BERLIN])
@pytest.mark.parametrize(
    ("local", "utc"),
    [
        ("2026-03-29T01:59:59", "2026-03-29T00:59:59.000Z"),  # the last second before clocks are put forward
        ("2026-03-29T02:00", "2026-03-29T01:00:00.000Z"),  # left out: as much later as the clocks are
        ("2026-03-29T02:30", "2026-03-29T01:30:00.000Z"),
        ("2026-03-29T02:59:59.999", "2026-03-29T01:59:59.999Z"),
        ("2026-03-29T03:00", "2026-03-29T01:00:00.000Z"),
        ("2026-03-29T03:30", "2026-03-29T01:30:00.000Z"),
        ("2026-10-25T01:59:59", "2026-10-24T23:59:59.000Z"),
        ("2026-10-25T02:00", "2026-10-25T00:00:00.000Z"),  # occurs twice: the first is meant
        ("2026-10-25T02:30", "2026-10-25T00:30:00.000Z"),
        ("2026-10-25T02:59:59", "2026-10-25T00:59:59.000Z"),
        ("2026-10-25T03:00", "2026-10-25T02:00:00.000Z"),
        ("2026-10-25T02:30+01:00", "2026-10-25T01:30:00.000Z"),  # the second, said so
        ("2026-07-01T12:00", "2026-07-01T10:00:00.000Z"),
        ("2026-12-01 12:00", "2026-12-01T11:00:00.000Z"),
    ],
)
def test_local_times_around_the_changes_of_clocks(zone: Callable, name: str, local: str, utc: str) -> None:
    zone(name)
    if local_zone(NOON) == "UTC+00:00":
        pytest.skip("this machine has no zone files")
    assert read_time("at", local) == utc


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-11-21T20:30:00Z", "2026-11-21T20:30:00.000Z"),
        ("2026-11-21t20:30z", "2026-11-21T20:30:00.000Z"),
        ("2026-11-21T20:30:00+01:00", "2026-11-21T19:30:00.000Z"),
        ("2026-11-21T20:30:00 -0330", "2026-11-22T00:00:00.000Z"),
        ("2026-11-21T20:30:00+05", "2026-11-21T15:30:00.000Z"),
        ("2026-11-21T20:30:00.1Z", "2026-11-21T20:30:00.100Z"),
        ("2026-11-21T20:30:00,123456789Z", "2026-11-21T20:30:00.123Z"),
        ("2026-11-21T20:30:59.999Z", "2026-11-21T20:30:59.999Z"),
        ("2026-11-21T20:30:59.001Z", "2026-11-21T20:30:59.001Z"),
        ("  2026-11-21T20:30:00Z\n", "2026-11-21T20:30:00.000Z"),
        ("2028-02-29T00:00Z", "2028-02-29T00:00:00.000Z"),
        ("1969-12-31T23:59:59.250Z", "1969-12-31T23:59:59.250Z"),
    ],
)
def test_times_with_zones_and_fractions(zone: Callable, text: str, utc: str) -> None:
    zone("America/New_York")
    assert read_time("at", text) == utc


@pytest.mark.parametrize(
    "text",
    [
        "", "now", "tomorrow", "12:00", "2026-11-21", "20261121T203000", "2026-11-21T24:00", "2026-11-21T20:60",
        "2026-11-21T20:30:60Z", "2026-02-29T00:00", "2026-13-01T00:00", "2026-11-31T00:00", "2026-11-21T20:30:00.",
        "2026-11-21T20:30:00+1:00", "2026-11-21T20:30:00+24:00", "2026-11-21T20:30:00+01:00x", "0000-01-01T00:00Z",
        "0001-01-01T00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-11-21T20:30:00+01:60", "1763756580",
        "٢٠٢٦-11-21T20:30",
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused_with_the_name_of_the_field(text: str) -> None:
    with pytest.raises(InvalidJob, match="not_before"):
        read_time("not_before", text)


@pytest.mark.parametrize("milliseconds", [0, 1, 123, 250, 333, 999])
def test_a_time_that_was_read_stays_what_it_is(milliseconds: int) -> None:
    text = f"2026-11-21T20:30:15.{milliseconds:03d}Z"
    assert read_time("at", text) == text
    assert to_iso(from_iso(text)) == text


# --- waiting, reckoned


def now(wall: float, boot: float, boot_id: str = "this") -> Moment:
    return Moment(wall, boot_id, boot)


@pytest.mark.parametrize("jump", [-5 * HOUR, -1.0, 0.0, 1.0, 5 * HOUR])
def test_a_wait_is_neither_longer_nor_shorter_for_a_jump(jump: float) -> None:
    waits = wait_of(60, now(NOON, 1000))
    left = seconds_left(waits["not_before"], waits["timer"], now(NOON + jump + 59, 1059))
    assert left == pytest.approx(1, abs=0.01)
    assert seconds_left(waits["not_before"], waits["timer"], now(NOON + jump + 60, 1060)) == 0


def test_after_another_boot_a_wait_is_told_by_the_wall_clock() -> None:
    waits = wait_of(60, now(NOON, 1000))
    assert seconds_left(waits["not_before"], waits["timer"], now(NOON + 20, 5, "next")) == pytest.approx(40)
    assert seconds_left(waits["not_before"], waits["timer"], now(NOON + 61, 46, "next")) == 0


@pytest.mark.parametrize("timer", [{}, {"boot_id": "this"}, {"boot_id": "this", "boottime_s": "soon"}, {"x": 1}])
def test_a_timer_that_tells_nothing_leaves_it_to_the_wall_clock(timer: dict) -> None:
    assert seconds_left(to_iso(NOON + 5), timer, now(NOON, 1000)) == pytest.approx(5)


@pytest.mark.parametrize("jump", [-5 * HOUR, 5 * HOUR])
def test_a_timetable_keeps_both_clocks_apart(jump: float) -> None:
    table = Timetable()
    delayed = wait_of(60, now(NOON, 1000))
    table.put("delayed", delayed["not_before"], delayed["timer"], "this")
    table.put("at", to_iso(NOON + 60), None, "this")
    assert table.take_due(now(NOON + 59, 1059)) == []
    assert table.seconds_to_next(now(NOON + 59, 1059)) == pytest.approx(1, abs=0.01)
    expected = ["at"] if jump > 0 else []
    assert table.take_due(now(NOON + 59.5 + jump, 1059.5)) == expected
    assert table.take_due(now(NOON + 60 + jump, 1060)) == ["delayed"]
    assert table.take_due(now(NOON + 60, 1061)) == ([] if jump > 0 else ["at"])
    assert len(table) == 0
    assert table.seconds_to_next(now(NOON, 2000)) is None


def test_a_time_that_was_changed_counts_and_the_old_one_does_not() -> None:
    table = Timetable()
    table.put("job", to_iso(NOON + 60), None, "this")
    table.put("job", to_iso(NOON + 600), None, "this")
    assert table.take_due(now(NOON + 61, 0)) == []
    table.put("job", to_iso(NOON + 30), {"boot_id": "this", "boottime_s": 1000.0}, "this")
    assert table.take_due(now(NOON + 6000, 999)) == []
    table.remove("job")
    assert table.take_due(now(NOON + 6000, 9999)) == []


# --- waiting, in a dispatcher whose clocks are ours


class Clocks:
    """Two clocks that stand still until they are set."""

    def __init__(self) -> None:
        self.wall, self.boot, self.boot_id = NOON, 1000.0, "this boot"

    def moment(self, wall_s: float | None = None) -> Moment:
        return Moment(self.wall if wall_s is None else wall_s, self.boot_id, self.boot)

    def go_on(self, seconds: float) -> None:
        self.wall += seconds
        self.boot += seconds


@pytest.fixture
def set_clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    """Give the clocks that all of the engine in this process goes by."""
    ours = Clocks()
    for module in ("queued", "admission"):
        monkeypatch.setattr(f"running_jobs.{module}.moment", ours.moment)
    monkeypatch.setattr(clocks, "moment", ours.moment)
    return ours


class Stepped:
    """A dispatcher that is led from look to look and that notes whom it would start."""

    def __init__(self, actions: Actions, store: JobStore) -> None:
        self.dispatcher = Dispatcher(store, actions.settings, 0)
        self.launched: list[str] = []
        self.dispatcher.executor = self  # type: ignore[assignment]
        self.dispatcher.look_at_all()

    def launch(self, job_id: str, version: tuple[int, int]) -> Any:
        self.launched.append(job_id)
        raise OSError("only noted")

    def look(self) -> list[str]:
        """Look as the dispatcher's loop does, and return whom it would start."""
        self.launched.clear()
        self.dispatcher.brake = Brake(self.dispatcher.store, self.dispatcher.settings)  # that none started held it
        self.dispatcher.look_at_changed()
        self.dispatcher.let_those_in_line_whose_time_has_come(time.monotonic())
        self.dispatcher.launch_those_whose_turn_it_is()
        return list(self.launched)


@pytest.fixture
def clocked(actions: Actions, set_clocks: Clocks, monkeypatch: pytest.MonkeyPatch) -> Actions:
    """Give actions that go by these clocks and wake nobody."""
    monkeypatch.setattr(Actions, "wake", lambda self: None)
    store = JobStore(actions.store.paths.data, clock=lambda: set_clocks.wall)
    return Actions(actions.settings, store)


def queue(actions: Actions, **options: Any) -> str:
    return actions.submit({"command": {"type": "exec", "cmd": "true"}, "start": True, "cwd": "/", **options}).id


@pytest.mark.parametrize("jump", [-5 * HOUR, 5 * HOUR])
def test_a_delayed_job_starts_neither_early_nor_late_for_a_jump(
    clocked: Actions, set_clocks: Clocks, jump: float
) -> None:
    delayed = queue(clocked, delay=60)
    stepped = Stepped(clocked, clocked.store)
    assert stepped.look() == []
    set_clocks.go_on(30)
    set_clocks.wall += jump
    assert stepped.look() == []
    assert stepped.dispatcher.queued.seconds_to_next() == pytest.approx(30, abs=0.01)
    assert Stepped(clocked, clocked.store).look() == []  # nor for a restart after it
    set_clocks.go_on(29.9)
    assert stepped.look() == []
    set_clocks.go_on(0.2)
    assert stepped.look() == [delayed]
    assert Stepped(clocked, clocked.store).look() == [delayed]


@pytest.mark.parametrize("restart", [False, True])
def test_a_job_with_a_time_follows_the_wall_clock(clocked: Actions, set_clocks: Clocks, restart: bool) -> None:
    timed = queue(clocked, at=to_iso(NOON + 2 * HOUR))
    stepped = Stepped(clocked, clocked.store)
    set_clocks.go_on(HOUR)
    assert stepped.look() == []
    set_clocks.wall -= 3 * HOUR
    set_clocks.go_on(2 * HOUR)
    assert stepped.look() == []  # its wait has been three hours, but the clock says noon
    set_clocks.wall += 2 * HOUR
    assert (Stepped(clocked, clocked.store) if restart else stepped).look() == [timed]


@pytest.mark.parametrize("options", [{"at": to_iso(NOON + HOUR)}, {"delay": HOUR}])
@pytest.mark.parametrize("boot_id", ["this boot", "the next boot"])
def test_a_time_that_passed_while_nothing_ran_has_come(
    clocked: Actions, set_clocks: Clocks, options: dict, boot_id: str
) -> None:
    timed = queue(clocked, **options)
    set_clocks.wall += 2 * HOUR
    set_clocks.boot += 2 * HOUR if boot_id == "this boot" else -900
    set_clocks.boot_id = boot_id
    assert Stepped(clocked, clocked.store).look() == [timed]


def test_a_delay_goes_on_by_the_wall_clock_after_a_restart_of_the_machine(clocked: Actions, set_clocks: Clocks) -> None:
    delayed = queue(clocked, delay=HOUR)
    set_clocks.boot_id, set_clocks.boot = "the next boot", 20.0
    set_clocks.wall += HOUR / 2
    stepped = Stepped(clocked, clocked.store)
    assert stepped.look() == []
    set_clocks.go_on(HOUR / 2 - 1)
    assert stepped.look() == []
    set_clocks.go_on(2)
    assert stepped.look() == [delayed]


def test_an_edited_delay_is_counted_from_the_edit_and_an_edited_time_is_on_the_wall_clock(
    clocked: Actions, set_clocks: Clocks
) -> None:
    job = queue(clocked, delay=10)
    stepped = Stepped(clocked, clocked.store)
    set_clocks.go_on(9)
    clocked.edit(job, {"delay": 100})
    set_clocks.go_on(50)
    assert stepped.look() == []
    clocked.edit(job, {"at": to_iso(set_clocks.wall + HOUR)})
    set_clocks.go_on(100)
    assert stepped.look() == []
    set_clocks.wall += HOUR
    assert stepped.look() == [job]
    clocked.edit(job, {"delay": 20})
    assert stepped.look() == []
    clocked.edit(job, {"delay": 0})
    assert stepped.look() == [job]


def test_what_waits_for_nothing_is_not_kept_by_what_does(clocked: Actions, set_clocks: Clocks) -> None:
    queue(clocked, delay=HOUR, priority=900)
    low, high = queue(clocked, priority=1), queue(clocked, priority=2)
    stepped = Stepped(clocked, clocked.store)
    assert stepped.look() == [high]
    clocked.edit(low, {"priority": 3})
    assert stepped.look() == [low]


def test_a_timer_that_was_edited_beyond_what_a_clock_shows_counts_for_nothing() -> None:
    now = moment()
    for wrong in (10**400, -(10**400), 1e16, "5", None):
        timer = {"boot_id": now.boot_id, "boottime_s": wrong}
        assert 8.9 < seconds_left(to_iso(now.wall_s + 9), timer, now) <= 9


# --- waiting, for real


def test_a_job_whose_time_came_while_no_dispatcher_lived_starts_when_one_is_back(actions: Actions) -> None:
    store = actions.store
    store.prepare()
    past = Job(id="", status=QUEUED, command={"type": "exec", "cmd": "true"}, cwd="/", not_before=to_iso(1e9))
    job = store.create(past)
    other_boot = store.create(Job(**{**vars(past), "timer": {"boot_id": "another", "boottime_s": 9e9}}))
    actions.ensure_dispatcher()
    assert wait_for_end(store, job.id).status == "done"
    assert wait_for_end(store, other_boot.id).status == "done"


def test_a_dispatcher_sleeps_until_the_time_has_come(actions: Actions, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    line = f"cut -d' ' -f1 /proc/uptime > {seen}"
    job = actions.submit({"command": {"type": "exec", "cmd": line}, "start": True, "delay": 0.7})
    due = actions.store.get(job.id).timer["boottime_s"]
    ended = wait_for_end(actions.store, job.id)
    assert float(seen.read_text()) >= due - 0.02  # uptime counts hundredths
    assert from_iso(ended.started_at) >= from_iso(job.not_before) - 0.05
    wait_for(lambda: not os.listdir(actions.store.paths.open))
    assert wake.dispatcher_lives(actions.store.paths)
