"""The page's routes for the queue: what the forms take, what is shown of waiting jobs, and the logs of all jobs."""

from __future__ import annotations

import html
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from werkzeug.security import generate_password_hash

from running_jobs import wording
from running_jobs.actions import Actions
from running_jobs.index import JobIndex
from running_jobs.job import ACTIVE, DONE, ERROR, IDLE, QUEUED, STOP, Job
from running_jobs.records import public_record
from running_jobs.store import JobStore
from running_jobs.web import serving

from .conftest import Server, dispatcher_of, kill_and_wait, wait_for, wait_for_end
from .forms import Forms, alerts_of, unsealed

CMD = {"type": "exec", "cmd": "true"}


@pytest.fixture
def held(actions: Actions) -> Callable[..., Job]:
    """Give a function that stores a job; it is queued only if that is asked for."""
    return lambda **options: actions.submit({"command": CMD, **options})


def summary_of(page: str) -> str:
    text = re.sub(r"<[^>]+>", "", page.split('<p class="summary">')[1].split("</p>")[0])
    return html.unescape(" ".join(text.split()))


def row_of(page: str, job: Job) -> str:
    text = re.sub(r"<[^>]+>", " ", page.split(f'data-key="{job.id}"')[1].split("</tr>")[0])
    return html.unescape(" ".join(text.split()))


# --- launching


def test_the_launch_form_takes_every_option(forms: Forms, held: Callable[..., Job], store: JobStore) -> None:
    first, second = held(), held()
    answer = forms.post("/launch", {
        "cmd": "echo it", "name": "all of it", "context": "night", "priority": "-7", "retries": "2",
        "retry_delay": "1.5", "timeout": "60", "cwd": "/", "nice": "5", "env": "A=1\r\nB=2",
        "at": "2031-05-01T03:00:00+02:00", "after": f"{first.id}, last", "hold": "1",
        "callback_done": "http://127.0.0.1:9/done",
        "callback_failed": '{"type": "exec", "cmd": "true", "timeout": 5}',
    })  # fmt: skip
    assert answer.status_code == 303, alerts_of(answer.text)
    job = store.get(store.ids()[-1])
    assert (job.name, job.context, job.priority, job.retries, job.retry_delay) == ("all of it", "night", -7, 2, 1.5)
    assert (job.timeout, job.cwd, job.nice, job.env) == (60, "/", 5, {"A": "1", "B": "2"})
    assert (job.status, job.not_before) == (IDLE, "2031-05-01T01:00:00.000Z")
    assert job.after == [first.id, second.id]
    assert job.callback_done == {"type": "http", "url": "http://127.0.0.1:9/done"}
    assert job.callback_failed == {"type": "exec", "cmd": "true", "timeout": 5}


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("priority", "high", "priority: expected a whole number"),
        ("priority", "1000001", "priority: expected -1000000 to 1000000"),
        ("retries", "1.5", "retries: expected a whole number"),
        ("retries", "1001", "retries: expected 0 to 1000"),
        ("retry_delay", "soon", "retry_delay: expected a number"),
        ("delay", "-1", "delay: expected 0 or more seconds"),
        ("delay", "nan", "delay: expected a number"),
        ("at", "tomorrow", "at: expected a time like"),
        ("at", "2026-02-30T10:00", "at: '2026-02-30T10:00' is no time"),
        ("nice", "20", "nice: expected -20 to 19"),
        ("after", "20200101-000000-000000", "after: Job 20200101-000000-000000 does not exist"),
        ("after", "2", "fits 2 jobs"),
        ("callback_done", "ftp://example.org", "callback_done.url: expected http"),
        ("callback_failed", "{", "callback_failed: expected a URL or JSON"),
        ("context", "  x\0y", "context: must not hold a NUL character"),
    ],
)
def test_a_mistake_in_the_launch_form_is_named_and_nothing_is_lost(
    forms: Forms, held: Callable[..., Job], store: JobStore, field: str, typed: str, said: str
) -> None:
    held(), held()
    answer = forms.post("/launch", {"cmd": "echo kept", field: typed})
    assert answer.status_code == 400
    assert said in alerts_of(answer.text)
    assert len(store.ids()) == 2
    form = answer.text.split('class="launch')[1].split("</form>")[0]
    assert '<details class="options" open>' in form
    assert "echo kept</textarea>" in form
    assert html.escape(typed) in html.unescape(form) or typed in html.unescape(form)


