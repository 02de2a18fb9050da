"""How a dispatcher is poked, started and replaced. Nothing here decides about jobs.

A byte in the FIFO is only a poke: what it tells can be seen, or soon will be. Whoever starts a dispatcher takes its
lock first and hands the open file down to it: so one is started at a time, and "held" means "alive or about to be".
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import stat
import time
from typing import NamedTuple

from running_jobs import files, folders
from running_jobs.engine import spawn
from running_jobs.errors import NOT_OURS, DispatcherFailed, LockTimeout
from running_jobs.paths import JobPaths, data_of
from running_jobs.processes import boot_id, is_alive, look_at, send_signal
from running_jobs.settings import Settings
from running_jobs.store import JobStore

LOOK, SOON = b"\0", b"\1"  # what a poke says: look; a job is about to come
REPLACE_WAIT_S = 5.0
PROBED_S = 0.005  # for longer nobody holds the lock only to see whether it is free
DYING_S = 1.0  # for which a dispatcher that is dead may still hold its lock: what it had open is closed in any order
MAX_POKES = 65536  # at once; as many as fit into a FIFO
_LOCK_DESCRIPTOR = 3
_SIGNATURE_BYTES = 200


class _Signer(NamedTuple):
    """The process that holds a lock, as it says itself: pid, start in ticks since boot, and which boot."""

    pid: int
    started: int
    boot_id: str


def announce(paths: JobPaths) -> None:
    """Tell the dispatcher, if one lives, that a job is about to come: it can have a runner ready by then."""
    with contextlib.suppress(OSError):  # if it is not heard, it will be seen
        if not is_on_a_node(paths):
            poke(paths, SOON)


def poke(paths: JobPaths, what: bytes = LOOK) -> bool:
    """Tell the dispatcher to look. Return False if none reads the FIFO."""
    try:
        fifo = os.open(paths.wake, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ENOENT, errno.ELOOP, errno.EACCES):
            return False
        raise
    try:
        if not stat.S_ISFIFO(os.fstat(fifo).st_mode):
            return False
        os.write(fifo, what)
    except BlockingIOError:
        pass  # so full of pokes that one more tells nothing new
    except BrokenPipeError:
        return False
    finally:
        os.close(fifo)
    return True


def open_fifo(paths: JobPaths) -> int:
    """Open the FIFO for reading and writing, so that it never ends; make it if it is missing. Return the descriptor."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISFIFO(os.lstat(paths.wake).st_mode):
            os.unlink(paths.wake)
    with contextlib.suppress(FileExistsError):
        os.mkfifo(paths.wake, files.PRIVATE)
    return os.open(paths.wake, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)


def drain(fifo: int) -> bool:
    """Take all pokes out of the FIFO: a thousand say no more than one. Return whether a job was announced."""
    taken, is_announced = b"", False
    with contextlib.suppress(BlockingIOError):
        while not taken or len(taken) == MAX_POKES:
            taken = os.read(fifo, MAX_POKES)
            is_announced |= SOON in taken
    return is_announced


def dispatcher_lives(paths: JobPaths) -> bool:
    """Say whether a dispatcher of this data directory lives or is about to."""
    return files.is_locked(paths.dispatcher_lock)


def wake_dispatcher(settings: Settings) -> int | None:
    """Poke the dispatcher, or start one where none is. Return the pid to wait for if one was started."""
    paths = JobPaths(settings.data)
    return None if is_on_a_node(paths) or poke(paths) else ensure_dispatcher(settings)


def is_on_a_node(paths: JobPaths) -> bool:
    """Say whether we are in a job of this directory that Slurm runs: there, nobody is poked, and none is started.

    A dispatcher there would run local jobs on a node, and end with the job. The one of the host looks by itself.
    """
    return "SLURM_JOB_ID" in os.environ and data_of(os.environ) == paths.data


