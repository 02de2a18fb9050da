"""The browser's own trace: how long its tasks kept the page from answering."""

from __future__ import annotations

import json
import urllib.request
from types import TracebackType
from typing import Any

import websocket


class Trace:
    """Traces a browser while it is entered; afterwards `longest_ms` is the longest task of a page's main thread.

    What counts is the thread's own time: on a busy machine it may have waited for the processor in between.
    """

    def __init__(self, browser: Any) -> None:
        address = browser.capabilities["goog:chromeOptions"]["debuggerAddress"]
        with urllib.request.urlopen(f"http://{address}/json/version") as answer:
            self._url = json.load(answer)["webSocketDebuggerUrl"]
        self.longest_ms = 0.0
        self.tasks = 0

    def __enter__(self) -> Trace:
        self._socket = websocket.create_connection(self._url, suppress_origin=True, timeout=60)
        config = {"includedCategories": ["disabled-by-default-devtools.timeline"], "excludedCategories": ["*"]}
        self._send("Tracing.start", {"traceConfig": config})
        self._socket.recv()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._send("Tracing.end", {})
        events: list[dict[str, Any]] = []
        while (message := json.loads(self._socket.recv())).get("method") != "Tracing.tracingComplete":
            if message.get("method") == "Tracing.dataCollected":
                events += message["params"]["value"]
        self._socket.close()
        pages = {
            (event["pid"], event["tid"])
            for event in events
            if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
        }
        tasks = [event for event in events if event["name"] == "RunTask" and (event["pid"], event["tid"]) in pages]
        self.tasks = len(tasks)
        self.longest_ms = max((event.get("tdur", event["dur"]) / 1000 for event in tasks if "dur" in event), default=0)
        self.longest_wall_ms = max((event["dur"] / 1000 for event in tasks if "dur" in event), default=0)

    def _send(self, method: str, params: dict[str, Any]) -> None:
        self._socket.send(json.dumps({"id": 1, "method": method, "params": params}))
