"""Finding jobs in a real browser: by keys alone, by filters in the address, several at once, told of their ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from running_jobs.actions import Actions
from running_jobs.job import DONE, IDLE, Job
from running_jobs.store import JobStore

from .conftest import Server, wait_for, wait_for_end, wait_for_status
from .page import Gate, Page
from .test_accessibility import be_as_wide_as, findings, prefer

CMD = {"type": "exec", "cmd": "true"}
TICKED = "return [...document.querySelectorAll('#jobs input:checked')].map((box) => box.closest('tr').querySelector('a').text)"
# what a notification would show is noted; long waits are shortened
WRAPPED = """
    window.shown = [];
    window.Notification = class extends EventTarget {
        static permission = sessionStorage.getItem("permission") ?? "default";
        static async requestPermission() {
            window.asked = (window.asked ?? 0) + 1;
            return Notification.permission = "PERMISSION";
        }
        constructor(title, options) { super(); window.shown.push([title, options.body]); window.last = this; }
        close() {}
    };
    {
        const wait = window.setTimeout;
        window.setTimeout = (act, delay, ...more) => wait(act, delay > 15000 ? 300 : delay, ...more);
    }
"""


@pytest.fixture
def page(server: Server, tab: Any) -> Page:
    """Give the page in a browser that runs scripts."""
    return Page(tab, server.url).open()


@pytest.fixture
def before_scripts(tab: Any) -> Iterator[Callable[[str], None]]:
    """Give a function that has a script run in every page before its own."""
    added = []

    def add(source: str) -> None:
        command = "Page.addScriptToEvaluateOnNewDocument"
        added.append(tab.execute_cdp_cmd(command, {"source": source})["identifier"])

    yield add
    for identifier in added:
        tab.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", {"identifier": identifier})


def keys(page: Page, *typed: str) -> None:
    """Type where the focus is."""
    for key in typed:
        ActionChains(page.browser).send_keys(key).perform()


def focused(page: Page) -> str:
    return str(page.browser.switch_to.active_element.text)


def add_jobs(store: JobStore, *names: str, **more: Any) -> list[Job]:
    store.prepare()
    return [store.create(Job(id="", status=DONE, command=CMD, name=name, **more)) for name in names]


def moved(page: Page, act: Callable[[], None]) -> None:
    """Do what leads to another page, and wait until that is there."""
    page.run("window.wasHere = true")
    act()
    wait_for(lambda: page.run("return !window.wasHere && document.readyState === 'complete'"), "another page")


def travelled(page: Page, way: str) -> None:
    """Go back or forward, to a page that may be as it was left, and wait until that is there."""
    address = page.browser.current_url
    page.run(f"history.{way}()")  # the driver's own command went two pages back on a busy machine
    wait_for(
        lambda: page.browser.current_url != address and page.run("return document.readyState === 'complete'"),
        "another address",
    )


# --- the keyboard


def test_a_job_is_launched_found_opened_stopped_and_deleted_by_keys_alone(page: Page, store: JobStore) -> None:
    for name in ("first", "second"):
        wait_for(lambda: page.run("return document.activeElement === document.body"), "nothing to have the focus")
        page.run("document.querySelector('#cmd').focus()")
        keys(page, "sleep 60", Keys.TAB, Keys.TAB, name)
        moved(page, lambda: keys(page, Keys.ENTER))
        page.wait_status("active")
    moved(page, lambda: keys(page, "u"))
    assert "job=" not in page.browser.current_url
    keys(page, "/", "fir")
    assert page.run("return document.activeElement.id") == "q"
    moved(page, lambda: keys(page, Keys.ENTER))
    assert page.titles == ["first"]
    keys(page, "j")
    assert focused(page) == "first"
    moved(page, lambda: keys(page, Keys.ENTER))
    assert page.text("#job-title .title") == "first"
    assert page.run("return document.activeElement.id") == "job-head", "the next Tab reaches what can be done to it"
    keys(page, Keys.TAB, Keys.TAB)
    assert focused(page) == "Stop"
    moved(page, lambda: keys(page, Keys.ENTER))
    page.wait_status("stop")
    page.run("document.querySelector('.verbs summary').focus()")
    keys(page, Keys.ENTER, Keys.TAB)
    assert focused(page) == "Delete"
    moved(page, lambda: keys(page, Keys.ENTER))
    assert page.message == "The job was deleted with its logs and results."
    assert [store.get(job_id).name for job_id in store.ids()] == ["second"]


def test_keys_go_through_the_list_and_never_act_while_somebody_types(page: Page, store: JobStore) -> None:
    add_jobs(store, "a", "b", "c")
    page.open()
    keys(page, "j", "j")
    assert focused(page) == "b"
    keys(page, "j", "j")
    assert focused(page) == "a"
    keys(page, "k", "x")
    assert page.run(TICKED) == ["b"]
    keys(page, "/", "jx?/u", Keys.ESCAPE)
    assert page.run("return document.activeElement === document.body")
    page.run("document.querySelector('#cmd').focus()")
    keys(page, "jk?x")
    assert page.value("#cmd") == "jk?x"
    assert page.run(TICKED) == ["b"]
    assert not page.shows("dialog[open]")


def test_the_help_shows_the_keys_and_switches_them_off(page: Page, store: JobStore) -> None:
    add_jobs(store, "a")
    page.open()
    keys(page, "?")
    assert "next job" in page.text("dialog[open]")
    keys(page, "j")
    assert focused(page) != "a", "nothing happens below it"
    keys(page, Keys.ESCAPE)
    assert not page.shows("dialog[open]")
    page.click("[data-keys] button")
    page.click("[data-single-keys]")
    page.click("dialog button", "Close")
    page.open()
    keys(page, "j", "?")
    assert not page.shows("dialog[open]")
    assert focused(page) != "a"
    page.click("[data-keys] button")
    page.click("[data-single-keys]")
    keys(page, Keys.ESCAPE, "j")
    assert focused(page) == "a"


def test_the_place_in_the_list_is_kept_while_a_job_is_opened_and_closed(page: Page, store: JobStore) -> None:
    jobs = add_jobs(store, *(f"job {number}" for number in range(50)))
    page.open()
    row = f"document.querySelector('#jobs [data-key=\"{jobs[10].id}\"]')"
    top = f"return {row}.getBoundingClientRect().top"
    page.run(f"{row}.scrollIntoView({{block: 'center'}})")
    before = page.run(top)
    moved(page, lambda: page.click("#jobs tbody th a", "job 10"))
    assert abs(page.run(top) - before) < 2
    keys(page, "j")
    assert focused(page) == "job 9"
    moved(page, lambda: keys(page, "u"))
    assert 0 < page.run(top) < 900
    assert focused(page) == "job 10"


# --- filters


def test_choices_apply_at_once_and_back_and_forward_find_them_again(page: Page, store: JobStore) -> None:
    add_jobs(store, "frame 1", "frame 2", context="renders")
    add_jobs(store, "forest", context="training")
    page.open()
    page.choose("in-context", "renders")
    assert page.titles == ["frame 2", "frame 1"]
    assert page.browser.current_url.endswith("/?context=renders"), "what is empty is left out"
    assert page.run("return document.activeElement.id") == "in-context"
    page.choose("since", "24h")
    page.choose("status", "error")
    assert page.titles == []
    address = page.browser.current_url
    travelled(page, "back")
    assert page.titles == ["frame 2", "frame 1"]
    assert (page.value("#since"), page.value("#status")) == ("24h", "")
    travelled(page, "back")
    travelled(page, "back")
    assert page.titles == ["forest", "frame 2", "frame 1"]
    assert page.value("#in-context") == ""
    travelled(page, "forward")
    assert page.titles == ["frame 2", "frame 1"]
    page.browser.get(address)
    assert [page.value(f"#{name}") for name in ("in-context", "since", "status")] == ["renders", "24h", "error"]
    page.click(".filter summary")
    page.run("document.querySelector('#since-day').value = '2020-01-01'")
    page.follow(".days button", "Show these days")
    assert page.browser.current_url.endswith("&since=2020-01-01")
    page.open("/?since=2020-01-01")
    page.choose("since", "1h")
    assert page.browser.current_url.endswith("/?since=1h"), "a day and a span do not hold at once"


# --- several at once


def test_what_is_ticked_stays_ticked_while_rows_come_and_change(
    page: Page, store: JobStore, launch: Any, actions: Actions, tmp_path: Path
) -> None:
    gate = Gate(tmp_path)
    runs = launch(gate.wait, name="runs")
    held = actions.submit({"command": CMD, "name": "held"})
    wait_for_status(store, runs.id, "active")
    page.open()
    assert page.text("#selection") == ""
    for name in ("held", "runs"):
        page.click(f"[aria-label='Select {name}']")
    assert "2 selected" in page.text("#selection")
    page.run("window.sameDocument = true")
    gate.open()
    launch("true", name="newer")
    wait_for(lambda: page.titles == ["newer", "held", "runs"], "a new row")
    page.wait_text("#jobs tbody tr:last-child td:first-child", "done")
    assert page.run(TICKED) == ["held", "runs"]
    actions.delete(held.id)
    page.wait_text("#selection", "1 selected")
    assert page.run(TICKED) == ["runs"]
    assert page.run("return window.sameDocument") is True
    page.click("[data-all] input")
    assert page.run(TICKED) == ["newer", "runs"]
    assert "2 selected" in page.text("#selection")


def test_several_jobs_are_stopped_and_deleted_after_a_question(page: Page, store: JobStore, launch: Any) -> None:
    jobs = [launch("sleep 60", name=f"job {number}") for number in range(3)]
    for job in jobs:
        wait_for_status(store, job.id, "active")
    page.open()
    page.click("[aria-label='Select job 0']")
    page.click("[data-all] input")
    page.follow("#selection button", "Stop")
    assert page.message == "3 jobs were asked to stop."
    for job in jobs[:2]:
        wait_for_end(store, job.id)
        page.click(f"[aria-label='Select {job.name}']")
    page.follow("#selection button", "Delete…")
    assert "Delete 2 jobs?" in page.text(".question")
    page.follow(".question a", "Keep them")
    assert len(page.titles) == 3
    for job in jobs[:2]:
        page.click(f"[aria-label='Select {job.name}']")
    page.follow("#selection button", "Delete…")
    page.follow(".question button")
    assert page.message == "2 jobs were deleted with their logs and results."
    assert page.titles == ["job 2"]


def test_several_jobs_are_deleted_without_scripts(server: Server, plain_browser: Any, store: JobStore) -> None:
    add_jobs(store, "one", "two", "three")
    page = Page(plain_browser, server.url).open()
    for name in ("one", "two"):
        page.click(f"[aria-label='Select {name}']")
    page.follow("#selection button", "Delete…")
    page.follow(".question button", "Delete 2 jobs")
    assert page.message == "2 jobs were deleted with their logs and results."
    assert page.titles == ["three"]
    page.fill(".filter", q="nothing")
    page.follow(".filter button")
    assert "No job fits." in page.text("#jobs")


def test_on_a_phone_jobs_are_ticked_and_the_bar_is_in_sight(page: Page, store: JobStore) -> None:
    add_jobs(store, *(f"a job with a rather long name, number {number}" for number in range(20)), context="c" * 60)
    size = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    page.open("/?since=2020-01-01")
    page.click("#jobs .pick")
    bar = page.run("return document.querySelector('#selection').getBoundingClientRect().toJSON()")
    assert bar["bottom"] <= 740
    assert bar["right"] <= 360
    assert page.run("return document.documentElement.scrollWidth") <= 360
    small = page.run(
        "return [...document.querySelectorAll('.pick, .filter select, #selection button, .filter summary')]"
        ".filter((one) => one.checkVisibility()).map((one) => one.getBoundingClientRect().toJSON())"
        ".filter(({width, height}) => width < 24 || height < 24)"
    )
    assert small == []


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (360, "dark")])
def test_what_is_ticked_asked_and_explained_meets_wcag(page: Page, store: JobStore, width: int, scheme: str) -> None:
    [job] = add_jobs(store, "one")
    be_as_wide_as(page, width)
    prefer(page, scheme)
    try:
        page.open("/?since=2020-01-01").click("#jobs .pick")
        assert findings(page) == []
        page.follow("#selection button", "Delete…")
        assert findings(page) == []
        page.open(f"/?job={job.id}").click(".verbs summary", "Delete…")
        assert findings(page) == []
        keys(page, "?")
        assert findings(page) == []
    finally:
        page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_what_is_being_deleted_stays_unfolded_while_the_page_goes_on(page: Page, actions: Actions) -> None:
    job = actions.submit({"command": CMD, "name": "held"})
    page.open(f"/?job={job.id}")
    page.click(".verbs summary", "Delete…")
    assert "Deletes its record, out (0 B), err (0 B)." in page.text("#delete")
    actions.stop(job.id)
    page.wait_status("stop")
    assert page.shows("#delete[open]")
    page.press("Run again")


# --- notices, titles, times


def test_the_title_says_how_many_run_and_failed_and_what_became_of_the_job(page: Page, tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    page.launch(f"{gate.wait}; exit 3", name="render")
    wait_for(lambda: page.browser.title == "render – active · (1 running) Running Jobs", lambda: page.browser.title)
    gate.open()
    wait_for(lambda: page.browser.title == "render – error · (1 failed) Running Jobs", lambda: page.browser.title)


def test_a_job_that_ends_is_told_once_wherever_one_is(
    page: Page, before_scripts: Any, launch: Any, store: JobStore, tmp_path: Path
) -> None:
    gate = Gate(tmp_path)
    job = launch(f"{gate.wait}; exit 3", name="render")
    wait_for_status(store, job.id, "active")
    before_scripts(WRAPPED.replace("PERMISSION", "granted"))
    page.open(f"/?job={job.id}")
    assert page.run("return window.asked") is None, "nobody is asked before somebody asks"
    page.click("[data-notify]", "Notify me when it ends")
    page.wait_text("[data-notify]", "Do not notify me")
    assert page.run("return window.asked") == 1
    first = page.browser.current_window_handle
    page.browser.switch_to.new_window("tab")
    second = page.browser.current_window_handle
    page.browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WRAPPED})
    try:
        page.open("/?status=idle")
        gate.open()
        wait_for_end(store, job.id)

        def shown() -> list[Any]:
            found = []
            for handle in (first, second):
                page.browser.switch_to.window(handle)
                found += page.run("return window.shown")
            return found

        wait_for(shown, "a notification")
        assert shown() == [["render · error", "exit code 3"]]
        page.browser.switch_to.window(second)
        assert page.run("return Object.entries(localStorage).filter(([name]) => name.startsWith('notices'))") == [
            ["notices /", "{}"]
        ]
    finally:
        page.browser.switch_to.window(second)
        page.browser.close()
        page.browser.switch_to.window(first)


def test_a_tab_that_is_hidden_still_looks_for_jobs_that_are_followed(
    page: Page, before_scripts: Any, launch: Any, tmp_path: Path
) -> None:
    gate = Gate(tmp_path)
    job = launch(gate.wait, name="render")
    before_scripts(WRAPPED.replace("PERMISSION", "granted"))
    before_scripts("Object.defineProperty(document, 'hidden', { get: () => Boolean(window.isAway) })")
    page.open(f"/?job={job.id}")
    page.click("[data-notify]")
    page.wait_text("[data-notify]", "Do not notify me")
    page.run("window.isAway = true; document.dispatchEvent(new Event('visibilitychange'))")
    asked = "return performance.getEntriesByType('resource').filter((one) => one.name.includes(arguments[0])).length"
    looks = page.run(asked, f"/jobs/{job.id}")
    wait_for(lambda: page.run(asked, f"/jobs/{job.id}") > looks + 2, "looks at the job")
    live = page.run(asked, "part=live")
    gate.open()
    wait_for(lambda: page.run("return window.shown") == [["render · done", "exit code 0"]], "the notification")
    assert page.run(asked, "part=live") == live, "all else rests"
    page.open("/")
    page.run("window.isAway = false")
    assert page.run("return window.shown") == []


def test_a_notification_leads_to_its_job_and_a_refusal_is_said(
    page: Page, before_scripts: Any, actions: Actions, server: Server
) -> None:
    job = actions.submit({"command": CMD, "name": "held"})
    before_scripts(WRAPPED.replace("PERMISSION", "granted"))
    page.open(f"/?job={job.id}")
    page.click("[data-notify]")
    page.wait_text("[data-notify]", "Do not notify me")
    page.open("/")
    actions.stop(job.id)
    wait_for(lambda: page.run("return window.shown.length"), "the notification")
    moved(page, lambda: page.run("window.last.onclick()"))
    assert page.browser.current_url == f"{server.url}/?job={job.id}"
    assert not page.shows("[data-notify]"), "it has ended"
    before_scripts(WRAPPED.replace("PERMISSION", "denied"))
    other = actions.submit({"command": CMD})
    page.open(f"/?job={other.id}")
    page.click("[data-notify]")
    page.wait_text("[data-notify]", "Notifications are blocked by this browser")


def test_a_real_notification_is_permitted_by_the_browser(page: Page, launch: Any, tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    job = launch(gate.wait, name="render")
    page.browser.execute_cdp_cmd("Browser.grantPermissions", {"permissions": ["notifications"], "origin": page.url})
    try:
        page.open(f"/?job={job.id}")
        page.run(
            "window.shown = []; const real = Notification; window.Notification = class extends real {"
            "constructor(...args) { super(...args); window.shown.push(args[0]); } }"
        )
        page.click("[data-notify]", "Notify me when it ends")
        page.wait_text("[data-notify]", "Do not notify me")
        gate.open()
        wait_for(lambda: page.run("return window.shown") == ["render · done"], "the notification")
    finally:
        page.browser.execute_cdp_cmd("Browser.resetPermissions", {})


def test_times_are_those_of_the_readers_zone_and_stay_so(
    page: Page, before_scripts: Any, store: JobStore, actions: Actions
) -> None:
    at = "2025-07-01T22:30:05.000Z"
    store.prepare()
    attempts = [{"attempt": 1, "started_at": at}]
    job = store.create(Job(id="", status=IDLE, command=CMD, started_at=at, attempts=attempts))
    page.browser.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "Asia/Tokyo"})
    try:
        page.open(f"/?job={job.id}&tab=details")
        assert page.text(".attempts time") == "2 Jul 2025, 07:30"
        assert page.run("return document.querySelector('.attempts time').title") == "2025-07-01 22:30:05 UTC"
        page.run(
            "window.changes = 0; new MutationObserver((all) => { window.changes += all.length })"
            ".observe(document.querySelector('.attempts'), {childList: true, subtree: true, characterData: true})"
        )
        actions.stop(job.id)
        page.wait_text(".facts", "stopped")
        assert page.text(".attempts time") == "2 Jul 2025, 07:30"
        assert page.run("return window.changes") == 0
    finally:
        page.browser.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": ""})


def test_without_scripts_times_are_in_utc_and_say_so(server: Server, plain_browser: Any, store: JobStore) -> None:
    store.prepare()
    attempts = [{"attempt": 1, "started_at": "2025-07-01T22:30:05.000Z"}]
    job = store.create(Job(id="", status=DONE, command=CMD, attempts=attempts))
    page = Page(plain_browser, server.url).open(f"/?job={job.id}&tab=details")
    assert page.text(".attempts time") == "2025-07-01 22:30:05 UTC"
    assert not page.shows("[data-keys]:not([hidden])")


def test_what_did_not_change_is_not_sent_again(page: Page, launch: Any) -> None:
    codes = (
        "return performance.getEntriesByType('resource').filter((one) => one.name.includes('part=live'))"
        ".map((one) => one.responseStatus)"
    )
    wait_for(lambda: 304 in page.run(codes), lambda: f"an answer of 304: {page.run(codes)}")
    launch("true", name="news")
    page.wait_text("#jobs", "news")
    assert page.run(codes)[0] == 200
