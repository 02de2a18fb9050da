"""Reading a job's logs while they grow: the last part, the last lines, what came since an offset; and adding to them.

Never reads more than a bounded part into memory, however long the log or its lines are.
"""

from __future__ import annotations

import os

from running_jobs import files
from running_jobs.errors import StorageFailed

TAIL_BYTES = 64 << 10
LINES_BYTES = 4 << 20


def tail(path: str, limit: int = TAIL_BYTES) -> tuple[bytes, int, int]:
    """Return the last part of a file from a line's begin on (if one begins in it), where it starts and where it ends.

    A missing file is empty.
    """
    try:
        data, end = files.read_from(path, -limit, limit)
    except FileNotFoundError:
        return b"", 0, 0
    start = end - len(data)
    if start > 0 and (newline := data.find(b"\n", 0, -1)) >= 0:
        data, start = data[newline + 1 :], start + newline + 1
    return data, start, end


def lines_of(data: bytes) -> list[str]:
    """Return the lines of a log's part as text, without their ends; invalid UTF-8 is shown as U+FFFD."""
    lines = data.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    return [line.decode(errors="replace").removesuffix("\r") for line in lines]


def last_part(path: str, count: int) -> tuple[bytes, int, int]:
    """Return at most `count` last lines as they are, of at most the last 4 MiB, where they start and where they end."""
    limit = TAIL_BYTES
    while True:
        data, start, end = tail(path, limit)
        position = last_lines_start(data, count)
        if position > 0 or start == 0 or limit >= LINES_BYTES:
            break
        limit *= 8  # not far enough back yet
    return data[position:], start + position, end


def last_lines_start(data: bytes, count: int) -> int:
    """Return where the last `count` lines of data begin (0 if it has no more), a last line without its end counted."""
    position = len(data) - 1 if data.endswith(b"\n") else len(data)
    for _ in range(count):
        position = data.rfind(b"\n", 0, max(0, position))
        if position < 0:
            return 0
    return position + 1


def since(path: str, offset: int, limit: int = 1 << 20) -> tuple[bytes, int]:
    """Return what a file holds from an offset on, at most `limit` bytes of it, and the next offset."""
    try:
        return files.read_from(path, offset, limit)
    except FileNotFoundError:
        return b"", offset


def append_entry(path: str, text: str) -> None:
    """Append an entry to a log or response as whole lines. Raise StorageFailed."""
    try:
        descriptor = files.open_private(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            files.write_all(descriptor, text.encode() + (b"" if text.endswith("\n") else b"\n"))
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StorageFailed("The entry", error) from error
