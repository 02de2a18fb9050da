"""The listing: a summary of every job in memory, kept current from the journal without rescanning the directory.

For one long-lived reader with many threads (the server). Holds no truth: whatever it shows, the files say. At first
it reads the jobs that have not ended, as their markers tell, and the others when they are asked for, the newest first:
100,000 take seconds, and a page of them does not have to wait for all.
"""

from __future__ import annotations

import bisect
import threading
import time
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from running_jobs.errors import NoSuchJob, UnreadableJob
from running_jobs.job import ACTIVE, FINAL, QUEUED, JobStatus
from running_jobs.journal import Follower
from running_jobs.store import JobStore
from running_jobs.summaries import Summary, summarize
from running_jobs.tallies import Tallies, Tally

READ_ON_S = 0.1  # so that a few thousand jobs are read within the first request
SLICE_S = 0.01  # for which a search reads before it lets others in
KEPT_PAGES = 100  # pages that are kept until something changes: whoever looks on asks for the same ones again


class JobFilter(NamedTuple):
    """Which jobs to list: all conditions hold together; `text` is looked for in id, name and command.

    `since` and `until` are the earliest and the latest moment of creation, in the form that jobs keep.
    """

    status: str | None = None
    context: str | None = None
    text: str | None = None
    since: str | None = None
    until: str | None = None

    def fits(self, row: Summary) -> bool:
        """Say whether a row is wanted."""
        if self.status and row.status != self.status:
            return False
        if self.context and row.context != self.context:
            return False
        if (self.since or self.until) and not (self.since or "") <= (row.created_at or "") <= (self.until or "~"):
            return False
        if not self.text:
            return True
        text = self.text.casefold()
        return text in row.title.casefold() or text in row.what.casefold() or text in row.id.casefold()


class Page(NamedTuple):
    """A part of the list, newest first; `next_before` is where the next part goes on, None at the end."""

    rows: list[Summary]
    next_before: str | None
    total: int


