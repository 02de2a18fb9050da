"""Requests made by schemathesis from the description of the API, to a real server: a few of each kind.

`python -m tests.attacks.schemathesis_run --examples 200` makes more of them. RUNNING_JOBS_SEED makes the same ones again.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ..conftest import PROJECT

SEED = os.environ.get("RUNNING_JOBS_SEED", "20261121")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("arguments", [("--examples", "2"), ("--examples", "1", "--user")], ids=["no user", "a user"])
def test_every_answer_is_one_that_is_described_and_nothing_invalid_is_taken(
    arguments: tuple[str, ...], cache: pytest.Cache
) -> None:
    remembered = str(cache.mkdir("hypothesis"))
    program = [sys.executable, "-m", "tests.attacks.schemathesis_run", "--seed", SEED, "--remember", remembered]
    program += arguments
    environ = {name: value for name, value in os.environ.items() if not name.startswith("JOBS_")}
    done = subprocess.run(program, cwd=PROJECT, env=environ, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, f"seed {SEED}: {done.stdout[-10_000:]}{done.stderr[-3000:]}"
    assert " requests: {" in done.stdout
