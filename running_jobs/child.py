"""The first process of a job's command: started in a session of its own, as a command expects to find itself.

It is spawned, not forked: that copies nothing of the runner's memory, and costs a third of a fork. So what cannot be
said to posix_spawn(3) is taken on by the runner for that moment (the directory), by a thread that ends (nice), or is
the runner's own all the time (umask, open files), see `become_parent`. A directory or program on a file system that
hangs so holds up the runner itself until it answers.
"""

from __future__ import annotations

import _thread
import contextlib
import errno
import os
import resource
import signal
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from running_jobs.files import write_all
from running_jobs.processes import read_proc

COMMAND_UMASK = 0o022  # files of our own say what they are to be when they are made
_OPEN_FILES = resource.getrlimit(resource.RLIMIT_NOFILE)  # as we were started; the dispatcher raises its own
_LIMITS = sorted({number for name, number in vars(resource).items() if name.startswith("RLIMIT_")})
_PASSING = {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE}  # no processes, memory or descriptors just now
_TO_DEFAULT = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}


class CommandLine(NamedTuple):
    """What to execute and how.

    `nice` is added to the runner's own, `out` and `err` are the paths of its logs, `stdin` is what it can read.
    """

    argv: list[str]
    cwd: str
    environ: dict[str, str]
    nice: int
    out: str
    err: str
    stdin: bytes = b""


class Started(NamedTuple):
    """A command's pid, or 0 with the problem that kept it from being started, and whether that may pass by itself."""

    pid: int = 0
    problem: str | None = None
    may_pass: bool = False


def become_parent() -> None:
    """Take on what commands are to inherit."""
    os.umask(COMMAND_UMASK)
    resource.setrlimit(resource.RLIMIT_NOFILE, _OPEN_FILES)


@contextlib.contextmanager
def limits_of_commands() -> Iterator[None]:
    """Have what is started meanwhile inherit the limits that we were started with."""
    ours = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, _OPEN_FILES)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, ours)


def inheritance() -> tuple[object, ...]:
    """Return what else a command inherits, and could change in its parent: priority, processors, limits, OOM score."""
    limits = tuple(resource.getrlimit(number) for number in _LIMITS)
    return os.getpriority(os.PRIO_PROCESS, 0), os.sched_getaffinity(0), limits, read_proc("/proc/self/oom_score_adj")


def start(command: CommandLine) -> Started:
    """Start a command in a session of its own.

    It gets default signal dispositions and an empty mask: an ignored or blocked signal would pass into it.
    """
    opened: list[int] = []
    try:
        opened.append(_open_input(command.stdin))
        opened.extend(_open_log(path) for path in (command.out, command.err))
        os.chdir(command.cwd)
        return Started((_spawn_nicer if command.nice else _spawn)(command, opened))
    except (OSError, ValueError, TypeError) as error:  # the last for a record that was edited by hand
        return Started(0, _explain(error), getattr(error, "errno", None) in _PASSING)
    finally:
        for descriptor in opened:
            os.close(descriptor)
        os.chdir("/")


def _spawn(command: CommandLine, descriptors: list[int]) -> int:
    return os.posix_spawn(
        command.argv[0],
        command.argv,
        command.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, ours, theirs) for theirs, ours in enumerate(descriptors)],
        setsid=True,
        setsigmask=(),
        setsigdef=_TO_DEFAULT,
    )


def _spawn_nicer(command: CommandLine, descriptors: list[int]) -> int:
    """Spawn from a thread of its own, since nice belongs to a thread (setpriority(2)): the runner's stays as it is."""
    found: list[int | Exception] = []
    is_over = _thread.allocate_lock()

    def spawn() -> None:
        try:
            os.nice(command.nice)
            found.append(_spawn(command, descriptors))
        except Exception as error:
            found.append(error)
        finally:
            is_over.release()

    is_over.acquire()
    try:
        _thread.start_new_thread(spawn, ())
    except RuntimeError as error:  # there are no threads to be had, as there may be no processes
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from error
    is_over.acquire()
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


def _explain(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def _open_input(content: bytes) -> int:
    if not content:
        return os.open(os.devnull, os.O_RDONLY)
    descriptor = os.memfd_create("stdin")
    try:
        write_all(descriptor, content)
        os.lseek(descriptor, 0, os.SEEK_SET)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _open_log(path: str) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    log = os.open(path, flags, 0o600)  # without waiting, should a FIFO have been laid in its place
    if not stat.S_ISREG(os.fstat(log).st_mode):
        os.close(log)
        raise OSError(0, "Not a regular file", path)
    os.set_blocking(log, True)
    return log


@dataclass
class Usage:
    """CPU seconds and peak memory of all processes that were waited for, as wait4(2) tells them."""

    cpu_s: float = 0.0
    max_rss_bytes: int = 0

    def add(self, usage: resource.struct_rusage) -> None:
        """Count one more process."""
        self.cpu_s += usage.ru_utime + usage.ru_stime
        self.max_rss_bytes = max(self.max_rss_bytes, usage.ru_maxrss * 1024)

    def as_dict(self) -> dict[str, float | int]:
        """Return it as the job's record keeps it."""
        return {"cpu_s": round(self.cpu_s, 3), "max_rss_bytes": self.max_rss_bytes}


def cpu_of_ended_children_s() -> float:
    """Return the CPU seconds of all that this process waited for until now, and of what that waited for: in whole
    clock ticks, user and system, as /proc tells them of its children."""
    times = os.times()
    return round(times.children_user + times.children_system, 3)