def test_the_form_says_what_holds_where_nothing_is_filled_in(data: Path) -> None:
    (data / "config.toml").write_text("max_retries = 3\nretry_delay = 7.5\ntimeout = 90\n[contexts.night]\nslots = 1\n")
    page = Forms(data).page()
    form = page.split('class="launch')[1].split("</form>")[0]
    assert '<details class="options" >' in form
    for name, placeholder in (("retries", "3"), ("retry_delay", "7.5"), ("priority", "500"), ("timeout", "90")):
        assert re.search(rf'name="{name}"[^>]*placeholder="{placeholder}"', form), name
    assert re.search(r"local time, [^)]*UTC[+-]\d\d:\d\d\)", form)
    assert '<option value="night">' in form
    for field in re.findall(r'<(?:input|textarea)(?! type="hidden")[^>]*id="([^"]+)"', form):
        assert f'<label for="{field}"' in form, field


# --- what is shown


def test_what_is_left_is_said_in_whole_seconds() -> None:
    left = {0.01: "1 s", 1: "1 s", 1.2: "2 s", 59: "59 s", 59.1: "1 min", 600.4: "10 min 1 s", 90000: "1 d 1 h"}
    assert {seconds: wording.until(seconds) for seconds in left} == left


def test_a_job_says_what_it_waits_for(
    forms: Forms, actions: Actions, store: JobStore, held: Callable[..., Job]
) -> None:
    actions.pause(True)
    first, second = held(name="first <b>"), held(name="a title that is much too long to be shown in a row")
    both = held(start=True, after=[second.id, first.id], context="night", priority=900)
    delayed, timed, ready = held(start=True, delay=600), held(start=True, at="2031-01-01T00:00"), held(start=True)
    page = forms.page()
    assert "waits for a title that is much too long… (+1)" in row_of(page, both)
    assert "starts in 9 min 5" in row_of(page, delayed) or "starts in 10 min" in row_of(page, delayed)
    assert re.search(r"starts in \d+ d", row_of(page, timed))
    assert "held: paused" in row_of(page, ready)
    assert "context night · priority 900" in row_of(page, both)
    chosen = forms.job(both)
    assert f"not started · waits for {second.name}, first <b>" in summary_of(chosen)
    assert f'href="/?job={first.id}" title="{first.id}">first &lt;b&gt;</a>' in chosen
    assert "held: paused" in summary_of(forms.job(ready))
    store.transition(second.id, {IDLE}, DONE)
    assert "waits for first <b>" in row_of(forms.page(), both)
    store.transition(first.id, {IDLE}, DONE)
    assert "held: paused" in row_of(forms.page(), both)


def test_a_job_that_cannot_be_read_is_waited_for_by_its_id(
    forms: Forms, actions: Actions, store: JobStore, held: Callable[..., Job]
) -> None:
    actions.pause(True)
    other = held()
    waits = held(start=True, after=[other.id])
    Path(store.paths.json(other.id)).write_text("{")
    assert f"waits for {other.id}" in row_of(forms.page(), waits)


def test_of_full_slots_and_a_full_disk_the_page_says_so(configure: Callable[..., Actions], data: Path) -> None:
    actions = configure("slots = 2\n[contexts.night]\nslots = 1\n")
    store = actions.store
    running = store.create(Job(id="", status=ACTIVE, command=CMD, context="night"))
    night = store.create(Job(id="", status=QUEUED, command=CMD, context="night"))
    day = store.create(Job(id="", status=QUEUED, command=CMD))
    page = Forms(data).page()
    assert "waits for a slot of its context" in row_of(page, night)
    assert "waits" not in row_of(page, day)
    store.create(Job(id="", status=ACTIVE, command=CMD))
    page = Forms(data).page()
    assert row_of(page, day).endswith("waits for a slot")
    assert "min_free_bytes" not in page
    (data / "config.toml").write_text("slots = 4\nmin_free_bytes = 4000000000000000000\n")
    page = Forms(data).page()
    assert "held: disk below min_free_bytes" in row_of(page, day)
    notice = re.search(r'class="held short"[^>]*>([^<]*)<', page)
    assert notice
    assert re.fullmatch(
        r"Disk: [\d.]+ [kMGT]?B free, less than min_free_bytes \(4000000.0 TB\): nothing new starts", notice[1]
    )
    assert "drained" not in page
    actions.pause(True)
    assert "running jobs go on" in Forms(data).page()
    for job in (running.id, store.ids()[-1]):
        store.transition(job, {ACTIVE}, DONE)
    assert "<strong>drained</strong>: nothing runs any more" in Forms(data).page()


