"""When Slurm is asked what it has of ours: in one call for all jobs, ever more seldom while nothing changes."""

from __future__ import annotations

from collections.abc import Callable

from running_jobs.executors.slurm_calls import Answer, Calls
from running_jobs.executors.slurm_queue import COMMAND, Row, rows_in

SOONEST_S = 2.0  # between two questions; and while nothing changes, up to
LATEST_S = 30.0
WIDENED_BY = 1.5
SHOWN_CHARACTERS = 100


class Asking:
    """Has squeue asked when it is time, and `hear` called with the rows of a directory, or with a problem."""

    def __init__(
        self,
        calls: Calls,
        directory: str,
        clock: Callable[[], float],
        hear: Callable[[list[Row] | None, str], None],
    ) -> None:
        self._calls = calls
        self._directory = directory
        self._clock = clock
        self._hear = hear
        self._rows: list[Row] | None = None  # of the last answer, None if that was none
        self._is_under_way = False
        self._ask_at = 0.0
        self._interval_s = SOONEST_S
        self.asked_at = 0.0

    def soon(self) -> None:
        """Ask as soon as may be, and often: something changes."""
        self._interval_s = SOONEST_S
        self.not_later_than(self.asked_at + SOONEST_S)

    def in_a_moment(self, now: float) -> None:
        """Ask neither at once nor late: what went wrong may pass."""
        self._interval_s = SOONEST_S
        self._ask_at = now + SOONEST_S

    def not_later_than(self, at: float) -> None:
        """Ask at that time, if not before."""
        self._ask_at = min(self._ask_at, at)

    def ask_if_due(self, now: float) -> None:
        """Ask if it is time."""
        if now >= self._ask_at and not self._is_under_way:
            self._is_under_way, self.asked_at = True, now
            self._calls.start(COMMAND, self._answered, now)

    def seconds_to_next(self, now: float) -> float | None:
        """Return when to ask again, None while an answer is awaited."""
        return None if self._is_under_way else self._ask_at - now

    def _answered(self, answer: Answer) -> None:
        self._is_under_way = False
        rows, problem = self._understood(answer)
        if rows is not None and rows != self._rows:
            self._interval_s = SOONEST_S
        self._rows = rows
        self._ask_at = self._clock() + self._interval_s
        self._interval_s = min(self._interval_s * WIDENED_BY, LATEST_S)
        self._hear(rows, problem)

    def _understood(self, answer: Answer) -> tuple[list[Row] | None, str]:
        """Return the rows, or None and what is wrong."""
        if answer.exit_code != 0:
            return None, answer.problem
        rows = rows_in(answer.out, self._directory)
        return (
            rows,
            "" if rows is not None else f"squeue said what is no list of jobs: {answer.out[:SHOWN_CHARACTERS]!r}",
        )
