"""The queue: order, contexts, times, retries, dependencies, callbacks, as programs rely on them."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from running_jobs.actions import Actions
from running_jobs.clocks import moment, seconds_left
from running_jobs.errors import InvalidJob, NotAllowed, WrongState
from running_jobs.job import Job, JobStatus, from_iso
from running_jobs.scheduling import Dependents, Timetable, WaitingLine, choose_next
from running_jobs.store import JobStore

from .conftest import (
    Listener,
    dispatcher_of,
    free_port,
    kill_and_wait,
    wait_for,
    wait_for_end,
    wait_for_session,
    wait_for_status,
)


def callbacks_of(store: JobStore, job_id: str, count: int = 1) -> list[dict[str, Any]]:
    """Return a job's callbacks once their outcomes are there."""
    return wait_for(lambda: found if len(found := store.get(job_id).callbacks) == count else None, "the callbacks", 30)


# --- order


def test_the_choice_is_by_priority_then_arrival_then_what_a_context_allows() -> None:
    line = WaitingLine({"gpu": 1})
    for job_id, priority, context in (
        ("a", 100, "default"), ("b", 900, "gpu"), ("c", 500, "gpu"), ("d", 900, "other"), ("e", 900, "gpu"),
    ):  # fmt: skip
        line.put(job_id, priority, context)
    assert choose_next(line, {}, 4, held=True) is None
    assert choose_next(line, {"gpu": 1, "default": 3}, 4, held=False) is None
    started, running = [], {"gpu": 0}
    while chosen := choose_next(line, running, 4, held=False):
        started.append(chosen)
        running[line.context_of(chosen)] = running.get(line.context_of(chosen), 0) + 1
        line.remove(chosen)
    assert started == ["b", "d", "a"]
    running["gpu"] = 0
    assert choose_next(line, running, 4, held=False) == "e"


def test_a_job_in_line_can_change_its_place() -> None:
    line = WaitingLine({"gpu": 1})
    for job_id in ("a", "b", "c"):
        line.put(job_id, 500)
    line.put("c", 501)
    line.put("a", 500, "gpu")
    assert line.first(full={"gpu"}) == "c"
    line.put("c", 500, "gpu")
    line.put("c", 500, "default")
    assert [line.first(full={"gpu"}), len(line)] == ["b", 3]
    line.remove("a")
    line.remove("b")
    assert line.first() == "c"


def test_with_one_slot_jobs_run_by_priority_then_arrival(configure: Callable[..., Actions], tmp_path: Path) -> None:
    actions = configure("slots = 1\n")
    actions.pause(True)
    log = tmp_path / "order"
    jobs = [
        actions.submit({"command": {"type": "exec", "cmd": f"echo {n} >> {log}"}, "start": True, "priority": priority})
        for n, priority in enumerate([100, 900, 500, 900, -1_000_000, 1_000_000])
    ]
    actions.pause(False)
    for job in jobs:
        wait_for_end(actions.store, job.id)
    assert log.read_text().split() == ["5", "1", "3", "2", "0", "4"]


def test_a_full_context_does_not_hold_up_the_others(configure: Callable[..., Actions]) -> None:
    actions = configure("slots = 3\ngrace_seconds = 1\n[contexts.render]\nslots = 1\n")

    def launch(cmd: str, context: str, priority: int) -> Job:
        options = {"context": context, "priority": priority, "start": True}
        return actions.submit({"command": {"type": "exec", "cmd": cmd}, **options})

    first = launch("sleep 1000", "render", 900)
    wait_for_status(actions.store, first.id, "active")
    second = launch("true", "render", 900)
    assert wait_for_end(actions.store, launch("true", "mail", 100).id).status == "done"
    assert actions.store.get(second.id).status == "queued"
    actions.kill(first.id)
    assert wait_for_end(actions.store, second.id).status == "done"


def test_a_contexts_bound_holds_for_jobs_that_an_earlier_dispatcher_started(
    configure: Callable[..., Actions], data: Path
) -> None:
    actions = configure("slots = 3\ngrace_seconds = 1\n[contexts.render]\nslots = 1\n")
    options = {"context": "render", "start": True}
    first = actions.submit({"command": {"type": "exec", "cmd": "sleep 1000"}, **options})
    wait_for_status(actions.store, first.id, "active")
    kill_and_wait(dispatcher_of(data))
    second = actions.submit({"command": {"type": "exec", "cmd": "true"}, **options})
    other = actions.submit({"command": {"type": "exec", "cmd": "true"}, "start": True})
    wait_for_end(actions.store, other.id)
    assert actions.store.get(second.id).status == "queued"
    actions.kill(first.id)
    wait_for_end(actions.store, second.id)


