"""Submission over HTTP, durable before it is answered, against an empty Flask view on the same server."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

from benchmarks.client import post, requests_per_s
from benchmarks.directories import TRUE_JOB, data_directory, free_port, serve_command, served
from benchmarks.results import Goal, Row, compared
from benchmarks.rounds import in_turns
from benchmarks.scale import Scale

EMPTY_VIEW = str(Path(__file__).parent / "peers" / "empty_view.py")


def measure(scale: Scale, below: Path) -> list[Row]:
    """Measure how many jobs a second are taken. They are queued, and a pause keeps them from running meanwhile."""
    request = post("/jobs", json.dumps(TRUE_JOB).encode())
    port, empty_port = free_port(), free_port()
    with data_directory(below, scale.slots) as actions:
        actions.pause(True)
        with (
            served(serve_command(actions, port), port),
            served([sys.executable, EMPTY_VIEW, str(empty_port)], empty_port),
        ):
            asks = {
                "ours": partial(requests_per_s, port, request, scale.connections, scale.requests),
                "empty": partial(requests_per_s, empty_port, request, scale.connections, scale.requests),
            }
            in_turns(asks, 1)  # warm-up
            found = in_turns(asks, scale.rounds)
    what = f"submission over HTTP, durable, {scale.connections} connections"
    return [compared(what, "/s", found["ours"], "empty Flask view", found["empty"], Goal(0.4, at_least=True))]
