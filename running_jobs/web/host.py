"""What the host uses, for the strip at the top: one measurement for all viewers, a few seconds old at the most."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil

from running_jobs import wording

MEASURED_EVERY_S = 5.0
LEAST_S = 0.1  # of all cores: less says nothing
STEP_PERCENT = 5  # CPU is said this coarsely: it is never still


class Host:
    """Measures between calls. Thread-safe. `data` is a folder on the disk that is meant."""

    def __init__(self, data: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._data = data
        self._clock = clock
        self._lock = threading.Lock()
        self._measured_at = float("-inf")
        self._busy: tuple[float, float] | None = None  # seconds of all cores since boot: busy, and all
        self._figures: list[dict[str, Any]] = []

    def figures(self) -> list[dict[str, Any]]:
        """Return name, percent and text of each figure; CPU is missing the first time: there is nothing to compare."""
        with self._lock:
            now = self._clock()
            if now - self._measured_at >= MEASURED_EVERY_S:
                self._figures = [figure for figure in (self._cpu(), _memory(), self._disk()) if figure]
                self._measured_at = now
            return self._figures

    def _cpu(self) -> dict[str, Any] | None:
        times = psutil.cpu_times()
        every = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)  # in user and nice, too
        now = (every - times.idle - getattr(times, "iowait", 0.0), every)
        before = self._busy
        if before is not None and now[1] - before[1] < LEAST_S:
            return None
        self._busy = now
        if before is None:
            return None
        percent = min(max(100 * (now[0] - before[0]) / (now[1] - before[1]), 0.0), 100.0)
        shown = STEP_PERCENT * round(percent / STEP_PERCENT)
        return {"name": "CPU", "percent": shown, "text": f"{shown} %", "told": f"{shown} % of all cores used"}

    def _disk(self) -> dict[str, Any] | None:
        try:
            disk = shutil.disk_usage(self._data)
        except OSError:
            return None
        figure = _figure("disk", disk.total - disk.free, disk.total)
        return figure and {**figure, "text": f"{wording.size(disk.free)} free"}


def _memory() -> dict[str, Any] | None:
    memory = psutil.virtual_memory()
    used = memory.total - memory.available
    figure = _figure("memory", used, memory.total)
    return figure and {**figure, "text": _of(used, memory.total)}


def _figure(name: str, used: float, total: float) -> dict[str, Any] | None:
    if total <= 0:
        return None
    percent = round(100 * used / total)
    told = f"{wording.size(used)} of {wording.size(total)} used"
    return {"name": name, "percent": percent, "text": f"{percent} %", "told": told}


def _of(used: float, total: float) -> str:
    """Say how much of how much; the unit once, where it is the same."""
    said, of = wording.size(used), wording.size(total)
    return f"{said.split()[0] if said.split()[1] == of.split()[1] else said} of {of}"
