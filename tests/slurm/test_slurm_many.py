"""Two hundred jobs over four nodes: every end is recorded, and little is asked of Slurm and of the dispatcher."""

from __future__ import annotations

from pathlib import Path

from running_jobs.actions import Actions
from running_jobs.store import JobStore

from ..conftest import dispatcher_of, wait_for
from .cluster import NODES, Cluster
from .conftest import Calls, submitted_keys

JOBS = 200
CPU_S = 4.0  # of the dispatcher's: 20 ms a job, with what it does for a submission


def test_two_hundred_jobs_run_on_all_nodes_with_few_calls(
    actions: Actions, store: JobStore, data: Path, cluster: Cluster, calls: Calls
) -> None:
    wish = {"command": {"type": "exec", "cmd": "hostname"}, "start": True, "executor": "slurm", "cwd": "/"}
    earlier = len(submitted_keys(cluster))
    jobs = actions.submit_all([wish] * JOBS)
    cpu_s = 0.0

    def are_done() -> bool:
        nonlocal cpu_s
        if dispatcher := dispatcher_of(data):
            spent = dispatcher.cpu_times()
            cpu_s = spent.user + spent.system
        return not store.open_ids()

    wait_for(are_done, lambda: f"the end of {len(store.open_ids())} jobs", 90)
    ended = [store.get(job.id) for job in jobs]
    assert {(job.status, job.exit_code, job.attempt, len(job.attempts)) for job in ended} == {("done", 0, 1, 1)}
    hosts = [Path(store.paths.out(job.id)).read_text().strip() for job in jobs]
    assert set(hosts) == set(NODES)
    assert hosts == [job.host for job in ended]
    keys = submitted_keys(cluster)
    assert len(keys) - earlier == len(calls.of("sbatch")) == JOBS
    assert len(calls.of("scancel")) <= 2  # of what is long in going on a busy machine
    asked = [at for at, _ in calls.of("squeue")]
    assert all(later - earlier > 1.5 for earlier, later in zip(asked, asked[1:])), asked
    assert cpu_s < CPU_S
