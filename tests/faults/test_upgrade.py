"""Another version: what it wrote is read, and its server is replaced while its jobs run, forth and back."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from running_jobs.actions import Actions
from running_jobs.job import Job, from_iso
from running_jobs.recovery import LOST
from running_jobs.settings import load_settings
from running_jobs.store import JobStore
from tests.conftest import (
    PROJECT,
    LocalClient,
    Server,
    dispatcher_of,
    is_gone,
    kill_and_wait,
    wait_for,
    wait_for_end,
    wait_for_status,
)

from .older_versions import COMMITS, QUEUE, WORKERS, WRITTEN, code_of

# --- what older versions wrote


@pytest.fixture
def written(version: str, data: Path) -> dict[str, Job]:
    """Lay what a version wrote into the test's data directory, and return its jobs by their names."""
    shutil.rmtree(data)
    shutil.copytree(WRITTEN / version, data)
    for path in data.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    store = JobStore(str(data))
    return {str(job.name): job for job in map(store.get, store.ids())}


def text(path: str) -> str:
    return Path(path).read_text()


@pytest.mark.parametrize("version", COMMITS)
def test_all_jobs_of_an_older_version_are_shown(written: dict[str, Job], data: Path) -> None:
    client = LocalClient(data)
    listed = {record["id"]: record["status"] for record in client.get("/jobs").json["data"]}
    assert listed == {job.id: job.status.value for job in written.values()}
    assert len(listed) == len(list(data.glob("*.json")))
    page = client.get("/").text
    for name, job in written.items():
        assert name in page
        for tab in ("log", "err", "response", "chart", "files", "details"):
            answer = client.get(f"/?job={job.id}&tab={tab}")
            assert answer.code == 200
            assert name in answer.text
        [record] = client.get(f"/jobs/{job.id}").json["data"]
        kept = json.loads(text(f"{data}/{job.id}.json"))
        masked = {"env": {variable: record["env"][variable] for variable in kept["env"]}}
        assert {key: record[key] for key in kept} == kept | masked
    done = written["done"].id
    assert client.get(f"/jobs/{done}/out").text == "out\n"
    assert client.get(f"/jobs/{done}/err").text == "err\n"
    assert client.get(f"/jobs/{done}/files/result.txt").text == "1\n"


@pytest.mark.parametrize(
    ("version", "run_is_kept"),
    [*((version, True) for version in COMMITS), ("before_queue", False), ("before_proof", False)],
)
def test_what_an_older_version_left_goes_on(
    version: str, written: dict[str, Job], data: Path, run_is_kept: bool
) -> None:
    if not run_is_kept:  # as backups leave it out
        shutil.rmtree(data / "run")
    actions = Actions(load_settings(str(data)))
    store = actions.store
    actions.pause(False)
    ends = {"active": ("error", LOST, 1), "queued": ("done", "exit code 0", 1)}
    if version in QUEUE:
        ends |= {"active with retries": ("done", "exit code 0", 2), "queued after": ("done", "exit code 0", 1)}
    for name, end in ends.items():
        job = wait_for_end(store, written[name].id)
        assert (job.status.value, job.reason, job.attempt) == end
    assert text(store.paths.out(written["active"].id)) == "began\n"
    assert text(store.paths.out(written["queued"].id)) == "queued\n"
    if version in QUEUE:
        after = store.get(written["queued after"].id)
        assert from_iso(after.started_at or "") >= from_iso(store.get(written["queued"].id).ended_at or "")
    for name in written.keys() - ends.keys():
        assert store.get(written[name].id) == written[name], "it changed although nothing was to happen"
    actions.start(written["idle"].id)
    assert wait_for_end(store, written["idle"].id).status == "done"
    waiting = {written[name].id for name in ("delayed",) if name in written}
    wait_for(lambda: set(store.open_ids()) == waiting)


@pytest.mark.parametrize("version", ["before_queue", "before_page"])
def test_ended_jobs_of_an_older_version_are_run_again_deleted_and_pruned(
    version: str, written: dict[str, Job], data: Path
) -> None:
    actions = Actions(load_settings(str(data)))
    store = actions.store
    actions.pause(False)
    again = {
        name: actions.again(written[name].id).id for name in ("done", "error") + ("worker",) * (version in WORKERS)
    }
    for name, job_id in again.items():
        job = wait_for_end(store, job_id)
        assert (job.status, job.exit_code) == (written[name].status, written[name].exit_code)
        assert text(store.paths.out(job_id)).count("\n") == text(store.paths.out(written[name].id)).count("\n")
    assert store.get(again["error"]).env == {"COLOUR": "blue"}
    for name in ("done", "error", "stop"):
        actions.delete(written[name].id)
        assert list(data.glob(f"{written[name].id}*")) == []
    wait_for_end(store, written["queued"].id)
    ended = [job_id for job_id in store.ids() if store.get(job_id).is_final]
    with (data / "config.toml").open("a") as config:
        config.write("keep_jobs = 1\n")
    Actions(load_settings(str(data))).replace_dispatcher()
    wait_for(lambda: [job_id for job_id in ended if job_id in store.ids()][1:] == [])


