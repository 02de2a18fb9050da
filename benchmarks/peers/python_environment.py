"""An environment of its own for the peers that are Python packages."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import venv
from pathlib import Path

PACKAGES = ("huey", "rq")


def python_of(folder: Path) -> str:
    """Return the path of an environment's interpreter."""
    return str(folder / "bin" / "python")


def make(folder: Path) -> None:
    """Make the environment where it is missing, and install what can be."""
    if not Path(python_of(folder)).exists():
        with contextlib.suppress(subprocess.CalledProcessError):  # an interpreter without ensurepip
            venv.create(folder, with_pip=True)
    for package in PACKAGES:
        if version_in(folder, package) is None:
            command = [python_of(folder), "-m", "pip", "install", "-q", "--disable-pip-version-check", package]
            subprocess.run(command, stdout=sys.stderr, check=False)


def version_in(folder: Path | None, package: str) -> str | None:
    """Return the version of a package in the environment, None if it is not there."""
    if folder is None or not Path(python_of(folder)).exists():
        return None
    program = f"import importlib.metadata as all; print(all.version({package!r}))"
    done = subprocess.run([python_of(folder), "-c", program], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None
