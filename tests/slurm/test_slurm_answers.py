"""Answers of Slurm's programs that come late, are wrong or refuse; and jobs that change meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from running_jobs import placements
from running_jobs.actions import Actions
from running_jobs.job import Job
from running_jobs.settings import load_settings
from running_jobs.store import JobStore

from ..conftest import dispatcher_of, kill_and_wait, wait_for, wait_for_end, wait_for_status
from .cluster import Cluster
from .conftest import Calls

Launch = Callable[..., Job]


def told(store: JobStore, job: Job) -> dict[str, Any]:
    return placements.read(store.paths).jobs.get(job.id, {})


def is_pending(store: JobStore, job: Job) -> bool:
    return told(store, job).get("state") == "PENDING"


def states(cluster: Cluster, job: Job) -> list[str]:
    """Return the states of all jobs of Slurm's that were submitted for one of ours."""
    return [str(entry["job_state"]) for entry in cluster.queue().values() if entry["name"] == job.id]


def test_what_is_no_answer_says_nothing_of_any_job(
    launch: Launch, store: JobStore, cluster: Cluster, calls: Calls
) -> None:
    running, waiting = launch("sleep 1000"), launch("true", delay=1000)
    wait_for_status(store, running.id, "active")
    wait_for(lambda: is_pending(store, waiting))
    calls.put("squeue", "echo '<html>503 Service Unavailable</html>'; exit 0")
    wait_for(lambda: "no list of jobs" in (placements.read(store.paths).problem or ""), "the problem", 40)
    asked = len(calls.of("squeue"))
    wait_for(lambda: len(calls.of("squeue")) > asked + 1, "more answers", 40)
    assert [store.get(job.id).status for job in (running, waiting)] == ["active", "queued"]
    assert len(calls.of("sbatch")) == 2
    calls.put("squeue")
    wait_for(lambda: placements.read(store.paths).problem is None, "an answer", 40)
    assert store.get(running.id).status == "active"


def test_an_sbatch_that_says_more_than_an_id_is_understood(
    launch: Launch, store: JobStore, cluster: Cluster, calls: Calls
) -> None:
    calls.put("sbatch", "echo Welcome to the cluster")
    job = launch("true", delay=1000)
    wait_for(lambda: is_pending(store, job))
    calls.put("sbatch", "", "echo and good-bye")
    other = launch("true", delay=1000)
    wait_for(lambda: is_pending(store, other))
    asked = len(calls.of("squeue"))
    wait_for(lambda: len(calls.of("squeue")) > asked + 1, "more answers", 40)
    assert len(calls.of("sbatch")) == 2
    assert calls.of("scancel") == []
    assert told(store, job)["id"] in cluster.queue()


def test_an_sbatch_that_is_killed_after_slurm_took_the_job_refused_nothing(
    launch: Launch, store: JobStore, calls: Calls
) -> None:
    calls.put("sbatch", "", "kill -9 $$")
    job = wait_for_end(store, launch("true").id, 40)
    assert (job.status, job.attempt) == ("done", 1)


def test_a_limit_holds_jobs_back_and_is_their_reason(
    actions: Actions, launch: Launch, store: JobStore, calls: Calls
) -> None:
    calls.put("sbatch", "echo 'sbatch: error: AssocGrpSubmitJobsLimit' >&2; exit 1")
    jobs = [launch("true"), launch("true")]
    wait_for(lambda: told(store, jobs[1]).get("why") == "AssocGrpSubmitJobsLimit", "the reason", 40)
    assert placements.read(store.paths).problem is None
    assert {store.get(job.id).status for job in jobs} == {"queued"}
    assert len(calls.of("sbatch")) <= 8
    calls.put("sbatch")
    assert {wait_for_end(store, job.id, 60).status for job in jobs} == {"done"}


@pytest.mark.parametrize("executor", ["slurm", "local"])
def test_a_refusal_that_comes_late_ends_no_job_that_was_mended_meanwhile(
    actions: Actions, launch: Launch, store: JobStore, calls: Calls, executor: str, tmp_path: Path
) -> None:
    calls.put("sbatch", f'case "$*" in *bad*) until [ -e {tmp_path}/go ]; do sleep 0.05; done;; esac')
    job = launch("true", partition="bad")
    wait_for(lambda: calls.of("sbatch"))
    actions.edit(job.id, {"partition": None, "executor": executor, "delay": 0 if executor == "slurm" else 2})
    (tmp_path / "go").touch()
    ended = wait_for_end(store, job.id, 40)
    assert (ended.status, ended.executor, ended.reason) == ("done", executor, "exit code 0")


