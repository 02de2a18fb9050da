"""Runs a method of an approved class: `python -m running_jobs.commands.method CLASS METHOD [PARAM...]`.

As a job its only argument is `-` and standard input holds `{"class", "method", "params"}` as JSON. The settings are
read anew, so that a class that was taken out of them since it was queued is refused. Then this process becomes the
settings' `python` with `class_host`, which imports the class: this one imports nothing of users'.
Exits 2 on wrong usage, 1 where the class or method is refused or the method raises.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from running_jobs import python_process
from running_jobs.approval import refuse_unless_approved
from running_jobs.errors import InvalidSettings, JobsError
from running_jobs.paths import data_of
from running_jobs.settings import Settings, load_settings, settings_now

USAGE = "usage: python -m running_jobs.commands.method CLASS METHOD [PARAM...]   (or - for JSON on stdin)"
EXIT_FAILED, EXIT_USAGE = 1, 2


def main(arguments: list[str]) -> int:
    """Become the process that runs the method; return the exit code if that cannot be."""
    try:
        request = _read_request(arguments)
    except ValueError:
        return _refuse(USAGE, EXIT_USAGE)
    try:
        settings = settings_for(request)
        refuse_unless_approved(request["class"], request["method"], settings.allowed_classes)
        task = {key: request[key] for key in ("class", "method", "params")}
        argv, _ = python_process.prepare(settings, "class_host", task)
        os.execv(argv[0], argv)  # noqa: S606 - our own program, under the settings' python
    except InvalidSettings as error:
        return _refuse(f"Wrong setting: {error}", EXIT_FAILED)
    except JobsError as error:
        return _refuse(str(error), EXIT_FAILED)
    except OSError as error:
        return _refuse(f"{error.filename or 'The process'} could not be started: {error.strerror}", EXIT_FAILED)


def _read_request(arguments: list[str]) -> dict[str, Any]:
    """Return what is to be run, its names still to be checked. Raise ValueError for what asks for nothing."""
    if arguments != ["-"]:
        name, method, *params = arguments
        if name.startswith("-"):
            raise ValueError(name)
        return {"class": name, "method": method, "params": params}
    try:
        request = json.loads(sys.stdin.buffer.read())
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(request, dict) or not all(isinstance(request.get(key), str) for key in ("class", "method")):
        raise ValueError(request)
    return {"params": [], **request}


def settings_for(request: dict[str, Any]) -> Settings:
    """Return the settings as they are now: as a job those of its data directory, whatever its environment says."""
    data = data_of(os.environ)
    if data is not None and ("overrides" in request or not os.environ.get("JOBS_DATA")):
        return settings_now(data, request.get("overrides", {}))
    return load_settings()


def _refuse(message: str, code: int) -> int:
    sys.stderr.write(f"{message}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
