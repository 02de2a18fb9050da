"""The verbs on workers: list, look, save, delete. Every face calls these. None runs a worker in its own process."""

from __future__ import annotations

import contextlib
import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from running_jobs import looking, worker_code, workers
from running_jobs.admission import problem_in
from running_jobs.errors import (
    InvalidWorker,
    NoSuchJob,
    NoSuchWorker,
    NotAllowed,
    StorageFailed,
    UnreadableJob,
    WorkerChanged,
    WorkerInUse,
)
from running_jobs.job import ACTIVE, QUEUED
from running_jobs.settings import Settings
from running_jobs.store import JobStore
from running_jobs.workers import Workers


class WorkerActions:
    """What can be done with the workers of one data directory."""

    def __init__(self, settings: Settings, store: JobStore) -> None:
        self._settings = settings
        self._store = store
        self.workers = Workers(store.paths)

    def all(self) -> list[dict[str, Any]]:
        """Return `[{"name", "information"}]` of all workers, however long that takes.

        `problem` stands beside, and says why, where `information` is not to be had.
        """
        with ThreadPoolExecutor(looking.AT_ONCE) as pool:
            return list(pool.map(self._describe, self.workers.names()))

    def show(self, name: str) -> dict[str, Any]:
        """Return a worker as all does. Raise NoSuchWorker."""
        self.workers.code(name)
        return self._describe(name)

    def code(self, name: str) -> str:
        """Return a worker's code. Raise NoSuchWorker, or InvalidWorker for what is no text that can be shown."""
        return worker_code.read_code(name, self.workers.code(name))

    def problem_with_file(self, name: str) -> str | None:
        """Say why a worker's file is none that can be run, None if it is one."""
        try:
            self.workers.code(name)
        except (NoSuchWorker, InvalidWorker) as error:
            return str(error)
        return None

    def digest(self, name: str) -> str:
        """Return what is another whenever a worker's code is; empty if there is no such worker, or none to be read."""
        try:
            return _digest(self.workers.code(name))
        except (NoSuchWorker, InvalidWorker):
            return ""

    def save(self, name: str, code: str | bytes, is_new: bool = False, was: str | None = None) -> dict[str, Any]:
        """Store a worker's code, and return the worker as show does. Jobs that are queued or run keep theirs.

        `was` is the digest of the code that it is to take the place of; what is there already as it is to be is no
        conflict. Raise InvalidWorker if it does not compile or has no such class, WorkerInUse if it is there although
        it `is_new` or comes with the application, WorkerChanged if it is not what it `was`, NotAllowed where only
        approved commands run.
        """
        self.refuse_unless_it_may_change(name)
        workers.refuse_wrong_name(name)
        path = self.workers.path(name)
        code = code.encode(errors="surrogatepass") if isinstance(code, str) else code
        code = code.replace(b"\r\n", b"\n")
        worker_code.refuse_wrong_text(code)
        answer = looking.check_worker(self._settings, name, path, code)
        self._store.prepare()
        try:
            with self._store.door():
                self._refuse_to_replace_others(name, code, is_new, was)
                self.workers.write(name, code, self._store.files.sync)
                written = looking.version(path)  # before anybody else may write another
        except OSError as error:
            raise StorageFailed(f"Worker {name}", error) from error
        looking.know_worker(self._settings, name, path, written, answer)
        return _worker(name, answer)

    def delete(self, name: str) -> None:
        """Delete a worker. Raise NoSuchWorker, WorkerInUse while one of its jobs is queued or active, or NotAllowed."""
        self.refuse_unless_it_may_change(name)
        if not self.workers.exists(name):
            raise NoSuchWorker(name)
        with self._store.door():
            for job_id in self._store.open_ids():
                with contextlib.suppress(NoSuchJob, UnreadableJob):
                    job = self._store.get(job_id)
                    if job.status in (QUEUED, ACTIVE) and _is_of(job.command, name):
                        raise WorkerInUse(
                            name, f"cannot be deleted: its job {job_id} is {job.status}. Stop that first."
                        )
            self.workers.remove(name)

    def refuse_unless_it_may_change(self, name: str) -> None:
        """Raise WorkerInUse for a worker that comes with the application, NotAllowed where none may be changed."""
        if self._settings.allowed_commands:
            raise NotAllowed("Workers cannot be changed where only approved commands run (allowed_commands is set).")
        if self.workers.is_built_in(name):
            raise WorkerInUse(name, "comes with the application: it can neither be changed nor deleted.")

    def describe(self, name: str, answer: dict[str, Any]) -> dict[str, Any]:
        """Return a worker as all does, from what a look at it found."""
        return _worker(name, answer)

    def _refuse_to_replace_others(self, name: str, code: bytes, is_new: bool, was: str | None) -> None:
        there = self.digest(name)
        if there == _digest(code):
            return
        if is_new and self.workers.exists(name):
            raise WorkerInUse(name, "is there already. Edit it, or choose another name.")
        if was is not None and was != there:
            raise WorkerChanged(name)

    def _describe(self, name: str) -> dict[str, Any]:
        return _worker(name, looking.describe_worker(self._settings, name, self.workers.path(name)))

    @property
    def may_change(self) -> bool:
        """Whether workers may be saved and deleted at all: not where only approved commands run."""
        return not self._settings.allowed_commands


def _digest(code: bytes) -> str:
    return hashlib.sha256(code).hexdigest()


def _worker(name: str, answer: dict[str, Any]) -> dict[str, Any]:
    found = {"name": name, "information": answer.get("information")}
    problem = answer.get("problem") or problem_in(answer.get("information"))
    return {**found, "problem": problem} if problem else found


def _is_of(command: dict[str, Any], name: str) -> bool:
    return command.get("type") == "worker" and command.get("name") == name
