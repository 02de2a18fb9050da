"""A job's files and its command with nothing between them: `bare_files.py FOLDER SLOTS`.

What our queue makes, syncs, renames, locks and removes for a job that does nothing, by one process that submits and
SLOTS others that run: no record is read, nothing is decided or watched, nobody is woken. Each line of the standard
input says how many, and is answered with the jobs a second.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import time
from collections.abc import Iterator

RECORDS = (bytes(850), bytes(960), bytes(1130))  # queued, active, done
LINE = bytes(70)
_DIGITS = 8


class Queue:
    """The files of one folder."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        os.makedirs(f"{folder}/open", exist_ok=True)

    def next_number(self) -> int:
        """Give a job its number, noted in the lock's file."""
        with self._lock() as lock:
            number = int(os.pread(lock, _DIGITS, 0) or b"0") + 1
            os.pwrite(lock, b"%*d" % (_DIGITS, number), 0)
        return number

    def submit(self, number: int, record: bytes) -> None:
        """Store a job durably."""
        path = f"{self.folder}/{number}"
        _write(f"{path}.new", record)
        for ending in ("out", "err"):
            os.close(os.open(f"{path}.{ending}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with self._door():
            os.link(f"{path}.new", f"{self.folder}/open/{number}")
            os.rename(f"{path}.new", f"{path}.json")
        names = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(names)
        os.close(names)

    def run(self, number: int) -> None:
        """Run a job's command with its claim before it and its end behind it."""
        path = f"{self.folder}/{number}"
        logs = [os.open(f"{path}.{ending}", os.O_WRONLY | os.O_APPEND) for ending in ("out", "err")]
        fcntl.flock(logs[0], fcntl.LOCK_EX)
        os.mkdir(f"{path}.files", 0o700)
        self._change(path, RECORDS[1])
        outputs = [(os.POSIX_SPAWN_DUP2, log, descriptor) for descriptor, log in enumerate(logs, 1)]
        shell = ["/bin/sh", "-c", "true"]
        os.waitpid(os.posix_spawn(shell[0], shell, os.environ, file_actions=outputs, setsid=True), 0)
        self._change(path, RECORDS[2])
        os.unlink(f"{self.folder}/open/{number}")
        os.rmdir(f"{path}.files")
        for log in logs:
            os.close(log)

    def _change(self, path: str, record: bytes) -> None:
        _write(f"{path}.next", record)
        with self._door():
            os.rename(f"{path}.next", f"{path}.json")

    @contextlib.contextmanager
    def _door(self) -> Iterator[None]:
        """Hold the lock for a change that the journal tells of."""
        with self._lock():
            journal = os.open(f"{self.folder}/journal", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.write(journal, LINE)
            os.close(journal)
            yield

    @contextlib.contextmanager
    def _lock(self) -> Iterator[int]:
        lock = os.open(f"{self.folder}/lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield lock
        finally:
            os.close(lock)


def _write(path: str, record: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(file, record)
    os.fsync(file)
    os.close(file)


def main(folder: str, slots: int) -> None:
    """Run as many jobs as each line of the standard input says."""
    queue = Queue(folder)
    orders, give = os.pipe()
    done, tell = os.pipe()
    for _ in range(slots):
        if os.fork() == 0:
            os.close(give)
            while order := os.read(orders, _DIGITS):
                queue.run(int(order))
                os.write(tell, b".")
            os._exit(0)
    os.close(orders)
    for line in sys.stdin:
        begun = time.perf_counter()
        for _ in range(int(line)):
            number = queue.next_number()
            queue.submit(number, RECORDS[0])
            os.write(give, b"%*d" % (_DIGITS, number))
        left = int(line)
        while left:
            left -= len(os.read(done, left))
        print(int(line) / (time.perf_counter() - begun), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
