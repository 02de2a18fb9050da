"""Counters and percentages that programs of one's own print: less particular than a known program's bar, so most count
only once they have grown from line to line, in steps, with the same words and the same total.

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from running_jobs.progress_found import Found, by_percent, is_a_measure, made

LONGEST = 200  # characters of a line that is looked at: counters stand in short lines

_PREFIX = re.compile(
    r"^(?:\[?\d{4}[-/]\d\d[-/]\d\d(?:[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?)?\]?\s*"
    r"|\[?\d\d:\d\d:\d\d(?:[.,]\d{1,9})?\]?\s+"
    r"|\[?(?:TRACE|DEBUG|INFO|NOTICE|WARN|WARNING)\]?\s*[:|-]?\s+"
    r"|[\w.]{1,40} - (?=INFO|DEBUG|NOTICE)|\[[a-z_][\w.-]{0,30}\]\s+|[|:-]\s+){1,6}"
)
_COUNTER = re.compile(r"(?<![\w./:,#%$@+-])(\d{1,9})(?: ?/ ?| of | out of )(\d{1,9})(?![\w/%]|[.:,-]\d|\.\w)")
_TOKEN = re.compile(r"[^\W\d_]+")
_THING = re.compile(
    r"(?:frame|image|picture|photo|file|epoch|step|batch|item|iteration|iter|page|tile|record|row|sample|chunk"
    r"|block|part|task|document|doc|video|track|chapter|scene|slice|layer|message|mail|email|user|line|test"
    r"|case|package|object|entry|job|simulation|experiment|fold|round|pass)s?"
)
_DOING = re.compile(
    r"(?:processing|rendering|processed|done|progress|completed|finished|downloading|uploading|converting"
    r"|encoding|importing|exporting|copying|compiling|building)"
)
_NO_WORK = re.compile(
    r"(?:attempt|attempts|retry|retries|retrying|try|tries|trying|worker|workers|thread|threads|slot|slots"
    r"|connection|connections|replica|replicas|replication|pod|pods|ready|healthy|available|node|nodes|rank|gpu"
    r"|gpus|cpu|cpus|core|cores|player|players|port|ports|rated|stars|star|chance|odds|ratio|scale|aspect|pool"
    r"|queue|queued|pending|active|open|limit|quota|failed|failures|failure|errors|error|warnings|warning"
    r"|passed|correct|hits|misses|voted|votes|version|release|python|v|level|priority|grade|severity|exit|code"
    r"|status|depth|day|week|month|date|dated|on|at|best|restored|restoring|resumed|resuming|loaded|checkpoint"
    r"|from|patience|remaining|left|question)"
)
_SPAN_LEFT = re.compile(r"^\s*(?:of \S+ )?(?:remaining|left|to go|free|of)\b", re.IGNORECASE)
_PERCENT = r"(?P<percent>\d{1,3}(?:\.\d{1,3})?) ?%"
_PROGRESS = re.compile(rf"\bprogress\b[\s:=(\[.]{{0,6}}{_PERCENT}(?P<after>.*)$", re.IGNORECASE)
_ALONE = re.compile(
    rf"^[\[(]?{_PERCENT}(?P<word> (?:done|complete|completed|finished))?[\])]?[.!]{{0,3}}$", re.IGNORECASE
)
_DONE = re.compile(
    rf"(?:^|[\s:(\[]){_PERCENT} (?:done|complete|completed|finished|processed)\b(?P<after>.*)$", re.IGNORECASE
)
_VERB = re.compile(
    r"^(?:down|up)?(?:loading|rendering|encoding|decoding|transcoding|converting|compressing|decompressing|extracting"
    r"|unpacking|packing|copying|moving|processing|building|compiling|installing|scanning|indexing|importing|exporting"
    r"|syncing|synchronizing|transferring|writing|reading|verifying|simulating|computing|calculating|generating"
    r"|migrating|restoring|uploading|sending|receiving|fetching|solving|tracing|baking|analyzing|analysing|sorting"
    rf"|hashing|checking|working)\b[^%\d]{{0,60}}?[\s:(\[.]{_PERCENT}[\])]?[.]{{0,3}}(?P<after>.{{0,40}})$",
    re.IGNORECASE,
)
_EPOCH = re.compile(
    r"^\W{0,10}epoch[:\s]{0,3}\[? ?(\d{1,6}) ?(?:/| of ) ?(\d{1,6})(?![\d.])\]?(?P<rest>.*)$", re.IGNORECASE
)
_EPOCH_ALONE = re.compile(r"^\W{0,10}epoch[:\s]{0,3}\[? ?(\d{1,6})\b(?! ?(?:/| of ) ?\d)", re.IGNORECASE)
_WITHIN = re.compile(r"\b(?:step|batch|iter\w*)[:\s]{0,3}[\[(]? ?(\d{1,9}) ?(?:/| of ) ?(\d{1,9})", re.IGNORECASE)
_PARTIAL = re.compile(r"\b(?:step|batch|iter\w*)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Counted:
    """A counter of a line: what it is known by, how far it is, and how often it must have grown to be believed."""

    key: tuple[str, str]
    found: Found
    needed: int
    must_be_even: bool


def epoch_of(line: str) -> tuple[int, int, float] | None:
    """Return epoch, of how many, and how much of this one is done, from a line that begins with it.

    Epochs counted from 0 are None: where they end is not said.
    """
    if len(line) > LONGEST:
        return None
    match = _EPOCH.match(_bare(line))
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        return None
    rest = match["rest"].strip(" :.=-*")
    within = _WITHIN.search(rest)
    if within and 0 < int(within[2]) >= int(within[1]):
        done = int(within[1]) / int(within[2])
    else:
        done = 0.0 if not rest or _PARTIAL.search(rest) else 1.0
    return int(match[1]), int(match[2]), done


def latest_epoch(lines: Sequence[str]) -> tuple[int, int, float] | None:
    """Return the epoch that lines name, the last first; one of how many is not said is looked for in those before."""
    number = None
    for line in lines:
        if (epoch := epoch_of(line)) is not None:
            return epoch if number in (None, epoch[0]) else None
        named = _EPOCH_ALONE.match(_bare(line))
        if named is None or number not in (None, int(named[1])):
            return None
        number = int(named[1])
    return None


def is_of_an_epoch(line: str) -> bool:
    """Say whether a line begins with an epoch's number, of how many is not said."""
    return len(line) <= LONGEST and _EPOCH_ALONE.match(_bare(line)) is not None


