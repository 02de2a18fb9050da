"""The files that a job left in its results folder: names, sizes and times, bounded in number. Follows no link."""

from __future__ import annotations

import heapq
import os
import re
import stat
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from operator import attrgetter
from typing import NamedTuple

from running_jobs import folders
from running_jobs.job import to_iso
from running_jobs.web.file_kinds import is_picture
from running_jobs.wording import harmless

MAX_FILES = 10_000
MAX_LOOKED_AT = 100_000
MAX_PATH_BYTES = 4096
SLOW_S = 0.005
KEPT_FOR = 20  # times as long as a slow listing took: whoever looks at it all day takes 5% of a core for it
KEPT = 4
_FIRST_NS, _LAST_NS = -62_135_596_800 * 10**9, 253_402_300_799 * 10**9  # of the years 1 to 9999
_NO_ADDRESS = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class ResultFile(NamedTuple):
    """A file. In its `name`, a path below the folder, bytes that are no UTF-8 are lone surrogates."""

    name: str
    size: int
    mtime_ns: int

    @property
    def modified_at(self) -> str:
        """When it was last changed, in ISO 8601."""
        return to_iso(self.mtime_ns / 1e9)

    @property
    def shown(self) -> str:
        """Its name as it can be shown: on one line, in an order that nothing in it turns round."""
        return harmless(as_text(self.name))

    @property
    def is_reachable(self) -> bool:
        """Whether an address can hold its name; one with line ends or of no UTF-8 is only had in the archive."""
        return _NO_ADDRESS.search(self.name) is None


@dataclass(frozen=True)
class Listing:
    """The newest files, at most 10,000, newest first; `total` and `total_bytes` count the others too.

    With `is_whole` False there are more than 100,000 entries, and who is the newest of all was not looked for.
    """

    files: list[ResultFile]
    total: int
    total_bytes: int
    is_whole: bool

    @cached_property
    def pictures(self) -> list[ResultFile]:
        """Those that can be shown as pictures."""
        return [file for file in self.files if is_picture(file.name) and file.is_reachable]

    @cached_property
    def others(self) -> list[ResultFile]:
        """All but the pictures."""
        return [file for file in self.files if not (is_picture(file.name) and file.is_reachable)]


def as_text(name: str) -> str:
    """Return a file's name with what is no UTF-8 in it replaced."""
    return name.encode(errors="surrogateescape").decode(errors="replace")


class Walk:
    """Goes once through the regular files below a folder, those of each folder by name; what vanishes is passed over.

    At most 100,000 entries are looked at, folders and links among them; with `is_whole` False there were more, or some
    are deeper than a path can say.
    """

    def __init__(self, folder: str) -> None:
        self.is_whole = True
        self._folder = folder
        self._left = MAX_LOOKED_AT
        self._has_enough = False

    def __iter__(self) -> Iterator[ResultFile]:
        to_visit = [""]
        while to_visit and not self._has_enough:
            inner = to_visit.pop()
            if len(os.fsencode(inner)) > MAX_PATH_BYTES:  # so deep that no address leads there
                self.is_whole = False
                continue
            try:
                folder = folders.open_folder(self._folder, inner.split("/") if inner else ())
            except OSError:  # gone, or a link lies in its place
                continue
            below = []
            try:
                for entry in self._entries(folder):
                    name = f"{inner}/{entry.name}" if inner else entry.name
                    try:
                        found = entry.stat(follow_symlinks=False)
                    except OSError:
                        continue
                    if stat.S_ISDIR(found.st_mode):
                        below.append(name)
                    elif stat.S_ISREG(found.st_mode):
                        yield ResultFile(name, found.st_size, min(max(found.st_mtime_ns, _FIRST_NS), _LAST_NS))
            finally:
                os.close(folder)
            to_visit.extend(reversed(below))

    def _entries(self, folder: int) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as entries:
                found = sorted(islice(entries, self._left), key=attrgetter("name"))
                if next(entries, None) is not None:
                    self.is_whole, self._has_enough = False, True
        except OSError:
            return []
        self._left -= len(found)
        return found


def list_files(folder: str) -> Listing:
    """Look at the files below a folder."""
    total = total_bytes = 0

    def counted() -> Iterator[ResultFile]:
        nonlocal total, total_bytes
        for file in walk:
            total += 1
            total_bytes += file.size
            yield file

    walk = Walk(folder)
    newest = heapq.nlargest(MAX_FILES, counted(), key=attrgetter("mtime_ns", "name"))
    return Listing(newest, total, total_bytes, walk.is_whole)


class Listings:
    """Lists folders, and keeps a listing that took long for a while."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[float, Listing]] = OrderedDict()

    def of(self, folder: str) -> Listing:
        """Return what is in a folder now, or was a moment ago."""
        with self._lock:
            until, kept = self._kept.get(folder, (0.0, None))
        if kept is not None and time.monotonic() < until:
            return kept
        begin = time.thread_time()
        listing = list_files(folder)
        took_s = time.thread_time() - begin
        if took_s >= SLOW_S:
            with self._lock:
                self._kept[folder] = (time.monotonic() + KEPT_FOR * took_s, listing)
                self._kept.move_to_end(folder)
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
        return listing