# --- time


def test_the_timetable_is_on_two_clocks() -> None:
    now = moment(1_800_000_000.0)
    table = Timetable()
    table.put("at", "2027-01-15T08:00:10.000Z", None, now.boot_id)  # ten seconds later
    table.put(
        "delay", "2027-01-15T08:00:10.000Z", {"boot_id": now.boot_id, "boottime_s": now.boottime_s + 5}, now.boot_id
    )
    table.put("old boot", "2027-01-15T08:00:20.000Z", {"boot_id": "other", "boottime_s": 0}, now.boot_id)
    assert table.take_due(now) == []
    assert table.seconds_to_next(now) == pytest.approx(5)
    an_hour_on = now._replace(wall_s=now.wall_s + 3600)
    assert sorted(table.take_due(an_hour_on)) == ["at", "old boot"]
    assert table.take_due(now._replace(wall_s=now.wall_s - 3600, boottime_s=now.boottime_s + 5)) == ["delay"]
    assert table.seconds_to_next(now) is None


def test_a_delay_blocks_nobody_and_is_kept(actions: Actions, launch: Callable[..., Job], store: JobStore) -> None:
    asked_at = time.time()
    job = launch("date +%s.%N", delay=0.5)
    assert from_iso(job.not_before or "") >= asked_at + 0.499  # it is kept in milliseconds
    assert (job.status, job.delay) == ("queued", 0.5)
    assert wait_for_end(store, launch("true").id).status == "done"
    wait_for_end(store, job.id)
    started = float(Path(store.paths.out(job.id)).read_text())
    assert started >= from_iso(job.not_before or "")


def test_a_held_jobs_delay_counts_from_its_start(actions: Actions, store: JobStore) -> None:
    job = actions.submit({"command": {"type": "exec", "cmd": "true"}, "delay": 1000})
    assert (job.status, job.not_before) == ("idle", None)
    started = actions.start(job.id)
    assert seconds_left(started.not_before, started.timer, moment()) > 900


def test_a_time_is_local_unless_it_names_a_zone(actions: Actions, launch: Callable[..., Job], store: JobStore) -> None:
    past = launch("true", at="2020-02-29T12:00:00+01:00")
    assert past.not_before == "2020-02-29T11:00:00.000Z"
    assert wait_for_end(store, past.id).status == "done"
    local = launch("true", at="2099-06-01 08:30")
    assert from_iso(local.not_before or "") == time.mktime((2099, 6, 1, 8, 30, 0, 0, 0, -1))
    assert store.get(local.id).status == "queued"


def test_a_job_whose_time_passed_while_nothing_ran_starts_when_something_does(
    actions: Actions, launch: Callable[..., Job], data: Path, store: JobStore
) -> None:
    job = launch("true", delay=0.3)
    wait_for(lambda: dispatcher_of(data))
    kill_and_wait(dispatcher_of(data))
    left_s = seconds_left(job.not_before, job.timer, moment())
    wait_for(lambda: not seconds_left(job.not_before, job.timer, moment()), f"{left_s} s to pass")
    assert store.get(job.id).status == "queued"
    actions.wake()
    assert wait_for_end(store, job.id).status == "done"


# --- retries


def test_a_job_that_fails_twice_and_then_succeeds(launch: Callable[..., Job], store: JobStore) -> None:
    line = "echo out $JOB_ATTEMPT; printf 'no end of line' >&2; test $JOB_ATTEMPT = 3"
    job = wait_for_end(store, launch(line, retries=3, retry_delay=0.05).id)
    assert (job.status, job.attempt, job.exit_code) == ("done", 3, 0)
    assert [(one["attempt"], one["exit_code"], one["reason"]) for one in job.attempts] == [
        (1, 1, "exit code 1"), (2, 1, "exit code 1"), (3, 0, "exit code 0"),
    ]  # fmt: skip
    for one, following in zip(job.attempts, job.attempts[1:]):
        assert from_iso(following["started_at"]) >= from_iso(one["ended_at"]) + 0.049
    out, err = (Path(path).read_text() for path in (store.paths.out(job.id), store.paths.err(job.id)))
    divided = r"out 1\n--- attempt 2 of 4, 2\S+Z ---\nout 2\n--- attempt 3 of 4, 2\S+Z ---\nout 3\n"
    assert re.fullmatch(divided, out)
    assert re.fullmatch(
        r"no end of line\n--- attempt 2 .* ---\nno end of line\n--- attempt 3 .* ---\nno end of line", err
    )
    journal = Path(store.paths.journal).read_text()
    assert re.findall(r" - ((?:queued|active|done|error|retry)[^-]*) - ", journal) == [
        "queued", "active", "retry (2/4)", "active", "retry (3/4)", "active", "done",
    ]  # fmt: skip
    assert Path(store.paths.errors).read_text().count(" - retry (") == 2


