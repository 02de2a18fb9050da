"""The process that imports people's Python code: how it is started, and how a face asks it what is in there.

It runs under the settings' `python`, a virtual environment of the user's own perhaps, so without `-I -S`. Its task is
handed over in an anonymous file of its own, so that the standard input of what it runs stays what it was. No face and
no dispatcher ever imports such code itself.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from typing import Any

from running_jobs import cores, files
from running_jobs.engine import COMMANDS, PACKAGE, PYTHON, clean_environment
from running_jobs.settings import Settings

LOOK_UP_S = 60.0  # large libraries take their time to import
MAX_ANSWER_BYTES = 4 << 20


class NoAnswer(Exception):
    """The process that was asked gave no answer; the text says why."""


class TookTooLong(NoAnswer):
    """The process that was asked was ended before it answered."""


def interpreter(settings: Settings) -> str:
    """Return the path of the interpreter that runs people's code."""
    return settings.python or PYTHON[0]


def prepare(settings: Settings, program: str, task: Mapping[str, Any]) -> tuple[list[str], int]:
    """Return the command line of the process for a task, and the descriptor that must stay open in it."""
    descriptor = os.memfd_create("task")
    files.write_all(descriptor, json.dumps({**task, "python_path": settings.python_path}).encode())
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.set_inheritable(descriptor, True)
    return [interpreter(settings), f"{PACKAGE}/{COMMANDS}", program, str(descriptor)], descriptor


def ask(settings: Settings, task: Mapping[str, Any]) -> dict[str, Any]:
    """Have a short-lived process import code and say what it found (`commands.look`). Raise NoAnswer."""
    import subprocess  # here, since the engine does without it

    answer, complaints = os.memfd_create("answer"), os.memfd_create("complaints")
    argv, descriptor = prepare(settings, "look", {**task, "answer": answer, "asker": os.getpid()})
    try:
        with cores.use_all():
            process = subprocess.Popen(  # noqa: S603 - our own program, under the settings' python
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=complaints,
                pass_fds=(descriptor, answer),
                cwd="/",
                env=clean_environment(os.environ, settings.pass_env),
                start_new_session=True,
            )
        exit_code = _wait_and_end(process.pid, process.wait)
        if exit_code is None:
            raise TookTooLong(f"importing and asking it took more than {LOOK_UP_S:g} s")
        return _read(os.pread(answer, MAX_ANSWER_BYTES + 1, 0), exit_code, complaints)
    except OSError as error:
        raise NoAnswer(f"{argv[0]} could not be started: {error.strerror}") from None
    finally:
        os.close(descriptor)
        os.close(answer)
        os.close(complaints)


def _wait_and_end(pid: int, reap: Callable[[], int]) -> int | None:
    """Wait for a process and end all of its group, which is what an import left running unless it went away from there.

    Return its exit code, None if it took too long.
    """
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


def _read(content: bytes, exit_code: int, complaints: int) -> dict[str, Any]:
    """Return an answer; half of a surrogate pair in it, which nobody could write, becomes a question mark."""
    try:
        found = json.loads(content)
        if isinstance(found, dict) and b"\\ud" in content:
            found = json.loads(json.dumps(found, ensure_ascii=False).encode(errors="replace"))
        if isinstance(found, dict):
            return found
    except (ValueError, RecursionError):
        pass
    size = os.fstat(complaints).st_size
    lines = os.pread(complaints, 2000, max(0, size - 2000)).decode(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    told = f" ({last[:300]})" if last else ""
    raise NoAnswer(f"the process that imported it ended with exit code {exit_code}{told}")
