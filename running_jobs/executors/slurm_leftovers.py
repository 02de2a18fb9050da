"""What Slurm may still have of ours that nobody wants any more, by its ids: cancelled, but nothing that still counts.

An attempt is not wanted any more when its job was ended, deleted, changed or handed over anew; or when a controller
that crashed started it twice. What runs may be about to leave by itself: it is cancelled if it is still there in the
next answer. What waits is cancelled only as long as it waits: if it has just begun, its runner finds out itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from running_jobs.executors.slurm_queue import Row


class Leftovers:
    """Slurm's ids that are to be cancelled, may have to be, or mean nothing to us any more."""

    def __init__(self, is_likely: bool) -> None:
        self._may_be = is_likely  # until an answer says otherwise
        self._noted_at = 0.0  # when there last was something
        self._seen: set[str] = set()
        self._waiting: set[str] = set()
        self._any: set[str] = set()
        self.done_with: set[str] = set()  # what becomes of them says nothing of their jobs

    def __bool__(self) -> bool:
        return self._may_be

    def note(self, now: float) -> None:
        """Note that Slurm may have something, known or not, that nobody wants from now on."""
        self._may_be, self._noted_at = True, now

    def give_up(self) -> None:
        """Look for nothing any more, unless something was noted: Slurm does not answer, and nobody waits for it."""
        self._may_be = self._noted_at > 0

    def cancel(self, slurm_id: str, only_if_waiting: bool = False) -> None:
        """Have something cancelled; nothing is concluded from that."""
        self.done_with.add(slurm_id)
        (self._waiting if only_if_waiting else self._any).add(slurm_id)

    def end(self, slurm_id: str) -> None:
        """Have an attempt that still counts ended by Slurm."""
        self._any.add(slurm_id)

    def take_in(
        self, rows: list[Row], ours: Collection[str], is_wanted: Callable[[Row], bool], asked_at: float, busy: bool
    ) -> None:
        """Take note of an answer. `busy` says whether something is on its way to Slurm that no answer names yet."""
        self.done_with &= {row.slurm_id for row in rows}
        strange = [row for row in rows if row.goes_on and row.slurm_id not in ours and not is_wanted(row)]
        for row in strange:
            if row.is_waiting:
                self.cancel(row.slurm_id, only_if_waiting=True)
            elif row.slurm_id in self._seen:
                self.cancel(row.slurm_id)
        self._seen = {row.slurm_id for row in strange}
        self._may_be = bool(strange) or busy or asked_at <= self._noted_at

    def commands(self) -> list[list[str]]:
        """Return the command lines that cancel what is to be cancelled now, each id once."""
        found = []
        if self._waiting:
            found.append(["scancel", "--state=PENDING", *sorted(self._waiting)])
        if self._any:
            found.append(["scancel", *sorted(self._any)])
        self._waiting, self._any = set(), set()
        return found
