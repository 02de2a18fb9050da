"""What short-lived processes say of people's code, waited for a bounded time: no page hangs on what an import does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

AT_ONCE = 4
STILL_LOOKING = {"problem": "it is still being imported; look again in a moment"}

Look = Callable[[], "dict[str, Any]"]


class _Pending:
    def __init__(self) -> None:
        self.is_done = threading.Event()
        self.answer: dict[str, Any] = STILL_LOOKING


class Described:
    """Asks for several descriptions at once. One that takes longer goes on, and is there for a later request."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._places = threading.Semaphore(AT_ONCE)
        self._pending: dict[str, _Pending] = {}

    def all(self, looks: Mapping[str, Look], wait_s: float) -> dict[str, dict[str, Any]]:
        """Return the answers by key; for one that is not there within wait_s seconds, that it is still being made."""
        deadline = time.monotonic() + wait_s
        pending = {key: self._begin(key, look) for key, look in looks.items()}
        answers = {}
        for key, one in pending.items():
            if one.is_done.wait(max(0.0, deadline - time.monotonic())):
                self._forget(key, one)
            answers[key] = one.answer
        return answers

    def _begin(self, key: str, look: Look) -> _Pending:
        with self._lock:
            if key in self._pending:
                return self._pending[key]
            one = self._pending[key] = _Pending()
        threading.Thread(target=self._look, args=(look, one), daemon=True).start()
        return one

    def _look(self, look: Look, one: _Pending) -> None:
        try:
            with self._places:
                one.answer = look()
        except Exception as error:  # a thread's own traceback would tell nobody
            one.answer = {"problem": str(error)}
        finally:
            one.is_done.set()

    def _forget(self, key: str, one: _Pending) -> None:
        with self._lock:
            if self._pending.get(key) is one:
                del self._pending[key]
