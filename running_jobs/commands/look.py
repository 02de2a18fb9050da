"""Looks into people's Python code and says what is there, then ends. Started by `python_process.ask` alone.

The task names what to look for: a class's method, a class with its methods, or a worker. The answer goes into the
descriptor that the task names; `files` in it are those that it was made from, with their versions.
Nothing but the standard library is needed of the interpreter that runs this.
"""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import json
import os
import signal
import sys
from typing import Any

from running_jobs import files
from running_jobs.checks import json_value
from running_jobs.classes import callable_methods, find_class, look_for_method, search_path
from running_jobs.errors import InvalidWorker, NoSuchClass, NoSuchMethod
from running_jobs.looking import version
from running_jobs.parameters import as_json
from running_jobs.python_process import LOOK_UP_S, MAX_ANSWER_BYTES
from running_jobs.worker_code import parse_worker

MAX_TEXT = 20_000
_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """Do the task that the descriptor named by the argument holds."""
    with os.fdopen(int(arguments[0]), "rb") as handed_over:
        task = json.loads(handed_over.read())
    _end_with_whoever_asked(task["asker"])
    sys.path[:] = search_path(task["python_path"], *filter(None, [task.get("workers")]))
    try:
        answer = {"method": _method, "class": _class, "worker": _worker}[task["look"]](task)
        content = json.dumps(answer, allow_nan=False).encode()
        if len(content) > MAX_ANSWER_BYTES:
            content = json.dumps({"problem": f"it says more of itself than {MAX_ANSWER_BYTES} bytes"}).encode()
    except BaseException as error:  # sys.exit at the top of a module, too
        content = json.dumps({"problem": _told(error)}).encode()
    files.write_all(task["answer"], content)
    os._exit(0)  # whatever threads the import began


def _end_with_whoever_asked(asker: int) -> None:
    """Have this process end should it be forgotten: with the one that waits for it, or after a time."""
    signal.alarm(int(LOOK_UP_S) + 5)
    with contextlib.suppress(OSError, AttributeError, ImportError):  # best effort: an interpreter may lack it
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != asker:  # it died before that
        os._exit(1)


def _method(task: dict[str, Any]) -> dict[str, Any]:
    try:
        found = find_class(task["class"])
        look_for_method(found, task["class"], task["method"])
    except NoSuchClass:
        return {"missing": "class"}
    except NoSuchMethod:
        return {"missing": "method"}
    return {"files": _files_of(found, task["python_path"])}


def _class(task: dict[str, Any]) -> dict[str, Any]:
    entry = task["entry"]
    only = None
    try:
        cls = find_class(entry)
    except NoSuchClass:
        if entry.count(".") < 2:
            return {"problem": f"Class {entry} does not exist."}
        entry, _, only = entry.rpartition(".")
        try:
            cls = find_class(entry)
            look_for_method(cls, entry, only)
        except (NoSuchClass, NoSuchMethod) as error:
            return {"problem": str(error)}
    methods = [
        {"name": name, "signature": _signature(cls, name), "doc": _doc(getattr(cls, name, None))}
        for name in callable_methods(cls)
        if only in (None, name)
    ]
    return {"class": entry, "doc": _doc(cls), "methods": methods, "files": _files_of(cls, task["python_path"])}


def _signature(cls: type, name: str) -> str:
    found = inspect.getattr_static(cls, name)
    try:
        signature = inspect.signature(getattr(cls, name))
    except (ValueError, TypeError):
        return "(…)"
    parameters = list(signature.parameters.values())
    if parameters and not isinstance(found, (staticmethod, classmethod)):
        parameters = parameters[1:]  # self
    return str(signature.replace(parameters=parameters))[:MAX_TEXT]


def _doc(found: object) -> str:
    return (inspect.getdoc(found) or "")[:MAX_TEXT]


# --- workers


def _worker(task: dict[str, Any]) -> dict[str, Any]:
    from running_jobs.commands.worker import load_worker
    from running_jobs.worker import Worker

    name, path = task["name"], task["path"]
    written = version(path)  # before it is read: what is written meanwhile is looked at again
    if "code" in task:
        code = task["code"].encode()
    else:
        with open(path, "rb") as file:
            code = file.read()
    try:
        line, column, seems_right = parse_worker(name, path, code)
    except InvalidWorker as error:
        return _no_worker(error.problem, error.line, error.column)
    if "code" in task and (elsewhere := _installed(name, path)):
        return _no_worker(f"{name} is the name of a module that is installed, {elsewhere}; choose another", None, None)
    try:
        found = load_worker(name, path, code)
    except BaseException as error:
        if not seems_right:
            return _no_worker(f"has no class {name} derived from Worker, and raises {_told(error)}", line, column)
        return {"problem": f"it cannot be imported: {_told(error)}"}
    if not isinstance(found, type):
        return _no_worker(f"has no class {name}; expected class {name}(Worker)", line, column)
    if not issubclass(found, Worker) or found is Worker:
        return _no_worker(f"the class {name} is not derived from Worker; expected class {name}(Worker)", line, column)
    try:
        information = json_value("information", as_json(found().get_information()))
    except BaseException as error:
        return {"problem": f"it does not say what it is: {_told(error)}"}
    folders = [task["workers"], *task["python_path"]]
    return {"information": information, "files": {**_files_of(found, folders), path: written}}


def _no_worker(problem: str, line: int | None, column: int | None) -> dict[str, Any]:
    return {"is_worker": False, "problem": problem, "line": line, "column": column}


def _installed(name: str, path: str) -> str | None:
    """Return where a module of a worker's name is, other than the worker itself: that would hide it, or be hidden."""
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    place = found and (found.origin or next(iter(found.submodule_search_locations or ()), None))
    return place if place and os.path.realpath(place) != os.path.realpath(path) else None


# --- telling


def _files_of(cls: type, folders: list[str]) -> dict[str, Any]:
    """Return the files of a class and its bases, and of whatever was imported from folders of people's own."""
    of_class = {getattr(sys.modules.get(base.__module__), "__file__", None) for base in cls.__mro__}
    imported = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    begins = tuple(f"{folder}/" for folder in folders)
    theirs = {path for path in imported if isinstance(path, str) and path.startswith(begins)}
    return {path: version(path) for path in of_class | theirs if path}


def _told(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split()).rstrip(":")[:500]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
