"""What the figures were measured on: the machine, the file system, the versions of everything."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from benchmarks.peers import Peer
from benchmarks.results import MISSING
from running_jobs import __version__

PACKAGES = ("flask", "werkzeug", "waitress", "click", "psutil")


def described(below: Path, peers: Sequence[Peer]) -> list[str]:
    """Return lines that say it."""
    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    load = " ".join(f"{figure:.2f}" for figure in os.getloadavg())
    return [
        f"Measured {time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime())}, load before {load}",
        f"{_processor()}, {os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.1f} GiB of memory",
        f"{platform.system()} {platform.release().partition('-')[0]}, data directories on {_file_system(below)}",
        f"Running Jobs {_version()}, Python {platform.python_version()}, {packages}",
        ", ".join(f"{peer.name} {peer.version or MISSING}" for peer in peers),
    ]


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(below: Path) -> str:
    """Return the type of what a folder is on."""
    above = {str(folder) for folder in (below.resolve(), *below.resolve().parents)}
    holding = [part for part in psutil.disk_partitions(all=True) if part.mountpoint in above]
    if not holding:
        return "an unknown file system"
    return max(holding, key=lambda part: len(part.mountpoint)).fstype


def _version() -> str:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        asked = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
        return f"{__version__} at {subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()}"
    return __version__
