"""What is submitted to Slurm for one attempt at a job: the command line of sbatch, and the script. Pure."""

from __future__ import annotations

import os
import re
import zlib

from running_jobs import slurm_options
from running_jobs.engine import COMMANDS, PACKAGE, PYTHON
from running_jobs.executors.slurm_queue import Key
from running_jobs.job import Job
from running_jobs.paths import JobPaths
from running_jobs.settings import Settings

PRIORITY = 500  # that needs no nice but the one of [slurm]
PER_PRIORITY = 10  # of Slurm's nice
LEAST_NICE = -60_000  # from somewhere below, what it is subtracted from overflows
MOST_NICE = 1_000_000_000
_PASSES = re.compile(
    r"contact|connect|timed out|took too long|temporar|socket|zero bytes|respond|communicat|was not found|could not be"
    r" started|MaxSubmit|SubmitJobLimit|slurm\.conf|configuration file|munge|authenticat|expired",
    re.IGNORECASE,
)


def short_hash(text: str) -> str:
    """Return eight characters that tell texts apart."""
    return f"{zlib.crc32(text.encode(errors='surrogateescape')):08x}"


def key_of(job: Job, settings: Settings) -> Key:
    """Return the key of the next attempt at a queued job, as it is asked for now."""
    form = repr((slurm_options.arguments(job, settings), job.priority, job.not_before))
    return Key(job.id, job.attempt + 1, short_hash(form))


def command(job: Job, key: Key, settings: Settings, directory: str, wait_s: int) -> list[str]:
    """Return the command line of sbatch; ours comes last, so that it counts. The script is its standard input."""
    return [
        "sbatch", *slurm_options.arguments(job, settings),
        "--parsable", "--no-requeue", f"--job-name={job.id}", f"--comment={key.comment(directory)}",
        "--export=ALL",  # of the environment that sbatch gets from us: anything else has the node run a login shell
        "--chdir=/", "--open-mode=append", "--output=" + JobPaths(settings.data).slurm_log.replace("%", "%%"),
        f"--nice={_nice(job, settings)}", *([f"--begin=now+{wait_s}"] if wait_s else []),
    ]  # fmt: skip


def _nice(job: Job, settings: Settings) -> int:
    """Return Slurm's nice for a priority: the lower, the sooner. One below zero is refused but to its operators."""
    least = LEAST_NICE if os.geteuid() == 0 else 0
    wanted = settings.slurm.get("nice", 0) + (PRIORITY - job.priority) * PER_PRIORITY
    return int(min(max(wanted, least), MOST_NICE))


def script(key: Key, data: str) -> str:
    """Return the batch script, which becomes the runner: signals for the batch step alone reach it."""
    words = [*PYTHON, f"{PACKAGE}/{COMMANDS}", "node", data, key.job_id, str(key.attempt)]
    return f"#!/bin/sh\nexec {' '.join(map(_quoted, words))}\n"


def passes(problem: str) -> bool:
    """Say whether what sbatch complained of may be over soon; else it refused the job for good."""
    return _PASSES.search(problem) is not None


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"