class JobIndex:
    """The summaries of all jobs of a store. Each call sees every change that was finished before it."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._rows: dict[str, Summary] = {}
        self._order: list[str] = []  # of all jobs, also those that were not read yet
        self._all_read_from: str | None = None  # the id from which on all were
        self._problems: dict[str, str] = {}
        self._counts: Counter[JobStatus] = Counter()
        self._contexts: Counter[str] = Counter()
        self._latest: list[str] = []
        self._pages: dict[tuple[JobFilter, str | None, int], Page] = {}
        self._running: Counter[str] = Counter()
        self._on_slurm: Counter[JobStatus] = Counter()
        self._tallies = Tallies()
        self._owing = 0
        self._follower: Follower | None = None

    def page(self, wanted: JobFilter, before: str | None = None, limit: int = 50) -> Page:
        """Return at most `limit` jobs older than the id `before`, or the newest, that fit a filter."""
        if self._follower is None or len(self._rows) < len(self._order):
            self._read_for(wanted, before, limit)
        with self._lock:
            self._refresh()
            asked = (wanted, before, limit)
            page = self._pages.pop(asked, None) or self._find(wanted, before, limit)
            self._pages[asked] = page  # as the last: the first is the one that nobody has asked for the longest
            if len(self._pages) > KEPT_PAGES:
                del self._pages[next(iter(self._pages))]
            return page

    def counts(self) -> dict[str, int]:
        """Return the number of jobs in each status, once all have been read."""
        with self._lock:
            self._refresh()
            self._read_on(float("inf"))
            return {status.value: self._counts[status] for status in JobStatus}

    def counts_so_far(self) -> tuple[dict[str, int], bool]:
        """Return the number of jobs in each status, and whether all that ended are counted by now; the others are."""
        with self._lock:
            self._refresh()
            is_complete = self._read_on(READ_ON_S)
            return {status.value: self._counts[status] for status in JobStatus}, is_complete

    def read_on(self, for_s: float) -> bool:
        """Read jobs that were not read yet for about so long. Return whether all have been read."""
        with self._lock:
            self._refresh()
            return self._read_on(for_s)

    def contexts(self, limit: int) -> list[tuple[str, int]]:
        """Return the contexts of what was read, with the number of jobs, the most used first, at most `limit`."""
        with self._lock:
            self._refresh()
            return self._contexts.most_common(limit)

    def running(self) -> int:
        """Return how many jobs run here or on Slurm."""
        return sum(self.running_by_context().values()) + self._on_slurm[ACTIVE]

    def running_by_context(self) -> dict[str, int]:
        """Return how many jobs of each context run here and take a slot: none that Slurm runs."""
        with self._lock:
            self._refresh()
            return dict(self._running)

    def tally(self) -> Tally:
        """Return what there is to watch over of queued and ended jobs."""
        with self._lock:
            self._refresh()
            return self._tallies.tally(self._rows)

    def has_work(self, on_slurm: bool = False) -> bool:
        """Say whether a job is queued, runs, or owes callbacks; `on_slurm`: whether one of Slurm's waits or runs."""
        with self._lock:
            self._refresh()
            is_slurms = self._on_slurm[QUEUED] or self._on_slurm[ACTIVE]
            return bool(is_slurms or (not on_slurm and (self._counts[QUEUED] or self._owing or self._running)))

    def unsettled_ids(self) -> list[str]:
        """Return the ids of the jobs that have not ended, or have callbacks to make, whatever their markers say."""
        with self._lock:
            self._refresh()
            self._read_on(float("inf"))
            return [row.id for row in self._rows.values() if row.status not in FINAL or row.owes_callbacks]

    def still_to_end(self, ids: Iterable[str]) -> dict[str, str]:
        """Return those of these jobs that have not ended, with their titles; of one that cannot be read, its id."""
        with self._lock:
            self._refresh()
            rows = {job_id: self._row(job_id) for job_id in ids}
            found = {job_id: row.title for job_id, row in rows.items() if row and row.status not in FINAL}
            return {**found, **{job_id: job_id for job_id in rows if job_id in self._problems}}

    def problems(self) -> dict[str, str]:
        """Return what is wrong with the files that were read and are no jobs although their names say so."""
        with self._lock:
            self._refresh()
            return dict(self._problems)

    def _read_for(self, wanted: JobFilter, before: str | None, limit: int) -> None:
        """Read what a page needs, and let others in now and then: a search may need all."""
        missing, before = (float("inf"), None) if wanted.since else (limit + 1, before)
        at = 1
        while at and missing:
            with self._lock:
                self._refresh()
                until = time.monotonic() + SLICE_S
                at = bisect.bisect_left(self._order, before or "~") if len(self._rows) < len(self._order) else 0
                while at and missing and time.monotonic() < until:
                    at -= 1
                    before = self._order[at]
                    row = self._row(before)
                    missing -= bool(row and wanted.fits(row))
            time.sleep(SLICE_S / 4)

    def _find(self, wanted: JobFilter, before: str | None, limit: int) -> Page:
        rows: list[Summary] = []
        most = self._most_that_fit(wanted)
        latest = self._latest_up_to() if wanted.since and self._read_on(float("inf")) else None
        position = bisect.bisect_left(self._order, before) if before else len(self._order)
        for at in range(position - 1, -1, -1):  # what is found to be no job goes from its place, and moves none before
            if len(rows) == most or (latest is not None and latest[at] < (wanted.since or "")):
                break
            row = self._row(self._order[at])
            if row and wanted.fits(row):
                if len(rows) == limit:
                    return Page(rows, rows[-1].id, len(self._order))
                rows.append(row)
        return Page(rows, None, len(self._order))

    def _row(self, job_id: str) -> Summary | None:
        row = self._rows.get(job_id)
        if row is None and self._is_listed(job_id):
            self._look_at(job_id)
            row = self._rows.get(job_id)
        return row

    def _is_listed(self, job_id: str) -> bool:
        at = bisect.bisect_left(self._order, job_id)
        return at < len(self._order) and self._order[at] == job_id

    def _most_that_fit(self, wanted: JobFilter) -> int:
        most = len(self._order)
        if len(self._rows) < most:  # not all are counted
            return most
        if wanted.status:
            most = min(most, self._counts[JobStatus(wanted.status)])
        return min(most, self._contexts[wanted.context]) if wanted.context else most

    def _latest_up_to(self) -> list[str]:
        """Return for each place in the order when the latest of the jobs up to there was created.

        Ids sort by arrival and are no clock: one that was set back has given later jobs earlier times.
        """
        highest = self._latest[-1] if self._latest else ""
        for job_id in self._order[len(self._latest) :]:
            highest = max(highest, self._rows[job_id].created_at or "")
            self._latest.append(highest)
        return self._latest

    def _refresh(self) -> None:
        is_first = self._follower is None
        if self._follower is None:
            self._follower = Follower(self._store.paths.journal)  # before the scan, so that nothing falls between
        try:
            changed = None if is_first else self._follower.changed()
            if changed is None:
                self._scan()
            for job_id in changed or ():
                self._look_at(job_id)
        except OSError:  # no descriptors, a failing disk: what we were about to take in must not be forgotten
            self._follower.close()
            self._follower = None
            raise

    def _scan(self) -> None:
        ids = self._store.ids()
        if not self._rows:
            self._order, self._all_read_from = ids, None
            ids = [job_id for job_id in self._store.open_ids() if self._is_listed(job_id)]
        else:
            for job_id in set(self._order).difference(ids):
                self._forget(job_id)
            for job_id in set(self._problems).difference(ids):
                del self._problems[job_id]
        for job_id in ids:
            self._look_at(job_id)

    def _read_on(self, for_s: float) -> bool:
        until = time.monotonic() + for_s
        at = bisect.bisect_left(self._order, self._all_read_from) if self._all_read_from else len(self._order)
        while at and time.monotonic() < until and len(self._rows) < len(self._order):
            at -= 1
            job_id = self._order[at]
            self._row(job_id)
            self._all_read_from = job_id
        return len(self._rows) == len(self._order)

    def _look_at(self, job_id: str) -> None:
        try:
            job = self._store.get(job_id)
        except NoSuchJob:
            self._problems.pop(job_id, None)
            self._forget(job_id)
            return
        except UnreadableJob as error:
            self._problems[job_id] = error.problem
            self._forget(job_id)
            return
        self._problems.pop(job_id, None)
        before = self._rows.get(job_id)
        row = summarize(job)
        if before == row:
            return
        if before is not None:
            self._count(before, -1)
        self._rows[job_id] = row
        self._count(row, 1)
        is_read_late = before is None and self._is_listed(job_id)
        self._tallies.take_in(before, row, is_read_late)
        if is_read_late:
            return  # no page that is kept goes back as far
        if before is None:
            bisect.insort(self._order, job_id)
        if before is None or before.created_at != row.created_at:
            self._no_more_known_from(job_id)
        self._pages.clear()

    def _count(self, row: Summary, by: int) -> None:
        self._counts[row.status] += by
        self._contexts[row.context] += by
        if not self._contexts[row.context]:
            del self._contexts[row.context]
        self._owing += by if row.owes_callbacks else 0
        if row.is_slurms:
            self._on_slurm[row.status] += by
        elif row.status is ACTIVE and row.executor != "elsewhere":
            self._running[row.context] += by
            if not self._running[row.context]:
                del self._running[row.context]

    def _forget(self, job_id: str) -> None:
        row = self._rows.pop(job_id, None)
        if row is not None:
            self._tallies.forget(row)
            self._count(row, -1)
        if self._is_listed(job_id):
            self._no_more_known_from(job_id)
            self._pages.clear()
            del self._order[bisect.bisect_left(self._order, job_id)]

    def _no_more_known_from(self, job_id: str) -> None:
        del self._latest[bisect.bisect_left(self._order, job_id) :]
