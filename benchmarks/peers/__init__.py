"""The programs that ours is measured against: each runs the same shell line, keeps its output and its exit code.

Each is started with its own files below a folder, and ended by pid afterwards. None of them syncs to the disk.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

LINE = "true"

RunJobs = Callable[[int], float]  # runs so many jobs to their recorded ends and returns how many that is a second


class Peer(NamedTuple):
    """A program to measure against. `version` is None where it is not installed."""

    name: str
    version: str | None
    started: Callable[[Path, int], AbstractContextManager[RunJobs]]
