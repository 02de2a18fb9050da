"""Places for what takes long to send: two at once, and nobody keeps one who stopped reading. Thread-safe.

Under waitress a client that does not read blocks the thread that sends to it, and nothing here can wake that thread.
Its place is given to the next who asks. The thread finds out at its next step, which comes when the client reads again
or hangs up; until then it stays blocked. So that such clients never take all threads, their number is bounded too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

COUNT = 2
MAX_THREADS = 6  # with those whose place was given away; the server has 16
IDLE_S = 60.0


class Places:
    """Who is being sent to, and when each made the last step."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._lock = threading.Lock()
        self._stepped_s: dict[Place, float] = {}
        self._lost: set[Place] = set()

    def take(self) -> Place | None:
        """Return a place that is free, or else that of who made no step for over a minute; None if there is none."""
        with self._lock:
            if len(self._stepped_s) + len(self._lost) >= MAX_THREADS:
                return None
            if len(self._stepped_s) >= COUNT:
                idlest = min(self._stepped_s, key=self._stepped_s.__getitem__)
                if self._now_s() - self._stepped_s[idlest] <= IDLE_S:
                    return None
                del self._stepped_s[idlest]
                self._lost.add(idlest)
            place = Place(self)
            self._stepped_s[place] = self._now_s()
            return place

    def step(self, place: Place) -> None:
        """Note that a place is in use. Raise ConnectionAbortedError if it was given away."""
        with self._lock:
            if place not in self._stepped_s:
                raise ConnectionAbortedError(f"Given up for another client: nothing was read for over {IDLE_S:g} s")
            self._stepped_s[place] = self._now_s()

    def leave(self, place: Place) -> None:
        """Free a place, or the thread of one that was given away."""
        with self._lock:
            self._stepped_s.pop(place, None)
            self._lost.discard(place)


class Place:
    """One place, until it is left."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def step(self) -> None:
        """Say that it is in use. Raise ConnectionAbortedError if it was given away."""
        self._places.step(self)

    def leave(self) -> None:
        """Free it; the second time this does nothing."""
        self._places.leave(self)