def test_attempts_and_callbacks_are_shown_as_text(forms: Forms, store: JobStore) -> None:
    bad = "<script>alert(1)</script>"
    attempts: list[dict[str, Any]] = [
        {"attempt": 1, "started_at": "2026-11-21T20:00:00.000Z", "ended_at": "2026-11-21T20:00:04.000Z",
         "exit_code": None, "signal": 9, "reason": f"killed by SIGKILL {bad}"},
        {"attempt": 2, "started_at": "2026-11-21T20:01:00.000Z", "ended_at": "2026-11-21T20:01:00.500Z",
         "exit_code": 3, "signal": None, "reason": "exit code 3"},
        {"attempt": bad, "started_at": 7, "ended_at": [], "exit_code": {}, "signal": "x", "reason": None},
    ]  # fmt: skip
    job = store.create(Job(
        id="", status=ERROR, command=CMD, context=bad, retries=2, attempt=3, attempts=attempts, reason="exit code 3",
        callback_done={"type": "http", "url": "http://127.0.0.1:9/"},
        callback_failed={"type": "exec", "cmd": bad, "headers": {}},
        callbacks=[{"callback": "callback_done", "type": "http", "outcome": "failed", "tries": 3, "detail": bad}],
    ))  # fmt: skip
    page = forms.job(job, "&tab=details")
    assert bad not in page
    assert "attempt 3 of 3" in summary_of(page)
    assert f"callback_done failed after 3 tries: {bad}" in summary_of(page)
    assert 'class="callback failed">callback_done failed' in page
    assert "callback_failed pending" in summary_of(page)
    table = html.unescape(" ".join(re.sub(r"<[^>]+>", " ", page.split("<caption>Attempts")[1]).split()))
    assert "1 2026-11-21 20:00:00 UTC 4.0 s SIGKILL killed by SIGKILL" in table
    assert "2 2026-11-21 20:01:00 UTC 0.5 s 3 exit code 3" in table
    assert f"context {bad}" in row_of(page, job)
    assert "3/3" in row_of(page, job)
    assert forms.page(f"context={bad}").count("data-key=") == forms.page().count("data-key=")


def test_credentials_in_headers_are_masked_and_kept(forms: Forms, store: JobStore, server: Server) -> None:
    headers = {
        "Authorization": "Bearer one", "PROXY-Authorization": "two", "cookie": "three", "X-Auth-Token": "four",
        "Client-Secret": "five", "X-API-Key": "six", "Password": "seven", "Accept": "text/plain",
        "X-Auth": "eight", "X-Session": "nine", "Passwd": "tenth", "X-Amz-Signature": "eleven", "X-Credential": "twelve",
    }  # fmt: skip
    request = {"type": "http", "url": "http://127.0.0.1:9/", "headers": headers}
    job = store.create(Job(id="", status=IDLE, command=request, callback_done=request, callback_failed=request))
    masked = {**dict.fromkeys(headers, "***"), "Accept": "text/plain"}
    record = public_record(job)
    for name in ("command", "callback_done", "callback_failed"):
        assert record[name]["headers"] == masked
    assert job.command["headers"] is headers
    assert headers["Cookie" if "Cookie" in headers else "cookie"] == "three"
    assert json.loads(Path(store.paths.json(job.id)).read_text())["callback_done"] == request
    for shown in (forms.job(job, "&tab=details"), server.get(f"/jobs/{job.id}").text, server.get("/jobs").text):
        assert "text/plain" in shown
        assert [text for name, text in headers.items() if name != "Accept" and text in shown] == []
    odd = store.create(Job(id="", status=IDLE, command={**request, "headers": ["Cookie: x"]}))
    assert public_record(odd)["command"]["headers"] == ["Cookie: x"]


# --- changing


def test_only_what_was_changed_is_changed(forms: Forms, store: JobStore, held: Callable[..., Job]) -> None:
    job = held(name="a name", priority=7, retries=2, retry_delay=2592000.5, timeout=9, at="2031-01-01T00:00:00.250Z")
    unchanged = forms.save(job, {})
    assert "said=same" in unchanged.headers["Location"]
    assert store.get(job.id) == job
    answer = forms.save(job, {"priority": "8"})
    assert answer.status_code == 303
    assert unsealed(answer.headers["Location"]) == f"/?job={job.id}&said=set"
    assert "The job was changed." in forms.page(answer.headers["Location"][2:])
    assert store.get(job.id) == Job(**{**vars(job), "priority": 8})
    assert "changed priority" in Path(store.paths.journal).read_text().splitlines()[-1]


