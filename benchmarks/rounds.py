"""Measuring in turns: every round measures each of several things once, so that what the machine does meets all."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence


def in_turns(measures: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Return what each measure found in each round. Every other round goes backwards: nobody is always first."""
    found: dict[str, list[float]] = {name: [] for name in measures}
    for number in range(rounds):
        names = list(measures) if number % 2 == 0 else list(measures)[::-1]
        for name in names:
            found[name].append(measures[name]())
    return found


def median(found: Sequence[float]) -> float:
    """Return the middle one."""
    return statistics.median(found)


def percentile(found: Sequence[float], percent: float) -> float:
    """Return the figure that so many percent stay below."""
    return sorted(found)[min(len(found) - 1, int(len(found) * percent / 100))]


def seconds(act: Callable[[], object]) -> float:
    """Return how long something takes."""
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def wait_until(condition: Callable[[], object], every_s: float = 0.005, at_most_s: float = 600) -> None:
    """Wait for a condition. Raise TimeoutError."""
    deadline = time.monotonic() + at_most_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {at_most_s:g} s in vain")
        time.sleep(every_s)
