"""Slurm is not there: people are told, nothing is lost, and all goes on when it is back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from running_jobs import placements
from running_jobs.job import Job
from running_jobs.store import JobStore

from ..conftest import LocalClient, dispatcher_of, wait_for, wait_for_end
from .cluster import Cluster
from .conftest import Calls, Ran, submitted_keys

Launch = Callable[..., Job]


def problem(store: JobStore) -> str:
    """Return what people are told that is wrong with Slurm, empty if it answers."""
    return placements.read(store.paths).problem or ""


def test_without_slurms_programs_jobs_stay_queued_and_go_on_when_they_are_there(
    launch: Launch, store: JobStore, data: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch, local: LocalClient
) -> None:
    tools = data.parent / "tools"
    tools.mkdir()
    for name in ("sh", "hostname", "env"):
        (tools / name).symlink_to(f"/usr/bin/{name}")
    monkeypatch.setenv("PATH", f"{calls.folder}:{tools}")  # those of the system are beside Slurm's
    calls.remove()
    job = launch("hostname")
    wait_for(lambda: "not found" in problem(store), lambda: str(placements.read(store.paths)))
    assert store.get(job.id).status == "queued"
    assert "was not found" in local.get("/").text
    assert local.get("/health").code == 200
    here = launch("echo here", executor="local")
    assert wait_for_end(store, here.id).status == "done"  # whatever Slurm does
    for name in ("sbatch", "squeue", "scancel"):
        calls.put(name)
    assert wait_for_end(store, job.id, 60).status == "done"
    wait_for(lambda: not problem(store) and "was not found" not in local.get("/").text, "the message to be gone")


def test_while_the_controller_hangs_the_rest_goes_on_and_nothing_is_submitted_twice(
    launch: Launch, store: JobStore, data: Path, cluster: Cluster, ran: Ran, local: LocalClient, server: Any
) -> None:
    running = launch(f"{ran.note}; while [ ! -e {data}/go ]; do sleep 0.05; done")
    wait_for(lambda: ran.of(running))
    with cluster.hanging_controller():
        waiting = launch(ran.note)
        wait_for(lambda: "timed out" in problem(store), lambda: str(placements.read(store.paths)))
        assert "timed out" in local.get("/").text
        assert server.get("/health").code == 200
        assert wait_for_end(store, launch("echo here", executor="local").id).status == "done"
        assert (store.get(running.id).status, store.get(waiting.id).status) == ("active", "queued")
        (data / "go").touch()
        assert wait_for_end(store, running.id).status == "done"
    assert wait_for_end(store, waiting.id, 40).status == "done"
    assert [attempt for attempt, _ in ran.of(waiting)] == [1]
    assert sum(key.startswith(waiting.id) for key in submitted_keys(cluster)) == 1
    assert dispatcher_of(data)


def test_a_stop_while_the_controller_is_away_holds(
    launch: Launch, store: JobStore, data: Path, cluster: Cluster, ran: Ran, actions: Any
) -> None:
    running = launch(f"{ran.note}; exec sleep 1000")
    wait_for(lambda: ran.of(running))
    waiting = launch(ran.note, cpus=99)
    wait_for(lambda: any(key.startswith(waiting.id) for key in submitted_keys(cluster)))
    cluster.kill_controller()
    actions.stop(running.id, "alice")
    actions.stop(waiting.id, "alice")
    assert wait_for_end(store, running.id).status == "stop"  # its runner looks at its file by itself
    assert store.get(waiting.id).status == "stop"
    cluster.start_controller()

    def is_left() -> bool:  # the controller may have lost it: it keeps what it knows every few seconds alone
        return any(told["comment"].startswith(waiting.id) for told in cluster.queue(running=True).values())

    wait_for(lambda: cluster.call("sinfo", check=False).returncode == 0 and not is_left(), "its end in Slurm", 40)


def test_a_missing_configuration_is_told_and_found_when_it_is_there(
    launch: Launch, store: JobStore, data: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = data.parent / "slurm.conf"
    monkeypatch.setenv("SLURM_CONF", str(there))
    job = launch("true")
    wait_for(lambda: dispatcher_of(data))
    there.symlink_to(cluster.env["SLURM_CONF"])  # the clients look for it once a second
    assert wait_for_end(store, job.id, 40).status == "done"