def test_what_somebody_else_changed_meanwhile_stays(forms: Forms, actions: Actions, held: Callable[..., Job]) -> None:
    job = held(context="day", priority=5)
    shown = {"shown.context": "day", "context": "day", "shown.priority": "5", "priority": "6"}
    actions.edit(job.id, {"context": "night"})
    assert forms.post(f"/jobs/{job.id}/set", shown).status_code == 303
    changed = actions.store.get(job.id)
    assert (changed.context, changed.priority) == ("night", 6)


def test_an_emptied_field_means_what_it_means_for_a_new_job(
    configure: Callable[..., Actions], data: Path, tmp_path: Path
) -> None:
    actions = configure("max_retries = 3\nretry_delay = 7\ntimeout = 90\n")
    other = actions.submit({"command": CMD})
    job = actions.submit({
        "command": CMD, "name": "x", "context": "night", "priority": 7, "retries": 1, "retry_delay": 1, "timeout": 1,
        "after": [other.id], "at": "2031-01-01T00:00",
    })  # fmt: skip
    names = ("name", "context", "priority", "at", "after", "retries", "retry_delay", "timeout")
    assert Forms(data).save(job, dict.fromkeys(names, "")).status_code == 303
    changed = actions.store.get(job.id)
    assert (changed.name, changed.context, changed.priority, changed.after) == (None, "default", 500, [])
    assert (changed.retries, changed.retry_delay, changed.timeout, changed.not_before) == (3, 7, 90, None)
    delayed = actions.submit({"command": CMD, "delay": 60})
    assert Forms(data).save(delayed, {"delay": ""}).status_code == 303
    assert actions.store.get(delayed.id).delay == 0


def test_a_time_is_changed_to_a_delay_and_back(
    forms: Forms, actions: Actions, store: JobStore, held: Callable[..., Job]
) -> None:
    actions.pause(True)
    job = held(start=True, at="2031-01-01T12:00")
    assert forms.save(job, {"delay": "600"}).status_code == 303
    delayed = store.get(job.id)
    assert delayed.delay == 600
    assert delayed.timer
    assert forms.save(job, {"at": "2031-01-01T12:00:30"}).status_code == 303
    timed = store.get(job.id)
    assert (timed.delay, timed.timer) == (0, None)
    assert 'value="2031-01-01T12:00:30"' in forms.job(job)
    assert forms.save(job, {"at": ""}).status_code == 303
    assert store.get(job.id).not_before is None
    refused = forms.save(job, {"at": "2031-01-01T12:00", "delay": "5"})
    assert refused.status_code == 400
    assert "delay: cannot be given together with at" in alerts_of(refused.text)


def test_the_browser_may_write_a_full_minute_with_or_without_its_seconds(
    forms: Forms, store: JobStore, held: Callable[..., Job]
) -> None:
    job = held(at="2031-01-01T12:00")
    assert "said=same" in forms.save(job, {"at": "2031-01-01T12:00:00"}).headers["Location"]
    assert store.get(job.id) == job


def test_jobs_to_wait_for_may_be_named_in_short(forms: Forms, store: JobStore, held: Callable[..., Job]) -> None:
    first, job, last = held(), held(), held()
    assert forms.save(job, {"after": f" {first.id},last "}).status_code == 303
    assert store.get(job.id).after == [first.id, last.id]
    refused = forms.save(last, {"after": job.id})
    assert refused.status_code == 400
    assert "would wait for itself" in alerts_of(refused.text)
    assert store.get(last.id).after == []


def test_a_refused_change_is_shown_again_as_it_was_filled_in(
    forms: Forms, store: JobStore, held: Callable[..., Job]
) -> None:
    job = held(name="before")
    refused = forms.save(job, {"name": "a <new> name", "priority": "high"})
    assert refused.status_code == 400
    assert "priority: expected a whole number, found 'high'" in alerts_of(refused.text)
    form = refused.text.split('id="change"')[1].split("</details>")[0]
    assert " open>" in form.split("<summary>")[0]
    assert 'name="name" type="text" value="a &lt;new&gt; name"' in form
    assert 'name="priority" type="text" value="high"' in form
    assert 'name="shown.name" value="before"' in form
    assert "data-edited" in form
    assert store.get(job.id) == job


