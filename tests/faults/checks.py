"""What must be true of a data directory after random kills, whatever happened: each complaint is one line."""

from __future__ import annotations

import json
import os
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from running_jobs import files
from running_jobs.errors import JobsError
from running_jobs.housekeeping import UNFINISHED_S, open_jobs
from running_jobs.job import Job, from_iso
from running_jobs.journal import parts_put_aside
from running_jobs.recovery import LOST
from running_jobs.store import JobStore

if TYPE_CHECKING:
    from .random_kills import Round

SLACK_S = 0.002  # records have milliseconds
JOURNAL_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (\S+) .* - ([a-z]+|retry \(\d+/\d+\)) - .*")
STAYS = {"config.toml", "secret", "logs", "run", "workers"}
STAYS_IN_RUN = {"lock", "dispatcher.lock", "wake", "open", "awaited", "known", "boot_id", "reserve.1", "reserve.2"}


class Trace(NamedTuple):
    """What one attempt noted itself: when it began, who its parent and itself were then, with which exit codes it
    ended, and when it said anything."""

    begins: list[float]
    who: list[tuple[int, int]]
    ends: list[int]
    said: list[float]


def complaints(one: Round) -> list[str]:
    """Return all that is wrong with a round whose processes are gone."""
    return [*_files(one), *_jobs(one), *_journal(one), *_locks(one), *_leftovers(one)]


def _files(one: Round) -> Iterator[str]:
    for path in one.data.glob("**/*.json"):
        try:
            json.loads(path.read_bytes())
            one.store.get(path.stem)
        except (ValueError, JobsError) as error:
            yield f"{path.name} cannot be read: {error}"
    accepted = {job_id for _, *ids in _notes(one, "accepted") for job_id in ids}
    for path in [*one.data.rglob(".*"), *one.tree.temporary.rglob("*")]:
        job_id, _, kind = path.name[1:].partition(".")
        if kind != "json.new" or job_id in accepted:  # such records nobody came to finish: see _leftovers
            yield f"a temporary file is left: {path}"
    for name in set(os.listdir(one.store.paths.run)) - STAYS_IN_RUN:
        yield f"run/{name} is left"
    for job_id in os.listdir(one.store.paths.open):
        yield f"{job_id} has a marker although all are settled"
    errors = "".join(Path(path).read_text() for path in _parts(one.store.paths.errors))
    if "Traceback" in errors or "failed:" in errors:
        yield f"errors were noted: {errors[-3000:]}"
    for name in ("server.log", "http.log", "python.log", "command.log"):
        if "Traceback" in (told := (one.folder / name).read_text()):
            yield f"{name}: {told[-3000:]}"
    for line in _notes(one, "refused"):
        yield f"refused: {' '.join(line)}"


def _jobs(one: Round) -> Iterator[str]:
    jobs = {job_id: one.store.get(job_id) for job_id in one.store.ids()}
    asking, asked = _notes(one, "asking"), _notes(one, "asked")
    deleting = {words[1] for words in asking if words[0] == "delete"}
    for key, *ids in _notes(one, "accepted"):
        for job_id in ids:
            if job_id not in jobs and job_id not in deleting:
                yield f"{job_id} ({key}) was accepted and is not there"
    for verb, job_id, _ in asked:
        if verb == "delete" and job_id in jobs:
            yield f"{job_id} is there although its deletion was answered"
    by_key = Counter(job.name for job in jobs.values())
    yield from (
        f"{count} jobs for one submission of {key}"
        for key, count in by_key.items()
        if count not in (1, 4) and not deleting
    )
    traces, requests = _traces(one), Counter(path for _, path in one.listener.asked)
    wishes: dict[str, list[float]] = defaultdict(list)
    for verb, job_id, at in asked:
        if verb in ("stop", "kill"):
            wishes[job_id].append(float(at))
    were_asked = {words[1] for words in asking if words[0] in ("stop", "kill")}
    for job_id, numbers in traces.items():
        if job_id not in jobs and job_id not in deleting:
            yield f"{job_id} ran, and is not there: {numbers}"
    for job in jobs.values():
        wrong = [
            *_end(job, job.id in were_asked),
            *_times(job, jobs, wishes[job.id]),
            *_runs(job, traces[job.id], requests, one.tree.killed),
            *_callbacks(one, job),
        ]
        yield from (f"{job.id} {text}: {job.to_dict()} {dict(traces[job.id])}" for text in wrong)
    called = {line.split()[0] for line in (one.folder / "called").read_text().splitlines()}
    yield from (f"{job_id}: a callback of no job" for job_id in called - jobs.keys() - deleting)
    yield from _slots(one, list(jobs.values()))


