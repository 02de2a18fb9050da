"""What a job's command is executed as: arguments, directory, environment, and the marks its processes carry."""

from __future__ import annotations

import os

from running_jobs.child import CommandLine
from running_jobs.job import Job
from running_jobs.paths import JobPaths
from running_jobs.processes import ENGINE_MARK
from running_jobs.settings import Settings

# Read once, before the forks: the dispatcher's, which is clean.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != ENGINE_MARK}


def marks_of(paths: JobPaths, job_id: str) -> dict[str, str]:
    """Return the variables by which a job's processes are known: its id, together with this data directory."""
    return {"JOB_ID": job_id, "JOB_FILES": paths.results(job_id)}


def command_line(job: Job, paths: JobPaths, settings: Settings) -> CommandLine:
    """Say what to execute for a job. Raise KeyError for a type that this version cannot run."""
    argv = {"exec": lambda: [settings.shell, "-c", job.command["cmd"]]}[job.command["type"]]()
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
    )
