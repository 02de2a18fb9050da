"""Runs an approved command: `python -m running_jobs.commands.approved NAME [JSON]`, JSON being an object of parameters.

As a job its only argument is `-` and standard input holds `{"name", "parameters"}` as JSON. The settings are read anew,
so that a command that was changed or taken out of them since it was queued is checked as it is now. Then this process
becomes the command. Exits 2 on wrong usage, 1 where it is refused, 127 where it cannot be started.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from running_jobs.approved_commands import find_command
from running_jobs.commands.method import settings_for
from running_jobs.errors import InvalidSettings, JobsError

USAGE = "usage: python -m running_jobs.commands.approved NAME [JSON]   (or - for JSON on stdin)"
EXIT_REFUSED, EXIT_USAGE, EXIT_NOT_STARTED = 1, 2, 127


def main(arguments: list[str]) -> int:
    """Become the command; return the exit code if that cannot be."""
    try:
        request = _read_request(arguments)
    except ValueError:
        return _refuse(USAGE, EXIT_USAGE)
    try:
        settings = settings_for(request)
        command = find_command(settings.allowed_commands, "name", request["name"])
        values = command.check("parameters", request["parameters"])
        argv = command.argv(values, settings.shell)
        os.chdir(command.cwd or ".")
        _close_stdin()
        environ = {**os.environ, **command.variables(values)}
        os.execvpe(argv[0], argv, environ)  # noqa: S606 - running approved commands is what this is for
    except InvalidSettings as error:
        return _refuse(f"Wrong setting: {error}", EXIT_REFUSED)
    except JobsError as error:
        return _refuse(str(error), EXIT_REFUSED)
    except OSError as error:
        what = error.filename or request["name"]
        return _refuse(f"{what} could not be started: {error.strerror}", EXIT_NOT_STARTED)


def _read_request(arguments: list[str]) -> dict[str, Any]:
    """Return what is to be run, still to be checked. Raise ValueError for what asks for nothing."""
    if arguments != ["-"]:
        name, text = (*arguments, "{}") if len(arguments) == 1 else arguments
        if name.startswith("-"):
            raise ValueError(name)
        return {"name": name, "parameters": json.loads(text)}
    request = json.loads(sys.stdin.buffer.read())
    if not isinstance(request, dict) or not isinstance(request.get("name"), str):
        raise ValueError(request)
    return {"parameters": {}, **request}


def _close_stdin() -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def _refuse(message: str, code: int) -> int:
    sys.stderr.write(f"{message}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
