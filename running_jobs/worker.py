"""What people write workers with: the class Worker. Its host (`commands.worker`) makes one, gives it its parameters and
calls `run`.

Runs under people's own interpreters: from Python 3.9 on, with the standard library alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import textwrap
from typing import Any

from running_jobs.paths import response_path


class Worker:
    """A job written in Python. Derive from it and write `run`; what is printed or logged is the job's output.

    `run` that returns ends the job `done`, one that raises `error`. `parameters` holds what the job was given, with the
    defaults that `get_information` declares; it is set before `run` is called, after `__init__`.
    """

    parameters: dict[str, Any] = {}  # noqa: RUF012 - the host sets one for the instance
    _stop_asked = False  # set by the host, for all that it hosts

    def run(self) -> Any:
        """Do the work. To be written; look at `is_active` from time to time, and return soon once it is false."""
        raise NotImplementedError(f"{type(self).__name__} has no run()")

    def get_parameter(self, name: str, default: Any = None) -> Any:
        """Return a parameter, or `default` where it is not given and declares no default of its own."""
        return self.parameters.get(name, default)

    def is_active(self) -> bool:
        """Say whether to go on: false once a stop was asked. `run` may finish what it is at, then return."""
        return not Worker._stop_asked

    def log(self, text: Any) -> None:
        """Write a line into the job's output."""
        _write_line(_stdout(), str(text))

    def response(self, text: Any) -> None:
        """Write a line into the job's response; what is no text is written as JSON. By hand it goes to the output."""
        line = text if isinstance(text, str) else json.dumps(text, ensure_ascii=False, default=str)
        path = response_path(os.environ)
        if path is None:
            return _write_line(_stdout(), line)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(path, flags, 0o600)
        try:
            _write_line(descriptor, line)
        finally:
            os.close(descriptor)

    def progress(self, fraction: float, text: str = "") -> None:
        """Say how far it is, from 0 to 1, and at what: a line like `progress 25.0% reading` in the output."""
        percent = 100 * min(max(float(fraction), 0.0), 1.0) if fraction == fraction else 0.0  # nan is no progress
        self.log(f"progress {percent:.1f}% {' '.join(str(text).split())}".rstrip())

    def get_information(self) -> dict[str, Any]:
        """Return what the page shows and what parameters are checked against before a job is queued.

        `{"description": text, "parameters": [{"name", "type", "required", "default", "choices", "pattern", "minimum",
        "maximum", "description"}, ...]}`; types are string, integer, number, boolean, array, object. Without
        parameters, anything is taken.
        """
        first, _, rest = (type(self).__doc__ or "").partition("\n")
        return {"description": f"{first.strip()}\n{textwrap.dedent(rest)}".strip(), "parameters": []}


def _stdout() -> int:
    with contextlib.suppress(ValueError, AttributeError):  # it was closed, or is something of the worker's own
        sys.stdout.flush()  # what was printed before comes before
    return 1


def _write_line(descriptor: int, line: str) -> None:
    """Write a line at one stroke, so that lines of several threads or processes do not mix."""
    left = memoryview(line.encode(errors="backslashreplace") + b"\n")
    while left:
        left = left[os.write(descriptor, left) :]
