"""Which of the bars in a job's output is the job's own: the outermost, the latest, and none where that is not sure.

A bar that began again is one part of a loop of unknown length; one that is through and has other work after it was not
the job's end. Both say nothing. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from running_jobs import progress_counters, progress_programs
from running_jobs.progress_formats import recognise
from running_jobs.progress_found import Found
from running_jobs.progress_rows import Row

FEW_LINES = 3  # that may follow a finished bar: its program's last words
FELL = 0.05  # by so much less than before is begun again; parallel work may jitter by less
HISTORY = 6  # states of a row that are read for counters

_NESTED = ("tqdm", "rich", "bar", "epoch")
_OWN_WORD = ("worker", "rclone")  # say themselves what is the whole, also where they correct it downwards
_PHASED = ("git",)  # one bar after another, each of its own name
_OF_A_PART = re.compile(
    r"\b(?:epoch|pass|fold|part|stage|phase|seed|run|trial|round)\b[\s:]*#$|^(?:validat|sanity check|eval)",
    re.IGNORECASE,
)
_WITHOUT_TOTAL = re.compile(r"\b\d[\d.]*[kMG]?[A-Za-z]{1,12} \[\d+:\d\d(?::\d\d)?, ")
_TOTAL = re.compile(r"\b(?:total|overall|all)\b", re.IGNORECASE)


@dataclass(frozen=True)
class _Hit:
    index: int
    row: Row
    found: Found

    @property
    def key(self) -> tuple[str, str, str]:
        """Tell a bar from others: a bar that is printed line by line is one bar."""
        return self.found.kind, self.found.label, self.found.text.rpartition("/")[2] if "/" in self.found.text else ""


def choose(rows: Sequence[Row], text: str, head: str) -> Found | None:
    """Return what the rows say about the whole job, None if that is nothing sure."""
    if found := progress_programs.ffmpeg(text, head) or progress_programs.povray_animation(text):
        return found
    hits = _hits(rows)
    own = next((hit for hit in reversed(hits) if hit.found.kind == "worker"), None)
    if own:
        return own.found if not _is_over(own, rows) else None
    lines = _lines_without_bars(rows, hits)
    bar = _outermost(hits, rows) if hits else None
    epoch = progress_counters.latest_epoch(progress_programs.last_epochs(text))
    if epoch and _epochs_began_again(rows, epoch[0]):
        return None
    if bar and bar.found.kind == "epoch":
        return bar.found
    if bar and epoch and any(progress_counters.epoch_of(row.shown) for row in rows[bar.index + 1 :]):
        bar, hits = None, []  # of the epoch before
    if bar and epoch and bar.found.kind in (*_NESTED, "keras", "keras steps"):
        return progress_programs.within_epoch(bar.found, epoch) if not _is_over(bar, rows) else None
    if epoch and not hits:
        number, total, done = epoch
        share = (number - 1 + done) / total
        return Found("epoch", "", share, f"epoch {number}/{total}") if share < 1 or _ends_with_epoch(rows) else None
    counted = progress_counters.grown(lines)
    if bar and _is_sure(bar, hits, rows, text, head):
        above = [rows[bar.index - 1].shown] if bar.index and bar.index - 1 not in {hit.index for hit in hits} else []
        return counted if progress_counters.could_enclose(above) else bar.found
    return counted if counted and not (counted.is_finished and not _is_last(counted, rows)) else None


def _hits(rows: Sequence[Row]) -> list[_Hit]:
    hits = []
    for index, row in enumerate(rows):
        found = recognise(row.shown)
        if found is None and row.is_open:
            found = recognise(next((state for state in reversed(row.states[:-1]) if state), ""))
        if found:
            hits.append(_Hit(index, row, found))
    return hits


def _outermost(hits: Sequence[_Hit], rows: Sequence[Row]) -> _Hit | None:
    """Return the uppermost unfinished bar of those that stand together at the end; a finished one if all are."""
    last = hits[-1]
    block = [last]
    for hit in reversed(hits[:-1]):
        if hit.found.kind not in _NESTED or hit.index != block[-1].index - 1:
            break
        block.append(hit)
    latest = {hit.key: hit for hit in reversed(block)}  # the lowest of each
    if block[-1].index and _WITHOUT_TOTAL.search(rows[block[-1].index - 1].shown):
        return None  # a part of something endless
    unfinished = sorted((hit for hit in latest.values() if not hit.found.is_finished), key=lambda hit: hit.index)
    if not unfinished:
        return last
    top = unfinished[0]
    if len(unfinished) > 1 and top.found.kind == "rich" and not _TOTAL.search(top.found.label):
        return None  # side by side rather than nested
    return top


def _is_sure(bar: _Hit, hits: Sequence[_Hit], rows: Sequence[Row], text: str, head: str) -> bool:
    """Say whether a bar is the whole job's, as far as one can tell."""
    found = bar.found
    if _is_over(bar, rows) or found.kind == "keras" or _OF_A_PART.search(found.label):
        return False  # Keras with metrics: one epoch of unknown many
    if found.kind == "blender" and progress_programs.is_an_animation(text, head):
        return False
    if found.kind == "rsync":
        return progress_programs.is_of_all_files(bar.row, rows[bar.index - 1] if bar.index else None)
    if found.kind in _NESTED and _stands_in_an_epoch(bar, rows):
        return False
    return found.kind in _OWN_WORD or not _has_begun_again(bar, hits)


