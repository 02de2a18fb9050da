"""Job options as people type them, in a form's field or after `KEY=`, turned into the values that spec checks. Pure."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from typing import Any

from running_jobs.errors import InvalidJob


def read_option(name: str, typed: str) -> Any:
    """Return the value that a text means for an option; an empty text means none. Raise InvalidJob."""
    if name in _READERS:
        return _READERS[name](name, typed) if typed.strip() else _EMPTY.get(name)
    return typed if typed.strip() else None


_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,15}")
_NUMBER = re.compile(r"[+-]?([0-9]{1,15}\.?[0-9]{0,15}|\.[0-9]{1,15})(e[+-]?[0-9]{1,3})?", re.IGNORECASE)


def _number(name: str, typed: str) -> float:
    if not _NUMBER.fullmatch(typed.strip()):  # float() takes 1_0, inf and digits of all the world
        raise InvalidJob(name, f"expected a number, found {typed[:40]!r}")
    return float(typed)


def _whole_number(name: str, typed: str) -> int:
    if not _WHOLE_NUMBER.fullmatch(typed.strip()):
        raise InvalidJob(name, f"expected a whole number, found {typed[:40]!r}")
    return int(typed)


def _environment(name: str, typed: str) -> Any:
    """Read variables a line each, or an object in JSON: that one holds values with line ends too."""
    if typed.lstrip().startswith("{"):
        try:
            return json.loads(typed)
        except (ValueError, RecursionError):
            pass  # lines after all: a name may begin with anything
    found = {}
    for line in typed.splitlines():
        if line.strip():
            variable, equals, content = line.partition("=")
            if not equals or not variable.strip():
                raise InvalidJob(name, f"expected lines of NAME=VALUE, found {line[:40]!r}")
            found[variable.strip()] = content
    return found


def _trimmed(_: str, typed: str) -> str:
    return typed.strip()


def _ids(_: str, typed: str) -> list[str]:
    return [found for found in re.split(r"[\s,]+", typed) if found]


def _callback(name: str, typed: str) -> Any:
    """Read an address to be called, or a callback's JSON."""
    if not typed.lstrip().startswith("{"):
        return {"type": "http", "url": typed.strip()}
    try:
        return json.loads(typed)
    except (ValueError, RecursionError) as error:
        raise InvalidJob(name, f"expected a URL or JSON: {str(error)[:200]}") from None


def _words(name: str, typed: str) -> list[str]:
    """Read arguments as a shell would, or a list in JSON."""
    if typed.lstrip().startswith("["):
        try:
            found = json.loads(typed)
        except (ValueError, RecursionError) as error:
            raise InvalidJob(name, f"is not JSON: {str(error)[:200]}") from None
        return found if isinstance(found, list) else [typed]
    try:
        return shlex.split(typed)
    except ValueError as error:
        raise InvalidJob(name, f"cannot be read as arguments: {error}") from None


_READERS: dict[str, Callable[[str, str], Any]] = {
    "priority": _whole_number,
    "delay": _number,
    "at": _trimmed,
    "retries": _whole_number,
    "retry_delay": _number,
    "timeout": _number,
    "cwd": _trimmed,
    "env": _environment,
    "after": _ids,
    "nice": _whole_number,
    "callback_done": _callback,
    "callback_failed": _callback,
    **dict.fromkeys(("executor", "partition", "account", "qos", "mem", "gpus", "time"), _trimmed),
    "cpus": _whole_number,
    "slurm_args": _words,
}
_EMPTY: dict[str, Any] = {"delay": 0, "after": [], "env": {}}
