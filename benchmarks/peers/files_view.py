"""The floor of a durable submission: a Flask view that makes and syncs a job's files, and nothing else.

`files_view.py PORT FOLDER`, on waitress with the settings of our server, bound to one processor as that is.
"""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import psutil
from flask import Flask

from running_jobs import cores
from running_jobs.web.connections import listen

RECORD = bytes(900)

app = Flask("files")
numbers = itertools.count()


@app.post("/jobs")
def make_files() -> tuple[str, int]:
    """Make what the disk has of a new job: two logs, a record with two names; sync all that."""
    path = f"{sys.argv[2]}/{next(numbers)}"
    for ending in ("out", "err"):
        os.close(os.open(f"{path}.{ending}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    record = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(record, RECORD)
    os.fsync(record)
    os.close(record)
    os.link(f"{path}.new", f"{path}.marker")
    os.rename(f"{path}.new", f"{path}.json")
    names = os.open(sys.argv[2], os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(names)
    os.close(names)
    return "", 201


if __name__ == "__main__":
    cores.share_one(psutil.Process().cpu_num())
    listen(app, "127.0.0.1", int(sys.argv[1])).run()
