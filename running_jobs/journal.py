"""The journal: one line for each change of a job, for people to read and for readers to follow.

Knows the form of a line and how to follow the file; what a job is, `job` knows. Lines are appended
under the store's lock, before the change they tell of, so a follower may see a line a moment too early.
"""

from __future__ import annotations

import contextlib
import os
import re

from running_jobs.files import open_private, write_all
from running_jobs.job import Job, JobStatus, is_job_id, to_iso
from running_jobs.wording import printable

WHAT_CHARACTERS = 200
DETAIL_CHARACTERS = 500
_CHUNK = 1 << 20
_TAIL = 64 << 10


def journal_line(now_s: float, job: Job, status: str, detail: str) -> str:
    """Make the line `<time> <id> <what> - <status> - <detail>`, newlines escaped."""
    what = printable(job.what[:WHAT_CHARACTERS])[:WHAT_CHARACTERS]
    return f"{to_iso(now_s)} {job.id} {what} - {status} - {printable(detail[:DETAIL_CHARACTERS])}"


def append_error(path: str, now_s: float, text: str) -> None:
    """Add a line of our own to the log of errors."""
    append_unlocked(path, f"{to_iso(now_s)} {printable(text)}")


def append_unlocked(path: str, line: str) -> None:
    """Add a line to a log that many append to without a lock; if the disk refuses, it is not there."""
    with contextlib.suppress(OSError):
        descriptor = open_private(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            write_all(descriptor, f"{line}\n".encode(errors="replace"))
        finally:
            os.close(descriptor)


class Follower:
    """Follows a journal from where it ends now; tells which jobs changed since it was asked last.

    Lines are written one by one under the store's lock, each before its change. So when a line is read, the
    changes of all lines before it are in their files, and only its own may still be on its way: the job of the
    last line is named again every time, until another line follows.

    With each job comes the status that the line tells, where that is certain: a hint that spares a reader what it
    knows already.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._offset = 0
        self._last: tuple[str, str | None] | None = None
        self._last_line = b""
        self._open()

    def close(self) -> None:
        """Close the journal."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def changed(self) -> dict[str, str | None] | None:
        """Return the jobs to look at again with their hints, or None if lines were missed and all must be."""
        if self._was_replaced():
            self._open()
            return None
        found = dict([self._last]) if self._last else {}
        for named in self._read_new():
            found[named[0]] = named[1]
            self._last = named
        return found

    def _open(self) -> None:
        """Open the journal at the end of its last whole line, and take that line as the last one read."""
        self.close()
        self._last = None
        self._last_line = b""
        self._offset = 0
        try:
            self._descriptor = open_private(self._path, os.O_RDONLY)
        except FileNotFoundError:
            return
        size = os.fstat(self._descriptor).st_size
        tail = os.pread(self._descriptor, _TAIL, max(0, size - _TAIL))
        whole = tail.rfind(b"\n") + 1
        self._offset = size - len(tail) + whole
        if whole:
            self._last_line = tail[:whole].splitlines(keepends=True)[-1]
            self._last = _named_in(self._last_line)

    def _was_replaced(self) -> bool:
        try:
            named = os.stat(self._path, follow_symlinks=False)
        except FileNotFoundError:
            return self._descriptor is not None
        if self._descriptor is None:  # the first lines ever: nothing was missed
            self._descriptor = open_private(self._path, os.O_RDONLY)
            return False
        opened = os.fstat(self._descriptor)
        if (named.st_dev, named.st_ino) != (opened.st_dev, opened.st_ino):
            return True
        begin = self._offset - len(self._last_line)
        return os.pread(self._descriptor, len(self._last_line), begin) != self._last_line  # emptied and filled again

    def _read_new(self) -> list[tuple[str, str | None]]:
        found: list[tuple[str, str | None]] = []
        if self._descriptor is None:
            return found
        rest = b""
        while chunk := os.pread(self._descriptor, _CHUNK, self._offset + len(rest)):
            lines = (rest + chunk).split(b"\n")
            rest = lines.pop()
            self._offset += sum(len(line) + 1 for line in lines)
            found.extend(named for line in lines if (named := _named_in(line)))
            if lines:
                self._last_line = lines[-1] + b"\n"
            if len(rest) > _CHUNK:  # no line of ours is that long
                self._offset += len(rest)
                self._last_line = b""
                rest = b""
        return found


_STATUS = re.compile(rb" - ([a-z]+)(?= - )")  # looks ahead, so that overlapping ones are all seen
_CERTAIN = {name.encode(): name for name in ("deleted", *(status.value for status in JobStatus))}


def _named_in(line: bytes) -> tuple[str, str | None] | None:
    """Return the job that a line names, and its status unless the command line itself looks like one."""
    words = line.split(b" ", 2)
    if len(words) < 3 or not is_job_id(job_id := words[1].decode(errors="replace")):
        return None
    statuses = _STATUS.findall(words[2])
    return job_id, _CERTAIN.get(statuses[0]) if len(statuses) == 1 else None
