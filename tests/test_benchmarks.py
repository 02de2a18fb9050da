"""The benchmarks: that all of them can be measured, and what the table looks like. No figure is judged here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil

from .conftest import PROJECT

NAMES = ["launching", "submission", "latency", "command-line", "listing", "memory", "logs", "idle"]


def test_everything_is_measured_and_written_down_and_nothing_stays(tmp_path: Path) -> None:
    written = tmp_path / "RESULTS.md"
    work = tmp_path / "work"
    work.mkdir()
    command = [sys.executable, str(PROJECT / "benchmarks" / "run.py"), "--quick", "--folder", str(work)]
    done = subprocess.run([*command, "--output", str(written), *NAMES], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [line.removesuffix(" ...") for line in done.stderr.splitlines()] == NAMES
    text = written.read_text()
    assert done.stdout.strip() in text
    assert (PROJECT / "benchmarks" / "NOTES.md").read_text() in text

    lines = [line for line in text.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert rows[0] == ["what", "ours", "against", "theirs", "ratio", "goal", "met"]
    assert {len(row) for row in rows} == {7}
    assert len({len(line) for line in lines}) == 1
    for row in rows[2:]:
        assert row[0]
        assert row[1]
        assert row[6] in (("yes", "NO", "not measured") if row[5] else ("",))
        assert bool(row[4]) == bool(row[2] and row[3] != "not installed")

    assert list(work.iterdir()) == []
    assert [process for process in psutil.process_iter(["cmdline"]) if str(work) in str(process.info["cmdline"])] == []
