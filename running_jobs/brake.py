"""What keeps all jobs from starting: a pause, or too little room on the disk."""

from __future__ import annotations

from running_jobs import files
from running_jobs.settings import Settings
from running_jobs.store import JobStore

LOOK_AT_DISK_S = 1.0


class Brake:
    """Looks when it is asked to. `is_on` is what was found then."""

    def __init__(self, store: JobStore, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self.is_on = False

    def look(self) -> bool:
        """Say whether nothing new may start now."""
        self.is_on = self._store.is_paused or self._lacks_room()
        return self.is_on

    def seconds_to_next(self) -> float | None:
        """Return when to look again: nothing tells when the disk has room."""
        return LOOK_AT_DISK_S if self.is_on and not self._store.is_paused else None

    def _lacks_room(self) -> bool:
        least = self._settings.min_free_bytes
        return least > 0 and files.disk_free_bytes(self._store.paths.data) < least
