"""A machine that can be switched off: a namespace of processes with a /proc, a boot id and a boot clock of its own.

Files and network are the real machine's. To switch it off kills all its processes at once; who boots it again finds
a new boot id, a clock that begins anew, and pids that are given out again from the first on.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.conftest import PROJECT as CODE
from tests.conftest import Client, free_port, wait_for

UPTIME_S = 100
# The first process: waits for nothing and nobody, and has the kernel reap the orphans that become its children.
INIT = 'mount --bind "$1" /proc/sys/kernel/random/boot_id && : > "$2" && exec env --ignore-signal=CHLD sleep infinity'
# Strangers with given pids, each the leader of a session: they note every signal that reaches them.
STRANGERS = """
import os, signal, sys
for wanted in sys.argv[2:]:
    with open("/proc/sys/kernel/ns_last_pid", "w") as last:
        last.write(str(int(wanted) - 1))
    if (pid := os.fork()) == 0:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDWR), 1)
        os.dup2(1, 2)
        for signum in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
            try:
                signal.signal(signum, lambda signum, frame: open(sys.argv[1], "a").write(f"{wanted} {signum}\\n"))
            except OSError:
                pass
        while True:
            signal.pause()
    print(pid, flush=True)
"""


class Found(NamedTuple):
    """A process: its name, and its start in clock ticks since the machine's boot."""

    name: str
    started: int


class Machine:
    """One machine on a data directory; off until `boot`."""

    def __init__(self, folder: Path, data: Path) -> None:
        self.folder, self.data = folder, data
        self.boots = 0
        self.boot_id = ""
        self._unshare: subprocess.Popen[bytes] | None = None
        self._init = 0
        self._started: list[subprocess.Popen[str]] = []

    def boot(self, boot_id: str | None = None) -> None:
        """Switch it on, with a new boot id unless one is given."""
        self.boots += 1
        self.boot_id = boot_id or str(uuid.uuid4())
        told, up = self.folder / f"boot_id-{self.boots}", self.folder / f"up-{self.boots}"
        told.write_text(f"{self.boot_id}\n")
        begin = UPTIME_S - int(time.clock_gettime(time.CLOCK_BOOTTIME))
        clock = ["--time", "--boottime", str(begin)]
        flags = ["--pid", "--fork", "--mount-proc", "--kill-child", *clock]
        self._unshare = subprocess.Popen(
            ["unshare", *flags, "sh", "-c", INIT, "init", str(told), str(up)], stderr=subprocess.DEVNULL
        )
        wait_for(up.exists, "the machine to be up")
        children = Path(f"/proc/{self._unshare.pid}/task/{self._unshare.pid}/children")
        self._init = int(children.read_text())

    def switch_off(self) -> None:
        """Kill all its processes at once."""
        if self._unshare is not None:
            os.kill(self._init, signal.SIGKILL)
            self._unshare.wait()  # the first process is gone only when all others are
            self._unshare = None
        for process in self._started:
            process.communicate()
        self._started.clear()

    def start(self, *words: str, **more: Any) -> subprocess.Popen[str]:
        """Start a program on it."""
        enter = ["nsenter", f"--target={self._init}", "--pid", "--mount", "--time", "--"]
        environ = {**os.environ, "JOBS_DATA": str(self.data)}
        process = subprocess.Popen(
            [*enter, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, env=environ, **more,
        )  # fmt: skip
        self._started.append(process)
        return process

    def run(self, *words: str) -> str:
        """Run a program on it to its end, and return what it printed."""
        process = self.start(*words)
        told, _ = process.communicate(timeout=60)
        assert process.returncode == 0, told
        self._started.remove(process)
        return told.strip()

    def app_py(self, *words: str) -> str:
        """Run `python app.py ...` on it."""
        return self.run(sys.executable, f"{CODE}/app.py", *words)

    def serve(self) -> Client:
        """Start a server on it, and return a client."""
        port = free_port()
        process = self.start(sys.executable, f"{CODE}/app.py", "serve", "--port", str(port))
        client = Client(f"http://127.0.0.1:{port}")

        def answers() -> bool:
            assert process.poll() is None, process.communicate()[0]
            try:
                return client.get("/health").code == 200
            except OSError:
                return False

        wait_for(answers, "the server", 30)
        return client

    def add_strangers(self, *pids: int) -> Path:
        """Start processes that have these pids there. Return where they note the signals that they get."""
        notes = self.folder / f"signals-{self.boots}"
        wanted = [str(pid) for pid in sorted(pids)]
        assert self.run(sys.executable, "-I", "-S", "-c", STRANGERS, str(notes), *wanted).split() == wanted
        return notes

    def look_at(self, pid: int) -> Found | None:
        """Return the process that has this pid there, None if none has."""
        told = self.run("sh", "-c", f"cat /proc/{pid}/stat 2>&1 || true")
        head, _, tail = told.rpartition(")")
        is_there = head and tail.split()[0] not in "ZX"
        return Found(head.partition("(")[2], int(tail.split()[19])) if is_there else None


def require_machines() -> None:
    """Skip a test where no namespaces may be made; fail it where everything is required."""
    words = ["unshare", "--pid", "--fork", "--mount-proc", "--time", "--boottime", "1", "sh", "-c"]
    line = "mount --bind /proc/version /proc/sys/kernel/random/boot_id && echo 300 > /proc/sys/kernel/ns_last_pid"
    why = "unshare and nsenter are missing, apt-get install util-linux"
    if shutil.which("unshare") and shutil.which("nsenter"):
        done = subprocess.run([*words, line], capture_output=True, text=True)
        if done.returncode == 0:
            return
        why = f"namespaces of processes and of time may not be made here: {done.stderr.strip()}"
    pytest.skip(why)
