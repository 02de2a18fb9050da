"""The journal: one line for each change of a job, for people to read and for readers to follow.

Knows the form of a line and how to follow the file; what a job is, `job` knows. Lines are appended
under the store's lock, before the change they tell of, so a follower may see a line a moment too early.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re

from running_jobs.errors import NOT_OURS
from running_jobs.files import open_private, write_all
from running_jobs.job import Job, JobStatus, is_job_id, next_id, to_iso
from running_jobs.wording import printable

WHAT_CHARACTERS = 200
DETAIL_CHARACTERS = 500
_CHUNK = 1 << 20
_TAIL = 64 << 10


def journal_line(now_s: float, job: Job, status: str, detail: str) -> str:
    """Make the line `<time> <id> <what> - <status> - <detail>`, newlines escaped."""
    what = printable(job.what[:WHAT_CHARACTERS])[:WHAT_CHARACTERS]
    return f"{to_iso(now_s)} {job.id} {what} - {status} - {printable(detail[:DETAIL_CHARACTERS])}"


def status_word(before: JobStatus, job: Job) -> str:
    """Return what the journal calls a job's change: its status, or which attempt comes next after one that failed."""
    if before is JobStatus.ACTIVE and job.status is JobStatus.QUEUED and job.attempt > 0:
        return f"retry ({job.attempt + 1}/{job.retries + 1})"
    return job.status.value


def deleted_detail(job: Job, detail: str) -> str:
    """Return the detail of a deletion's line: what the job was until then."""
    return f"was {job.status}; {detail}" if detail else f"was {job.status}"


def put_aside(path: str, limit: int, now_s: float) -> None:
    """Rename a log that has grown over a limit (0 for none), under the store's lock; the next line begins a new one.

    What others hold open keeps its lines: nothing is lost, nothing is copied. The names of parts sort as they were
    written, whatever the clock does.
    """
    with contextlib.suppress(OSError):
        if os.stat(path, follow_symlinks=False).st_size > limit > 0:
            last = parts_put_aside(path)[-1:]
            os.rename(path, f"{path}.{next_id(last[0][len(path) + 1 :] if last else '', now_s)}")


