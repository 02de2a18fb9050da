"""What runners on nodes are to know before the first is handed over: the settings of this dispatcher, and their log."""

from __future__ import annotations

import json
import os

from running_jobs import files
from running_jobs.journal import put_aside
from running_jobs.settings import Settings
from running_jobs.store import JobStore

TRY_AGAIN_S = 5.0
LOOK_AT_LOG_S = 60.0


class Nodes:
    """Keeps `run/for_nodes.json`. With the settings of another dispatcher every runner would leave at once."""

    def __init__(self, store: JobStore, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._is_prepared = False
        self._problem: str | None = None
        self._again_at = 0.0
        self._look_at_log_at = 0.0

    def problem(self, now: float) -> str | None:
        """Say what keeps runners from knowing what they need, None if nothing does. It is written where it is not."""
        if now >= self._look_at_log_at:
            self._look_at_log_at = now + LOOK_AT_LOG_S
            put_aside(self._store.paths.slurm_log, self._settings.rotate_bytes, self._store.clock())
        if self._is_prepared and os.path.lexists(self._store.paths.for_nodes):
            return None
        if now >= self._again_at:
            self._again_at = now + TRY_AGAIN_S
            self._prepare()
        return self._problem

    def _prepare(self) -> None:
        before, paths = self._problem, self._store.paths
        try:
            os.close(files.open_private(paths.slurm_log, os.O_WRONLY | os.O_CREAT))
            settings = json.dumps(self._settings.for_engine()).encode()
            files.write_atomically(paths.for_nodes, settings, sync=False)
        except OSError as error:
            self._is_prepared = False
            self._problem = f"what runners on nodes are to know could not be written: {error.strerror}"
            if error.filename:
                self._problem += f" ({error.filename})"
            if self._problem != before:
                self._store.note_error(self._problem)
        else:
            self._is_prepared, self._problem = True, None
