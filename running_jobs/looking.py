"""What is in people's Python code, as short-lived processes found it: classes, methods, what workers say of themselves.

An answer is kept in `run/known/` together with the times of the files it was made from, and holds while these and the
interpreter stay the same: a library that takes seconds to import is imported once for each change, not for each job.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from running_jobs import files, python_process
from running_jobs.errors import InvalidJob, InvalidWorker, NoSuchClass, NoSuchMethod, TooBusy
from running_jobs.paths import JobPaths
from running_jobs.python_process import LOOK_UP_S, NoAnswer, TookTooLong
from running_jobs.settings import Settings
from running_jobs.worker_code import parse_worker

MAX_KNOWN_BYTES = 8 << 20
FORMAT = 1  # of what is kept
SLOW_FOR_S = 300.0  # one that hangs holds up nobody again so soon
AT_ONCE = 4  # processes that import
MAX_WAITING = 8  # threads that wait for one: a server has others to answer


def look_for_method(settings: Settings, name: str, method: str) -> None:
    """See that an approved class and its method exist. Raise NoSuchClass, NoSuchMethod, or InvalidJob if it cannot be
    imported."""
    answer = _known(settings, {"look": "method", "class": name, "method": method})
    if answer.get("missing") == "class":
        raise NoSuchClass(name)
    if answer.get("missing") == "method":
        raise NoSuchMethod(name, method)
    if "problem" in answer:
        raise InvalidJob("command.class", f"{name} cannot be imported: {answer['problem']}")


class Look(NamedTuple):
    """Something to be found out: the task of a short-lived process, whose answer may be kept already."""

    settings: Settings
    task: dict[str, Any]

    def kept(self) -> dict[str, Any] | None:
        """Return the answer that is kept and still holds, None without one."""
        return _kept(self.settings, self.task)

    def find_out(self) -> dict[str, Any]:
        """Return the answer, importing what has to be for it."""
        return _known(self.settings, self.task)


def at_class(settings: Settings, entry: str) -> Look:
    """Return the look that describe_class takes."""
    return Look(settings, {"look": "class", "entry": entry})


def at_worker(settings: Settings, name: str, path: str) -> Look:
    """Return the look that describe_worker takes."""
    return Look(settings, _task_for(settings, name, path))


def describe_class(settings: Settings, entry: str) -> dict[str, Any]:
    """Return what an entry of allowed_classes names.

    `{"class", "doc", "methods": [{"name", "signature", "doc"}]}`, or `{"problem": text}` if that is not to be had.
    """
    return at_class(settings, entry).find_out()


def describe_worker(settings: Settings, name: str, path: str) -> dict[str, Any]:
    """Return what a worker says of itself: `{"information": ...}`, or `{"problem": text, "line", "column"}`."""
    return at_worker(settings, name, path).find_out()


def check_worker(settings: Settings, name: str, path: str, code: bytes) -> dict[str, Any]:
    """See that a text is the code of a worker; return what it says of itself, as describe_worker does.

    `path` is where it is going to be. Raise InvalidWorker if it does not compile or has no class of that name derived
    from Worker. That it cannot be imported now (a library is missing, or takes its time) is no reason to refuse it:
    then the answer says so.
    """
    try:
        with _admitted_to_wait():
            answer = _ask(settings, {**_task_for(settings, name, path), "code": code.decode()})
    except TookTooLong as error:
        line, column, seems_right = parse_worker(name, path, code)
        if not seems_right:
            raise InvalidWorker(f"has no class {name} derived from Worker", line, column) from None
        return {"problem": str(error)}
    except NoAnswer as error:
        raise InvalidWorker(f"it cannot be imported: {error}", None) from None
    if answer.get("is_worker") is False:
        raise InvalidWorker(answer["problem"], answer.get("line"), answer.get("column"))
    return answer


def know_worker(settings: Settings, name: str, path: str, written: list[int] | None, answer: dict[str, Any]) -> None:
    """Keep what check_worker found, now that the code is in its place; `written` is the version of that file."""
    made_from = {**answer.pop("files", {}), path: written}
    _keep(settings, _task_for(settings, name, path), {**answer, "files": made_from})


def _task_for(settings: Settings, name: str, path: str) -> dict[str, Any]:
    return {"look": "worker", "name": name, "path": path, "workers": JobPaths(settings.data).workers}


def _known(settings: Settings, task: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer to a task: the one that is kept, if it still holds, or that somebody is just finding out."""
    if (answer := _kept(settings, task)) is not None:
        return answer
    asked = json.dumps([_place(settings, task)[0], version(task.get("path", ""))])
    with _admitted_to_wait():
        with _lock:
            underway = _underway.get(asked)
            if underway is None:
                mine = _underway[asked] = _Underway()
        if underway is not None:
            underway.is_over.wait(2 * LOOK_UP_S)
            return dict(underway.answer)
        try:
            mine.answer = _find_out(settings, task)
            return dict(mine.answer)
        finally:
            with _lock:
                del _underway[asked]
            mine.is_over.set()


