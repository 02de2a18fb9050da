"""The settings: what they are, their defaults, and the only reader of `config.toml` and `JOBS_*`.

A key that is not known or a value that does not fit stops whoever reads them, with a message that
names where it was found, the key and what was expected. Knows no jobs.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from running_jobs.errors import InvalidSettings

PROJECT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MAX_CONFIG_BYTES = 1 << 20


@dataclass(frozen=True)
class Settings:
    """All settings of one data directory, checked. Seconds may be fractions; 0 means "no limit" where one is meant."""

    data: str
    host: str = "127.0.0.1"
    port: int = 8000
    slots: int = field(default_factory=lambda: os.cpu_count() or 1)
    grace_seconds: float = 10
    shell: str = "/bin/sh"
    nice: int = 0
    pass_env: list[str] = field(default_factory=list)
    python: str = ""
    python_path: list[str] = field(default_factory=list)
    allowed_classes: list[str] = field(default_factory=list)
    allowed_commands: dict[str, Any] = field(default_factory=dict)
    max_retries: int = 0
    retry_delay: float = 5
    timeout: float = 0
    user: str = ""
    password: str = field(default="", repr=False)
    users: dict[str, Any] = field(default_factory=dict, repr=False)
    trusted_proxies: int = 0
    trusted_hosts: list[str] = field(default_factory=list)
    url_prefix: str = ""
    keep_days: float = 0
    keep_jobs: int = 0
    max_log_bytes: int = 0
    min_free_bytes: int = 0
    rotate_bytes: int = 16 << 20
    fsync: bool = True
    executor: str = "local"
    contexts: dict[str, Any] = field(default_factory=dict)
    slurm: dict[str, Any] = field(default_factory=dict)
    overridden: list[str] = field(default_factory=list)  # the keys that the environment set, not the file

    @property
    def context_slots(self) -> dict[str, int]:
        """How many jobs of a context may run at once, for those that have a bound of their own."""
        return {name: entry["slots"] for name, entry in self.contexts.items()}

    def for_engine(self) -> dict[str, Any]:
        """Return what the dispatcher and its runners need, as plain values: nothing of the guard."""
        return {name: value for name, value in vars(self).items() if name not in _OF_THE_GUARD}


_OF_THE_GUARD = {"user", "password", "users", "trusted_proxies", "trusted_hosts", "url_prefix", "host", "port"}

NOT_IN_EFFECT_YET = ("executor", "slurm")


class _Problem(Exception):
    """What was expected instead."""


def _whole(low: int, high: int = 1 << 62) -> Callable[[Any], int]:
    bounds = f"a whole number from {low} to {high}" if high < 1 << 62 else f"a whole number, at least {low}"

    def check(value: Any) -> int:
        if isinstance(value, str) and re.fullmatch(r"[+-]?[0-9]{1,18}", value.strip()):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise _Problem(bounds)
        return value

    return check


def _seconds(value: Any) -> float:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            value = None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e10:
        raise _Problem("a number, 0 or more")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise _Problem("a text")
    return value


def _filled(value: Any) -> str:
    if not _text(value).strip():
        raise _Problem("a text that is not empty")
    return str(value)


def _user(value: Any) -> str:
    if re.search(r"[:\x00-\x1f\x7f-\x9f\ud800-\udfff]", _filled(value)):
        raise _Problem("a user's name without a colon or control characters (basic auth cannot carry them)")
    return str(value)


def _program(value: Any) -> str:
    if not os.path.isabs(_text(value)) or not os.access(value, os.X_OK):
        raise _Problem("the absolute path of a program that can be run")
    return str(value)


def _folders(value: Any) -> list[str]:
    if not all(os.path.isabs(path) for path in _texts(value)):
        raise _Problem("absolute paths")
    return _texts(value)


def _yes_or_no(value: Any) -> bool:
    if isinstance(value, str) and value.strip().lower() in ("true", "false", "1", "0", "yes", "no"):
        return value.strip().lower() in ("true", "1", "yes")
    if not isinstance(value, bool):
        raise _Problem("true or false")
    return value


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        value = _parse_toml(f"list = {value}").get("list")
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise _Problem('a list of texts, ["like", "this"]')
    return list(value)


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Problem("a table")
    return value


def _tables(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(item, dict) for item in value.values()):
        raise _Problem("a table of tables, as [table.NAME]")
    return value


def _commands(value: Any) -> dict[str, Any]:
    from running_jobs.approved_commands import read_command  # only where some are approved

    if value == {}:  # it is easily read as "none is approved", and would let every shell line pass
        raise _Problem("at least one [allowed_commands.NAME], or no such table at all")
    for name, entry in _tables(value).items():
        try:
            read_command(name, entry)
        except ValueError as error:
            raise _Problem(str(error)) from None
    return dict(value)


def _users(value: Any) -> dict[str, Any]:
    if value == {}:  # it is easily read as "nobody may come in", and would let everybody in
        raise _Problem("at least one [users.NAME], or no such table at all")
    for name, entry in _tables(value).items():
        _user(name)
        if set(entry) - {"hash", "role"} or not isinstance(entry.get("hash"), str) or not entry["hash"]:
            raise _Problem(f"[users.{name}] needs hash (made by `app.py password`) and may have role, nothing else")
        if not looks_hashed(entry["hash"]):
            raise _Problem(f"[users.{name}] hash as `app.py password` prints it")
        if entry.get("role", "operator") not in ("viewer", "operator"):
            raise _Problem(f'[users.{name}] role "viewer" or "operator"')
    return dict(value)


def _contexts(value: Any) -> dict[str, Any]:
    for name, entry in _tables(value).items():
        slots = entry.get("slots")
        if set(entry) != {"slots"} or isinstance(slots, bool) or not isinstance(slots, int) or slots < 1:
            raise _Problem(f"[contexts.{name}] slots, a whole number, at least 1, and nothing else")
    return dict(value)


def _password(value: Any) -> str:
    if _filled(value).startswith(("scrypt:", "pbkdf2:")) and not looks_hashed(value):
        raise _Problem("a whole hash, as `app.py password` prints it")  # as a plain password, half of one would pass
    return str(value)


def _host_names(value: Any) -> list[str]:
    names = _texts(value)
    if not all(re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", name) for name in names):
        raise _Problem('host names, each whole and without scheme, port or "*" (["jobs.example.com"])')
    return names


def _prefix(value: Any) -> str:
    text = _text(value).rstrip("/")
    if text and not re.fullmatch(r"(/(?!\.\.?(/|$))[A-Za-z0-9._~-]+)+", text):
        raise _Problem("a path like /jobs-ui")
    return text


def _executor(value: Any) -> str:
    if value not in ("local", "slurm"):
        raise _Problem('"local" or "slurm"')
    return str(value)


def looks_hashed(password: str) -> bool:
    """Say whether a password setting holds a hash of werkzeug's making rather than the plain text."""
    found = re.fullmatch(r"(?:scrypt:(\d{1,9}):\d{1,3}:\d{1,3}|pbkdf2:sha\d+:\d{1,9})\$[^$]+\$[0-9a-f]{40,}", password)
    if found is None:
        return False
    cost = int(found[1] or 2)
    return cost > 1 and cost & (cost - 1) == 0  # scrypt takes powers of two alone


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "host": _filled, "port": _whole(1, 65535), "slots": _whole(1), "grace_seconds": _seconds, "shell": _program,
    "nice": _whole(-20, 19), "pass_env": _texts, "python": lambda value: _text(value) and _program(value),
    "python_path": _folders, "allowed_classes": _texts, "allowed_commands": _commands, "max_retries": _whole(0, 1000),
    "retry_delay": _seconds, "timeout": _seconds, "user": _user, "password": _password, "users": _users,
    "trusted_proxies": _whole(0, 10), "trusted_hosts": _host_names, "url_prefix": _prefix, "keep_days": _seconds,
    "keep_jobs": _whole(0), "max_log_bytes": _whole(0), "min_free_bytes": _whole(0), "rotate_bytes": _whole(0),
    "fsync": _yes_or_no, "executor": _executor, "contexts": _contexts, "slurm": _table,
}  # fmt: skip
_TABLES = ("allowed_commands", "users", "contexts", "slurm")


