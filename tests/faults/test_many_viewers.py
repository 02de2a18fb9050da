"""Very many who look on, and very many who ask for what is not there: the others are answered, memory is bounded."""

from __future__ import annotations

import http.client
import resource
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from running_jobs.job import Job, next_id
from running_jobs.store import JobStore

from ..conftest import LocalClient, Server, wait_for, wait_for_status

VIEWERS = 200
UNKNOWN = 400


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Allow this process and the server it starts 2048 open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(2048, hard)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_two_hundred_viewers_of_the_page_and_of_a_growing_log(
    many_descriptors: None, start_server: Callable[..., Server], launch: Callable[..., Job], store: JobStore
) -> None:
    job = launch("while :; do echo line; sleep 0.05; done")
    wait_for_status(store, job.id, "active")
    server = start_server()
    process = psutil.Process(server.process.pid)
    server.get(f"/?job={job.id}")
    before = process.memory_info().rss
    paths = [f"/?part=live&job={job.id}", "/?part=live", f"/jobs/{job.id}/view/out", f"/jobs/{job.id}/view/both"]
    viewers = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=60) for _ in range(VIEWERS)]
    try:
        for _ in range(2):
            for number, viewer in enumerate(viewers):
                viewer.request("GET", paths[number % len(paths)])
            assert server.get("/health").code == 200
            for viewer in viewers:
                answer = viewer.getresponse()
                assert answer.status in (200, 204)
                answer.read()
        assert process.num_fds() < VIEWERS + 100
        assert process.memory_info().rss - before < 60_000_000
    finally:
        for viewer in viewers:
            viewer.close()
    wait_for(lambda: process.num_fds() < 60, lambda: f"descriptors given back: {process.num_fds()}")
    assert process.num_threads() < 20


def test_a_flood_of_unknown_ids_is_kept_nowhere(local: LocalClient, launch: Callable[..., Any]) -> None:
    ids = [last := "20200101-000000-000000"]
    for _ in range(UNKNOWN):
        last = next_id(last, 0)
        ids.append(last)

    def ask_for(job_id: str) -> None:
        for path in ("", "/out", "/view/out", "/files.zip"):
            assert local.get(f"/jobs/{job_id}{path}").code == 404
        assert local.get(f"/jobs/{job_id}x/view/both?since={job_id}").code == 404

    for job_id in ids[: UNKNOWN // 4]:
        ask_for(job_id)
    for page in range(200):  # as many different pages as are kept, and more
        local.get(f"/jobs?q={page}&context={'x' * 1000}{page}")
    before = psutil.Process().memory_info().rss
    for job_id in ids[UNKNOWN // 4 :]:
        ask_for(job_id)
    for page in range(400):
        local.get(f"/jobs?q={page}&context={'y' * 1000}{page}")
    assert psutil.Process().memory_info().rss - before < 5_000_000
