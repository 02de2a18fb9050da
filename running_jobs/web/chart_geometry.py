"""How figures over time become lines in a chart: steps of an axis, points of a line. Pure; knows no job and no HTML."""

from __future__ import annotations

import math
from typing import NamedTuple

WIDTH = 1000  # of the drawn plane, whatever room it is given
HEIGHT = 100
TIME_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


class Point(NamedTuple):
    """A figure at a time, in seconds from the chart's beginning."""

    at_s: float
    value: float


def axis_step(most: float, lines: int = 4) -> float:
    """Return the smallest of 1, 2, 2.5 or 5 times a power of ten of which `lines` steps reach `most`."""
    if not most > 0:
        return 1.0
    rough = most / lines
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))


def axis(most: float, lines: int = 4) -> list[float]:
    """Return the values at which an axis from 0 has lines: the last is at `most` or above it."""
    step = axis_step(most, lines)
    count = max(1, math.ceil(most / step - 1e-9))
    return [step * number for number in range(count + 1)]


def time_axis(span_s: float, lines: int = 5) -> list[float]:
    """Return the seconds at which a time axis has marks, from 0 on, at most `lines` after it."""
    step = next((step for step in TIME_STEPS_S if span_s <= step * lines), None)
    if step is None:
        step = 86400 * math.ceil(span_s / lines / 86400)
    return [float(step * number) for number in range(int(span_s // step) + 1)]


def rates(totals: list[Point]) -> list[Point]:
    """Return the mean rate of a growing total between each two points, at the later one; the first has the next's."""
    found = [
        Point(later.at_s, max(0.0, later.value - earlier.value) / (later.at_s - earlier.at_s))
        for earlier, later in zip(totals, totals[1:])
        if later.at_s > earlier.at_s
    ]
    return [Point(totals[0].at_s, found[0].value), *found] if found else []


def mean(points: list[Point]) -> float:
    """Return the mean over time of what a line shows."""
    area = sum((b.at_s - a.at_s) * (a.value + b.value) / 2 for a, b in zip(points, points[1:]))
    span_s = points[-1].at_s - points[0].at_s if points else 0.0
    return area / span_s if span_s > 0 else (points[-1].value if points else 0.0)


def line(points: list[Point], span_s: float, top: float) -> str:
    """Return the points of a polyline on the plane; time goes to the right, values go up to `top`."""
    return " ".join(f"{_x(point.at_s, span_s):g},{_y(point.value, top):g}" for point in points)


def area(points: list[Point], span_s: float, top: float) -> str:
    """Return the points of a polygon between a line and the axis."""
    first, last = _x(points[0].at_s, span_s), _x(points[-1].at_s, span_s)
    return f"{first:g},{HEIGHT} {line(points, span_s, top)} {last:g},{HEIGHT}"


def share(value: float, most: float) -> str:
    """Return where a value is between 0 and `most`, in percent."""
    return f"{100 * min(max(value / most, 0.0), 1.0) if most > 0 else 0:.2f}%"


def evenly(count: int, most: int) -> list[int]:
    """Return at most `most` of the numbers below `count`, spread evenly, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return sorted({round(number * (count - 1) / (most - 1)) for number in range(most)})


def _x(at_s: float, span_s: float) -> float:
    return round(WIDTH * min(max(at_s / span_s, 0.0), 1.0), 1) if span_s > 0 else 0.0


def _y(value: float, top: float) -> float:
    return round(HEIGHT * (1 - min(max(value / top, 0.0), 1.0)), 2)
