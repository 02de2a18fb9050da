"""The command line's part in the queue: options of `run`, `set`, `prune`, and what `list` and `status` say of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from running_jobs.actions import Actions
from running_jobs.clocks import moment, seconds_left
from running_jobs.job import Job
from running_jobs.retention import expired
from running_jobs.store import JobStore

from .conftest import Listener, wait_for, wait_for_end


def test_run_takes_every_option_of_the_queue(app_py, store: JobStore, listener: Listener) -> None:
    first = app_py("run", "--delay", "0.3", "true").out.strip()
    done = app_py(
        "run", "--retries", "2", "--retry-delay", "0", "--after", first[:-1] if first[:-1] != first else first,
        "--callback-done", f"{listener.url}/done?job=__JOBID__",
        "--callback-failed", json.dumps({"type": "http", "url": f"{listener.url}/failed", "method": "POST"}),
        "exit 5",
    )  # fmt: skip
    assert done.code == 0, done.err
    job = wait_for_end(store, done.out.strip())
    assert (job.status, job.attempt, job.after) == ("error", 3, [first])
    wait_for(lambda: len(listener.asked) == 2)
    assert listener.asked == [("GET", f"/done?job={job.id}"), ("POST", "/failed")]


def test_wait_stays_over_all_attempts(app_py) -> None:
    line = "echo $JOB_ATTEMPT; test $JOB_ATTEMPT = 2 || exit 7"
    done = app_py("run", "--wait", "--retries", "1", "--retry-delay", "0.1", line)
    assert done.code == 0, done.err
    assert [text for text in done.out.splitlines() if "---" not in text] == ["1", "2"]


@pytest.mark.parametrize(
    "args",
    [
        ("run", "--at", "tomorrow", "true"), ("run", "--delay", "-1", "true"), ("run", "--after", "nope", "true"),
        ("run", "--delay", "1", "--at", "2099-01-01T00:00Z", "true"), ("run", "--retries", "-1", "true"),
        ("run", "--callback-done", "ftp://host/", "true"), ("run", "--callback-failed", "{", "true"),
        ("run", "--priority", "1000001", "true"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line_and_stores_nothing(app_py, store: JobStore, args: tuple[str, ...]) -> None:
    refused = app_py(*args)
    assert (refused.code, refused.out, refused.err.count("\n")) == (1, "", 1), refused.err
    assert store.ids() == []


def test_set_changes_a_waiting_job(app_py, store: JobStore, actions: Actions) -> None:
    first = app_py("run", "--hold", "true").out.strip()
    job_id = app_py("run", "--delay", "1000", "true").out.strip()
    done = app_py(
        "set", job_id, "priority=-5", "context=night shift", "at=2099-01-01T00:00Z", "retries=3", "after=" + first
    )
    assert done.code == 0, done.err
    job = store.get(job_id)
    assert (job.priority, job.context, job.not_before, job.retries, job.after) == (
        -5, "night shift", "2099-01-01T00:00:00.000Z", 3, [first],
    )  # fmt: skip
    shown = json.loads(app_py("set", job_id, "after=", "delay=900", "name=a=b", "--json").out)[0]
    assert (shown["after"], shown["name"], shown["delay"]) == ([], "a=b", 900)
    assert 800 < seconds_left(store.get(job_id).not_before, store.get(job_id).timer, moment()) <= 900
    assert app_py("set", job_id, "delay=0").code == 0
    assert wait_for_end(store, job_id).status == "done"


@pytest.mark.parametrize(
    ("pair", "code"),
    [
        ("priority=high", 1), ("priority=", 1), ("colour=red", 1), ("delay=-1", 1), ("at=soon", 1), ("after=zzz", 1),
        ("command=true", 1), ("priority", 2), ("env=A", 1), ("callback_done={", 1),
    ],
)  # fmt: skip
def test_set_refuses_what_is_wrong(app_py, store: JobStore, pair: str, code: int) -> None:
    job_id = app_py("run", "--hold", "true").out.strip()
    before = Path(store.paths.json(job_id)).read_bytes()
    refused = app_py("set", job_id, pair)
    assert refused.code == code
    assert refused.err
    assert Path(store.paths.json(job_id)).read_bytes() == before


def test_a_job_that_is_active_or_ended_cannot_be_changed(app_py, store: JobStore, launch: Callable[..., Job]) -> None:
    job = wait_for_end(store, launch("true").id)
    refused = app_py("set", job.id, "priority=1")
    assert (refused.code, "is done" in refused.err) == (1, True)


def test_list_says_what_a_job_waits_for(app_py, actions: Actions, launch: Callable[..., Job]) -> None:
    actions.pause(True)
    later = launch("true", delay=1000, name="later", retries=2)
    launch("true", after=[later.id], name="follows", context="night", priority=7)
    rows = {row.split()[-1]: row for row in app_py("list").out.splitlines()}
    assert " in 16 min" in rows["later"] and "(0/3)" in rows["later"]
    assert "after others" in rows["follows"] and "[night]" in rows["follows"] and "     7  " in rows["follows"]


def test_prune_removes_ended_jobs_and_no_others(
    app_py, store: JobStore, actions: Actions, launch: Callable[..., Job]
) -> None:
    ended = [wait_for_end(store, launch("true").id).id for _ in range(4)]
    held = actions.submit({"command": {"type": "exec", "cmd": "true"}}).id
    queued = launch("true", delay=1000).id
    assert app_py("prune").out == "0 jobs removed\n"
    assert app_py("prune", "--keep-jobs", "1", "--dry-run").out.split() == [
        *ended[:3],
        "3",
        "jobs",
        "would",
        "be",
        "removed",
    ]
    assert store.ids() == sorted([*ended, held, queued])
    assert json.loads(app_py("prune", "--keep-jobs", "1", "--json").out) == ended[:3]
    assert store.ids() == sorted([ended[3], held, queued])
    assert not Path(store.paths.out(ended[0])).exists()
    assert app_py("prune", "--keep-days", "1").out == "0 jobs removed\n"
    assert app_py("prune", "--keep-days", "0").out.splitlines()[0] == ended[3]
    assert store.ids() == sorted([held, queued])


def test_keep_days_counts_from_the_end(store: JobStore, launch: Callable[..., Job]) -> None:
    job = wait_for_end(store, launch("true").id)
    wait_for(lambda: not store.open_ids())
    days = 86400.0
    later = JobStore(store.paths.data, clock=lambda: moment().wall_s + 2 * days)
    assert expired(later, 1, None) == [job.id]
    assert expired(later, 3, None) == []


def test_status_says_when_the_disk_is_too_full(app_py) -> None:
    assert "nothing new starts" not in app_py("status").out
    low = app_py("status", JOBS_MIN_FREE_BYTES=str(1 << 59))
    assert "less than min_free_bytes: nothing new starts" in low.out
