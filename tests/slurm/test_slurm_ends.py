"""Ends that no runner wrote: each gets the status and reason that are true, and is tried again where that is meant."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from running_jobs.actions import Actions
from running_jobs.executors.slurm_submission import key_of
from running_jobs.job import Job
from running_jobs.settings import load_settings
from running_jobs.store import JobStore

from ..conftest import PROJECT, dispatcher_of, kill_and_wait, wait_for, wait_for_end
from .cluster import MEMORY_MB, Cluster
from .conftest import Ran, slurm_ids, wait_for_node

Launch = Callable[..., Job]
ONCE = "[ $JOB_ATTEMPT = 2 ] || exec sleep 1000"  # for the first attempt to be ended
EATER = f"exec {sys.executable} -I -S -c 'eaten = bytearray(300_000_000); import time; time.sleep(100)'"


def runner_of(cluster: Cluster, job: Job, node: str) -> int:
    """Return the pid of a job's runner on a node."""
    titles = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in cluster.pids(node)}
    return min(pid for pid, title in titles.items() if job.id.encode() in title and b"slurmstepd" not in title)


def test_what_slurm_ends_says_why_and_is_tried_again(
    actions: Actions, launch: Launch, store: JobStore, cluster: Cluster, ran: Ran
) -> None:
    """All at once, since much waits for clocks: the limit on time is looked at every 30 s alone."""
    deaf = launch("exec sleep 1000")
    os.kill(runner_of(cluster, deaf, wait_for_node(store, deaf)), signal.SIGSTOP)
    actions.stop(deaf.id, "alice")
    once = f"{ran.note}; {ONCE}"
    again = {"retries": 1, "retry_delay": 0}
    late = launch("sleep 1000", time="30")
    late_again = launch(once, time="30", **again)
    for job in (late, late_again):
        wait_for_node(store, job)
        cluster.call("scontrol", "update", f"jobid={slurm_ids(cluster, job)[0]}", "EndTime=now")
    eater = launch(EATER, mem="30M")
    weak = launch(once, cpus=8, slurm_args=["--nodelist=n4"], **again)
    lonely = launch("sleep 1000", cpus=8, slurm_args=["--nodelist=n3"])
    assert wait_for_node(store, lonely) == "n3"
    failing = launch(once, slurm_args=["--exclude=n1,n4"], **again)
    assert [wait_for_node(store, job) for job in (failing, weak)] == ["n2", "n4"]
    strong = cluster.submit("sleep 2", "--partition=urgent", "--cpus-per-task=8", "--nodelist=n4", "--output=/dev/null")
    for node in ("n2", "n3"):
        cluster.kill_slurmd(node)  # else it would be back at once
        cluster.set_down(node)
    lost = wait_for_end(store, lonely.id)
    assert (lost.status, lost.reason, lost.exit_code) == ("error", "lost: node n3 failed", None)
    cluster.start_slurmd("n3")
    preempted = wait_for_end(store, weak.id)
    assert (preempted.status, [try_["reason"] for try_ in preempted.attempts][1:]) == ("done", ["exit code 0"])
    assert preempted.attempts[0]["reason"].startswith("preempted")
    assert ran.of(weak) == [(1, "n4"), (2, "n4")]
    cluster.wait_for_state(strong, "COMPLETED")
    moved = wait_for_end(store, failing.id)
    assert [try_["reason"] for try_ in moved.attempts] == ["lost: node n2 failed", "exit code 0"]
    assert ran.of(failing) == [(1, "n2"), (2, "n3")]
    eaten = wait_for_end(store, eater.id)
    assert eaten.status == "error"
    assert "memory" in eaten.reason
    ended = wait_for_end(store, late.id, 45)
    assert (ended.status, ended.reason) == ("error", "reached Slurm's time limit")
    ended = wait_for_end(store, late_again.id)
    assert [try_["reason"] for try_ in ended.attempts] == ["reached Slurm's time limit", "exit code 0"]
    stopped = wait_for_end(store, deaf.id)  # nothing but Slurm could reach its runner
    assert stopped.status == "stop"
    assert stopped.reason.startswith("stopped by alice")


def test_scancel_from_outside_stops_a_job_and_is_said(
    launch: Launch, store: JobStore, cluster: Cluster, ran: Ran
) -> None:
    running = launch(f"{ran.note}; sleep 1000", retries=3, retry_delay=0)
    stubborn = launch(f"trap '' TERM; {ran.note}; while :; do sleep 0.1; done")
    waiting = launch(ran.note, cpus=99, retries=3)
    wait_for(lambda: ran.of(running) and ran.of(stubborn) and slurm_ids(cluster, waiting), "all to be there")
    for job in (running, stubborn, waiting):
        cluster.call("scancel", slurm_ids(cluster, job)[0])
    for job in (running, stubborn, waiting):
        ended = wait_for_end(store, job.id)
        assert ended.status == "stop", ended
        assert ended.reason.startswith("cancelled"), ended
        assert "scancel" in ended.reason
    assert (len(ran.of(running)), len(ran.of(stubborn)), ran.of(waiting)) == (1, 1, [])


