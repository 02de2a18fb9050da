"""Files that are written over where others would be made anew.

For a new file the file system has to find a free inode. Where it leaves those alone that were freed a moment ago (ext4
without a journal passes over all of the last minute, each time), that takes longer than all else that a short job
needs. So a runner writes into what its job needs no more, and keeps what was replaced for its next job.

No reader may see that: a file is only written over if it has one name, under which nobody reads it, and if no process
has it open, which the kernel knows (F_SETLEASE in fcntl(2)).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import stat
from collections.abc import Iterator

from running_jobs import files


@contextlib.contextmanager
def lease_signals_ignored() -> Iterator[None]:
    """Take no notice of the signal that comes to whoever asks whether a file is open while somebody opens it."""
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGIO, before)


def write_over(path: str, data: bytes, sync: bool) -> files.Version | None:
    """Write a file's content anew in place and return its version then; None if somebody could see that.

    Raise OSError if there is no such file, or if it could not be written whole. The caller ignores SIGIO.
    """
    descriptor, found = files.open_regular(path, os.O_WRONLY)
    try:
        if found.st_nlink != 1 or stat.S_IMODE(found.st_mode) != files.PRIVATE or not _is_open_here_alone(descriptor):
            return None
        files.write_all(descriptor, data)
        if found.st_size > len(data):
            os.ftruncate(descriptor, len(data))
        if sync:
            os.fsync(descriptor)
        return files.version_of(os.fstat(descriptor))
    finally:
        os.close(descriptor)


def _is_open_here_alone(descriptor: int) -> bool:
    """Say whether nobody else has an open file open; no, where the file system cannot tell."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        return False
    return True
