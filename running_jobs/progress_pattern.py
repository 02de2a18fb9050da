"""A job's own pattern for its progress: a regular expression that people give, checked so that it cannot hold up the
server for long.

Three limits together see to that. It is matched against at most the 50 last lines, of each the last 250 characters, and
no further line is tried once GIVE_UP_S are over. It is refused if it asks for more than `MOST_WIDTH` characters, or if
there are more than `MOST_WAYS` ways to one place of a line: the engine tries all of them before it gives up, and
repetitions that can give each other characters, or repeat each other, multiply them.
"""

from __future__ import annotations

import importlib
import re
import sys
import time
from collections.abc import Sequence
from typing import Any

from running_jobs.errors import InvalidJob
from running_jobs.progress_found import Found, made

LONGEST_PATTERN = 200
LINES = 50
LINE = 250
MOST_WAYS = LINE
MOST_WIDTH = 80  # characters that must be there for it to fit
GIVE_UP_S = 0.02
_NAMES = {"done", "total", "percent"}
_OTHER, _DIGIT, _SPACE = 256, 257, 258  # stand for all characters beyond Latin-1 of these kinds
_BEYOND = frozenset({_OTHER, _DIGIT, _SPACE})
_EVERYTHING = frozenset(range(256)) | _BEYOND
_CATEGORIES = {
    "CATEGORY_DIGIT": frozenset(code for code in range(256) if chr(code).isdecimal()) | {_DIGIT},
    "CATEGORY_SPACE": frozenset(code for code in range(256) if chr(code).isspace()) | {_SPACE},
    "CATEGORY_WORD": frozenset(code for code in range(256) if chr(code).isalnum() or code == 95) | {_OTHER, _DIGIT},
}

# the only way to see what an expression does before it does it; until Python 3.10 it had another name
_parser: Any = importlib.import_module("re._parser" if sys.version_info >= (3, 11) else "sre_parse")


def check(field: str, text: str) -> re.Pattern[str]:
    """Return the compiled pattern. Raise InvalidJob with the field's name if it cannot serve."""
    if not isinstance(text, str) or not text.strip():
        raise InvalidJob(field, r"is empty; expected a regular expression like frame (\d+) of (\d+)")
    if len(text) > LONGEST_PATTERN:
        raise InvalidJob(field, f"is too long: {len(text)} characters; at most {LONGEST_PATTERN}")
    try:
        pattern = re.compile(text)
        parsed = _parser.parse(text)
        ways = _Ways().of(parsed)
    except (re.error, OverflowError, RecursionError) as error:
        raise InvalidJob(field, f"is no regular expression: {error}") from None
    except _Unbounded as error:
        raise InvalidJob(field, f"could take too long: {error}") from None
    if parsed.getwidth()[0] > MOST_WIDTH:
        raise InvalidJob(field, f"could take too long: it asks for more than {MOST_WIDTH} characters")
    if ways > MOST_WAYS:
        problem = "could take too long: several repetitions may share the same characters; put fixed text between them"
        raise InvalidJob(field, problem)
    _check_groups(field, pattern)
    return pattern


def _check_groups(field: str, pattern: re.Pattern[str]) -> None:
    names = set(pattern.groupindex)
    if names:
        if not names <= _NAMES or not ("percent" in names or {"done", "total"} <= names):
            raise InvalidJob(field, "expected groups named percent, or done and total")
    elif pattern.groups not in (1, 2):
        expected = "one group (a percentage) or two (how many are done, of how many)"
        raise InvalidJob(field, f"expected {expected}, found {pattern.groups or 'none'}")


def match_lines(pattern: re.Pattern[str], lines: Sequence[str]) -> Found | None:
    """Return what the last line that the pattern fits says, of the last LINES lines; None if none of them fits.

    None, too, where looking takes too long.
    """
    until = time.monotonic() + GIVE_UP_S
    for line in reversed(lines[-LINES:]):
        if (match := pattern.search(line[-LINE:])) and (found := _read(match)):
            return found
        if time.monotonic() > until:
            break
    return None


def _read(match: re.Match[str]) -> Found | None:
    named = match.groupdict()
    groups = match.groups()
    if named:
        done, total = named.get("done"), named.get("total")
        percent = named.get("percent")
    else:
        done, total = groups if len(groups) == 2 else (None, None)
        percent = groups[0] if len(groups) == 1 else None
    if (share := _number(percent)) is not None:
        return made("pattern", "", share, 100, f"{percent}%")
    whole, part = _number(total), _number(done)
    if part is None or whole is None:
        return None
    return made("pattern", "", part, whole, f"{done}/{total}")


def _number(text: str | None) -> float | None:
    """Return a number with a point or thousands' commas, None if it is none."""
    text = (text or "").strip().removesuffix("%").strip()
    if re.fullmatch(r"\d{1,3}(?:,\d{3}){1,6}", text):
        text = text.replace(",", "")
    return float(text) if re.fullmatch(r"\d{1,18}(?:\.\d{1,18})?", text) else None


class _Unbounded(Exception):
    """The expression could try endlessly many ways."""


