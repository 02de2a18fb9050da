"""Slurm's own programs, run as children of the dispatcher that nobody waits for: each has a time limit.

With the controller away a client hangs for many seconds; the dispatcher has others to serve meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from running_jobs import files, folders
from running_jobs.child import limits_of_commands
from running_jobs.command_line import ENVIRONMENT
from running_jobs.errors import NOT_OURS

LIMIT_S = 30.0
END_S = 2.0  # between the signals that end a program
OVERDUE_S = 5.0  # after that, whatever should have ended it is ended too
TOO_LONG = (124, 137, -signal.SIGTERM, -signal.SIGKILL)  # how timeout(1) ends if it had to end a program
TRY_LOCK_EVERY_S = 0.5
WITHOUT_LOCK_S = 5.0  # after which people are told that an earlier submission holds things up
MAX_ANSWER_BYTES = 64 << 20
_LOCK_DESCRIPTOR = 3
_TIMEOUT = next(  # that ends a program also when its dispatcher died
    (
        (path, "-k", f"{END_S:g}", f"{LIMIT_S:g}")
        for path in ("/usr/bin/timeout", "/bin/timeout")
        if os.path.exists(path)
    ),
    None,
)
_PREFIX = re.compile(r"^\w+: (?:error|fatal): ")


class Answer(NamedTuple):
    """What a program said: its exit code (None if it was ended for taking too long, or was not started)."""

    exit_code: int | None
    out: str
    err: str
    was_started: bool = True

    @property
    def problem(self) -> str:
        """What went wrong, in a line of the program's own."""
        lines = [_PREFIX.sub("", line).strip() for line in (self.err or self.out).splitlines() if line.strip()]
        said = "; ".join(dict.fromkeys(lines))[:300]
        return said or ("took too long" if self.exit_code is None else f"ended with exit code {self.exit_code}")


@dataclass
class _Call:
    pid: int
    out: int
    err: int
    end_at: float
    then: Callable[[Answer], None]
    is_overdue: bool = False


