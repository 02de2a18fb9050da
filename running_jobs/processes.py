"""The processes of a machine, read from /proc: who they are, who descends from whom, which belong to a job.

A process is its pid together with its start time, and only a process that still has both is ever
signalled. Knows no store; what a job's processes carry in their environment is told by the caller.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import os
import signal
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

LOOK_AGAIN = signal.SIGURG  # to a runner; ignored by default, so one that reaches a wrong process does nothing there
ENGINE_MARK = "RUNNING_JOBS_ENGINE"  # in the environment of dispatchers and runners, never in a command's
_PR_SET_CHILD_SUBREAPER = 36
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_prctl = ctypes.CDLL(None).prctl  # looked up once, before the forks


class Process(NamedTuple):
    """One line of the process table. `started` is in clock ticks since boot; it tells a pid's holders apart."""

    pid: int
    started: int
    parent: int
    group: int
    session: int
    state: str
    name: str

    def __str__(self) -> str:
        return f"{self.name} (pid {self.pid})"


def read_proc(path: str) -> bytes:
    """Read a small file of /proc: without Python's own layers, which would cost every runner 100 kB of copied pages.

    So would a larger first buffer, a little: up to 512 bytes it is among Python's small objects.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        content = os.read(descriptor, 450)
        while part := os.read(descriptor, 1 << 16):
            content += part
        return content
    finally:
        os.close(descriptor)


@functools.lru_cache(maxsize=1)
def boot_id() -> str:
    """Return the id that the kernel gave itself at boot, or a text that says it has none."""
    try:
        return read_proc("/proc/sys/kernel/random/boot_id").decode().strip()
    except OSError:
        return "unknown"


def become_subreaper() -> None:
    """Have orphaned descendants become this process's children, instead of init's (prctl(2))."""
    if _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(errno.EINVAL, "This kernel knows no subreapers", "prctl(2)")  # nothing else can be wrong


def look_at(pid: int) -> Process | None:
    """Return what /proc says of a pid now, or None if there is no such process (a zombie is one)."""
    try:
        stat = read_proc(f"/proc/{pid}/stat")
    except OSError:
        return None
    head, _, tail = stat.rpartition(b")")  # the name may hold anything, parentheses and spaces too
    fields = tail.split()
    name = head.partition(b"(")[2].decode(errors="replace")
    state = fields[0].decode()
    if state == "Z" and int(fields[17]) > 1:  # only its first thread ended: the others live
        state = "S"
    return Process(pid, int(fields[19]), int(fields[1]), int(fields[2]), int(fields[3]), state, name)


def ticks_since_boot() -> int:
    """Return the time as processes tell when they were started."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * _TICKS_PER_S)


def own_start() -> int | None:
    """Return when this process was started, in clock ticks since boot."""
    return _start_of(os.getpid())


@functools.lru_cache(maxsize=1)
def _start_of(pid: int) -> int | None:
    found = look_at(pid)
    return found and found.started


def is_alive(pid: int | None, started: int | None, boot: str | None) -> bool:
    """Say whether a recorded process lives: same pid, same start time, same boot, and no zombie."""
    if pid is None or started is None or boot != boot_id():
        return False
    found = look_at(pid)
    return found is not None and found.started == started and found.state not in "ZX"


def open_process(pid: int, started: int) -> int | None:
    """Return a pidfd of the process that has this pid and start time, or None if it is gone."""
    try:
        descriptor = os.pidfd_open(pid)
    except (OSError, OverflowError):
        return None
    found = look_at(pid)  # looked at after opening: from here on the descriptor means this process and no other
    if found is None or found.started != started:
        os.close(descriptor)
        return None
    return descriptor


def send_signal(pid: int, started: int, signum: int) -> bool:
    """Signal the process that has this pid and start time. Return whether it was there and may be signalled."""
    descriptor = open_process(pid, started)
    if descriptor is None:
        return False
    try:
        signal.pidfd_send_signal(descriptor, signum)
    except (ProcessLookupError, PermissionError):
        return False
    finally:
        os.close(descriptor)
    return True


def kill_groups(members: Iterable[Process]) -> None:
    """SIGKILL the process groups of processes that were just seen, each at one stroke: no fork escapes that.

    A group's number is not given out again while it has members. Our own group is left out.
    """
    for group in {process.group for process in members} - {os.getpgrp()}:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


