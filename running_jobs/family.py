"""All processes below a runner: waited for, signalled and killed together. The runner must be a subreaper.

Orphans among its descendants come back to it, so that whatever a command started, in whatever session, is found
by descent alone. Dispatchers that a command happened to start, and their jobs, do not belong to it.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable

from running_jobs.child import Usage
from running_jobs.processes import (
    Process,
    descendants,
    is_engine,
    kill_groups,
    leftovers,
    may_signal,
    only_engines_left,
    own_children,
    send_signal,
    table,
)

HOPS = 50


class Family:
    """The processes below this one, and what those that ended have used."""

    def __init__(self, first: int = 0) -> None:
        self.first = first  # whose end is the command's; 0 as long as there is none
        self.usage = Usage()
        self.wait_status: int | None = None  # of the first, once it has ended
        self.killing = False
        self._strays: Callable[[], list[Process]] | None = None

    @property
    def has_strays(self) -> bool:
        """Whether there may be processes of an earlier attempt: not our descendants, and nothing tells of their end."""
        return self._strays is not None

    def know_earlier(self, marks: dict[str, str], logs: set[tuple[int, int]]) -> None:
        """Count what earlier attempts left behind as ours: known by what it carries and where it writes."""
        self._strays = lambda: leftovers(marks, logs, None, None)

    def reap(self) -> None:
        """Wait for those that have ended."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
                if pid == 0:
                    return
                self.usage.add(usage)
                if pid == self.first:
                    self.wait_status = status

    def members(self) -> list[Process]:
        """Return those that live."""
        found = {process.pid: process for process in descendants([os.getpid()], table())}
        if self._strays is not None:
            found.update((process.pid, process) for process in self._strays())
        return list(found.values())

    def can_be_ended(self) -> bool:
        """Say whether one is left that could still be ended. Orphans come back to us: no child, no descendant."""
        alone = only_engines_left()
        if alone and not self.has_strays:
            return False
        if not self.killing and not self.has_strays:
            return True
        found = self.members()
        return any(may_signal(process) for process in found) if found else not alone

    def send(self, *signums: int) -> None:
        """Send signals to all."""
        for process in self.members():
            for signum in signums:
                send_signal(process.pid, process.started, signum)

    def kill(self) -> None:
        """SIGKILL all there are, and at once those that were forked meanwhile, so that no storm of forks outruns us."""
        self.killing = True
        seen: set[tuple[int, int]] = set()
        while found := [process for process in self.members() if (process.pid, process.started) not in seen]:
            kill_groups(found)
            for process in found:
                send_signal(process.pid, process.started, signal.SIGKILL)
                seen.add((process.pid, process.started))
        for _ in range(HOPS):  # one that forks and exits is gone before a look at all processes is over
            if only_engines_left():
                break
            for child in own_children():
                if not is_engine(child.pid):
                    send_signal(child.pid, child.started, signal.SIGKILL)
            self.reap()
