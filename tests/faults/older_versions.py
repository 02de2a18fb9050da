"""Versions of this project as they were, and data directories that they wrote:

    python -m tests.faults.older_versions NAME...

writes `tests/faults/written_by/<NAME>` anew by running that version. What is kept of a data directory is what a backup
would hold, without a FIFO, room kept on the disk, a key and what is only true where it was written.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from running_jobs.store import JobStore
from tests.conftest import (
    PROJECT,
    dispatcher_of,
    end_everything,
    kill_and_wait,
    wait_for,
    wait_for_end,
    wait_for_status,
)

WRITTEN = Path(__file__).parent / "written_by"
# The last commit before what the name says came in.
COMMITS = {
    "before_queue": "61537e2",
    "before_methods": "af2f500",
    "before_page": "51fd3c0",
    "before_proof": "e1dbd63",
}
SETTINGS = "slots = 2\ngrace_seconds = 1\nfsync = false\n"
QUEUE = [name for name in COMMITS if name != "before_queue"]
WORKERS = ["before_page", "before_proof"]
LEFT_OUT = ("wake", "reserve.*", "secret", "known")


def code_of(name: str, folder: Path) -> Path | None:
    """Lay the code of a version into a folder and return its path; None without the history that holds it."""
    archive = subprocess.run(["git", "archive", COMMITS[name]], cwd=PROJECT, capture_output=True)
    if archive.returncode != 0:
        return None
    code = folder / name
    code.mkdir()
    subprocess.run(["tar", "-x", "-C", str(code)], input=archive.stdout, check=True)
    return code


class Writer:
    """Has a version write jobs of all kinds into a data directory."""

    def __init__(self, name: str, code: Path, data: Path) -> None:
        self.name, self.code, self.data = name, code, data
        data.mkdir(mode=0o700)
        (data / "config.toml").write_text(SETTINGS)
        self.store = JobStore(str(data))

    def app_py(self, *words: str) -> str:
        """Run one of its commands."""
        environ = {**os.environ, "JOBS_DATA": str(self.data)}
        done = subprocess.run(
            [sys.executable, f"{self.code}/app.py", *words], env=environ, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def run(self, name: str, line: str, *options: str) -> str:
        """Queue a shell line."""
        return self.app_py("run", "--name", name, "--cwd", "/", *options, "--", line)

    def write(self) -> None:
        """Write jobs in all states; those that are active are then killed together with the dispatcher."""
        done = self.run("done", "echo out; echo err >&2; echo 1 > $JOB_FILES/result.txt")
        ended = [done, self.run("error", "echo failed >&2; exit 3", "--env", "COLOUR=blue")]
        ended += self._of_the_queue()
        if self.name in WORKERS:
            ended.append(
                self.app_py("worker", "--name", "worker", "--cwd", "/", "TestWorker", '{"count": 2, "sleep": 0}')
            )
        for job_id in ended:
            wait_for_end(self.store, job_id)
        stopped = self.run("stop", "exec sleep 1000")
        wait_for_status(self.store, stopped, "active")
        self.app_py("stop", stopped)
        wait_for_end(self.store, stopped)
        active = [self.run("active", "echo began; exec sleep 1000")]
        if self.name in QUEUE:
            line = "[ $JOB_ATTEMPT = 2 ] || exec sleep 1000"
            active.append(self.run("active with retries", line, "--retries", "1", "--retry-delay", "0"))
        runners = [wait_for_status(self.store, job_id, "active").pid for job_id in active]
        self.app_py("pause")
        self.run("idle", "echo idle", "--hold")
        queued = self.run("queued", "echo queued", "--priority", "900")
        if self.name in QUEUE:
            self.run("queued after", "echo after", "--after", queued, "--after", done)
            self.run("never", "echo never", "--after", stopped)
            self.run("delayed", "echo late", "--at", "2100-01-01T00:00Z")
        dispatcher = wait_for(lambda: dispatcher_of(self.data))
        kill_and_wait(dispatcher)
        for runner in runners:
            os.kill(runner, signal.SIGKILL)

    def _of_the_queue(self) -> list[str]:
        if self.name not in QUEUE:
            return []
        call = json.dumps({"type": "exec", "cmd": "echo called"})
        retried = self.run("retried", "exit $((JOB_ATTEMPT < 2))", "--retries", "2", "--retry-delay", "0")
        return [retried, self.run("called", "exit 4", "--callback-done", call, "--callback-failed", call)]


def main(names: list[str]) -> None:
    """Write the data directories of these versions anew."""
    for name in names:
        folder = Path(tempfile.mkdtemp())
        code = code_of(name, folder)
        assert code is not None, f"there is no commit {COMMITS[name]} here"
        data = folder / "data"
        writer = Writer(name, code, data)
        writer.write()
        target = WRITTEN / name
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(data, target, ignore=shutil.ignore_patterns(*LEFT_OUT))
        end_everything(data)
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(sys.argv[1:])