def test_after_the_last_retry_it_is_an_error(launch: Callable[..., Job], store: JobStore) -> None:
    job = wait_for_end(store, launch("exit 4", retries=1, retry_delay=0).id)
    assert (job.status, job.exit_code, job.attempt, len(job.attempts)) == ("error", 4, 2, 2)


def test_a_timeout_and_a_lost_job_are_tried_again(
    launch: Callable[..., Job], store: JobStore, actions: Actions
) -> None:
    timed = wait_for_end(store, launch("test $JOB_ATTEMPT = 2 || sleep 100", timeout=0.2, retries=1, retry_delay=0).id)
    assert [one["reason"] for one in timed.attempts] == ["timed out after 0.2 s", "exit code 0"]
    lost = launch("test $JOB_ATTEMPT = 2 || sleep 1000", retries=1, retry_delay=0)
    runner = wait_for_status(store, lost.id, "active").pid
    kill_and_wait(psutil.Process(runner))
    ended = wait_for_end(store, lost.id)
    assert ended.status == "done"
    assert ended.attempts[0]["reason"].startswith("lost: ")


def test_the_slot_is_free_during_the_wait_and_a_stop_ends_it(configure: Callable[..., Actions]) -> None:
    actions = configure("slots = 1\n")
    options = {"command": {"type": "exec", "cmd": "exit 3"}, "retries": 2, "retry_delay": 1000, "start": True}
    job = actions.submit({**options, "priority": 900})
    waiting = wait_for(
        lambda: found if (found := actions.store.get(job.id)).attempts[-1:] and found.status == "queued" else None
    )
    assert waiting.reason == "attempt 1: exit code 3"
    assert (waiting.pid, waiting.exit_code, waiting.started_at) == (None, None, None)
    assert wait_for_end(actions.store, actions.submit({"command": {"type": "exec", "cmd": "true"}, "start": True}).id)
    stopped = actions.stop(job.id, by="alice")
    assert (stopped.status, stopped.reason) == ("stop", "stopped by alice before attempt 2")


def test_retries_default_to_the_settings(configure: Callable[..., Actions]) -> None:
    actions = configure("max_retries = 1\nretry_delay = 0\n")
    for retries, attempts in ((None, 2), (0, 1)):
        job = actions.submit({"command": {"type": "exec", "cmd": "exit 1"}, "start": True, "retries": retries})
        assert wait_for_end(actions.store, job.id).attempt == attempts


def test_stopping_a_later_attempt_reaches_what_an_earlier_one_left_behind(
    launch: Callable[..., Job], store: JobStore, actions: Actions, tmp_path: Path
) -> None:
    mark = tmp_path / "pid"
    line = f"if [ $JOB_ATTEMPT = 1 ]; then sleep 1000 & echo $! > {mark}; exit 1; fi; exec sleep 1000"
    job = launch(line, retries=1, retry_delay=0)
    wait_for(lambda: (found := store.get(job.id)).status == "active" and found.attempt == 2)
    behind = psutil.Process(int(mark.read_text()))
    assert behind.is_running()
    actions.stop(job.id)
    assert wait_for_end(store, job.id).status == "stop"
    assert not behind.is_running() or behind.status() == "zombie"


# --- dependencies


def test_a_job_runs_once_those_before_it_are_done(launch: Callable[..., Job], store: JobStore, tmp_path: Path) -> None:
    log = tmp_path / "log"
    slow = launch(f"sleep 0.3; echo slow >> {log}")
    quick = launch(f"echo quick >> {log}")
    last = launch(f"echo last >> {log}", after=[slow.id, quick.id, slow.id], priority=900)
    assert last.after == [slow.id, quick.id]
    assert wait_for_end(store, last.id).status == "done"
    assert log.read_text().split() == ["quick", "slow", "last"]


