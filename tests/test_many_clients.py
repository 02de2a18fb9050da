"""The server under more connections than select() can watch."""

from __future__ import annotations

import contextlib
import resource
import socket
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from running_jobs.store import JobStore

from .conftest import Server, wait_for, wait_for_end

CLIENTS = 600


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Allow this process and the server it starts 4096 open files, as a service is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4096:
        pytest.skip("the hard limit of open files is below 4096")
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_hundreds_of_slow_downloads_do_not_bring_the_server_down(
    many_descriptors: None, start_server: Callable[..., Server], launch: Callable[..., Any], store: JobStore
) -> None:
    job = wait_for_end(store, launch("head -c 20000000 /dev/zero").id)
    server = start_server()
    process = psutil.Process(server.process.pid)
    with contextlib.ExitStack() as clients:
        for _ in range(CLIENTS):
            client = clients.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            client.sendall(f"GET /jobs/{job.id}/out HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        wait_for(lambda: process.num_fds() > 1100, lambda: f"many open files: {process.num_fds()}")
        assert server.get("/health").code == 200
    assert server.get("/health").code == 200
