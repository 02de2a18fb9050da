"""SIGKILL to the dispatcher between any two steps of jobs' lives: none is lost, none runs twice, the order stays.

TEST_EVERY_STEP=1 goes through all steps, which takes minutes; otherwise every KTH, beginning with TEST_STEPS_FROM.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import psutil
import pytest

from running_jobs import files, wake
from running_jobs.actions import Actions
from running_jobs.job import QUEUED, Job
from running_jobs.settings import load_settings

from .conftest import PROJECT, dispatcher_of, end_everything, wait_for

KTH = 1 if os.environ.get("TEST_EVERY_STEP") == "1" else 25
FROM = int(os.environ.get("TEST_STEPS_FROM", "7"))
PARTS = 4

WORDS = {
    "fails once": ["queued", "active", "retry (2/2)", "active", "done"],
    "calls back": ["queued", "active", "done", "done"],  # the last one says that the callback was made
}
ORDER = ["fails once 1", "fails once 2", "waits for it 1", "first of two 1", "calls back 1", "last 1"]


class Scene:
    """A data directory with one slot and some queued jobs, which nobody runs yet."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.data.mkdir(parents=True)
        (self.data / "config.toml").write_text("slots = 1\ngrace_seconds = 1\nfsync = false\n")
        self.ran, self.called, self.count = folder / "ran", folder / "called", folder / "count"
        self.settings = load_settings(str(self.data), {})
        self.store = Actions(self.settings).store
        self.store.prepare()
        self.names: dict[str, str] = {}
        self.add("last", priority=100)
        first = self.add("fails once", code="$((2 - JOB_ATTEMPT))", priority=900, retries=1, retry_delay=0)
        self.add("first of two")
        self.add("calls back", callback_done={"type": "exec", "cmd": f'echo "$JOB_ID $JOB_STATUS" >> {self.called}'})
        self.add("waits for it", priority=1000, after=[first])

    def add(self, name: str, code: str = "0", **options: Any) -> str:
        line = f'echo "{name} $JOB_ATTEMPT" >> {self.ran}; exit {code}'
        command = {"type": "exec", "cmd": line}
        job = self.store.create(Job(id="", status=QUEUED, command=command, cwd="/", **options))
        self.names[job.id] = name
        return job.id

    def run_until_killed(self, moment: str, step: int) -> bool:
        """Be served by a dispatcher that dies at a step. Return False if it ended without having come to it."""
        program = [str(PROJECT / "tests" / "killed_dispatcher.py"), str(PROJECT)]
        done = subprocess.run(
            [sys.executable, "-I", "-S", *program, moment, str(step), str(self.count), str(self.data)],
            stdin=subprocess.DEVNULL,
            timeout=60,
        )
        assert done.returncode in (0, -9), done
        return done.returncode != 0

    def go_on(self) -> None:
        """Wait until all is settled; start a dispatcher where no runner is left who would."""

        def is_settled() -> bool:
            left = self.store.open_ids()
            runs = any(files.is_locked(self.store.paths.out(job_id)) for job_id in left)
            if left and not runs and not wake.dispatcher_lives(self.store.paths):
                pid = wake.ensure_dispatcher(self.settings)
                if pid is not None:
                    os.waitpid(pid, 0)
            return not left

        wait_for(is_settled, lambda: f"{[self.store.get(job_id) for job_id in self.store.open_ids()]}", 40)

    def check(self) -> None:
        """See that all went as if nobody had died."""
        assert self.ran.read_text().splitlines() == ORDER
        made = next(job_id for job_id, name in self.names.items() if name == "calls back")
        assert self.called.read_text() == f"{made} done\n"
        words = defaultdict(list)
        for line in Path(self.store.paths.journal).read_text().splitlines():
            words[line.split(" ")[1]].append(line.rsplit(" - ", 2)[1])
        assert self.store.ids() == sorted(self.names)
        for job_id, name in self.names.items():
            job = self.store.get(job_id)
            assert words[job_id] == WORDS.get(name, ["queued", "active", "done"]), name
            assert (job.status, job.exit_code, job.pending_callbacks) == ("done", 0, [])
            assert [attempt["attempt"] for attempt in job.attempts] == list(range(1, job.attempt + 1))
            assert [attempt["exit_code"] for attempt in job.attempts] == ([1, 0] if name == "fails once" else [0])
        errors = Path(self.store.paths.errors).read_text().splitlines()
        assert [line for line in errors if " - retry (2/2) - " not in line] == []
        assert os.listdir(self.store.paths.open) == []
        wait_for(lambda: not self.processes(), lambda: f"the end of {self.processes()}")

    def processes(self) -> list[psutil.Process]:
        """Return what still runs for it besides a dispatcher."""
        own = dispatcher_of(self.data)
        found = []
        for process in psutil.process_iter(["cmdline"]):
            told = " ".join(process.info["cmdline"] or [])
            if process != own and (str(self.data) in told or any(job_id in told for job_id in self.names)):
                found.append(process)
        return found


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_dispatcher_killed_at_any_step_costs_no_job_anything(tmp_path: Path, moment: str, part: int) -> None:
    killed = 0
    for step in itertools.count(1 + (FROM + part * KTH) % (PARTS * KTH), PARTS * KTH):
        scene = Scene(tmp_path / str(step))
        try:
            was_killed = scene.run_until_killed(moment, step)
            scene.go_on()
            scene.check()
        except BaseException:
            print(f"{moment} step {step}")
            raise
        finally:
            end_everything(scene.data)
        if not was_killed:
            break
        killed += 1
    print(f"killed {killed} times {moment} a step; all in all {scene.count.read_text()} steps")
    assert killed
