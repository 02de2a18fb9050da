"""An empty Flask view on waitress with the settings of our server: `empty_view.py PORT`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from flask import Flask
from waitress.server import create_server

from running_jobs.web.serving import CONNECTIONS, THREADS

app = Flask("empty")


@app.post("/jobs")
def empty() -> tuple[str, int]:
    """Answer nothing."""
    return "", 201


if __name__ == "__main__":
    create_server(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        threads=THREADS,
        connection_limit=CONNECTIONS,
        asyncore_use_poll=True,
        clear_untrusted_proxy_headers=False,
        ident=None,
    ).run()
