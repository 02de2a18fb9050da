"""An empty Flask view on waitress with the settings of our server: `empty_view.py PORT [bound]`, to one processor."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import psutil
from flask import Flask

from running_jobs import cores
from running_jobs.web.connections import listen

app = Flask("empty")


@app.post("/jobs")
def empty() -> tuple[str, int]:
    """Answer nothing."""
    return "", 201


if __name__ == "__main__":
    if "bound" in sys.argv:
        cores.share_one(psutil.Process().cpu_num())
    listen(app, "127.0.0.1", int(sys.argv[1])).run()
