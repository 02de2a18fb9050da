"""Jobs on nodes of Slurm behave as they do on this machine: their ends, logs, results, retries, limits and orders."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from running_jobs import placements
from running_jobs.actions import Actions
from running_jobs.clocks import from_iso
from running_jobs.job import Job
from running_jobs.store import JobStore

from ..conftest import is_gone, wait_for, wait_for_end
from .cluster import NODES, Cluster
from .conftest import CONFIG, Calls, Ran, slurm_ids, wait_for_node

Launch = Callable[..., Job]


def out(store: JobStore, job: Job) -> str:
    """Return what a job has written."""
    return Path(store.paths.out(job.id)).read_text()


def outcome(store: JobStore, job: Job) -> tuple[Any, ...]:
    """Return what became of a job, without times and places."""
    ended = wait_for_end(store, job.id, 30)
    attempts = [
        tuple(attempt.get(name) for name in ("attempt", "exit_code", "signal", "reason")) for attempt in ended.attempts
    ]
    said = [line for line in out(store, job).splitlines() if not line.startswith("--- attempt ")]
    return ended.status, ended.exit_code, ended.signal, ended.reason, attempts, said


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "done": ("echo out; echo err >&2", {}),
    "a code": ("exit 3", {}),
    "a signal": ("kill -9 $$", {}),
    "timeout": ("sleep 1000", {"timeout": 0.7}),
    "retries": ('echo $JOB_ATTEMPT; exit $((2 - JOB_ATTEMPT))', {"retries": 2, "retry_delay": 0}),
    "no retries left": ("exit 4", {"retries": 1, "retry_delay": 0}),
    "stop": ("echo ready; exec sleep 1000", {}),
    "stop that is heeded": ("trap 'echo saved; exit 0' TERM; echo ready; while :; do sleep 0.05; done", {}),
    "stop that is ignored": ("trap '' TERM; echo ready; while :; do sleep 0.1; done", {}),
    "kill": ("trap '' TERM; echo ready; while :; do sleep 0.1; done", {}),
}  # fmt: skip


def test_each_end_is_the_same_as_on_this_machine(actions: Actions, launch: Launch, store: JobStore) -> None:
    jobs = {
        (name, executor): launch(cmd, **options, executor=executor)
        for name, (cmd, options) in CASES.items()
        for executor in ("slurm", "local")
    }
    for (name, _), job in jobs.items():
        if name.startswith(("stop", "kill")):
            wait_for(lambda job=job: "ready" in out(store, job), lambda job=job: str(store.get(job.id)))
            (actions.kill if name == "kill" else actions.stop)(job.id, "alice")
    for name in CASES:
        assert outcome(store, jobs[name, "slurm"]) == outcome(store, jobs[name, "local"]), name


def test_a_job_tells_where_it_runs_and_keeps_its_files_to_itself(
    launch: Launch, store: JobStore, data: Path, cluster: Cluster
) -> None:
    job = launch("hostname; pwd; cat /proc/self/oom_score_adj; echo kept > $JOB_FILES/kept; umask; ulimit -n")
    local = launch(
        "true; pwd; cat /proc/self/oom_score_adj; echo kept > $JOB_FILES/kept; umask; ulimit -n", executor="local"
    )
    ended = wait_for_end(store, job.id)
    wait_for_end(store, local.id)
    number = slurm_ids(cluster, job)[0]
    assert ended.host in NODES
    assert ended.executor == "slurm"
    assert ended.placed == {"attempt": 1, "id": number, "partition": "main", "node": ended.host}
    assert out(store, job).splitlines()[0] == ended.host
    assert out(store, job).splitlines()[1:] == out(store, local).splitlines()
    assert (Path(store.paths.results(job.id)) / "kept").read_text() == "kept\n"
    assert ended.usage is not None
    for folder, _, names in os.walk(data):
        assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
        for name in names:
            mode = os.lstat(os.path.join(folder, name)).st_mode
            assert not stat.S_ISREG(mode) or stat.S_IMODE(mode) == 0o600 or name in ("config.toml", "kept"), name


def test_the_command_sees_what_slurm_set_and_nothing_else_that_is_new(
    launch: Launch, store: JobStore, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "1")
    seen = []
    for executor in ("slurm", "local"):
        job = launch("exec env -0", executor=executor)
        wait_for_end(store, job.id)
        seen.append(dict(line.split("=", 1) for line in out(store, job).split("\0") if line))
    there, here = seen
    names = {name for name in there if name not in here}
    assert {name for name in names if not name.startswith("SLURM")} <= {"TMPDIR"}  # a node may have a place of its own
    assert {"SLURM_JOB_ID", "SLURM_CPUS_ON_NODE", "SLURMD_NODENAME"} <= names | {"SLURMD_NODENAME"}
    own = ("JOB_ID", "JOB_FILES")
    assert {name: there.get(name) for name in here if name not in own} == {
        n: v for n, v in here.items() if n not in own
    }


@pytest.mark.parametrize("verb", ["stop", "kill"])
def test_a_daemonised_grandchild_is_reached(actions: Actions, launch: Launch, store: JobStore, verb: str) -> None:
    job = launch("env -i setsid setsid sh -c 'trap : TERM; echo; while :; do sleep 0.1; done' & wait; exec sleep 1000")
    wait_for(lambda: out(store, job), lambda: str(store.get(job.id)))
    family = [
        process
        for process in psutil.process_iter(["cmdline", "ppid"])
        if "trap : TERM" in " ".join(process.info["cmdline"] or [])
    ]
    assert family
    getattr(actions, verb)(job.id, "alice")
    ended = wait_for_end(store, job.id)
    assert ended.status == "stop"
    wait_for(lambda: all(is_gone(process) for process in family), "the end of the grandchild")


def test_a_worker_is_stopped_gracefully(actions: Actions, store: JobStore) -> None:
    told = []
    for executor in ("slurm", "local"):
        command = {"type": "worker", "name": "TestWorker", "parameters": {"count": 1000, "sleep": 0.05}}
        job = actions.submit({"command": command, "start": True, "executor": executor})
        wait_for(lambda job=job: "log 1" in out(store, job), lambda job=job: str(store.get(job.id)))
        actions.stop(job.id)
        ended = wait_for_end(store, job.id)
        lines = out(store, job).splitlines()
        assert "STARTED" in lines[0]
        assert "ENDED" in lines[-1]
        assert Path(store.paths.response(job.id)).read_text().startswith("response 0\nresponse 1\n")
        told.append((ended.status, ended.reason, ended.exit_code))
    assert told[0] == told[1]


def test_a_later_job_of_higher_priority_comes_first(
    actions: Actions, launch: Launch, store: JobStore, cluster: Cluster, ran: Ran, calls: Calls
) -> None:
    cluster.set_drain(*NODES)
    jobs = {
        priority: launch(ran.note, cpus=8, priority=priority, slurm_args=["--nodelist=n2"])
        for priority in (500, 400, 900, 501)
    }
    wait_for(lambda: len(cluster.queue(running=True)) == 4, "all to be handed over")
    cluster.resume(*NODES)
    for job in jobs.values():
        wait_for_end(store, job.id)
    assert ran.order() == [jobs[priority].id for priority in (900, 501, 500, 400)]


def test_a_delay_is_slurms_to_wait_out_and_never_too_short(launch: Launch, store: JobStore, cluster: Cluster) -> None:
    job = launch("true", delay=2)
    wait_for(lambda: slurm_ids(cluster, job), "its submission", 1.9)
    ended = wait_for_end(store, job.id)
    assert from_iso(ended.started_at) >= from_iso(job.not_before)


def test_run_wait_copies_the_output_and_ends_with_its_exit_code(app_py: Callable[..., Any], cluster: Cluster) -> None:
    done = app_py("run", "--wait", "--", "echo $(hostname); echo err >&2; exit 3")
    assert done.code == 3
    assert "err" in done.err.splitlines()
    assert done.out.strip() in NODES


def test_a_dependent_runs_after_and_a_callback_is_made(
    launch: Launch, store: JobStore, ran: Ran, tmp_path: Path
) -> None:
    called = tmp_path / "called"
    callback = {"type": "exec", "cmd": f'echo "$JOB_ID $JOB_STATUS" > {called}'}
    first = launch(f"sleep 0.5; {ran.note}", callback_done=callback)
    second = launch(ran.note, after=[first.id])
    failing = launch("false")
    never = launch(ran.note, after=[failing.id])
    wait_for_end(store, second.id)
    assert ran.order() == [first.id, second.id]
    assert wait_for_end(store, never.id).status == "error"
    wait_for(lambda: called.exists() and called.read_text() == f"{first.id} done\n", "the callback")


def test_samples_and_progress_come_from_the_node(launch: Launch, store: JobStore) -> None:
    job = launch("i=0; while [ $i -lt 100000000 ]; do i=$((i+1)); done")
    wait_for_node(store, job)
    samples = Path(store.paths.stats(job.id))
    wait_for(lambda: samples.exists() and samples.read_text().strip(), "its first sample")


def test_its_options_and_the_settings_reach_slurm(
    configure: Callable[..., Actions], store: JobStore, cluster: Cluster, launch: Launch
) -> None:
    cluster.set_drain(*NODES)
    actions = configure(f'{CONFIG}[slurm]\npartition = "urgent"\ncpus = 2\ntime = "20"\nargs = ["--nodelist=n3"]\n')
    wish = {"command": {"type": "exec", "cmd": "true"}, "start": True, "executor": "slurm"}
    plain = actions.submit(wish)
    asking = actions.submit(
        {**wish, "partition": "main", "cpus": 3, "mem": "300M", "time": "1:30:00", "slurm_args": ["--licenses=solver"]}
    )
    wait_for(lambda: slurm_ids(cluster, plain) and slurm_ids(cluster, asking), "both to be handed over")
    by_name = {told["name"]: told for told in cluster.queue().values()}
    fields = ("partition", "cpus", "time_limit", "required_nodes", "licenses", "memory_per_node", "requeue")
    told = {name: by_name[job.id][name] for name in fields for job in [plain]}
    assert (told["partition"], told["cpus"], told["time_limit"], told["required_nodes"]) == ("urgent", 2, 20, "n3")
    told = {name: by_name[asking.id][name] for name in fields}
    assert (told["partition"], told["cpus"], told["time_limit"], told["required_nodes"]) == ("main", 3, 90, "n3")
    assert (told["licenses"], told["memory_per_node"], told["requeue"]) == ("solver", 300, False)
    cluster.resume(*NODES)
    assert wait_for_end(store, asking.id).host == "n3"


def test_why_a_job_waits_is_told(launch: Launch, store: JobStore, cluster: Cluster) -> None:
    never = launch("true", cpus=99)
    held = launch("true", slurm_args=["--licenses=solver:1"])
    wait_for_end(store, held.id)

    def why() -> str:
        found = placements.read(store.paths).jobs.get(never.id)
        return str(found["why"]) if found else ""

    wait_for(lambda: why() == "PartitionConfig", lambda: f"the reason: {placements.read(store.paths)}")
    told = placements.read(store.paths).jobs[never.id]
    assert told == {
        "attempt": 1,
        "id": slurm_ids(cluster, never)[0],
        "state": "PENDING",
        "why": "PartitionConfig",
        "partition": "main",
        "node": "",
    }
    assert store.get(never.id).status == "queued"
    assert held.id not in placements.read(store.paths).jobs or store.get(held.id).is_final


def test_what_slurm_refuses_is_an_error_in_its_words(launch: Launch, store: JobStore) -> None:
    ended = wait_for_end(store, launch("true", partition="nowhere").id)
    assert ended.status == "error"
    assert "invalid partition specified: nowhere" in ended.reason
    assert ended.attempts == []


def test_stopping_a_job_that_waits_in_slurm_takes_it_out_there(
    actions: Actions, launch: Launch, store: JobStore, cluster: Cluster
) -> None:
    stopped, deleted = (launch("true", cpus=99) for _ in range(2))
    numbers = wait_for(lambda: [*slurm_ids(cluster, stopped), *slurm_ids(cluster, deleted)], "both to be handed over")
    wait_for(lambda: len(slurm_ids(cluster, stopped) + slurm_ids(cluster, deleted)) == 2)
    assert actions.stop(stopped.id).status == "stop"
    actions.delete(deleted.id)
    for number in [*slurm_ids(cluster, stopped), *slurm_ids(cluster, deleted)]:
        cluster.wait_for_state(number, "CANCELLED")
    assert numbers


def test_a_job_that_is_changed_while_it_waits_in_slurm_waits_there_as_changed(
    actions: Actions, launch: Launch, store: JobStore, cluster: Cluster, ran: Ran
) -> None:
    job = launch(ran.note, cpus=99)
    first = wait_for(lambda: slurm_ids(cluster, job), "its submission")
    actions.edit(job.id, {"cpus": 2})
    wait_for_end(store, job.id)
    assert ran.of(job) == [(1, store.get(job.id).host)]
    cluster.wait_for_state(first[0], "CANCELLED")
    assert len(slurm_ids(cluster, job)) == 2


def test_nothing_starts_while_paused_and_all_goes_on_after(
    actions: Actions, launch: Launch, store: JobStore, cluster: Cluster, ran: Ran, calls: Calls
) -> None:
    cluster.set_drain(*NODES)
    waiting = launch(ran.note)
    wait_for(lambda: slurm_ids(cluster, waiting), "its submission")
    actions.pause(True)
    cluster.resume(*NODES)
    later = launch(ran.note)
    cluster.wait_for_state(slurm_ids(cluster, waiting)[0], "COMPLETED", "FAILED", "CANCELLED")
    assert (store.get(waiting.id).status, store.get(later.id).status) == ("queued", "queued")
    assert len(calls.of("sbatch")) == 1
    actions.pause(False)
    assert [wait_for_end(store, job.id, 30).status for job in (waiting, later)] == ["done", "done"]
    assert sorted(ran.order()) == [waiting.id, later.id]


def test_slots_bound_what_slurm_has_at_once_and_contexts_what_runs_of_them(
    configure: Callable[..., Actions], store: JobStore, cluster: Cluster
) -> None:
    actions = configure(f"{CONFIG}[slurm]\nslots = 3\n[contexts.night]\nslots = 1\n")
    wish = {"command": {"type": "exec", "cmd": "sleep 0.3"}, "start": True, "executor": "slurm"}
    jobs = [actions.submit({**wish, "context": context}) for context in ["night"] * 2 + ["day"] * 4]
    most = {"all": 0, "night": 0}

    def are_done() -> bool:
        told = {told["name"] for told in cluster.queue(running=True).values()}
        living = {
            name for name in told if not store.get(name).is_final
        }  # of the others, Slurm is slow to notice the end
        most["all"] = max(most["all"], len(living))
        most["night"] = max(most["night"], len(living & {job.id for job in jobs[:2]}))
        return all(store.get(job.id).is_final for job in jobs)

    wait_for(are_done, "their ends", 40)
    assert most["all"] <= 3
    assert most["night"] == 1


def test_slurm_is_asked_more_seldom_while_nothing_changes_and_soon_when_something_does(
    launch: Launch, store: JobStore, calls: Calls
) -> None:
    waiting = launch("true", cpus=99)

    def gaps() -> list[float]:
        times = [at for at, _ in calls.of("squeue")]
        return [later - earlier for earlier, later in zip(times, times[1:])]

    wait_for(lambda: gaps() and max(gaps()) > 2.8, lambda: f"a longer gap than {gaps()}")
    assert min(gaps()) > 1.8
    seen = len(gaps())
    before = time.time()
    assert wait_for_end(store, launch("true").id).status == "done"
    wait_for(lambda: len(gaps()) > seen, "the next question")
    assert calls.of("squeue")[seen + 1][0] - before < 2.5
    assert store.get(waiting.id).status == "queued"


def test_the_default_of_the_settings_counts(configure: Callable[..., Actions], store: JobStore) -> None:
    actions = configure(CONFIG)
    job = actions.submit({"command": {"type": "exec", "cmd": "hostname"}, "start": True})
    assert wait_for_end(store, job.id).host in NODES
    here = actions.submit({"command": {"type": "exec", "cmd": "hostname"}, "start": True, "executor": "local"})
    assert wait_for_end(store, here.id).host == os.uname().nodename
    assert json.loads(Path(store.paths.json(here.id)).read_text())["executor"] == "local"
