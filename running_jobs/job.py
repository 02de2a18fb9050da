"""What a job is: its states, its fields, its JSON form. Pure: no paths, no clock, no processes."""

from __future__ import annotations

import json
import re
import time
from dataclasses import MISSING, dataclass, field, fields
from enum import Enum
from functools import lru_cache
from typing import Any

from running_jobs.errors import UnreadableJob


class JobStatus(str, Enum):
    """The states of a job. See TRANSITIONS for the ways between them."""

    IDLE = "idle"
    QUEUED = "queued"
    ACTIVE = "active"
    DONE = "done"
    ERROR = "error"
    STOP = "stop"

    def __str__(self) -> str:
        return str(self.value)


IDLE, QUEUED, ACTIVE, DONE, ERROR, STOP = JobStatus

FINAL = frozenset({DONE, ERROR, STOP})
WAITING = frozenset({IDLE, QUEUED})

TRANSITIONS: dict[JobStatus, frozenset[JobStatus]] = {
    IDLE: frozenset({
        QUEUED,  # start
        STOP,  # stop or kill before it ran
        ACTIVE, DONE, ERROR,  # reported by whoever runs it elsewhere
    }),
    QUEUED: frozenset({
        ACTIVE,  # its runner claims it
        STOP,  # stop or kill before its turn
        ERROR,  # it can never run
    }),
    ACTIVE: frozenset({
        DONE, ERROR, STOP,  # it ended
        QUEUED,  # a failed attempt with retries left
    }),
    DONE: frozenset(),
    ERROR: frozenset(),
    STOP: frozenset(),
}  # fmt: skip

ID_PATTERN = re.compile(r"[0-9A-Za-z_-]{8,40}")


def is_job_id(text: str) -> bool:
    """Say whether text has the form of a job id (and so is safe as a file name)."""
    return ID_PATTERN.fullmatch(text) is not None


def id_from_microseconds(microseconds: int) -> str:
    """Make the id for a moment in microseconds since the epoch, `YYYYMMDD-HHMMSS-ffffff` in UTC: it sorts by time."""
    seconds, rest = divmod(microseconds, 1_000_000)
    return time.strftime("%Y%m%d-%H%M%S", time.gmtime(seconds)) + f"-{rest:06d}"


def next_id(last: str, now_s: float) -> str:
    """Make an id that sorts after `last`, whatever the clock did since; `last` may be empty."""
    candidate = id_from_microseconds(int(now_s * 1_000_000))
    if candidate > last:
        return candidate
    try:
        seconds = _seconds_from_utc(time.strptime(last[:15], "%Y%m%d-%H%M%S"))
        return id_from_microseconds(seconds * 1_000_000 + int(last[16:]) + 1)
    except ValueError:  # a name of somebody else's making: sorting after it is all that is asked
        return (last + "-0")[:40] if len(last) < 40 else candidate


def to_iso(seconds: float) -> str:
    """Format seconds since the epoch as ISO 8601 in UTC with milliseconds, `2026-11-21T20:39:15.123Z`."""
    whole, milliseconds = divmod(int(seconds * 1000), 1000)
    year, month, day, hour, minute, second = time.gmtime(whole)[:6]
    return f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}.{milliseconds:03d}Z"


@lru_cache(maxsize=1000)  # lists ask for the same times again and again
def from_iso(text: str) -> float:
    """Read what to_iso wrote. Raise ValueError for anything else."""
    return _seconds_from_utc(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")) + int(text[20:23]) / 1000


def _is_iso(text: str) -> bool:
    try:
        from_iso(text)
    except (ValueError, IndexError):
        return False
    return True


def _seconds_from_utc(moment: time.struct_time) -> int:
    import calendar

    return calendar.timegm(moment)


def _finite(text: str) -> float:
    number = float(text)
    if not -_MAX_FLOAT <= number <= _MAX_FLOAT:  # it could be read, but what would be written of it is no JSON
        raise ValueError(f"{text[:20]} is no number")
    return number


_MAX_FLOAT = 1.7976931348623157e308
_STATUS_BY_NAME = {status.value: status for status in JobStatus}
MAX_NUMBER = 1e15
SLURM = "slurm"
MAX_DEPTH = 200  # twice what is taken; far below where any reader or writer ends in a RecursionError
_NUMBERS = (int, float)
_decode = json.JSONDecoder(parse_float=_finite, parse_constant=_finite).raw_decode  # json.loads costs a runner 200 kB
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",\n ", ": ")).encode


