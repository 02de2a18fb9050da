"""The process that imports users' classes: how it is started, and how a face asks it whether a method exists.

It runs under the settings' `python`, a virtual environment of the user's own perhaps, so without `-I -S`. Its task is
handed over in an anonymous file of its own, so that the method's standard input stays what it was.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from running_jobs import files
from running_jobs.engine import COMMANDS, PACKAGE, PYTHON, clean_environment
from running_jobs.errors import InvalidJob, NoSuchClass, NoSuchMethod
from running_jobs.settings import Settings

LOOK_UP_S = 60.0  # large libraries take their time to import


def prepare(settings: Settings, task: dict[str, Any]) -> tuple[list[str], int]:
    """Return the command line of the process for a task, and the descriptor that must stay open in it."""
    descriptor = os.memfd_create("task")
    files.write_all(descriptor, json.dumps({**task, "python_path": settings.python_path}).encode())
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.set_inheritable(descriptor, True)
    return [settings.python or PYTHON[0], f"{PACKAGE}/{COMMANDS}", "class_host", str(descriptor)], descriptor


def look_up(settings: Settings, name: str, method: str) -> None:
    """Have a short-lived process see whether an approved class and its method exist.

    Raise NoSuchClass, NoSuchMethod, or InvalidJob if it cannot be imported.
    """
    import subprocess  # here, since the engine does without it

    answer = os.memfd_create("verdict")
    argv, descriptor = prepare(settings, {"class": name, "method": method, "looks_up": True, "answer": answer})
    try:
        process = subprocess.Popen(  # noqa: S603 - our own program, under the settings' python
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(descriptor, answer),
            cwd="/",
            env=clean_environment(os.environ, settings.pass_env),
            start_new_session=True,
        )
        exit_code = _wait_and_end(process.pid, process.wait)
        if exit_code is None:
            raise InvalidJob("command.class", f"importing it took more than {LOOK_UP_S:g} s")
        _judge(name, method, os.pread(answer, 10_000, 0), exit_code)
    except OSError as error:
        raise InvalidJob("command.class", f"{argv[0]} could not be started: {error.strerror}") from None
    finally:
        os.close(descriptor)
        os.close(answer)


def _wait_and_end(pid: int, reap: Callable[[], int]) -> int | None:
    """Wait for a process and end all of its group, whatever an import left running. Return None if it took too long."""
    deadline = time.monotonic() + LOOK_UP_S
    try:
        while not os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if time.monotonic() > deadline:
                return None
            time.sleep(0.005)
    finally:
        os.killpg(pid, signal.SIGKILL)  # it is not waited for yet: the number is its own
        exit_code = reap()
    return exit_code


def _judge(name: str, method: str, answer: bytes, exit_code: int) -> None:
    try:
        verdict = json.loads(answer)["verdict"]
    except (ValueError, KeyError, TypeError):
        verdict = f"the process that imported it ended with exit code {exit_code}"
    if verdict == "class":
        raise NoSuchClass(name)
    if verdict == "method":
        raise NoSuchMethod(name, method)
    if verdict != "found":
        raise InvalidJob("command.class", f"{name} cannot be imported: {verdict}")