class _Ways:
    """Counts in how many ways an expression may reach one place of a line, at most.

    A repetition adds none if what stands before it and what must follow it cannot be characters of its own: then where
    it begins and ends is plain. Else it may share characters with its neighbours in as many ways as it may be long.
    """

    def of(self, items: Sequence[Any]) -> int:
        needed = list(items)
        while needed and _edge(needed[-1:])[1] and not _holds_a_place(needed[-1]):
            self._item(needed.pop(), _EVERYTHING, frozenset())  # may be empty, so that the match cannot fail any more
        return self._sequence(needed, _EVERYTHING, frozenset())

    def _sequence(self, items: list[Any], before: frozenset[int], after: frozenset[int]) -> int:
        ways = 1
        for index, item in enumerate(items):
            following, may_be_empty = _edge(items[index + 1 :])
            ways *= self._item(item, before, following | after if may_be_empty else following)
            ending, may_be_empty = _edge(items[index : index + 1], from_end=True)
            if str(item[0]) == "AT" and str(item[1]).startswith("AT_BEGINNING"):
                before = frozenset()
            else:
                before = ending | before if may_be_empty else ending
        return ways

    def _item(self, item: Any, before: frozenset[int], after: frozenset[int]) -> int:
        name, value = str(item[0]), item[1]
        if name in ("LITERAL", "NOT_LITERAL", "ANY", "IN", "AT"):
            return 1
        if name == "SUBPATTERN":
            return self._sequence(list(value[3]), before, after)
        if name == "BRANCH":
            ways = [self._sequence(list(branch), before, after) for branch in value[1]]
            return max(ways) if _are_told_apart(value[1]) else sum(ways)
        if name in ("MAX_REPEAT", "MIN_REPEAT"):
            return self._repeat(value, before, after)
        raise _Unbounded("it holds a look-around, a back-reference or another such thing; use plain groups")

    def _repeat(self, value: tuple[int, Any, Any], before: frozenset[int], after: frozenset[int]) -> int:
        least, most, body = int(value[0]), min(int(value[1]), LINE), list(value[2])
        if most <= 1:
            skipped = (
                1 if _edge(body)[0] & after or _edge(body)[1] else 0
            )  # else what comes next says whether it is there
            return skipped + self._sequence(body, before, after)
        if not _is_fixed(body):
            raise _Unbounded("it repeats something that itself repeats or chooses, like (a+)+")
        own = _edge(body)[0] | _edge(body, from_end=True)[0]
        if not after:
            return 1  # nothing follows that could fail
        if own & after:
            return most - min(least, most) + 1 if not own & before else most
        return most if own & before and least != most else 1


def _holds_a_place(item: Any) -> bool:
    """Say whether an item holds a condition, like `$`, that can fail though it takes no character."""
    return "(AT, " in repr(item)


def _edge(items: list[Any], from_end: bool = False) -> tuple[frozenset[int], bool]:
    """Return what characters items may begin (or end) with, and whether they may be empty."""
    found: frozenset[int] = frozenset()
    for item in reversed(items) if from_end else items:
        characters, empty = _edge_of(item, from_end)
        found |= characters
        if not empty:
            return found, False
    return found, True


def _edge_of(item: Any, from_end: bool) -> tuple[frozenset[int], bool]:
    name, value = str(item[0]), item[1]
    if name == "AT":
        return (frozenset() if from_end else _EVERYTHING), True  # it may fail after any character
    if name == "SUBPATTERN":
        return _edge(list(value[3]), from_end)
    if name == "BRANCH":
        parts = [_edge(list(branch), from_end) for branch in value[1]]
        return frozenset().union(*(part[0] for part in parts)), any(part[1] for part in parts)
    if name in ("MAX_REPEAT", "MIN_REPEAT"):
        characters, empty = _edge(list(value[2]), from_end)
        return characters, empty or value[0] == 0
    return _characters(item), False


def _are_told_apart(branches: Sequence[Any]) -> bool:
    """Say whether one character is enough to know which of the branches it can be."""
    firsts = [_edge(list(branch)) for branch in branches]
    seen: set[int] = set()
    for characters, may_be_empty in firsts:
        if may_be_empty or seen & characters:
            return False
        seen |= characters
    return True


def _is_fixed(body: list[Any]) -> bool:
    """Say whether a body has one length and no choice, so that it can be repeated in one way only."""
    for item in body:
        name = str(item[0])
        if name == "SUBPATTERN":
            if not _is_fixed(list(item[1][3])):
                return False
        elif name not in ("LITERAL", "NOT_LITERAL", "ANY", "IN"):
            return False
    return bool(body)


def _characters(item: Any) -> frozenset[int]:
    """Return what an item of one character takes: Latin-1 by its codes, in either case, all others by their kind."""
    name, value = str(item[0]), item[1]
    if name == "LITERAL":
        return _codes(int(value), int(value))
    if name != "IN" or str(value[0][0]) == "NEGATE":
        return _EVERYTHING
    found: frozenset[int] = frozenset()
    for part in value:
        if str(part[0]) == "CATEGORY":
            found |= _CATEGORIES.get(str(part[1]), _EVERYTHING)
        else:
            low, high = part[1] if str(part[0]) == "RANGE" else (part[1], part[1])
            found |= _codes(int(low), int(high))
    return found


def _codes(low: int, high: int) -> frozenset[int]:
    codes = set(range(low, min(high, 255) + 1))
    codes |= {ord(other) for code in codes for other in chr(code).swapcase() if ord(other) < 256}
    beyond = high > 255 or any(chr(code).isalpha() for code in codes)  # a letter's other case may be
    return frozenset(codes) | (_BEYOND if high > 255 else frozenset({_OTHER}) if beyond else frozenset())
