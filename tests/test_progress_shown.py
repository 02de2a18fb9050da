"""How far jobs are, as the page shows it: from real output of real jobs, in the list and on the job."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from running_jobs.index import JobFilter, JobIndex
from running_jobs.job import Job
from running_jobs.store import JobStore
from running_jobs.web import progress_view

from .conftest import LocalClient, wait_for, wait_for_end, wait_for_status
from .page import Gate

TQDM = """
import sys, time, tqdm
from pathlib import Path
bar = tqdm.tqdm(total=64)
bar.update(16)
bar.refresh()
while not Path(sys.argv[1]).exists():
    time.sleep(0.01)
"""


def bars_in(html: str) -> list[tuple[str, str]]:
    """Return the value and the text of each bar."""
    found = re.findall(r'<progress max="100" value="([^"]*)".*?<span class="said">(.*?)</span></span>', html, re.DOTALL)
    return [(value, re.sub(r"<[^>]*>|\s+", " ", text)) for value, text in found]


def wait_for_bars(local: LocalClient, count: int, path: str = "/") -> list[tuple[str, str]]:
    return wait_for(
        lambda: bars if len(bars := bars_in(local.get(path).text)) == count else None,
        lambda: f"{count} bars in {local.get(path).text}",
    )


def test_a_tqdm_run_shows_its_bar_in_the_list_and_on_the_job(
    local: LocalClient, launch: Callable[..., Job], store: JobStore, tmp_path: Path
) -> None:
    script = tmp_path / "run.py"
    script.write_text(TQDM)
    job = launch(f"{sys.executable} {script} {tmp_path}/go", name="fit <b>")
    for value, text in wait_for_bars(local, 2, f"/?job={job.id}"):
        assert value == "25"
        assert text.startswith("25 % · 16/64")
    assert "Progress of fit &lt;b&gt;" in local.get("/").text
    assert bars_in(local.get(f"/?job={job.id}&part=live").text), "the bar is kept current"
    (tmp_path / "go").touch()
    wait_for_end(store, job.id)
    assert bars_in(local.get(f"/?job={job.id}").text) == [], "what has ended is no way on"


def test_what_does_not_speak_of_progress_shows_no_bar(
    local: LocalClient, launch: Callable[..., Job], store: JobStore, tmp_path: Path
) -> None:
    gate = Gate(tmp_path)
    job = launch(f"echo 'CPU at 45%'; echo 'version 3/4'; {gate.wait}; echo 'progress 12.5% reading'; sleep 60")
    wait_for(lambda: "version 3/4" in Path(store.paths.out(job.id)).read_text(), "the output")
    assert bars_in(local.get("/").text) == []
    gate.open()
    assert wait_for_bars(local, 1) == [("12", "12 % · reading")]


def test_a_pattern_of_ones_own_stands_for_every_guess(local: LocalClient, launch: Callable[..., Job]) -> None:
    launch(
        "echo 'Tile 50%'; echo 'shot 030: frame 1,200 of 4,800 written'; sleep 60",
        progress_pattern=r"frame ([\d,]+) of ([\d,]+)",
    )
    assert wait_for_bars(local, 1) == [("25", "25 % · 1,200/4,800")]


def test_an_attempt_does_not_show_the_progress_of_the_one_before(
    local: LocalClient, launch: Callable[..., Job], store: JobStore, tmp_path: Path
) -> None:
    line = f'if [ $JOB_ATTEMPT = 1 ]; then echo "progress 90.0%"; exit 1; fi; echo two; until [ -e {tmp_path}/go ]; do sleep 0.02; done; echo "progress 10.0%"; sleep 60'
    job = launch(line, retries=1, retry_delay=0)
    wait_for(lambda: store.get(job.id).attempt == 2, "the second attempt")
    wait_for(lambda: "two" in Path(store.paths.out(job.id)).read_text(), "its output")
    assert bars_in(local.get("/").text) == []
    (tmp_path / "go").touch()
    assert wait_for_bars(local, 1) == [("10", "10 %")]


@pytest.mark.parametrize("pattern", ["(", "frame", r"(a+)+ (\d+)", "", "x" * 201 + r"(\d+)", 7, ["x"]])
def test_a_pattern_that_cannot_serve_is_refused_and_nothing_is_stored(
    local: LocalClient, store: JobStore, pattern: Any
) -> None:
    command = {"type": "exec", "cmd": "true"}
    answer = local.post("/jobs", {"command": command, "progress_pattern": pattern})
    assert answer.code == 400
    assert "progress_pattern" in answer.json["message"]
    assert store.ids() == []


def test_the_pattern_can_be_given_on_every_face_and_again_keeps_it(
    local: LocalClient, store: JobStore, app_here: Callable[..., Any], forms: Any, actions: Any
) -> None:
    pattern = r"(\d+)% done"
    by_command_line = app_here("run", "--hold", "--progress-pattern", pattern, "true").out.strip()
    assert store.get(by_command_line).progress_pattern == pattern
    refused = app_here("run", "--progress-pattern", "(", "true")
    assert (refused.code, "progress_pattern" in refused.err) == (1, True)
    body = {"command": {"type": "exec", "cmd": "true"}, "progress_pattern": pattern}
    by_api = local.post("/jobs", body).json["data"][0]
    assert by_api["progress_pattern"] == pattern
    changed = local.request("PATCH", f"/jobs/{by_api['id']}", {"progress_pattern": None}).json["data"][0]
    assert changed["progress_pattern"] is None
    assert local.request("PATCH", f"/jobs/{by_api['id']}", {"progress_pattern": "("}).code == 400
    answer = local.post_form("/launch", {"cmd": "true", "progress_pattern": pattern, "hold": "1"})
    assert answer.code == 303
    newest = max(store.ids())
    assert store.get(newest).progress_pattern == pattern
    actions.stop(newest)
    assert store.get(actions.again(newest).id).progress_pattern == pattern
    answer = local.post_form("/launch", {"cmd": "true", "progress_pattern": "(", "hold": "1"})
    assert answer.code == 400
    assert 'id="progress_pattern"' in answer.text
    assert 'value="("' in answer.text


def test_the_end_is_estimated_from_what_was_seen_and_grows_old(store: JobStore, launch: Callable[..., Job]) -> None:
    """Looks at one job at moments that are given, so that no test has to wait for them."""
    job = launch("sleep 60", progress_pattern=r"(\d+)%")
    wait_for_status(store, job.id, "active")
    [row] = JobIndex(store).page(JobFilter()).rows
    progresses = progress_view.Progresses(store.paths)
    now_s, views = time.time(), []
    for percent in range(10, 50, 10):
        Path(store.paths.out(job.id)).write_text(f"{percent}%\n" * percent)
        progresses._known.clear() if percent == 10 else setattr(progresses._known[job.id], "look_again_at", 0)
        now_s += 60
        views.append(progresses.of([row], now_s)[job.id])
    assert [view["percent"] for view in views] == [10, 20, 30, 40]
    assert views[-1]["left"] == "6 min"
    silent = progresses.of([row], now_s + 240)[job.id]
    assert silent["left"] == "2 min"
    assert progresses.of([row], now_s + 400)[job.id]["left"] == "", "later than it said: nobody knows"


def test_a_bar_stays_for_a_while_when_other_lines_come_between(store: JobStore, launch: Callable[..., Job]) -> None:
    """Looks at one job at moments that are given, so that no test has to wait for them."""
    job = launch("sleep 60")
    wait_for_status(store, job.id, "active")
    [row] = JobIndex(store).page(JobFilter()).rows
    progresses = progress_view.Progresses(store.paths)
    now_s = time.time()
    for at_s, output, shown in (
        (0, "progress 50.0%\n", 50),
        (5, "saved\n", 50),
        (25, "", None),
    ):
        if output:
            Path(store.paths.out(job.id)).write_text(output)
        for known in progresses._known.values():
            known.look_again_at = 0
        view = progresses.of([row], now_s + at_s).get(job.id)
        assert (view and view["percent"]) == shown, at_s


def test_a_request_reads_only_as_many_outputs_as_it_has_time_for(
    store: JobStore, launch: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [launch("echo 'progress 50.0%'; sleep 60") for _ in range(4)]
    for job in jobs:
        wait_for_status(store, job.id, "active")
        wait_for(lambda job=job: Path(store.paths.out(job.id)).stat().st_size, "its output")
    rows = JobIndex(store).page(JobFilter()).rows
    progresses = progress_view.Progresses(store.paths)
    monkeypatch.setattr(progress_view, "BUDGET_S", 0)
    monkeypatch.setattr(progress_view, "SOONEST_S", 0)
    assert [len(progresses.of(rows, time.time())) for _ in range(5)] == [1, 2, 3, 4, 4]


def test_a_damaged_pattern_in_a_record_shows_no_bar(store: JobStore, launch: Callable[..., Job]) -> None:
    job = launch("echo 'progress 50.0%'; sleep 60")
    wait_for_status(store, job.id, "active")
    [row] = JobIndex(store).page(JobFilter()).rows
    assert progress_view.Progresses(store.paths).of([row._replace(progress_pattern="(")], time.time()) == {}
