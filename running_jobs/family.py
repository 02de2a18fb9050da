"""All processes below a runner: waited for, signalled and killed together. The runner must be a subreaper.

Orphans among its descendants come back to it, so that whatever a command started, in whatever session, is found
by descent alone. Dispatchers that a command happened to start, and their jobs, do not belong to it.
"""

from __future__ import annotations

import contextlib
import os
import signal

from running_jobs.child import Usage
from running_jobs.processes import (
    Process,
    descendants,
    is_engine,
    kill_groups,
    may_signal,
    only_engines_left,
    own_children,
    send_signal,
    table,
)

HOPS = 50


class Family:
    """The processes below this one, and what those that ended have used."""

    def __init__(self, first: int) -> None:
        self.first = first  # whose end is the command's
        self.usage = Usage()
        self.wait_status: int | None = None  # of the first, once it has ended
        self.killing = False

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
        return descendants([os.getpid()], table())

    def can_be_ended(self) -> bool:
        """Say whether one is left that could still be ended. Orphans come back to us: no child, no descendant."""
        if only_engines_left():
            return False
        found = self.members() if self.killing else []
        return not found or any(may_signal(process) for process in found)

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
