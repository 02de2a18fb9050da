"""The dispatcher's ear: the FIFO in which it is poked. A poke says that there is something to see, or soon will be."""

from __future__ import annotations

import os
import select
import time

from running_jobs.paths import JobPaths
from running_jobs.wake import drain, open_fifo

DEAF_S = 0.02


class Pokes:
    """The end of the FIFO that is read. `poller` is told of it.

    Whoever has heard one may be deaf for a moment: a look for each of a thousand pokes would take the time of those who
    give them.
    """

    def __init__(self, paths: JobPaths, poller: select.poll) -> None:
        self._paths = paths
        self._poller = poller
        self._deaf_until = 0.0
        self.descriptor = -1

    def open(self) -> None:
        """Be the one whom pokes reach."""
        self.descriptor = open_fifo(self._paths)
        self._poller.register(self.descriptor, select.POLLIN)

    def close(self) -> None:
        """Have pokes fail from now on."""
        self._poller.unregister(self.descriptor)
        os.close(self.descriptor)

    def hear(self) -> bool:
        """Take all that are there. Return whether one of them announced a job."""
        is_announced = drain(self.descriptor)
        self._deaf_until = time.monotonic() + DEAF_S
        return is_announced

    def listen(self, now: float, may_be_deaf: bool) -> float | None:
        """Have the poller tell of pokes, or not for the seconds that are returned."""
        is_deaf = may_be_deaf and now < self._deaf_until
        self._poller.modify(self.descriptor, 0 if is_deaf else select.POLLIN)
        return self._deaf_until - now if is_deaf else None
