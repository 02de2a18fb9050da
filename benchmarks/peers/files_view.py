"""The floor of a durable submission: a Flask view that reads what is asked, stores its files, and answers its record.

`files_view.py PORT FOLDER`, on waitress with the settings of our server, bound to one processor as that is. Nothing is
checked, decided or announced.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import psutil
from flask import Flask, Response, request

from benchmarks.peers.bare_files import Queue
from running_jobs import cores
from running_jobs.job import Job, JobStatus
from running_jobs.web.connections import listen

RECORD = Job(id="", status=JobStatus.QUEUED, command={}).to_dict()

app = Flask("files")
queue = Queue(sys.argv[2])


@app.post("/jobs")
def submit() -> Response:
    """Store what is asked as a job's record is stored, durably, and answer it."""
    asked = json.loads(request.get_data())
    record = {**RECORD, "id": queue.next_number(), **asked}
    queue.submit(record["id"], json.dumps(record).encode())
    return Response(json.dumps({"success": True, "data": [record]}), 201, content_type="application/json")


if __name__ == "__main__":
    cores.share_one(psutil.Process().cpu_num())
    listen(app, "127.0.0.1", int(sys.argv[1])).run()
