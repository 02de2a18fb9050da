"""Removes the ended jobs that expired: `python -m running_jobs.commands.prune DATA`, with the settings of DATA.

A process of its own, since looking at 100,000 jobs would hold up a dispatcher; `app.py prune` does the same by hand.
"""

from __future__ import annotations

import os
import sys

if not __package__:  # started by its path, where this folder would hide the standard library's http
    _here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path) != _here]
    sys.path.insert(0, os.path.dirname(os.path.dirname(_here)))

from running_jobs.engine import settings_handed_over
from running_jobs.retention import prune
from running_jobs.settings import load_settings
from running_jobs.store import JobStore


def main(data: str) -> None:
    """Prune a data directory."""
    settings = settings_handed_over() or load_settings(data)
    os.nice(10)
    prune(JobStore.of(settings), settings.keep_days or None, settings.keep_jobs or None)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m running_jobs.commands.prune DATA")
    main(os.path.abspath(sys.argv[1]))