def test_a_job_that_runs_or_has_ended_has_no_such_form(
    forms: Forms, store: JobStore, actions: Actions, held: Callable[..., Job]
) -> None:
    job = held()
    actions.stop(job.id)
    assert "change-form" not in forms.job(job)
    refused = forms.post(f"/jobs/{job.id}/set", {"priority": "1"})
    assert refused.status_code == 409
    assert "only idle and queued jobs can be changed" in alerts_of(refused.text)
    active = store.create(Job(id="", status=ACTIVE, command=CMD))
    assert "change-form" not in forms.job(active)
    assert forms.post("/jobs/20200101-000000-000000/set", {"priority": "1"}).status_code == 404
    assert forms.post("/jobs/%2e%2e%2fsecret/set", {"priority": "1"}).status_code == 404


def test_a_name_with_line_ends_is_not_changed_by_a_browser_that_drops_them(
    forms: Forms, store: JobStore, held: Callable[..., Job]
) -> None:
    job = held(name="first\r\nsecond\nthird")
    assert forms.save(job, {"priority": "1"}).status_code == 303
    assert store.get(job.id).name == job.name


def test_changing_needs_the_token_and_an_operator(data: Path, held: Callable[..., Job], store: JobStore) -> None:
    hashed = generate_password_hash("v")
    (data / "config.toml").write_text(
        f'user = "olga"\npassword = "o"\n[users.vera]\nhash = "{hashed}"\nrole = "viewer"\n'
    )
    job = held()
    forms = Forms(data)
    path = f"/jobs/{job.id}/set"
    olga, vera = ("olga", "o"), ("vera", "v")
    assert forms.client.post(path, data={"priority": "1"}).status_code == 401
    assert forms.client.post(path, data={"priority": "1"}, auth=olga).status_code == 403
    assert forms.client.post(path, data={"priority": "1", "token": "0" * 64}, auth=olga).status_code == 403
    assert forms.client.post(path, json={"priority": 1}, auth=olga).status_code == 400
    of_vera = forms.client.get(f"/?job={job.id}", auth=vera).text
    assert "change-form" not in of_vera
    assert 'id="changes"' in of_vera
    assert forms.post(path, {"priority": "1"}, auth=vera).status_code == 403
    assert forms.client.post(
        path, data={"priority": "1"}, auth=olga, headers={"Sec-Fetch-Site": "cross-site"}
    ).status_code == 403  # fmt: skip
    assert forms.client.get(path, auth=olga).status_code == 405
    assert store.get(job.id) == job
    assert forms.post(path, {"priority": "1"}, auth=olga).status_code == 303
    assert store.get(job.id).priority == 1
    for name in ("background_jobs.log", "background_jobs_errors.log"):
        assert forms.get(f"/logs/{name}").code == 401
        assert forms.get(f"/logs/{name}", auth=vera).code == 200


# --- the logs of all jobs


def test_the_page_holds_the_last_lines_of_both_logs(forms: Forms, store: JobStore, held: Callable[..., Job]) -> None:
    assert "The last lines" not in forms.page()
    for number in range(3):
        held(name="x" * number)
    for number in range(150):
        store.note_error(f"<b>line {number}</b> of \x1b[31m errors")
    page = forms.page()
    changes, failures = page.split('id="changes"')[1].split('id="failures"')
    assert changes.count(" - idle - submitted") == 3
    assert "The last lines" not in changes
    assert 'data-follow="/logs/changes/view"' in changes
    assert 'href="/logs/background_jobs.log"' in changes
    assert failures.count("&lt;b&gt;line") == 100
    assert "&lt;b&gt;line 50&lt;/b&gt; of \\x1b" in failures
    assert "line 49<" not in html.unescape(failures)
    assert "The last lines" in failures
    live = forms.page("part=live")
    assert "background_jobs" not in live
    assert "line 149" not in live


