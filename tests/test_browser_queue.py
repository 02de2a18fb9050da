"""The queue in a real browser: what waits for what and for how long, what is changed meanwhile, the logs of all jobs."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.by import By

from running_jobs.actions import Actions
from running_jobs.job import DONE, ERROR, IDLE, Job
from running_jobs.store import JobStore

from .conftest import Server, wait_for, wait_for_end
from .page import Gate, Page

MARKUP = "<script>document.title = 'taken'</script><img src=x onerror=\"document.title = 'taken'\">"
CMD = {"type": "exec", "cmd": "true"}
VERY_LATE = "2031-05-01T03:00"


@pytest.fixture
def page(server: Server, tab: Any) -> Page:
    """Give the page in a browser that runs scripts."""
    return Page(tab, server.url).open()


def local(text: str) -> float:
    return time.mktime(time.strptime(text, "%Y-%m-%dT%H:%M"))


def seconds_shown(text: str) -> int:
    found = re.search(r"in (\d+) s", text)
    return int(found[1]) if found else 0


def set_width(page: Page, width: int) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def refuse_to_scroll_sideways(page: Page, width: int) -> None:
    wide = page.run(
        "return [...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1"
        " && !e.closest('.skip, .visually-hidden')).map((e) => e.outerHTML.slice(0, 120))"
    )
    assert page.run("return document.documentElement.scrollWidth") <= width, wide


def test_a_command_is_launched_with_more_options(page: Page, store: JobStore) -> None:
    page.fill(
        cmd="echo later",
        context="night",
        priority="high",
        at=VERY_LATE,
        retries="2",
        retry_delay="1.5",
        nice="5",
        callback_done="http://127.0.0.1:9/ended",
        callback_failed='{"type": "exec", "cmd": "true"}',
    )
    page.submit()
    assert "priority: expected a whole number, found 'high'" in page.message
    assert page.shows(".launch details[open]")
    shown = [page.value(f"#{name}") for name in ("cmd", "context", "at", "retries", "callback_failed")]
    assert shown == ["echo later", "night", VERY_LATE, "2", '{"type": "exec", "cmd": "true"}']
    assert all("400" in complaint for complaint in page.complaints())
    page.fill(priority="-3")
    page.submit()
    assert page.message == "The job was launched."
    job = store.get(page.job_id)
    assert (job.context, job.priority, job.retries, job.retry_delay, job.nice) == ("night", -3, 2, 1.5, 5)
    assert (job.callback_done, job.callback_failed) == ({"type": "http", "url": "http://127.0.0.1:9/ended"}, CMD)
    assert job.not_before == time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(local(VERY_LATE)))
    page.wait_text(".summary", "starts in ")
    assert "context night · priority -3" in page.text(".summary")


def test_a_delayed_job_counts_down_by_itself_and_runs(page: Page) -> None:
    page.launch("echo at last", delay="6", name="later")
    page.run("window.sameDocument = true")
    page.wait_text(".summary", "starts in ")
    first = seconds_shown(page.text(".summary"))
    page.wait_text(".summary", lambda text: 0 < seconds_shown(text) < first)
    page.wait_text("#jobs tbody tr", "starts in ")
    page.wait_status("done")
    page.wait_text("#log", "at last")
    page.wait_text("#jobs tbody tr", lambda text: "starts in" not in text)
    assert page.run("return window.sameDocument") is True


def test_a_job_says_which_other_it_waits_for(page: Page, store: JobStore, tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    first = page.launch(gate.wait, name="first of all")
    page.open()
    second = page.launch("echo second", after=first[:-3], name="and then")
    assert store.get(second).after == [first]
    page.wait_text(".summary", "waits for first of all")
    page.wait_text("#jobs tbody tr", "waits for first of all")
    page.follow(".summary a", "first of all")
    assert page.job_id == first
    page.browser.back()
    gate.open()
    page.wait_status("done")
    page.wait_text("#log", "second")
    assert "waits for" not in page.text(".summary")


def test_a_job_that_was_tried_again_shows_its_attempts(page: Page, store: JobStore) -> None:
    job_id = page.launch("exit $((JOB_ATTEMPT < 2 ? 7 : 0))", retries="2", retry_delay="0")
    page.wait_status("done")
    page.wait_text(".summary", "attempt 2 of 3")
    page.tab("Details")
    rows = page.browser.find_elements(By.CSS_SELECTOR, ".attempts tbody tr")
    assert [re.sub(r"^(\d) .*:\d\d [\d.]+ s ", r"\1 ", row.text) for row in rows] == [
        "1 7 exit code 7",
        "2 0 exit code 0",
    ]
    page.open()
    assert page.text("#jobs tbody tr td:nth-child(5)") == "2/3"
    waits = page.launch("exit 1", retries="1", retry_delay="600")
    page.wait_text(".summary", "attempt 2 in ")
    page.wait_text("#jobs tbody tr", "attempt 2 in ")
    assert "attempt 1: exit code 1" in page.text(".reason")
    assert store.get(waits).attempt == 1
    assert store.get(job_id).attempt == 2


def test_what_is_typed_survives_while_the_page_changes(page: Page, actions: Actions, launch: Any) -> None:
    job_id = page.launch("true", delay="3000", name="to be changed", context="day")
    page.run("window.sameDocument = true")
    page.click("#change summary")
    page.fill("#change", priority="9")
    page.run("document.querySelector('#set-priority').setSelectionRange(1, 1)")
    actions.edit(job_id, {"context": "night"})
    launch("true", name="launched meanwhile")
    page.wait_text("#jobs", "launched meanwhile")
    page.wait_text("#jobs", "context night")
    page.wait_text(".summary", "context night")
    assert page.shows("#change[open]")
    assert page.value("#set-priority") == "9"
    assert page.run("return document.activeElement.id + document.activeElement.selectionStart") == "set-priority1"
    page.browser.switch_to.active_element.send_keys("00")
    page.fill("#change", at=VERY_LATE)
    assert page.run("return window.sameDocument") is True
    page.save()
    assert page.message == "The job was changed."
    job = actions.store.get(job_id)
    assert (job.priority, job.context, job.delay, job.timer) == (900, "night", 0, None)
    assert job.not_before == time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(local(VERY_LATE)))
    assert not page.shows("#change[open]")


def test_a_form_that_nobody_fills_in_follows_the_job(page: Page, actions: Actions) -> None:
    job_id = page.launch("true", hold=True, priority="7")
    page.click("#change summary")
    actions.edit(job_id, {"priority": 8, "name": "renamed"})
    wait_for(lambda: page.value("#set-priority") == "8", "the new priority in the form")
    assert page.shows("#change[open]")
    page.click("#change summary")
    actions.edit(job_id, {"priority": 9})
    wait_for(lambda: page.value("#set-priority") == "9", "the newer priority in the form")
    assert not page.shows("#change[open]"), "it stays folded"
    page.change(name="mine")
    assert (actions.store.get(job_id).name, actions.store.get(job_id).priority) == ("mine", 9)
    actions.stop(job_id)
    page.wait_status("stop")
    assert not page.shows("#change")


def test_a_refused_change_is_not_lost_when_the_page_goes_on(page: Page, launch: Any, store: JobStore) -> None:
    job_id = page.launch("true", hold=True, name="kept")
    page.change(priority="high", after="nonsense")
    assert "priority: expected a whole number" in page.message
    launch("true", name="launched meanwhile")
    page.wait_text("#jobs", "launched meanwhile")
    assert page.shows("#change[open]")
    assert [page.value(f"#set-{name}") for name in ("priority", "after", "name")] == ["high", "nonsense", "kept"]
    page.change(priority="1")
    assert "after: Job nonsense does not exist" in page.message
    page.change(after="last")
    assert page.message == "The job was changed."
    assert (store.get(job_id).priority, len(store.get(job_id).after)) == (1, 1)
    page.click("#change summary")
    page.save()
    assert page.message.startswith("Nothing was changed")
    assert all("400" in complaint for complaint in page.complaints())


def test_a_pause_a_full_disk_and_the_last_job_are_said(
    start_server: Callable[..., Server], tab: Any, data: Path, tmp_path: Path
) -> None:
    gate = Gate(tmp_path)
    page = Page(tab, start_server().url).open()
    page.launch(gate.wait)
    page.wait_status("active")
    page.follow("#strip button", "Pause")
    assert page.text(".held") == "paused: nothing new starts, running jobs go on"
    page.launch("true", name="held up")
    page.wait_text(".summary", "held: paused")
    gate.open()
    page.wait_text(".held", "drained: nothing runs any more")
    page.follow("#strip button", "Resume")
    page.wait_status("done")
    assert not page.shows(".held")
    with (data / "config.toml").open("a") as config:
        config.write("min_free_bytes = 4000000000000000000\n")
    page = Page(tab, start_server().url).open()
    assert "less than min_free_bytes (4000000.0 TB): nothing new starts" in page.text(".held.short")
    page.launch("true")
    page.wait_text(".summary", "held: disk below min_free_bytes")


def test_callbacks_are_pending_then_made(page: Page, tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    page.launch("exit 1", callback_done=f'{{"type": "exec", "cmd": "{gate.wait}"}}')
    page.wait_status("error")
    page.wait_text(".summary", "callback_done pending")
    page.run("window.sameDocument = true")
    gate.open()
    page.wait_text(".summary .callback", "callback_done made: exit code 0")
    assert page.run("return window.sameDocument") is True
    page.tab("Details")
    assert "callback_done" in page.text(".callbacks")


def test_the_logs_follow_while_they_are_unfolded(page: Page, actions: Actions, store: JobStore) -> None:
    fetched = "return performance.getEntriesByType('resource').filter((e) => e.name.includes('/logs/')).length"
    held = actions.submit({"command": CMD, "name": "<b>one</b>"})
    page.open()
    assert held.id in page.content("#changes .log")
    actions.submit({"command": CMD, "name": "two"})
    page.wait_text("#jobs", "two")
    assert page.run(fetched) == 0, "what is folded away is asked for"
    page.click("#changes summary")
    wait_for(lambda: store.ids()[-1] in page.content("#changes .log"), "the line of the second job")
    actions.stop(held.id)
    page.wait_text("#changes .log", f"{held.id} true - stop - stop asked")
    assert page.text("#changes [data-follow-state]") == "following"
    page.click("#failures summary")
    store.note_error("<img src=x> went wrong")
    page.wait_text("#failures .log", "<img src=x> went wrong")
    os.rename(store.paths.journal, f"{store.paths.journal}.20200101-000000-000000")  # as if it had grown too long
    third = actions.submit({"command": CMD})
    page.wait_text("#changes .log", f"{third.id} true - idle - submitted")
    page.click("#changes summary")
    page.click("#failures summary")
    page.follow(".top h1 a")
    for log, line in (("changes", third.id), ("failures", "went wrong")):
        page.click(f"#{log} summary")
        page.follow(f"#{log} a", "whole log")
        assert line in page.text("body")
        assert not page.shows("img")
        page.browser.back()
    assert all("/favicon.ico" in complaint for complaint in page.complaints())


def test_markup_does_nothing_anywhere_in_the_queue(page: Page, actions: Actions, store: JobStore) -> None:
    first = actions.submit({"command": {"type": "exec", "cmd": MARKUP}, "name": MARKUP, "context": MARKUP})
    waits = actions.submit({"command": CMD, "after": [first.id], "start": True, "name": MARKUP})
    ended = store.create(Job(
        id="", status=ERROR, command=CMD, context=MARKUP, reason=MARKUP, retries=1, attempt=2,
        attempts=[{"attempt": MARKUP, "reason": MARKUP}], callback_done=CMD,
        callbacks=[{"callback": "callback_done", "outcome": MARKUP, "tries": 2, "detail": MARKUP}],
    ))  # fmt: skip
    store.note_error(MARKUP)
    for job in (first, waits, ended):
        page.open(f"/?job={job.id}&tab=details")
        page.run("document.querySelectorAll('details').forEach((fold) => { fold.open = true })")
        wait_for(lambda: page.text("#failures [data-follow-state]"), "a look at the logs")
        page.run("document.querySelector('#strip').append('old')")
        actions.submit({"command": CMD})  # something to be told of
        wait_for(lambda: "old" not in page.text("#strip"), "a live update")
        assert (
            page.run("return document.querySelectorAll('main img, main script, .logs img, .logs script').length") == 0
        )
        assert page.browser.title.endswith("Running Jobs")
    assert MARKUP in page.text(".callback.failed")
    assert MARKUP.replace("\\", "\\\\") in page.content("#failures .log")
    page.open(f"/?context={MARKUP.replace('&', '%26').replace('#', '%23')}")
    assert page.value("#in-context") == MARKUP
    assert page.browser.title.endswith("Running Jobs")


def test_columns_of_the_queue_fold_where_there_is_no_room(page: Page, store: JobStore, actions: Actions) -> None:
    title = "a title of ordinary length"
    callback = {"type": "http", "url": f"http://127.0.0.1:9/{'x' * 200}"}
    outcome = {"callback": "callback_done", "outcome": "failed", "tries": 3, "detail": "y" * 300}
    job = store.create(Job(
        id="", status=DONE, command=CMD, name=title, context="c" * 100, priority=900, retries=2, attempt=2,
        attempts=[{"attempt": 1, "reason": "z" * 200}], callback_done=callback, callbacks=[outcome],
    ))  # fmt: skip
    other = actions.submit({"command": CMD, "name": "w" * 200})
    waits = actions.submit({"command": CMD, "after": [other.id], "start": True})
    for width in (360, 800, 1440):
        set_width(page, width)
        for path in ("/", f"/?job={job.id}&tab=details", f"/?job={waits.id}"):
            page.open(path)
            page.run("document.querySelectorAll('details').forEach((fold) => { fold.open = true })")
            refuse_to_scroll_sideways(page, width)
            row = f"#jobs tr[data-key='{job.id}']"
            shown = [page.text(f"{row} {css}") != "" for css in (".context", ".marks")]
            assert shown == ([True, False] if (width, path) == (1440, "/") else [False, True]), (width, path)
            waiting = [f"#jobs tr[data-key='{waits.id}'] {css} .waiting" for css in (".started", "th")]
            assert [page.text(css) != "" for css in waiting] == shown
            if width > 360:
                room = page.run("return document.querySelector(arguments[0]).clientWidth", f"{row} th")
                assert room > 200, (width, path)


def test_the_queue_is_used_without_scripts(
    server: Server, plain_browser: Any, store: JobStore, actions: Actions, tmp_path: Path
) -> None:
    page = Page(plain_browser, server.url).open()
    gate = Gate(tmp_path)
    first = page.launch(gate.wait, name="first", context="night", priority="3")
    page.open()
    page.fill(cmd="echo second", after="last", retries="1", delay="soon")
    page.submit()
    assert "delay: expected a number" in page.message
    assert page.shows(".launch details[open]")
    assert [page.value(f"#{name}") for name in ("after", "retries", "delay")] == ["last", "1", "soon"]
    page.fill(delay="0.5")
    page.submit()
    second = page.job_id
    assert store.get(second).after == [first]
    assert "waits for first" in page.text(".summary")
    page.change(priority="x", name="changed")
    assert "priority: expected a whole number" in page.message
    assert page.shows("#change[open]")
    assert page.value("#set-name") == "changed"
    page.change(priority="77")
    assert page.message == "The job was changed."
    assert (store.get(second).name, store.get(second).priority) == ("changed", 77)
    page.change(at=VERY_LATE, after="")
    assert (store.get(second).after, store.get(second).delay) == ([], 0)
    assert "starts in " in page.text(".summary")
    page.follow("#strip button", "Pause")
    assert page.text(".held") == "paused: nothing new starts, running jobs go on"
    gate.open()
    wait_for_end(store, first)
    page.browser.refresh()
    assert "drained" in page.text(".held")
    page.change(at="")
    assert "held: paused" in page.text(".summary")
    page.follow("#strip button", "Resume")
    wait_for_end(store, second)
    page.open()
    page.click("#changes summary")
    assert f"{second} echo second - done - exit code 0" in page.text("#changes .log")
    page.click("#failures summary")
    assert page.text("#failures .log") == ""
    page.follow("#changes a", "whole log")
    assert second in page.text("body")
    assert store.get(second).status is DONE
    assert actions.submit({"command": CMD}).status is IDLE


def test_a_long_word_in_a_banner_is_broken(page: Page, store: JobStore) -> None:
    store.pause(True)
    set_width(page, 360)
    page.open()
    fits = (
        "const banner = document.querySelector('.held'); banner.textContent = 'x'.repeat(300);"
        "return banner.scrollWidth <= banner.clientWidth && document.documentElement.scrollWidth <= innerWidth"
    )
    assert page.run(fits)
