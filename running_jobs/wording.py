"""Figures as people read them. Pure."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return a text on one line in which nothing acts on a terminal: escape sequences and line ends are spelled out."""
    if text.isprintable() and "\\" not in text:
        return text
    escaped = text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in escaped)


def harmless(text: str) -> str:
    """Return a text on one line in which nothing acts on a terminal, and that otherwise reads as it was typed."""
    if text.isprintable():
        return text
    return "".join(c if _is_harmless(ord(c)) else f"\\x{ord(c):02x}" for c in text.replace("\n", "\\n"))


def _is_harmless(code: int) -> bool:
    control = code < 0x20 or 0x7F <= code < 0xA0 or 0xD800 <= code < 0xE000
    return not control and code not in _BIDIRECTIONAL


_BIDIRECTIONAL = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}  # they would reorder what is around them


def duration(seconds: float | None) -> str:
    """Say how long: `0.4 s`, `42 s`, `3 min 5 s`, `2 h 14 min`, `3 d 4 h`; an empty text for None."""
    if seconds is None:
        return ""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    for unit, size, part, part_size in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // part_size
            return f"{whole // size} {unit} {rest} {part}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def until(seconds: float) -> str:
    """Say how long is left, counted down in whole seconds: `12 s`, then as a duration is said: `2 h 14 min`."""
    whole = -int(-seconds // 1)  # rounded up; the module math would cost every runner 20 kB
    return f"{whole} s" if whole < 60 else duration(whole)


def roughly(seconds: float) -> str:
    """Say an estimated span: `under a minute`, `12 min`, `2 h 14 min`, `3 d 4 h`."""
    return "under a minute" if seconds < 60 else duration(60 * round(seconds / 60))


def ago(seconds: float) -> str:
    """Say how long ago, in one unit: `just now`, `5 min ago`, `3 d ago`."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return "just now" if seconds < 10 else f"{int(seconds)} s ago"


def size(count: float) -> str:
    """Say how many bytes, in powers of 1000: `512 B`, `1.5 kB`, `2.0 GB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
