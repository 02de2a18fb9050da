"""What a worker does for one job: the shell line by subprocess, its output in two files, its exit code returned."""

from __future__ import annotations

import os
import subprocess

FOLDER = os.environ.get("PEER_FOLDER", ".")


def run_line(name: str, line: str) -> int:
    """Run a shell line and return its exit code."""
    with open(f"{FOLDER}/{name}.out", "wb") as out, open(f"{FOLDER}/{name}.err", "wb") as err:
        return subprocess.call(["/bin/sh", "-c", line], stdin=subprocess.DEVNULL, stdout=out, stderr=err)
