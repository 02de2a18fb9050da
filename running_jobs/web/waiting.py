"""Why a queued job has not started yet: what it waits for, in words. As of one moment; decides nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from running_jobs import holdups, wording
from running_jobs.clocks import moment, seconds_left
from running_jobs.files import disk_free_bytes
from running_jobs.job import QUEUED
from running_jobs.summaries import Summary
from running_jobs.web.parts import Parts

SHOWN_CHARACTERS = 30


class Waiting(NamedTuple):
    """What a queued job waits for: other jobs (id and title of each), or what the text says."""

    text: str
    others: list[tuple[str, str]]

    @property
    def in_short(self) -> str:
        """The first of the others stands for all."""
        if not self.others:
            return self.text
        more = f" (+{len(self.others) - 1})" if len(self.others) > 1 else ""
        title = self.others[0][1]
        shown = title if len(title) <= SHOWN_CHARACTERS else f"{title[: SHOWN_CHARACTERS - 1]}…"
        return f"{self.text} {shown}{more}"


class Outlook:
    """What queued jobs may have to wait for now."""

    def __init__(self, parts: Parts) -> None:
        settings = parts.settings
        self.now = moment(parts.store.clock())
        self.running = parts.index.running_by_context()
        self.slots = settings.slots
        self.runs_nothing = not parts.index.running()
        self.told = parts.slurm.now()
        self.is_paused = parts.store.is_paused
        self.free_bytes = disk_free_bytes(parts.store.paths.data)
        self.least_bytes = settings.min_free_bytes
        self._settings = settings
        self._limits = settings.context_slots
        self._index = parts.index
        self._to_end: dict[str, str] = {}

    @property
    def free_slots(self) -> int:
        """How many jobs may start here beside those that run."""
        return max(0, self.slots - sum(self.running.values()))

    @property
    def lacks_room(self) -> bool:
        """Whether nothing starts until the disk has more room."""
        return self.free_bytes < self.least_bytes

    def learn(self, rows: Iterable[Summary]) -> None:
        """Look up what these jobs may wait for, all at once, before they are asked about one by one."""
        others = {other for row in rows if row.status is QUEUED for other in row.after}
        if others:
            self._to_end.update(self._index.still_to_end(others))

    def of(self, row: Summary) -> Waiting | None:
        """Say what a job waits for, None if it does not wait or its turn is now: first for others, then for its time,
        then for its turn."""
        if row.status is not QUEUED:
            return None
        if row.is_slurms and not self._settings.has_slurm:  # whatever else it waits for: it would do so for ever
            return Waiting(holdups.NO_SLURM, [])
        others = [(other, " ".join(self._to_end[other].split())) for other in row.after if other in self._to_end]
        if others:
            return Waiting("waits for", others)
        text = self._time_left(row) or self._held_up(row)
        return Waiting(text, []) if text else None

    def _time_left(self, row: Summary) -> str:
        left_s = seconds_left(row.not_before, row.timer, self.now)
        if left_s <= 0:
            return ""
        what = f"attempt {row.attempt + 1}" if row.attempt else "starts"
        return f"{what} in {wording.until(left_s)}"

    def _held_up(self, row: Summary) -> str:
        held = holdups.held(self.is_paused, self.lacks_room)
        if row.is_slurms:
            return holdups.in_slurm(self.told, row, self._settings, held)
        if held:
            return held
        if not self.free_slots:
            return "waits for a slot"
        if self.running.get(row.context, 0) >= self._limits.get(row.context, self.slots):
            return "waits for a slot of its context"
        return ""
