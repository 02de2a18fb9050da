"""A Slurm of three shell scripts, and an executor that lives by a clock of its own: minutes go by in moments."""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from running_jobs import placements
from running_jobs.command_line import ENVIRONMENT
from running_jobs.executors.slurm import SlurmExecutor
from running_jobs.executors.slurm_queue import FIELDS
from running_jobs.job import Job, JobStatus
from running_jobs.placements import Told
from running_jobs.settings import load_settings
from running_jobs.store import JobStore

TRUE = {"type": "exec", "cmd": "true"}
LEAST_S = 0.001  # that the clock moves on in a turn
SCRIPT = """#!/bin/sh
PATH=/usr/bin:/bin
cd '{folder}'
{text}
"""
SBATCH = """for word in "$@"; do
    case $word in --comment=*) comment=${{word#*=}};; --job-name=*) name=${{word#*=}};; esac
done
cat >script.$$
echo "$$ $name $comment $*" >>submissions
{before}
echo $$
{after}"""


class Submission(NamedTuple):
    """What sbatch was called for: the id that it gave, and our own."""

    slurm_id: str
    job_id: str
    comment: str

    def row(
        self, state: str, why: str = "None", node: str = "", status: int = 0, name: str = "", comment: str = ""
    ) -> str:
        """Return what squeue says of it."""
        words = (self.slurm_id, state, why, "main", node, str(status), name or self.job_id, comment or self.comment)
        return "|".join(words) + "|"


class FakeSlurm:
    """Programs of Slurm's names in a folder, the only one that is looked through for them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._programs = folder / "bin"
        self._programs.mkdir(parents=True)
        monkeypatch.setitem(ENVIRONMENT, "PATH", str(self._programs))
        self.say()
        self.put_sbatch()
        self.put("squeue", "echo >>asked; cat rows")
        self.put("scancel", 'echo "$*" >>cancelled')

    def put(self, name: str, text: str) -> None:
        """Have a program do something else."""
        new = self._programs / f".{name}"
        new.write_text(SCRIPT.format(folder=self.folder, text=text))
        new.chmod(0o755)
        new.rename(self._programs / name)

    def put_sbatch(self, before: str = "", after: str = "") -> None:
        """Have sbatch do something more before or after it prints an id; $name and $comment are those of the job."""
        self.put("sbatch", SBATCH.format(before=before, after=after))

    def refuse(self, message: str) -> None:
        """Have sbatch take nothing."""
        self.put_sbatch(f"echo 'sbatch: error: {message}' >&2; exit 1")

    def remove(self, name: str) -> None:
        """Have a program not be there."""
        (self._programs / name).unlink()

    def say(self, *rows: str) -> None:
        """Have squeue answer this."""
        head = "|".join(name.upper() for name in FIELDS)
        (self.folder / "rows").write_text("\n".join([f"{head}|", *rows]) + "\n")

    def be_away(self) -> None:
        """Have squeue not answer."""
        self.put("squeue", "echo 'squeue: error: Unable to contact slurm controller' >&2; exit 1")

    @property
    def submissions(self) -> list[Submission]:
        """What sbatch was called for so far."""
        return [Submission(*line.split(" ")[:3]) for line in self._lines("submissions")]

    @property
    def cancelled(self) -> list[str]:
        """The arguments of each call of scancel."""
        return self._lines("cancelled")

    @property
    def asked(self) -> int:
        """How often squeue was called."""
        return len(self._lines("asked"))

    def _lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []


class SlowClock:
    """Time that only goes by when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Turns:
    """An executor on a data directory, which has its turns as a dispatcher's: now, or after some time of its clock."""

    def __init__(self, data: str, text: str = "[slurm]\n", clock: SlowClock | None = None) -> None:
        os.makedirs(data, mode=0o700, exist_ok=True)
        Path(data, "config.toml").write_text(f"fsync = false\n{text}")
        self.clock = clock or SlowClock()
        self.settings = load_settings(data, {})
        self.store = JobStore(data, sync=False, clock=lambda: 1_800_000_000 + self.clock.now)
        self.store.prepare()
        self.poller = select.poll()
        self.executor = SlurmExecutor(self.store, self.settings, self.poller, self.clock)
        self.blocked: set[str] = set()  # programs that are not waited for
        self._programs: dict[int, str] = {}
        self._note_programs()
        self.turns = 0
        self.is_held = False  # as if all were paused

    def again(self, text: str = "[slurm]\n") -> Turns:
        """Have another dispatcher take the place of this one, which is killed."""
        lock = self.executor._lock
        if lock.descriptor >= 0:
            os.close(lock.descriptor)
            lock.descriptor = -1
        return Turns(self.store.paths.data, text, self.clock)

    def queue(self, **fields: Any) -> Job:
        """Queue a job and have it wanted."""
        fields = {"cwd": "/", "executor": "slurm", **fields}
        job = self.store.create(Job("", JobStatus.QUEUED, TRUE, **fields))
        self.executor.want(job)
        return job

    def change(self, job: Job, **fields: Any) -> Job:
        """Write something into a job's record."""
        return self.store.update(job.id, lambda _: fields) or job

    def begin(self, job: Job, slurm_id: str) -> Job:
        """Have a job claimed by its runner."""
        placed = {"attempt": 1, "id": slurm_id, "partition": "main", "node": "n1"}
        active = self.change(job, status=JobStatus.ACTIVE, attempt=1, attempts=[{"attempt": 1}], placed=placed)
        self.executor.watch(active, self.clock())
        return active

    def turn(self, most_s: float = 1.0) -> None:
        """Do what is due, take the answers of what was asked, and let the time go by until the next look."""
        self.turns += 1
        self.executor.look(self.clock(), lambda: self.is_held)
        self.take_answers()
        wait_s = self.executor.seconds_to_next(self.clock())
        self.clock.now += most_s if wait_s is None else min(most_s, max(wait_s, LEAST_S))

    def _note_programs(self) -> None:
        calls, start = self.executor._calls, self.executor._calls.start

        def note(argv: Any, *arguments: Any) -> None:
            start(argv, *arguments)
            self._programs.update((pidfd, argv[0]) for pidfd in calls._running.keys() - self._programs.keys())

        calls.start = note  # type: ignore[method-assign]

    def take_answers(self) -> None:
        """Wait for the programs that run, but for those that are blocked."""
        while not all(self._programs[pidfd] in self.blocked for pidfd in self.executor._calls._running):
            events = self.poller.poll(20_000)
            assert events, "a program did not end"
            for descriptor, _ in events:
                self._programs.pop(descriptor)
                self.executor.ended(descriptor)

    def go(self, seconds: float) -> int:
        """Let time go by, and return how many turns that took."""
        before, end = self.turns, self.clock.now + seconds
        while self.clock.now < end and self.turns < before + 2000:
            self.turn(end - self.clock.now)
        return self.turns - before

    def go_until(self, condition: Callable[[], Any], within_s: float = 120) -> Any:
        """Let time go by until something is so, and return it."""
        end = self.clock.now + within_s
        while not (found := condition()):
            assert self.clock.now < end, f"in vain for {within_s:g} s: {self.told}"
            self.turn()
        return found

    @property
    def told(self) -> Told:
        """What people are told."""
        return placements.read(self.store.paths)

    def status(self, job: Job) -> str:
        """Return a job's status, as recorded."""
        return self.store.get(job.id).status.value

    def reason(self, job: Job) -> str | None:
        """Return a job's reason, as recorded."""
        return self.store.get(job.id).reason
