"""The README's part on Slurm is true: its settings are taken, its commands run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from running_jobs.settings import load_settings
from running_jobs.store import JobStore

from ..conftest import PROJECT, wait_for_end
from ..test_readme import SLURM


def test_its_settings_are_taken(tmp_path: Path) -> None:
    [shown] = re.findall(r"```toml\n(.*?)```", SLURM, re.DOTALL)
    (tmp_path / "config.toml").write_text(shown)
    settings = load_settings(str(tmp_path), {})
    assert (settings.executor, settings.slurm["partition"], settings.slurm["cpus"]) == ("slurm", "main", 2)


def test_its_commands_run_jobs_on_nodes(store: JobStore) -> None:
    [shown] = re.findall(r"```sh\n(.*?)```", SLURM, re.DOTALL)
    assert shown.strip()
    for line in shown.splitlines():
        here = line.replace(".venv/bin/python app.py", f"{sys.executable} {PROJECT / 'app.py'}")
        ran = subprocess.run(["bash", "-c", here], capture_output=True, text=True, cwd="/", env=dict(os.environ))
        assert ran.returncode == 0, ran.stderr
        job = wait_for_end(store, ran.stdout.strip(), 60)
        assert (job.status, job.host[:1]) == ("done", "n"), job
        assert Path(store.paths.out(job.id)).read_text() == "on a node\n"
