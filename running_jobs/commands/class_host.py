"""Hosts a user's class: imports it and runs a method. `commands.method` becomes this.

The class is instantiated without arguments. A result that is not None is printed as JSON and, in a job, kept as its
response. Nothing but the standard library is needed of the interpreter that runs this.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import traceback
from typing import Any

from running_jobs import files
from running_jobs.classes import find_class, look_for_method, search_path
from running_jobs.errors import NoSuchClass, NoSuchMethod
from running_jobs.paths import response_path

EXIT_FAILED = 1


def main(arguments: list[str]) -> int:
    """Do the task that the descriptor named by the argument holds; return the exit code."""
    with os.fdopen(int(arguments[0]), "rb") as handed_over:
        task = json.loads(handed_over.read())
    sys.path[:] = search_path(task["python_path"])
    sys.argv[:] = [f"{task['class']}::{task['method']}"]
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _run(task["class"], task["method"], task["params"])


def _run(name: str, method: str, params: Any) -> int:
    positional, named = _arguments(params)
    try:
        try:
            cls = find_class(name)
            look_for_method(cls, name, method)
        except (NoSuchClass, NoSuchMethod) as error:
            sys.stderr.write(f"{error}\n")
            return EXIT_FAILED
        except SystemExit:  # of the module: the method did not run, whatever it exits with
            traceback.print_exc()
            return EXIT_FAILED
        result = getattr(cls(), method)(*positional, **named)
    except Exception:
        traceback.print_exc()
        return EXIT_FAILED
    if result is None:
        return 0
    try:
        _hand_back(_as_json(result))
    except OSError as error:
        sys.stderr.write(f"The result could not be stored: {error.strerror}\n")
        return EXIT_FAILED
    return 0


def _arguments(params: Any) -> tuple[list[Any], dict[str, Any]]:
    """Return what a method is called with: a list by position, an object by name, anything else but null as one."""
    if isinstance(params, dict):
        return [], params
    if isinstance(params, list):
        return params, {}
    return ([] if params is None else [params]), {}


def _as_json(result: Any) -> bytes:
    try:
        text = json.dumps(result, ensure_ascii=False, default=str, allow_nan=False)
    except Exception:  # names that are no texts, circles, no numbers: the method succeeded all the same
        text = json.dumps(_text_of(result), ensure_ascii=False)
    return text.encode(errors="backslashreplace") + b"\n"


def _text_of(result: Any) -> str:
    try:
        return str(result)
    except Exception:
        return f"<{type(result).__name__}>"


def _hand_back(content: bytes) -> None:
    with contextlib.suppress(ValueError, AttributeError):  # the method closed it
        sys.stdout.flush()
    files.write_all(1, content)
    path = response_path(os.environ)
    if path is not None:
        response = files.open_private(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            files.write_all(response, content)
        finally:
            os.close(response)
