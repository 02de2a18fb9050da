"""What is submitted to Slurm for one attempt at a job: the command line of sbatch, and the script. Pure."""

from __future__ import annotations

import os
import re
import zlib

from running_jobs import files, slurm_options
from running_jobs.engine import COMMANDS, PACKAGE, PYTHON
from running_jobs.executors.slurm_calls import Answer
from running_jobs.executors.slurm_queue import Key
from running_jobs.job import Job
from running_jobs.paths import JobPaths
from running_jobs.settings import Settings

PRIORITY = 500  # that needs no nice but the one of [slurm]
PER_PRIORITY = 10  # of Slurm's nice
LEAST_NICE = -60_000  # from somewhere below, what it is subtracted from overflows
MOST_NICE = 1_000_000_000
NOT_NOW = 75  # a runner's exit code if its job's turn may still come; what sysexits.h calls a temporary failure
_LIMIT = re.compile(r"Submit\w*Limit|MaxSubmit|temporarily unable to accept", re.IGNORECASE)
_REFUSAL = re.compile(
    r"invalid|not available|can ?not be satisfied|mutually exclusive|unrecognized|ambiguous|not permitted|denied"
    r"|violates|exceed|more processors|node count|unable to open file|not allowed|no partition|unspecified",
    re.IGNORECASE,
)
_PASSES = re.compile(r"inactive or drain|not available now", re.IGNORECASE)  # though it sounds like a refusal
_AWAY = re.compile(
    r"contact|connect|timed out|socket|authenticat|credential|protocol|munge|configuration file|zero bytes",
    re.IGNORECASE,
)


def short_hash(text: str) -> str:
    """Return eight characters that tell texts apart."""
    return f"{zlib.crc32(text.encode(errors='surrogateescape')):08x}"


def key_of(job: Job, settings: Settings) -> Key:
    """Return the key of the next attempt at a queued job, as it is asked for now."""
    form = repr((slurm_options.arguments(job, settings), job.priority, job.not_before))
    return Key(job.id, job.attempt + 1, short_hash(form))


def nonce_for(version: files.Version) -> str:
    """Return what tells a submission from all others: its first part says of which version of the job's record."""
    return f"{short_hash(repr(version))}{os.urandom(4).hex()}"


def is_for(version: files.Version, nonce: str) -> bool:
    """Say whether a submission was made for this version of a job's record."""
    return nonce.startswith(short_hash(repr(version)))


def command(job: Job, settings: Settings, comment: str, wait_s: int) -> list[str]:
    """Return the command line of sbatch; ours comes last, so that it counts. The script is its standard input."""
    return [
        "sbatch", *slurm_options.arguments(job, settings),
        "--parsable", "--no-requeue", f"--job-name={job.id}", f"--comment={comment}",
        "--export=ALL",  # of the environment that sbatch gets from us: anything else has the node run a login shell
        "--chdir=/", "--output=/dev/null",
        f"--nice={_nice(job, settings)}", *([f"--begin=now+{wait_s}"] if wait_s else []),
    ]  # fmt: skip


def _nice(job: Job, settings: Settings) -> int:
    """Return Slurm's nice for a priority: the lower, the sooner. One below zero is refused but to its operators."""
    least = LEAST_NICE if os.geteuid() == 0 else 0
    wanted = settings.slurm.get("nice", 0) + (PRIORITY - job.priority) * PER_PRIORITY
    return int(min(max(wanted, least), MOST_NICE))


def script(key: Key, paths: JobPaths) -> str:
    """Return the batch script, which becomes the runner: signals for the batch step alone reach it.

    What the runner complains of goes into a log of its own: sbatch's --output would take some characters of a path for
    more than they are.
    """
    words = [*PYTHON, f"{PACKAGE}/{COMMANDS}", "node", paths.data, key.job_id, str(key.attempt), key.form]
    return f"#!/bin/sh\nexec >>{_quoted(paths.slurm_log)} 2>&1\nexec {' '.join(map(_quoted, words))}\n"


def id_in(text: str) -> str | None:
    """Return Slurm's id from what sbatch printed, which may say more before it; None if there is none."""
    last = (text.strip().splitlines() or [""])[-1].partition(";")[0].strip()
    return last if last.isdecimal() else None


def is_limit(problem: str) -> bool:
    """Say whether sbatch met a bound of how much may be submitted: that passes when something else ends."""
    return _LIMIT.search(problem) is not None


def is_away(answer: Answer) -> bool:
    """Say whether Slurm could not be reached, or not in time: it may have taken the job all the same."""
    return (answer.exit_code or 0) <= 0 or _AWAY.search(answer.problem) is not None


def is_refusal(answer: Answer) -> bool:
    """Say whether Slurm refused a job for good. What is not known to be that passes: people see why the job waits."""
    said = answer.problem
    return _REFUSAL.search(said) is not None and _PASSES.search(said) is None and not is_away(answer)


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"
