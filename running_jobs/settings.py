"""The settings: what they are, their defaults, and the only reader of `config.toml` and `JOBS_*`.

A key that is not known or a value that does not fit stops whoever reads them, with a message that
names where it was found, the key and what was expected. Knows no jobs.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from running_jobs.errors import InvalidJob, InvalidSettings
from running_jobs.setting_checks import CHECKS, TABLES, Problem, parse_toml

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

    @property
    def has_slurm(self) -> bool:
        """Whether jobs may be handed over to Slurm: by default, or by a table [slurm], maybe an empty one."""
        return self.executor == "slurm" or bool(self.slurm)

    def for_engine(self) -> dict[str, Any]:
        """Return what the dispatcher and its runners need, as plain values: nothing of the guard."""
        return {name: value for name, value in vars(self).items() if name not in _OF_THE_GUARD}


_OF_THE_GUARD = {"user", "password", "users", "trusted_proxies", "trusted_hosts", "url_prefix", "host", "port"}


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
            if key in TABLES:
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
    if key not in CHECKS:
        known = ", ".join(f"JOBS_{name.upper()}" if shown.startswith("JOBS_") else name for name in CHECKS)
        raise InvalidSettings(where, shown, f"is not a setting; known are {known}")
    try:
        return CHECKS[key](value)
    except Problem as problem:
        found = "" if key in ("password", "users", "allowed_commands") else f", found {value!r}"
        raise InvalidSettings(where, shown, f"expected {problem}{found}") from None
    except InvalidJob as error:  # of a value that jobs may have as well
        raise InvalidSettings(where, shown, str(error)) from None
    except ValueError as error:
        raise InvalidSettings(where, shown, f"is not TOML: {error}") from None


def _read_config(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_CONFIG_BYTES + 1)
        if len(content) > MAX_CONFIG_BYTES:
            raise InvalidSettings(path, "file", f"expected at most {MAX_CONFIG_BYTES} bytes")
        return parse_toml(content.decode())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InvalidSettings(path, "file", f"cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise InvalidSettings(path, "file", f"is not TOML: {error}") from None
