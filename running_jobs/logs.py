"""Reading a job's logs while they grow: the last part, the last lines, what came since an offset.

Never reads more than a bounded part into memory, however long the log or its lines are.
"""

from __future__ import annotations

from running_jobs import files

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


def last_lines(path: str, count: int) -> list[str]:
    """Return at most `count` last lines as text, of at most the last 4 MiB; invalid UTF-8 is shown as U+FFFD."""
    data, _, _ = tail(path, LINES_BYTES)
    lines = data.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    return [line.decode(errors="replace").removesuffix("\r") for line in lines[max(0, len(lines) - count) :]]


def since(path: str, offset: int, limit: int = 1 << 20) -> tuple[bytes, int]:
    """Return what a file holds from an offset on, at most `limit` bytes of it, and the next offset."""
    try:
        return files.read_from(path, offset, limit)
    except FileNotFoundError:
        return b"", offset


def as_on_a_terminal(text: str) -> str:
    """Leave out what carriage returns overwrote, so that a progress bar is shown once, as it was last.

    The last line keeps a carriage return at its end: what comes next overwrites that line.
    """
    lines = [line[line.rstrip("\r").rfind("\r") + 1 :] for line in text.split("\n")]
    return "\n".join([*(line.rstrip("\r") for line in lines[:-1]), lines[-1]])
