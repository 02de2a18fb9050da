"""What Slurm may still have of ours that nobody wants any more, by its ids: cancelled, but nothing that still counts.

An attempt is not wanted any more when its job was ended, deleted, changed or handed over anew; or when a controller
that crashed started it twice. What runs may be about to leave by itself: it is cancelled if it is still there in the
next answer. What waits is cancelled only as long as it waits: if it has just begun, its runner finds out itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from running_jobs.executors.slurm_queue import Row

GIVE_UP_AFTER_S = 3600.0  # without an answer: a dispatcher does not wait for ever for a Slurm that was removed


class Leftovers:
    """Slurm's ids that are to be cancelled, may have to be, or mean nothing to us any more."""

    def __init__(self, is_likely: bool) -> None:
        self._may_be = is_likely  # until an answer says otherwise
        self._noted_at: float | None = None  # when there last was something
        self._seen: set[str] = set()  # in the last answer
        self._to_cancel_if_waiting: set[str] = set()
        self._to_cancel: set[str] = set()
        self.done_with: set[str] = set()  # what becomes of them says nothing of their jobs

    def __bool__(self) -> bool:
        return self._may_be

    def note(self, now: float) -> None:
        """Note that Slurm may have something, known or not, that nobody wants from now on."""
        self._may_be, self._noted_at = True, now

    def give_up(self, now: float) -> None:
        """Look for nothing any more, unless something was noted: Slurm does not answer, and nobody waits for it."""
        self._may_be = self._noted_at is not None and now - self._noted_at < GIVE_UP_AFTER_S

    def cancel(self, slurm_id: str) -> None:
        """Have something cancelled that nobody wants; nothing is concluded from that."""
        self.done_with.add(slurm_id)
        self._to_cancel.add(slurm_id)

    def cancel_if_waiting(self, slurm_id: str) -> None:
        """Have it cancelled unless it has begun: then its runner finds out itself."""
        self.done_with.add(slurm_id)
        self._to_cancel_if_waiting.add(slurm_id)

    def cancel_what_counts(self, slurm_id: str) -> None:
        """Have Slurm end an attempt, whose end that then is."""
        self._to_cancel.add(slurm_id)

    def take_in(
        self, rows: list[Row], ours: Collection[str], is_wanted: Callable[[Row], bool], asked_at: float, busy: bool
    ) -> None:
        """Take note of an answer. `busy` says whether something is on its way to Slurm that no answer names yet."""
        self.done_with &= {row.slurm_id for row in rows}
        unclaimed = [row for row in rows if row.goes_on and row.is_told_by_comment and row.slurm_id not in ours]
        strange = [row for row in unclaimed if not is_wanted(row)]
        for row in strange:
            if row.is_waiting:
                self.cancel_if_waiting(row.slurm_id)
            elif row.slurm_id in self._seen:
                self.cancel(row.slurm_id)
        self._seen = {row.slurm_id for row in strange}
        self._may_be = bool(strange) or busy or (self._noted_at is not None and asked_at <= self._noted_at)

    def commands(self) -> list[list[str]]:
        """Return the command lines that cancel what is to be cancelled now, each id once."""
        found = []
        if self._to_cancel_if_waiting:
            found.append(["scancel", "--state=PENDING", *sorted(self._to_cancel_if_waiting)])
        if self._to_cancel:
            found.append(["scancel", *sorted(self._to_cancel)])
        self._to_cancel_if_waiting, self._to_cancel = set(), set()
        return found
