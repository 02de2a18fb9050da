"""Runs a worker: `python -m running_jobs.commands.worker NAME [JSON]`, JSON being an object of parameters.

By hand this process becomes one of the settings' `python`. There, as in a job, its only argument is `-`, and standard
input says which code to load. It logs STARTED first and ENDED last, and an exception as its traceback. A first SIGTERM
only makes is_active() false; what follows if `run` does not return then is the runner's business.
Exits 0 if `run` returns, 1 if it raises, 2 on wrong usage, 143 if it was stopped before it ran; a sys.exit of the
worker's is its own.
Nothing but the standard library is needed of the interpreter that runs this.
"""

from __future__ import annotations

import _thread
import atexit
import contextlib
import faulthandler
import json
import os
import signal
import sys
import types
from importlib.machinery import ModuleSpec
from typing import Any

from running_jobs.classes import search_path
from running_jobs.paths import JobPaths, data_of
from running_jobs.worker import Worker

USAGE = "usage: python -m running_jobs.commands.worker NAME [JSON]   (JSON is an object of parameters)"
EXIT_FAILED, EXIT_USAGE, EXIT_STOPPED = 1, 2, 128 + signal.SIGTERM


def main(arguments: list[str]) -> int:
    """Run a worker to its end; return the exit code."""
    if arguments == ["-"]:
        return _host(json.loads(sys.stdin.buffer.read()))
    try:
        name, parameters = _read_arguments(arguments)
    except (ValueError, RecursionError):
        sys.stderr.write(f"{USAGE}\n")
        return EXIT_USAGE
    return _become_host(name, parameters)


def load_worker(name: str, path: str, code: bytes) -> Any:
    """Run a worker's code as the module of its name and return what it calls so. Raise whatever it raises.

    `path` is what tracebacks name. It is not imported as other modules are: no compiled copy is left beside it.
    """
    module = types.ModuleType(name)
    sys.modules[name] = module
    _execute(module, path, code)
    return getattr(module, name, None)


def _execute(module: types.ModuleType, path: str, code: bytes) -> None:
    module.__file__ = path
    exec(compile(code, path, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - that is what a worker is


class _OwnCode:
    """Has a process that is no fork of a worker's import the worker's module from the code that its job keeps."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        data = data_of(os.environ)
        if data is None or sys.argv[:1] != [name]:
            return None
        code = JobPaths(data).code(os.environ["JOB_ID"])
        return ModuleSpec(name, _OwnCode, origin=code) if os.path.isfile(code) else None  # type: ignore[arg-type]

    @staticmethod
    def create_module(spec: ModuleSpec) -> None:
        return None

    @staticmethod
    def exec_module(module: types.ModuleType) -> None:
        path = str(module.__spec__ and module.__spec__.origin)
        with open(path, "rb") as file:
            _execute(module, path, file.read())


def find_own_code() -> None:
    """Have this process, which multiprocessing started anew for a worker, know the worker's module as it runs."""
    sys.meta_path.insert(0, _OwnCode)


# --- by hand


def _read_arguments(arguments: list[str]) -> tuple[str, dict[str, Any]]:
    name, text = (*arguments, "{}") if len(arguments) == 1 else arguments
    parameters = json.loads(text)
    if name.startswith("-") or not isinstance(parameters, (dict, type(None))):
        raise ValueError(name)
    return name, parameters or {}


def _become_host(name: str, parameters: dict[str, Any]) -> int:
    from running_jobs.command_line import worker_command
    from running_jobs.errors import InvalidSettings, JobsError
    from running_jobs.settings import load_settings
    from running_jobs.workers import Workers

    try:
        settings = load_settings()
        workers = Workers(JobPaths(settings.data))
        workers.code(name)
        argv, task = worker_command(name, parameters, workers.path(name), settings)
        stdin = os.memfd_create("task")
        os.write(stdin, task)
        os.lseek(stdin, 0, os.SEEK_SET)
        os.dup2(stdin, 0)
        os.execv(argv[0], argv)  # noqa: S606 - our own program, under the settings' python
    except InvalidSettings as error:
        sys.stderr.write(f"Wrong setting: {error}\n")
    except JobsError as error:
        sys.stderr.write(f"{error}\n")
    except OSError as error:
        sys.stderr.write(f"{error.filename or 'The process'} could not be started: {error.strerror}\n")
    return EXIT_FAILED


# --- hosting


def _host(task: dict[str, Any]) -> int:
    _listen_to_stop()
    faulthandler.enable()  # a crash of a library written in C tells where
    _close_stdin()
    sys.path[:] = search_path(task["python_path"], task["workers"])
    sys.argv[:] = [task["name"]]
    _say_when_it_ends()
    Worker().log("STARTED")
    return _run(task)


def _run(task: dict[str, Any]) -> int:
    try:
        try:
            worker = _make(task)
        except SystemExit as error:  # then it did not run, whatever it exits with
            raise RuntimeError(f"{task['name']} left by sys.exit before its run() was called") from error
        if not worker.is_active():  # stopped while it was being imported
            return EXIT_STOPPED
        result = worker.run()
        if type(result).__name__ in ("coroutine", "generator", "async_generator"):
            raise TypeError(f"{task['name']}.run() returned a {type(result).__name__}, of which nothing ran")
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException:
        import traceback  # not in each job's start

        told = traceback.format_exc()
        with contextlib.suppress(OSError):
            Worker().log(told.rstrip("\n"))
        sys.stderr.write(told)
        return EXIT_FAILED
    return 0


def _make(task: dict[str, Any]) -> Worker:
    name = task["name"]
    with open(task["path"], "rb") as file:
        worker_class = load_worker(name, task["path"], file.read())
    if not isinstance(worker_class, type) or not issubclass(worker_class, Worker):
        raise TypeError(f"{task['path']} has no class {name} derived from Worker")
    worker = worker_class()
    worker.parameters = _with_defaults(worker, task["parameters"])
    return worker


def _with_defaults(worker: Worker, given: dict[str, Any]) -> dict[str, Any]:
    """Return parameters with the defaults that a worker declares; what cannot be read declares none."""
    if type(worker).get_information is Worker.get_information:
        return given
    from running_jobs.parameters import as_json, read_schema, with_defaults

    try:
        declared = read_schema(as_json(worker.get_information()).get("parameters") or [])
    except (Exception, SystemExit):
        return given
    return with_defaults(declared, given)


def _say_when_it_ends() -> None:
    """Have ENDED logged last: after threads, which the interpreter waits for before it does what is left to do."""
    me = os.getpid()

    def say() -> None:
        if os.getpid() == me:  # and not in a fork that ends as a whole interpreter does
            with contextlib.suppress(OSError):
                Worker().log("ENDED")

    atexit.register(say)


def _listen_to_stop() -> None:
    """Have SIGTERM make is_active() false, here alone.

    Children that a library forks are ended by it as everywhere: multiprocessing relies on that. It is blocked while
    they are forked, since one that came before they have given up our handler would be lost.
    """
    masks: dict[int, set[int]] = {}

    def stop(*_: object) -> None:
        Worker._stop_asked = True

    def before() -> None:
        masks[_thread.get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def after() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, masks.pop(_thread.get_ident(), set()))

    def after_in_child() -> None:
        if signal.getsignal(signal.SIGTERM) is stop:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        after()

    signal.signal(signal.SIGTERM, stop)
    os.register_at_fork(before=before, after_in_parent=after, after_in_child=after_in_child)


def _close_stdin() -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
