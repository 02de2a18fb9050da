"""What may be asked for: the options of a job, checked one by one. Knows no files and no processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from running_jobs import approval, http_spec, slurm_options
from running_jobs.checks import WholeNumber, directory, environment, json_value, kind, seconds, text
from running_jobs.clocks import read_time
from running_jobs.errors import InvalidJob
from running_jobs.job import IDLE, QUEUED, SLURM, Job, is_job_id
from running_jobs.parameters import check_object

MAX_PRIORITY = 1_000_000

MAX_RETRIES = 1000  # each attempt is kept in the job's record
MAX_AFTER = 1000
MAX_CALLBACK_S = 3600  # callbacks share what may run of them at once

_TYPES = '"exec", "worker", "method", "http" or "approved"'

# what "again" takes over; not its time or what it waited for: whoever runs it again wants it to run
AGAIN = (
    "command", "name", "context", "priority", "cwd", "env", "nice", "progress_pattern", "timeout", "retries",
    "retry_delay", "callback_done", "callback_failed", "executor", *slurm_options.CHECKS,
)  # fmt: skip


def command(field: str, value: object) -> dict[str, Any]:
    """Return a command of a type that this version runs. Raise InvalidJob."""
    if not isinstance(value, dict):
        raise InvalidJob(field, f'expected {{"type": "exec", "cmd": ...}}, found {kind(value)}')
    if "type" not in value:
        raise InvalidJob(f"{field}.type", f"is missing; expected {_TYPES}")
    if not isinstance(value["type"], str) or value["type"] not in COMMANDS:
        raise InvalidJob(f"{field}.type", f"expected {_TYPES}, found {value['type']!r}"[:200])
    return _checked(field, value, COMMANDS)


def callback(field: str, value: object) -> dict[str, Any]:
    """Return what is to be done after a job's end. Raise InvalidJob."""
    if not isinstance(value, dict):
        raise InvalidJob(field, f'expected {{"type": "http", "url": ...}}, found {kind(value)}')
    if not isinstance(value.get("type"), str) or value["type"] not in CALLBACKS:
        raise InvalidJob(f"{field}.type", f'expected "http" or "exec", found {value.get("type")!r}'[:200])
    return _checked(field, value, CALLBACKS)


def _checked(field: str, value: dict[str, Any], kinds: Mapping[str, Mapping[str, Check]]) -> dict[str, Any]:
    if value["type"] == "http":
        return http_spec.check(field, value)
    checks = kinds[value["type"]]
    for key in value:
        if key != "type" and key not in checks:
            known = ", ".join(("type", *checks))
            raise InvalidJob(f"{field}.{key}"[:80], f"is not known; the type {value['type']} has {known}")
    for key in checks:
        if key in REQUIRED and key not in value:
            raise InvalidJob(f"{field}.{key}", f"is missing; expected {REQUIRED[key]}")
    given = {**value, **{key: _EMPTY[key]() for key in checks if key in _EMPTY and key not in value}}
    return {key: item if key == "type" else checks[key](f"{field}.{key}", item) for key, item in given.items()}


def shell_line(field: str, value: object) -> str:
    """Return a line for the shell. Raise InvalidJob."""
    if not text(field, value).strip():
        raise InvalidJob(field, "is empty; expected a shell line")
    return str(value)


def callback_timeout(field: str, value: object) -> float:
    """Return how many seconds a callback may take. Raise InvalidJob."""
    if not 0 < seconds(field, value) <= MAX_CALLBACK_S:
        raise InvalidJob(field, f"expected more than 0 and at most {MAX_CALLBACK_S} seconds")
    return seconds(field, value)


def class_name(field: str, value: object) -> str:
    """Return what has the form of a class's name. Raise InvalidJob."""
    if not approval.is_class_name(text(field, value)):
        raise InvalidJob(field, "expected a dotted name, as module.Class, without leading underscores")
    return str(value)


def method_name(field: str, value: object) -> str:
    """Return what has the form of a method's name. Raise InvalidJob."""
    if not approval.is_method_name(text(field, value)):
        raise InvalidJob(field, "expected the name of a method, without a leading underscore")
    return str(value)