def test_if_one_ends_otherwise_those_after_it_end_too(
    launch: Callable[..., Job], store: JobStore, actions: Actions
) -> None:
    held = actions.submit({"command": {"type": "exec", "cmd": "true"}})
    failing = launch("exit 1", delay=0.2)
    first, second = launch("true", after=[held.id, failing.id]), launch("true", after=[held.id])
    third = launch("true", after=[first.id])
    assert wait_for_end(store, first.id).reason == f"job {failing.id} ended error"
    assert wait_for_end(store, third.id).reason == f"job {first.id} ended error"
    assert store.get(first.id).attempts == []
    actions.stop(held.id)
    assert wait_for_end(store, second.id).reason == f"job {held.id} ended stop"


def test_dependencies_outlive_the_dispatcher_and_deletions(
    launch: Callable[..., Job], store: JobStore, actions: Actions, data: Path
) -> None:
    done = wait_for_end(store, launch("true").id)
    held = actions.submit({"command": {"type": "exec", "cmd": "true"}})
    gone = actions.submit({"command": {"type": "exec", "cmd": "true"}})
    waits = launch("true", after=[done.id, held.id])
    in_vain = launch("true", after=[gone.id])
    actions.delete(done.id)
    kill_and_wait(wait_for(lambda: dispatcher_of(data)))
    actions.delete(gone.id)
    actions.start(held.id)
    assert wait_for_end(store, waits.id).status == "done"  # the journal still knows that the deleted one was done
    assert wait_for_end(store, in_vain.id).reason == f"job {gone.id} was deleted"


def test_unknown_ones_and_circles_are_refused(actions: Actions, launch: Callable[..., Job], store: JobStore) -> None:
    with pytest.raises(InvalidJob, match="after: the job 20200101-000000-000000 does not exist"):
        launch("true", after=["20200101-000000-000000"])
    first = actions.submit({"command": {"type": "exec", "cmd": "true"}})
    second = actions.submit({"command": {"type": "exec", "cmd": "true"}, "after": [first.id]})
    third = actions.submit({"command": {"type": "exec", "cmd": "true"}, "after": [second.id]})
    for after in ([third.id], [first.id], [second.id, third.id]):
        with pytest.raises(InvalidJob, match=f"the job {first.id} would wait for itself"):
            actions.edit(first.id, {"after": after})
    assert store.get(first.id).after == []
    assert len(store.ids()) == 3


def test_dependents_are_looked_at_when_the_last_is_done_or_one_failed() -> None:
    dependents = Dependents()
    dependents.put("x", ["a", "b"])
    dependents.put("y", ["b"])
    assert dependents.ended("a", well=True) == []
    assert dependents.ended("b", well=True) == ["x", "y"]
    dependents.put("x", ["a", "b"])
    assert dependents.ended("a", well=False) == ["x"]
    dependents.remove("x")
    assert dependents.ended("a", well=False) == []


# --- callbacks


def test_a_callback_is_made_after_every_kind_of_end_is_visible(
    actions: Actions, launch: Callable[..., Job], store: JobStore, listener: Listener
) -> None:
    seen = {}

    def note(path: str) -> None:
        job_id = path.split("job=")[1].split("&")[0]
        seen[job_id] = store.get(job_id).status.value

    listener.on_request = note
    url = f"{listener.url}/get?job=__JOBID__&status=__STATUS__&exit=__EXITCODE__"
    more = {"callback_done": {"type": "http", "url": url}}
    ends = {
        launch("true", **more).id: "done&exit=0",
        launch("exit 3", **more).id: "error&exit=3",
        launch("kill -9 $$", **more).id: "error&exit=137",
        launch("sleep 1000", timeout=0.1, **more).id: "error&exit=143",
        (stopped := launch("sleep 1000", **more).id): "stop&exit=143",
        (lost := launch("sleep 1000", **more).id): "error&exit=",
        (never := launch("true", delay=1000, **more).id): "stop&exit=",
        launch("true", after=[stopped], **more).id: "error&exit=",
        (elsewhere := actions.submit({"command": {"type": "exec", "cmd": "true"}, **more}).id): "done&exit=",
    }
    wait_for_status(store, stopped, "active")
    actions.stop(never)
    actions.stop(stopped)
    actions.report(elsewhere, JobStatus.DONE)
    kill_and_wait(psutil.Process(wait_for_status(store, lost, "active").pid))
    for job_id, told in ends.items():
        assert callbacks_of(store, job_id)[0]["outcome"] == "made"
        assert ("GET", f"/get?job={job_id}&status={told}") in listener.asked
        assert seen[job_id] == told.split("&")[0]
    assert len(listener.asked) == len(ends)
    wait_for(lambda: not os.listdir(store.paths.open))


