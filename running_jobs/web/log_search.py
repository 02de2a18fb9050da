"""Searching a whole log for a text, in bounded steps, forwards or backwards.

Letters match whatever their case; colours and other control sequences between them are passed over. The text is taken
as it is: nothing in it is a pattern.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from typing import AnyStr

MOST_BYTES = 64 << 20  # in one request
BUDGET_S = 0.15
CHUNK = 1 << 20
OVERLAP = 8 << 10  # no match is longer, escapes within it included
LONGEST_TEXT = 200
LINE_BYTES = 64 << 10  # how far around a match its line's begin and end are looked for
_ESCAPE = rb"\x1b(?:\[[0-?]{0,64}[ -/]{0,4}[@-~]|\][^\x07\x1b\n]{0,2100}(?:\x07|\x1b\\))"
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
    """A text that is looked for, in a time that grows with the data alone: a pattern would try each of its places anew.

    In data without its escapes and in small letters, it stands as it is.
    """

    def __init__(self, text: str) -> None:
        text = " ".join(text.split())[:LONGEST_TEXT]
        self._plain = text.lower().encode() if text.isascii() else None
        self._folded = text.casefold()

    def first(self, data: bytes) -> int:
        """Return where the first match begins; -1 if there is none."""
        return self._find(data, is_last=False)

    def last(self, data: bytes) -> int:
        """Return where the last match begins; -1 if there is none."""
        return self._find(data, is_last=True)

    def _find(self, data: bytes, is_last: bool) -> int:
        bare = _escapes.sub(b"", data) if b"\x1b" in data else data
        if self._plain is not None:
            small, plain = bare.lower(), self._plain
            at = _rfind(small[::-1], plain[::-1]) if is_last else small.find(plain)
        else:
            text = bare.decode(errors="surrogateescape")
            folded = text.casefold()
            at = _rfind(folded[::-1], self._folded[::-1]) if is_last else folded.find(self._folded)
            at = _bytes_before(text, at) if at >= 0 else at
        return at if at < 0 or bare is data else _with_escapes(data, at)


def _rfind(backwards: AnyStr, wanted: AnyStr) -> int:
    """Return where the last match begins, in data and text turned round: only `find` takes no longer for any text."""
    at = backwards.find(wanted)
    return at if at < 0 else len(backwards) - at - len(wanted)


def _bytes_before(text: str, folded_at: int) -> int:
    """Return how many bytes are before a place in the folded text, in which some letters have become two."""
    begin, end = 0, len(text)
    while end - begin > 1:
        middle = (begin + end) // 2
        length = len(text[begin:middle].casefold())
        if length <= folded_at:
            begin, folded_at = middle, folded_at - length
        else:
            end = middle
    return len(text[:begin].encode(errors="surrogateescape"))


def _with_escapes(data: bytes, bare_at: int) -> int:
    """Return where in the data a place is that is known without its escapes."""
    skipped = 0
    for escape in _escapes.finditer(data):
        if escape.start() - skipped > bare_at:
            break
        skipped += len(escape[0])
    return bare_at + skipped


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
