"""One result file as the page shows it: a picture, a player, a table, its text, or what is known of it.

At most 64 KiB of a file are read, however large it is.
"""

from __future__ import annotations

import csv
import io
import json
import os
from typing import Any, NamedTuple

from running_jobs import folders, wording
from running_jobs.web.file_kinds import OTHER, TABLE, TEXT, kind_of
from running_jobs.web.listing import ResultFile

MAX_BYTES = 64 << 10
TAIL_BYTES = 16 << 10
MAX_INDENTED = 256 << 10  # characters: of what is nested deeply, the indents are a thousand times what they set off
MAX_ROWS = 50
MAX_COLUMNS = 20
MAX_CELL = 200  # characters
MAX_WRONG = 0.05  # of a text's characters that are no UTF-8; beyond it is none


class Excerpt(NamedTuple):
    """The first part of a file and, unless that is all of it, its last part; what lies between is `left_out` bytes."""

    head: bytes
    tail: bytes
    left_out: int


def preview_of(folder: str, name: str) -> dict[str, Any]:
    """Return what is shown of a file below a folder: its `kind`, and what belongs to that kind; else a `problem`."""
    try:
        descriptor = folders.open_beneath(folder, name)
    except FileNotFoundError:
        shown = ResultFile(name, 0, 0).shown[:300]
        return {"name": None, "shown": shown, "problem": "There is no such file. It may have been removed or renamed."}
    try:
        status = os.fstat(descriptor)
        file = ResultFile(name, status.st_size, status.st_mtime_ns)
        kind = kind_of(name).shown_as
        found = _content(descriptor, name, status.st_size) if kind in (TABLE, TEXT, OTHER) else {"kind": kind}
    finally:
        os.close(descriptor)
    return {
        "name": name,
        "shown": file.shown,
        "size": wording.size(file.size),
        "bytes": file.size,
        "modified_at": file.modified_at,
        **found,
    }


def _content(descriptor: int, name: str, size: int) -> dict[str, Any]:
    excerpt = excerpt_of(descriptor, size)
    if not _is_text(excerpt.head):
        return {"kind": OTHER}
    if kind_of(name).shown_as == TABLE:
        table = table_of(excerpt, "\t" if name.lower().endswith(".tsv") else None)
        if table is not None:
            return {"kind": TABLE, **table}
    if name.lower().endswith(".json") and not excerpt.left_out:
        return {"kind": TEXT, "head": indented(excerpt.head), "tail": "", "left_out": None}
    left_out = wording.size(excerpt.left_out) if excerpt.left_out else None
    return {"kind": TEXT, "head": _text(excerpt.head), "tail": _text(excerpt.tail), "left_out": left_out}


def excerpt_of(descriptor: int, size: int) -> Excerpt:
    """Read what is shown of a file: all, or its first and last part, cut at the ends of lines where they can be."""
    if size <= MAX_BYTES:
        return Excerpt(os.pread(descriptor, MAX_BYTES, 0), b"", 0)
    head = os.pread(descriptor, MAX_BYTES - TAIL_BYTES, 0)
    tail = os.pread(descriptor, TAIL_BYTES, size - TAIL_BYTES)
    head = head[: head.rfind(b"\n") + 1] or head
    tail = tail[tail.find(b"\n") + 1 :] or tail
    return Excerpt(head, tail, size - len(head) - len(tail))


def _is_text(data: bytes) -> bool:
    if b"\0" in data:
        return False
    return data.decode(errors="replace").count("\ufffd") <= MAX_WRONG * len(data)


def _text(data: bytes) -> str:
    return data.decode("utf-8-sig", errors="replace")


def indented(data: bytes) -> str:
    """Return JSON as people read it; what is none, is nested too deeply, or would be too long, as it is."""
    text = _text(data)
    made, length = [], 0
    try:
        for piece in json.JSONEncoder(ensure_ascii=False, indent=2).iterencode(json.loads(text)):
            made.append(piece)
            length += len(piece)
            if length > MAX_INDENTED:
                return text
        shown = "".join(made)
        shown.encode()
    except (ValueError, RecursionError):  # UnicodeEncodeError too: half of a pair of surrogates
        return text
    return shown


def table_of(excerpt: Excerpt, delimiter: str | None) -> dict[str, Any] | None:
    """Return the first rows of a table of texts as `header` and `rows`; None if there is no table to be read."""
    text = _text(excerpt.head)
    if excerpt.left_out and "\n" not in text:
        return None
    rows = []
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter or _sign_in(text), strict=True):
            if row:
                rows.append(row)
            if len(rows) > MAX_ROWS + 1:
                break
    except csv.Error:
        return None
    if not rows:
        return None
    shown, width = rows[: MAX_ROWS + 1], max(map(len, rows))
    columns = min(width, MAX_COLUMNS)
    padded = [[_cell(text) for text in row[:columns]] + [""] * (columns - len(row)) for row in shown]
    is_cut = len(rows) > len(shown) or excerpt.left_out > 0
    return {
        "header": padded[0],
        "rows": padded[1:],
        "rows_cut": is_cut,
        "columns": width if width > MAX_COLUMNS else None,
    }


def _sign_in(text: str) -> str:
    """Return what parts the cells: a sign that is as often in each of the first lines, or else a comma."""
    lines = text.splitlines()[:5]
    for sign in "\t;":
        if len({line.count(sign) for line in lines} | {0}) == 2 and all(sign in line for line in lines):
            return sign
    return ","


def _cell(text: str) -> str:
    return text if len(text) <= MAX_CELL else f"{text[:MAX_CELL]}…"