def test_a_job_that_is_stopped_while_it_is_submitted_is_not_left_in_slurm(
    actions: Actions, launch: Launch, store: JobStore, cluster: Cluster, calls: Calls, tmp_path: Path
) -> None:
    calls.put("sbatch", f"until [ -e {tmp_path}/go ]; do sleep 0.05; done")
    job = launch("true", delay=1000)
    wait_for(lambda: calls.of("sbatch"))
    actions.stop(job.id)
    asked = len(calls.of("squeue"))
    wait_for(lambda: len(calls.of("squeue")) > asked, "an answer without it", 40)
    (tmp_path / "go").touch()
    wait_for(lambda: states(cluster, job) == ["CANCELLED"], "its cancelling", 40)
    assert store.get(job.id).status == "stop"


def test_a_job_that_was_ended_while_no_dispatcher_lived_is_not_left_in_slurm(
    actions: Actions, launch: Launch, store: JobStore, cluster: Cluster, data: Path
) -> None:
    job = launch("true", delay=1000)
    wait_for(lambda: is_pending(store, job))
    kill_and_wait(dispatcher_of(data))
    os.unlink(store.paths.slurm)
    store.transition(job.id, {job.status}, type(job.status).STOP, reason="by hand")
    actions.wake()
    wait_for(lambda: states(cluster, job) == ["CANCELLED"], "its cancelling", 40)


def test_a_job_that_is_asked_for_as_before_is_not_taken_for_cancelled(
    actions: Actions, launch: Launch, store: JobStore, cluster: Cluster
) -> None:
    job = launch("true", delay=6)
    wait_for(lambda: is_pending(store, job))
    actions.pause(True)
    actions.edit(job.id, {"priority": 400})
    wait_for(lambda: states(cluster, job) == ["CANCELLED"], "its cancelling", 40)
    actions.edit(job.id, {"priority": 500})
    actions.pause(False)
    assert wait_for_end(store, job.id, 40).status == "done"


def test_an_edit_as_a_job_starts_wins_or_comes_too_late_and_ends_nothing(
    actions: Actions, launch: Launch, store: JobStore, calls: Calls
) -> None:
    calls.put("scancel", "sleep 1")
    job = launch("sleep 2; echo $SLURM_CPUS_PER_TASK", delay=8, cpus=1, retries=2)
    wait_for(lambda: is_pending(store, job))
    wait_for(lambda: told(store, job).get("state") != "PENDING" or store.get(job.id).status == "active", timeout_s=20)
    wanted = "1"
    try:
        actions.edit(job.id, {"cpus": 4})
        wanted = "4"
    except Exception as error:
        assert "only idle and queued jobs can be changed" in str(error)
    ended = wait_for_end(store, job.id, 60)
    assert (ended.status, ended.attempt) == ("done", 1)
    assert Path(store.paths.out(job.id)).read_text().strip() == wanted == str(ended.cpus)


def test_what_only_approved_commands_let_run_holds_for_what_was_handed_over(
    actions: Actions, launch: Launch, store: JobStore, data: Path
) -> None:
    job = launch("echo ran", delay=8)
    wait_for(lambda: is_pending(store, job))
    with (data / "config.toml").open("a") as config:
        config.write('[allowed_commands.x]\ncommand = ["true"]\n')
    Actions(load_settings(str(data))).replace_dispatcher()
    ended = wait_for_end(store, job.id, 60)
    assert (ended.status, Path(store.paths.out(job.id)).read_text()) == ("error", "")
    assert "only approved commands" in ended.reason


def test_a_running_job_whose_record_cannot_be_read_is_left_alone(
    actions: Actions, launch: Launch, store: JobStore, calls: Calls, data: Path
) -> None:
    job = launch("sleep 1000")
    wait_for_status(store, job.id, "active")
    other = launch("sleep 1000")
    wait_for_status(store, other.id, "active")
    record = Path(store.paths.json(job.id))
    content = record.read_bytes()
    kill_and_wait(dispatcher_of(data))
    record.write_bytes(content[:100])
    actions.wake()
    asked = len(calls.of("squeue"))
    wait_for(lambda: len(calls.of("squeue")) > asked + 2, "some answers", 40)
    assert calls.of("scancel") == []
    record.write_bytes(content)
    actions.kill(job.id)
    assert wait_for_end(store, job.id, 40).reason.startswith("killed")


def test_slurm_taken_out_of_the_settings_leaves_waiting_jobs_alone(
    actions: Actions, launch: Launch, store: JobStore, calls: Calls, data: Path
) -> None:
    actions.pause(True)
    job = launch("true", executor="slurm")
    (data / "config.toml").write_text("grace_seconds = 1\n")
    here = Actions(load_settings(str(data)))
    here.replace_dispatcher()
    here.pause(False)
    assert (
        wait_for_end(store, here.submit({"command": {"type": "exec", "cmd": "true"}, "start": True}).id).status
        == "done"
    )
    assert (store.get(job.id).status, calls.of("sbatch")) == ("queued", [])
    here.edit(job.id, {"executor": "local"})
    assert wait_for_end(store, job.id).status == "done"
