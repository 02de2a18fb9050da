"""Making a data directory with its folders, private from the start; not of what was made for something else."""

from __future__ import annotations

import contextlib
import os
import stat

from running_jobs import files, reserve
from running_jobs.errors import NotAllowed
from running_jobs.paths import JobPaths

Identity = tuple[int, int]
_OURS = {"run", "logs", "workers", "saved", "config.toml", "secret", "paused", ".gitkeep", "lost+found"}


def make(paths: JobPaths) -> bool:
    """Make what is missing, narrow what is there. Return whether the lists of who waits for whom were there.

    Raise OSError, or NotAllowed for a directory that is open to others and was made for something else.
    """
    folders = (paths.data, paths.run, paths.logs, paths.open, paths.all_awaited)
    if all(map(_is_private_directory, folders)) and all(map(os.path.lexists, paths.reserves)):
        return True  # as before every job that is stored
    _refuse_to_close_what_is_not_ours(paths)
    os.makedirs(os.path.dirname(paths.data), exist_ok=True)
    for folder in (paths.data, paths.run, paths.logs):
        files.make_private_directory(folder)
    if files.make_private_directory(paths.open):
        with contextlib.suppress(FileNotFoundError):  # the markers are gone: have them rebuilt
            os.unlink(paths.boot_id)
    reserve.keep(paths)
    return not files.make_private_directory(paths.all_awaited)


def identity(path: str) -> Identity:
    """Return what tells one data directory from another at the same place. Raise OSError."""
    found = os.stat(path)
    return found.st_dev, found.st_ino


def is_gone(path: str, before: Identity) -> bool:
    """Say whether a data directory of this identity is not there any more, nor another that holds something of ours.

    Its disk may have been taken away; a job that is stored where it was mounted would be hidden when it comes back.
    """
    try:
        return identity(path) != before and not any(map(_is_ours, os.listdir(path)))
    except FileNotFoundError:
        return True


def _is_private_directory(path: str) -> bool:
    with contextlib.suppress(OSError):
        return os.lstat(path).st_mode == stat.S_IFDIR | 0o700
    return False


def _refuse_to_close_what_is_not_ours(paths: JobPaths) -> None:
    with contextlib.suppress(FileNotFoundError):
        if not os.stat(paths.data).st_mode & 0o077:
            return
        names = os.listdir(paths.data)
        if names and not any(map(_is_ours, names)):
            raise NotAllowed(
                f"{paths.data} holds other things and is open to others; a data directory is made private. "
                "Name a new or an empty one."
            )


def _is_ours(name: str) -> bool:
    return name in _OURS or name.endswith(".json")
