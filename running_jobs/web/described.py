"""What is in people's code, waited for a bounded time: no list and no form hangs on what an import does."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from running_jobs.looking import AT_ONCE, Look

STILL_LOOKING = {"problem": "it is still being imported; look again in a moment"}
KEPT_S = 60.0  # how long an answer that nobody was there for is kept


class _Pending:
    def __init__(self) -> None:
        self.is_done = threading.Event()
        self.answer: dict[str, Any] = STILL_LOOKING
        self.done_at = float("inf")


class Described:
    """Takes several looks at once. One that takes longer goes on, and what it found is there for a later request."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._places = threading.Semaphore(AT_ONCE)
        self._pending: dict[str, _Pending] = {}

    def all(self, looks: Mapping[str, Look], wait_s: float) -> dict[str, dict[str, Any]]:
        """Return the answers by key; for one that is not there within wait_s seconds, that it is still being made.

        A key must be another whenever the answer may be, since a look that is under way is not begun anew.
        """
        deadline = time.monotonic() + wait_s
        answers: dict[str, dict[str, Any]] = {}
        pending: dict[str, _Pending] = {}
        for key, look in looks.items():
            kept = look.kept()
            if kept is None:
                pending[key] = self._begin(key, look)
            answers[key] = kept or {}
        for key, one in pending.items():
            if one.is_done.wait(max(0.0, deadline - time.monotonic())):
                self._forget(key, one)
            answers[key] = one.answer
        return answers

    def _begin(self, key: str, look: Look) -> _Pending:
        now = time.monotonic()
        with self._lock:
            for old in [other for other, one in self._pending.items() if now - one.done_at > KEPT_S]:
                del self._pending[old]
            if key in self._pending:
                return self._pending[key]
            one = self._pending[key] = _Pending()
        threading.Thread(target=self._look, args=(look, one), daemon=True).start()
        return one

    def _look(self, look: Look, one: _Pending) -> None:
        try:
            with self._places:
                one.answer = look.find_out()
        except Exception as error:  # a thread's own traceback would tell nobody
            one.answer = {"problem": str(error)}
        finally:
            one.done_at = time.monotonic()
            one.is_done.set()

    def _forget(self, key: str, one: _Pending) -> None:
        with self._lock:
            if self._pending.get(key) is one:
                del self._pending[key]
