"""Charts of what jobs use: geometry, the page, markup, and the browser."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest

from running_jobs import files
from running_jobs.job import DONE, Job, to_iso
from running_jobs.store import JobStore
from running_jobs.web import chart_geometry as geometry
from running_jobs.web.chart_geometry import Point

from .conftest import Server, wait_for, wait_for_status
from .forms import Forms
from .page import Page

BEGIN = 1_700_000_000


def sample(at_s: float, cpu_s: float = 0, memory: int = 1_000_000, attempt: int = 1, **more: Any) -> dict[str, Any]:
    figures = {"cpu_s": cpu_s, "rss_bytes": memory, "processes": 1, "out_bytes": 0, "err_bytes": 0}
    return {"at": to_iso(BEGIN + at_s), "attempt": attempt, **figures, **more}


def ended(store: JobStore, *samples: dict[str, Any], **fields: Any) -> Job:
    """Return a job that has ended, with these samples."""
    job = store.create(Job(id="", status=DONE, command={"type": "exec", "cmd": "true"}, cwd="/", **fields))
    if samples:
        Path(store.paths.stats(job.id)).write_text("".join(f"{json.dumps(one)}\n" for one in samples))
    return job


# --- geometry


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (4, [0, 1, 2, 3, 4]),
        (4.1, [0, 2, 4, 6]),
        (0.37, [0, 0.1, 0.2, 0.3, 0.4]),
        (3.7e9, [0, 1e9, 2e9, 3e9, 4e9]),
        (0, [0, 1]),
        (100, [0, 25, 50, 75, 100]),
    ],
)
def test_an_axis_has_round_steps_and_reaches_the_most(most: float, expected: list[float]) -> None:
    assert geometry.axis(most) == pytest.approx(expected)


@pytest.mark.parametrize("span_s", [0.5, 1, 7, 59, 61, 3601, 86400, 86400 * 400])
def test_a_time_axis_has_few_marks_within_the_time(span_s: float) -> None:
    marks = geometry.time_axis(span_s)
    assert marks[0] == 0
    assert marks[-1] <= span_s
    assert len(marks) <= 6


def test_rates_are_differences_over_time() -> None:
    totals = [Point(0, 0.0), Point(2, 1.0), Point(2, 5.0), Point(4, 9.0), Point(5, 8.0)]
    assert geometry.rates(totals) == [(0, 0.5), (2, 0.5), (4, 2.0), (5, 0.0)]
    assert geometry.rates([Point(0, 1.0)]) == []


def test_the_mean_is_over_time_not_over_samples() -> None:
    assert geometry.mean([Point(0, 0.0), Point(1, 0.0), Point(1, 4.0), Point(4, 4.0)]) == 3.0
    assert geometry.mean([Point(3, 7.0)]) == 7.0
    assert geometry.mean([]) == 0.0


def test_a_line_fits_the_plane() -> None:
    points = [Point(0, 0.0), Point(5, 2.0), Point(10, 8.0)]
    assert geometry.line(points, 10, 4) == "0,100 500,50 1000,0"
    assert geometry.area(points, 10, 4) == "0,100 0,100 500,50 1000,0 1000,100"


@pytest.mark.parametrize("count", [0, 1, 59, 60, 61, 240])
def test_rows_are_spread_evenly(count: int) -> None:
    chosen = geometry.evenly(count, 60)
    assert len(chosen) == min(count, 60)
    if count:
        assert (chosen[0], chosen[-1]) == (0, count - 1)


# --- the page


def test_the_tab_draws_cpu_and_memory_and_says_peak_and_mean(store: JobStore, forms: Forms) -> None:
    job = ended(store, *(sample(at_s, cpu_s=2 * at_s, memory=1_600_000_000) for at_s in range(0, 7200, 60)))
    page = forms.job(job, "&tab=chart")
    assert "peak 2 cores, mean 2 cores" in page
    assert "peak 1.6 GB, mean 1.6 GB" in page
    assert page.count("<polyline") == page.count("<figure") == 2
    assert ">1 h 30 min</text>" in page
    assert ">2.0 GB</text>" in page
    assert page.count('<tr><th scope="row"') == 60
    assert "60 of 120 samples" in page
    assert "style=" not in page


def test_gpu_charts_are_there_where_there_are_figures(store: JobStore, forms: Forms) -> None:
    without = ended(store, sample(0), sample(1))
    assert "GPU" not in forms.job(without, "&tab=chart")
    some = ended(store, sample(0), sample(1, gpu_percent=50, gpu_bytes=1 << 30), sample(2, gpu_percent=70))
    page = forms.job(some, "&tab=chart")
    assert "peak 70 %" in page
    assert "peak 1.1 GB" in page
    assert page.count("<figure") == 4


def test_each_attempt_has_a_line_of_its_own(store: JobStore, forms: Forms) -> None:
    job = ended(store, sample(0), sample(9, 9), sample(20, 0, attempt=2), sample(30, 20, attempt=2))
    page = forms.job(job, "&tab=chart")
    assert page.count("<polyline") == 4
    assert page.count(">attempt 2</text>") == 2
    assert "peak 2 cores" in page, "the fall between attempts is no use"


def test_a_clock_that_was_set_back_draws_no_line_backwards(store: JobStore, forms: Forms) -> None:
    job = ended(store, sample(0), sample(100, 50), sample(40, 60), sample(200, 150))
    for points in re.findall(r'<polyline points="([^"]+)"', forms.job(job, "&tab=chart")):
        xs = [float(point.split(",")[0]) for point in points.split()]
        assert xs == sorted(xs)


def test_a_look_right_after_a_sample_makes_no_spike(store: JobStore, forms: Forms) -> None:
    job = ended(store, sample(0), sample(10, 10), sample(10.01, 10.05))
    assert "peak 1 core," in forms.job(job, "&tab=chart")


def test_without_samples_there_is_no_tab_and_the_page_says_why(store: JobStore, forms: Forms) -> None:
    job = ended(store)
    assert "tab=chart" not in forms.job(job)
    assert "before it was looked at twice" in forms.job(job, "&tab=chart")
    assert "tab=chart" in forms.job(ended(store, sample(0), sample(1)))


def test_a_job_that_runs_elsewhere_has_no_samples(store: JobStore, forms: Forms) -> None:
    job = ended(store, sample(0), sample(1), executor="elsewhere")
    assert json.loads(forms.get(f"/jobs/{job.id}/stats").body)["data"] == []
    assert "runs elsewhere" in forms.job(job, "&tab=chart")


def test_markup_in_samples_does_nothing(store: JobStore, forms: Forms) -> None:
    evil = sample(1) | {"at": f'{sample(1)["at"]}"><script>alert(1)</script>', "note": "<b>"}
    job = ended(store, sample(0), evil, sample(2))
    page = forms.job(job, "&tab=chart")
    assert "<script>alert" not in page
    assert html.escape("<script>alert") in page


def test_the_api_gives_the_kept_samples_and_what_is_used_now(store: JobStore, launch, forms: Forms) -> None:
    job = launch("exec sleep 1000")
    wait_for_status(store, job.id, "active")
    wait_for(lambda: files.size_of(store.paths.stats(job.id)))
    *kept, now = json.loads(forms.get(f"/jobs/{job.id}/stats").body)["data"]
    assert kept
    assert kept[0].keys() == now.keys() == sample(0).keys()
    assert now["at"] >= kept[-1]["at"]
    done = ended(store, sample(0), sample(1))
    assert json.loads(forms.get(f"/jobs/{done.id}/stats").body)["data"] == [sample(0), sample(1)]


# --- the browser


def test_a_chart_grows_with_the_job_and_is_read_by_pointer_and_keys(server: Server, launch, store, tab) -> None:
    job = launch("while :; do :; done")
    wait_for(lambda: files.size_of(store.paths.stats(job.id)))
    page = Page(tab, server.url).open(f"/?job={job.id}&tab=chart")
    points = "return document.querySelector('.chart.cpu polyline')?.points.length ?? 0"
    count = wait_for(lambda: page.run(points))
    wait_for(lambda: page.run(points) > count)
    page.run("document.querySelector('.chart.cpu .plot').focus()")
    tab.switch_to.active_element.send_keys("\ue012")  # to the left
    page.wait_text(".chart-at", "cores at")
    page.click(".chart-table summary")
    page.wait_text(".chart-table", "CPU is the mean since the row before")
    assert page.run("return document.documentElement.scrollWidth <= innerWidth")
