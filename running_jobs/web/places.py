"""Places for what takes long to send: two at once, and nobody keeps one who hardly reads. Thread-safe.

Under waitress a client that does not read blocks the thread that sends to it. The next who asks gets its place: its
connection is hung up, which wakes and frees that thread.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

COUNT = 2
PATIENCE_S = 60.0  # that a client may take, while others wait,
PATIENCE_BYTES = 256 << 10  # to read so much

HangUp = Callable[[], None]


def hang_up_of(environ: Mapping[str, Any]) -> HangUp | None:
    """Return what ends the connection of a request, from whatever thread; None under a server that offers no way.

    Of waitress' channel, the environment holds only this method.
    """
    connection = getattr(getattr(environ.get("waitress.client_disconnected"), "__self__", None), "socket", None)
    if connection is None:
        return None

    def hang_up() -> None:
        with contextlib.suppress(OSError):  # it is closed already
            connection.shutdown(socket.SHUT_RDWR)

    return hang_up


class Places:
    """Who is being sent to, and how long each took to read the last part."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self.now_s = now_s
        self.lock = threading.Lock()
        self.held: set[Place] = set()

    def take(self, hang_up: HangUp | None) -> Place | None:
        """Return a place that is free, or else that of the slowest who tries our patience; None if there is none.

        `hang_up` is to end the connection for which it is.
        """
        with self.lock:
            if len(self.held) >= COUNT:
                slowest = max(self.held, key=Place.waited_s)
                if slowest.hang_up is None or slowest.waited_s() <= PATIENCE_S:
                    return None
                self.held.remove(slowest)
                slowest.hang_up()
            place = Place(self, hang_up)
            self.held.add(place)
            return place


class Place:
    """One place, until it is left or given away."""

    def __init__(self, places: Places, hang_up: HangUp | None) -> None:
        self.hang_up = hang_up
        self._places = places
        self._waited_s = 0.0
        self._read_bytes = 0
        self._handed_at: float | None = None

    def waited_s(self) -> float:
        """Return how long the client has taken for what it was handed last. Whoever asks holds the lock."""
        since_s = 0.0 if self._handed_at is None else self._places.now_s() - self._handed_at
        return self._waited_s + since_s

    def hand(self, size: int) -> None:
        """Note that so many bytes are handed to the client now: from here on we wait for it."""
        with self._places.lock:
            self._read_bytes += size
            if self._read_bytes >= PATIENCE_BYTES:
                self._read_bytes, self._waited_s = 0, 0.0
            self._handed_at = self._places.now_s()

    def taken(self) -> None:
        """Note that the client took it. Raise ConnectionAbortedError if the place was given away."""
        with self._places.lock:
            if self not in self._places.held:
                raise ConnectionAbortedError("Given up for another client: hardly anything was read for a minute")
            self._waited_s, self._handed_at = self.waited_s(), None

    def leave(self) -> None:
        """Free it; the second time, or if it was given away, this does nothing."""
        with self._places.lock:
            self._places.held.discard(self)
