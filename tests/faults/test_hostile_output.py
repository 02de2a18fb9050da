"""Output that nobody meant to be read: without end, without sense, without line ends. It is shown in bounded memory."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import psutil
import pytest

from running_jobs.job import Job
from running_jobs.store import JobStore

from ..conftest import Server, wait_for_end

OUTPUTS = {
    "yes": "yes | head -c 10000000",
    "random bytes": "head -c 3000000 /dev/urandom",
    "zeros": "head -c 5000000 /dev/zero",
    "one line": "head -c 8000000 /dev/zero | tr '\\0' x",
    "carriage returns": "yes 'progress' | head -c 2000000 | tr '\\n' '\\r'",
    "empty lines": "yes '' | head -c 2000000",
    "colours within colours": "for i in $(seq 5000); do printf '\\033[3%dm\\033[1m<b>' $((i % 8)); done",
    "sequences without end": "for i in $(seq 5000); do printf '\\033[%d;' $i; printf '\\033]8;;http://x/%d' $i; done",
    "cursor all over": "for i in $(seq 5000); do printf '\\033[%d;%dHx\\033[J' $((i % 99999)) $((i * 7919 % 99999)); done",
}


@pytest.mark.parametrize("kind", OUTPUTS)
def test_it_is_shown_searched_and_sent_in_bounded_memory(
    server: Server, launch: Callable[..., Job], store: JobStore, kind: str
) -> None:
    job = wait_for_end(store, launch(f"({OUTPUTS[kind]}) | tee /dev/stderr").id, 60)
    assert job.status == "done"
    process = psutil.Process(server.process.pid)
    server.get("/")
    before = process.memory_info().rss
    size = os.path.getsize(store.paths.out(job.id))
    for tab in ("log", "err", "both"):
        page = server.get(f"/?job={job.id}&tab={tab}")
        assert (page.code, b"<script>" in page.body) == (200, False)
        assert len(page.body) < 8_000_000
    for view in (
        "out",
        "both",
        f"out?at={size // 2}",
        f"err?upto={size}",
        "out/find?find=x",
        f"out/number?at={size - 1}",
    ):
        assert server.get(f"/jobs/{job.id}/view/{view}").code in (200, 204), view
    lines = json.loads(server.get(f"/jobs/{job.id}/log?tail=5000").body)["data"]
    assert len(lines) <= 5000
    assert len(server.get(f"/jobs/{job.id}/out?tail=1000").body) == min(size, 1000)
    assert process.memory_info().rss - before < 200_000_000
