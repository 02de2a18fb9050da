"""Files that other processes look at while they change: atomic writes, locks, appends, reads from an offset.

Knows no jobs. Every file made here is private (0600) from the moment it exists, closed on exec, and
no link is followed in its last part.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator

from running_jobs.errors import NOT_OURS, LockTimeout

PRIVATE = 0o600
LOCK_WAIT_S = 10.0
Version = tuple[int, int, int]  # inode, time in ns, size: one changes when a file is replaced
_SAFE = os.O_CLOEXEC | os.O_NOFOLLOW


def open_private(path: str, flags: int) -> int:
    """Open a file, made 0600 if `flags` hold O_CREAT, and return its descriptor. Raise OSError (ELOOP for a link)."""
    return open_regular(path, flags)[0]


def make_private_file(path: str) -> int:
    """Make a file that is not there yet, open for writing, and return its descriptor. Raise OSError."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _SAFE, PRIVATE)


def open_regular(path: str, flags: int) -> tuple[int, os.stat_result]:
    """Do as open_private does, and return what is known of the file, too."""
    descriptor = os.open(path, flags | _SAFE | os.O_NONBLOCK, PRIVATE)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):  # a FIFO or device laid in its place must not hang us
        os.close(descriptor)
        raise OSError(errno.EINVAL, "Not a regular file", path)
    return descriptor, found


def make_private_directory(path: str) -> bool:
    """Make a directory for its owner alone, narrowing one that exists. Return whether it is new."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        mode = os.stat(path, follow_symlinks=False).st_mode
        if not stat.S_ISDIR(mode):
            raise OSError(errno.ENOTDIR, "Not a directory", path) from None
        if stat.S_IMODE(mode) != 0o700:
            os.chmod(path, 0o700)
        return False
    return True


def sync_directory(path: str) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of data, however many calls it takes."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def write_atomically(path: str, data: bytes, sync: bool) -> None:
    """Replace a file's content so that every reader sees the old or the new, never a part.

    The caller sees to it that only one process writes this path at a time.
    """
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.new")
    write_anew(temporary, data, sync)
    try:
        os.rename(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def version_of(found: os.stat_result) -> Version:
    """Return the version of a file that this was told of."""
    return found.st_ino, found.st_mtime_ns, found.st_size


def write_anew(path: str, data: bytes, sync: bool) -> Version:
    """Write a file in place of what may be there; if that fails, there is none."""
    try:
        descriptor = make_private_file(path)
    except FileExistsError:
        descriptor = _take_over(path, len(data))
    try:
        write_all(descriptor, data)
        if sync:
            os.fsync(descriptor)
        return version_of(os.fstat(descriptor))
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise
    finally:
        os.close(descriptor)


def _take_over(path: str, size: int) -> int:
    """Open what is there to be written over: a new file costs more. A link or what is open to others is replaced."""
    with contextlib.suppress(OSError):
        descriptor, found = open_regular(path, os.O_WRONLY)
        is_ours = found.st_nlink == 1 and stat.S_IMODE(found.st_mode) == PRIVATE
        try:
            if is_ours and found.st_size > size:
                os.ftruncate(descriptor, size)
        except OSError:
            is_ours = False
        if is_ours:
            return descriptor
        os.close(descriptor)
    os.unlink(path)
    return make_private_file(path)


def append_line(path: str, line: str) -> int:
    """Append one line and return how long the file was; a part of a line that was left before is closed first.

    If the disk is full now, what was written of the line is taken back: only for those who append under a lock.
    """
    descriptor, found = open_regular(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    try:
        size = found.st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        try:
            write_all(descriptor, (b"\n" if torn else b"") + line.encode(errors="replace") + b"\n")
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, size)
            raise
        return size
    finally:
        os.close(descriptor)


def read_bounded(path: str, limit: int) -> bytes:
    """Read a whole file. Raise OSError EFBIG if it is larger than limit bytes."""
    descriptor, found = open_regular(path, os.O_RDONLY)
    try:
        size = found.st_size
        if size > limit:
            raise OSError(errno.EFBIG, "File too large", path)
        data = os.read(descriptor, size + 1)
        while len(data) > size and (chunk := os.read(descriptor, limit)):  # it grew meanwhile
            data += chunk
        return data
    finally:
        os.close(descriptor)


def read_from(path: str, offset: int, limit: int) -> tuple[bytes, int]:
    """Read at most limit bytes from an offset, counted from the end if negative. Return them and the next offset."""
    descriptor, found = open_regular(path, os.O_RDONLY)
    try:
        size = found.st_size
        start = max(0, size + offset) if offset < 0 else min(offset, size)
        data = os.pread(descriptor, limit, start)
        return data, start + len(data)
    finally:
        os.close(descriptor)


def try_lock(descriptor: int, shared: bool = False) -> bool:
    """Take an flock if it is free. Return whether it was."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_for_lock(descriptor: int, path: str, wait_s: float = LOCK_WAIT_S) -> None:
    """Take an exclusive flock. Raise LockTimeout after wait_s seconds.

    The kernel's own wait has no bound that a thread could set, so this tries again at random intervals: short at first,
    since most hold a lock for a tenth of a millisecond, and longer while many wait.
    """
    pause_s = 0.00005
    deadline = time.monotonic() + wait_s
    while not try_lock(descriptor):
        if time.monotonic() > deadline:
            raise LockTimeout(path, wait_s)
        time.sleep(pause_s * (0.5 + time.perf_counter_ns() % 997 / 997))  # unevenly: waiters must not march in step
        pause_s = min(pause_s * 1.2, 0.008)


