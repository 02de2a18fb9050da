"""Nodes, the controller and the dispatcher break: each job has one truthful end, and none runs twice or is forgotten."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from running_jobs import placements
from running_jobs.actions import Actions
from running_jobs.job import Job
from running_jobs.store import JobStore
from running_jobs.wake import dispatcher_lives

from ..conftest import PROJECT, dispatcher_of, kill_and_wait, wait_for, wait_for_end
from .cluster import Cluster
from .conftest import Calls, Ran, submitted_keys, wait_for_node

Launch = Callable[..., Job]
EVERY_STEP = os.environ.get("TEST_EVERY_STEP") == "1"
KTH = 1 if EVERY_STEP else 40
FROM = int(os.environ.get("TEST_STEPS_FROM", "25"))
MOST = 5  # steps in one run, unless it is to be every one


def test_nodes_that_crash_or_are_cut_off_lose_what_ran_there_and_nothing_else(
    launch: Launch, store: JobStore, cluster: Cluster, ran: Ran, data: Path
) -> None:
    once = f"{ran.note}; [ $JOB_ATTEMPT = 2 ] || exec sleep 1000"
    again = {"retries": 1, "retry_delay": 0}
    crashed = launch("exec sleep 1000", cpus=4, slurm_args=["--nodelist=n1"])
    crashed_again = launch(once, cpus=4, slurm_args=["--exclude=n2,n3"], **again)
    assert {wait_for_node(store, job) for job in (crashed, crashed_again)} <= {"n1", "n4"}
    ends_alone = launch(
        f"while [ ! -e {data}/go ]; do sleep 0.05; done; echo end", cpus=4, slurm_args=["--nodelist=n2"]
    )
    cut_again = launch(once, cpus=4, slurm_args=["--exclude=n1,n3,n4"], **again)
    without_slurmd = launch("sleep 3; echo end", slurm_args=["--nodelist=n3"])
    for job in (crashed, crashed_again, ends_alone, cut_again, without_slurmd):
        wait_for_node(store, job)
    first = store.get(crashed_again.id).host
    cluster.crash(first)
    cluster.crash("n1") if first != "n1" else None
    cluster.cut("n2")
    cluster.kill_slurmd("n3")
    for node in {first, "n1", "n2"}:
        cluster.set_down(node)  # as Slurm does by itself when a node is silent, after minutes
    (data / "go").touch()
    assert wait_for_end(store, ends_alone.id).reason == "exit code 0"  # its record is the truth, whatever Slurm says
    cluster.start_slurmd("n3")
    assert wait_for_end(store, without_slurmd.id).attempts[0]["reason"] == "exit code 0"
    lost = wait_for_end(store, crashed.id, 30)
    assert (lost.status, lost.reason) == ("error", "lost: node n1 failed")
    if first == "n4":
        cluster.start("n4")
        cluster.resume("n4")
    moved = wait_for_end(store, crashed_again.id)
    assert [attempt["reason"] for attempt in moved.attempts] == [f"lost: node {first} failed", "exit code 0"]
    assert moved.host in {"n1", "n4"} - {first}
    wait_for(lambda: store.get(cut_again.id).status == "queued", lambda: str(store.get(cut_again.id)))
    wait_for(lambda: not runners_on(cluster, "n2", cut_again), "the end of what ran on the node that was cut off")
    cluster.heal("n2")
    cluster.resume("n2")
    healed = wait_for_end(store, cut_again.id, 30)
    assert [attempt["reason"] for attempt in healed.attempts] == ["lost: node n2 failed", "exit code 0"]
    assert [attempt for attempt, _ in ran.of(cut_again)] == [1, 2]
    for job in (ends_alone, without_slurmd):
        ended = store.get(job.id)
        assert (ended.status, ended.attempt, ended.reason) == ("done", 1, "exit code 0")
        assert Path(store.paths.out(job.id)).read_text() == "end\n"


def runners_on(cluster: Cluster, node: str, job: Job) -> list[int]:
    """Return the processes on a node that have a job's id in their command line or environment."""
    found = []
    for pid in cluster.pids(node):
        try:
            told = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        found += [pid] if job.id.encode() in told else []
    return found


@pytest.mark.parametrize("after", [2, 6])
def test_a_controller_that_is_killed_and_comes_back_costs_no_job_anything(
    launch: Launch, store: JobStore, cluster: Cluster, ran: Ran, calls: Calls, after: int
) -> None:
    jobs = [launch(f"{ran.note}; sleep 0.5") for _ in range(6)]
    wait_for(lambda: len(calls.of("sbatch")) >= after)
    cluster.kill_controller()
    wait_for(lambda: placements.read(store.paths).problem, "the problem to be told")
    told = placements.read(store.paths)
    assert told.since is not None
    jobs.append(launch(ran.note))
    assert not [job for job in jobs if store.get(job.id).status in ("error", "stop")]
    cluster.start_controller()
    for job in jobs:
        assert wait_for_end(store, job.id, 40).status == "done"
        assert [attempt for attempt, _ in ran.of(job)] == [1]
    wait_for(lambda: placements.read(store.paths).problem is None, "the problem to be over")


def test_what_ends_while_the_controller_is_away_has_ended(
    launch: Launch, store: JobStore, cluster: Cluster, data: Path
) -> None:
    jobs = [launch(f"while [ ! -e {data}/go ]; do sleep 0.05; done; exit {code}") for code in (0, 3)]
    for job in jobs:
        wait_for_node(store, job)
    cluster.kill_controller()
    (data / "go").touch()
    assert [wait_for_end(store, job.id).reason for job in jobs] == ["exit code 0", "exit code 3"]
    wait_for(lambda: placements.read(store.paths).problem or not store.open_ids())
    cluster.start_controller()


