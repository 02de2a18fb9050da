"""Figures for Prometheus, read with its own client's parser; and what /health says."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from prometheus_client import parser

from running_jobs import __version__
from running_jobs.actions import Actions
from running_jobs.index import JobIndex
from running_jobs.job import Job
from running_jobs.settings import load_settings
from running_jobs.store import JobStore
from running_jobs.tallies import SPARE
from running_jobs.web.application import build_app

from .conftest import LocalClient, Server, dispatcher_of, wait_for, wait_for_end, wait_for_status

EXEC = {"type": "exec", "cmd": "true"}
ALL = [
    "running_jobs_build_info", "running_jobs_jobs", "running_jobs_jobs_ended", "running_jobs_unreadable_jobs",
    "running_jobs_oldest_queued_job_age_seconds", "running_jobs_slots", "running_jobs_free_slots",
    "running_jobs_context_running_jobs", "running_jobs_context_queued_jobs", "running_jobs_dispatcher_up",
    "running_jobs_dispatcher_needed", "running_jobs_paused", "running_jobs_disk_free_bytes",
    "running_jobs_disk_min_free_bytes", "process_cpu_seconds", "process_resident_memory_bytes",
    "process_virtual_memory_bytes", "process_threads", "process_start_time_seconds", "process_open_fds", "process_max_fds",
]  # fmt: skip


def read(client: LocalClient | Server) -> dict[tuple[str, str], float]:
    """Return the samples by name and the value of their one label, if they have one."""
    answer = client.get("/metrics")
    assert (answer.code, answer.headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    families = [*parser.text_string_to_metric_families(answer.text)]
    found = [sample for family in families for sample in family.samples]
    assert all(family.documentation and family.type in ("gauge", "counter") for family in families)
    samples = {(sample.name, next(iter(sample.labels.values()), "")): sample.value for sample in found}
    assert len(samples) == len(found)
    return samples


def test_every_metric_has_its_name_kind_and_help(local: LocalClient) -> None:
    families = [*parser.text_string_to_metric_families(local.get("/metrics").text)]
    assert [family.name for family in families] == ALL
    for family in families:
        is_total = all(sample.name.endswith("_total") for sample in family.samples)
        assert (family.type == "counter") == is_total
    assert read(local)["running_jobs_build_info", __version__] == 1


def test_jobs_are_counted_by_status(local: LocalClient, launch: Callable[..., Job], store: JobStore) -> None:
    Path(store.paths.json("20000101-000000-000001")).write_text("{")
    wait_for_end(store, launch("true").id)
    wait_for_end(store, launch("exit 3").id)
    running = launch("exec sleep 1000")
    wait_for_status(store, running.id, "active")
    launch("true", start=False)
    found = read(local)
    assert found["running_jobs_unreadable_jobs", ""] == 1
    counted = {status: count for (name, status), count in found.items() if name == "running_jobs_jobs"}
    assert counted == {"idle": 1, "queued": 0, "active": 1, "done": 1, "error": 1, "stop": 0}
    slots = {name: found[f"running_jobs_{name}", ""] for name in ("slots", "free_slots")}
    assert slots == {"slots": 4, "free_slots": 3}
    assert found["running_jobs_context_running_jobs", "default"] == 1


def test_ends_are_counted_from_when_the_server_began_to_look(
    data: Path, launch: Callable[..., Job], actions: Actions, store: JobStore
) -> None:
    wait_for_end(store, launch("true").id)
    client = LocalClient(data)

    def ended() -> dict[str, float]:
        return {
            label: count for (name, label), count in read(client).items() if name == "running_jobs_jobs_ended_total"
        }

    assert ended() == {"done": 0, "error": 0, "stop": 0}
    done = launch("true")
    wait_for_end(store, done.id)
    wait_for_end(store, launch("exit 1").id)
    actions.stop(launch("true", start=False).id)
    assert ended() == {"done": 1, "error": 1, "stop": 1}
    wait_for(lambda: not store.open_ids())
    actions.delete(done.id)
    assert ended() == {"done": 1, "error": 1, "stop": 1}  # what ended stays counted
    assert read(client)["running_jobs_jobs", "done"] == 1


def test_what_ended_before_is_told_once_all_of_it_was_read_and_not_counted_as_news(
    local: LocalClient, launch: Callable[..., Job], store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("running_jobs.index.READ_ON_S", 0)
    wait_for_end(store, launch("true").id)
    wait_for(lambda: not store.open_ids())
    first = read(local)
    assert {label for name, label in first if name == "running_jobs_jobs"} == {"idle", "queued", "active"}
    assert ("running_jobs_unreadable_jobs", "") not in first
    local.get("/jobs")
    then = read(local)
    assert then["running_jobs_jobs", "done"] == 1
    assert then["running_jobs_jobs_ended_total", "done"] == 0


def test_only_contexts_that_the_settings_name_are_told_apart(configure: Callable[..., Actions], data: Path) -> None:
    actions = configure('slots = 2\n[contexts.gpu]\nslots = 1\n[contexts."a \\"b\\"\\\\\\nc"]\nslots = 3\n')
    actions.pause(True)
    for context in ("gpu", "gpu", "default", *(f"made up {number}" for number in range(50)), 'a "b"\\\nc'):
        actions.submit({"command": EXEC, "start": True, "context": context})
    found = read(LocalClient(data))
    queued = {context: count for (name, context), count in found.items() if name == "running_jobs_context_queued_jobs"}
    assert queued == {"default": 1, "gpu": 2, 'a "b"\\\nc': 1, "(others)": 50}
    slots = {context: count for (name, context), count in found.items() if name == "running_jobs_context_slots"}
    assert slots == {"gpu": 1, 'a "b"\\\nc': 3}


def test_the_age_is_that_of_the_first_job_that_waits_for_a_slot_alone(
    data: Path, configure: Callable[..., Actions], monkeypatch: pytest.MonkeyPatch
) -> None:
    actions = configure()
    actions.pause(True)
    client = LocalClient(data)
    now_s = [1_800_000_000.0]
    monkeypatch.setattr("running_jobs.web.metrics.time.time", lambda: now_s[0])

    def age() -> float:
        return read(client)["running_jobs_oldest_queued_job_age_seconds", ""]

    def submit(at_s: float, **options: Any) -> str:
        store = JobStore(str(data), sync=False, clock=lambda: 1_800_000_000.0 + at_s)
        return Actions(actions.settings, store).submit({"command": EXEC, "start": True, **options}).id

    idle = submit(-1000, start=False)
    submit(-900, after=[idle])
    assert age() == 0
    later = submit(-800, at="2027-01-15T08:00:50Z")
    assert age() == 0
    now_s[0] += 60  # its time has come, ten seconds ago
    assert age() == 10
    first, second = submit(-100), submit(-50)
    assert age() == 160
    actions.stop(first)
    assert age() == 110
    actions.edit(second, {"at": "2027-01-15T08:00:30Z"})
    assert age() == 30
    actions.delete(second)
    assert age() == 10
    actions.stop(later)
    assert age() == 0


def test_what_is_kept_for_the_age_stays_small(actions: Actions, store: JobStore) -> None:
    actions.pause(True)
    index = JobIndex(store)
    stays = actions.submit({"command": EXEC, "start": True})
    changes = actions.submit({"command": EXEC, "start": True})
    for number in range(SPARE + 10):
        actions.edit(changes.id, {"at": f"2050-01-01T{number // 60:02d}:{number % 60:02d}Z"})
        assert index.tally().ready_since == stays.queued_at
    assert len(index._tallies._ready) <= SPARE + 4


def test_dispatcher_pause_and_disk(
    local: LocalClient, actions: Actions, data: Path, launch: Callable[..., Job]
) -> None:
    def told(name: str) -> float:
        return read(local)[f"running_jobs_{name}", ""]

    assert (told("dispatcher_up"), told("dispatcher_needed"), told("paused")) == (0, 0, 0)
    assert told("disk_free_bytes") == pytest.approx(shutil.disk_usage(data).free, rel=0.2)
    launch("exec sleep 1000")
    wait_for(lambda: dispatcher_of(data))
    actions.pause(True)
    assert (told("dispatcher_up"), told("dispatcher_needed"), told("paused")) == (1, 1, 1)


def test_the_server_tells_of_its_own_process(server: Server) -> None:
    found, process = read(server), psutil.Process(server.process.pid)
    assert found["process_resident_memory_bytes", ""] == pytest.approx(process.memory_info().rss, rel=0.2)
    assert found["process_start_time_seconds", ""] == pytest.approx(process.create_time(), abs=1)
    assert found["process_max_fds", ""] == process.rlimit(psutil.RLIMIT_NOFILE)[0]
    assert 0 < found["process_open_fds", ""] <= process.num_fds() + 2


def test_metrics_need_the_user_and_health_does_not(data: Path, configure: Callable[..., Actions]) -> None:
    configure('user = "alice"\npassword = "secret"\n')
    client = build_app(load_settings(str(data))).test_client()
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", auth=("alice", "secret")).status_code == 200
    assert client.get("/health").status_code == 200


@pytest.mark.parametrize("is_empty", [True, False], ids=["a place where nothing is mounted", "not even that"])
def test_health_and_lists_say_what_is_wrong_when_the_data_directory_is_gone(
    local: LocalClient, data: Path, is_empty: bool
) -> None:
    assert local.get("/health").json["data"]["dispatcher"] == "not needed"
    job = local.post("/jobs", {"command": {"type": "exec", "cmd": "true"}}).json["data"][0]["id"]
    aside = data.rename(data.with_name("aside"))
    if is_empty:
        data.mkdir()
    for path in ("/health", "/jobs", "/", f"/jobs/{job}", f"/jobs/{job}/status", f"/jobs/{job}/out", f"/?job={job}"):
        answer = local.get(path)
        assert (answer.code, b"is gone" in answer.body) == (503, True)
    assert local.get("/metrics").code == 200
    if is_empty:
        assert os.listdir(data) == []
        data.rmdir()
    aside.rename(data)