@pytest.mark.parametrize("name", ["background_jobs.log", "background_jobs_errors.log"])
def test_the_logs_are_sent_whole_in_parts_and_from_an_offset(data: Path, forms: Forms, name: str) -> None:
    empty = forms.get(f"/logs/{name}")
    assert (empty.code, empty.body, empty.headers["X-Next-Offset"]) == (200, b"", "0")
    assert forms.get(f"/logs/{name}?offset=5").headers["X-Next-Offset"] == "0"
    assert not (data / "logs" / name).exists()
    (data / "logs" / name).write_bytes(b"first\nsecond <b>\n")
    whole = forms.get(f"/logs/{name}")
    assert (whole.code, whole.body) == (200, b"first\nsecond <b>\n")
    assert whole.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert whole.headers["X-Content-Type-Options"] == "nosniff"
    part = forms.get(f"/logs/{name}", headers={"Range": "bytes=6-11"})
    assert (part.code, part.body) == (206, b"second")
    later = forms.get(f"/logs/{name}?offset=6")
    assert (later.body, later.headers["X-Next-Offset"]) == (b"second <b>\n", "17")
    assert forms.get(f"/logs/{name}?tail=4").body == b"<b>\n"
    assert forms.get(f"/logs/{name}?offset=x").code == 400
    assert "attachment" in forms.get(f"/logs/{name}?download=1").headers["Content-Disposition"]
    assert forms.client.post(f"/logs/{name}").status_code == 405


def test_a_link_in_place_of_a_log_is_not_followed(data: Path, forms: Forms, tmp_path: Path) -> None:
    (tmp_path / "private").write_text("geheim")
    (data / "logs" / "background_jobs_errors.log").symlink_to(tmp_path / "private")
    assert forms.get("/logs/background_jobs_errors.log").body == b""
    assert "geheim" not in forms.page()
    assert forms.get("/logs/../config.toml").code == 404
    assert forms.get("/logs/background_jobs.log.1").code == 404


# --- who keeps a dispatcher


def test_callbacks_to_be_made_are_work(store: JobStore) -> None:
    index = JobIndex(store)
    assert not index.has_work()
    job = store.create(Job(id="", status=IDLE, command=CMD, callback_done=CMD))
    assert not index.has_work()
    store.transition(job.id, {IDLE}, STOP)
    assert index.has_work()
    assert index.unsettled_ids() == [job.id]
    store.update(job.id, lambda job: {"callbacks": [{"callback": "callback_done", "outcome": "made"}]})
    assert not index.has_work()
    assert index.unsettled_ids() == []
    elsewhere = store.create(Job(id="", status=ACTIVE, command=CMD, executor="elsewhere"))
    assert not index.has_work()
    assert (index.running(), index.unsettled_ids()) == (0, [elsewhere.id])
    here = store.create(Job(id="", status=ACTIVE, command=CMD, context="night"))
    assert index.has_work()
    assert index.running_by_context() == {"night": 1}
    store.transition(here.id, {ACTIVE}, QUEUED)
    assert index.has_work()
    store.transition(here.id, {QUEUED}, STOP)
    assert (index.has_work(), index.running_by_context()) == (False, {})


def test_a_server_has_callbacks_made_that_were_left_behind(server: Server, data: Path, actions: Actions) -> None:
    job = actions.submit({"command": CMD, "callback_done": {"type": "exec", "cmd": "true"}})
    wait_for(lambda: dispatcher_of(data), "the dispatcher that a server starts with")
    kill_and_wait(dispatcher_of(data))
    actions.store.transition(job.id, {IDLE}, STOP)  # nobody pokes anybody
    wait_for(lambda: actions.store.get(job.id).is_settled, "its callback")
    assert wait_for_end(actions.store, job.id).callbacks[0]["outcome"] == "made"


@pytest.mark.parametrize(("settings", "asked"), [("keep_days = 1\n", True), ("keep_jobs = 1\n", True), ("", False)])
def test_where_jobs_expire_a_dispatcher_comes_now_and_then(
    configure: Callable[..., Actions], monkeypatch: pytest.MonkeyPatch, settings: str, asked: bool
) -> None:
    class Looked(BaseException):
        pass

    rounds = iter([0, 0])

    def sleep(seconds: float) -> None:
        if next(rounds, None) is None:
            raise Looked

    calls: list[int] = []
    monkeypatch.setattr(serving, "PRUNE_EVERY_S", 0)
    monkeypatch.setattr(serving, "time", SimpleNamespace(sleep=sleep, monotonic=time.monotonic))
    actions = configure(settings or "slots = 1\n")
    parts = SimpleNamespace(
        settings=actions.settings,
        store=actions.store,
        index=JobIndex(actions.store),
        actions=SimpleNamespace(ensure_dispatcher=lambda: calls.append(1)),
    )
    with pytest.raises(Looked):
        serving._keep_dispatcher(parts)  # type: ignore[arg-type]
    assert len(calls) == (2 if asked else 0)
