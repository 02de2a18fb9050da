"""What a job's processes used over its life, as its panel shows it: charts, and a table of the same figures."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any

from running_jobs import wording
from running_jobs.job import IDLE, QUEUED, Job, from_iso
from running_jobs.samples import Sample
from running_jobs.web import chart_geometry as geometry
from running_jobs.web.chart_geometry import Point
from running_jobs.web.live_sample import samples_of
from running_jobs.web.shown_job import ShownJob

SHOWN_ROWS = 60
LEAST_TOPS = {"cores": 0.1, "bytes": 1e6, "percent": 10.0}  # of an axis: less would draw noise as mountains
SOONEST_S = 0.5  # a rate over less is mostly the clock's own steps
NEAR_THE_END = 0.92  # a label in the middle of its mark would be cut off there
Says = Callable[[float], str]


def chart_tab(shown: ShownJob) -> dict[str, Any]:
    """Return what the tab shows: charts, the rows of the table, or why there is nothing to show."""
    samples = samples_of(shown.paths, shown.job)
    if len(samples) < 2:
        return {"charts": [], "samples": [], "why_empty": _why_empty(shown.job)}
    times = _times_of(samples)
    if len(samples) > 2 and times[-1] - times[-2] < SOONEST_S:
        samples, times = samples[:-1], times[:-1]
    span_s = max(times[-1], 1.0)
    charts = [_chart(name, title, unit, says, runs, span_s) for name, title, unit, says, runs in _lines(samples, times)]
    return {
        "charts": [chart for chart in charts if chart],
        "ticks": [
            (geometry.share(at_s, span_s), _clock(at_s), at_s > NEAR_THE_END * span_s)
            for at_s in geometry.time_axis(span_s)
        ],
        "boundaries": _boundaries(samples, times, span_s),
        "span_s": round(span_s, 1),
        "samples": _rows(samples, times),
        "sample_count": len(samples),
        "has_attempts": samples[0]["attempt"] != samples[-1]["attempt"],
        "has_gpu": any("gpu_bytes" in sample or "gpu_percent" in sample for sample in samples),
    }


def _why_empty(job: Job) -> str:
    if job.runs_elsewhere:
        return "This job runs elsewhere: what it uses there is not known here."
    if job.status in (IDLE, QUEUED):
        return "There is nothing to draw before the job has run."
    if job.is_final:
        return "There is nothing to draw: the job ended before it was looked at twice."
    return "There is nothing to draw yet: the job has just been started."


def _times_of(samples: list[Sample]) -> list[float]:
    """Return the samples' times in seconds from the first on; a clock that was set back stands still meanwhile."""
    begin = latest = from_iso(samples[0]["at"])
    times = []
    for sample in samples:
        latest = max(latest, from_iso(sample["at"]))
        times.append(latest - begin)
    return times


Line = tuple[str, str, str, Says, list[list[Point]]]


def _lines(samples: list[Sample], times: list[float]) -> list[Line]:
    """Return name, title, unit, wording and points of each chart; the points of each attempt on their own."""
    attempts = [list(run) for _, run in groupby(zip(times, samples), key=lambda pair: pair[1]["attempt"])]

    def figures(name: str) -> list[list[Point]]:
        return [[Point(at_s, sample[name]) for at_s, sample in run if name in sample] for run in attempts]

    return [
        ("cpu", "CPU", "cores", _cores, [geometry.rates(run) for run in figures("cpu_s")]),
        ("memory", "Memory", "bytes", wording.size, figures("rss_bytes")),
        ("gpu", "GPU", "percent", _percent, figures("gpu_percent")),
        ("gpu-memory", "GPU memory", "bytes", wording.size, figures("gpu_bytes")),
    ]


def _chart(
    name: str, title: str, unit: str, says: Says, runs: list[list[Point]], span_s: float
) -> dict[str, Any] | None:
    runs = [run for run in runs if run]
    if not runs:
        return None
    peak = max(point.value for run in runs for point in run)
    length_s = [run[-1].at_s - run[0].at_s or 1.0 for run in runs]
    mean = sum(geometry.mean(run) * part_s for run, part_s in zip(runs, length_s)) / sum(length_s)
    steps = geometry.axis(max(peak, LEAST_TOPS[unit]))
    top = steps[-1]
    return {
        "name": name,
        "title": title,
        "unit": unit,
        "top": top,
        "lines": [geometry.line(run, span_s, top) for run in runs],
        "areas": [geometry.area(run, span_s, top) for run in runs],
        "steps": [(geometry.share(top - step, top), says(step)) for step in steps[1:]],
        "told": f"peak {says(peak)}, mean {says(mean)}",
    }


def _boundaries(samples: list[Sample], times: list[float], span_s: float) -> list[tuple[str, int]]:
    """Return where each attempt but the first begins."""
    return [
        (geometry.share(at_s, span_s), sample["attempt"])
        for before, sample, at_s in zip(samples, samples[1:], times[1:])
        if sample["attempt"] != before["attempt"]
    ]


def _rows(samples: list[Sample], times: list[float]) -> list[dict[str, Any]]:
    """Return the rows of the table: samples spread evenly, each with the mean CPU since the one before it."""
    rows: list[dict[str, Any]] = []
    before: tuple[float, Sample] | None = None
    for number in geometry.evenly(len(samples), SHOWN_ROWS):
        sample, at_s = samples[number], times[number]
        follows = before is not None and before[1]["attempt"] == sample["attempt"] and at_s > before[0]
        cores = (sample["cpu_s"] - before[1]["cpu_s"]) / (at_s - before[0]) if follows and before else None
        rows.append(
            {
                "at": sample["at"],
                "after": _clock(at_s),
                "attempt": sample["attempt"],
                "cores": "" if cores is None else _cores(max(0.0, cores)),
                "memory": wording.size(sample["rss_bytes"]),
                "processes": sample["processes"],
                "gpu": _percent(sample["gpu_percent"]) if "gpu_percent" in sample else "",
                "gpu_memory": wording.size(sample["gpu_bytes"]) if "gpu_bytes" in sample else "",
            }
        )
        before = (at_s, sample)
    return rows


def _cores(value: float) -> str:
    if 0 < value < 0.005:
        return "under 0.01 cores"
    shown = f"{value:.2f}".rstrip("0").rstrip(".") if value < 10 else f"{value:.0f}"
    return f"{shown} core" if shown == "1" else f"{shown} cores"


def _percent(value: float) -> str:
    return f"{value:.0f} %"


def _clock(seconds: float) -> str:
    """Say how long after the start: whole seconds where there are few, else as a duration is said."""
    return f"{seconds:.0f} s" if seconds < 60 else wording.duration(round(seconds))
