"""Searching a whole log for a text, in bounded steps, forwards or backwards.

Letters match whatever their case; colours and other control sequences between them are passed over. The text is taken
as it is: nothing in it is a pattern.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass

MOST_BYTES = 64 << 20  # in one request
BUDGET_S = 0.15
CHUNK = 1 << 20
OVERLAP = 8 << 10  # no match is longer, escapes within it included
LONGEST_TEXT = 200
LINE_BYTES = 64 << 10  # how far around a match its line's begin and end are looked for
_ESCAPE = rb"\x1b(?:\[[0-?]{0,64}[ -/]{0,4}[@-~]|\][^\x07\x1b\n]{0,2100}(?:\x07|\x1b\\))"
_BETWEEN = b"(?:" + _ESCAPE + b"){0,16}"
_escapes = re.compile(_ESCAPE)


@dataclass(frozen=True)
class Found:
    """What a step of a search found: the line (or what is near, if it is long) with the first match.

    Without a match `line` is None, and `next` is where the search goes on, or None if all was searched.
    """

    line: int | None = None
    match: int | None = None
    end: int = 0
    next: int | None = None


class Wanted:
    """A text that is looked for."""

    def __init__(self, text: str) -> None:
        text = " ".join(text.split())[:LONGEST_TEXT]
        self._plain = text.lower().encode(errors="replace") if text.isascii() else None
        self._pattern = re.compile(_BETWEEN.join(_either_case(letter) for letter in text))
        self._whole = re.compile(b"".join(_either_case(letter) for letter in text))

    def first(self, data: bytes) -> int:
        """Return where the first match begins; -1 if there is none."""
        if not self._may_hold(data):
            return -1
        found = self._pattern.search(data)
        return found.start() if found else -1

    def last(self, data: bytes) -> int:
        """Return where the last match begins; -1 if there is none."""
        if not self._may_hold(data):
            return -1
        if self._plain is not None and b"\x1b" not in data:
            return data.lower().rfind(self._plain)
        last = -1
        for found in self._pattern.finditer(data):
            last = found.start()
        return last

    def _may_hold(self, data: bytes) -> bool:
        """Say whether there may be a match: much faster than to find where."""
        bare = _escapes.sub(b"", data) if b"\x1b" in data else data
        return self._plain in bare.lower() if self._plain is not None else self._whole.search(bare) is not None


def find_from(descriptor: int, wanted: Wanted, offset: int) -> Found:
    """Return the first match at or behind an offset."""
    size = os.fstat(descriptor).st_size
    deadline, stop = time.monotonic() + BUDGET_S, min(size, offset + MOST_BYTES)
    while offset < size:
        data = os.pread(descriptor, CHUNK + OVERLAP, offset)
        at = wanted.first(data)
        if 0 <= at < CHUNK or (at >= 0 and offset + len(data) >= size):
            return _in_its_line(descriptor, offset + at)
        offset += CHUNK
        if offset >= stop or time.monotonic() > deadline:
            break
    return Found(next=offset if offset < size else None)


def find_up_to(descriptor: int, wanted: Wanted, offset: int) -> Found:
    """Return the last match that ends before an offset."""
    end = min(offset, os.fstat(descriptor).st_size)
    deadline, stop = time.monotonic() + BUDGET_S, max(0, end - MOST_BYTES)
    while end > 0:
        begin = max(0, end - CHUNK)
        at = wanted.last(os.pread(descriptor, end - begin, begin))
        if at >= 0:
            return _in_its_line(descriptor, begin + at)
        if begin == 0:
            return Found()
        end = begin + OVERLAP
        if begin <= stop or time.monotonic() > deadline:
            break
    return Found(next=end if end > 0 else None)


def _in_its_line(descriptor: int, match: int) -> Found:
    begin = max(0, match - LINE_BYTES)
    before = os.pread(descriptor, match - begin, begin)
    newline = before.rfind(b"\n")
    line = begin + newline + 1 if newline >= 0 or begin == 0 else match
    newline = os.pread(descriptor, LINE_BYTES, match).find(b"\n")
    return Found(line=line, match=match, end=match + newline + 1 if newline >= 0 else match + 1)


def _either_case(letter: str) -> bytes:
    kinds = {letter, letter.lower(), letter.upper()}
    either = b"|".join(sorted(re.escape(kind.encode(errors="replace")) for kind in kinds))
    return either if len(kinds) == 1 else b"(?:" + either + b")"
