"""A dispatcher that SIGKILLs itself at one step: `python -I -S killed_dispatcher.py PROJECT before|after STEP COUNT DATA`.

A step is a call that changes something outside of this process or that makes a process. Only the dispatcher's own
are counted, not those of the processes that it forks. If it ends by itself, it leaves in the file COUNT how many
steps it took.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

STEPS = (
    "open", "close", "write", "pwrite", "rename", "unlink", "mkdir", "rmdir", "mkfifo", "truncate", "ftruncate",
    "fsync", "pipe", "dup2", "memfd_create", "fork", "posix_spawn", "pidfd_open", "waitpid",
)  # fmt: skip
LINGER_S = 0.3

project, moment, step, count, data = sys.argv[1:]
me = os.getpid()
last = int(step)
taken = 0


def counted(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return the call, dying before or after it if it is the one."""

    def take(*args: Any, **more: Any) -> Any:
        global taken
        if os.getpid() != me:
            return call(*args, **more)
        taken += 1
        is_the_one = taken == last
        if is_the_one and moment == "before":
            os.kill(me, signal.SIGKILL)
        try:
            return call(*args, **more)
        finally:
            if is_the_one and os.getpid() == me:
                os.kill(me, signal.SIGKILL)

    return take


def write_count() -> None:
    """Say how many steps it took."""
    with open(count, "w") as file:
        file.write(str(taken))


sys.path.insert(0, project)

from running_jobs import daemon, dispatcher  # noqa: E402 - the line above says where it is

dispatcher.LINGER_S = LINGER_S
for name in STEPS:
    setattr(os, name, counted(getattr(os, name)))
fcntl.flock = counted(fcntl.flock)
daemon.main(data)
write_count()
