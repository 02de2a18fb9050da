"""What processes use of GPUs, as nvidia-smi tells: asked now and then by a child process that nobody waits for.

`pmon` tells a share and memory of each process; where it does not work (MIG, some drivers), the list of compute
processes tells memory alone. Figures of several GPUs are added: 200 percent are two of them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
from typing import NamedTuple

from running_jobs.engine import clean_environment

ASK_EVERY_S = 10.0
ASK_AGAIN_S = 600.0  # where neither form was answered: no driver, no device
END_AFTER_S = 5.0
SHARE = 0.0005  # of one core, what the child uses included
MAX_ANSWER = 1 << 20
F_SETPIPE_SZ = 1031  # fcntl(2); Python has a name for it from 3.10 on
MIB = 1 << 20  # what it calls MB
QUESTIONS = (
    ("pmon", "-c", "1", "-s", "um"),
    ("--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"),
)


class GpuUse(NamedTuple):
    """What one process uses; None is not known."""

    percent: float | None
    used_bytes: float | None


class Gpu:
    """Asks `program` for what processes use. `by_pid` is what it told last."""

    def __init__(self, program: str) -> None:
        self.by_pid: dict[int, GpuUse] = {}
        self._program = program
        self._question = 0
        self._pid = 0
        self._answer = -1
        self._told = b""
        self._began = 0.0
        self._ask_at = 0.0

    @property
    def is_asking(self) -> bool:
        """Whether the child runs."""
        return self._pid > 0

    def turn(self, now: float, is_wanted: bool) -> None:
        """Go on by one step: take an answer that is there, end a child that takes too long, ask when it is time."""
        if self.is_asking:
            self._look_after_child(now)
        elif is_wanted and now >= self._ask_at:
            self._ask(now)

    def _ask(self, now: float) -> None:
        self._ask_at = now + ASK_EVERY_S
        answer = -1
        try:
            self._answer, answer = os.pipe()
            null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            try:
                self._pid = os.posix_spawn(
                    self._program,
                    [self._program, *QUESTIONS[self._question]],
                    {**clean_environment(os.environ, []), "LC_ALL": "C"},
                    file_actions=[(os.POSIX_SPAWN_DUP2, ours, to) for to, ours in enumerate((null, answer, null))],
                    setpgroup=0,
                    setsigmask=[],
                    setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
                )
            finally:
                os.close(null)
            self._began, self._told = now, b""
            os.set_blocking(self._answer, False)
            with contextlib.suppress(OSError):  # else a long answer takes some turns more
                fcntl.fcntl(self._answer, F_SETPIPE_SZ, MAX_ANSWER)
        except OSError:  # no processes or descriptors to be had, or it is no program
            self._pid = 0
            self._close()
        finally:
            if answer >= 0:
                os.close(answer)

    def _look_after_child(self, now: float) -> None:
        if now - self._began >= END_AFTER_S:
            with contextlib.suppress(OSError):
                os.killpg(self._pid, signal.SIGKILL)  # our own child: the number is its own until we wait for it
        try:
            pid, status, usage = os.wait4(self._pid, os.WNOHANG)
        except ChildProcessError:
            pid, status, usage = self._pid, 1, None
        self._take_answer()
        if pid == 0:
            return
        self._pid = 0
        cost_s = usage.ru_utime + usage.ru_stime if usage else 0.0
        self._ask_at = self._began + max(ASK_EVERY_S, cost_s / SHARE)
        found = parse(self._question, self._told.decode(errors="replace")) if status == 0 else None
        self.by_pid = found or {}
        if found is None:
            self._question = (self._question + 1) % len(QUESTIONS)
            self._ask_at = now if self._question else now + ASK_AGAIN_S
        self._close()

    def _take_answer(self) -> None:
        """Take what is there, as long as it is no more than any answer: a child that finds the pipe full waits."""
        with contextlib.suppress(OSError):  # nothing there yet
            while len(self._told) < MAX_ANSWER and (part := os.read(self._answer, MAX_ANSWER)):
                self._told += part

    def _close(self) -> None:
        if self._answer >= 0:
            os.close(self._answer)
            self._answer, self._told = -1, b""


def find_nvidia_smi(search: str) -> str | None:
    """Return the program's path in a list of folders as PATH has them, None if it is in none of them."""
    for folder in search.split(os.pathsep):
        path = os.path.join(folder, "nvidia-smi")
        if os.path.isabs(folder) and os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def parse(question: int, answer: str) -> dict[int, GpuUse] | None:
    """Return what each process uses, None if the answer cannot be understood."""
    return _of_pmon(answer) if question == 0 else _of_list(answer)


def _of_pmon(answer: str) -> dict[int, GpuUse] | None:
    lines = [line.split() for line in answer.splitlines() if line.strip()]
    names = next((line[1:] for line in lines if line[0] == "#" and "pid" in line), None)
    if names is None or not {"pid", "sm", "fb"} <= set(names):
        return None
    found: dict[int, GpuUse] = {}
    for row in lines:
        values = dict(zip(names, row))
        pid = _number(values.get("pid"))
        if row[0].startswith("#") or pid is None:  # "-": an idle GPU
            continue
        _add(found, int(pid), _number(values.get("sm")), _number(values.get("fb")))
    return found


def _of_list(answer: str) -> dict[int, GpuUse] | None:
    found: dict[int, GpuUse] = {}
    for line in answer.splitlines():
        pid_text, comma, memory = line.partition(",")
        pid = _number(pid_text.strip())
        if not line.strip():
            continue
        if not comma or pid is None:
            return None
        _add(found, int(pid), None, _number(memory.strip()))
    return found


def _add(found: dict[int, GpuUse], pid: int, percent: float | None, mib: float | None) -> None:
    before = found.get(pid, GpuUse(None, None))
    used_bytes = None if mib is None else mib * MIB
    found[pid] = GpuUse(_sum(before.percent, percent), _sum(before.used_bytes, used_bytes))


def _sum(one: float | None, other: float | None) -> float | None:
    return one if other is None else other if one is None else one + other


def _number(text: str | None) -> float | None:
    """Return a figure; None for "-", "[N/A]" and the like."""
    return float(text) if text and text.isascii() and text.isdigit() and len(text) < 12 else None
