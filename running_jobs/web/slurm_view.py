"""What the page shows of Slurm: where a job waits, runs or ran, and that Slurm does not answer."""

from __future__ import annotations

import threading
from typing import Any

from running_jobs import placements
from running_jobs.holdups import entry_of
from running_jobs.job import QUEUED
from running_jobs.paths import JobPaths
from running_jobs.placements import Told
from running_jobs.settings import Settings
from running_jobs.slurm_words import HELD_BACK
from running_jobs.summaries import Summary
from running_jobs.wording import harmless

SHOWN_CHARACTERS = 60
SHOWN_OF_PROBLEM = 300


class SlurmTold:
    """What Slurm said last, read again when the dispatcher wrote it anew. Thread-safe."""

    def __init__(self, paths: JobPaths) -> None:
        self._paths = paths
        self._lock = threading.Lock()
        self._version = (0, 0)
        self._told = Told()

    def now(self) -> Told:
        """Return what is known."""
        with self._lock:
            version = placements.version(self._paths)  # before it is read: if it changes meanwhile, we read it again
            if version != self._version:
                self._told, self._version = placements.read(self._paths), version
            return self._told


def place_marks(told: Told, row: Summary) -> list[str]:
    """Say Slurm's id of a job, its partition and its node, as far as they are known; nothing of another's job."""
    if not row.is_slurms:
        return []
    place = entry_of(told, row) or (row.placed if row.status is not QUEUED else None) or {}
    known = {name: _shown(place.get(name)) for name in ("id", "partition", "node")}
    slurm = f"Slurm {known['id']}" if known["id"] else "Slurm"
    return [slurm, *(f"{name} {known[name]}" for name in ("partition", "node") if known[name])]


def place_facts(told: Told, row: Summary) -> list[tuple[str, str]]:
    """Return what is known of where a job is, a line each, for its details: also what Slurm says as it says it."""
    facts = [("placed", ", ".join(place_marks(told, row)))] if row.is_slurms else []
    if entry := entry_of(told, row):
        state = "" if entry["state"] in HELD_BACK else _shown(entry["state"])
        said = filter(None, (state, _shown(entry["why"], 200)))
        facts.append(("slurm says", ", ".join(said)))
    return [fact for fact in facts if fact[1]]


def problem_view(told: Told, settings: Settings, has_work: bool) -> dict[str, Any] | None:
    """Return what keeps Slurm from answering and since when; None if nothing does, or nobody waits for it."""
    if not told.problem or not settings.has_slurm or not has_work:
        return None
    problem = harmless(told.problem).rstrip(".")
    shown = problem if len(problem) <= SHOWN_OF_PROBLEM else f"{problem[: SHOWN_OF_PROBLEM - 1]}…"
    return {"problem": shown, "since": told.since}


def _shown(value: object, most: int = SHOWN_CHARACTERS) -> str:
    """Return a text that fits on a line; an empty one for what is none: records may be edited by hand."""
    return harmless(value)[:most] if isinstance(value, str) else ""
