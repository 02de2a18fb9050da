"""Folders and what is in them: opened step by step, so that no link leads out; removed, however deep. Knows no jobs."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable

_SAFE = os.O_CLOEXEC | os.O_NOFOLLOW
_LEVELS_AT_ONCE = 50
_NOT_THERE = {errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.ENXIO, errno.ENAMETOOLONG, errno.EACCES}


def open_folder(root: str, inner: Iterable[str] = ()) -> int:
    """Open a folder, or one below it by the parts of its way, following no link in any of them. Raise OSError."""
    flags = os.O_RDONLY | os.O_DIRECTORY | _SAFE
    folder = os.open(root, flags)
    for part in inner:
        try:
            deeper = os.open(part, flags, dir_fd=folder)
        finally:
            os.close(folder)
        folder = deeper
    return folder


def open_beneath(root: str, relative: str) -> int:
    """Open a regular file below a folder for reading, following no link in any part of the way.

    Raise OSError; FileNotFoundError for anything that is not a regular file in there.
    """
    parts = relative.split("/")
    if not relative or any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise FileNotFoundError(errno.ENOENT, "No such file", relative)
    try:
        folder = open_folder(root, parts[:-1])
        try:
            descriptor = os.open(parts[-1], os.O_RDONLY | os.O_NONBLOCK | _SAFE, dir_fd=folder)
        finally:
            os.close(folder)
    except OSError as error:
        if error.errno in _NOT_THERE:
            raise FileNotFoundError(errno.ENOENT, "No such file", relative) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(errno.ENOENT, "No such file", relative)
    return descriptor


def remove_tree(path: str) -> None:
    """Remove a folder with all that is in it, however deep, following no link. What vanishes meanwhile is no error.

    Unlike shutil.rmtree it needs neither a call nor a descriptor for each level, and removes what its owner made
    read-only, as some package managers do.
    """
    top = _open_own_folder(path, None)
    try:
        while _empty(top, top, _LEVELS_AT_ONCE):
            pass
    finally:
        os.close(top)
    os.rmdir(path)


def remove(path: str) -> None:
    """Remove whatever has this name, a folder with all that is in it; nothing is no error."""
    with contextlib.suppress(FileNotFoundError):
        try:
            os.unlink(path)
        except IsADirectoryError:
            remove_tree(path)


def _empty(folder: int, top: int, levels: int) -> bool:
    """Remove what is in a folder; move folders that are too deep into `top`, and return whether there were some."""
    moved = False
    with os.scandir(folder) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in found:
        with contextlib.suppress(FileNotFoundError):
            if not is_folder:
                os.unlink(name, dir_fd=folder)
            elif not levels:
                os.rename(name, f".{os.urandom(8).hex()}", src_dir_fd=folder, dst_dir_fd=top)
                moved = True
            else:
                inner = _open_own_folder(name, folder)
                try:
                    moved |= _empty(inner, top, levels - 1)
                finally:
                    os.close(inner)
                os.rmdir(name, dir_fd=folder)
    return moved


def _open_own_folder(name: str, folder: int | None) -> int:
    """Open a folder so that what is in it can be removed, whatever its mode."""
    flags = os.O_DIRECTORY | _SAFE
    try:
        descriptor = os.open(name, os.O_RDONLY | flags, dir_fd=folder)
    except PermissionError:
        unread = os.open(name, os.O_PATH | flags, dir_fd=folder)
        try:
            os.chmod(f"/proc/self/fd/{unread}", 0o700)
        finally:
            os.close(unread)
        descriptor = os.open(name, os.O_RDONLY | flags, dir_fd=folder)
    if os.fstat(descriptor).st_mode & 0o300 != 0o300:
        with contextlib.suppress(PermissionError):  # another user's: maybe it is empty
            os.fchmod(descriptor, 0o700)
    return descriptor