def parts_put_aside(path: str) -> list[str]:
    """Return the paths of what was put aside of a log, oldest first."""
    folder, name = os.path.split(path)
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        found = (other for other in os.listdir(folder) if other.startswith(f"{name}."))
        return sorted(f"{folder}/{other}" for other in found if _ASIDE.fullmatch(other, len(name) + 1))
    return []


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
        self._offset = 0  # of the first line that was not read whole
        self._seen = 0  # how long it was then
        self._found: tuple[int, int, int] | None = None  # which file it was then, and when that was written to
        self._last: tuple[str, str | None] | None = None
        self._last_line = b""
        self._aside_before: list[str] = []
        self._open()

    def close(self) -> None:
        """Close the journal."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def has_more(self) -> bool:
        """Say whether something was written since the last look."""
        if self._descriptor is None:
            return os.path.lexists(self._path)
        try:
            named = os.stat(self._path, follow_symlinks=False)
        except FileNotFoundError:  # put aside just now: was it longer?
            return os.fstat(self._descriptor).st_size != self._seen
        return named.st_size != self._seen or self._found is None or (named.st_dev, named.st_ino) != self._found[:2]

    def changed(self) -> dict[str, str | None] | None:
        """Return the jobs to look at again with their hints, or None if lines were missed and all must be."""
        found = dict([self._last]) if self._last else {}
        while not self._is_as_it_was():
            successor = self._successor()
            if successor is None:
                self._open()
                return None
            self._take_new(found)
            if successor < 0:
                return found
            self.close()  # ours was put aside, and is read to its end now
            self._descriptor, self._offset, self._last_line = successor, 0, b""
        return found

    def _is_as_it_was(self) -> bool:
        """Say whether nobody wrote to the journal since it was read, by one call where all others would take seven."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            named = os.stat(self._path, follow_symlinks=False)
            return named.st_size == self._seen and _state(named) == self._found
        return False

    def _take_new(self, found: dict[str, str | None]) -> None:
        for named in self._read_new():
            found[named[0]] = named[1]
            self._last = named

    def _open(self) -> None:
        """Open the journal at the end of its last whole line, and take that line as the last one read."""
        self.close()
        self._last = None
        self._last_line = b""
        self._offset = self._seen = 0
        self._found = None
        descriptor = _open_if_there(self._path)
        if descriptor is None:
            self._aside_before = parts_put_aside(self._path)
            return
        self._descriptor = descriptor
        size = os.fstat(self._descriptor).st_size
        tail = os.pread(self._descriptor, _TAIL, max(0, size - _TAIL))
        whole = tail.rfind(b"\n") + 1
        self._offset = size - len(tail) + whole
        if whole:
            self._last_line = tail[:whole].splitlines(keepends=True)[-1]
            self._last = _named_in(self._last_line)

    def _successor(self) -> int | None:
        """Return -1 while ours is the last part, the next one if ours was put aside, None if it is lost."""
        found = _open_if_there(self._path)
        descriptor = -1 if found is None else found  # it was put aside just now, or there never was one
        if self._descriptor is None:
            begun = [part for part in parts_put_aside(self._path) if part not in self._aside_before]
            if not begun:  # the first lines ever, if any
                self._descriptor = found
                self._found = _state(os.fstat(found)) if found is not None else None
                return -1
            self._descriptor = open_private(begun[0], os.O_RDONLY)
        ours = os.fstat(self._descriptor)
        self._found = _state(ours)
        if descriptor >= 0 and _same(os.fstat(descriptor), ours):
            os.close(descriptor)
            begin = self._offset - len(self._last_line)
            unchanged = os.pread(self._descriptor, len(self._last_line), begin) == self._last_line
            return -1 if unchanged else None  # it was emptied and filled again
        later = _parts_after(ours, self._path)
        if later == []:
            return descriptor
        if descriptor >= 0:
            os.close(descriptor)
        with contextlib.suppress(FileNotFoundError):
            return open_private(later[0], os.O_RDONLY) if later else None
        return None

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
        self._seen = self._offset + len(rest)
        return found


def _open_if_there(path: str) -> int | None:
    """Open a journal; None if there is none, or what somebody laid in its place: neither is followed."""
    try:
        return open_private(path, os.O_RDONLY)
    except OSError as error:
        if error.errno not in NOT_OURS | {errno.ENOENT}:
            raise  # no descriptors: that passes
        return None


def _parts_after(ours: os.stat_result, path: str) -> list[str] | None:
    """Return the parts of a log that were put aside after one of them, oldest first; None if that is not among them."""
    later: list[str] = []
    with contextlib.suppress(FileNotFoundError):
        for part in reversed(parts_put_aside(path)):
            if _same(os.stat(part, follow_symlinks=False), ours):
                return later[::-1]
            later.append(part)
    return None


def _state(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_dev, found.st_ino, found.st_mtime_ns


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)


_ASIDE = re.compile(r"\d{8}-\d{6}-\d{6}")
_STATUS = re.compile(rb" - ([a-z]+(?: \(\d+/\d+\))?)(?= - )")  # looks ahead, so that overlapping ones are all seen
_CERTAIN = {name.encode(): name for name in ("deleted", *(status.value for status in JobStatus))}


def _named_in(line: bytes) -> tuple[str, str | None] | None:
    """Return the job that a line names, and its status unless the command line itself looks like one."""
    words = line.split(b" ", 2)
    if len(words) < 3 or not is_job_id(job_id := words[1].decode(errors="replace")):
        return None
    statuses = _STATUS.findall(words[2])
    return job_id, _CERTAIN.get(statuses[0]) if len(statuses) == 1 else None