class Calls:
    """The programs that run. `poller` is told of each, whose pidfd becomes readable at its end."""

    def __init__(self, poller: select.poll) -> None:
        self._poller = poller
        self._running: dict[int, _Call] = {}  # by pidfd
        self._not_started: list[tuple[Callable[[Answer], None], Answer]] = []

    def __len__(self) -> int:
        return len(self._running) + len(self._not_started)

    def start(
        self, argv: Sequence[str], then: Callable[[Answer], None], now: float, text: str = "", lock: int = -1
    ) -> None:
        """Run a program with a text on its standard input; `then` gets its answer, never before this returns.

        `lock` is a descriptor that it is to keep open as long as it lives.
        """
        opened: list[int] = []
        try:
            opened.extend(os.memfd_create(name) for name in ("in", "out", "err"))
            given, out, err = opened
            files.write_all(given, os.fsencode(text))
            os.lseek(given, 0, os.SEEK_SET)
            kept = {0: given, 1: out, 2: err, **({_LOCK_DESCRIPTOR: lock} if lock >= 0 else {})}
            if not _is_there(argv[0]):
                raise FileNotFoundError
            with limits_of_commands():  # Slurm has jobs run with the limits of whoever submits them
                pid = os.posix_spawnp(
                    argv[0] if _TIMEOUT is None else _TIMEOUT[0],
                    [*(_TIMEOUT or ()), *argv],
                    ENVIRONMENT,
                    file_actions=[(os.POSIX_SPAWN_DUP2, ours, theirs) for theirs, ours in kept.items()],
                    setpgroup=0,
                    setsigmask=(),
                    setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
                )
        except (OSError, ValueError) as error:  # no room, no such program; what no argument can hold
            for descriptor in opened:
                os.close(descriptor)
            told = getattr(error, "strerror", None) or error
            why = "was not found" if isinstance(error, FileNotFoundError) else f"could not be started: {told}"
            self._not_started.append((then, Answer(None, "", f"{argv[0]} {why}", was_started=False)))
            return
        os.close(given)
        self._watch(argv[0], _Call(pid, out, err, now + LIMIT_S + END_S + OVERDUE_S, then))

    def _watch(self, program: str, call: _Call) -> None:
        try:
            pidfd = os.pidfd_open(call.pid)  # our own child: the pid is its own until we wait for it
        except OSError as error:  # no descriptors
            with contextlib.suppress(ProcessLookupError):
                os.killpg(call.pid, signal.SIGKILL)
            os.waitpid(call.pid, 0)
            os.close(call.out)
            os.close(call.err)
            self._not_started.append((call.then, Answer(None, "", f"{program} could not be watched: {error.strerror}")))
            return
        self._running[pidfd] = call
        self._poller.register(pidfd, select.POLLIN)

    def tell_not_started(self) -> None:
        """Pass on that programs could not be started."""
        told, self._not_started = self._not_started, []
        for then, answer in told:
            then(answer)

    def ended(self, pidfd: int) -> bool:
        """Take note of a program's end, and pass its answer on. Return whether it was one of ours."""
        call = self._running.pop(pidfd, None)
        if call is None:
            return False
        self._poller.unregister(pidfd)
        os.close(pidfd)
        status = 1 << 8
        with contextlib.suppress(ChildProcessError):
            status = os.waitpid(call.pid, 0)[1]
        code = os.waitstatus_to_exitcode(status)
        is_late = call.is_overdue or code in TOO_LONG
        out, err = _content(call.out), _content(call.err)
        call.then(Answer(None if is_late else code, out, err))
        return True

    def end_overdue(self, now: float) -> None:
        """End what takes too long; its end is noticed like any other."""
        for call in self._running.values():
            if call.end_at <= now and not call.is_overdue:
                call.is_overdue = True
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(call.pid, signal.SIGKILL)

    def seconds_to_next(self, now: float) -> float | None:
        """Return when one of them will have taken too long, None if none runs."""
        if self._not_started:
            return 0.0
        ends = [call.end_at - now for call in self._running.values() if not call.is_overdue]
        return max(0.0, min(ends)) if ends else None


def _is_there(program: str) -> bool:
    folders = ENVIRONMENT.get("PATH", os.defpath).split(":")
    return any(os.access(f"{folder}/{program}", os.X_OK) for folder in folders)


def _content(descriptor: int) -> str:
    try:
        size = min(os.fstat(descriptor).st_size, MAX_ANSWER_BYTES)
        return os.pread(descriptor, size, 0).decode(errors="replace")
    except (OSError, MemoryError):  # then it said nothing that can be understood
        return ""
    finally:
        os.close(descriptor)


class SharedLock:
    """A lock that programs which were started keep with us: as long as one lives, no other dispatcher has it.

    So whoever comes after a dispatcher that died knows when nothing is on its way to Slurm any more.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._again_at = 0.0
        self._tried_since = float("inf")
        self._error: OSError | None = None
        self.descriptor = -1

    def is_held(self, now: float) -> bool:
        """Say whether it is ours; it is tried for now and then."""
        if self.descriptor < 0 and now >= self._again_at:
            self._again_at = now + TRY_LOCK_EVERY_S
            self._tried_since = min(self._tried_since, now)
            try:
                self._error = None
                self._try()
            except OSError as error:
                self._error = error
                if error.errno in NOT_OURS:  # laid in its place: it holds nothing worth keeping
                    with contextlib.suppress(OSError):
                        folders.remove(self._path)
        return self.descriptor >= 0

    def _try(self) -> None:
        descriptor = files.open_private(self._path, os.O_RDWR | os.O_CREAT)
        if files.try_lock(descriptor):
            self.descriptor = descriptor
        else:
            os.close(descriptor)

    def problem(self, now: float) -> str | None:
        """Say why it has not been ours for a while, None as long as that is nothing to tell."""
        if now - self._tried_since <= WITHOUT_LOCK_S:
            return None
        if self._error is not None:
            return f"{self._path} could not be opened: {self._error.strerror}"
        return "a submission of an earlier dispatcher is still on its way"
