"""What a job's command is executed as: arguments, directory, environment, and the marks its processes carry."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from typing import Any

from running_jobs.child import CommandLine
from running_jobs.engine import COMMANDS, PACKAGE, PYTHON
from running_jobs.job import Job
from running_jobs.paths import JobPaths
from running_jobs.processes import ENGINE_MARK
from running_jobs.settings import Settings

# Read once, before the forks: the dispatcher's, which is clean.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != ENGINE_MARK}


def marks_of(paths: JobPaths, job_id: str) -> dict[str, str]:
    """Return the variables by which a job's processes are known: its id, together with this data directory."""
    return {"JOB_ID": job_id, "JOB_FILES": paths.results(job_id)}


def logs_of(paths: JobPaths, job_id: str) -> set[tuple[int, int]]:
    """Return a job's logs as device and inode: whatever writes into them is the job's."""
    found = set()
    for path in (paths.out(job_id), paths.err(job_id)):
        with contextlib.suppress(OSError):
            status = os.stat(path, follow_symlinks=False)
            found.add((status.st_dev, status.st_ino))
    return found


def command_line(job: Job, paths: JobPaths, settings: Settings) -> CommandLine:
    """Say what to execute for a job. Raise KeyError for a type that this version cannot run."""
    argv, stdin = _KINDS[job.command["type"]](job.command, settings)
    environ = {**ENVIRONMENT, "PYTHONUNBUFFERED": "1", **job.env, **marks_of(paths, job.id)}
    environ["JOB_ATTEMPT"] = str(job.attempt)
    environ.pop(ENGINE_MARK, None)
    return CommandLine(
        argv=argv,
        cwd=job.cwd or ENVIRONMENT.get("HOME") or "/",
        environ=environ,
        nice=settings.nice if job.nice is None else job.nice,
        out=paths.out(job.id),
        err=paths.err(job.id),
        stdin=stdin,
    )


def _exec(command: dict[str, Any], settings: Settings) -> tuple[list[str], bytes]:
    return [settings.shell, "-c", command["cmd"]], b""


def _http(command: dict[str, Any], settings: Settings) -> tuple[list[str], bytes]:
    # on stdin, since everybody may read a command line
    return [*PYTHON, f"{PACKAGE}/{COMMANDS}", "http", "-"], json.dumps(command).encode()


def _method(command: dict[str, Any], settings: Settings) -> tuple[list[str], bytes]:
    # it reads the settings' file anew; what came from the environment of whoever started us stands in no file
    keys = ("python", "python_path", "allowed_classes")
    overrides = {key: getattr(settings, key) for key in keys if key in settings.overridden}
    return [*PYTHON, f"{PACKAGE}/{COMMANDS}", "method", "-"], json.dumps({**command, "overrides": overrides}).encode()


_KINDS: dict[str, Callable[[dict[str, Any], Settings], tuple[list[str], bytes]]] = {
    "exec": _exec,
    "http": _http,
    "method": _method,
}
