"""The machine restarts: all processes die at once, and there are a new boot id and a boot clock that begins anew."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from running_jobs.job import from_iso
from running_jobs.recovery import LOST
from running_jobs.store import JobStore
from tests.conftest import PROJECT, Client, wait_for, wait_for_end, wait_for_session, wait_for_status

from .machine import Machine, require_machines

SETTINGS = "slots = 6\ngrace_seconds = 60\n[contexts.line]\nslots = 1\n"


@pytest.fixture
def machine(data: Path, tmp_path: Path) -> Iterator[Machine]:
    """Give a machine that is on, on the test's data directory."""
    require_machines()
    (data / "config.toml").write_text(SETTINGS)
    one = Machine(tmp_path, data)
    one.boot()
    yield one
    one.switch_off()


class Submits:
    """Submits jobs to a server, each of which notes its name and attempt in a file as it begins."""

    def __init__(self, client: Client, notes: Path) -> None:
        self.client, self.notes = client, notes

    def __call__(self, name: str, line: str = "true", **options: Any) -> str:
        command = {"type": "exec", "cmd": f'echo "{name} $JOB_ATTEMPT" >> {self.notes}; {line}'}
        answer = self.client.post("/jobs", {"command": command, "name": name, "start": True, **options})
        assert answer.code == 201, answer.text
        return str(answer.json["data"][0]["id"])


def test_what_ran_is_lost_and_what_waited_goes_on_in_order(machine: Machine, store: JobStore, tmp_path: Path) -> None:
    submit = Submits(machine.serve(), tmp_path / "notes")
    called = tmp_path / "called"
    call = {"type": "exec", "cmd": f'echo "$JOB_STATUS" >> {called}'}
    lost = submit("lost", "setsid -f sleep 1000; echo kept; exec sleep 1000", callback_failed=call)
    again = submit("again", "[ $JOB_ATTEMPT = 2 ] || exec sleep 1000", retries=1, retry_delay=0)
    stopped = submit("stopped", "trap '' TERM; echo kept; sleep 1000; sleep 1000", retries=1, retry_delay=0)
    first = submit("first in line", "[ $JOB_ATTEMPT = 2 ] || exec sleep 1000", context="line", retries=1, retry_delay=0)
    for job_id in (lost, again, stopped, first):
        wait_for_status(store, job_id, "active")
    logs = [Path(store.paths.out(job_id)) for job_id in (lost, stopped)]
    wait_for(lambda: [log.read_text() for log in logs] == ["kept\n", "kept\n"])
    submit("third", context="line")
    fourth = submit("fourth", context="line")
    submit("second", context="line", priority=900)
    submit("fifth", after=[fourth])
    submit("never", after=[lost])
    submit("sixth", after=[again], context="line", priority=1)
    submit("soon", delay=4)
    late = submit("late", delay=3600)
    idle = submit("idle", start=False)
    assert submit.client.put(f"/jobs/{stopped}/status", "stop").code == 200
    machine.start(sys.executable, f"{PROJECT}/app.py", "run", "--name", "watched", "--wait", "sleep 1000")
    wait_for(lambda: any(store.get(job_id).name == "watched" for job_id in store.ids()[-1:]))
    wait_for_status(store, store.ids()[-1], "active")
    before = {job.name: job for job in map(store.get, store.ids())}
    assert {job.boot_id for job in before.values() if job.status == "active"} == {machine.boot_id}
    machine.switch_off()
    assert {store.get(job_id).status.value for job_id in (lost, again, stopped, first)} == {"active"}

    machine.boot()
    machine.serve()
    ended = {name: wait_for_end(store, before[name].id) for name in ENDS}
    assert {name: (job.status.value, job.reason, job.attempt) for name, job in ended.items()} == {
        name: (status, reason.format(lost=lost), attempt) for name, (status, reason, attempt) in ENDS.items()
    }
    wait_for(lambda: sorted(store.open_ids()) == sorted([late, idle]))
    for job in (ended["again"], ended["first in line"]):
        assert [attempt["reason"] for attempt in job.attempts] == [LOST, "exit code 0"]
        assert from_iso(job.attempts[0]["ended_at"]) <= from_iso(job.attempts[1]["started_at"])
        assert job.boot_id == machine.boot_id
    assert Path(store.paths.out(lost)).read_text() == "kept\n"
    assert called.read_text() == "error\n"
    assert from_iso(ended["soon"].started_at or "") >= from_iso(before["soon"].not_before or "")
    assert store.get(late) == before["late"]
    assert store.get(idle) == before["idle"]
    noted = (tmp_path / "notes").read_text().splitlines()
    assert sorted(noted) == sorted(set(noted)), "an attempt ran twice"
    in_line = [line for line in noted if line.split(" 1")[0] in ("second", "third", "fourth", "sixth")]
    assert in_line == ["second 1", "third 1", "fourth 1", "sixth 1"]


ENDS = {
    "lost": ("error", LOST, 1),
    "watched": ("error", LOST, 1),  # by somebody who is gone, too
    "again": ("done", "exit code 0", 2),
    "stopped": ("error", LOST, 1),  # it was asked to end: no other attempt
    "first in line": ("done", "exit code 0", 2),
    "second": ("done", "exit code 0", 1),
    "third": ("done", "exit code 0", 1),
    "fourth": ("done", "exit code 0", 1),
    "fifth": ("done", "exit code 0", 1),
    "sixth": ("done", "exit code 0", 1),
    "soon": ("done", "exit code 0", 1),
    "never": ("error", "job {lost} ended error", 0),
}


@pytest.mark.parametrize("case", ["a new boot id", "the same start times too", "a container with the host's boot id"])
def test_a_pid_that_was_given_out_again_is_never_signalled(machine: Machine, store: JobStore, case: str) -> None:
    job_id = machine.app_py("run", "trap '' TERM; sleep 1000; sleep 1000")
    job = wait_for_session(store, job_id)
    machine.switch_off()
    machine.boot(machine.boot_id if case.startswith("a container") else None)
    assert job.pid
    assert job.session
    notes = machine.add_strangers(job.pid, job.session)
    runner, command = machine.look_at(job.pid), machine.look_at(job.session)
    assert runner
    assert command
    if case.startswith("the same"):
        record = job.to_dict() | {"pid_started": runner.started, "session_started": command.started}
        Path(store.paths.json(job_id)).write_text(json.dumps(record))
    machine.app_py("kill", job_id)  # before any dispatcher has looked
    assert wait_for_end(store, job_id).reason == LOST
    assert (machine.look_at(job.pid), machine.look_at(job.session)) == (runner, command), "a stranger was killed"
    assert not notes.exists(), f"strangers were signalled: {notes.read_text()}"


def test_a_dispatcher_of_another_boot_is_not_taken_for_one_that_lives(machine: Machine, store: JobStore) -> None:
    machine.app_py("pause")
    signed = wait_for(lambda: signature(store), "a dispatcher")
    machine.switch_off()
    machine.boot()
    notes = machine.add_strangers(signed["pid"])
    client = machine.serve()  # it replaces the dispatcher that it finds
    assert client.post("/jobs/add", {"command": {"type": "exec", "cmd": "true"}}).code == 200
    machine.app_py("resume")
    assert wait_for_end(store, store.ids()[-1]).status == "done"
    assert machine.look_at(signed["pid"])
    assert not notes.exists()


def signature(store: JobStore) -> dict[str, Any] | None:
    """Return what the dispatcher wrote into its lock's file, once it has."""
    try:
        return dict(json.loads(Path(store.paths.dispatcher_lock).read_text()))
    except (OSError, ValueError):
        return None
