"""The workers of one data directory as files: `workers/<Name>.py`, and those that are built in. Runs none of them."""

from __future__ import annotations

import contextlib
import errno
import keyword
import os
import re
import stat
import sys

from running_jobs import files
from running_jobs.errors import InvalidWorker, NoSuchWorker
from running_jobs.paths import JobPaths
from running_jobs.worker_code import MAX_CODE_BYTES

BUILT_IN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "builtin_workers")

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")
_NO_FILE = (
    errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EINVAL, errno.ENXIO, errno.EACCES, errno.EISDIR,
)  # fmt: skip
_TAKEN = {"running_jobs", *getattr(sys, "stdlib_module_names", ())}  # a worker is a module of its own name


def is_worker_name(text: str) -> bool:
    """Say whether a text may be a worker's name (and so is safe as the name of a file and of a module)."""
    return _has_form(text) and text not in _TAKEN


def _has_form(text: str) -> bool:
    return NAME.fullmatch(text) is not None and not keyword.iskeyword(text)


class Workers:
    """The workers of one data directory; one that is built in hides a file of its name."""

    def __init__(self, paths: JobPaths) -> None:
        self.folder = paths.workers

    def names(self) -> list[str]:
        """List the names of all workers, sorted."""
        return sorted({*_names_in(BUILT_IN), *_names_in(self.folder)}, key=str.casefold)

    def is_built_in(self, name: str) -> bool:
        """Say whether a worker comes with the application, and so can neither be changed nor deleted."""
        return is_worker_name(name) and os.path.isfile(f"{BUILT_IN}/{name}.py")

    def path(self, name: str) -> str:
        """Return where a worker's code is, or would be. Raise NoSuchWorker for what cannot be a worker's name."""
        if not is_worker_name(name):
            raise NoSuchWorker(name)
        return f"{BUILT_IN if self.is_built_in(name) else self.folder}/{name}.py"

    def exists(self, name: str) -> bool:
        """Say whether there is a worker of this name, whatever its code."""
        try:
            return stat.S_ISREG(os.stat(self.path(name), follow_symlinks=False).st_mode)
        except (OSError, NoSuchWorker):
            return False

    def code(self, name: str) -> bytes:
        """Return a worker's code as it is now. Raise NoSuchWorker, or InvalidWorker for a file that is too large."""
        try:
            return files.read_bounded(self.path(name), MAX_CODE_BYTES)
        except OSError as error:
            if error.errno == errno.EFBIG:
                raise InvalidWorker(f"{name} has more than {MAX_CODE_BYTES} bytes; no more are taken", None) from None
            if error.errno not in _NO_FILE:
                raise
            raise NoSuchWorker(name) from None

    def write(self, name: str, code: bytes, sync: bool) -> None:
        """Write a worker's code, so that every reader sees the old or the new. The caller holds the store's lock."""
        files.make_private_directory(self.folder)
        files.write_atomically(self.path(name), code, sync)
        if sync:
            files.sync_directory(self.folder)

    def remove(self, name: str) -> None:
        """Remove a worker's code. Raise NoSuchWorker."""
        try:
            os.unlink(self.path(name))
        except FileNotFoundError:
            raise NoSuchWorker(name) from None


def refuse_wrong_name(name: str) -> None:
    """Raise InvalidWorker for a name that no new worker may have."""
    if not _has_form(name):
        raise InvalidWorker(
            f"{name[:40]!r} is no name of a worker: letters, digits and _, beginning with a letter", None
        )
    if name in _TAKEN:
        raise InvalidWorker(f"{name} is the name of a module of Python's own; choose another", None)


def _names_in(folder: str) -> list[str]:
    found = []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            name, dot, suffix = entry.name.partition(".")
            with contextlib.suppress(FileNotFoundError):  # one that is just going is no reason to miss the others
                if f"{dot}{suffix}" == ".py" and is_worker_name(name) and entry.is_file(follow_symlinks=False):
                    found.append(name)
    return found
