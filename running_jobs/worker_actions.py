"""The verbs on workers: list, look, save, delete. Every face calls these. None runs a worker in its own process."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from running_jobs import looking, workers
from running_jobs.admission import problem_in
from running_jobs.errors import (
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

AT_ONCE = 4  # short-lived processes that look into workers


class WorkerActions:
    """What can be done with the workers of one data directory."""

    def __init__(self, settings: Settings, store: JobStore) -> None:
        self._settings = settings
        self._store = store
        self.workers = Workers(store.paths)

    def all(self, names: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """Return `[{"name", "information"}]` of all workers, or of those named.

        `problem` stands beside, and says why, where `information` is not to be had.
        """
        wanted = self.workers.names() if names is None else list(names)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(self._describe, wanted))

    def show(self, name: str) -> dict[str, Any]:
        """Return a worker as all does. Raise NoSuchWorker."""
        self.workers.code(name)
        return self._describe(name)

    def code(self, name: str) -> str:
        """Return a worker's code. Raise NoSuchWorker."""
        return self.workers.code(name).decode(errors="replace")

    def digest(self, name: str) -> str:
        """Return what is another whenever a worker's code is; empty if there is no such worker."""
        try:
            return hashlib.sha256(self.workers.code(name)).hexdigest()
        except NoSuchWorker:
            return ""

    def save(self, name: str, text: str, is_new: bool = False, was: str | None = None) -> dict[str, Any]:
        """Store a worker's code, and return the worker as show does. Jobs that are queued or run keep theirs.

        `was` is the digest of the code that it is to take the place of. Raise InvalidWorker if it does not compile or
        has no such class, WorkerInUse if it is there although it `is_new` or comes with the application, WorkerChanged
        if it is not what it `was`, NotAllowed where only approved commands run.
        """
        self.refuse_unless_it_may_change(name)
        workers.refuse_wrong_name(name)
        path, code = self.workers.path(name), text.replace("\r\n", "\n").encode(errors="surrogatepass")
        workers.refuse_wrong_text(code)
        answer = looking.check_worker(self._settings, name, path, code)
        self._store.prepare()
        try:
            with self._store.door():
                if is_new and self.workers.exists(name):
                    raise WorkerInUse(name, "is there already. Edit it, or choose another name.")
                if was is not None and was != self.digest(name):
                    raise WorkerChanged(name)
                self.workers.write(name, code, self._store.sync)
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

    def _describe(self, name: str) -> dict[str, Any]:
        return _worker(name, looking.describe_worker(self._settings, name, self.workers.path(name)))


def _worker(name: str, answer: dict[str, Any]) -> dict[str, Any]:
    found = {"name": name, "information": answer.get("information")}
    problem = answer.get("problem") or problem_in(answer.get("information"))
    return {**found, "problem": problem} if problem else found


def _is_of(command: dict[str, Any], name: str) -> bool:
    return command.get("type") == "worker" and command.get("name") == name