def test_after_a_failure_both_callbacks_are_made_and_else_one(
    launch: Callable[..., Job], store: JobStore, listener: Listener
) -> None:
    more = {
        name: {
            "type": "http",
            "url": f"{listener.url}/{name}/__JOBID__",
            "method": "POST",
            "params": {"s": "__STATUS__"},
        }
        for name in ("callback_done", "callback_failed")
    }
    failed, done = launch("exit 1", **more), launch("true", **more)
    assert [one["callback"] for one in callbacks_of(store, failed.id, 2)] == ["callback_done", "callback_failed"]
    callbacks_of(store, done.id, 1)
    wait_for(lambda: not os.listdir(store.paths.open))
    assert sorted(path.split("/")[1] for _, path in listener.asked) == [
        "callback_done",
        "callback_done",
        "callback_failed",
    ]
    assert sorted(listener.bodies) == ["s=done", "s=error", "s=error"]


def test_a_callback_to_a_dead_port_is_tried_three_times_and_shown_as_failed(
    launch: Callable[..., Job], store: JobStore
) -> None:
    job = launch("true", callback_done={"type": "http", "url": f"http://127.0.0.1:{free_port()}/"})
    (outcome,) = callbacks_of(store, job.id)
    assert (outcome["outcome"], outcome["tries"]) == ("failed", 3)
    assert "refused" in outcome["detail"]
    ended = store.get(job.id)
    assert (ended.status, ended.exit_code, ended.reason) == ("done", 0, "exit code 0")
    assert f"{job.id} callback_done failed after 3 tries" in Path(store.paths.errors).read_text()


def test_a_status_of_400_and_above_is_a_failed_try(
    launch: Callable[..., Job], store: JobStore, listener: Listener
) -> None:
    job = launch("true", callback_done={"type": "http", "url": f"{listener.url}/status/503"})
    assert callbacks_of(store, job.id)[0]["detail"] == "HTTP 503 Service Unavailable"
    assert len(listener.asked) == 3


def test_what_an_exec_callback_is_told_never_reaches_a_shell(
    launch: Callable[..., Job], store: JobStore, actions: Actions, tmp_path: Path
) -> None:
    nasty = "'; touch pwned; $(touch pwned) `touch pwned`\n\" & touch pwned #"
    told = tmp_path / "told"
    callback = {
        "type": "exec",
        "cmd": f'printf "%s\\0" "$JOB_ID" "$JOB_STATUS" "$JOB_EXIT_CODE" "$JOB_REASON" > {told}',
    }
    job = launch("sleep 1000", name=nasty, cwd=str(tmp_path), callback_done=callback)
    wait_for_status(store, job.id, "active")
    actions.stop(job.id, by=nasty)
    callbacks_of(store, job.id)
    assert told.read_text().split("\0")[:3] == [job.id, "stop", "143"]
    assert told.read_text().split("\0")[3] == f"stopped by {nasty} (killed by SIGTERM)"
    assert sorted(os.listdir(tmp_path)) == ["data", "told"]


