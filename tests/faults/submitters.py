"""Those who submit during random kills: `python submitters.py http|python|command FOLDER SEED FIRST LAST`.

Each job has a key for its name, and notes what it does with the time in `<folder>/trace`: its begin (with its parent's
pid, the runner's, and its own), its end, beats.
A key is noted in `<folder>/tried` before it is submitted, with its ids in `<folder>/accepted` once the answer is there;
likewise what is asked of jobs in `asking` and `asked`. So whoever dies in between leaves no claim that nobody made.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROJECT = str(Path(__file__).resolve().parent.parent.parent)
PATIENCE_S = 30.0
# What it was to wait for was deleted; the process that looked at a class was one of those that were killed.
FAIR_REFUSALS = ("does not exist", "ended with exit code -9")
# What begins and ends: a method of a class and a worker do the same.
NOTING = """
import os, sys, time

def note(what):
    with open({trace!r}, "a") as trace:
        trace.write(f"{{time.time():.6f}} {{what}} {{os.environ['JOB_ID']}} {{os.environ['JOB_ATTEMPT']}}\\n")

def run(good_from):
    note(f"begin={{os.getppid()}},{{os.getpid()}}")
    failed = int(os.environ["JOB_ATTEMPT"]) < good_from
    note(f"end={{int(failed)}}")
    return failed
"""
CLASS = "import noting, sys\n\nclass Noted:\n    def run(self, good_from):\n        sys.exit(noting.run(good_from))\n"
WORKER = """import sys
sys.path.insert(0, {folder!r})
import noting
from running_jobs import Worker

class Noting(Worker):
    def run(self):
        if noting.run(self.get_parameter("good_from")):
            raise SystemExit(1)
"""


def lay_classes(folder: Path, workers: Path) -> None:
    """Write the class and the worker that jobs of these kinds run."""
    (folder / "noting.py").write_text(NOTING.format(trace=str(folder / "trace")))
    (folder / "noted.py").write_text(CLASS)
    workers.mkdir(exist_ok=True)
    (workers / "Noting.py").write_text(WORKER.format(folder=str(folder)))


class Mixture:
    """Makes jobs of all kinds by chance. `listener` is the URL that HTTP jobs ask, `mark` the seconds of long sleeps."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        told = json.loads((folder / "place.json").read_text())
        self.folder, self.chance = folder, chance
        self.listener, self.mark = told["listener"], told["mark"]

    def note(self, what: str) -> str:
        """Return the shell's words that note something with the time, without starting a process."""
        return f'echo "$EPOCHREALTIME {what} $JOB_ID $JOB_ATTEMPT" >> {self.folder}/trace'

    def line(self) -> str:
        """Return a shell line (of bash)."""
        begin, chance = self.note("begin=$PPID,$$"), self.chance
        good_from = chance.choice([1, 1, 1, 1, 2, 3, 9])
        end = f"c=$((JOB_ATTEMPT < {good_from} ? 3 : 0)); {self.note('end=$c')}; exit $c"
        beat = f"while :; do {self.note('beat')}; sleep 0.1; done"
        kind = chance.choices(["no-op", "sleep", "long", "stubborn", "daemons", "hidden"], [64, 20, 4, 3, 5, 4])[0]
        return {
            "no-op": f"{begin}; {end}",
            "sleep": f"{begin}; sleep {chance.uniform(0.02, 0.4):.3f}; {end}",
            "long": f"{begin}; exec sleep {self.mark}",
            "stubborn": f"{begin}; trap '' TERM; {beat}",
            "daemons": f"{begin}; setsid bash -c '{beat}' & setsid -f sleep {self.mark}; exec sleep {self.mark}",
            "hidden": f"{begin}; env -i setsid -f sleep {self.mark}; env -i setsid sleep {self.mark} & wait",
        }[kind]

    def options(self, key: str, ids: list[str]) -> dict[str, Any]:
        """Return options of a job; it may wait for some of `ids`."""
        chance = self.chance
        found: dict[str, Any] = {
            "name": key, "retries": chance.choice([0, 0, 1, 2]), "retry_delay": chance.choice([0, 0.1, 0.3]),
            "priority": chance.choice([1, 500, 900]), "context": chance.choices(["default", "narrow", "other"], [4, 1, 3])[0],
            "timeout": round(chance.uniform(0.3, 0.9), 2), "cwd": "/",
        }  # fmt: skip
        if chance.random() < 0.15:
            found["delay"] = round(chance.uniform(0.05, 1), 3)
        if ids and chance.random() < 0.15:
            found["after"] = sorted(set(chance.choices(ids[-20:], k=2)))
        for name in ("callback_done", "callback_failed"):
            if chance.random() < 0.05:
                found[name] = {"type": "exec", "cmd": f'echo "$JOB_ID $JOB_STATUS" >> {self.folder}/called'}
        return found

    def payload(self, key: str, ids: list[str]) -> dict[str, Any]:
        """Return what is posted for a job."""
        good_from = self.chance.choice([1, 1, 2])
        way = self.chance.choice(["work", "work", "status/500", "delay/0.1"])
        asked = f"/{way}/{key}/{self.chance.randrange(10**9)}"
        command = self.chance.choices(
            [
                {"type": "exec", "cmd": self.line()},
                {"type": "http", "url": self.listener + asked},
                {"type": "worker", "name": "Noting", "parameters": {"good_from": good_from}},
                {"type": "method", "class": "noted.Noted", "method": "run", "params": [good_from]},
            ],
            [90, 4, 2, 2],
        )[0]
        longer = {} if command["type"] == "exec" else {"timeout": 20}
        return {"command": command, **self.options(key, ids), **longer}


