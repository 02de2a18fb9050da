"""Submission over HTTP, durable before it is answered, against an empty Flask view on the same server."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

from benchmarks.client import post, requests_per_s
from benchmarks.directories import TRUE_JOB, data_directory, free_port, new_folder, serve_command, served
from benchmarks.results import Goal, Row, compared
from benchmarks.rounds import in_turns
from benchmarks.scale import Scale

PEERS = Path(__file__).parent / "peers"


def measure(scale: Scale, below: Path) -> list[Row]:
    """Measure how many jobs a second are taken. They are queued, and a pause keeps them from running meanwhile."""
    request = post("/jobs", json.dumps(TRUE_JOB).encode())
    ports = {name: free_port() for name in ("ours", "empty", "bound", "files")}
    empty, files = ([sys.executable, str(PEERS / name)] for name in ("empty_view.py", "files_view.py"))
    with data_directory(below, scale.slots) as actions:
        actions.pause(True)
        with (
            served(serve_command(actions, ports["ours"]), ports["ours"]),
            served([*empty, str(ports["empty"])], ports["empty"]),
            served([*empty, str(ports["bound"]), "bound"], ports["bound"]),
            served([*files, str(ports["files"]), str(new_folder(below))], ports["files"]),
        ):
            measures = {
                name: partial(requests_per_s, port, request, scale.connections, scale.requests)
                for name, port in ports.items()
            }
            in_turns(measures, 1)  # warm-up
            found = in_turns(measures, scale.rounds)
    what = f"submission over HTTP, durable, {scale.connections} connections"
    floor = "a view that stores the same files, nothing between"
    return [
        compared(what, "/s", found["ours"], "empty Flask view", found["empty"], Goal(0.4, at_least=True)),
        compared(what, "/s", found["ours"], "empty view bound to one processor, too", found["bound"]),
        compared(what, "/s", found["ours"], floor, found["files"]),
        compared(f"the floor of that: {floor}", "/s", found["files"], "empty Flask view", found["empty"]),
    ]
