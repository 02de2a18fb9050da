"""What the views of one application share: settings, verbs, store, listing. Thread-safe."""

from __future__ import annotations

import contextlib
import errno
import secrets
import threading

from flask import current_app

from running_jobs import files
from running_jobs.actions import Actions
from running_jobs.errors import NOT_OURS
from running_jobs.index import JobIndex
from running_jobs.saved import SavedCommands
from running_jobs.settings import Settings
from running_jobs.store import JobStore
from running_jobs.web.described import Described
from running_jobs.web.host import Host
from running_jobs.web.listing import Listings
from running_jobs.web.log_live import LiveLogs
from running_jobs.web.places import Places
from running_jobs.web.progress_view import Progresses
from running_jobs.web.slurm_view import SlurmTold
from running_jobs.worker_actions import WorkerActions

LONG_ANSWERS = 4  # that threads may wait for: the others are for the page


class Parts:
    """The parts that one application is made of."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = JobStore.of(settings)
        self.actions = Actions(settings, self.store)
        self.workers = WorkerActions(settings, self.store)
        self.saved = SavedCommands(self.store)
        self.described = Described()
        self.live_logs = LiveLogs()
        self.index = JobIndex(self.store)
        self.listings = Listings()
        self.archive_places = Places()
        self.progresses = Progresses(self.store.paths)
        self.long_answer = threading.Lock()  # held while one is made: some take 100 MB until they are in a file
        self.long_answers = threading.BoundedSemaphore(LONG_ANSWERS)  # held while one is waited for, too
        self.slurm = SlurmTold(self.store.paths)
        self.host = Host(settings.data)
        self._own_secret = secrets.token_hex(32).encode()  # where none can be kept: a disk that is full or read-only

    def secret(self) -> bytes:
        """Return the data directory's key for tokens, made when it is first needed."""
        path = self.store.paths.secret
        try:
            found = files.read_bounded(path, 1000)
            if len(found) >= 32:
                return found
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno in NOT_OURS | {errno.EACCES}:
                return self._own_secret
            raise
        try:
            return self._make_secret(path)
        except OSError:
            return self._own_secret

    def _make_secret(self, path: str) -> bytes:
        with files.locked(self.store.paths.lock):
            with contextlib.suppress(FileNotFoundError):
                found = files.read_bounded(path, 1000)
                if len(found) >= 32:
                    return found
            made = secrets.token_hex(32).encode()
            files.write_atomically(path, made, sync=True)
            return made


def parts() -> Parts:
    """Return the parts of the application that serves this request."""
    found: Parts = current_app.extensions["running_jobs"]
    return found