def ensure_dispatcher(settings: Settings, wait_s: float = PROBED_S) -> int | None:
    """Start a dispatcher unless one lives, and goes on living so long.

    Return the pid to wait for, which is not the dispatcher's but that of the one between, or None.
    """
    paths = JobPaths(settings.data)
    if is_on_a_node(paths):
        return None
    lock = _open_lock(paths)
    try:
        try:
            files.wait_for_lock(lock, paths.dispatcher_lock, wait_s)
        except LockTimeout:
            if not _is_signed_by_the_dead(lock):
                return None
            files.wait_for_lock(lock, paths.dispatcher_lock, DYING_S)  # what it was just forking holds it, too
        return _spawn(settings, lock)
    except LockTimeout:
        return None
    finally:
        os.close(lock)


def replace_dispatcher(settings: Settings) -> int:
    """End the dispatcher that lives, if any, and start another with these settings. Jobs do not notice.

    Return the pid to wait for. Raise LockTimeout if the old one does not go.
    """
    paths = JobPaths(settings.data)
    deadline = time.monotonic() + REPLACE_WAIT_S
    while True:
        lock = _open_lock(paths)
        try:
            if not files.try_lock(lock):
                _end_holder(lock)
                with contextlib.suppress(LockTimeout):
                    files.wait_for_lock(lock, paths.dispatcher_lock, 0.5)
                    return _spawn(settings, lock)
            else:
                return _spawn(settings, lock)
        finally:
            os.close(lock)
        if time.monotonic() > deadline:
            raise LockTimeout(paths.dispatcher_lock, REPLACE_WAIT_S)


def sign(lock: int) -> None:
    """Write into the lock's file who holds it. On a full disk it stays unsigned: it can then only not be replaced."""
    me = look_at(os.getpid())
    if me is not None:
        signature = json.dumps({"pid": me.pid, "started": me.started, "boot_id": boot_id()})
        with contextlib.suppress(OSError):
            os.pwrite(lock, signature.encode().ljust(_SIGNATURE_BYTES), 0)


def _is_signed_by_the_dead(lock: int) -> bool:
    """Say whether whoever signed a lock has died. What is unsigned is held by one that is about to live."""
    signer = _signer(lock)
    return signer is not None and not is_alive(*signer)


def _signer(lock: int) -> _Signer | None:
    """Return who signed a lock, None if nobody has yet, or not in our way."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        signed = json.loads(os.pread(lock, _SIGNATURE_BYTES, 0))
        found = _Signer(signed["pid"], signed["started"], signed["boot_id"])
        return found if isinstance(found.pid, int) and isinstance(found.started, int) else None
    return None


def _open_lock(paths: JobPaths) -> int:
    try:
        return files.open_private(paths.dispatcher_lock, os.O_RDWR | os.O_CREAT)
    except FileNotFoundError:  # run/ may be deleted when nothing runs; where nothing is, nobody needs us
        if not os.listdir(paths.data):
            raise
        JobStore(paths.data).prepare()
        return files.open_private(paths.dispatcher_lock, os.O_RDWR | os.O_CREAT)
    except OSError as error:  # read-only, no descriptors
        if error.errno in NOT_OURS and _clear(paths.dispatcher_lock):
            return _open_lock(paths)
        raise DispatcherFailed(error) from error


def _clear(path: str) -> bool:
    """Remove what is in place of a file of ours that holds nothing worth keeping. Return whether it is gone."""
    with contextlib.suppress(OSError):
        folders.remove(path)
    return not os.path.lexists(path)


def _end_holder(lock: int) -> None:
    holder = _signer(lock)  # if it has not signed yet, the next look will find it
    if holder and holder.boot_id == boot_id():
        send_signal(holder.pid, holder.started, signal.SIGTERM)


def _spawn(settings: Settings, lock: int) -> int:
    with contextlib.suppress(OSError):
        os.pwrite(lock, b"".ljust(_SIGNATURE_BYTES), 0)  # the last one's is no more true
    try:
        return spawn("__main__.py", [settings.data], settings, {_LOCK_DESCRIPTOR: lock})
    except OSError as error:
        raise DispatcherFailed(error) from error
