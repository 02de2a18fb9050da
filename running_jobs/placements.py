"""What Slurm said last of the jobs that were handed over to it: `run/slurm.json`, which the dispatcher writes and the
page reads. A view that is made anew at any time: nothing is decided by it, and what is damaged in it is passed over.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any, NamedTuple

from running_jobs import files
from running_jobs.job import from_iso, is_job_id
from running_jobs.paths import JobPaths
from running_jobs.slurm_words import HELD_BACK

MAX_BYTES = 32 << 20
MAX_TEXT = 1000
_TEXTS = ("id", "state", "why", "partition", "node")


class Told(NamedTuple):
    """When Slurm last answered (`at`), since when it does not and why, and what it said of each job.

    Each of the `jobs`, by our id, has the `attempt` that was handed over, Slurm's `id` of it, its `state` and `why` it
    waits as Slurm names them, its `partition`, and its `node`, empty until it has one.
    """

    at: str | None = None
    problem: str | None = None
    since: str | None = None
    jobs: dict[str, dict[str, Any]] = {}  # noqa: RUF012 - a default that nobody changes

    def of(self, job_id: str, attempt: int) -> dict[str, Any] | None:
        """Return what Slurm said of an attempt of a job, None if nothing."""
        found = self.jobs.get(job_id)
        return found if found and found["attempt"] == attempt else None

    @property
    def handed_over(self) -> list[dict[str, Any]]:
        """What it said of the jobs that it has, or is just given."""
        return [entry for entry in self.jobs.values() if entry["state"] not in HELD_BACK]


def read(paths: JobPaths) -> Told:
    """Return what is known of Slurm; nothing if that file is missing or damaged."""
    try:
        found = json.loads(files.read_bounded(paths.slurm, MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return Told()
    if not isinstance(found, dict):
        return Told()
    jobs = found.get("jobs")
    entries = jobs.items() if isinstance(jobs, dict) else ()
    return Told(
        _time(found.get("at")),
        _text(found.get("problem")) or None,
        _time(found.get("since")),
        {job_id: _entry(entry) for job_id, entry in entries if is_job_id(job_id) and _is_entry(entry)},
    )


def write(paths: JobPaths, told: Told) -> None:
    """Replace what is known of Slurm. Raise OSError."""
    problem = None if told.problem is None else told.problem[:MAX_TEXT]
    jobs = {job_id: _entry(entry) for job_id, entry in told.jobs.items()}
    record = {"at": told.at, "problem": problem, "since": told.since, "jobs": jobs}
    files.write_atomically(paths.slurm, json.dumps(record, separators=(",", ":")).encode() + b"\n", sync=False)


def version(paths: JobPaths) -> tuple[int, int]:
    """Return what changes whenever that file does; zeros if there is none."""
    try:
        found = os.lstat(paths.slurm)
    except OSError:
        return 0, 0
    return found.st_ino, found.st_mtime_ns


def _is_entry(entry: object) -> bool:
    return isinstance(entry, dict) and type(entry.get("attempt")) is int


def _entry(entry: dict[str, Any]) -> dict[str, Any]:
    return {"attempt": entry["attempt"], **{name: _text(entry.get(name)) for name in _TEXTS}}


def _text(value: object) -> str:
    """Return a text, cut, as it can be written again; an empty one for what is none."""
    return value[:MAX_TEXT].encode(errors="replace").decode() if isinstance(value, str) else ""


def _time(value: object) -> str | None:
    with contextlib.suppress(ValueError, IndexError, TypeError):
        from_iso(value)
        return str(value)
    return None