Check = Callable[[str, Any], Any]

# what commands and callbacks have beside their type, by type
COMMANDS: dict[str, Mapping[str, Check]] = {
    "exec": {"cmd": shell_line},
    "worker": {"name": text, "parameters": check_object},
    "method": {"class": class_name, "method": method_name, "params": json_value},
    "http": http_spec.CHECKS,
    "approved": {"name": text, "parameters": check_object},
}
CALLBACKS: dict[str, Mapping[str, Check]] = {
    "exec": {"cmd": shell_line, "timeout": callback_timeout},
    "http": http_spec.CHECKS,
}
REQUIRED = {
    "cmd": "a shell line",
    "name": "the name of what is to run",
    "class": "the name of a class",
    "method": "the name of a method",
}
_EMPTY: dict[str, Callable[[], Any]] = {"params": list, "parameters": dict}


def context(field: str, value: object) -> str:
    """Return the name of a context. Raise InvalidJob."""
    if not text(field, value).strip():
        raise InvalidJob(field, "is empty; leave it out for the default context")
    return str(value)


def moment(field: str, value: object) -> str:
    """Return a moment given in ISO 8601 as jobs keep it. Raise InvalidJob."""
    return read_time(field, text(field, value))


def ids(field: str, value: object) -> list[str]:
    """Return ids of jobs, each once; whether they exist is for the caller to see. Raise InvalidJob."""
    if not isinstance(value, list):
        raise InvalidJob(field, f"expected a list of ids, found {kind(value)}")
    if len(value) > MAX_AFTER:
        raise InvalidJob(field, f"expected at most {MAX_AFTER} ids, found {len(value)}")
    for item in value:
        if not is_job_id(text(field, item)):
            raise InvalidJob(field, f"{item[:40]!r} is no id of a job")
    return list(dict.fromkeys(value))


def pattern(field: str, value: object) -> str:
    """Return the pattern by which a job's output says how far it is. Raise InvalidJob."""
    from running_jobs import progress_pattern  # rarely given, and dear

    progress_pattern.check(field, text(field, value))
    return str(value)


def executor(field: str, value: object) -> str:
    """Return who runs the job. Raise InvalidJob."""
    if value not in EXECUTORS:
        raise InvalidJob(field, f'expected "local" or "slurm", found {value!r}'[:200])
    return str(value)


EXECUTORS = ("local", SLURM)


OPTIONS: dict[str, Callable[[str, object], Any]] = {
    "command": command,
    "name": text,
    "context": context,
    "priority": WholeNumber(-MAX_PRIORITY, MAX_PRIORITY),
    "delay": seconds,
    "at": moment,
    "retries": WholeNumber(0, MAX_RETRIES),
    "retry_delay": seconds,
    "timeout": seconds,
    "cwd": directory,
    "env": environment,
    "after": ids,
    "nice": WholeNumber(-20, 19),
    "progress_pattern": pattern,
    "callback_done": callback,
    "callback_failed": callback,
    "executor": executor,
    **slurm_options.CHECKS,
}
NULLABLE = (
    "name", "nice", "progress_pattern", "cwd", "at", "callback_done", "callback_failed", *slurm_options.CHECKS,
)  # fmt: skip
DEFAULTED = ("retries", "retry_delay", "timeout", "executor")  # null leaves them to the settings


def check_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Check each option; return those given, as fields of a job. Raise InvalidJob naming the first that is wrong.

    Of `delay` and `at` one may be given: the first is counted from when the job is queued, the second is `not_before`.
    """
    checked = {}
    for name, value in options.items():
        if name not in OPTIONS:
            raise InvalidJob(str(name)[:40], f"is not a job option; known are {', '.join([*OPTIONS, 'start'])}")
        if value is None and name in DEFAULTED:
            continue
        checked[name] = None if value is None and name in NULLABLE else OPTIONS[name](name, value)
    if "at" in checked:
        at = checked.pop("at")
        if at is not None and checked.get("delay"):
            raise InvalidJob("delay", "cannot be given together with at; leave one out")
        checked.update({"not_before": at, "timer": None}, delay=checked.get("delay", 0))
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
