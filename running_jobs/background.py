"""Queues a method of an approved class from any Python program, with no server running: run_background_job."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from running_jobs.actions import Actions
from running_jobs.classes import find_class, look_for_method
from running_jobs.errors import InvalidJob, JobsError, NoSuchClass
from running_jobs.paths import data_of
from running_jobs.settings import load_settings

_search_path = threading.RLock()  # one at a time changes where this program's modules are looked for

with contextlib.suppress(ImportError):
    import tomllib  # noqa: F401 - the settings need it: with the import here, it costs no call of a job anything


def run_background_job(
    cls: type | str,
    method: str,
    params: Any = (),
    retries: int | None = None,
    delay: float = 0,
    priority: int = 500,
    *,
    context: str = "default",
    timeout: float | None = None,
    data_dir: str | None = None,
    name: str | None = None,
    at: str | None = None,
    retry_delay: float | None = None,
    cwd: str | None = None,
    env: Mapping[str, str] | None = None,
    after: Sequence[str] = (),
    nice: int | None = None,
    progress_pattern: str | None = None,
    callback_done: Mapping[str, Any] | None = None,
    callback_failed: Mapping[str, Any] | None = None,
    executor: str | None = None,
    partition: str | None = None,
    account: str | None = None,
    qos: str | None = None,
    cpus: int | None = None,
    mem: str | None = None,
    gpus: str | int | None = None,
    time: str | None = None,
    slurm_args: Sequence[str] | None = None,
) -> str:
    """Queue a method of a class, given itself or by its dotted name, and return the job's id at once.

    `params` is a sequence, a mapping (named arguments) or one scalar; None is none. `retries` are further attempts
    after the first, None takes the settings' max_retries; None as the `executor` takes theirs, too. `data_dir` is the
    data directory, by default JOBS_DATA, in a job its own, or else jobs_data beside app.py. The job runs in its home
    directory unless `cwd` is given; for the other options see the README. Raise NotApproved (before anything is
    imported), NoSuchClass, NoSuchMethod or InvalidJob, with nothing written.
    """
    settings = load_settings(data_dir or os.environ.get("JOBS_DATA") or data_of(os.environ))
    given = {
        "command": {"type": "method", "class": _name_of(cls), "method": method, "params": _plain(params)},
        "retries": retries, "delay": delay, "priority": priority, "context": context, "timeout": timeout,
        "name": name, "at": at, "retry_delay": retry_delay, "cwd": cwd, "nice": nice, "start": True,
        "progress_pattern": progress_pattern,
        "env": {} if env is None else _plain(env), "after": _plain(after),
        "callback_done": _plain(callback_done), "callback_failed": _plain(callback_failed),
        "executor": executor, "partition": partition, "account": account, "qos": qos, "cpus": cpus, "mem": mem,
        "gpus": gpus, "time": time, "slurm_args": _plain(slurm_args),
    }  # fmt: skip
    actions = Actions(settings, look_up=partial(_look_up, cls, settings.python_path))
    return actions.submit(given).id


def _name_of(cls: type | str) -> str:
    """Return a class's dotted name. Raise InvalidJob for what no other process can find."""
    if isinstance(cls, type):
        name = f"{cls.__module__}.{cls.__qualname__}"
        if "<locals>" in name:
            raise InvalidJob("cls", f"{name} is defined in a function; another process can only find it in a module")
    elif isinstance(cls, str):
        name = cls
    else:
        raise InvalidJob("cls", f"expected a class or its dotted name, found {type(cls).__name__}")
    if name.split(".")[0] == "__main__":
        raise InvalidJob("cls", f"{name} is defined in the program itself; put it into a module that can be imported")
    return name


def _plain(params: Any) -> Any:
    """Return params as JSON holds them."""
    if isinstance(params, Mapping):
        return dict(params)
    if isinstance(params, Sequence) and not isinstance(params, (str, bytes, bytearray)):
        return list(params)
    return params


def _look_up(cls: type | str, python_path: list[str], name: str, method: str) -> None:
    """See that another process will find the class by its name, and the method in it: here, where the class is."""
    try:
        with _searching_first(python_path):
            found = find_class(name)
    except JobsError:
        raise
    except (Exception, SystemExit) as error:
        raise InvalidJob("cls", f"{name} cannot be imported: {type(error).__name__}: {error}") from error
    if isinstance(cls, type) and found is not cls:
        raise NoSuchClass(name)
    look_for_method(found, name, method)


@contextlib.contextmanager
def _searching_first(folders: list[str]) -> Iterator[None]:
    with _search_path:
        added = [folder for folder in folders if folder not in sys.path]
        sys.path[:0] = added
        try:
            yield
        finally:
            for folder in added:
                sys.path.remove(folder)