def _end(job: Job, was_asked: bool) -> Iterator[str]:
    """Is it an end, and one that its attempts bear out?"""
    if not job.is_final:
        yield "has no end"
        return
    if [attempt["attempt"] for attempt in job.attempts] != list(range(1, job.attempt + 1)):
        yield "has other attempts than it counts"
    last = job.attempts[-1] if job.attempts else {}
    if job.status == "done" and last.get("exit_code") != 0:
        yield "says done and its last attempt does not"
    not_last = job.attempts[:-1] if job.status == "done" else job.attempts
    if any(attempt["reason"] == "exit code 0" for attempt in not_last):
        yield "succeeded, and goes on as if it had not"
    if job.attempt > job.retries + 1:
        yield "was tried too often"
    if job.status == "stop" and not was_asked:
        yield "was stopped by nobody"
    if job.status == "error" and not was_asked and job.attempt <= job.retries and job.attempt:
        yield "has attempts left"
    if (
        job.status == "error"
        and not job.attempts
        and not re.fullmatch(r"job \S+ (ended (error|stop)|was deleted)", job.reason or "")
    ):
        yield "ended without an attempt and without a reason"
    if not job.reason or not job.ended_at or (job.attempts and job.reason != last["reason"] and job.status != "stop"):
        yield "has not the reason of its last attempt"


def _times(job: Job, jobs: dict[str, Job], wishes: list[float]) -> Iterator[str]:
    """Did it run when it was to, and one attempt after another?"""
    is_first_wait = len(job.attempts) == 1 and job.status != "stop"  # else it may be that before the next attempt
    free_at = from_iso((job.not_before if is_first_wait else None) or job.created_at or "")
    for attempt in job.attempts:
        started = from_iso(attempt["started_at"])
        if started < free_at - SLACK_S:
            yield f"began attempt {attempt['attempt']} too early"
        free_at = from_iso(attempt["ended_at"]) + job.retry_delay
        if from_iso(attempt["ended_at"]) < started:
            yield "ended before it began"
        if any(started > at + SLACK_S for at in wishes):
            yield "was started after it was answered that it is stopped"
    for other in job.after:
        if job.attempts and other in jobs:
            if jobs[other].status != "done":
                yield f"ran although {other} was not done"
            elif from_iso(jobs[other].ended_at or "") > from_iso(job.attempts[0]["started_at"]) + SLACK_S:
                yield f"ran before {other} was done"


def _runs(job: Job, traces: dict[int, Trace], requests: Counter[str], killed: set[int]) -> Iterator[str]:
    """Do the attempts' own traces agree with what is recorded of them?"""
    if job.command["type"] == "http":
        asked = requests["/" + job.command["url"].split("/", 3)[3]]
        if job.status == "done" and not asked:
            yield "is done and nobody was asked"
        if asked > job.attempt:
            yield f"asked {asked} times"
        return
    for number in traces.keys() - {attempt["attempt"] for attempt in job.attempts}:
        yield f"ran attempt {number} which is not recorded"
    for attempt in job.attempts:
        begins, who, ends, said = traces.get(attempt["attempt"], Trace([], [], [], []))
        if len(begins) > 1 or len(ends) > 1:
            yield f"ran attempt {attempt['attempt']} twice"
        if begins and begins[0] < from_iso(attempt["started_at"]) - SLACK_S:
            yield "began before it is said to have begun"
        if said and max(said) > from_iso(attempt["ended_at"]) + SLACK_S:
            yield f"went on after its end: {max(said)}"
        for parent, pid in who:
            if attempt["reason"].startswith(LOST) and parent != 1 and parent not in killed:
                yield f"is said to be lost, and its runner {parent} was not killed"
            if attempt["reason"].startswith("killed by SIGKILL") and pid not in killed:
                yield f"is said to have been killed, and nobody killed {pid}"
        code = attempt["exit_code"]
        if attempt["reason"] == f"exit code {code}" and ends != [code]:
            yield f"is said to have ended with {code} and did with {ends}"
        if ends and code is None and attempt["signal"] is None and attempt["reason"].partition(";")[0] != LOST:
            yield f"ended with {ends} and something else is said"


