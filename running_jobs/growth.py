"""When to look again at something that grows and is not to grow over a bound. Pure: sizes and times are handed in."""

from __future__ import annotations

LOOK_AT_LOGS_S = 0.25  # at the latest,
LOOK_AT_LOGS_AGAIN_S = 0.005  # and at the soonest, where a job writes so fast that it matters


class Growth:
    """How fast something grows that is not to grow over a bound, and so when to look at it again."""

    def __init__(self, bound: int) -> None:
        self.bound = bound
        self._size = 0
        self._looked_at = 0.0
        self._pause_s = LOOK_AT_LOGS_AGAIN_S / 2

    def look_again_in(self, size: int, now: float) -> float:
        """Return for how long it need not be looked at: half the time that is left if it goes on like that."""
        speed = max(0, size - self._size) / max(now - self._looked_at, 1e-6)
        left_s = (self.bound - size) / speed if speed else float("inf")
        self._pause_s = max(LOOK_AT_LOGS_AGAIN_S, min(2 * self._pause_s, left_s / 2, LOOK_AT_LOGS_S))
        self._size, self._looked_at = size, now
        return self._pause_s
