"""`app.py run` as a whole process, against an interpreter that imports click and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.directories import PROJECT, clean_environment, data_directory
from benchmarks.results import Goal, Row, compared
from benchmarks.rounds import in_turns, median, seconds
from benchmarks.scale import Scale

CLICK = [sys.executable, "-c", "import click"]


def measure(scale: Scale, below: Path) -> list[Row]:
    """Measure commands that are queued in a pause, with a dispatcher that lives: only the command line is measured."""
    with data_directory(below, scale.slots) as actions:
        actions.pause(True)
        command = [sys.executable, str(PROJECT / "app.py"), "--data", actions.settings.data, "run", "true"]
        measures = {
            "run": lambda: median_ms(command, scale.commands),
            "click": lambda: median_ms(CLICK, scale.commands),
        }
        in_turns(measures, 1)  # warm-up: compiled modules are kept
        found = in_turns(measures, scale.rounds)
    return [compared("`app.py run`, whole process", "ms", found["run"], "`import click`", found["click"], Goal(2))]


def median_ms(command: list[str], count: int) -> float:
    """Return the median time of a program from its start to its end."""
    environ = clean_environment()

    def run() -> None:
        subprocess.run(command, env=environ, stdout=subprocess.DEVNULL, check=True)

    return median([seconds(run) * 1000 for _ in range(count)])