def _callbacks(one: Round, job: Job) -> Iterator[str]:
    meant = [name for name in ("callback_done", "callback_failed") if getattr(job, name)]
    meant = [name for name in meant if name == "callback_done" or job.status == "error"]
    if [entry["callback"] for entry in job.callbacks] != meant:
        yield f"has made other callbacks than {meant}"
    called = (one.folder / "called").read_text().count(f"{job.id} {job.status}\n")
    if called < sum(entry["outcome"] == "made" for entry in job.callbacks):
        yield f"says it made its callbacks, and they came {called} times"
    if called and not meant:
        yield "made a callback that nobody asked for"


def _slots(one: Round, jobs: list[Job]) -> Iterator[str]:
    settings = one.actions.settings
    for bound, of in (
        (settings.slots, jobs),
        (settings.context_slots["narrow"], [j for j in jobs if j.context == "narrow"]),
    ):
        marks = [
            (from_iso(attempt[moment]), step)
            for job in of
            for attempt in job.attempts
            for moment, step in (("started_at", 1), ("ended_at", -1))
        ]
        running = most = 0
        for _, step in sorted(marks):
            running += step
            most = max(most, running)
        if most > bound:
            yield f"{most} ran at once where {bound} may"


def _journal(one: Round) -> Iterator[str]:
    words: dict[str, list[str]] = defaultdict(list)
    for path in _parts(one.store.paths.journal):
        for line in Path(path).read_text().splitlines():
            found = JOURNAL_LINE.fullmatch(line)
            if found:
                words[found[1]].append(found[2])
            else:
                yield f"the journal holds {line!r}"
    for job_id in one.store.ids():
        job = one.store.get(job_id)
        told = words.pop(job_id, ["nothing"])
        if told[-1] != job.status:
            yield f"{job_id} is {job.status} and the journal ends with {told}"
        if told.count("active") < len(job.attempts):
            yield f"{job_id} began {len(job.attempts)} times and the journal tells {told}"
    accepted = {job_id for _, *ids in _notes(one, "accepted") for job_id in ids}
    for job_id, told in words.items():  # a line comes before its change: who died in between got no answer
        if told[-1] != "deleted" and (job_id in accepted or told not in (["idle"], ["queued"])):
            yield f"{job_id} is not there and the journal ends with {told}"


def _locks(one: Round) -> Iterator[str]:
    for folder, _, names in os.walk(one.data):
        for name in names:
            path = f"{folder}/{name}"
            if Path(path).is_file() and files.is_locked(path):
                yield f"{path} is locked"


def _leftovers(one: Round) -> Iterator[str]:
    """Delete all jobs, and look around as after a restart of the machine: then nothing of them may be left."""
    for job_id in one.store.ids():
        if one.store.get(job_id).is_final:
            one.store.delete(job_id)
    open_jobs(JobStore(one.store.paths.data, clock=lambda: time.time() + 2 * UNFINISHED_S), "another boot")
    yield from (f"{name} is left after all jobs were deleted" for name in set(os.listdir(one.data)) - STAYS)
    for folder in (one.store.paths.open, one.store.paths.all_awaited):
        yield from (f"{folder}/{name} is left after all jobs were deleted" for name in os.listdir(folder))


def _traces(one: Round) -> dict[str, dict[int, Trace]]:
    found: dict[str, dict[int, Trace]] = defaultdict(dict)
    for at, what, job_id, number in _notes(one, "trace"):
        trace = found[job_id].setdefault(int(number), Trace([], [], [], []))
        trace.said.append(float(at))
        if what.startswith("begin="):
            trace.begins.append(float(at))
            parent, pid = what[6:].split(",")
            trace.who.append((int(parent), int(pid)))
        elif what.startswith("end="):
            trace.ends.append(int(what[4:]))
    return found


def _notes(one: Round, name: str) -> list[list[Any]]:
    return [line.split() for line in (one.folder / name).read_text().splitlines()]


def _parts(path: str) -> list[str]:
    return [part for part in [*parts_put_aside(path), path] if os.path.exists(part)]
