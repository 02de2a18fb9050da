"""The first process of a job's command: forked, held back until it is recorded, then told what to become.

Holding it back lets the runner write its session down in the same step that makes the job active: whatever
kills the runner, the record knows where to look for the command. It is forked before the runner does
anything else, since each page that a process touches before a fork is copied once more after it.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import resource
import signal
import stat
from dataclasses import dataclass
from typing import NamedTuple

EXIT_NOT_STARTED = 127
COMMAND_UMASK = 0o022
_OPEN_FILES = resource.getrlimit(resource.RLIMIT_NOFILE)  # as we were started; the dispatcher raises its own


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


class HeldChild:
    """A forked process that waits for `release` before it becomes the command, and ends if that never comes."""

    def __init__(self) -> None:
        go_read, self._go = os.pipe()
        self._problem, problem_write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:  # the child: becomes the command, or ends; never returns into the runner's code
            try:
                os.close(self._go)
                os.close(self._problem)
                os.setsid()
                if told := _read_all(go_read):
                    _become(CommandLine(*marshal.loads(told)))  # noqa: S302 - written by our own runner
            except BaseException as error:  # whatever it is, the runner must hear of it
                with contextlib.suppress(OSError):
                    os.write(problem_write, _explain(error).encode(errors="replace")[:4000])
            finally:
                os._exit(EXIT_NOT_STARTED)
        os.close(go_read)
        os.close(problem_write)

    def release(self, command: CommandLine) -> str | None:
        """Let it become a command. Return None, or why it could not."""
        left = memoryview(marshal.dumps(tuple(command)))
        with contextlib.suppress(BrokenPipeError):
            while left:
                left = left[os.write(self._go, left) :]
        os.close(self._go)
        problem = _read_all(self._problem)  # exec closes the pipe; until then there is nothing to watch
        os.close(self._problem)
        return problem.decode(errors="replace") or None

    def abandon(self) -> None:
        """End it without having run anything."""
        os.close(self._go)
        os.close(self._problem)
        os.waitpid(self.pid, 0)


def _read_all(pipe: int) -> bytes:
    content = b""
    while part := os.read(pipe, 1 << 16):
        content += part
    return content


def _explain(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def _become(command: CommandLine) -> None:
    for target, source in ((0, _open_input(command.stdin)), (1, _open_log(command.out)), (2, _open_log(command.err))):
        os.dup2(source, target)
    os.umask(COMMAND_UMASK)
    resource.setrlimit(resource.RLIMIT_NOFILE, _OPEN_FILES)
    os.chdir(command.cwd)
    if command.nice:
        os.nice(command.nice)
    _restore_signals()
    os.execve(command.argv[0], command.argv, command.environ)  # noqa: S606 - running commands is what this is for


def _open_input(content: bytes) -> int:
    if not content:
        return os.open(os.devnull, os.O_RDONLY)
    descriptor = os.memfd_create("stdin")
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _open_log(path: str) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    log = os.open(path, flags, 0o600)  # without waiting, should a FIFO have been laid in its place
    if not stat.S_ISREG(os.fstat(log).st_mode):
        raise OSError(0, "Not a regular file", path)
    os.set_blocking(log, True)
    return log


def _restore_signals() -> None:
    """Give the command default dispositions and an empty mask: an ignored or blocked signal would pass into it."""
    for signum in signal.valid_signals():
        if signum not in (signal.SIGKILL, signal.SIGSTOP) and signal.getsignal(signum) != signal.SIG_DFL:
            with contextlib.suppress(OSError, ValueError):
                signal.signal(signum, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


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
