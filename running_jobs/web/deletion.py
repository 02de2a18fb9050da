"""What goes when jobs are deleted: how large their logs and results are. Looks at a bounded number of them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass

from running_jobs import wording
from running_jobs.files import size_of
from running_jobs.paths import JobPaths

LOOKED_AT = 1000  # files and folders of results: enough to say how much it is


@dataclass
class Going:
    """Sizes by the name of a log, of all jobs together; and how many files of results there are, and their bytes.

    `looked_at` counts their folders too; `is_whole` is false if there are more than were looked at.
    """

    logs: dict[str, int]
    files: int = 0
    file_bytes: int = 0
    looked_at: int = 0
    is_whole: bool = True

    @property
    def text(self) -> str:
        """What goes, in words: `out (1.2 MB), err (0 B), 12 files (3.4 MB)`."""
        said = [f"{name} ({wording.size(count)})" for name, count in self.logs.items()]
        if self.files:
            least = "" if self.is_whole else "at least "
            files = f"{least}{self.files} {'file' if self.files == 1 else 'files'}"
            said.append(f"{files} ({least}{wording.size(self.file_bytes)})")
        elif not self.is_whole:
            said.append(f"{self.looked_at} folders and what else there is")
        return ", ".join(said)


def what_goes(paths: JobPaths, job_ids: Iterable[str], look_at: int = LOOKED_AT) -> Going:
    """Look at what these jobs have. Follows no link."""
    going = Going({})
    for job_id in job_ids:
        logs = {"out": paths.out(job_id), "err": paths.err(job_id), "response": paths.response(job_id)}
        for name, path in logs.items():
            if os.path.lexists(path):
                going.logs[name] = going.logs.get(name, 0) + size_of(path)
        if going.is_whole:
            _add_results(going, paths.results(job_id), look_at)
    return going


def _add_results(going: Going, folder: str, look_at: int) -> None:
    folders = [folder] if _is_folder(folder) else []
    while folders:
        try:
            entries = os.scandir(folders.pop())
        except OSError:  # removed while we looked, or not ours to read
            continue
        with entries:
            for entry in entries:
                if going.looked_at == look_at:
                    going.is_whole = False
                    return
                going.looked_at += 1
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                    continue
                going.files += 1
                going.file_bytes += size_of(entry.path)


def _is_folder(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False
