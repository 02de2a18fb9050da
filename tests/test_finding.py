"""Finding jobs and acting on several: filters in the address and the API, the index, selections, questions, titles."""

from __future__ import annotations

import errno
import html
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from werkzeug.security import generate_password_hash
from werkzeug.test import TestResponse

from running_jobs import index as index_module
from running_jobs.actions import Actions
from running_jobs.clocks import read_since, read_until
from running_jobs.errors import InvalidJob, LockTimeout, StorageFailed
from running_jobs.index import JobFilter, JobIndex
from running_jobs.job import ACTIVE, DONE, ERROR, IDLE, Job, from_iso, to_iso
from running_jobs.settings import load_settings
from running_jobs.store import JobStore
from running_jobs.web.application import build_app
from running_jobs.web.deletion import what_goes

from .conftest import LocalClient, wait_for_status
from .forms import Forms, alerts_of

CMD = {"type": "exec", "cmd": "true"}
NOON = from_iso("2026-11-21T12:00:00.000Z")


def add(store: JobStore, name: str, at_s: float | None = None, **more: Any) -> Job:
    """Store a job that came at a moment, whatever the clock says."""
    clock = store.files.clock
    store.files.clock = store.clock if at_s is None else lambda: at_s
    try:
        return store.create(Job(id="", status=more.pop("status", DONE), command=CMD, name=name, **more))
    finally:
        store.files.clock = clock


def names(index: JobIndex, wanted: JobFilter, **more: Any) -> list[str]:
    return [row.title for row in index.page(wanted, **more).rows]


def titles(page: str) -> list[str]:
    """Return the titles in a page's list."""
    return [html.unescape(found) for found in re.findall(r'<th scope="row"><a [^>]*>([^<]*)</a>', page)]


def title(page: str) -> str:
    found = re.search(r"<title>(.*?)</title>", page)
    assert found
    return html.unescape(found[1])


# --- times


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("15m", "2026-11-21T11:45:00.000Z"),
        ("1h", "2026-11-21T11:00:00.000Z"),
        ("7d", "2026-11-14T12:00:00.000Z"),
        ("99999d", "1970-01-01T00:00:00.000Z"),
        ("2026-11-20T10:00:00Z", "2026-11-20T10:00:00.000Z"),
        ("2026-11-20T10:00+02:00", "2026-11-20T08:00:00.000Z"),
    ],
)
def test_since_is_so_long_ago_or_a_moment(text: str, expected: str) -> None:
    assert read_since("since", text, NOON) == expected


def test_a_day_without_a_time_is_a_whole_day_of_this_machine() -> None:
    begin, end = (from_iso(read("x", "2026-11-20")) for read in (lambda f, t: read_since(f, t, NOON), read_until))
    assert begin == from_iso(read_since("x", "2026-11-20T00:00", NOON))
    assert end - begin == pytest.approx(24 * 3600 - 0.001)


@pytest.mark.parametrize(
    "text", ["", "1", "h", "0h", "-1h", "1w", "1h ago", "2026-13-01", "2026-11-21T25:00", "soon", "１h"]
)
def test_what_is_no_time_is_refused_by_the_api_and_passed_over_by_the_page(
    text: str, local: LocalClient, forms: Forms, actions: Actions
) -> None:
    actions.submit({"command": CMD, "name": "the only one"})
    with pytest.raises(InvalidJob):
        read_since("since", text, NOON)
    for name in ("since", "until"):
        query = urlencode({name: text})
        assert titles(forms.page(query)) == ["the only one"]
        answer = local.get(f"/jobs?{query}")
        assert answer.code == (400 if text else 200)
        assert name in answer.json["message"] or not text


# --- the index