def _stands_in_an_epoch(bar: _Hit, rows: Sequence[Row]) -> bool:
    """Say whether a bar began after an epoch was named, of how many is not known."""
    named = [index for index, row in enumerate(rows[: bar.index]) if progress_counters.is_of_an_epoch(row.shown)]
    states = [state for row in rows[: named[-1] + 1] for state in row.states[-HISTORY:]] if named else []
    before = [found for state in states if (found := recognise(state))]
    return bool(named) and not any((found.kind, found.label) == (bar.found.kind, bar.found.label) for found in before)


def _epochs_began_again(rows: Sequence[Row], number: int) -> bool:
    return any((epoch := progress_counters.epoch_of(row.shown)) and epoch[0] > number for row in rows)


def _is_over(bar: _Hit, rows: Sequence[Row]) -> bool:
    return bar.found.is_finished and len(rows) - 1 - bar.index > FEW_LINES


def _has_begun_again(bar: _Hit, hits: Sequence[_Hit]) -> bool:
    before = [hit.found for hit in hits if hit.index < bar.index and hit.found.kind == bar.found.kind]
    before += [found for state in bar.row.states[:-1] if (found := recognise(state)) and found.kind == bar.found.kind]
    if (
        bar.found.kind not in _PHASED
        and len({found.label for found in before if found.is_finished} - {bar.found.label}) > 1
    ):
        return True  # a file, and another, and now this
    return any(found.fraction > bar.found.fraction + FELL for found in before if found.label == bar.found.label) or (
        bar.found.is_finished and _was_finished_before(bar, hits)
    )


def _was_finished_before(bar: _Hit, hits: Sequence[_Hit]) -> bool:
    """Say whether an earlier bar like it was finished, and others between them were not: a loop's second round."""
    earlier = [hit for hit in hits if hit.index < bar.index and hit.found.kind == bar.found.kind]
    same = [hit for hit in earlier if hit.found.label == bar.found.label]
    if bar.found.kind in _NESTED:
        return any(hit.found.is_finished for hit in same)
    done = False
    for hit in same:
        if done and not hit.found.is_finished:
            return True
        done = done or hit.found.is_finished
    return False


def _lines_without_bars(rows: Sequence[Row], hits: Sequence[_Hit]) -> list[str]:
    barred = {hit.index for hit in hits}
    lines: list[str] = []
    for index, row in enumerate(rows):
        if index not in barred:
            lines += row.states[-HISTORY:]
    return lines


def _ends_with_epoch(rows: Sequence[Row]) -> bool:
    return any(progress_counters.epoch_of(row.shown) for row in rows[-FEW_LINES - 1 :])


def _is_last(counted: Found, rows: Sequence[Row]) -> bool:
    return any(one.found == counted for row in rows[-FEW_LINES - 1 :] for one in progress_counters.read(row.shown))
