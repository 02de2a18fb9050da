"""What a job's processes use, read from /proc: CPU time and memory of all that descend from its runner.

Knows no store and nobody who asks. A runner is a child subreaper, so whatever its command started, in whatever
session, is below it. The kernel's own lists of children are followed where it keeps them (CONFIG_PROC_CHILDREN),
so that a look costs what the job has, not what the machine has; otherwise one table of all processes serves all jobs.

Memory is the sum of what each process has resident: what several share counts more than once. A proportional
share (PSS) would be nearer to the truth, and takes the kernel a hundred times as long to add up.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from running_jobs.processes import is_engine, read_proc

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Member(NamedTuple):
    """One process as /proc/PID/stat has it (proc(5)). `waited_ticks` is of children that ended and were waited for."""

    pid: int
    parent: int
    started: int
    own_ticks: int
    waited_ticks: int
    threads: int
    rss_bytes: int
    is_dead: bool


class Usage(NamedTuple):
    """What a job's processes use: CPU seconds with those of the ended, resident bytes, and which of them live."""

    cpu_s: float
    rss_bytes: int
    pids: list[int]


Children = Callable[[Member], Iterable[int]]


def read_member(pid: int) -> Member | None:
    """Return what a process has used until now, None if there is no such process. A dead one has used CPU, too."""
    try:
        fields = read_proc(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    except OSError:
        return None
    threads = int(fields[17])
    return Member(
        pid=pid,
        parent=int(fields[1]),
        started=int(fields[19]),
        own_ticks=int(fields[11]) + int(fields[12]),
        waited_ticks=int(fields[13]) + int(fields[14]),
        threads=threads,
        rss_bytes=int(fields[21]) * PAGE_BYTES,
        is_dead=fields[0] in (b"Z", b"X") and threads <= 1,  # else only its first thread ended
    )


def age_s(started_ticks: int) -> float:
    """Return how many seconds ago a process was started, from when that was in ticks since boot."""
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started_ticks / TICKS_PER_S)


def has_lists_of_children() -> bool:
    """Say whether the kernel tells a process's children."""
    return os.path.exists(f"/proc/{os.getpid()}/task/{os.getpid()}/children")


def listed_children(parent: Member) -> Iterator[int]:
    """Return the pids of a process's children as the kernel lists them: each of its threads has those that it made."""
    try:
        threads = os.listdir(f"/proc/{parent.pid}/task") if parent.threads > 1 else [parent.pid]
    except OSError:  # it ended meanwhile, and its children are somebody else's now
        return
    for thread in threads:
        with contextlib.suppress(OSError):
            yield from map(int, read_proc(f"/proc/{parent.pid}/task/{thread}/children").split())


class Table:
    """Who is whose child, for kernels that do not tell. To be filled before it is asked.

    It holds numbers and no more: what a dispatcher writes to its memory between two forks costs a runner pages.
    """

    def __init__(self) -> None:
        self._by_parent: dict[int, list[int]] = {}

    def fill(self) -> Iterator[None]:
        """Look at all processes; yield after each, so that whoever has other things to do can pause there."""
        try:
            names = os.listdir("/proc")
        except OSError:  # no descriptors: that passes
            return
        for name in names:
            if name.isdigit() and (member := read_member(int(name))):
                self._by_parent.setdefault(member.parent, []).append(member.pid)
                yield

    def children(self, parent: Member) -> list[int]:
        """Return the pids of a process's children."""
        return self._by_parent.get(parent.pid, [])


def all_children() -> Children:
    """Return a function that knows the children of any process as they are now."""
    if has_lists_of_children():
        return listed_children
    table = Table()
    for _ in table.fill():
        pass
    return table.children


def usage_below(runner: Member, children: Children, before_s: float = 0.0) -> Usage:
    """Return what all processes below a runner use, and what it waited for; dispatchers and their jobs are left out.

    `before_s` is how much of that belongs to jobs which the runner ran before. The higher ones are looked at first: one
    that ends meanwhile is missed, never counted twice.
    """
    ticks, rss_bytes, pids = runner.waited_ticks, 0, []
    seen = {runner.pid}
    to_visit = [runner]
    while to_visit:
        for pid in children(to_visit.pop()):
            child = None if pid in seen else read_member(pid)
            # a number that was given away since its parent was asked has another parent now
            if child is None or child.parent not in seen or is_engine(pid):
                continue
            seen.add(child.pid)
            to_visit.append(child)
            ticks += child.own_ticks + child.waited_ticks
            if not child.is_dead:
                rss_bytes += child.rss_bytes
                pids.append(child.pid)
    return Usage(max(0.0, ticks / TICKS_PER_S - before_s), rss_bytes, pids)


class Cumulative:
    """A sum that only grows, of figures that may fall: what is used by children nobody waits for is lost with them.

    One fall may be a process that ended between two reads, and comes back; the second shows that it is gone for good.
    """

    __slots__ = ("_fell", "_last", "total")

    def __init__(self, so_far: float = 0.0) -> None:
        self.total = so_far
        self._last = so_far
        self._fell = False

    def add(self, figure: float) -> float:
        """Take the next figure, and return the sum."""
        if figure >= self._last:
            self.total += figure - self._last
        elif not self._fell:
            self._fell = True
            return self.total
        self._last, self._fell = figure, False
        return self.total
