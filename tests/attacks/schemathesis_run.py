"""Attacks a real server with requests that schemathesis makes from `/openapi.json`: odd ones, wrong ones, many.

    python -m tests.attacks.schemathesis_run [--seed N] [--examples N] [--user] [--only REGEX]

starts a server of its own on an empty data directory, prints the seed and every failure with the request as a curl
command, and ends with 1 if there was one. `--seed` makes the same requests again.

What the requests ask for can do no harm: the shell of that server is a script that does nothing, no class is approved,
a URL that a job or callback would request becomes one where nobody listens, and whatever is to be stored as a worker's
code, which is imported to be looked at, is replaced by code that does nothing.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import schemathesis
from hypothesis.configuration import set_hypothesis_home_dir
from requests.adapters import HTTPAdapter
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, from_schema
from schemathesis.engine.events import FatalError, NonFatalError, ScenarioFinished
from werkzeug.security import generate_password_hash

from running_jobs import http_spec
from running_jobs.errors import InvalidJob

from ..conftest import Server, end_everything, wait_for
from .house import CHEAP

USER, PASSWORD = "alice", "correct horse"
LARGE = 150
LONG = 20  # examples: from here on what takes long is done as well
NOWHERE = "http://127.0.0.1:9/"
CODE = 'from running_jobs import Worker\n\n\nclass Mine(Worker):\n    """Does nothing."""\n'
CONFIG = 'slots = 2\ngrace_seconds = 1\nfsync = false\nshell = "{shell}"\n'

MANY_FIELDS = ("/jobs/add", "/launch", "/saved")  # each tried alone: in long runs
OF_METHODS = ("unsupported_method", "allow_header_conformance")
OF_OTHERS_TOO = (
    "/jobs/add",
    "/jobs/status",
    "/workers/save",
)  # also /jobs/ID and /workers/NAME: other methods go there


class Harmless:
    """Changes requests, before they are sent, so that nothing they ask for does harm; and has them meet real jobs."""

    def __init__(self, token: str, job_ids: list[str], seed: int) -> None:
        self._token = token
        self._job_ids = job_ids
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    def change(self, case: Any) -> None:
        """Change a case of schemathesis' in place."""
        if isinstance(case.body, (dict, list)):
            case.body = without_addresses(case.body)
        if isinstance(case.body, dict) and isinstance(case.body.get("token"), str):
            case.body["token"] = self._token
        path = case.path_parameters
        is_chosen = case.meta is not None and case.meta.phase.name.value == "stateful"  # as one that was made before
        if path and is_id(path.get("job_id")) and not is_chosen:
            with self._lock:
                if self._random.random() < 0.7:
                    path["job_id"] = self._random.choice(self._job_ids)


def guard_workers() -> None:
    """Have whatever is about to be sent as a worker's code, by whichever route, replaced by code that does nothing."""
    really_send = HTTPAdapter.send

    def send(self: HTTPAdapter, request: Any, *args: Any, **more: Any) -> Any:
        path = unquote(urlsplit(request.url).path).lstrip("/")
        if path.startswith("workers/") and request.method not in ("GET", "HEAD", "OPTIONS", "DELETE") and request.body:
            request.body = with_harmless_code(request.headers.get("Content-Type", ""), request.method, request.body)
            request.headers["Content-Length"] = str(len(request.body))
        return really_send(self, request, *args, **more)

    HTTPAdapter.send = send  # type: ignore[method-assign]


def with_harmless_code(kind: str, method: str, body: Any) -> bytes:
    """Return the body to send in place of one that may hold code."""
    if method != "POST" or not kind.startswith("application/x-www-form-urlencoded"):
        return CODE.encode()
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
    fields = parse_qsl(text, keep_blank_values=True)
    return urlencode([(name, CODE if name == "code" else value) for name, value in fields]).encode()


def is_id(text: Any) -> bool:
    return isinstance(text, str) and text.replace("-", "").isalnum() and 8 <= len(text) <= 40


def without_addresses(value: Any) -> Any:
    """Return a body in which each address that would be asked leads nowhere; what is none stays as wrong as it was."""
    if isinstance(value, dict):
        return {name: without_addresses(item) for name, item in value.items()}
    if isinstance(value, list):
        return [without_addresses(item) for item in value]
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("{"):  # a callback in a form's field
        try:
            return json.dumps(without_addresses(json.loads(value)))
        except (ValueError, RecursionError):
            return value
    try:
        http_spec.target("url", value.strip())
    except (InvalidJob, ValueError):
        return value
    return NOWHERE


