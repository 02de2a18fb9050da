"""How far a job is, from the last part of its output and err as they are on disk, and when it may end.

Rather nothing than a wrong guess: a number counts only where a program's known format, or its growth from line to
line, shows that it is progress. What is looked at is bounded (`progress_rows`): no output can hold up the server. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from running_jobs import progress_pattern
from running_jobs.progress_choice import choose
from running_jobs.progress_found import Found
from running_jobs.progress_rows import LOOKED_AT, rows_of

HEAD = 8 << 10  # characters of an output's begin that are looked at
AGREE = 0.02  # two that differ by less say the same
LEAST_FRACTION = 0.02
LEAST_SPAN_S = 10
MOST_UNEVEN = 4  # times faster in one half of the samples than in the other
LONGEST_S = 366 * 86400


@dataclass(frozen=True)
class Progress:
    """How far a job is: `fraction` from 0 to 1, what its program said, and the seconds left that it named."""

    fraction: float
    text: str
    eta_s: float | None = None


def progress_of(
    out: str, err: str = "", *, out_head: str = "", err_head: str = "", pattern: re.Pattern[str] | None = None
) -> Progress | None:
    """Return how far a job is, from the last part of its output and err as raw text; None when unsure.

    The heads are the begins of the two, for what was said there only (a film's length). A job's own `pattern`
    (`progress_pattern.check`) stands for everything else: nothing is guessed where it does not fit.
    """
    sources = [(out[-LOOKED_AT:], out_head[:HEAD]), (err[-LOOKED_AT:], err_head[:HEAD])]
    if pattern is not None:
        found = (progress_pattern.match_lines(pattern, _last_lines(text)) for text, _ in sources)
        return _progress(next(filter(None, found), None))
    both = [choose(rows_of(text), text, head) if text else None for text, head in sources]
    return _progress(_of_two(*both))


def estimate_s(
    progress: Progress,
    samples: Sequence[tuple[float, float]] = (),
    *,
    started_s: float | None = None,
    now_s: float | None = None,
) -> float | None:
    """Return the seconds that a job may still take; None where no estimate would be sensible.

    The program's own word comes first; then the speed over `samples`, the (time, fraction) pairs seen so far, the
    oldest first; then, with less than three, the time since `started_s`.
    """
    if progress.fraction >= 1:
        return None
    if progress.eta_s is not None:
        return progress.eta_s if progress.eta_s <= LONGEST_S else None
    if progress.fraction <= LEAST_FRACTION:
        return None
    if len(samples) >= 3:
        speed = _even_speed(samples)
    elif started_s is not None and now_s is not None and now_s - started_s >= LEAST_SPAN_S:
        speed = progress.fraction / (now_s - started_s)
    else:
        return None
    if speed is None or speed <= 0:
        return None
    left_s = (1 - progress.fraction) / speed
    return left_s if left_s <= LONGEST_S else None


def _even_speed(samples: Sequence[tuple[float, float]]) -> float | None:
    """Return the fraction done a second over the samples, None if they are too short, fall back or are too uneven."""
    (first_s, first), (last_s, last) = samples[0], samples[-1]
    pairs = list(zip(samples, samples[1:], strict=False))
    if last_s - first_s < LEAST_SPAN_S or any(then[1] < before[1] or then[0] < before[0] for before, then in pairs):
        return None
    middle_s = (first_s + last_s) / 2
    middle = _at(samples, middle_s)
    halves = (middle - first, last - middle)
    if min(halves) <= 0 or max(halves) > MOST_UNEVEN * min(halves):
        return None
    return (last - first) / (last_s - first_s)


def _at(samples: Sequence[tuple[float, float]], moment_s: float) -> float:
    """Return the fraction at a moment between samples."""
    for (before_s, before), (then_s, then) in zip(samples, samples[1:], strict=False):
        if then_s >= moment_s:
            return before + (then - before) * ((moment_s - before_s) / (then_s - before_s) if then_s > before_s else 1)
    return samples[-1][1]


def _of_two(out: Found | None, err: Found | None) -> Found | None:
    """Return the one of output and err that speaks for the job, None if they contradict each other."""
    if out is None or err is None:
        return out or err
    for kind in ("worker", "epoch"):  # what the job says of itself, and what bars on the other side are parts of
        for one in (out, err):
            if one.kind == kind:
                return one
    if out.is_finished != err.is_finished:
        return err if out.is_finished else out
    return err if abs(out.fraction - err.fraction) <= AGREE else None


def _last_lines(text: str) -> list[str]:
    return [row.shown for row in rows_of(text)]


def _progress(found: Found | None) -> Progress | None:
    return Progress(found.fraction, found.text, found.eta_s) if found else None
