"""Room kept on the disk, so that a change can be written when there is none: two files, one for what is asked of
the job that filled the disk, one for its end."""

from __future__ import annotations

import contextlib
import errno
import os

from running_jobs import files
from running_jobs.paths import JobPaths

RESERVE_BYTES = 64 << 10


def keep(paths: JobPaths) -> None:
    """Make the reserves that are missing, if there is room."""
    for path in paths.reserves:
        if not os.path.lexists(path):
            with contextlib.suppress(OSError):
                files.write_atomically(path, bytes(RESERVE_BYTES), sync=False)


def spend(paths: JobPaths, sync: bool) -> Spending:
    """Begin to write into a reserve. Raise OSError ENOSPC if none is left."""
    for path in paths.reserves:
        with contextlib.suppress(FileNotFoundError):
            return Spending(path, sync)
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Spending:
    """A reserve that becomes another file: its blocks are on the disk already, nobody can be quicker to fill them."""

    def __init__(self, path: str, sync: bool) -> None:
        self._path = path
        self._sync = sync
        self._descriptor = files.open_private(path, os.O_RDWR)

    def make_room(self) -> None:
        """Give half of it back, for what must be written elsewhere at once."""
        os.ftruncate(self._descriptor, RESERVE_BYTES // 2)

    def become(self, path: str, content: bytes) -> None:
        """Replace a file by one with this content. Raise OSError ENOSPC if it is larger than the reserve."""
        try:
            if len(content) > RESERVE_BYTES // 2:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            files.write_all(self._descriptor, content)
            os.ftruncate(self._descriptor, len(content))
            if self._sync:
                os.fsync(self._descriptor)
            os.rename(self._path, path)
        finally:
            os.close(self._descriptor)