def settings_of(seed: int, examples: int, user: bool) -> SchemathesisConfig:
    """Return how schemathesis is to go about it."""
    is_long = examples >= LONG
    phases = {"stateful": {"enabled": is_long}, "coverage": {"enabled": is_long or not user}}
    generation = {"max-examples": examples, "no-shrink": True, "database": "none", "with-security-parameters": False}
    slow = [{"include-path": path, "phases": {"coverage": {"enabled": is_long}}} for path in MANY_FIELDS]
    checks = {"positive_data_acceptance": {"enabled": False}}  # whether a directory exists is not in a schema
    auth = {"auth": {"basic": {"username": USER, "password": PASSWORD}}} if user else {}
    return SchemathesisConfig.from_dict(
        {
            "seed": seed,
            "continue-on-failure": True,
            "phases": phases,
            "generation": generation,
            "checks": checks,
            "suppress-health-check": ["all"],
            "workers": 1,
            "operations": slow,
            **auth,
        }
    )


def attack(server: Server, seed: int, examples: int, user: bool, only: str | None = None) -> Iterator[str]:
    """Attack a server; yield what is wrong, each kind of failure of an operation once."""
    auth = f"{USER}:{PASSWORD}" if user else None
    job_ids = some_jobs(server, auth)
    guard_workers()
    harmless = Harmless(server.token(auth=auth), job_ids, seed)

    @schemathesis.hook
    def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
        harmless.change(case)

    @schemathesis.hook
    def before_load_schema(context: Any, schema: Any) -> None:
        drop_large_bounds(schema)
        for path in [path for path in schema["paths"] if only and not re.search(only, path)]:
            del schema["paths"][path]

    more = {"auth": (USER, PASSWORD)} if user else {}
    config = settings_of(seed, examples, user)
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json", config=config, **more)
    told, requests = set(), Counter()
    for event in from_schema(schema).execute():
        if isinstance(event, (NonFatalError, FatalError)):
            yield f"{type(event).__name__}: {event!r} {getattr(event, 'value', getattr(event, 'exception', ''))!r}"
        if not isinstance(event, ScenarioFinished):
            continue
        requests[str(event.phase)] += len(event.recorder.cases)
        for nodes in event.recorder.checks.values():
            for node in nodes:
                if node.status is Status.FAILURE and not is_meant(event.recorder.label, node):
                    failure = node.failure_info.failure
                    key = (event.recorder.label, node.name, failure.title, failure.message[:100])
                    if key not in told:
                        told.add(key)
                        yield f"{event.recorder.label}: {node.name}: {failure.title}\n{failure.message}\n{node.failure_info.code_sample}"
    print(f"{sum(requests.values())} requests: {dict(requests)}", flush=True)


def is_meant(label: str, node: Any) -> bool:
    """Say whether it is no fault: a path that stands for two things, or a wrong password after many others."""
    if node.name in OF_METHODS:
        return label.split()[-1] in OF_OTHERS_TOO
    return node.name == "ignored_auth" and "got `429 " in node.failure_info.failure.message


def drop_large_bounds(schema: Any) -> None:
    """Take bounds out of a schema that take minutes to be tried: test_openapi.py tries those."""
    if isinstance(schema, dict):
        for name in ("maxLength", "maxItems"):
            if isinstance(schema.get(name), int) and schema[name] > LARGE:
                del schema[name]
    for item in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        drop_large_bounds(item)


def some_jobs(server: Server, auth: str | None) -> list[str]:
    """Make jobs in some states, and return their ids."""

    def add(**options: Any) -> str:
        answer = server.post("/jobs", {"command": {"type": "exec", "cmd": "echo"}, **options}, auth=auth)
        return str(answer.json["data"][0]["id"])

    ended = add(start=True)
    wait_for(lambda: server.get(f"/jobs/{ended}", auth=auth).json["data"][0]["status"] == "done")
    return [ended, add(), add(start=True, delay=1e6), add(name="n" * 200)]


def main() -> int:
    """Run an attack as the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.attacks.schemathesis_run", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--examples", type=int, default=100, help="random requests of an operation, at most")
    parser.add_argument("--user", action="store_true", help="with a user set")
    parser.add_argument("--only", help="only paths that this regular expression fits")
    parser.add_argument("--remember", help="a folder for the table of characters, which takes two seconds to be made")
    asked = parser.parse_args()
    print(f"seed {asked.seed}", flush=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        set_hypothesis_home_dir(asked.remember or folder)
        data = Path(folder, "data")
        data.mkdir()
        shell = Path(folder, "shell")
        shell.write_text("#!/bin/sh\nexit 0\n")
        shell.chmod(0o700)
        hashed = generate_password_hash(PASSWORD, CHEAP)  # wrong passwords are tried with every operation
        guard = f'user = "{USER}"\npassword = "{hashed}"\n' if asked.user else ""
        (data / "config.toml").write_text(CONFIG.format(shell=shell) + guard)
        server = Server(data)
        try:
            problems = 0
            for problem in attack(server, asked.seed, asked.examples, asked.user, asked.only):
                problems += 1
                print(f"\n{problem}", flush=True)
            said = server.log.read_text()
            if "Traceback" in said:
                problems += 1
                print(f"\nThe server's log:\n{said[-5000:]}")
        finally:
            server.kill()
            end_everything(data)
    print(f"{problems} problems, seed {asked.seed}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
