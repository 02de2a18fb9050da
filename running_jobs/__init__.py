"""Running Jobs: shell commands that run for hours, kept as plain files.

Three roles share one data directory:

    faces        web, API, command line: they change jobs through `actions` and may die at any time
    dispatcher   one slim process per data directory: picks the next job; a copy of it (`executors.fork_server`) forks
    runner       one process per running job, a child of init: runs the command, writes how it ended

The dispatcher also has small processes do errands beside the jobs (`commands`): callbacks after an end, pruning.
It looks now and then at what the jobs use, too (`sampler`), and keeps samples of that beside their logs.

On Slurm (`executors.slurm`) the runner is a batch job on a node, which shares the data directory and nothing else.

Files are the truth. A FIFO and signals are only pokes: whatever is lost on the way is found again
by looking. A job here is alive while its runner holds the lock on `<id>.out`, whatever the pids say.

Imports go downward: `web`, `cli` -> `actions` -> `store` -> `job`, `files`;
`dispatcher` -> `executors` -> `runner` -> `store`, `processes`. Only `web` and `app.py` know Flask.
The engine (all but `web` and `cli`) needs the standard library alone, from Python 3.9 on.
"""

from __future__ import annotations

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Import what other programs use when they ask for it: our own small processes start without it."""
    if name == "run_background_job":
        from running_jobs.background import run_background_job

        return run_background_job
    if name == "Worker":
        from running_jobs.worker import Worker

        return Worker
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
