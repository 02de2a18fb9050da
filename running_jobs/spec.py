"""What may be asked for: the options of a job, checked one by one. Knows no files and no processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from running_jobs import approval, http_spec
from running_jobs.checks import directory, environment, json_value, kind, seconds, text, whole_number
from running_jobs.clocks import read_time
from running_jobs.errors import InvalidJob
from running_jobs.job import IDLE, QUEUED, Job, is_job_id
from running_jobs.parameters import check_object

MAX_PRIORITY = 1_000_000

MAX_RETRIES = 1000  # each attempt is kept in the job's record
MAX_AFTER = 1000
MAX_CALLBACK_S = 3600  # callbacks share what may run of them at once

_TYPES = '"exec", "worker", "method", "http" or "approved"'

# what "again" takes over; not its time or what it waited for: whoever runs it again wants it to run
AGAIN = (
    "command", "name", "context", "priority", "cwd", "env", "nice", "progress_pattern", "timeout", "retries",
    "retry_delay", "callback_done", "callback_failed",
)  # fmt: skip


def command(field: str, value: object) -> dict[str, Any]:
    """Return a command of a type that this version runs. Raise InvalidJob."""
    if not isinstance(value, dict):
        raise InvalidJob(field, f'expected {{"type": "exec", "cmd": ...}}, found {kind(value)}')
    if "type" not in value:
        raise InvalidJob(f"{field}.type", f"is missing; expected {_TYPES}")
    if value["type"] == "exec":
        return _exec(field, value, ())
    if value["type"] == "http":
        return http_spec.check(field, value)
    if value["type"] == "method":
        return _method_call(field, value)
    if value["type"] in ("worker", "approved"):
        return _named(field, value)
    raise InvalidJob(f"{field}.type", f"expected {_TYPES}, found {value['type']!r}"[:200])


def callback(field: str, value: object) -> dict[str, Any]:
    """Return what is to be done after a job's end. Raise InvalidJob."""
    if not isinstance(value, dict):
        raise InvalidJob(field, f'expected {{"type": "http", "url": ...}}, found {kind(value)}')
    if value.get("type") == "exec":
        return _exec(field, value, ("timeout",))
    if value.get("type") == "http":
        return http_spec.check(field, value)
    raise InvalidJob(f"{field}.type", f'expected "http" or "exec", found {value.get("type")!r}')


def _exec(field: str, value: dict[str, Any], more: tuple[str, ...]) -> dict[str, Any]:
    for key in value:
        if key not in ("type", "cmd", *more):
            raise InvalidJob(
                f"{field}.{key}"[:80], f"is not known; an exec command has {', '.join(('type', 'cmd', *more))}"
            )
    if "cmd" not in value:
        raise InvalidJob(f"{field}.cmd", "is missing; expected a shell line")
    if not text(f"{field}.cmd", value["cmd"]).strip():
        raise InvalidJob(f"{field}.cmd", "is empty; expected a shell line")
    if "timeout" in value and not 0 < seconds(f"{field}.timeout", value["timeout"]) <= MAX_CALLBACK_S:
        raise InvalidJob(f"{field}.timeout", f"expected more than 0 and at most {MAX_CALLBACK_S} seconds")
    return dict(value)


def _method_call(field: str, value: dict[str, Any]) -> dict[str, Any]:
    for key in value:
        if key not in ("type", "class", "method", "params"):
            raise InvalidJob(f"{field}.{key}"[:80], "is not known; a method command has type, class, method, params")
    for key in ("class", "method"):
        if key not in value:
            raise InvalidJob(f"{field}.{key}", f"is missing; expected the name of a {key}")
        text(f"{field}.{key}", value[key])
    if not approval.is_class_name(value["class"]):
        raise InvalidJob(f"{field}.class", "expected a dotted name, as module.Class, without leading underscores")
    if not approval.is_method_name(value["method"]):
        raise InvalidJob(f"{field}.method", "expected the name of a method, without a leading underscore")
    return {**value, "params": json_value(f"{field}.params", value.get("params", []))}


def _named(field: str, value: dict[str, Any]) -> dict[str, Any]:
    """Return a command that names what is to run and gives it parameters; which ones it takes is not looked at here."""
    for key in value:
        if key not in ("type", "name", "parameters"):
            raise InvalidJob(f"{field}.{key}"[:80], f"is not known; {value['type']} has type, name, parameters")
    if "name" not in value:
        raise InvalidJob(f"{field}.name", "is missing; expected the name of what is to run")
    text(f"{field}.name", value["name"])
    return {**value, "parameters": check_object(f"{field}.parameters", value.get("parameters"))}


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
    if value != "local":
        raise InvalidJob(field, f'expected "local", found {value!r}'[:200])
    return "local"


OPTIONS: dict[str, Callable[[str, object], Any]] = {
    "command": command,
    "name": text,
    "context": context,
    "priority": whole_number(-MAX_PRIORITY, MAX_PRIORITY),
    "delay": seconds,
    "at": moment,
    "retries": whole_number(0, MAX_RETRIES),
    "retry_delay": seconds,
    "timeout": seconds,
    "cwd": directory,
    "env": environment,
    "after": ids,
    "nice": whole_number(-20, 19),
    "progress_pattern": pattern,
    "callback_done": callback,
    "callback_failed": callback,
    "executor": executor,
}
NULLABLE = ("name", "nice", "progress_pattern", "cwd", "at", "callback_done", "callback_failed")
DEFAULTED = ("retries", "retry_delay", "timeout")  # null leaves them to the settings


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