def load_settings(data: str | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings of a data directory: the file, each plain key overridden by its `JOBS_<KEY>`.

    `data` names the directory; otherwise `JOBS_DATA` does, otherwise it is `jobs_data/` beside `app.py`.
    Raise InvalidSettings.
    """
    directory = os.path.realpath(data or environ.get("JOBS_DATA") or os.path.join(PROJECT, "jobs_data"))
    if os.path.exists(directory) and not os.path.isdir(directory):
        raise InvalidSettings("JOBS_DATA or --data", "data", f"{directory} is not a directory")
    config = os.path.join(directory, "config.toml")
    values = _values_in(config)
    overridden = []
    for variable, text in environ.items():
        if variable.startswith("JOBS_") and variable != "JOBS_DATA":
            key = variable[len("JOBS_") :].lower()
            if key in _TABLES:
                raise InvalidSettings("environment", variable, f"is a table; write it as [{key}] in {config}")
            values[key] = _checked("environment", variable, key, text)
            overridden.append(key)
    if ("user" in values) != ("password" in values):
        missing = "password" if "user" in values else "user"
        raise InvalidSettings(config, missing, "expected, since user and password only make sense together")
    if values.get("user") in values.get("users", {}):
        raise InvalidSettings(config, "user", "is in [users] too, maybe with another password and role; name it once")
    return Settings(data=directory, overridden=overridden, **values)


def settings_now(data: str, overrides: Mapping[str, Any]) -> Settings:
    """Read the file of a data directory anew, for a process without the environment that some keys came from.

    `overrides` are those, as settings that were read before hold them. Raise InvalidSettings.
    """
    values = {**_values_in(os.path.join(data, "config.toml")), **overrides}
    return Settings(data=data, overridden=list(overrides), **values)


def engine_settings(values: Mapping[str, Any]) -> Settings:
    """Rebuild what Settings.for_engine gave; keys that another version knew are passed over."""
    known = {item.name for item in dataclasses.fields(Settings)}
    return Settings(**{key: value for key, value in values.items() if key in known})


def _values_in(config: str) -> dict[str, Any]:
    return {key: _checked(config, key, key, value) for key, value in _read_config(config).items()}


def _checked(where: str, shown: str, key: str, value: Any) -> Any:
    if key not in _CHECKS:
        known = ", ".join(f"JOBS_{name.upper()}" if shown.startswith("JOBS_") else name for name in _CHECKS)
        raise InvalidSettings(where, shown, f"is not a setting; known are {known}")
    try:
        return _CHECKS[key](value)
    except _Problem as problem:
        found = "" if key in ("password", "users", "allowed_commands") else f", found {value!r}"
        raise InvalidSettings(where, shown, f"expected {problem}{found}") from None
    except ValueError as error:
        raise InvalidSettings(where, shown, f"is not TOML: {error}") from None


def _read_config(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_CONFIG_BYTES + 1)
        if len(content) > MAX_CONFIG_BYTES:
            raise InvalidSettings(path, "file", f"expected at most {MAX_CONFIG_BYTES} bytes")
        return _parse_toml(content.decode())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InvalidSettings(path, "file", f"cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise InvalidSettings(path, "file", f"is not TOML: {error}") from None


def _parse_toml(text: str) -> dict[str, Any]:
    try:
        import tomllib  # only where there is something to parse: it costs 5 ms of every start
    except ImportError:
        raise ValueError("reading TOML needs Python 3.11 or newer") from None
    return tomllib.loads(text)
