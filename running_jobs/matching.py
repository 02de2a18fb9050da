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
MANY = 10  # a repetition up to so often counts as written out
MAX_STEPS = 1_000_000

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
    """Return a bound of the ways in which a pattern's repetitions can share a text, infinite where they are nested."""
    # where the parser of re is depends on the version of Python, and it is none of its promises
    parser: Any = getattr(re, "_parser", None) or getattr(re, "sre_parse", None)
    if parser is None:
        return float("inf")
    try:
        count = _repetitions(parser.parse(pattern), False)
    except _Nested:
        return float("inf")
    return float(length + 1) ** count if count < 20 else float("inf")


class _Nested(Exception):
    pass


def _repetitions(parsed: Any, within_one: bool) -> int:
    """Count the repetitions in a parsed pattern. Raise _Nested for a choice or repetition that is itself repeated."""
    count = 0
    for operator, argument in parsed:
        name = str(operator)
        is_repetition = name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT") and argument[1] > MANY
        if within_one and (is_repetition or name in ("BRANCH", "GROUPREF")):
            raise _Nested
        count += is_repetition
        for part in _parts(argument):
            count += _repetitions(part, within_one or is_repetition)
    return count


def _parts(argument: Any) -> list[Any]:
    """Return the patterns within what an operator is applied to, however deep they are."""
    if hasattr(argument, "getwidth"):
        return [argument]
    if isinstance(argument, (list, tuple)):
        return [part for item in argument for part in _parts(item)]
    return []
