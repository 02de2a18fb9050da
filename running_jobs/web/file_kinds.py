"""What kinds of result files there are, by the ends of their names: how each is sent, and how it is shown. Pure."""

from __future__ import annotations

import os
from typing import NamedTuple

PICTURE, VIDEO, AUDIO, TABLE, TEXT, OTHER = "picture", "video", "audio", "table", "text", "other"


class Kind(NamedTuple):
    """How a file is sent and shown. What is not `is_inline` is saved by whoever goes to its address."""

    content_type: str
    shown_as: str
    is_inline: bool = True


_UNKNOWN = Kind("application/octet-stream", OTHER, is_inline=False)
_TEXT = Kind("text/plain; charset=utf-8", TEXT)
_TABLE = Kind("text/plain; charset=utf-8", TABLE)
_KINDS = {
    **{f".{name}": Kind(f"image/{name}", PICTURE) for name in ("png", "gif", "webp", "avif", "bmp", "apng")},
    **dict.fromkeys((".jpg", ".jpeg"), Kind("image/jpeg", PICTURE)),
    # what is drawn by <img> runs no script; a page of its own would, and is never made of it
    ".svg": Kind("image/svg+xml", PICTURE, is_inline=False),
    **dict.fromkeys((".mp4", ".m4v"), Kind("video/mp4", VIDEO)),
    ".webm": Kind("video/webm", VIDEO),
    ".ogv": Kind("video/ogg", VIDEO),
    ".mp3": Kind("audio/mpeg", AUDIO),
    ".wav": Kind("audio/wav", AUDIO),
    **dict.fromkeys((".ogg", ".oga", ".opus"), Kind("audio/ogg", AUDIO)),
    ".flac": Kind("audio/flac", AUDIO),
    ".m4a": Kind("audio/mp4", AUDIO),
    **dict.fromkeys((".csv", ".tsv"), _TABLE),
    **dict.fromkeys((".txt", ".log", ".json", ".jsonl", ".md", ".yaml", ".yml", ".toml"), _TEXT),
    ".pdf": Kind("application/pdf", OTHER, is_inline=False),
}  # fmt: skip


def kind_of(name: str) -> Kind:
    """Return what kind of file has such a name."""
    return _KINDS.get(os.path.splitext(name)[1].lower(), _UNKNOWN)


def is_picture(name: str) -> bool:
    """Say whether a file is shown as a picture."""
    return kind_of(name).shown_as == PICTURE