class _Underway:
    """A look that is being taken: others who want the same wait for it."""

    def __init__(self) -> None:
        self.is_over = threading.Event()
        self.answer: dict[str, Any] = {"problem": "it was not found out; look again"}


_lock = threading.Lock()
_underway: dict[str, _Underway] = {}
_running = threading.Semaphore(AT_ONCE)
_waiting = threading.Semaphore(MAX_WAITING)


@contextlib.contextmanager
def _admitted_to_wait() -> Iterator[None]:
    """Be one of those who wait for an import. Raise TooBusy if they are too many already."""
    if not _waiting.acquire(blocking=False):
        raise TooBusy
    try:
        yield
    finally:
        _waiting.release()


def _kept(settings: Settings, task: Mapping[str, Any]) -> dict[str, Any] | None:
    asked, path = _place(settings, task)
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        kept = json.loads(files.read_bounded(path, MAX_KNOWN_BYTES))
        is_fresh = "until" not in kept or 0 < kept["until"] - time.time() <= SLOW_FOR_S
        if is_fresh and kept["asked"] == asked and kept["files"] == {name: version(name) for name in kept["files"]}:
            return dict(kept["answer"])
    return None


def _find_out(settings: Settings, task: Mapping[str, Any]) -> dict[str, Any]:
    made_from = {task["path"]: version(task["path"])} if "path" in task else {}
    try:
        answer = _ask(settings, task)
    except TookTooLong as error:
        _keep(settings, task, {"problem": str(error), "files": made_from}, time.time() + SLOW_FOR_S)
        return {"problem": str(error)}
    except NoAnswer as error:
        return {"problem": str(error)}
    _keep(settings, task, answer)
    return answer


def _ask(settings: Settings, task: Mapping[str, Any]) -> dict[str, Any]:
    """Ask a process as python_process does, few at once."""
    with _running:
        return python_process.ask(settings, task)


def _place(settings: Settings, task: Mapping[str, Any]) -> tuple[str, str]:
    """Return all that an answer depends on beside files, as a text, and where the answer is kept."""
    asked = json.dumps([FORMAT, python_process.interpreter(settings), settings.python_path, task], sort_keys=True)
    import hashlib  # only for what was looked up

    return asked, f"{JobPaths(settings.data).known}/{hashlib.sha256(asked.encode()).hexdigest()[:32]}"


def _keep(settings: Settings, task: Mapping[str, Any], answer: dict[str, Any], until: float | None = None) -> None:
    """Keep an answer; one that something is wrong only until then: that may be mended elsewhere, by installing a
    library."""
    made_from = answer.pop("files", None)
    if not made_from or ("problem" in answer and until is None):
        return
    asked, path = _place(settings, task)
    folder, name = os.path.split(path)
    temporary = f"{folder}/.{name}.{os.getpid()}.{threading.get_ident()}"  # two may find it out at once
    with contextlib.suppress(OSError):  # then it is found out again
        files.make_private_directory(folder)
        descriptor = files.open_private(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            kept = {"asked": asked, "files": made_from, "answer": answer, **({"until": until} if until else {})}
            files.write_all(descriptor, json.dumps(kept).encode())
        finally:
            os.close(descriptor)
        os.rename(temporary, path)


def version(path: str) -> list[int] | None:
    """Return what changes whenever a file is written; None if it is gone."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return [found.st_ino, found.st_mtime_ns, found.st_size]
