"""Looks into people's Python code and says what is there, then ends. Started by `python_process.ask` alone.

The task names what to look for: a class's method, a class with its methods, or a worker. The answer goes into the
descriptor that the task names; `files` in it are those that it was made from, with their versions.
Nothing but the standard library is needed of the interpreter that runs this.
"""

from __future__ import annotations

import ast
import inspect
import json
import os
import sys
from typing import Any

from running_jobs import files
from running_jobs.classes import callable_methods, find_class, look_for_method
from running_jobs.errors import NoSuchClass, NoSuchMethod
from running_jobs.looking import version
from running_jobs.settings import PROJECT

MAX_TEXT = 20_000


def main(arguments: list[str]) -> int:
    """Do the task that the descriptor named by the argument holds."""
    with os.fdopen(int(arguments[0]), "rb") as handed_over:
        task = json.loads(handed_over.read())
    others = [path for path in sys.path if path != PROJECT]
    sys.path[:] = [*task["python_path"], *others, *filter(None, [task.get("workers")]), PROJECT]
    try:
        answer = {"method": _method, "class": _class, "worker": _worker}[task["look"]](task)
        content = json.dumps(answer, default=_plain, allow_nan=False).encode()
    except BaseException as error:  # sys.exit at the top of a module, too
        content = json.dumps({"problem": _told(error)}).encode()
    files.write_all(task["answer"], content)
    os._exit(0)  # whatever threads the import began


def _method(task: dict[str, Any]) -> dict[str, Any]:
    try:
        found = find_class(task["class"])
        look_for_method(found, task["class"], task["method"])
    except NoSuchClass:
        return {"missing": "class"}
    except NoSuchMethod:
        return {"missing": "method"}
    return {"files": _files_of(found)}


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
    return {"class": entry, "doc": _doc(cls), "methods": methods, "files": _files_of(cls)}


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
    seen = version(path)  # before it is read: what is written meanwhile is looked at again
    if "code" in task:
        code = task["code"].encode()
    else:
        with open(path, "rb") as file:
            code = file.read()
    try:
        tree = ast.parse(code, path)
        compile(tree, path, "exec", dont_inherit=True)  # some errors of syntax are only found by this
    except SyntaxError as error:
        return _no_worker(error.msg or "is no Python", error.lineno, error.offset)
    except (ValueError, RecursionError, MemoryError) as error:
        return _no_worker(f"is no Python: {error}", 1, 1)
    declared = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    line, column = (declared[-1].lineno, declared[-1].col_offset + 1) if declared else (1, 1)
    try:
        found = load_worker(name, path, code)
    except BaseException as error:
        if not declared or not declared[-1].bases:  # as far as can be told without running it
            return _no_worker(f"has no class {name} derived from Worker, and raises {_told(error)}", line, column)
        return {"problem": f"it cannot be imported: {_told(error)}"}
    if not isinstance(found, type):
        return _no_worker(f"has no class {name}; expected class {name}(Worker)", line, column)
    if not issubclass(found, Worker) or found is Worker:
        return _no_worker(f"the class {name} is not derived from Worker; expected class {name}(Worker)", line, column)
    try:
        information = found().get_information()
        json.dumps(information, default=_plain, allow_nan=False)
    except BaseException as error:
        return {"problem": f"it does not say what it is: {_told(error)}"}
    return {"information": information, "files": {**_files_of(found, task["workers"]), path: seen}}


def _no_worker(problem: str, line: int | None, column: int | None) -> dict[str, Any]:
    return {"is_worker": False, "problem": problem, "line": line or 1, "column": column or 1}


# --- telling


def _files_of(cls: type, folder: str | None = None) -> dict[str, Any]:
    """Return the files of a class and its bases, and of whatever was imported from a folder."""
    of_class = {getattr(sys.modules.get(base.__module__), "__file__", None) for base in cls.__mro__}
    imported = {getattr(module, "__file__", None) for module in list(sys.modules.values()) if folder}
    beside = {path for path in imported if isinstance(path, str) and path.startswith(f"{folder}/")}
    return {path: version(path) for path in of_class | beside if path}


def _plain(value: object) -> Any:
    if isinstance(value, type):
        return value.__name__
    return list(value) if isinstance(value, (set, frozenset, range)) else str(value)


def _told(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
