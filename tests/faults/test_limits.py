"""Limits of processes and many slots: jobs wait for their turn and go on, nothing is lost, none is marked wrong."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from running_jobs.actions import Actions
from running_jobs.settings import load_settings

from ..conftest import PROJECT, dispatcher_of, end_everything, wait_for, wait_for_end

AT_ONCE = int(os.environ.get("TEST_SLOTS", "100"))  # 1000 is for a run of its own
NOBODY = 65534
LIMIT = 25


def test_as_many_slots_as_jobs_run_all_at_once_and_all_end(
    configure: Callable[..., Actions], data: Path, tmp_path: Path
) -> None:
    actions = configure(f"slots = {AT_ONCE}\ngrace_seconds = 1\nfsync = false\n")
    go = tmp_path / "go"
    began = time.monotonic()
    line = f"while [ ! -e {go} ]; do sleep 5; done"
    jobs = actions.submit_all(
        [{"command": {"type": "exec", "cmd": f"trap 'exit 0' TERM; {line} & wait"}, "start": True}] * AT_ONCE
    )
    store = actions.store

    def statuses() -> Counter[str]:
        return Counter(store.get(job.id).status.value for job in jobs)

    wait_for(lambda: statuses()["active"] == AT_ONCE, lambda: f"all to run: {statuses()}", 120)
    dispatcher = dispatcher_of(data)
    assert dispatcher is not None
    assert dispatcher.memory_info().rss < 60_000_000
    print(
        f"{AT_ONCE} at once after {time.monotonic() - began:.1f} s, dispatcher {dispatcher.memory_info().rss >> 20} MiB"
    )
    for job in jobs:
        actions.stop(job.id)
    wait_for(lambda: statuses()["done"] == AT_ONCE, lambda: f"all to end: {statuses()}", 120)
    assert {store.get(job.id).attempt for job in jobs} == {1}
    wait_for(lambda: not store.open_ids(), "the markers to be gone")
    print(f"all ended after {time.monotonic() - began:.1f} s")


@pytest.fixture
def place() -> Iterator[Path]:
    """Give a data directory of another user in which a copy of the program is, too."""
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    if os.geteuid() != 0 or python is None:
        pytest.skip("only root may become another user")
    folder = Path(tempfile.mkdtemp(prefix="faults-", dir="/tmp"))
    shutil.copytree(PROJECT / "running_jobs", folder / "running_jobs")
    data = folder / "data"
    data.mkdir()
    (data / "config.toml").write_text("slots = 40\ngrace_seconds = 1\nfsync = false\n")
    for path in (folder, data, data / "config.toml"):
        os.chown(path, NOBODY, NOBODY)
    yield data
    end_everything(data)
    shutil.rmtree(folder)


def test_too_few_processes_delay_jobs_and_lose_none(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = (
        "import resource, sys; sys.path.insert(0, sys.argv[1])\n"
        f"resource.setrlimit(resource.RLIMIT_NPROC, ({LIMIT}, {LIMIT}))\n"
        "from running_jobs import daemon; daemon.main(sys.argv[-1])\n"
    )
    actions = Actions(load_settings(str(place)))
    store = actions.store
    line = f"echo $JOB_ID >> {place}/ran; exec sleep 0.3"  # a shell that cannot fork would truthfully fail
    jobs = [
        actions.submit(
            {"command": {"type": "exec", "cmd": line}, "cwd": "/", "nice": number % 2}
        ).id  # some need a thread
        for number in range(40)
    ]
    for job_id in jobs:
        store.update(job_id, lambda job: {"status": job.status.__class__("queued"), "queued_at": job.created_at})
    for root, folders, names in os.walk(place):
        for name in (*folders, *names):
            os.chown(os.path.join(root, name), NOBODY, NOBODY)
    command = ["/usr/bin/python3", "-I", "-S", "-c", program, str(place.parent), str(place)]
    hungry = subprocess.Popen(command, stdin=subprocess.DEVNULL, user=NOBODY, group=NOBODY, extra_groups=[])
    try:
        ended = [wait_for_end(store, job_id, 60) for job_id in jobs]
        assert {(job.status.value, job.exit_code, job.attempt) for job in ended} == {("done", 0, 1)}, {
            job.reason for job in ended
        }
        assert sorted((place / "ran").read_text().split()) == sorted(jobs)
        assert hungry.poll() is None
        refused = [
            line for line in Path(store.paths.errors).read_text().splitlines() if "could not be launched" in line
        ]
        assert all(any(job_id in line for job_id in jobs) for line in refused)
        assert len({line[:19] for line in refused}) >= len(refused) / 2, "at most one a second"
    finally:
        hungry.kill()
        hungry.wait()