# --- replaced while jobs run


@pytest.fixture
def servers(data: Path) -> Iterator[Callable[[Path], Server]]:
    """Give a function that starts the server of a version's code on the test's data directory."""
    started: list[Server] = []

    def start(code: Path) -> Server:
        started.append(Server(data, code=code))
        return started[-1]

    yield start
    for server in started:
        server.kill()


def other_code(version: str, folder: Path) -> Path:
    """Return the code of another version; without the history, a copy of this one for one of them, and skip the rest."""
    found = code_of(version, folder)
    if found is None and version == "before_proof":
        left_out = shutil.ignore_patterns(".*", "tests", "jobs_data")
        return Path(shutil.copytree(PROJECT, folder / version, ignore=left_out))
    return found or pytest.skip("the history of this project is not here")


REPLACED = [
    ("before_queue", "upgrade"),
    ("before_page", "upgrade"),
    ("before_proof", "upgrade"),
    ("before_queue", "downgrade"),
    ("before_proof", "downgrade"),
]


@pytest.mark.parametrize(("version", "direction"), REPLACED)
def test_the_server_is_replaced_while_jobs_run(
    version: str, direction: str, data: Path, tmp_path: Path, servers: Callable[[Path], Server]
) -> None:
    other = other_code(version, tmp_path)
    first, second = (other, PROJECT) if direction == "upgrade" else (PROJECT, other)
    (data / "config.toml").write_text("slots = 5\ngrace_seconds = 1\n")
    store = JobStore(str(data))
    before = servers(first)
    go = tmp_path / "go"
    wait = f"echo before; while [ ! -e {go} ]; do sleep 0.05; done; echo after"
    lines = {
        "ends well": f"{wait}; exit 0",
        "fails": f"{wait}; exit 6",
        "stopped": f"{wait}; exit 0",
        "killed": f"trap '' TERM; {wait}; exit 0",
        "dies": f"{wait}; exit 0",
    }
    ids = {name: submit(before, name, line) for name, line in lines.items()}
    queued = submit(before, "queued", "echo ran")
    idle = submit(before, "idle", "echo ran", start=False)
    runners = {name: psutil.Process(wait_for_status(store, job_id, "active").pid) for name, job_id in ids.items()}
    for job_id in ids.values():
        wait_for(lambda job_id=job_id: text(store.paths.out(job_id)) == "before\n")
    for job_id in (queued, idle):
        add_unknown_key(store, job_id)
    old_dispatcher = dispatcher_of(data)

    after = servers(second)
    wait_for(lambda: (found := dispatcher_of(data)) and found != old_dispatcher, "the other version's dispatcher")
    before.kill()
    assert os.path.dirname(dispatcher_of(data).cmdline()[3]).startswith(str(second))
    assert not any(is_gone(runner) for runner in runners.values())
    assert {store.get(job_id).status.value for job_id in ids.values()} == {"active"}
    assert [record["status"] for record in after.get(f"/jobs/{ids['fails']}").json["data"]] == ["active"]
    assert store.get(queued).status == "queued"
    for name, verb in (("stopped", "stop"), ("killed", "kill")):
        assert after.put(f"/jobs/{ids[name]}/status", verb).code == 200
        assert wait_for_end(store, ids[name]).status == "stop"
    assert wait_for_end(store, queued).status == "done"  # in the slot that came free
    kill_and_wait(runners["dies"])
    lost = wait_for_end(store, ids["dies"])
    assert (lost.status.value, lost.reason) == ("error", LOST)
    go.touch()
    assert [wait_for_end(store, ids[name]).exit_code for name in ("ends well", "fails")] == [0, 6]
    assert text(store.paths.out(ids["fails"])) == "before\nafter\n"
    assert after.put(f"/jobs/{idle}/status", "start").code == 200
    assert wait_for_end(store, idle).status == "done"
    for job_id in (queued, idle):
        assert json.loads(text(store.paths.json(job_id)))["of another version"] == {"kept": [1, None]}
        assert text(store.paths.out(job_id)) == "ran\n"
    assert all(store.get(job_id).attempt == 1 for job_id in store.ids())
    wait_for(lambda: store.open_ids() == [])


def submit(server: Server, name: str, line: str, **options: Any) -> str:
    """Submit a shell line, and return the job's id."""
    answer = server.post("/jobs", {"command": {"type": "exec", "cmd": line}, "name": name, "start": True, **options})
    assert answer.code == 201, answer.text
    return str(answer.json["data"][0]["id"])


def add_unknown_key(store: JobStore, job_id: str) -> None:
    """Lay a key into a record that neither version knows."""

    def decide(job: Job) -> dict[str, Any]:
        return {"extra": {**job.extra, "of another version": {"kept": [1, None]}}}

    store.update(job_id, decide)
