"""SIGKILL at random moments to server, dispatcher, runners, commands, callbacks and those who submit, under load:

    python -m tests.faults.random_kills [--jobs N] [--seed S] [--minutes M]

Runs rounds of N jobs until M minutes are over (one round without --minutes), each with the next seed, and says what is
wrong at the end of each; exits 1 if anything was. A seed repeats a round, as far as processes can be repeated.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from running_jobs.actions import Actions
from running_jobs.errors import JobsError
from running_jobs.executors.fork_server import TITLE
from running_jobs.processes import ENGINE_MARK, read_proc
from running_jobs.settings import load_settings
from tests.conftest import PROJECT, Client, Listener, free_port, wait_for

from .checks import complaints
from .submitters import lay_classes

SLOTS, NARROW = 10, 2
SETTINGS = """slots = {slots}
grace_seconds = 0.3
shell = "/bin/bash"
fsync = {fsync}
rotate_bytes = 50000
python = {python}
python_path = [{folder}]
allowed_classes = ["noted.Noted"]
[contexts.narrow]
slots = {narrow}
"""
SHARES = {"http": 0.6, "python": 0.04, "command": 0.03}  # of the submissions; some of several jobs
# A long command is left alone: what it started would be too, if it ended by itself.
VICTIMS = {"dispatcher": 4, "runner": 8, "fork server": 2, "command": 2, "callback": 2, "submitter": 2, "server": 1}
AFTER_ANSWERS = {"server": 40, "submitter": 10}  # since the last: they take long to start again
JOBS = ("runner", "command", "long command", "callback", "callback's command")
MAY_STAY = ("server", "dispatcher", "fork server")
SETTLE_S = 60.0


class Tree:
    """The processes that belong to one folder: all carry it as TMPDIR, which every part of the engine passes on."""

    def __init__(self, folder: Path, mark: str) -> None:
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.environ = {**os.environ, "TMPDIR": str(self.temporary), "JOBS_DATA": str(folder / "data")}
        self._tmpdir = f"TMPDIR={self.temporary}".encode()
        self._data = str(folder / "data").encode()
        self._mark = mark.encode()
        self.killed: set[int] = set()  # by kill_one

    def processes(self) -> Iterator[tuple[int, str]]:
        """Yield the living processes as pid and kind."""
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                words = read_proc(f"/proc/{name}/cmdline").split(b"\0")
                if any(self._mark in word for word in words):
                    yield int(name), "long command"
                elif words != [b""]:  # a zombie has none
                    kind = self._kind(words, read_proc(f"/proc/{name}/environ").split(b"\0"))
                    if kind:
                        yield int(name), kind

    def _kind(self, words: list[bytes], variables: list[bytes]) -> str | None:
        if self._tmpdir not in variables:
            return None
        if f"{ENGINE_MARK}=1".encode() in variables:
            if b"callback" in words:
                return "callback"
            if words[0] == TITLE.encode():
                return "fork server"
            return "dispatcher" if words[-2:-1] == [self._data] else "runner"
        if any(variable.startswith(b"JOB_ID=") for variable in variables):
            is_jobs = any(variable.startswith(b"JOB_FILES=") for variable in variables)
            return "command" if is_jobs else "callback's command"
        return "server" if b"serve" in words else "submitter"

    def of_kind(self, *kinds: str) -> list[int]:
        """Return the pids of the living processes of some kinds."""
        return [pid for pid, kind in self.processes() if kind in kinds]

    def kill_one(self, kind: str, chance: random.Random) -> bool:
        """SIGKILL one of a kind. Return whether there was any."""
        pids = self.of_kind(kind)
        if not pids:
            return False
        pid = chance.choice(pids)
        self.killed.add(pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return True

    def end(self) -> None:
        """End all there are, again and again until there are none."""

        def is_gone() -> bool:
            found = [pid for pid, _ in self.processes()]
            for pid in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not found

        wait_for(is_gone, lambda: f"the end of {list(self.processes())}", 30)


class Round:
    """One folder with its server, submitters and kills. `failed` says what is wrong at the end."""

    def __init__(self, folder: Path, jobs: int, seed: int) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.seed = seed
        self.chance = random.Random(seed)
        self.mark = f"9{os.getpid():07d}{seed % 1000:03d}"
        self.listener = Listener()
        self.port = free_port()
        self.killed: Counter[str] = Counter()
        self._write_files()
        self.tree = Tree(folder, self.mark)
        self.actions = Actions(load_settings(str(self.data), {}))
        self.store = self.actions.store
        self.left = {kind: range(max(1, round(jobs * share))) for kind, share in SHARES.items()}
        self.server: subprocess.Popen[bytes] | None = None
        self.submitters: dict[str, subprocess.Popen[bytes]] = {}

    def _write_files(self) -> None:
        self.data.mkdir(mode=0o700)
        words = {"slots": SLOTS, "narrow": NARROW, "fsync": self.chance.choice(["true", "false"])}
        paths = {"python": json.dumps(sys.executable), "folder": json.dumps(str(self.folder))}
        (self.data / "config.toml").write_text(SETTINGS.format(**words, **paths))
        place = {"listener": self.listener.url, "port": self.port, "mark": self.mark}
        (self.folder / "place.json").write_text(json.dumps(place))
        lay_classes(self.folder, self.data / "workers")
        for name in ("trace", "called", "tried", "accepted", "asking", "asked", "refused"):
            (self.folder / name).touch()

    def run(self) -> list[str]:
        """Submit and kill until all are submitted, wait until all are settled, and return what is wrong."""
        try:
            killed_at: Counter[str] = Counter()
            while self._keep_alive():
                kind = self._choose_kind()
                answers = self._count("accepted", "")
                is_due = answers - killed_at[kind] >= AFTER_ANSWERS.get(kind, 0)
                if is_due and self.tree.kill_one(kind, self.chance):
                    self.killed[kind] += 1
                    killed_at[kind] = answers
                time.sleep(self.chance.uniform(0, 0.12))
            return self._settle()
        finally:
            self.tree.end()
            for process in (*self.submitters.values(), *filter(None, [self.server])):
                process.wait()
            self.listener.close()

    def _choose_kind(self) -> str:
        """Choose whom to kill; now and then a kind of which none was killed yet."""
        spared = [kind for kind in VICTIMS if not self.killed[kind]]
        if spared and self.chance.random() < 0.4:
            return self.chance.choice(spared)
        return self.chance.choices(list(VICTIMS), list(VICTIMS.values()))[0]

    def _keep_alive(self) -> bool:
        """Start the server and submitters that are dead. Return whether there is something left to submit."""
        if self.server is None or self.server.poll() is not None:
            words = [f"{PROJECT}/app.py", "serve", "--port", str(self.port)]
            self.server = self._start("server.log", words)
        for kind, numbers in self.left.items():
            process = self.submitters.get(kind)
            if process is not None and process.poll() is None:
                continue
            if process is not None and process.returncode == 0:
                self.left[kind] = range(0)
            elif process is None or process.returncode == -signal.SIGKILL:
                first = self._count("tried", f"{kind}-")
                words = [kind, str(self.folder), str(self.chance.random())[2:], str(first), str(numbers.stop)]
                self.submitters[kind] = self._start(f"{kind}.log", [f"{PROJECT}/tests/faults/submitters.py", *words])
            else:
                raise AssertionError(f"{kind} failed: {(self.folder / f'{kind}.log').read_text()}")
        return any(self.left.values())

    def _count(self, name: str, begin: str) -> int:
        return sum(line.startswith(begin) for line in (self.folder / name).read_text().splitlines())

    def _start(self, log: str, words: list[str]) -> subprocess.Popen[bytes]:
        with (self.folder / log).open("ab") as output:
            return subprocess.Popen(
                [sys.executable, *words], stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=self.tree.environ
            )

    def _settle(self) -> list[str]:
        """Wait for the ends that the server and the dispatcher must bring about alone; then end these two and look."""

        def is_settled() -> bool:
            time.sleep(0.05)  # a look at all processes is dear
            self._keep_alive()
            for job_id in self.store.open_ids():
                with contextlib.suppress(JobsError):
                    if self.store.get(job_id).status == "idle":
                        self._end_idle(job_id)
            is_idle = not self.store.open_ids() and not self.tree.of_kind("submitter", *JOBS)
            return is_idle and len(self.tree.of_kind("fork server")) <= 1  # what it forks looks like it at first

        def what() -> str:
            jobs = [self.store.get(job_id).to_dict() for job_id in self.store.open_ids()[:5]]
            return f"the end of {jobs} and {list(self.tree.processes())}, seed {self.seed}"

        wait_for(is_settled, what, SETTLE_S)
        wrong = [f"still there: {kind} {pid}" for pid, kind in self.tree.processes() if kind not in MAY_STAY]
        self.tree.end()
        return wrong + complaints(self)

    def _end_idle(self, job_id: str) -> None:
        with (self.folder / "asking").open("a") as notes:
            notes.write(f"stop {job_id}\n")
        with contextlib.suppress(OSError):  # the server was killed: the next look asks again
            Client(f"http://127.0.0.1:{self.port}").put(f"/jobs/{job_id}/status", "stop")


def main() -> int:
    """Run rounds as the arguments say."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=2000, help="how many jobs a round has (default 2000)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="the first round's seed")
    parser.add_argument("--minutes", type=float, default=0, help="go on with further rounds for so long")
    arguments = parser.parse_args()
    until = time.monotonic() + arguments.minutes * 60
    seed, failed = arguments.seed, 0
    while seed == arguments.seed or time.monotonic() < until:
        folder = Path(tempfile.mkdtemp(prefix="random-kills-"))
        started = time.monotonic()
        one = Round(folder, arguments.jobs, seed)
        wrong = one.run()
        took_s = time.monotonic() - started
        print(f"seed {seed}: {len(wrong)} wrong; killed {dict(one.killed)} in {took_s:.0f} s", flush=True)
        print("".join(f"  {line}\n" for line in wrong), end="")
        if wrong:
            failed += 1
            print(f"  kept in {folder}")
        else:
            shutil.rmtree(folder)
        seed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
