"""Checks of single values that somebody submitted: texts, numbers, paths. Pure: no clock, no processes.

Each takes the field's name, for the error, and the value; returns it as a job holds it, or raises InvalidJob.
"""

from __future__ import annotations

import json
import os
from typing import Any

from running_jobs.errors import InvalidJob

MAX_TEXT = 100_000
MAX_SECONDS = 1e9
MAX_JSON_BYTES = 1_000_000
MAX_JSON_DEPTH = 100  # far below where any reader or writer of JSON ends in a RecursionError


def text(field: str, value: object) -> str:
    """Return a text as it is. Raise InvalidJob if it is none, is huge, or holds what no file or command can."""
    if not isinstance(value, str):
        raise InvalidJob(field, f"expected a text, found {kind(value)}")
    if len(value) > MAX_TEXT:
        raise InvalidJob(field, f"expected at most {MAX_TEXT} characters, found {len(value)}")
    if "\0" in value:
        raise InvalidJob(field, "must not hold a NUL character")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidJob(field, "is not valid UTF-8") from None
    return value


def seconds(field: str, value: object) -> float:
    """Return a number of seconds, 0 or more, fractions allowed. Raise InvalidJob."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidJob(field, f"expected a number of seconds, found {kind(value)}")
    if not 0 <= value <= MAX_SECONDS:  # not for NaN either; math.isfinite fails for 400 digits
        raise InvalidJob(field, f"expected 0 or more seconds, at most {MAX_SECONDS:.0f}, found {value}")
    return value


class WholeNumber:
    """A check for whole numbers within bounds, which it can be asked for."""

    def __init__(self, low: int, high: int) -> None:
        self.low = low
        self.high = high

    def __call__(self, field: str, value: object) -> int:
        """Return a whole number. Raise InvalidJob."""
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidJob(field, f"expected a whole number, found {kind(value)}")
        if not self.low <= value <= self.high:
            raise InvalidJob(field, f"expected {self.low} to {self.high}, found {value}")
        return value


def directory(field: str, value: object) -> str:
    """Return an absolute path, `~` expanded; whether it exists is for the caller to see. Raise InvalidJob."""
    path = os.path.expanduser(text(field, value))
    if not os.path.isabs(path):
        raise InvalidJob(field, f"expected an absolute path, found {value!r}")
    return path


def environment(field: str, value: object) -> dict[str, str]:
    """Return environment variables as texts by name. Raise InvalidJob."""
    if not isinstance(value, dict):
        raise InvalidJob(field, f"expected names with texts, found {kind(value)}")
    for name, content in value.items():
        if not name or "=" in text(f"{field} name", name):
            raise InvalidJob(field, f"{name!r} is no name of a variable")
        text(f"{field} {name}", content)
    return dict(value)


def json_value(field: str, value: Any) -> Any:
    """Return a JSON value as it is, looked through without recursion. Raise InvalidJob."""
    too_large = InvalidJob(field, f"expected at most {MAX_JSON_BYTES} bytes of JSON")
    waiting = [(value, 1)]
    seen = 0
    while waiting:
        item, depth = waiting.pop()
        seen += 1
        if depth > MAX_JSON_DEPTH:
            raise InvalidJob(field, f"is nested more than {MAX_JSON_DEPTH} levels deep")
        if isinstance(item, dict):
            for name in item:
                if not isinstance(name, str):
                    raise InvalidJob(field, f"expected texts as names, found {kind(name)}")
            waiting.extend((content, depth + 1) for content in item.values())
        elif isinstance(item, list):
            waiting.extend((content, depth + 1) for content in item)
        elif item is not None and not isinstance(item, (str, bool, int, float)):
            raise InvalidJob(field, f"expected a JSON value, found {kind(item)}")
        if seen + len(waiting) > MAX_JSON_BYTES:
            raise too_large
    try:
        size = len(encode_json(value))
    except UnicodeEncodeError:
        raise InvalidJob(field, "is not valid UTF-8") from None
    except ValueError as error:
        raise InvalidJob(field, f"is no JSON: {error}") from None
    if size > MAX_JSON_BYTES:
        raise too_large
    return value


def encode_json(value: Any) -> bytes:
    """Return a value as it is sent. Raise ValueError if JSON cannot hold it."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def kind(value: object) -> str:
    """Say what a value is, in words for people who write JSON."""
    kinds = {
        bool: "true or false", dict: "an object", list: "a list", str: "a text",
        int: "a number", float: "a number", type(None): "null",
    }  # fmt: skip
    return kinds.get(type(value), type(value).__name__)
