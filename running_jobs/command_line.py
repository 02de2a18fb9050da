"""What a job's command is executed as: arguments, directory, environment, and the marks its processes carry."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from typing import Any

from running_jobs.child import CommandLine
from running_jobs.engine import COMMANDS, PACKAGE, PYTHON
from running_jobs.errors import NotAllowed
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
    """Say what to execute for a job.

    Raise KeyError for a type that this version cannot run, NotAllowed for what was accepted before the settings let
    only approved commands run.
    """
    if settings.allowed_commands and (job.command["type"] == "exec" or job.env):
        what = "shell lines" if job.command["type"] == "exec" else "env"
        raise NotAllowed(f"only approved commands run here (allowed_commands is set), no {what}")
    argv, stdin = _KINDS[str(job.command["type"])](job, paths, settings)
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


def worker_command(name: str, parameters: dict[str, Any], code: str, settings: Settings) -> tuple[list[str], bytes]:
    """Say what to execute for a worker whose code is in the file `code`, and what is on its standard input."""
    task = {
        "name": name,
        "parameters": parameters,
        "path": code,
        "python_path": settings.python_path,
        "workers": JobPaths(settings.data).workers,
    }
    return [settings.python or PYTHON[0], f"{PACKAGE}/{COMMANDS}", "worker", "-"], json.dumps(task).encode()


def _exec(job: Job, paths: JobPaths, settings: Settings) -> tuple[list[str], bytes]:
    return [settings.shell, "-c", job.command["cmd"]], b""


def _http(job: Job, paths: JobPaths, settings: Settings) -> tuple[list[str], bytes]:
    # on stdin, since everybody may read a command line
    return [*PYTHON, f"{PACKAGE}/{COMMANDS}", "http", "-"], json.dumps(job.command).encode()


def _worker(job: Job, paths: JobPaths, settings: Settings) -> tuple[list[str], bytes]:
    return worker_command(job.command["name"], job.command.get("parameters") or {}, paths.code(job.id), settings)


def _method(job: Job, paths: JobPaths, settings: Settings) -> tuple[list[str], bytes]:
    return _checked_again("method", job, settings, "python", "python_path", "allowed_classes")


def _approved(job: Job, paths: JobPaths, settings: Settings) -> tuple[list[str], bytes]:
    return _checked_again("approved", job, settings, "shell")


def _checked_again(program: str, job: Job, settings: Settings, *keys: str) -> tuple[list[str], bytes]:
    # it reads the settings' file anew; what came from the environment of whoever started us stands in no file
    overrides = {key: getattr(settings, key) for key in keys if key in settings.overridden}
    request = {**job.command, "overrides": overrides}
    return [*PYTHON, f"{PACKAGE}/{COMMANDS}", program, "-"], json.dumps(request).encode()


_KINDS: dict[str, Callable[[Job, JobPaths, Settings], tuple[list[str], bytes]]] = {
    "exec": _exec,
    "http": _http,
    "worker": _worker,
    "method": _method,
    "approved": _approved,
}