def grown(lines: Sequence[str]) -> Found | None:
    """Return the counter seen last that has grown as a counter does, None if there is none."""
    series: dict[tuple[str, str], list[Counted]] = {}
    for line in lines:
        for counted in read(line):
            seen = series.setdefault(counted.key, [])
            seen.append(counted)
    latest = next(
        (counted for line in reversed(lines) for counted in read(line) if _believed(series[counted.key])), None
    )
    return latest.found if latest else None


def read(line: str) -> list[Counted]:
    """Return what a line may be counting: nothing if two things in it could be."""
    if len(line) > LONGEST or not any(character.isdigit() for character in line):
        return []
    line = _bare(line)
    if "%" in line:
        return _percentages(line)
    counters = list(_COUNTER.finditer(line))
    return _counter(line, counters[0]) if len(counters) == 1 else []


def _percentages(line: str) -> list[Counted]:
    if line.count("%") > 1 or is_a_measure(line):
        return []
    for expression, key, needed in (
        (_PROGRESS, "progress", 1),
        (_ALONE, "alone", 3),
        (_DONE, "done", 2),
        (_VERB, "verb", 2),
    ):
        match = expression.search(line)
        if match is None:
            continue
        after = match.groupdict().get("after") or ""
        if _SPAN_LEFT.match(after) or _is_bad(line[: match.start()]):
            return []
        if key == "alone" and match["word"]:
            needed = 1
        found = by_percent("percent", "", match["percent"], f"{match['percent']}%")
        words = "" if key == "alone" else " ".join(_TOKEN.findall(line[: match.start("percent")])[:1])
        return [Counted((key, words), found, needed, False)] if found else []
    return []


def _counter(line: str, match: re.Match[str]) -> list[Counted]:
    done, total = match[1], match[2]
    before, after = line[: match.start()], line[match.end() :]
    words = [word.lower() for word in _TOKEN.findall(before)]
    followers = [word.lower() for word in _TOKEN.findall(after)][:2]
    is_good = _names_work(words[-2:]) or _names_work(followers[:1])
    if is_a_measure(before) or (not is_good and is_a_measure(" ".join(followers))):
        return []
    if _any(_NO_WORK, words[-4:]) or _any(_NO_WORK, followers):
        return []
    if int(total) < 2 or (len(done) > 1 and done[0] == "0" and len(total) <= 2 and int(total) <= 31):
        return []  # a date, a month of a year
    in_brackets = before.endswith(("[", "(")) and after.startswith(("]", ")"))
    stands_alone = not before.strip() or (before.rstrip().endswith(":") and not after.strip(" ."))
    if not (in_brackets or is_good or stands_alone):
        return []
    word = words[-1] if words and (is_good or not in_brackets) else ""
    text = f"{word} {match[0]}".strip() if is_good and _names_work([word]) else match[0]
    found = made("counter", word, int(done), int(total), text)
    if found is None:
        return []
    place = (
        word
        if is_good and _names_work([word])
        else ("[" if in_brackets else f"{'^' if not before.strip() else '$'}{word}")
    )
    return [Counted((place, total), found, 2 if is_good or in_brackets else 3, not (is_good or in_brackets))]


def _believed(series: Sequence[Counted]) -> bool:
    values = [counted.found.fraction for counted in series]
    distinct = sorted(set(values))
    if any(later < earlier for earlier, later in zip(values, values[1:], strict=False)):
        return False  # began again, or goes up and down
    if len(distinct) < series[-1].needed:
        return False
    steps = [later - earlier for earlier, later in zip(distinct, distinct[1:], strict=False)]
    return not series[-1].must_be_even or not steps or max(steps) <= 3 * min(steps) + 1e-9


def _is_bad(before: str) -> bool:
    return _any(_NO_WORK, [word.lower() for word in _TOKEN.findall(before)[-3:]])


def _names_work(words: Sequence[str]) -> bool:
    return _any(_THING, words) or _any(_DOING, words)


def _any(expression: re.Pattern[str], words: Sequence[str]) -> bool:
    return any(expression.fullmatch(word) for word in words)


def _bare(line: str) -> str:
    """Leave out the time, level and name that a logger put before."""
    return _PREFIX.sub("", line, count=1).strip()


def could_enclose(lines: Iterable[str]) -> bool:
    """Say whether one of the lines may count what a bar beneath it is one part of."""
    return any(counted.found.kind == "counter" and counted.needed == 2 for line in lines for counted in read(line))
