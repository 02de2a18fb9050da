"""Removes the ended jobs that expired, and what nobody came to finish: `python -m running_jobs.commands.prune DATA`.

The settings are those of DATA. A process of its own, since looking at 100,000 jobs would hold up a dispatcher;
`app.py prune` does the same by hand.
"""

from __future__ import annotations

import os
import sys

from running_jobs.engine import settings_handed_over
from running_jobs.errors import JobsError
from running_jobs.retention import prune
from running_jobs.settings import load_settings
from running_jobs.store import JobStore


def main(arguments: list[str]) -> int:
    """Prune the data directory that the arguments name; return the exit code."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m running_jobs.commands.prune DATA\n")
        return 2
    settings = settings_handed_over() or load_settings(os.path.abspath(arguments[0]))
    os.nice(10)
    try:
        refused = prune(JobStore.of(settings), settings.keep_days or None, settings.keep_jobs or None).refused
    except JobsError as error:
        refused = error
    if refused:
        sys.stderr.write(f"{refused}\n")
    return int(refused is not None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
