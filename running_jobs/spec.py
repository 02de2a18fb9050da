"""What may be asked for: the options of a job, checked one by one. Pure: no paths, no clock, no processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from running_jobs.checks import directory, environment, kind, seconds, text, whole_number
from running_jobs.errors import InvalidJob
from running_jobs.job import IDLE, QUEUED, Job

MAX_PRIORITY = 1_000_000

AGAIN = ("command", "name", "context", "priority", "cwd", "env", "nice", "timeout")  # what "again" takes over


def command(field: str, value: object) -> dict[str, Any]:
    """Return a command of a type that this version runs. Raise InvalidJob."""
    if not isinstance(value, dict):
        raise InvalidJob(field, f'expected {{"type": "exec", "cmd": ...}}, found {kind(value)}')
    if value.get("type") != "exec":
        raise InvalidJob(f"{field}.type", f'expected "exec", found {value.get("type")!r}')
    for key in value:
        if key not in ("type", "cmd"):
            raise InvalidJob(f"{field}.{key}", "is not known; an exec command has type and cmd")
    if "cmd" not in value:
        raise InvalidJob(f"{field}.cmd", "is missing; expected a shell line")
    if not text(f"{field}.cmd", value["cmd"]).strip():
        raise InvalidJob(f"{field}.cmd", "is empty; expected a shell line")
    return {"type": "exec", "cmd": value["cmd"]}


def context(field: str, value: object) -> str:
    """Return the name of a context. Raise InvalidJob."""
    if not text(field, value).strip():
        raise InvalidJob(field, "is empty; leave it out for the default context")
    return str(value)


OPTIONS: dict[str, Callable[[str, object], Any]] = {
    "command": command,
    "name": text,
    "context": context,
    "priority": whole_number(-MAX_PRIORITY, MAX_PRIORITY),
    "timeout": seconds,
    "cwd": directory,
    "env": environment,
    "nice": whole_number(-20, 19),
}
NULLABLE = ("name", "nice", "cwd")


def check_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Check each option; return those given, as a job holds them. Raise InvalidJob naming the first that is wrong."""
    checked = {}
    for name, value in options.items():
        if name not in OPTIONS:
            raise InvalidJob(str(name)[:40], f"is not a job option; known are {', '.join([*OPTIONS, 'start'])}")
        checked[name] = None if value is None and name in NULLABLE else OPTIONS[name](name, value)
    return checked


def new_job(options: Mapping[str, Any], **defaults: Any) -> Job:
    """Make a job, still without an id, from what was submitted: options with `command` and maybe `start`.

    `defaults` stand where an option is not given. Raise InvalidJob.
    """
    start = options.get("start", False)
    if not isinstance(start, bool):
        raise InvalidJob("start", f"expected true or false, found {kind(start)}")
    checked = check_options({name: value for name, value in options.items() if name != "start"})
    if "command" not in checked:
        raise InvalidJob("command", 'is missing; expected {"type": "exec", "cmd": ...}')
    return Job(id="", status=QUEUED if start else IDLE, **{**defaults, **checked})
