"""All results of a job as one ZIP archive, made while it is sent: what is not sent yet is not read yet.

Who reads it slowly holds one of the server's threads, so only two are sent at once. One whose client hardly read
anything for a minute is given up when somebody else asks.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import time
import zipfile
from collections.abc import Generator, Iterable, Iterator

from flask import Response, request

from running_jobs import folders
from running_jobs.errors import InvalidJob, TooBusy
from running_jobs.job import Job
from running_jobs.web.file_kinds import TABLE, TEXT, kind_of
from running_jobs.web.listing import MAX_LOOKED_AT, ResultFile, Walk, as_text
from running_jobs.web.parts import Parts
from running_jobs.web.places import Place, hang_up_of
from running_jobs.web.sending import SANDBOX, attachment

CHUNK = 64 << 10
LARGE = 1 << 30  # from here on with sizes of 64 bits: a file may still grow between the look at it and its opening
_YEARS = range(1980, 2108)  # that the format knows


def send(parts: Parts, job: Job) -> Response:
    """Send all files that a job left as an archive. Raise TooBusy while two are being sent, InvalidJob for too many."""
    folder = parts.store.paths.results(job.id)
    if not parts.listings.of(folder).is_whole:
        raise _too_many()
    place = parts.archive_places.take(hang_up_of(request.environ))
    if place is None:
        raise TooBusy("Two archives are being sent already")
    body = _Body(archive(folder, top_of(job)), place)
    answer = Response(body, content_type="application/zip", direct_passthrough=True)
    answer.headers["Content-Disposition"] = attachment(f"{top_of(job)}.zip")
    answer.headers["Content-Security-Policy"] = SANDBOX
    answer.call_on_close(body.close)
    return answer


def top_of(job: Job) -> str:
    """Return the name of the archive's one folder: what people know the job by, and its id."""
    known_as = re.sub(r"[^\w.-]+", "-", " ".join((job.name or "").split())).strip("-.")[:60]
    return f"{known_as}-{job.id}" if known_as else f"job-{job.id}"


def _too_many() -> InvalidJob:
    why = f"are, with their folders, more than {MAX_LOOKED_AT} or too deep for one archive; fetch them by themselves"
    return InvalidJob("files", why)


class _Body:
    """The parts of an archive, sent or given up; then its place is free."""

    def __init__(self, chunks: Generator[bytes, None, None], place: Place) -> None:
        self._chunks = chunks
        self._place = place

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        self._place.taken()
        chunk = next(self._chunks)
        self._place.hand(len(chunk))  # what it took to make the part is not the client's
        return chunk

    def close(self) -> None:
        """Let the next one begin; the second time this does nothing."""
        self._chunks.close()
        self._place.leave()


class _Unsent:
    """What an archive consists of so far and was not taken yet: a file that cannot be moved about in."""

    def __init__(self) -> None:
        self.held = bytearray()

    def write(self, data: bytes) -> int:
        self.held += data
        return len(data)

    def flush(self) -> None:
        """Do nothing: whoever writes here takes it away."""

    def take(self, at_least: int = 1) -> Iterable[bytes]:
        """Return what there is, if it is so much, as one part."""
        if len(self.held) < at_least:
            return ()
        taken, self.held = bytes(self.held), bytearray()
        return (taken,)


def archive(folder: str, top: str) -> Generator[bytes, None, None]:
    """Make an archive of the files below a folder, part by part; in it all are below one folder, `top`.

    A file that is gone when its turn comes is left out; of one that grows there is what it held then. Raise InvalidJob,
    so that no archive looks whole that is not, if there have become too many.
    """
    unsent, names, walk = _Unsent(), _Names(), Walk(folder)
    with zipfile.ZipFile(unsent, "w") as made:  # type: ignore[call-overload] # has what it needs of IO
        for file in walk:
            try:
                descriptor = folders.open_beneath(folder, file.name)
            except OSError:  # gone meanwhile, or not to be read by us
                continue
            with os.fdopen(descriptor, "rb", buffering=0) as source:
                status = os.fstat(descriptor)
                entry = _entry(names.unique(f"{top}/{_safe(file.name)}"), file, status)
                with made.open(entry, "w", force_zip64=status.st_size >= LARGE) as place:
                    left = status.st_size
                    while left and (chunk := source.read(min(CHUNK, left))):
                        left -= place.write(chunk)
                        yield from unsent.take(CHUNK)
        if not walk.is_whole:
            raise _too_many()
    yield from unsent.take()


def _safe(name: str) -> str:
    """Return a name that leads nowhere else on any system that unpacks it: on some a backslash separates folders."""
    return as_text(name).replace("\\", "_")


class _Names:
    """The names that an archive holds. Those that differ only in what was replaced are numbered."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._counts: dict[str, int] = {}  # so that the next number is not searched from the first on

    def unique(self, name: str) -> str:
        """Return a name, or one like it that no file had yet."""
        found = name
        while found in self._taken:
            self._counts[name] = count = self._counts.get(name, 1) + 1
            found = f"{name}_{count}"
        self._taken.add(found)
        return found


def _entry(name: str, file: ResultFile, status: os.stat_result) -> zipfile.ZipInfo:
    modified_s = status.st_mtime_ns // 10**9
    local = time.localtime(file.mtime_ns // 10**9)
    entry = zipfile.ZipInfo(name, local[:6] if local.tm_year in _YEARS else (_YEARS[0], 1, 1, 0, 0, 0))
    if -(1 << 31) <= modified_s < 1 << 31:
        entry.extra = struct.pack("<HHBi", 0x5455, 5, 1, modified_s)  # in UTC, as unzip(1) prefers it
    entry.file_size = status.st_size
    entry.external_attr = (stat.S_IFREG | stat.S_IMODE(status.st_mode) & 0o777) << 16
    entry.create_system = 3
    if kind_of(name).shown_as in (TEXT, TABLE):
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry._compresslevel = 1  # type: ignore[attr-defined] # public only from 3.13 on, and under this name still there
    return entry
