"""The rows of the table, and the table as text: what was measured, ours, theirs, the ratio, the goal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.rounds import median

HEADINGS = ("what", "ours", "against", "theirs", "ratio", "goal", "met")
MISSING = "not installed"


class Row(NamedTuple):
    """One line of the table, as text."""

    what: str
    ours: str
    against: str = ""
    theirs: str = ""
    ratio: str = ""
    goal: str = ""
    met: str = ""


class Goal(NamedTuple):
    """A bound for a figure; `at_least` says on which side of it the figure has to be."""

    bound: float
    at_least: bool = False
    unit: str = "×"

    def judge(self, figure: float) -> str:
        """Say whether a figure keeps to it."""
        return "yes" if (figure >= self.bound if self.at_least else figure <= self.bound) else "NO"

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:g} {self.unit}"


def compared(
    what: str, unit: str, ours: Sequence[float], against: str, theirs: Sequence[float], goal: Goal | None = None
) -> Row:
    """Make the row of two things that were measured in turns: the ratio is the median of the rounds' ratios."""
    if not theirs:
        return Row(what, figure(ours, unit), against, MISSING, "", str(goal or ""), "not measured" if goal else "")
    ratios = [one / other for one, other in zip(ours, theirs)]
    spread = f" ({min(ratios):.2f} to {max(ratios):.2f})" if len(ratios) > 1 else ""
    return Row(
        what,
        figure(ours, unit),
        against,
        figure(theirs, unit),
        f"{median(ratios):.2f} ×{spread}",
        str(goal or ""),
        goal.judge(median(ratios)) if goal else "",
    )


def bounded(what: str, found: float, goal: Goal, digits: int = 1) -> Row:
    """Make the row of a figure that has a bound of its own."""
    return Row(what, f"{found:,.{digits}f} {goal.unit}", goal=str(goal), met=goal.judge(found))


def figure(found: Sequence[float], unit: str) -> str:
    """Write the median of what was found."""
    middle = median(found)
    return f"{middle:,.{0 if middle >= 100 else 1 if middle >= 10 else 2}f} {unit}"


def table(rows: Sequence[Row]) -> str:
    """Write the rows as a table, in Markdown whose columns also line up where it is read as it is."""
    cells = [HEADINGS, *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEADINGS))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)
