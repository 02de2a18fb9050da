"""The code itself, as bandit reads it: each finding is mended, or accepted below by its place and with a reason."""

from __future__ import annotations

import json
import subprocess
import sys

from ..conftest import PROJECT

RUNS = "what it runs is given as a list, none of it by way of a shell"
ACCEPTED = {
    ("B606", "commands/approved.py"): "an approved command: its arguments are a list, checked by the settings' patterns",
    ("B606", "commands/method.py"): "our own module under the interpreter that the settings name",
    ("B606", "commands/worker.py"): "our own module under the interpreter that the settings name",
    ("B102", "commands/worker.py"): "running a worker's code is what it is for; only operators save workers",
    ("B101", "classes.py"): "for the type checker: it cannot fail",
    ("B404", "commands/callback.py"): RUNS, ("B603", "commands/callback.py"): RUNS,
    ("B404", "matching.py"): RUNS, ("B603", "matching.py"): RUNS,
    ("B404", "python_process.py"): RUNS, ("B603", "python_process.py"): RUNS,
    ("B404", "web/serving.py"): RUNS, ("B603", "web/serving.py"): RUNS,
    ("B604", "rehearsal.py"): "the setting of that name: nothing is called by a shell there",
    ("B704", "web/log_lines.py"): "the terminal has escaped the text, and the rest is ours; test_markup looks at what comes of it",
}  # fmt: skip


def test_bandit_finds_nothing_that_is_not_accepted_with_a_reason() -> None:
    command = [sys.executable, "-m", "bandit", "-q", "-f", "json", "-r", "running_jobs", "app.py"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=100)
    found = json.loads(done.stdout)
    assert found["errors"] == []
    assert found["metrics"]["_totals"]["loc"] > 5000
    places: dict[tuple[str, str], list[str]] = {}
    for one in found["results"]:
        place = (one["test_id"], one["filename"].removeprefix("running_jobs/"))
        places.setdefault(place, []).append(f"{one['filename']}:{one['line_number']}: {one['issue_text']}")
    assert {place: told for place, told in places.items() if place not in ACCEPTED} == {}
    assert set(ACCEPTED) - set(places) == set(), "accepted, but not there any more"