def test_a_requeue_from_outside_is_an_attempt_that_was_lost(
    launch: Launch, store: JobStore, cluster: Cluster, ran: Ran
) -> None:
    jobs = {retries: launch(f"{ran.note}; {ONCE}", retries=retries, retry_delay=0) for retries in (0, 1)}
    for job in jobs.values():
        wait_for(lambda job=job: ran.of(job))
    numbers = [slurm_ids(cluster, job)[0] for job in jobs.values()]
    for number in numbers:
        cluster.call("scontrol", "update", f"jobid={number}", "Requeue=1")
        cluster.call("scontrol", "requeue", number)
    for retries, job in jobs.items():
        ended = wait_for_end(store, job.id)
        assert ended.status == ("done" if retries else "error")
        assert "requeued" in ended.attempts[0]["reason"]
        assert [attempt for attempt, _ in ran.of(job)] == [1, 2][: 1 + retries]
    for number in numbers:
        cluster.wait_for_state(number, "CANCELLED")  # nothing is left there that could start again


def test_a_job_that_slurm_forgot_is_lost(
    launch: Launch, store: JobStore, cluster: Cluster, ran: Ran, data: Path, actions: Actions
) -> None:
    cluster.reconfigure(MinJobAge=2)
    jobs = {retries: launch(f"{ran.note}; {ONCE}", retries=retries, retry_delay=0) for retries in (0, 1)}
    for job in jobs.values():
        wait_for(lambda job=job: ran.of(job))
    kill_and_wait(dispatcher_of(data))
    for job in jobs.values():
        cluster.call("scancel", "--signal=KILL", "--full", slurm_ids(cluster, job)[0])
    wait_for(lambda: not any(slurm_ids(cluster, job) for job in jobs.values()), "Slurm to forget them")
    assert {store.get(job.id).status for job in jobs.values()} == {"active"}
    actions.wake()
    for retries, job in jobs.items():
        ended = wait_for_end(store, job.id)
        assert ended.status == ("done" if retries else "error")
        assert ended.attempts[0]["reason"].startswith("lost: Slurm knows nothing of it")
        assert len(ran.of(job)) == 1 + retries


def test_a_slurm_that_lost_its_memory_gives_ids_anew_and_no_job_is_taken_for_another(
    launch: Launch, store: JobStore, cluster: Cluster, ran: Ran
) -> None:
    first = cluster.give_new_ids()
    running = launch(f"{ran.note}; exec sleep 1000")
    waiting = launch(ran.note, cpus=99)
    wait_for(lambda: ran.of(running) and slurm_ids(cluster, waiting), "one to run, one to wait")
    numbers = slurm_ids(cluster, running) + slurm_ids(cluster, waiting)
    cluster.kill_controller()
    cluster.forget_everything()
    cluster.start_controller()
    wait_for(lambda: cluster.call("sinfo", check=False).returncode == 0, "the controller")
    stranger = ("sleep 30", "--output=/dev/null", "--nodelist=n4")
    strangers = [cluster.submit(*stranger) for _ in range(int(max(numbers, key=int)) - first + 1)]
    assert set(numbers) <= set(strangers)
    ended = wait_for_end(store, running.id, 30)
    assert (ended.status, ended.reason) == ("error", "lost: Slurm knows nothing of it any more")
    wait_for(lambda: slurm_ids(cluster, waiting), "what waited to be handed over again")
    assert store.get(waiting.id).status == "queued"
    assert not {cluster.state(number) for number in strangers} & {"CANCELLED", ""}


def test_the_second_runner_of_an_attempt_leaves(
    launch: Launch, store: JobStore, cluster: Cluster, ran: Ran, data: Path
) -> None:
    job = launch(f"{ran.note}; while [ ! -e {data}/go ]; do sleep 0.05; done")
    wait_for(lambda: ran.of(job))
    program = PROJECT / "running_jobs" / "commands" / "__main__.py"
    form = key_of(job, load_settings(str(data))).form
    again = f"exec {sys.executable} -I -S {program} node {data} {job.id} 1 {form}"
    before = Path(store.paths.json(job.id)).read_bytes()
    second = cluster.submit(again, "--output=/dev/null", "--export=ALL")
    cluster.wait_for_state(second, "COMPLETED")
    assert Path(store.paths.json(job.id)).read_bytes() == before
    (data / "go").touch()
    ended = wait_for_end(store, job.id)
    third = cluster.submit(again, "--output=/dev/null", "--export=ALL")
    cluster.wait_for_state(third, "COMPLETED")
    assert store.get(job.id) == ended
    assert len(ran.of(job)) == 1


def test_a_runner_that_is_killed_alone_is_lost(launch: Launch, store: JobStore, cluster: Cluster) -> None:
    job = launch("exec sleep 20")
    os.kill(runner_of(cluster, job, wait_for_node(store, job)), signal.SIGKILL)
    ended = wait_for_end(store, job.id)
    assert ended.status == "error"
    assert ended.reason.startswith("lost: ")


def test_memory_that_no_node_has_is_refused_at_once(launch: Launch, store: JobStore) -> None:
    ended = wait_for_end(store, launch("true", mem=f"{MEMORY_MB * 2}M").id)
    assert ended.status == "error"
    assert "Memory specification" in ended.reason