def test_jobs_are_found_by_the_time_of_their_arrival_although_the_clock_was_set_back(store: JobStore) -> None:
    store.prepare()
    index = JobIndex(store)
    for name, at_s in (("first", 0), ("second", 600), ("set back", -3600), ("third", 1200)):
        add(store, name, NOON + at_s)
    assert names(index, JobFilter(since=to_iso(NOON))) == ["third", "second", "first"]
    assert names(index, JobFilter(since=to_iso(NOON + 601))) == ["third"]
    assert names(index, JobFilter(since=to_iso(NOON - 4000), until=to_iso(NOON - 1))) == ["set back"]
    assert names(index, JobFilter(until=to_iso(NOON))) == ["set back", "first"]
    page = index.page(JobFilter(since=to_iso(NOON)), limit=2)
    assert names(index, JobFilter(since=to_iso(NOON)), before=page.next_before) == ["first"]


def test_what_is_known_of_times_follows_deletions_and_files_laid_between(store: JobStore, data: Path) -> None:
    store.prepare()
    index = JobIndex(store)
    jobs = [add(store, f"job {number}", NOON + number) for number in range(5)]
    late = JobFilter(since=to_iso(NOON + 3))
    assert names(index, late) == ["job 4", "job 3"]
    for gone in (jobs[4], jobs[0]):
        store.delete(gone.id, "deleted")
        assert names(index, late) == ["job 3"]
    record = Path(store.paths.json(jobs[1].id))
    record.write_text(record.read_text().replace(jobs[1].created_at or "?", to_iso(NOON + 9)))
    again = JobIndex(store)
    assert names(again, late) == ["job 3", "job 1"]
    add(store, "newest", NOON + 20)
    assert names(again, late) == ["newest", "job 3", "job 1"]


def test_a_page_is_found_anew_once_something_changed(store: JobStore, actions: Actions) -> None:
    store.prepare()
    index = JobIndex(store)
    job = add(store, "a", status=IDLE, context="one")
    wanted = JobFilter(status="stop")
    assert names(index, wanted) == []
    assert names(index, JobFilter(text="A")) == ["a"]
    actions.stop(job.id)
    assert names(index, wanted) == ["a"]
    assert names(index, JobFilter(status="idle")) == []
    store.delete(job.id, "deleted")
    assert names(index, wanted) == names(index, JobFilter(text="A")) == []


def test_contexts_are_counted_the_most_used_first(store: JobStore) -> None:
    store.prepare()
    index = JobIndex(store)
    jobs = [add(store, "x", context=context) for context in ("a", "b", "b", "c", "b", "c")]
    assert index.contexts(50) == [("b", 3), ("c", 2), ("a", 1)]
    assert index.contexts(1) == [("b", 3)]
    store.delete(jobs[0].id, "deleted")
    assert index.contexts(50) == [("b", 3), ("c", 2)]
    assert names(index, JobFilter(context="a")) == []
    assert len(names(index, JobFilter(context="b"))) == 3