def table() -> dict[int, Process]:
    """Return all processes that are no zombies, by pid."""
    found = (look_at(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return {process.pid: process for process in found if process and process.state not in "ZX"}


def descendants(roots: Iterable[int], processes: dict[int, Process]) -> list[Process]:
    """Return all that descend from the pids in `roots`, without these.

    A dispatcher that a job happened to start, and the jobs below it, are no descendants: they are not its own.
    """
    children: dict[int, list[Process]] = {}
    for process in processes.values():
        children.setdefault(process.parent, []).append(process)
    found: dict[int, Process] = {}
    to_visit = list(roots)
    while to_visit:
        for child in children.get(to_visit.pop(), ()):
            if child.pid not in found and not is_engine(child.pid):
                found[child.pid] = child
                to_visit.append(child.pid)
    return list(found.values())


def own_children() -> list[Process]:
    """Return this process's children as they are now, dead ones too."""
    me = os.getpid()
    try:
        pids = [int(pid) for pid in read_proc(f"/proc/{me}/task/{me}/children").split()]
    except OSError:  # a kernel without CONFIG_PROC_CHILDREN
        pids = [process.pid for process in table().values() if process.parent == me]
    return [child for pid in pids if (child := look_at(pid))]


def only_engines_left() -> bool:
    """Say for certain whether this subreaper has nothing below it, or nothing but dispatchers and their jobs.

    All orphans among its descendants are its children. One that forks and exits all the time is not to be seen alive
    in a list of children, so a list with a dead one proves nothing: wait for it and ask again.
    """
    if not has_children():
        return True
    children = own_children()
    return bool(children) and all(child.state not in "ZX" and is_engine(child.pid) for child in children)


def has_children() -> bool:
    """Say whether this process has any child, dead ones that nobody waited for among them."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def may_signal(process: Process) -> bool:
    """Say whether a process just seen may be signalled by us; one that is gone may be looked for again."""
    try:
        os.kill(process.pid, 0)
    except PermissionError:
        return False
    except ProcessLookupError:
        return True  # gone since: look again
    return True


def is_engine(pid: int) -> bool:
    """Say whether a process is a dispatcher or a runner: it has the mark, and no command's environment."""
    variables = _environment_of(pid)
    return f"{ENGINE_MARK}=1".encode() in variables and not any(v.startswith(b"JOB_ID=") for v in variables)


def holds(pid: int, logs: set[tuple[int, int]]) -> bool:
    """Say whether a process writes its output or errors into one of these files, given as device and inode."""
    for descriptor in (1, 2):
        with contextlib.suppress(OSError):
            found = os.stat(f"/proc/{pid}/fd/{descriptor}")
            if (found.st_dev, found.st_ino) in logs:
                return True
    return False


def carries(pid: int, marks: dict[str, str]) -> bool:
    """Say whether a process was started with all of these environment variables (readable for its owner and root)."""
    variables = _environment_of(pid)
    return all(f"{name}={value}".encode() in variables for name, value in marks.items())


def _environment_of(pid: int) -> list[bytes]:
    try:
        return read_proc(f"/proc/{pid}/environ").split(b"\0")
    except OSError:
        return []


def leftovers(
    marks: dict[str, str], logs: set[tuple[int, int]], session: int | None, session_started: int | None
) -> list[Process]:
    """Return the processes of a job whose runner died: by environment, by the logs they write, by session, by descent.

    A session is only believed if its leader still is the process that was recorded, or if it is gone and one of the
    younger members is known otherwise: a session's number is not given out again while it has members.
    """
    processes = table()
    found = {
        process.pid: process
        for process in processes.values()
        if process.pid != os.getpid() and (carries(process.pid, marks) or holds(process.pid, logs))
    }
    if session is not None and session_started is not None:
        members = [p for p in processes.values() if p.session == session and p.started >= session_started]
        leader = look_at(session)
        proven = any(member.pid in found for member in members)
        if leader.started == session_started if leader else proven:
            found.update((member.pid, member) for member in members)
    for process in descendants(list(found), processes):
        found[process.pid] = process
    return list(found.values())


def end_all(find: Callable[[], list[Process]], wait_s: float) -> list[Process]:
    """SIGKILL all that `find` returns until it returns none. Return those left: not to be signalled, or stuck."""
    deadline = time.monotonic() + wait_s
    pause_s = 0.001
    refused: set[int] = set()
    while found := find():
        refused.update(p.pid for p in found if not send_signal(p.pid, p.started, signal.SIGKILL) and look_at(p.pid))
        if time.monotonic() > deadline or refused.issuperset(p.pid for p in found):
            break
        time.sleep(pause_s)  # they are init's children: nothing tells us that they are gone
        pause_s = min(2 * pause_s, 0.1)
    return found


@functools.lru_cache(maxsize=1)
def _argument_area() -> tuple[int, int] | None:
    """Return where this process's command line is in its memory; forked processes have theirs at the same place."""
    try:
        fields = read_proc("/proc/self/stat").rpartition(b")")[2].split()
        return int(fields[45]), int(fields[46])  # arg_start and arg_end of proc(5)
    except (OSError, ValueError, IndexError):
        return None


def prepare_for_forks() -> None:
    """Find out now what every forked process would have to find out anew."""
    boot_id()
    _argument_area()


def rename_self(title: str) -> None:
    """Show `title` as this process's command line, for as many bytes as the old one had (best effort).

    A forked process shows its parent's command line otherwise, and would be taken for it. A last byte that is
    not NUL tells the kernel that the area was rewritten and ends at the first NUL (fs/proc/base.c).
    """
    area = _argument_area()
    if area is None:
        return
    start, end = area
    try:
        memory = os.open("/proc/self/mem", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.pwrite(memory, title.encode()[: end - start - 2].ljust(end - start - 1, b"\0") + b"\1", start)
        finally:
            os.close(memory)
    except OSError:
        return  # a kernel that forbids it: the old title does no harm to people, it only misleads them