@dataclass
class Job:
    """One job as its JSON file holds it. Times are ISO 8601 UTC texts; keys that this version does not know are
    kept in `extra` and written back."""

    id: str
    status: JobStatus
    command: dict[str, Any]
    name: str | None = None
    context: str = "default"
    priority: int = 500
    cwd: str | None = None
    env: dict[str, str] = field(default_factory=dict)
    nice: int | None = None
    progress_pattern: str | None = None
    retries: int = 0
    retry_delay: float = 5
    timeout: float = 0
    delay: float = 0
    not_before: str | None = None
    timer: dict[str, Any] | None = None
    after: list[str] = field(default_factory=list)
    after_done: list[str] = field(default_factory=list)
    attempt: int = 0
    attempts: list[dict[str, Any]] = field(default_factory=list)
    pid: int | None = None
    pid_started: int | None = None
    boot_id: str | None = None
    session: int | None = None
    session_started: int | None = None
    cpu_before_s: float | None = None  # of jobs that the runner ran before this one
    host: str | None = None
    asked: dict[str, Any] | None = None
    exit_code: int | None = None
    signal: int | None = None
    reason: str | None = None
    created_at: str | None = None
    queued_at: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    usage: dict[str, Any] | None = None
    callback_done: dict[str, Any] | None = None
    callback_failed: dict[str, Any] | None = None
    callbacks: list[dict[str, Any]] = field(default_factory=list)
    owner: str | None = None
    executor: str = "local"
    partition: str | None = None  # from here on for Slurm, and only in the record where there is something to say
    account: str | None = None
    qos: str | None = None
    cpus: int | None = None
    mem: str | None = None
    gpus: str | None = None
    time: str | None = None
    slurm_args: list[str] | None = None
    placed: dict[str, Any] | None = None  # where the last attempt that began is: Slurm's id of it, partition, node
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def is_final(self) -> bool:
        """Whether it has ended for good."""
        return self.status in FINAL

    @property
    def is_slurms(self) -> bool:
        """Whether Slurm decides when and where it runs."""
        return self.executor == SLURM

    @property
    def runs_elsewhere(self) -> bool:
        """Whether somebody else runs it and only reports here."""
        return self.executor == "elsewhere"

    @property
    def pending_callbacks(self) -> list[str]:
        """The callbacks that an ended job still has to make, by their fields' names."""
        if self.status not in FINAL:
            return []
        settled = [entry.get("callback") for entry in self.callbacks]  # no set: somebody may have edited them
        meant = ("callback_done", "callback_failed") if self.status is ERROR else ("callback_done",)
        return [name for name in meant if getattr(self, name) and name not in settled]

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to do for it: it has ended, and its callbacks are made."""
        return self.status in FINAL and not self.pending_callbacks

    @property
    def waits_for(self) -> list[str]:
        """The jobs that it has to wait for; not those that were done and are deleted."""
        done = set(self.after_done)
        return [other for other in self.after if other not in done]

    @property
    def has_attempts_left(self) -> bool:
        """Whether another attempt follows if this one fails."""
        return self.attempt <= self.retries

    @property
    def ending_asked(self) -> dict[str, Any] | None:
        """What was asked of it while active, if that was to end it."""
        return self.asked if self.asked and self.asked.get("verb") in ("stop", "kill") else None

    @property
    def what(self) -> str:
        """What runs, as people know it: the command line, `Class::method`, or a request's method and address."""
        if "class" in self.command:
            return f"{self.command['class']}::{self.command.get('method')}"
        if "url" in self.command:
            return f"{self.command.get('method', 'GET')} {str(self.command['url']).partition('?')[0]}"  # no secrets
        return str(self.command.get("cmd") or self.command.get("name") or self.command.get("type"))

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON file's content as a dict."""
        held = self.__dict__
        record = {name: held[name] for name in _NAMES}
        record["status"] = self.status.value
        if self.executor == SLURM:
            record.update((name, held[name]) for name in OF_SLURM if held[name] is not None)
        record.update(self.extra)
        return record

    def to_json(self) -> bytes:
        """Return the JSON file's content, an item a line (json's own indenting would take it ten times as long)."""
        return f"{{\n {_encode(self.to_dict())[1:-1]}\n}}\n".encode()

    @classmethod
    def from_json(cls, job_id: str, content: bytes) -> Job:
        """Read a JSON file's content. Raise UnreadableJob if it is not the job of this id."""
        try:
            text = content.decode().strip()
            record, end = _decode(text)
            if end != len(text):
                raise ValueError("there is more behind it")
            if b"\\u" in content:
                _encode(record).encode()  # half a surrogate pair can be read, but never be written
            if content.count(b"[") + content.count(b"{") > MAX_DEPTH and _is_deeper(record, MAX_DEPTH):
                raise RecursionError
            status = _STATUS_BY_NAME[record.pop("status")]
            extra = {key: record.pop(key) for key in record.keys() - TYPES.keys()}
            for name, value in record.items():
                kind = type(value)
                if kind not in TYPES[name]:
                    raise UnreadableJob(job_id, f"{name} has a wrong type")
                if kind in _NUMBERS and not -MAX_NUMBER < value < MAX_NUMBER:
                    raise UnreadableJob(job_id, f"{name} is out of bounds")
            job = cls.__new__(cls)  # __init__ would take longer than all the rest, and a restart reads 100,000 jobs
            job.__dict__ = {**_DEFAULTS, **_fresh(), "id": record["id"], "command": record["command"]}
            job.__dict__.update(record, status=status, extra=extra)
        except RecursionError:
            raise UnreadableJob(job_id, "it is nested too deeply") from None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UnreadableJob(job_id, f"it is not the JSON of a job ({error})") from None
        for name, wanted in (("attempts", dict), ("callbacks", dict), ("after", str), ("after_done", str)):
            if not all(isinstance(item, wanted) for item in getattr(job, name)):
                raise UnreadableJob(job_id, f"{name} has a wrong type")
        if job.not_before is not None and not _is_iso(job.not_before):
            raise UnreadableJob(job_id, "not_before is no time")
        if job.id != job_id:
            raise UnreadableJob(job_id, f"it holds the job {job.id}")
        return job