def test_an_exec_callback_that_fails_or_hangs_says_so_and_nothing_of_it_stays(
    launch: Callable[..., Job], store: JobStore, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    hanging = launch("true", callback_done={
        "type": "exec", "timeout": 0.2, "cmd": f"echo $$ >> {pids}; setsid sleep 1000 & echo $! >> {pids}; sleep 1000",
    })  # fmt: skip
    failing = launch("true", callback_done={"type": "exec", "cmd": "echo what went wrong >&2; exit 7"})
    assert callbacks_of(store, failing.id)[0]["detail"] == "exit code 7: what went wrong"
    assert callbacks_of(store, hanging.id)[0]["detail"] == "timed out after 0.2 s"
    for pid in pids.read_text().split():
        assert not psutil.pid_exists(int(pid)) or psutil.Process(int(pid)).status() == "zombie"


def test_callbacks_are_made_after_the_dispatcher_died_and_the_machine_was_off(
    launch: Callable[..., Job], store: JobStore, actions: Actions, data: Path, listener: Listener
) -> None:
    actions.pause(True)
    job = launch("true", callback_done={"type": "http", "url": f"{listener.url}/__STATUS__"})
    kill_and_wait(wait_for(lambda: dispatcher_of(data)))
    store.transition(job.id, {JobStatus.QUEUED}, JobStatus.STOP, reason="by hand")
    for marker in os.listdir(store.paths.open):  # a power cut may lose them
        os.unlink(store.paths.marker(marker))
    Path(store.paths.boot_id).write_text("another boot")
    actions.wake()
    assert callbacks_of(store, job.id)[0]["outcome"] == "made"
    assert listener.asked == [("GET", "/stop")]


# --- HTTP jobs


def test_an_http_job_keeps_the_answer_as_its_response(
    launch: Callable[..., Job], store: JobStore, listener: Listener
) -> None:
    command = {"type": "http", "url": f"{listener.url}/delay/0.1", "params": {"username": "michael"}, "timeout": 20}
    job = wait_for_end(store, launch("", command=command).id)
    assert (job.status, listener.asked) == ("done", [("GET", "/delay/0.1?username=michael")])
    assert Path(store.paths.response(job.id)).read_text() == "asked /delay/0.1?username=michael\n"
    failed = wait_for_end(store, launch("", command={"type": "http", "url": f"{listener.url}/status/404"}).id)
    assert (failed.status, failed.exit_code) == ("error", 1)
    assert "404" in Path(store.paths.err(failed.id)).read_text()


def test_an_http_job_is_a_job_like_any_other(
    launch: Callable[..., Job], store: JobStore, actions: Actions, listener: Listener
) -> None:
    job = launch("", command={"type": "http", "url": f"{listener.url}/delay/5", "headers": {"X-Token": "hush"}})
    running = wait_for_session(store, job.id)
    wait_for(lambda: listener.asked)
    assert "hush" not in " ".join(psutil.Process(running.session).cmdline())
    actions.stop(job.id)
    assert wait_for_end(store, job.id).status == "stop"


# --- changing


def test_a_job_that_is_not_active_yet_can_be_changed(
    actions: Actions, launch: Callable[..., Job], store: JobStore
) -> None:
    first = launch("true", delay=1000)
    changed = actions.edit(first.id, {"priority": 7, "context": "c", "at": "2099-01-01T00:00Z", "retries": 2})
    assert (changed.priority, changed.context, changed.not_before) == (7, "c", "2099-01-01T00:00:00.000Z")
    assert (changed.delay, changed.timer, changed.retries) == (0, None, 2)
    second = launch("true", after=[first.id])
    actions.edit(second.id, {"after": []})
    assert wait_for_end(store, second.id).status == "done"
    actions.edit(first.id, {"delay": 0})
    assert wait_for_end(store, first.id).status == "done"
    with pytest.raises(WrongState):
        actions.edit(first.id, {"priority": 8})


def test_a_changed_priority_changes_the_order(configure: Callable[..., Actions], tmp_path: Path) -> None:
    actions = configure("slots = 1\n")
    actions.pause(True)
    log = tmp_path / "order"
    jobs = [
        actions.submit({"command": {"type": "exec", "cmd": f"echo {number} >> {log}"}, "start": True})
        for number in range(3)
    ]
    actions.edit(jobs[2].id, {"priority": 501})
    actions.edit(jobs[0].id, {"priority": 499})
    actions.pause(False)
    for job in jobs:
        wait_for_end(actions.store, job.id)
    assert log.read_text().split() == ["2", "1", "0"]


def test_with_approved_commands_alone_shell_lines_are_no_callbacks(
    configure: Callable[..., Actions], listener: Listener
) -> None:
    plain = configure("slots = 1\n")
    exec_callback = {"type": "exec", "cmd": "true"}
    held = plain.submit({"command": {"type": "exec", "cmd": "true"}, "callback_failed": exec_callback})
    actions = configure('[allowed_commands.greet]\ncommand = ["echo", "hello"]\n')
    for name in ("callback_done", "callback_failed"):
        with pytest.raises(NotAllowed, match=name):
            actions.edit(held.id, {name: exec_callback})
    with pytest.raises(NotAllowed):
        actions.again(held.id)
    actions.edit(held.id, {"callback_done": {"type": "http", "url": listener.url}})


# --- the queue server's routes


def examples(listener: Listener) -> list[dict[str, Any]]:
    text = (
        '{"priority":800,"context":"MyCoolApp","command":{"type":"http","url":"http://127.0.0.1:PORT/delay/1",'
        '"method":"GET","timeout":20,"params":{"username":"michael"}},"callback_done":{"type":"http",'
        '"url":"http://127.0.0.1:PORT/get?job=done","method":"GET"}}'
    )
    return [json.loads(text.replace("PORT", str(listener.port)))]


def test_the_examples_run_as_they_stand(server: Any, store: JobStore, listener: Listener, tmp_path: Path) -> None:
    script = tmp_path / "somescript.sh"
    script.write_text("#!/bin/sh\necho ran\n")
    script.chmod(0o755)
    for payload in [*examples(listener), {"command": {"type": "exec", "cmd": str(script)}}]:
        answer = server.post("/jobs/add", payload)
        assert (answer.code, answer.json["status"], answer.json["success"]) == (200, "OK", True)
        job_id = answer.json["job_id"]
        assert answer.json["data"][0]["id"] == job_id
        before = server.get(f"/jobs/status/{job_id}").json["data"]
        assert before["worker_status"] in (0, 1, 3)
        wait_for_end(store, job_id)
        data = server.get(f"/jobs/status/{job_id}").json["data"]
        assert data["worker_status"] == 3
        assert data["time_completed"] > data["time_added"]
    assert ("GET", "/delay/1?username=michael") in listener.asked
    wait_for(lambda: ("GET", "/get?job=done") in listener.asked)
    assert server.get("/jobs/status").json == {
        "status": 200, "data": {"waiting": 0, "working": 0, "max_threads": 4, "free_threads": 4},
    }  # fmt: skip


WRONG: list[Any] = [
    {},
    [],
    "text",
    {"command": {}},
    {"command": "true"},
    {"command": {"type": "magic"}},
    {"command": {"type": "exec"}},
    {"command": {"type": "exec", "cmd": ""}},
    {"command": {"type": "exec", "cmd": "true", "cwd": "/"}},
    {"command": {"type": "http"}},
    {"command": {"type": "http", "url": "ftp://host/file"}},
    {"command": {"type": "http", "url": "file:///etc/passwd"}},
    {"command": {"type": "http", "url": "http://host/", "method": "STEAL"}},
    {"command": {"type": "http", "url": "http://host/", "headers": {"X": "a\r\nY: b"}}},
    {"command": {"type": "http", "url": "http://host/", "timeout": -1}},
    *(
        {"command": {"type": "exec", "cmd": "true"}, **more}
        for more in (
            {"priority": "high"}, {"priority": True}, {"priority": 1_000_001}, {"priority": 1.5},
            {"delay": -1}, {"delay": "60"}, {"delay": True}, {"at": "tomorrow"}, {"at": 5}, {"at": "2026-02-30T10:00"},
            {"delay": 5, "at": "2099-01-01T00:00Z"}, {"retries": -1}, {"retries": "2"}, {"retry_delay": -0.1},
            {"after": "20200101-000000-000000"}, {"after": ["20200101-000000-000000"]}, {"after": ["../x"]}, {"after": [1]},
            {"callback_done": "http://host/"}, {"callback_done": {"type": "http"}}, {"callback_done": {"type": "exec"}},
            {"callback_done": {"type": "worker", "name": "x"}}, {"callback_failed": {"type": "exec", "cmd": ""}},
            {"callback_failed": {"url": "http://host/"}}, {"executor": "elsewhere"}, {"unknown": 1}, {"context": ""},
            {"context": 5}, {"name": 5}, {"start": "yes"},
        )
    ),
]  # fmt: skip


def test_invalid_payloads_are_refused_and_store_nothing(server: Any, store: JobStore) -> None:
    good = {"command": {"type": "exec", "cmd": "true"}}
    for payload in WRONG:
        alone = server.post("/jobs/add", payload if isinstance(payload, (dict, list)) else json.dumps(payload))
        assert (alone.code, alone.json["success"]) == (400, False), payload
        assert alone.json["message"], payload
        assert server.post("/jobs/add", [good, payload, good]).code == 400, payload
    assert server.post("/jobs/add", [good] * 1001).code == 400
    assert store.ids() == []
    assert not Path(store.paths.journal).exists()


def test_an_array_adds_all(server: Any, store: JobStore) -> None:
    payloads = [{"command": {"type": "exec", "cmd": "true"}, "priority": number} for number in range(50)]
    answer = server.post("/jobs/add", payloads).json
    assert answer["job_ids"] == sorted(answer["job_ids"])
    assert [record["priority"] for record in answer["data"]] == list(range(50))
    for job_id in answer["job_ids"]:
        wait_for_end(store, job_id)


def test_unknown_jobs_and_other_ends_have_their_numbers(
    server: Any, store: JobStore, launch: Callable[..., Job], actions: Actions
) -> None:
    for unknown in ("20200101-000000-000000", "..", "%2e%2e%2fsecret"):
        answer = server.get(f"/jobs/status/{unknown}")
        assert answer.code == 404
    assert server.get("/jobs/status/20200101-000000-000000").json == {"status": 404, "data": "Job not found"}
    failed, stopped = launch("exit 1"), launch("true", delay=1000)
    actions.stop(stopped.id)
    wait_for_end(store, failed.id)
    for job in (failed, stopped):
        assert server.get(f"/jobs/status/{job.id}").json["data"]["worker_status"] == 99
    waiting = launch("true", delay=1000)
    found = server.get(f"/jobs/status/{waiting.id}").json["data"]
    assert (found["worker_status"], found["time_completed"]) == (0, None)
    assert server.get("/jobs/status").json["data"]["waiting"] == 1


# --- drain


def test_pause_outlives_the_server(start_server: Callable[..., Any], store: JobStore) -> None:
    server = start_server()
    assert server.post_form("/pause", {}).code == 303
    server.kill()
    again = start_server()
    job_id = again.post("/jobs/add", {"command": {"type": "exec", "cmd": "true"}}).json["job_id"]
    assert again.get("/health").json["data"]["paused"] is True
    wait_for(lambda: dispatcher_of(Path(store.paths.data)))
    assert store.get(job_id).status == "queued"
    again.post_form("/resume", {})
    assert wait_for_end(store, job_id).status == "done"


def test_a_callback_is_made_while_paused(
    launch: Callable[..., Job], store: JobStore, actions: Actions, listener: Listener
) -> None:
    running = launch("sleep 1000", callback_done={"type": "http", "url": listener.url})
    wait_for_status(store, running.id, "active")
    actions.pause(True)
    actions.kill(running.id)
    assert callbacks_of(store, running.id)[0]["outcome"] == "made"


def test_a_callback_process_that_is_killed_is_started_again(
    launch: Callable[..., Job], store: JobStore, listener: Listener, tmp_path: Path
) -> None:
    mark = tmp_path / "began"
    callback = {"type": "exec", "cmd": f"if mkdir {mark}; then kill -9 $PPID; fi"}
    job = launch("true", callback_done=callback)
    (outcome,) = callbacks_of(store, job.id)
    assert (outcome["outcome"], outcome["tries"], mark.exists()) == ("made", 1, True)


def test_patch_changes_a_waiting_job(server: Any, store: JobStore, launch: Callable[..., Job]) -> None:
    first, second = launch("true", delay=1000), launch("true", delay=1000)
    changed = server.request(
        "PATCH", f"/jobs/{second.id}", {"priority": 9, "after": [first.id], "at": None, "delay": 2}
    )
    assert (changed.code, changed.json["data"][0]["after"]) == (200, [first.id])
    for wrong in (
        {"after": [second.id]},
        {"after": ["20200101-000000-000000"]},
        {"delay": -1},
        {"at": "x"},
        {"start": True},
    ):
        before = Path(store.paths.json(second.id)).read_bytes()
        assert server.request("PATCH", f"/jobs/{second.id}", wrong).code == 400, wrong
        assert Path(store.paths.json(second.id)).read_bytes() == before
    assert server.request("PATCH", f"/jobs/{first.id}", {"at": "2020-01-01T00:00Z"}).code == 200
    wait_for_end(store, first.id)
    assert server.request("PATCH", f"/jobs/{first.id}", {"priority": 1}).code == 409
    assert wait_for_end(store, second.id).status == "done"
