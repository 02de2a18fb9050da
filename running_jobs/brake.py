"""What keeps all jobs from starting: a pause, too little room on the disk, or no processes to be had."""

from __future__ import annotations

import time

from running_jobs import files
from running_jobs.settings import Settings
from running_jobs.store import JobStore

LOOK_AGAIN_S = 1.0


class Brake:
    """Looks when it is asked to. `is_on` is what was found then."""

    def __init__(self, store: JobStore, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._held_until = 0.0
        self.is_on = False

    def look(self) -> bool:
        """Say whether nothing new may start now."""
        self.is_on = self._store.is_paused or time.monotonic() < self._held_until or self._lacks_room()
        return self.is_on

    def hold(self, job_id: str, why: str) -> None:
        """Have nothing start for a moment: what it takes is not to be had. That is noted once a moment."""
        now = time.monotonic()
        if now >= self._held_until:
            self._held_until = now + LOOK_AGAIN_S
            self._store.note_error(f"{job_id} could not be launched, trying again: {why}")

    def seconds_to_next(self) -> float | None:
        """Return when to look again: nothing tells when the disk has room, or when others have ended."""
        return LOOK_AGAIN_S if self.is_on and not self._store.is_paused else None

    def _lacks_room(self) -> bool:
        least = self._settings.min_free_bytes
        return least > 0 and files.disk_free_bytes(self._store.paths.data) < least