KILL = "read -r _ _ _ dispatcher _ </proc/$PPID/stat; kill -9 $dispatcher"  # which runs clients under timeout(1)
# What happens in the moment at which the dispatcher is killed: before sbatch did anything, while it is at work, when it
# only comes to it after the next dispatcher began, and when Slurm has taken the job and nobody heard of it.
MOMENTS = {
    "before": (f"{KILL}; exit 1", None),
    "meanwhile": (KILL, None),
    "late": (f"{KILL}; sleep 3", None),
    "after": ("", KILL),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_dispatcher_killed_while_it_submits_neither_forgets_a_job_nor_submits_one_twice(
    actions: Actions, launch: Launch, store: JobStore, data: Path, cluster: Cluster, calls: Calls, ran: Ran, moment: str
) -> None:
    mark = f"{data.parent}/killed"
    before, after = (f"if mkdir {mark} 2>/dev/null; then {do}; fi" if do else do for do in MOMENTS[moment])
    calls.put("sbatch", before or "", after)
    jobs = [launch(ran.note) for _ in range(5)]
    wait_for(lambda: os.path.exists(mark) and not dispatcher_lives(store.paths), "the dispatcher's end")
    actions.ensure_dispatcher()
    for job in jobs:
        wait_for_end(store, job.id, 40)
    wait_for(lambda: not submitting(jobs), lambda: f"the end of {submitting(jobs)}")
    check_each_ran_once(store, cluster, ran, jobs)


def submitting(jobs: list[Job]) -> list[psutil.Process]:
    """Return the calls of sbatch for jobs that have not ended."""
    names = {f"--job-name={job.id}" for job in jobs}
    return [process for process in psutil.process_iter(["cmdline"]) if names & set(process.info["cmdline"] or [])]


def check_each_ran_once(store: JobStore, cluster: Cluster, ran: Ran, jobs: list[Job], submitted: int = 1) -> None:
    """See that jobs were submitted and ran once each."""
    for job in jobs:
        ended = wait_for_end(store, job.id, 40)
        assert (ended.status, ended.attempt, len(ended.attempts)) == ("done", 1, 1)
        assert [attempt for attempt, _ in ran.of(job)] == [1]
    keys = Counter(key.split("/")[0] for key in submitted_keys(cluster))
    assert {job.id: keys[job.id] for job in jobs} == {job.id: submitted for job in jobs}


def test_a_dispatcher_killed_at_any_step_of_a_submission_costs_no_job_anything(
    actions: Actions, launch: Launch, store: JobStore, data: Path, cluster: Cluster, calls: Calls, ran: Ran
) -> None:
    """TEST_EVERY_STEP=1 goes through all; otherwise some, beginning with TEST_STEPS_FROM."""
    program = [str(PROJECT / "tests" / "killed_dispatcher.py"), str(PROJECT)]
    count = data.parent / "count"
    killed, all_jobs = 0, []
    for step in itertools.count(1 + FROM % KTH if EVERY_STEP else FROM, KTH):
        actions.pause(True)
        jobs = [launch(ran.note) for _ in range(2)]
        wait_for(lambda: dispatcher_of(data))
        kill_and_wait(dispatcher_of(data))
        actions.pause(False)
        if dispatcher := dispatcher_of(data):
            kill_and_wait(dispatcher)
        with subprocess.Popen(
            [sys.executable, "-I", "-S", *program, "after", str(step), str(count), str(data)]
        ) as victim:
            wait_for(lambda victim=victim: victim.poll() is not None, "the dispatcher's end", 60)
        killed += victim.returncode == -9
        all_jobs += jobs
        if victim.returncode == 0 or (not EVERY_STEP and killed == MOST):
            break
        actions.wake()
        for job in jobs:  # one that began while all is paused would leave, and be handed over again
            wait_for_end(store, job.id, 40)
    actions.wake()
    print(f"killed {killed} times")
    assert killed
    check_each_ran_once(store, cluster, ran, all_jobs)


def test_jobs_do_not_notice_that_the_dispatcher_is_replaced(
    actions: Actions, launch: Launch, store: JobStore, data: Path, cluster: Cluster, ran: Ran
) -> None:
    running = launch(f"{ran.note}; while [ ! -e {data}/go ]; do sleep 0.05; done; exit 7")
    ending = launch("exec sleep 1000")
    waiting = launch(ran.note, cpus=99)
    wait_for_node(store, running)
    wait_for_node(store, ending)
    for _ in range(3):
        kill_and_wait(wait_for(lambda: dispatcher_of(data)))
        actions.wake()
    actions.stop(ending.id, "alice")
    assert wait_for_end(store, ending.id).reason == "stopped by alice (killed by SIGTERM)"
    (data / "go").touch()
    assert wait_for_end(store, running.id).exit_code == 7
    wait_for(lambda: waiting.id in placements.read(store.paths).jobs, lambda: str(placements.read(store.paths)))
    keys = Counter(key.split("/")[0] for key in submitted_keys(cluster))
    assert [keys[job.id] for job in (running, ending, waiting)] == [1, 1, 1]
    assert isinstance(dispatcher_of(data), psutil.Process)
