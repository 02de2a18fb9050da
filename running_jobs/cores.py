"""One processor for all threads of a server, and all of them for what it starts or computes without the interpreter.

The interpreter's lock lets one thread run at a time anyway. It passes from one to the next at nearly every system
call, and to wake a thread on another processor costs more than what it does until the next: what eight clients submit
at once is stored two to three times faster on one. The system moves others away from a processor that has much to do.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

_shared: set[int] = set()  # what threads were bound to, and
_every: set[int] = set()  # what they may use otherwise; both empty as long as none is bound


def share_one(processor: int) -> None:
    """Bind this thread, and all that it starts from now on, to a processor; unless it has but one, or may not."""
    every = os.sched_getaffinity(0)
    if processor in every and len(every) > 1:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, {processor})
            _shared.add(processor)
            _every.update(every)


@contextlib.contextmanager
def use_all() -> Iterator[None]:
    """Let this thread use every processor meanwhile, and a process that it starts for ever."""
    if not _every:
        yield
        return
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, _every)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, _shared)
