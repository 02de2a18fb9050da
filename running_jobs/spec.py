"""What may be asked for: the options of a job, checked one by one. Pure: no paths, no clock, no processes."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from typing import Any

from running_jobs.errors import InvalidJob
from running_jobs.job import IDLE, QUEUED, Job

MAX_PRIORITY = 1_000_000
MAX_TEXT = 100_000
MAX_SECONDS = 1e9

AGAIN = ("command", "name", "context", "priority", "cwd", "env", "nice", "timeout")  # what "again" takes over


def text(field: str, value: object) -> str:
    """Return a text as it is. Raise InvalidJob if it is none, is huge, or holds what no file or command can."""
    if not isinstance(value, str):
        raise InvalidJob(field, f"expected a text, found {_kind(value)}")
    if len(value) > MAX_TEXT:
        raise InvalidJob(field, f"expected at most {MAX_TEXT} characters, found {len(value)}")
    if "\0" in value:
        raise InvalidJob(field, "must not hold a NUL character")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidJob(field, "is not valid UTF-8") from None
    return value


def seconds(field: str, value: object) -> float:
    """Return a number of seconds, 0 or more, fractions allowed. Raise InvalidJob."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidJob(field, f"expected a number of seconds, found {_kind(value)}")
    if not math.isfinite(value) or not 0 <= value <= MAX_SECONDS:
        raise InvalidJob(field, f"expected 0 or more seconds, at most {MAX_SECONDS:.0f}, found {value}")
    return value


def whole_number(low: int, high: int) -> Callable[[str, object], int]:
    """Return a check for whole numbers within bounds."""

    def check(field: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidJob(field, f"expected a whole number, found {_kind(value)}")
        if not low <= value <= high:
            raise InvalidJob(field, f"expected {low} to {high}, found {value}")
        return value

    return check


def directory(field: str, value: object) -> str:
    """Return an absolute path, `~` expanded; whether it exists is for the caller to see. Raise InvalidJob."""
    path = os.path.expanduser(text(field, value))
    if not os.path.isabs(path):
        raise InvalidJob(field, f"expected an absolute path, found {value!r}")
    return path


def environment(field: str, value: object) -> dict[str, str]:
    """Return environment variables as texts by name. Raise InvalidJob."""
    if not isinstance(value, dict):
        raise InvalidJob(field, f"expected names with texts, found {_kind(value)}")
    for name, content in value.items():
        if not name or "=" in text(f"{field} name", name):
            raise InvalidJob(field, f"{name!r} is no name of a variable")
        text(f"{field} {name}", content)
    return dict(value)


def command(field: str, value: object) -> dict[str, Any]:
    """Return a command of a type that this version runs. Raise InvalidJob."""
    if not isinstance(value, dict):
        raise InvalidJob(field, f'expected {{"type": "exec", "cmd": ...}}, found {_kind(value)}')
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
        raise InvalidJob("start", f"expected true or false, found {_kind(start)}")
    checked = check_options({name: value for name, value in options.items() if name != "start"})
    if "command" not in checked:
        raise InvalidJob("command", 'is missing; expected {"type": "exec", "cmd": ...}')
    return Job(id="", status=QUEUED if start else IDLE, **{**defaults, **checked})


def _kind(value: object) -> str:
    kinds = {
        bool: "true or false", dict: "an object", list: "a list", str: "a text",
        int: "a number", float: "a number", type(None): "null",
    }  # fmt: skip
    return kinds.get(type(value), type(value).__name__)
