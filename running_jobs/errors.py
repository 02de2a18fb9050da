"""Everything that can be refused, with its fields. Knows no HTTP and no command line.

Each message says what, which and what to do next; faces only decide how to show it.
"""

from __future__ import annotations

import errno


class JobsError(Exception):
    """Base of all errors that a user may see as they are."""


class InvalidJob(JobsError):
    """What was submitted is not a job; nothing was stored."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class InvalidSettings(JobsError):
    """A setting is unknown or has a wrong value; nothing was started."""

    def __init__(self, where: str, key: str, problem: str) -> None:
        super().__init__(f"{where}: {key}: {problem}")
        self.where = where
        self.key = key


class NoSuchJob(JobsError):
    """No job has this id or prefix."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"Job {_short(job_id)} does not exist. It may have been deleted; look at the list of jobs.")
        self.job_id = job_id


class AmbiguousId(JobsError):
    """More than one id begins with this prefix."""

    def __init__(self, prefix: str, matches: list[str]) -> None:
        super().__init__(f"'{_short(prefix)}' fits {len(matches)} jobs, {matches[0]} among them. Give more of the id.")
        self.prefix = prefix
        self.matches = matches


class UnreadableJob(JobsError):
    """The job's JSON file is there but is not a job. It is left as it is."""

    def __init__(self, job_id: str, problem: str) -> None:
        super().__init__(f"Job {job_id} cannot be read: {problem}. The file was left alone; mend or remove it by hand.")
        self.job_id = job_id
        self.problem = problem


class WrongState(JobsError):
    """The verb does not fit the job's status."""

    def __init__(self, job_id: str, status: str, problem: str) -> None:
        super().__init__(f"Job {job_id} is {status}; {problem}")
        self.job_id = job_id
        self.status = status


class ForbiddenTransition(JobsError):
    """A change of status that TRANSITIONS does not hold was asked of the store."""

    def __init__(self, before: str, after: str) -> None:
        super().__init__(f"A job cannot go from {before} to {after}.")
        self.before = before
        self.after = after


class NotAllowed(JobsError):
    """The settings forbid it for everyone."""


class NotApproved(JobsError):
    """The settings do not name this class or method among the allowed_classes."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Unauthorized class {_on_one_line(name)}.")
        self.name = name


class NoSuchClass(JobsError):
    """No class has this name, for the process that is to run it."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Class {_on_one_line(name)} does not exist.")
        self.name = name


class NoSuchMethod(JobsError):
    """The class has no method of this name that may be called."""

    def __init__(self, name: str, method: str) -> None:
        super().__init__(f"Method {_on_one_line(method)} does not exist in {_on_one_line(name)}.")
        self.name = name
        self.method = method


class NoSuchWorker(JobsError):
    """No worker has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Worker {_on_one_line(name)} does not exist. Look at the list of workers.")
        self.name = name


class InvalidWorker(JobsError):
    """What was to be saved is no worker; nothing was stored. `line` and `column` count from 1, None of its name."""

    def __init__(self, problem: str, line: int | None = 1, column: int | None = 1) -> None:
        super().__init__(problem if line is None else f"line {line}, column {column}: {problem}")
        self.problem = problem
        self.line = line
        self.column = column


class WorkerInUse(JobsError):
    """The worker cannot be deleted or replaced now."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"Worker {_on_one_line(name)} {problem}")
        self.name = name


class WorkerChanged(JobsError):
    """Somebody else saved or deleted the worker since its code was shown; nothing was stored."""

    def __init__(self, name: str, is_gone: bool = False) -> None:
        changed, put = ("deleted", "store yours") if is_gone else ("changed", "put yours in its place")
        super().__init__(f"Worker {name} was {changed} by somebody else meanwhile. Save again to {put}.")
        self.name = name


class NoSuchSaved(JobsError):
    """No command is kept under this id."""

    def __init__(self, saved_id: str) -> None:
        super().__init__(f"No command is kept as {_on_one_line(saved_id)[:64]} any more. Look at the kept commands.")
        self.saved_id = saved_id


class UnreadableSaved(JobsError):
    """The file of a kept command is there but holds none. It is left as it is."""

    def __init__(self, saved_id: str, problem: str) -> None:
        super().__init__(
            f"The file saved/{saved_id}.json cannot be read: {problem}. It was left alone; mend or remove it by hand."
        )
        self.saved_id = saved_id
        self.problem = problem


class TooBusy(JobsError):
    """So much of something that takes long is under way that nobody else may begin it as well; nothing was stored."""

    def __init__(self, problem: str = "Too many modules are being imported at the moment") -> None:
        super().__init__(f"{problem}. Try again soon.")


class LockTimeout(JobsError):
    """A lock was not to be had in time; nothing was changed."""

    def __init__(self, path: str, waited_s: float) -> None:
        super().__init__(f"{path} is locked by another process since over {waited_s:g} s. Try again.")
        self.path = path


# What opening a file of ours fails with if something else was laid in its place.
NOT_OURS = {errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.EINVAL, errno.ENXIO, errno.EFBIG}


class StorageFailed(JobsError):
    """The disk refused: full, read-only or gone. Nothing that was there is damaged."""

    def __init__(self, what: str, error: OSError) -> None:
        where = f" at {error.filename}" if error.errno in NOT_OURS else ""
        reason = f"{error.strerror or error}{where}"
        super().__init__(f"{what} could not be stored: {reason}. Make room or mend the disk, then try again.")
        self.errno = error.errno


class DataGone(JobsError):
    """The data directory was removed."""

    def __init__(self, path: str) -> None:
        next_step = "Bring it back, or restart the server to begin a new one."
        super().__init__(f"The data directory {path} is gone. Nothing was changed. {next_step}")


class DispatcherFailed(JobsError):
    """No dispatcher could be started; whatever was changed before is stored."""

    def __init__(self, error: OSError) -> None:
        reason = error.strerror or str(error)
        super().__init__(f"No dispatcher could be started: {reason}. Queued jobs wait until one can be.")


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:40] + "…"


def _on_one_line(name: str) -> str:
    return (name if name.isprintable() else ascii(name)[1:-1])[:200]