def test_a_search_ends_where_nothing_more_can_fit(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.prepare()
    index = JobIndex(store)
    for number in range(30):
        add(store, f"job {number}", NOON + number, status=ERROR if number == 28 else DONE)
    looked: list[str] = []
    fits = JobFilter.fits
    monkeypatch.setattr(JobFilter, "fits", lambda self, row: looked.append(row.title) or fits(self, row))
    for wanted, most in (
        (JobFilter(status="error"), 2),
        (JobFilter(status="active"), 0),
        (JobFilter(since=to_iso(NOON + 28), text="nowhere"), 2),
    ):
        looked.clear()
        names(index, wanted)
        assert len(looked) == most, looked


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the titles of the rows that were looked at."""
    titles: list[str] = []
    fits = JobFilter.fits
    monkeypatch.setattr(JobFilter, "fits", lambda self, row: titles.append(row.title) or fits(self, row))
    return titles


@pytest.mark.parametrize("span, step_s", [("7d", 60), ("24h", 60), ("15m", 10)])
def test_who_asks_for_the_last_days_again_gets_the_page_that_is_kept(
    local: LocalClient, store: JobStore, monkeypatch: pytest.MonkeyPatch, looked: list[str], span: str, step_s: int
) -> None:
    store.prepare()
    add(store, "one", NOON)
    now_s = NOON
    monkeypatch.setattr(time, "time", lambda: now_s)

    def looks() -> int:
        looked.clear()
        assert local.get(f"/jobs?since={span}&q=nothing").json["data"] == []
        return len(looked)

    assert looks() == 1
    now_s += step_s - 0.1
    assert looks() == 0
    now_s += 0.2
    assert looks() == 1


def test_of_many_pages_those_are_kept_that_are_asked_for(
    store: JobStore, monkeypatch: pytest.MonkeyPatch, looked: list[str]
) -> None:
    monkeypatch.setattr(index_module, "KEPT_PAGES", 3)
    store.prepare()
    index = JobIndex(store)
    add(store, "one")
    for number in range(10):
        names(index, JobFilter(text=f"other {number}"))
        names(index, JobFilter(text="one"))
    assert len(looked) == 11


# --- the form above the list


def test_the_address_holds_the_filter_and_the_form_shows_it(forms: Forms, store: JobStore) -> None:
    store.prepare()
    add(store, "long ago", NOON - 40 * 86400, context="renders")
    add(store, "new <b>", context="renders")
    other = add(store, "other")
    assert titles(forms.page("context=renders")) == ["new <b>", "long ago"]
    assert titles(forms.page("context=renders&since=24h")) == ["new <b>"]
    assert titles(forms.page("until=2026-11-01")) == ["long ago"]
    assert titles(forms.page("since=&since=2099-01-01")) == []
    page = forms.page(f"context=renders&since=24h&job={other.id}&tab=details")
    form = page.split("data-filter")[1].split("</form>")[0]
    assert '<option value="renders" selected>' in form
    assert '<option value="24h" selected>' in form
    assert f'<input type="hidden" name="job" value="{other.id}">' in form
    assert '<input type="hidden" name="tab" value="details">' in form
    assert re.search(r'<a href="/\?job=[^"&;]*&amp;tab=details">show all', form)
    odd = forms.page("since=2h&until=2026-11-20T10:00Z&context=nobody%27s").split("data-filter")[1]
    assert '<option value="2h" selected>since 2h</option>' in odd
    assert 'type="text" value="2026-11-20T10:00Z"' in odd
    assert '<option value="nobody&#39;s" selected>' in odd
    assert 'type="date" value="2026-11-20"' in forms.page("since=2026-11-20")


def test_the_form_offers_the_contexts_that_are_used_most(forms: Forms, store: JobStore) -> None:
    store.prepare()
    for number in range(51):
        add(store, "x", context=f"context {number:02}")
    add(store, "x", context="context 50")
    offered = re.findall(r'<option value="(context \d\d)"', forms.page())
    assert len(offered) == 50
    assert "context 50" in offered
    assert offered == sorted(offered)


def test_the_api_and_the_command_line_find_by_time(
    local: LocalClient, store: JobStore, app_here: Callable[..., SimpleNamespace]
) -> None:
    store.prepare()
    old = add(store, "old", NOON - 9 * 86400)
    new = add(store, "new")
    assert [job["id"] for job in local.get("/jobs?since=1h").json["data"]] == [new.id]
    day = to_iso(NOON - 8 * 86400)[:10]
    assert [job["id"] for job in local.get(f"/jobs?until={day}").json["data"]] == [old.id]
    assert app_here("list", "--since", "1h").out.split()[0] == new.id
    assert app_here("list", "--until", day).out.split()[0] == old.id
    assert app_here("list", "--since", "soon").code == 1


# --- titles


def test_the_title_says_how_many_run_and_failed(forms: Forms, store: JobStore, local: LocalClient) -> None:
    store.prepare()
    assert title(forms.page()) == "Running Jobs"
    job = add(store, "render </title>", status=ERROR, reason="exit code 3")
    assert title(forms.page()) == "(1 failed) Running Jobs"
    add(store, "runs", status=ACTIVE, executor="elsewhere")
    assert title(forms.page()) == "(1 running, 1 failed) Running Jobs"
    expected = "render </title> – error · (1 running, 1 failed) Running Jobs"
    assert title(forms.job(job)) == title(forms.page(f"job={job.id}&part=live")) == expected
    refused = forms.post("/launch", {"cmd": ""})
    assert re.fullmatch(r".+ – \(1 running, 1 failed\) Running Jobs", title(refused.text))


# --- what stays the same


def test_a_live_part_that_did_not_change_is_not_sent_again(forms: Forms, actions: Actions) -> None:
    first = forms.get("/?part=live")
    assert first.code == 200
    tag = {"If-None-Match": first.headers["ETag"]}
    again = forms.get("/?part=live", headers=tag)
    assert (again.code, again.body) == (304, b"")
    actions.submit({"command": CMD})
    assert forms.get("/?part=live", headers=tag).code == 200
    assert forms.get("/?part=live&status=done", headers=tag).code == 200
    assert "ETag" not in forms.get("/").headers


# --- selections


def select(forms: Forms, verb: str, ids: list[str], **more: str) -> TestResponse:
    """Post the form of the selected jobs."""
    token = re.search(r'name="token" value="(\w+)"', forms.page())
    assert token
    return forms.client.post("/selected", data={"token": token[1], "verb": verb, "id": ids, **more})


def said(forms: Forms, answer: TestResponse) -> str:
    """Follow a redirect, and return what the page says."""
    assert answer.status_code == 303, answer.text
    found = re.search(r'<p class="notice good" role="status">(.*?)</p>', forms.client.get(answer.location).text)
    return html.unescape(found[1]) if found else ""


def test_several_jobs_are_stopped_and_those_that_could_not_are_counted(forms: Forms, actions: Actions) -> None:
    held = [actions.submit({"command": CMD}).id for _ in range(3)]
    ended = actions.submit({"command": CMD}).id
    actions.stop(ended)
    answer = select(forms, "stop", [*held, held[0], ended, "20200101-gone"], back="q=tr&since=24h")
    assert said(forms, answer) == "3 jobs were asked to stop; 1 could not: it had ended already; 1 was gone already."
    assert {actions.store.get(job_id).status for job_id in held} == {"stop"}
    query = parse_qs(urlsplit(answer.location).query)
    assert (query["q"], query["since"]) == (["tr"], ["24h"])
    again = select(forms, "kill", held)
    assert said(forms, again) == "No job was killed; 3 could not: they had ended already."
    assert said(forms, select(forms, "stop", [])) == "No job was selected: nothing was done."
    gone = select(forms, "delete", ["20200101-gone"], sure="1")
    assert said(forms, gone) == "No job was deleted; 1 was gone already."


@pytest.mark.parametrize(
    ("in_the_way", "code"),
    [(LockTimeout("/x", 5), 503), (StorageFailed("It", OSError(errno.ENOSPC, "full")), 507)],
)
def test_what_was_done_before_something_came_in_the_way_is_said(
    forms: Forms, store: JobStore, monkeypatch: pytest.MonkeyPatch, in_the_way: Exception, code: int
) -> None:
    store.prepare()
    jobs = [add(store, name) for name in ("one", "two", "three", "four")]
    really_delete = Actions.delete

    def delete(actions: Actions, job_id: str, by: str | None = None) -> None:
        if job_id == jobs[3].id:
            raise in_the_way
        really_delete(actions, job_id, by)

    monkeypatch.setattr(Actions, "delete", delete)
    really_delete(forms.client.application.extensions["running_jobs"].actions, jobs[1].id)
    answer = select(forms, "delete", [job.id for job in jobs], sure="1")
    assert answer.status_code == code
    told = re.findall(r'<p class="notice .*?>(.*?)</p>', answer.text)
    assert told[0] == "2 jobs were deleted with their logs and results; 1 was gone already."
    assert "try again" in told[1].lower()
    first = select(forms, "delete", [jobs[3].id], sure="1")
    assert 'class="notice good"' not in first.text


def test_killing_several_reaches_those_that_run(forms: Forms, launch: Callable[..., Job], store: JobStore) -> None:
    jobs = [launch("sleep 60") for _ in range(2)]
    for job in jobs:
        wait_for_status(store, job.id, "active")
    assert said(forms, select(forms, "kill", [job.id for job in jobs])) == "2 jobs were killed."
    for job in jobs:
        assert wait_for_status(store, job.id, "stop").signal == 9


def test_deleting_several_asks_first_and_says_what_goes(forms: Forms, store: JobStore, data: Path) -> None:
    store.prepare()
    jobs = [add(store, name) for name in ("one <b>", "two")]
    runs = add(store, "runs", status=ACTIVE, executor="elsewhere")
    Path(store.paths.out(jobs[0].id)).write_bytes(b"x" * 1500)
    Path(store.paths.out(jobs[1].id)).write_bytes(b"x" * 500)
    results = Path(store.paths.results(jobs[0].id))
    (results / "below").mkdir(parents=True)
    for path in (results / "a", results / "below" / "b"):
        path.write_bytes(b"y" * 1_000_000)
    ids = [job.id for job in (*jobs, runs)]
    answer = select(forms, "delete", ids, back=f"job={jobs[0].id}")
    assert answer.status_code == 200
    question = answer.text.split('class="question')[1].split("</section>")[0]
    text = html.unescape(" ".join(re.sub(r"<[^>]+>", " ", question).split()))
    assert "Delete 2 jobs?" in text
    assert "out (2.0 kB), err (0 B), 2 files (2.0 MB) in all. This cannot be undone." in text
    assert "1 of those that you selected is active: it stays." in text
    assert "one <b>" in text
    assert "<b>" not in question
    assert re.findall(r'name="id" value="([^"]+)"', question) == ids[:2]
    assert all(store.get(job_id) for job_id in ids), "nothing was deleted yet"
    done = select(forms, "delete", ids, sure="1", back=f"job={jobs[0].id}")
    expected = "2 jobs were deleted with their logs and results; 1 could not: it is active; stop it first."
    assert said(forms, done) == expected
    assert "job=" not in done.location
    assert list(store.ids()) == [runs.id]
    assert [path.name for path in data.glob(f"{jobs[0].id}*")] == []
    assert "No job was deleted; 1 could not" in said(forms, select(forms, "delete", [runs.id]))


def test_a_selection_is_checked(forms: Forms, actions: Actions) -> None:
    job_id = actions.submit({"command": CMD}).id
    assert select(forms, "start", [job_id]).status_code == 400
    assert select(forms, "stop", [job_id, "../../etc/passwd"]).status_code == 400
    assert select(forms, "stop", [f"20200101-{number:06}" for number in range(1001)]).status_code == 400
    assert select(forms, "stop", [f"20200101-{number:06}" for number in range(1000)]).status_code == 303
    assert forms.client.post("/selected", data={"verb": "stop", "id": job_id}).status_code == 403
    assert forms.client.get("/selected").status_code == 405
    assert actions.store.get(job_id).status == "idle"


@pytest.mark.parametrize(
    "query",
    ["said=selected-stop", "said=selected-stop&counts=1-2-3", "said=selected-stop&counts=1-2-3-<b>",
     "said=selected-again&counts=1-0-0-0", "said=stop-selected&counts=1-0-0-0", "said=selected-&counts=1-0-0-0"],
)  # fmt: skip
def test_an_address_makes_the_page_say_nothing_of_its_own(forms: Forms, query: str) -> None:
    page = forms.page(forms.sealed(query))
    assert 'class="notice good"' not in page
    assert alerts_of(page) == ""


def test_whoever_may_only_look_selects_and_deletes_nothing(configure: Callable[..., Actions], data: Path) -> None:
    hashed = generate_password_hash("look")
    actions = configure(f'user = "ada"\npassword = "change"\n[users.eve]\nhash = "{hashed}"\nrole = "viewer"\n')
    job = actions.submit({"command": CMD})
    client = build_app(load_settings(str(data))).test_client()
    page = client.get(f"/?job={job.id}", auth=("eve", "look")).text
    for what in ('name="id"', "data-selection", "Delete…", "select the job"):
        assert what not in page
    assert "data-notify" in page
    assert 'form="selection"' in client.get("/", auth=("ada", "change")).text
    assert client.post("/selected", data={"verb": "stop", "id": job.id}, auth=("eve", "look")).status_code == 403


# --- deleting one


def test_deleting_a_job_says_what_goes_before(forms: Forms, store: JobStore) -> None:
    store.prepare()
    job = add(store, "one")
    Path(store.paths.err(job.id)).write_bytes(b"x" * 1234)
    Path(store.paths.results(job.id)).mkdir()
    Path(store.paths.results(job.id), "a.txt").write_bytes(b"x" * 20)
    fold = forms.job(job).split('<details id="delete"')[1].split("</details>")[0]
    assert "Deletes its record, out (0 B), err (1.2 kB), 1 file (20 B). This cannot be undone." in fold
    assert f'action="/jobs/{job.id}/delete"' in fold
    runs = add(store, "runs", status=ACTIVE, executor="elsewhere")
    assert 'id="delete"' not in forms.job(runs)


def test_what_goes_is_looked_at_in_bounds_and_through_no_link(store: JobStore, tmp_path: Path) -> None:
    store.prepare()
    job, linked = add(store, "one"), add(store, "two")
    outside = tmp_path / "outside"
    outside.mkdir()
    for number in range(5):
        (outside / str(number)).write_bytes(b"x" * 100)
    os.symlink(outside, store.paths.results(linked.id))
    results = Path(store.paths.results(job.id))
    results.mkdir()
    os.symlink(outside, results / "link")
    for number in range(5):
        (results / str(number)).write_bytes(b"x")
    assert what_goes(store.paths, [linked.id]).files == 0
    found = what_goes(store.paths, [job.id])
    assert (found.files, found.is_whole) == (6, True)
    assert found.file_bytes < 500
    cut = what_goes(store.paths, [job.id, linked.id], look_at=3)
    assert (cut.files, cut.is_whole) == (3, False)
    assert "at least 3 files (at least" in cut.text
    assert what_goes(store.paths, ["20200101-gone"]).text == ""


def test_folders_count_among_what_is_looked_at_before_a_deletion(store: JobStore) -> None:
    store.prepare()
    job = add(store, "one")
    for number in range(5):
        os.makedirs(f"{store.paths.results(job.id)}/{number}/inner")
    whole = what_goes(store.paths, [job.id], look_at=10)
    assert (whole.looked_at, whole.is_whole) == (10, True)
    cut = what_goes(store.paths, [job.id], look_at=9)
    assert (cut.looked_at, cut.is_whole) == (9, False)
    assert "9 folders and what else there is" in cut.text


# --- times on the page


def test_every_time_has_its_exact_utc(forms: Forms, store: JobStore) -> None:
    store.prepare()
    at = "2026-11-21T20:39:15.123Z"
    job = add(store, "x", started_at=at, ended_at=at, attempts=[{"attempt": 1, "started_at": at}])
    Path(store.paths.results(job.id)).mkdir()
    Path(store.paths.results(job.id), "a").write_text("x")
    for tab in ("details", "files"):
        page = forms.job(job, f"&tab={tab}")
        times = re.findall(r"<time [^>]*>[^<]*", page)
        assert len(times) >= 3
        assert page.count("<time") == len(times)
        for found in times:
            assert re.match(r'<time datetime="[\d-]+T[\d:.]+Z" title="[\d-]+ [\d:]+ UTC"( data-local)?>', found), found
    assert (
        forms.job(job, "&tab=details").count('title="2026-11-21 20:39:15 UTC" data-local>2026-11-21 20:39:15 UTC') == 3
    )
