"""How far active jobs are, from their output: looked at again only where that grew, shared by all who watch.

Reading a job's output for its progress takes some milliseconds, so a request begins no further look after BUDGET_S;
what it does not come to is shown as it was last, and is looked at first the next time. An output that takes long to be
read is looked at the more rarely.
"""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from running_jobs import files, wording
from running_jobs.errors import InvalidJob
from running_jobs.job import ACTIVE, from_iso, to_iso
from running_jobs.paths import JobPaths
from running_jobs.progress import HEAD, Progress, estimate_s, progress_of
from running_jobs.progress_pattern import check
from running_jobs.progress_rows import LOOKED_AT
from running_jobs.summaries import Summary

BUDGET_S = 0.03
KEPT_S = 15.0  # after the output began to speak of something else
SOONEST_S = 0.5  # between two looks at the same job
MOST_SHARE = 0.05  # of a core, for looks at one job
KNOWN = 1000
MOST_SAMPLES = 64
_PERCENT = re.compile(r"^[\d.]+ ?%\s*")  # it stands there already
_ATTEMPT = re.compile(r"^--- attempt \d+ of \d+, \S+ ---$", re.MULTILINE)


class _Shown(NamedTuple):
    """What was found at a look: never changed, so that it can be shown while somebody looks again."""

    attempt: int
    progress: Progress
    left_s: float | None
    seen_at_s: float
    lapses_at_s: float = float("inf")


@dataclass
class _Known:
    """What is known of a job, whose output had `sizes` at the last look; `samples` are (wall seconds, fraction)."""

    attempt: int = 0
    sizes: tuple[int, int] = (-1, -1)
    looked_at: float = float("-inf")
    look_again_at: float = float("-inf")
    shown: _Shown | None = None
    samples: list[tuple[float, float]] = field(default_factory=list)

    def learn(self, row: Summary, progress: Progress | None, now_s: float) -> None:
        """Take in what a look found, None if nothing sure."""
        if progress is None:  # between two epochs, other lines come: what was said just now still holds
            if self.shown:
                self.shown = self.shown._replace(lapses_at_s=min(self.shown.lapses_at_s, now_s + KEPT_S))
            return
        if self.samples and progress.fraction < self.samples[-1][1]:
            self.samples.clear()  # another stage has begun
        self.samples.append((now_s, progress.fraction))
        if len(self.samples) > MOST_SAMPLES:
            del self.samples[1:-1:2]
        left_s = estimate_s(progress, self.samples, started_s=_seconds(row.started_at), now_s=now_s)
        self.shown = _Shown(row.attempt, progress, left_s, now_s)

    def begin_attempt(self, number: int) -> None:
        self.attempt, self.sizes, self.shown = number, (-1, -1), None
        self.samples.clear()


class Progresses:
    """What is known of the progress of the jobs of one data directory. Thread-safe."""

    def __init__(self, paths: JobPaths) -> None:
        self._paths = paths
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, rows: Iterable[Summary], now_s: float) -> dict[str, dict[str, Any]]:
        """Return what is shown of the active ones among these jobs whose progress is known, by id."""
        active = [row for row in rows if row.status is ACTIVE]
        if self._lock.acquire(blocking=False):  # else somebody looks just now: what was known before will do
            try:
                self._look(active, now_s)
            finally:
                self._lock.release()
        return {row.id: view for row in active if (view := _view(row, self._known.get(row.id), now_s))}

    def _look(self, rows: list[Summary], now_s: float) -> None:
        for row in rows:
            self._known.setdefault(row.id, _Known())
            self._known.move_to_end(row.id)
        until = time.monotonic() + BUDGET_S
        for row in sorted(rows, key=lambda row: self._known[row.id].looked_at):
            self._look_at(row, self._known[row.id], now_s)
            if time.monotonic() > until:
                break
        while len(self._known) > max(KNOWN, len(rows)):
            self._known.popitem(last=False)

    def _look_at(self, row: Summary, known: _Known, now_s: float) -> None:
        if row.attempt != known.attempt:
            known.begin_attempt(row.attempt)
        elif time.monotonic() < known.look_again_at:
            return
        known.looked_at = time.monotonic()
        sizes = (files.size_of(self._paths.out(row.id)), files.size_of(self._paths.err(row.id)))
        if sizes != known.sizes:
            known.learn(row, self._read(row), now_s)
            known.sizes = sizes
        now = time.monotonic()
        known.look_again_at = now + max(SOONEST_S, (now - known.looked_at) / MOST_SHARE)

    def _read(self, row: Summary) -> Progress | None:
        try:
            pattern = check("progress_pattern", row.progress_pattern) if row.progress_pattern else None
            out, out_head = _ends(self._paths.out(row.id), row.attempt)
            err, err_head = _ends(self._paths.err(row.id), row.attempt)
        except (InvalidJob, OSError):  # edited by hand; removed meanwhile
            return None
        return progress_of(out, err, out_head=out_head, err_head=err_head, pattern=pattern)


def _view(row: Summary, known: _Known | None, now_s: float) -> dict[str, Any] | None:
    shown = known.shown if known else None
    if shown is None or shown.attempt != row.attempt or now_s > shown.lapses_at_s:
        return None
    left_s = -1.0 if shown.left_s is None else shown.left_s - (now_s - shown.seen_at_s)  # silent since then
    return {
        "percent": int(100 * shown.progress.fraction),  # rounded down: 100 is all
        "text": _PERCENT.sub("", shown.progress.text),
        "left": wording.roughly(left_s) if left_s >= 0 else "",
        "ends_at": to_iso(now_s + left_s) if left_s >= 0 else None,
    }


def _seconds(moment: str | None) -> float | None:
    try:
        return from_iso(moment) if moment else None
    except (ValueError, IndexError):  # edited by hand
        return None


def _ends(path: str, attempt: int) -> tuple[str, str]:
    """Return the last part of a log and its begin, of this attempt alone; where that began in the middle, no begin."""
    try:
        data, end = files.read_from(path, -LOOKED_AT, LOOKED_AT)
        head = files.read_from(path, 0, HEAD)[0] if end > LOOKED_AT and attempt <= 1 else b""
    except FileNotFoundError:
        return "", ""
    tail = data.decode(errors="replace")
    if attempt > 1:
        begun = [match.end() for match in _ATTEMPT.finditer(tail)]
        tail = tail[begun[-1] :] if begun else tail
    return tail, head.decode(errors="replace") if head else tail[:HEAD]
