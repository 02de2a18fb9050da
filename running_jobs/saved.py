"""Commands that people keep by name to launch them again: one private JSON file each. Knows no HTTP.

The name is inside, so that it may be any text. What cannot be read is reported and left alone: it is neither replaced
nor deleted.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from running_jobs import checks, files, folders
from running_jobs.errors import InvalidJob, NoSuchSaved, StorageFailed, UnreadableSaved
from running_jobs.job import IDLE, Job, to_iso
from running_jobs.store import JobStore

MAX_SAVED = 200
MAX_BYTES = 64 << 10
MAX_NAME = 100
NAME_FIELD = "keep_as"

ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
_SUFFIX = ".json"


class Saved(NamedTuple):
    """A command that is kept: `options` are a job's, with `command` and `start`, checked when it is launched."""

    id: str
    name: str
    options: dict[str, Any]

    @property
    def what(self) -> str:
        """What runs, as people know it."""
        return Job(id="", status=IDLE, command=self.options["command"]).what


def is_saved_id(text: str) -> bool:
    """Say whether text has the form of a kept command's id (and so is safe as a file name)."""
    return ID.fullmatch(text) is not None


class SavedCommands:
    """The commands that are kept in one data directory. Safe under many processes and threads at once."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._folder = store.paths.saved

    def all(self) -> tuple[list[Saved], dict[str, str]]:
        """Return the commands by name, and by id why each of the others cannot be read."""
        found, problems = [], {}
        for saved_id in self._ids():
            try:
                found.append(self.get(saved_id))
            except NoSuchSaved:  # deleted meanwhile
                continue
            except UnreadableSaved as error:
                problems[saved_id] = error.problem
        return sorted(found, key=lambda saved: (saved.name.casefold(), saved.id)), problems

    def get(self, saved_id: str) -> Saved:
        """Return a command. Raise NoSuchSaved or UnreadableSaved."""
        if not is_saved_id(saved_id):
            raise NoSuchSaved(saved_id)
        try:
            descriptor = folders.open_beneath(self._folder, saved_id + _SUFFIX)
        except FileNotFoundError:
            if os.path.lexists(self._path(saved_id)):
                raise UnreadableSaved(saved_id, "it is no regular file") from None
            raise NoSuchSaved(saved_id) from None
        except OSError as error:
            raise UnreadableSaved(saved_id, error.strerror or str(error)) from None
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(MAX_BYTES + 1)
        return _read(saved_id, content)

    def keep(self, name: str, options: Mapping[str, Any]) -> Saved:
        """Keep a command under a name, in place of what was kept under it.

        Raise InvalidJob for a wrong name, for one too many or too large, UnreadableSaved, or StorageFailed.
        """
        name = read_name(name)
        record = {"name": name, "saved_at": to_iso(self._store.clock()), "options": dict(options)}
        content = json.dumps(record, ensure_ascii=False, indent=1).encode() + b"\n"
        if len(content) > MAX_BYTES:
            raise InvalidJob("command", f"is too large to be kept: {len(content)} bytes, at most {MAX_BYTES}")
        with self._store.door():
            found, problems = self.all()
            same = (saved.id for saved in found if saved.name == name)
            saved_id = next(same, None) or _new_id(name, {saved.id for saved in found})
            if saved_id in problems:
                raise UnreadableSaved(saved_id, problems[saved_id])
            if len(self._ids()) >= MAX_SAVED and saved_id not in self._ids():
                raise InvalidJob(NAME_FIELD, f"{MAX_SAVED} commands are kept already; delete one first")
            try:
                files.make_private_directory(self._folder)
                files.write_atomically(self._path(saved_id), content, self._store.files.sync)
            except OSError as error:
                raise StorageFailed(f"The command {name}", error) from error
        return Saved(saved_id, name, dict(options))

    def delete(self, saved_id: str) -> None:
        """Forget a command. Raise NoSuchSaved, UnreadableSaved or StorageFailed."""
        with self._store.door():
            saved = self.get(saved_id)
            try:
                os.unlink(self._path(saved_id))
            except OSError as error:
                raise StorageFailed(f"The deletion of {saved.name}", error) from error

    def _ids(self) -> list[str]:
        if os.path.islink(self._folder):
            return []
        try:
            names = os.listdir(self._folder)
        except (FileNotFoundError, NotADirectoryError):
            return []
        ids = (name[: -len(_SUFFIX)] for name in names if name.endswith(_SUFFIX))
        return sorted(filter(is_saved_id, ids))[:MAX_SAVED]

    def _path(self, saved_id: str) -> str:
        return f"{self._folder}/{saved_id}{_SUFFIX}"


def read_name(typed: str) -> str:
    """Return a name as it is kept: on one line, without outer spaces. Raise InvalidJob."""
    name = " ".join(checks.text(NAME_FIELD, typed).split())
    if not name:
        raise InvalidJob(NAME_FIELD, "is empty; type a name to keep the command under")
    if len(name) > MAX_NAME or not name.isprintable():
        raise InvalidJob(NAME_FIELD, f"expected a name of at most {MAX_NAME} characters that can be seen")
    return name


def _new_id(name: str, taken: Collection[str]) -> str:
    """Return the name's digest, or another if a file that was renamed inside by hand has that."""
    digests = (_digest(name + "\n" * count) for count in itertools.count())
    return next(digest for digest in digests if digest not in taken)


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:24]


def _read(saved_id: str, content: bytes) -> Saved:
    if len(content) > MAX_BYTES:
        raise UnreadableSaved(saved_id, f"it has more than {MAX_BYTES} bytes")
    try:
        record = json.loads(content)
        json.dumps(record, ensure_ascii=False).encode()  # half a surrogate pair can be read, but never be shown
        name, options = record["name"], record["options"]
        if not isinstance(options, dict) or not isinstance(options["command"], dict):
            raise TypeError("its options hold no command")
        if read_name(name) != name:
            raise TypeError("its name is not as it is kept")
    except InvalidJob as error:
        raise UnreadableSaved(saved_id, f"its name {error.problem}") from None
    except RecursionError:
        raise UnreadableSaved(saved_id, "it is nested too deeply") from None
    except (ValueError, TypeError, KeyError) as error:
        raise UnreadableSaved(saved_id, f"it is not the JSON of a kept command ({error})") from None
    return Saved(saved_id, name, options)