def _is_deeper(value: object, levels: int) -> bool:
    layer = [value]
    for _ in range(levels):
        layers = (item.values() if isinstance(item, dict) else item for item in layer if isinstance(item, (dict, list)))
        layer = [inner for items in layers for inner in items]
        if not layer:
            return False
    return True


def _types_of_fields() -> dict[str, tuple[type, ...]]:
    by_annotation: dict[str, tuple[type, ...]] = {
        "str": (str,), "int": (int,), "float": (int, float), "JobStatus": (JobStatus,),
        "dict": (dict,), "list": (list,), "None": (type(None),),
    }  # fmt: skip
    types = {}
    for item in fields(Job):
        if item.name != "extra":
            parts = (part.split("[")[0].strip() for part in str(item.type).split("|"))
            types[item.name] = tuple(kind for part in parts for kind in by_annotation[part])
    return types


def _fresh() -> dict[str, Any]:
    return {name: make() for name, make in _FACTORIES.items()}


TYPES = _types_of_fields()
OF_SLURM = ("partition", "account", "qos", "cpus", "mem", "gpus", "time", "slurm_args", "placed")
_NAMES = tuple(name for name in TYPES if name not in OF_SLURM)
_DEFAULTS = {item.name: item.default for item in fields(Job) if item.default is not MISSING}
_FACTORIES = {item.name: item.default_factory for item in fields(Job) if item.default_factory is not MISSING}