def is_locked(path: str) -> bool:
    """Say whether some process holds an exclusive lock on a file. A missing file is not locked, nor what is no file."""
    try:
        descriptor = open_private(path, os.O_RDONLY)
    except OSError as error:
        if error.errno == errno.ENOENT or error.errno in NOT_OURS:
            return False
        raise
    try:
        return not try_lock(descriptor, shared=True)
    finally:
        os.close(descriptor)


def names_file(path: str, descriptor: int) -> bool:
    """Say whether path still names the open file."""
    return is_at(path, os.fstat(descriptor))


def is_at(path: str, opened: os.stat_result) -> bool:
    """Say whether path names the file that `opened` tells of."""
    try:
        named = os.lstat(path)
    except FileNotFoundError:
        return False
    return (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)


def take_lock(path: str, wait_s: float = LOCK_WAIT_S) -> int:
    """Lock a file exclusively, made if missing, and return its descriptor; closing it unlocks. Raise LockTimeout."""
    while True:
        descriptor, opened = open_regular(path, os.O_RDWR | os.O_CREAT)
        try:
            wait_for_lock(descriptor, path, wait_s)
            if is_at(path, opened):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # it was deleted while we waited, and others lock another file


@contextlib.contextmanager
def locked(path: str, wait_s: float = LOCK_WAIT_S) -> Iterator[int]:
    """Hold an exclusive lock on a file, made if missing; yield its descriptor. Raise LockTimeout.

    A process forked inside must end with os._exit: the lock belongs to the open file that both share.
    """
    descriptor = take_lock(path, wait_s)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def disk_free_bytes(path: str) -> int:
    """Return the room left for this user on the disk that holds a path."""
    disk = os.statvfs(path)
    return disk.f_bavail * disk.f_frsize


def size_of(path: str) -> int:
    """Return how many bytes a file has; 0 if there is none that can be seen. No link is followed."""
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0


def hold_only(*descriptors: int) -> None:
    """Close all but the standard streams and these: what a forked process inherits is its parent's to hold."""
    behind = 3
    for kept in sorted(descriptors):
        os.closerange(behind, kept)
        behind = kept + 1
    os.closerange(behind, 1 << 20)
