"""Whether a text fits a pattern as a whole, in a bounded time: some patterns take longer than the world will last.

Python's own matching cannot be interrupted, and meanwhile no other thread of the server runs. What could take long, as
far as the pattern's form tells, is matched by a process of its own that is ended after a second.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

from running_jobs import cores

LONGEST_S = 1.0
MAX_STEPS = 10_000_000  # take a tenth of a second

_PROGRAM = "import json, re, sys; sys.exit(0 if re.fullmatch(*json.load(sys.stdin)) else 3)"
_NO = 3


class TookTooLong(Exception):
    """Whether the text fits cannot be told in a bearable time."""


def fits(pattern: str, text: str) -> bool:
    """Say whether a text fits a pattern from its begin to its end. Raise TookTooLong."""
    if _most_steps(pattern, len(text)) <= MAX_STEPS:
        return re.fullmatch(pattern, text) is not None
    import subprocess  # here, since most patterns do without it

    command = [sys.executable or "/usr/bin/python3", "-I", "-S", "-c", _PROGRAM]
    try:
        with cores.use_all():
            done = subprocess.run(  # noqa: S603 - our own program
                command, input=json.dumps([pattern, text]).encode(), capture_output=True, timeout=LONGEST_S, check=False
            )
    except subprocess.TimeoutExpired:
        raise TookTooLong from None
    if done.returncode not in (0, _NO):
        raise TookTooLong
    return done.returncode == 0


def _most_steps(pattern: str, length: int) -> float:
    """Return a bound of the steps in which a text of this length is tried, infinite where that cannot be told."""
    # where the parser of re is depends on the version of Python, and it is none of its promises
    parser: Any = getattr(re, "_parser", None) or getattr(re, "sre_parse", None)
    if parser is None:
        return float("inf")
    try:
        return len(pattern) * _ways(parser.parse(pattern), length)
    except (RecursionError, OverflowError):
        return float("inf")


def _ways(parsed: Any, length: int) -> float:
    """Return in how many ways, at most, a parsed pattern is tried from one place on. Raise OverflowError.

    What follows each other multiplies, alternatives add up, and what is repeated is taken to the power of its number.
    Most patterns need far less; one that is taken for slower than it is costs another process, and nothing else.
    """
    ways = 1.0
    for operator, argument in parsed:
        name = str(operator)
        parts = _parts(argument)
        if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            ways *= _ways_of_repetition(parts[0], int(argument[0]), int(argument[1]), length)
        elif name in ("BRANCH", "GROUPREF_EXISTS"):
            ways *= 1 + sum(_ways(part, length) for part in parts)
        elif name == "GROUPREF":
            ways *= length + 1
        else:
            for part in parts:
                ways *= _ways(part, length)
    return ways


def _ways_of_repetition(repeated: Any, least: int, most: int, length: int) -> float:
    most = max(least, min(most, length + 1))  # once more, for nothing: that ends it
    once = _ways(repeated, length)
    numbers = most - least + 1
    if once == 1:
        return max(numbers, most)  # where there is but one number, each of so many is a step
    return numbers * once**most


def _parts(argument: Any) -> list[Any]:
    """Return the patterns within what an operator is applied to, however deep they are."""
    if hasattr(argument, "getwidth"):
        return [argument]
    if isinstance(argument, (list, tuple)):
        return [part for item in argument for part in _parts(item)]
    return []