class Submitter:
    """What all have: the notes, and the jobs known to be accepted."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.chance = random.Random(seed)
        self.mixture = Mixture(folder, self.chance)
        self.ids: list[str] = []

    def note(self, name: str, *words: object) -> None:
        """Add a line to one of the notes."""
        with (self.folder / name).open("a") as notes:
            notes.write(" ".join(map(str, words)) + "\n")

    def accepted(self, key: str, ids: list[str]) -> None:
        """Note an answer."""
        self.note("accepted", key, *ids)
        self.ids += ids

    @contextlib.contextmanager
    def asking(self, verb: str, job_id: str) -> Iterator[None]:
        """Note what is asked of a job, and that it was answered if nothing is raised."""
        self.note("asking", verb, job_id)
        yield
        self.note("asked", verb, job_id, f"{time.time():.6f}")


class ByHttp(Submitter):
    """Submits one or several at once, and meddles: starts, stops, kills, deletes."""

    VERBS = ("stop", "kill", "delete", "start")

    def __init__(self, folder: Path, seed: int) -> None:
        super().__init__(folder, seed)
        self.port = json.loads((folder / "place.json").read_text())["port"]

    def request(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """Return the answer's code and JSON. Raise OSError or HTTPException where none came.

        Where nobody listens, nobody was asked: it is tried again.
        """
        deadline = time.monotonic() + PATIENCE_S
        while True:
            client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
            try:
                client.request(method, path, body, {"Content-Type": "application/json"})
                answer = client.getresponse()
                return answer.status, json.loads(answer.read())
            except ConnectionRefusedError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            finally:
                client.close()

    def submit(self, key: str) -> None:
        """Submit a job or several in one of the ways there are, then maybe meddle."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            self._submit(key)
            if self.ids and self.chance.random() < 0.12:
                self._meddle(self.chance.choice(self.VERBS), self.chance.choice(self.ids[-8:]))

    def _submit(self, key: str) -> None:
        way = self.chance.choices(["one", "several", "record", "held"], [5, 2, 3, 1])[0]
        payload = self.mixture.payload(key, self.ids)
        if way in ("record", "held"):
            code, answer = self.request("POST", "/jobs", json.dumps({**payload, "start": way == "record"}).encode())
            ids = [answer["data"][0]["id"]] if code == 201 else []
        elif way == "one":
            code, answer = self.request("POST", "/jobs/add", json.dumps(payload).encode())
            ids = [answer["job_id"]] if code == 200 else []
        else:
            payloads = [payload, *(self.mixture.payload(key, self.ids) for _ in range(3))]
            code, answer = self.request("POST", "/jobs/add", json.dumps(payloads).encode())
            ids = answer["job_ids"] if code == 200 else []
        if ids:
            self.accepted(key, ids)
        elif not any(text in answer["message"] for text in FAIR_REFUSALS):
            self.note("refused", key, code, answer["message"])

    def _meddle(self, verb: str, job_id: str) -> None:
        method, path = ("DELETE", f"/jobs/{job_id}") if verb == "delete" else ("PUT", f"/jobs/{job_id}/status")
        with contextlib.suppress(ValueError), self.asking(verb, job_id):
            code, _ = self.request(method, path, verb.encode())
            if code != 200:
                raise ValueError(code)


class ByPython(Submitter):
    """Calls run_background_job."""

    def submit(self, key: str) -> None:
        """Queue a method."""
        from running_jobs import run_background_job
        from running_jobs.errors import JobsError

        options = {**self.mixture.options(key, self.ids), "timeout": 20}
        with contextlib.suppress(JobsError):
            self.accepted(key, [run_background_job("noted.Noted", "run", [self.chance.choice([1, 2])], **options)])


class ByCommand(Submitter):
    """Runs app.py as people do, and meddles."""

    def submit(self, key: str) -> None:
        """Queue a shell line."""
        options = self.mixture.options(key, [])
        words = [[f"--{name.replace('_', '-')}", value] for name, value in options.items()]
        texts = [json.dumps(word) if isinstance(word, dict) else str(word) for pair in words for word in pair]
        if told := self.app_py("run", *texts, "--", self.mixture.line()):
            self.accepted(key, [told])
        if self.ids and self.chance.random() < 0.3:
            verb, job_id = self.chance.choice(["stop", "kill", "delete"]), self.chance.choice(self.ids)
            with contextlib.suppress(ValueError), self.asking(verb, job_id):
                if self.app_py(verb, job_id) is None:
                    raise ValueError

    def app_py(self, *words: str) -> str | None:
        """Return what a command printed, or None if it failed or was killed."""
        done = subprocess.run(
            [sys.executable, f"{PROJECT}/app.py", *words], capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        return done.stdout.strip() if done.returncode == 0 else None


def main(kind: str, folder: str, seed: str, first: str, last: str) -> None:
    """Submit jobs with the keys that the numbers mean."""
    submitter = {"http": ByHttp, "python": ByPython, "command": ByCommand}[kind](Path(folder), int(seed))
    for number in range(int(first), int(last)):
        submitter.note("tried", f"{kind}-{number}")
        submitter.submit(f"{kind}-{number}")


if __name__ == "__main__":
    sys.path.insert(0, PROJECT)
    main(*sys.argv[1:])
