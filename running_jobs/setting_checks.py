"""Checks of single settings, as the file and the environment hold them. Knows no files and no jobs.

Each returns the value as Settings has it, or raises Problem with what was expected instead.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any


class Problem(Exception):
    """What was expected instead."""


def _whole(low: int, high: int = 1 << 62) -> Callable[[Any], int]:
    bounds = f"a whole number from {low} to {high}" if high < 1 << 62 else f"a whole number, at least {low}"

    def check(value: Any) -> int:
        if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,18}", value.strip()):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise Problem(bounds)
        return value

    return check


def _seconds(value: Any) -> float:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            value = None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e10:
        raise Problem("a number, 0 or more")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise Problem("a text")
    return value


def _filled(value: Any) -> str:
    if not _text(value).strip():
        raise Problem("a text that is not empty")
    return str(value)


def _user(value: Any) -> str:
    if re.search(r"[:\x00-\x1f\x7f-\x9f\ud800-\udfff]", _filled(value)):
        raise Problem("a user's name without a colon or control characters (basic auth cannot carry them)")
    return str(value)


def _program(value: Any) -> str:
    if not os.path.isabs(_text(value)) or not os.access(value, os.X_OK):
        raise Problem("the absolute path of a program that can be run")
    return str(value)


def _folders(value: Any) -> list[str]:
    if not all(os.path.isabs(path) for path in _texts(value)):
        raise Problem("absolute paths")
    return _texts(value)


def _passed_names(value: Any) -> list[str]:
    if any(name.startswith(("JOB_", "JOBS_")) for name in _texts(value)):
        raise Problem("names of variables that are not ours: JOB_... are the job's own, JOBS_... may be secrets")
    return _texts(value)


def _classes(value: Any) -> list[str]:
    if any(part == "*" for name in _texts(value) for part in name.split(".")):  # it would approve nothing
        raise Problem('whole names, "package.module.Class" or "package.module.Class.method", without "*"')
    return _texts(value)


def _yes_or_no(value: Any) -> bool:
    if isinstance(value, str) and value.strip().lower() in ("true", "false", "1", "0", "yes", "no"):
        return value.strip().lower() in ("true", "1", "yes")
    if not isinstance(value, bool):
        raise Problem("true or false")
    return value


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        value = parse_toml(f"list = {value}").get("list")
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise Problem('a list of texts, ["like", "this"]')
    return list(value)


def _tables(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(item, dict) for item in value.values()):
        raise Problem("a table of tables, as [table.NAME]")
    return value


def _commands(value: Any) -> dict[str, Any]:
    from running_jobs.approved_commands import read_command  # only where some are approved

    if value == {}:  # it is easily read as "none is approved", and would let every shell line pass
        raise Problem("at least one [allowed_commands.NAME], or no such table at all")
    for name, entry in _tables(value).items():
        try:
            read_command(name, entry)
        except ValueError as error:
            raise Problem(str(error)) from None
    return dict(value)


def _users(value: Any) -> dict[str, Any]:
    if value == {}:  # it is easily read as "nobody may come in", and would let everybody in
        raise Problem("at least one [users.NAME], or no such table at all")
    for name, entry in _tables(value).items():
        _user(name)
        if set(entry) - {"hash", "role"} or not isinstance(entry.get("hash"), str) or not entry["hash"]:
            raise Problem(f"[users.{name}] needs hash (made by `app.py password`) and may have role, nothing else")
        if not looks_hashed(entry["hash"]):
            raise Problem(f"[users.{name}] hash as `app.py password` prints it")
        if entry.get("role", "operator") not in ("viewer", "operator"):
            raise Problem(f'[users.{name}] role "viewer" or "operator"')
    return dict(value)


def _contexts(value: Any) -> dict[str, Any]:
    for name, entry in _tables(value).items():
        slots = entry.get("slots")
        if set(entry) != {"slots"} or isinstance(slots, bool) or not isinstance(slots, int) or slots < 1:
            raise Problem(f"[contexts.{name}] slots, a whole number, at least 1, and nothing else")
    return dict(value)


def _password(value: Any) -> str:
    if _filled(value).startswith(("scrypt:", "pbkdf2:")) and not looks_hashed(value):
        raise Problem("a whole hash, as `app.py password` prints it")  # as a plain password, half of one would pass
    return str(value)


def _host_names(value: Any) -> list[str]:
    names = _texts(value)
    if not all(re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", name) for name in names):
        raise Problem('host names, each whole and without scheme, port or "*" (["jobs.example.com"])')
    return names


def _prefix(value: Any) -> str:
    text = _text(value).rstrip("/")
    if text and not re.fullmatch(r"(/(?!\.\.?(/|$))[A-Za-z0-9._~-]+)+", text):
        raise Problem("a path like /jobs-ui")
    return text


def _slurm(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Problem("a table")
    from running_jobs.slurm_options import check_settings  # only where Slurm is set up

    return check_settings(value)


def _executor(value: Any) -> str:
    if value not in ("local", "slurm"):
        raise Problem('"local" or "slurm"')
    return str(value)


def looks_hashed(password: str) -> bool:
    """Say whether a password setting holds a hash of werkzeug's making rather than the plain text."""
    found = re.fullmatch(r"(?:scrypt:(\d{1,9}):\d{1,3}:\d{1,3}|pbkdf2:sha\d+:\d{1,9})\$[^$]+\$[0-9a-f]{40,}", password)
    if found is None:
        return False
    cost = int(found[1] or 2)
    return cost > 1 and cost & (cost - 1) == 0  # scrypt takes powers of two alone


CHECKS: dict[str, Callable[[Any], Any]] = {
    "host": _filled, "port": _whole(1, 65535), "slots": _whole(1), "grace_seconds": _seconds, "shell": _program,
    "nice": _whole(-20, 19), "pass_env": _passed_names, "python": lambda value: _text(value) and _program(value),
    "python_path": _folders, "allowed_classes": _classes, "allowed_commands": _commands, "max_retries": _whole(0, 1000),
    "retry_delay": _seconds, "timeout": _seconds, "user": _user, "password": _password, "users": _users,
    "trusted_proxies": _whole(0, 10), "trusted_hosts": _host_names, "url_prefix": _prefix, "keep_days": _seconds,
    "keep_jobs": _whole(0), "max_log_bytes": _whole(0), "min_free_bytes": _whole(0), "rotate_bytes": _whole(0),
    "fsync": _yes_or_no, "executor": _executor, "contexts": _contexts, "slurm": _slurm,
}  # fmt: skip
TABLES = ("allowed_commands", "users", "contexts", "slurm")


def parse_toml(text: str) -> dict[str, Any]:
    """Return what a text in TOML holds. Raise ValueError."""
    try:
        import tomllib  # only where there is something to parse: it costs 5 ms of every start
    except ImportError:
        raise ValueError("reading TOML needs Python 3.11 or newer") from None
    return tomllib.loads(text)
