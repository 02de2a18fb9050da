"""A short round of random kills; `python -m tests.faults.random_kills` runs long ones.

TEST_SEED repeats a round, as far as processes can be repeated.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from .random_kills import Round

JOBS = 200


@pytest.mark.timeout(300)
def test_random_kills_leave_every_accepted_job_with_one_truthful_end(tmp_path: Path) -> None:
    seed = int(os.environ.get("TEST_SEED", random.randrange(10**6)))
    print(f"TEST_SEED={seed}")
    one = Round(tmp_path, JOBS, seed)
    wrong = one.run()
    assert not wrong, f"TEST_SEED={seed}\n" + "\n".join(wrong)
    assert all(one.killed[kind] for kind in ("server", "dispatcher", "runner", "fork server", "submitter")), one.killed
