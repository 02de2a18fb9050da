"""The journal: one line for each change of a job, for people to read and for readers to follow.

Knows the form of a line and how to follow the file; what a job is, `job` knows. Lines are appended
under the store's lock, before the change they tell of, so a follower may see a line a moment too
early: it names such a job once more for the next two seconds.
"""

from __future__ import annotations

import contextlib
import os
import re

from running_jobs.files import append_line, open_private
from running_jobs.job import Job, JobStatus, is_job_id, to_iso

WHAT_CHARACTERS = 200
SETTLE_S = 2.0
_CHUNK = 1 << 20


def journal_line(now_s: float, job: Job, status: str, detail: str) -> str:
    """Make the line `<time> <id> <what> - <status> - <detail>`, newlines escaped."""
    what = _one_line(job.what)[:WHAT_CHARACTERS]
    return f"{to_iso(now_s)} {job.id} {what} - {status} - {_one_line(detail)}"


def _one_line(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in escaped)


def append_error(path: str, now_s: float, text: str) -> None:
    """Add a line to the log of errors; a disk that refuses it is no reason to stop what went wrong already."""
    with contextlib.suppress(OSError):
        append_line(path, f"{to_iso(now_s)} {_one_line(text)}")


class Follower:
    """Follows a journal from where it ends now; tells which jobs changed since it was asked last.

    With each job comes the status that the line tells, where that is certain: a hint that spares a reader
    what it knows already, or shows that the change has not reached the job's file yet (see look_again).
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._offset = 0
        self._settling: dict[str, tuple[float, str | None]] = {}  # in the order of their times
        self._again: set[str] = set()
        self._open(at_end=True)

    def close(self) -> None:
        """Close the journal."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def changed(self, now_s: float) -> dict[str, str | None] | None:
        """Return the jobs to look at again with their hints, or None if lines were missed and all must be.

        `now_s` is any clock that does not jump.
        """
        if self._was_replaced():
            self._open(at_end=True)
            self._settling.clear()
            return None
        found: dict[str, str | None] = {}
        while self._settling:
            job_id, (due_s, hint) = next(iter(self._settling.items()))
            if due_s > now_s:
                break
            del self._settling[job_id]
            found[job_id] = hint
        found.update((job_id, self._settling[job_id][1]) for job_id in self._again if job_id in self._settling)
        self._again.clear()
        for job_id, hint in self._read_new():
            self._settling.pop(job_id, None)
            self._settling[job_id] = (now_s + SETTLE_S, hint)
            found[job_id] = hint
        return found

    def look_again(self, job_id: str) -> None:
        """Name this job the next time too: its file does not hold yet what the journal tells of it."""
        self._again.add(job_id)

    @property
    def is_settling(self) -> bool:
        """Whether some job named lately will be named again."""
        return bool(self._settling)

    def _open(self, at_end: bool) -> None:
        self.close()
        try:
            self._descriptor = open_private(self._path, os.O_RDONLY)
        except FileNotFoundError:
            self._offset = 0
            return
        self._offset = os.fstat(self._descriptor).st_size if at_end else 0

    def _was_replaced(self) -> bool:
        try:
            named = os.stat(self._path, follow_symlinks=False)
        except FileNotFoundError:
            return self._descriptor is not None
        if self._descriptor is None:  # the first line ever: nothing was missed
            self._open(at_end=False)
            return False
        opened = os.fstat(self._descriptor)
        return (named.st_dev, named.st_ino) != (opened.st_dev, opened.st_ino) or named.st_size < self._offset

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
            if len(rest) > _CHUNK:  # no line of ours is that long
                self._offset += len(rest)
                rest = b""
        return found


_STATUS = re.compile(rb" - ([a-z]+)(?= - )")  # looks ahead, so that overlapping ones are all seen
_CERTAIN = {status.value.encode(): status.value for status in JobStatus}


def _named_in(line: bytes) -> tuple[str, str | None] | None:
    """Return the job that a line names, and its status unless the command line itself looks like one."""
    words = line.split(b" ", 2)
    if len(words) < 3 or not is_job_id(job_id := words[1].decode(errors="replace")):
        return None
    statuses = _STATUS.findall(words[2])
    return job_id, _CERTAIN.get(statuses[0]) if len(statuses) == 1 else None
