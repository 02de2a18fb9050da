"""Runs an approved command: `python -m running_jobs.commands.approved NAME [JSON]`, JSON being an object of parameters.

As a job its only argument is `-` and standard input holds `{"name", "parameters"}` as JSON. The settings are read anew,
so that a command that was changed or taken out of them since it was queued is checked as it is now. Then this process
becomes the command. Exits 2 on wrong usage, 1 where it is refused, 127 where it cannot be started.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

from running_jobs.approved_commands import VARIABLE, find_command
from running_jobs.commands.method import settings_for
from running_jobs.errors import InvalidSettings, JobsError

USAGE = "usage: python -m running_jobs.commands.approved NAME [JSON]   (or - for JSON on stdin)"
EXIT_REFUSED, EXIT_USAGE, EXIT_NOT_STARTED = 1, 2, 127

_MARKS = (b"JOB_ID", b"JOB_FILES", b"JOB_ATTEMPT")
_REASONS = {errno.ENOENT: "it or its interpreter does not exist", errno.E2BIG: "its parameters are too long"}


class CannotStart(Exception):
    """There is no such program or directory, or the system refuses; the text says what."""


def main(arguments: list[str]) -> int:
    """Become the command; return the exit code if that cannot be."""
    try:
        request = _read_request(arguments)
    except (ValueError, RecursionError):
        return _refuse(USAGE, EXIT_USAGE)
    try:
        settings = settings_for(request)
        command = find_command(settings.allowed_commands, "name", request["name"])
        values = command.check("parameters", request["parameters"])
        _become(command.argv(values, settings.shell), command.cwd, command.variables(values))
    except InvalidSettings as error:
        return _refuse(f"Wrong setting: {error}", EXIT_REFUSED)
    except JobsError as error:
        return _refuse(str(error), EXIT_REFUSED)
    except CannotStart as error:
        return _refuse(f"{request['name']}: {error}", EXIT_NOT_STARTED)
    return EXIT_NOT_STARTED


def _read_request(arguments: list[str]) -> dict[str, Any]:
    """Return what is to be run, still to be checked. Raise ValueError for what asks for nothing."""
    if arguments != ["-"]:
        name, text = (*arguments, "{}") if len(arguments) == 1 else arguments
        if name.startswith("-"):
            raise ValueError(name)
        return {"name": name, "parameters": _parse(text)}
    request = _parse(sys.stdin.buffer.read())
    if not isinstance(request, dict) or not isinstance(request.get("name"), str):
        raise ValueError(request)
    return {"parameters": {}, **request}


def _parse(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _become(argv: list[str], cwd: str, variables: Mapping[str, str]) -> None:
    """Execute the command in place of this process. Raise CannotStart.

    Texts are handed over as UTF-8, whatever the locale. Variables under PARAM_ that were there before are none of its
    values, and what a job's processes are known by stays as it is.
    """
    try:
        os.chdir(cwd or ".")
    except OSError as error:
        raise CannotStart(f"its directory {cwd} cannot be entered: {error.strerror}") from None
    inherited = {name: value for name, value in os.environb.items() if not name.startswith(VARIABLE.encode())}
    marks = {name: value for name, value in inherited.items() if name in _MARKS}
    environ = {**inherited, **{name.encode(): text.encode() for name, text in variables.items()}, **marks}
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    for signum in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and an ignored signal stays so
        signal.signal(signum, signal.SIG_DFL)
    try:
        os.execvpe(argv[0].encode(), [item.encode() for item in argv], environ)  # noqa: S606 - that is what it is for
    except OSError as error:
        reason = _REASONS.get(error.errno or 0) or error.strerror
        raise CannotStart(f"{argv[0]} could not be started: {reason}") from None


def _refuse(message: str, code: int) -> int:
    sys.stderr.write(f"{message}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
