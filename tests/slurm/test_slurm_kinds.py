"""Every kind of job runs on a node."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from running_jobs.actions import Actions
from running_jobs.job import Job
from running_jobs.settings import load_settings
from running_jobs.store import JobStore

from ..conftest import wait_for_end
from .cluster import Cluster
from .conftest import CONFIG


class Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"answered")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def address(cluster: Cluster) -> Iterator[str]:
    """Serve where nodes can reach us."""
    server = HTTPServer((f"{cluster.network}.1", 0), Answering)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://{server.server_address[0]}:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_requests_methods_and_approved_commands_run_on_nodes(
    store: JobStore, data: Path, tmp_path: Path, address: str
) -> None:
    (tmp_path / "far.py").write_text(
        "import os\nclass Far:\n    def name(self, end):\n        return os.uname().nodename + end\n"
    )
    approved = '[allowed_commands.greet]\ncommand = ["echo", "greetings"]\n'
    (data / "config.toml").write_text(
        f'{CONFIG}python_path = ["{tmp_path}"]\nallowed_classes = ["far.Far"]\n{approved}'
    )
    actions = Actions(load_settings(str(data)))
    actions.replace_dispatcher()

    def ended(command: dict[str, Any]) -> Job:
        job = wait_for_end(store, actions.submit({"command": command, "start": True}).id, 40)
        assert (job.status, job.executor, job.host[:1]) == ("done", "slurm", "n"), Path(
            store.paths.err(job.id)
        ).read_text()
        return job

    asked = ended({"type": "http", "url": address, "method": "GET"})
    assert Path(store.paths.response(asked.id)).read_text().strip() == "answered"
    called = ended({"type": "method", "class": "far.Far", "method": "name", "params": ["!"]})
    assert Path(store.paths.response(called.id)).read_text().strip() == f'"{called.host}!"'
    greeted = ended({"type": "approved", "name": "greet", "parameters": {}})
    assert Path(store.paths.out(greeted.id)).read_text() == "greetings\n"
