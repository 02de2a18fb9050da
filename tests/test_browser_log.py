"""The log's panel in a real browser: following, paging, searching, and staying responsive whatever a job writes."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from running_jobs.store import JobStore

from .browser_trace import Trace
from .conftest import Server, wait_for, wait_for_end
from .page import Gate, Page
from .test_log_view import HOSTILE, shown_on, texts

TQDM = "import sys, time; from tqdm import tqdm\nfor _ in tqdm(range(150), file=sys.stdout): time.sleep(0.03)"
LONGEST_TASK_MS = 200
MOST_LINES = 4000 + 25
IN_SIGHT = """
const log = document.querySelector('#log').getBoundingClientRect();
return [...document.querySelectorAll('#log .l')].filter((line) => {
  const { top, bottom } = line.getBoundingClientRect();
  return top >= log.top && bottom <= log.bottom;
}).map((line) => line.textContent);
"""


def python(program: str, *args: str) -> str:
    return shlex.join([sys.executable, "-c", program, *args])


@pytest.fixture
def page(server: Server, tab: Any) -> Page:
    """Give the page in a browser that runs scripts."""
    page = Page(tab, server.url).open()
    page.run("localStorage.clear()")
    return page


@pytest.fixture
def long_log(page: Page, launch: Callable[..., Any], store: JobStore) -> str:
    """Give the id of a job that wrote 300,000 lines."""
    return wait_for_end(store, launch("seq -f 'line %.0f' 1 300000").id).id


def in_sight(page: Page) -> list[str]:
    return list(page.run(IN_SIGHT))


def count(page: Page) -> int:
    return int(page.run("return document.querySelectorAll('#log .l').length"))


def state(page: Page) -> str:
    return page.text("[data-follow-state]")


def go(page: Page, name: str) -> None:
    """Click one of the links to parts, and wait until another part is there."""
    shown = "const log = document.querySelector('#log'); return [log.querySelector('.l')?.textContent, log.textContent.length]"
    before = page.run(shown)
    page.click(f"a[data-go={name}]")
    wait_for(lambda: page.run(shown) != before, f"what is {name}")


def test_a_tqdm_run_is_one_line_that_changes(page: Page, tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    page.launch(f"{python(TQDM)}; {gate.wait}")
    seen = set()
    wait_for(lambda: page.log, "its first output")
    while not any("150/150" in line for line in page.log):
        lines = page.log
        assert len(lines) == 1
        seen |= set(lines)
    assert len(seen) >= 3, "it was seen to change"
    assert count(page) == 1
    gate.open()
    page.wait_status("done")


def test_a_running_jobs_log_is_looked_at_more_often_than_once_a_second(page: Page, tmp_path: Path) -> None:
    """Reads for how long it is to wait, not how long a busy machine takes: that makes no difference to what is asked."""
    gate = Gate(tmp_path)
    page.launch(f"echo ready; {gate.wait}; echo now; {gate.wait}")
    page.wait_text("#log", "ready")
    page.wait_status("active")
    page.run(
        "window.looks = []; window.waits = []; const ask = window.fetch, wait = window.setTimeout;"
        "window.fetch = (...args) => { if (`${args[0]}`.includes('/view/')) looks.push(waits.at(-1)); return ask(...args) };"
        "window.setTimeout = (what, ms, ...more) => wait(() => { waits.push(ms); what() }, ms, ...more)"
    )
    wait_for(lambda: page.run("return looks.length") >= 8, "eight looks")
    waits = page.run("return looks.slice(2)")  # the first ones were asked for before
    assert max(waits) < 1000, "while nothing comes, too"
    gate.open()
    page.wait_text("#log", "now")
    gate.open()


def test_a_job_that_starts_while_one_watches_is_looked_at_at_once(page: Page, tmp_path: Path, actions: Any) -> None:
    gate = Gate(tmp_path)
    job_id = page.launch(f"echo ready; {gate.wait}", hold=True)
    page.run(  # idle looks are never due
        "const later = window.setTimeout; window.setTimeout = (work, delay, ...more) => {"
        "  if (delay !== 3000) return later(work, delay, ...more); window.idle = true; return 0 }"
    )
    wait_for(lambda: page.run("return window.idle"), "a look that found nothing")
    actions.start(job_id)
    page.wait_text("#log", "ready")
    gate.open()


def test_scrolling_up_stops_following_and_the_button_resumes(page: Page, tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    page.launch(f"seq 1 500; {gate.wait}; seq 501 600; {gate.wait}; echo the end; {gate.wait}")
    page.wait_text("#log", "500")
    assert not page.shows("[data-follow-button]:not([hidden])")
    page.run("document.querySelector('#log').scrollTop = 1000")
    page.wait_text("[data-follow-state]", "not following")
    there = in_sight(page)
    gate.open()
    wait_for(lambda: "600" in page.log, "what came since")
    assert in_sight(page)[:10] == there[:10]
    page.click("[data-follow-button]")
    page.wait_text("[data-follow-state]", lambda text: text == "following")
    assert in_sight(page)[-1] == "600"
    assert not page.shows("[data-follow-button]:not([hidden])")
    gate.open()
    wait_for(lambda: in_sight(page)[-1] == "the end", "the end in sight")
    gate.open()


def test_a_reader_who_scrolls_back_to_the_end_follows_again(page: Page, tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    page.launch(f"seq 1 500; {gate.wait}; echo the end; {gate.wait}")
    page.wait_text("#log", "500")
    page.run("document.querySelector('#log').scrollTop = 0")
    page.wait_text("[data-follow-state]", "not following")
    page.run("const log = document.querySelector('#log'); log.scrollTop = log.scrollHeight")
    page.wait_text("[data-follow-state]", lambda text: text == "following")
    gate.open()
    wait_for(lambda: in_sight(page)[-1] == "the end", "the end in sight")
    gate.open()


def test_a_long_log_is_paged_through_and_little_of_it_is_held(page: Page, long_log: str) -> None:
    page.open(f"/?job={long_log}")
    assert page.log[-1] == "line 300000"
    first = page.log[0]
    page.run("document.querySelector('#log').scrollTop = 0")
    there = in_sight(page)
    for _ in range(3):
        go(page, "earlier")
        assert page.log[page.log.index(first) - 1] == f"line {int(first.split()[1]) - 1}"
        assert first in page.log
        assert there == in_sight(page)[: len(there)] or first in page.log
        assert count(page) <= MOST_LINES
        page.run("document.querySelector('#log').scrollTop = 0")
        first, there = page.log[0], in_sight(page)
    assert state(page) == "an earlier part"
    go(page, "start")
    assert in_sight(page)[0] == "line 1"
    for _ in range(4):
        go(page, "later")
        assert count(page) <= MOST_LINES
    numbers = [int(line.split()[1]) for line in page.log]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert numbers[-1] >= 8000
    shown = page.run("return [...document.querySelectorAll('#log .l')].map((line) => Number(line.dataset.n))")
    assert shown == numbers
    go(page, "end")
    wait_for(lambda: in_sight(page)[-1] == "line 300000", "the end in sight")


def test_what_is_in_sight_stays_when_earlier_lines_come(page: Page, long_log: str) -> None:
    page.open(f"/?job={long_log}")
    page.run("document.querySelector('#log').scrollTop = 300")
    page.wait_text("[data-skipped]", "came before")
    there = in_sight(page)
    go(page, "earlier")
    assert in_sight(page)[:10] == there[:10]


def test_a_search_finds_marks_and_goes_on(page: Page, long_log: str) -> None:
    page.open(f"/?job={long_log}")
    page.browser.find_element("css selector", ".log-find input[type=search]").send_keys("LINE 1234\n")
    page.wait_text("[data-found]", "Found in line 123,499.")
    assert page.text(".l.found") == "line 123499"
    assert "line 123499" in in_sight(page)
    assert page.run("return CSS.highlights.get('found').size") > 50
    page.click("a[data-find=up]")
    page.wait_text("[data-found]", "Found in line 123,498.")
    page.click("a[data-find=down]")
    page.wait_text("[data-found]", "Found in line 123,499.")
    page.click("a[data-find=down]")
    page.wait_text("[data-found]", "No later match.")
    assert page.text(".l.found") == "line 123499"
    field = page.browser.find_element("css selector", ".log-find input[type=search]")
    field.clear()
    field.send_keys("nowhere in it\n")
    page.wait_text("[data-found]", "Nothing found.")
    marks = "a[data-find]:not([hidden]), .l.found"
    highlights = "return CSS.highlights.has('found')"
    assert not page.shows(marks)
    assert not page.run(highlights)
    field.clear()
    field.send_keys("line 7\n")
    page.wait_text("[data-found]", "Found in")
    assert page.shows(marks)
    field.clear()
    field.send_keys("\n")
    page.wait_text("[data-found]", lambda text: text == "")
    assert not page.shows(marks)
    assert not page.run(highlights)


@pytest.mark.parametrize("name", ["log", "both"])
def test_nothing_moves_when_scripts_begin(page: Page, long_log: str, name: str) -> None:
    page.browser.set_window_size(1440, 900)
    page.open(f"/?job={long_log}&tab={name}")
    wait_for(lambda: page.run("return !document.querySelector('[data-copy]').hidden"), "that it can be copied")
    top = "return document.querySelector('#log').getBoundingClientRect().top"
    with_scripts = page.run(top)
    page.run(
        "for (const button of document.querySelectorAll('.log-bar button[type=button]')) button.hidden = true;"
        "document.querySelector('[data-follow-state]').textContent = ''"
    )
    assert page.run(top) == with_scripts
    page.run("for (const button of document.querySelectorAll('.log-bar button[type=button]')) button.hidden = false")
    assert page.run(top) == with_scripts
    firsts = (".log-bar > div:first-child > :is(nav, .log-where)", ".log-switches label")
    lefts = [page.run(f"return document.querySelector('{first}').getBoundingClientRect().left") for first in firsts]
    assert lefts[0] == lefts[1]


def test_switches_change_what_is_seen_and_are_remembered(page: Page, launch: Any, store: JobStore) -> None:
    job = wait_for_end(store, launch(f"echo {'x' * 3000}; echo two").id)
    Path(store.paths.stats(job.id)).write_text(
        '{"at": "2026-11-22T07:20:01.123Z", "out_bytes": 3005, "err_bytes": 0}\n'
    )
    page.open(f"/?job={job.id}")
    gutter = "return getComputedStyle([...document.querySelectorAll('#log .l')].pop(), '::before').content"
    wide = "const log = document.querySelector('#log'); return log.scrollWidth > log.clientWidth"
    assert "2" in page.run(gutter)
    assert not page.run(wide)
    for name in ("numbers", "wrap"):
        page.click(f"[name={name}]")
    assert page.run(gutter) in ("none", "normal")
    assert page.run(wide)
    page.click("[name=times]")
    assert page.run('return /^"\\d{4}-\\d\\d-\\d\\d \\d\\d:20:01 +"$/.test(' + gutter.removeprefix("return ") + ")")
    page.browser.refresh()
    assert page.run(wide)
    checked = "return [...document.querySelectorAll('.log-switches input')].map((box) => box.checked)"
    assert page.run(checked) == [False, False, True]
    page.run("localStorage.clear()")


def test_the_lines_that_are_here_are_copied(page: Page, launch: Any, store: JobStore) -> None:
    job = wait_for_end(store, launch("printf '\\033[31mred\\033[0m\\n\\nthree\\n'").id)
    page.open(f"/?job={job.id}")
    page.run(
        "window.copied = ''; Object.defineProperty(navigator.clipboard, 'writeText',"
        " { value: async (text) => { window.copied = text } })"
    )
    page.click("[data-copy]")
    page.wait_text("[data-copy]", "Copied")
    assert page.run("return window.copied") == "red\n\nthree\n"


def test_output_and_errors_are_followed_beside_each_other_and_as_one(
    page: Page, tmp_path: Path, store: JobStore
) -> None:
    gate = Gate(tmp_path)
    job_id = page.launch(f"echo good; echo bad >&2; {gate.wait}; echo better; echo worse >&2; {gate.wait}")
    page.wait_text("#log", "good")
    page.open(f"/?job={job_id}&tab=both&panes=1")
    page.wait_text("#log-err", "bad")
    gate.open()
    page.wait_text("#log", "better")
    page.wait_text("#log-err", "worse")
    page.follow(".log-both a", "merged by time")
    wait_for(lambda: sorted(page.log) == ["bad", "better", "good", "worse"], lambda: f"all: {page.log}")
    mark = "return getComputedStyle(document.querySelector('#log .l[data-s=err]'), '::before').content"
    assert "err" in page.run(mark)
    gate.open()
    page.wait_status("done")
    page.wait_text("[data-follow-state]", lambda text: text == "")


def test_hostile_output_does_nothing(page: Page, launch: Any, store: JobStore) -> None:
    job = launch("until [ -s in ]; do sleep 0.05; done; cat in; head -c 100000 /dev/urandom >&2", cwd=store.paths.data)
    page.open(f"/?job={job.id}")
    Path(store.paths.data, "in").write_bytes(HOSTILE)
    wait_for(
        lambda: page.log[:2] == ["<script>document.title = 'taken'</script>", "press"], lambda: f"it: {page.log[:5]}"
    )
    wait_for_end(store, job.id)
    assert "taken" not in page.browser.title
    assert page.run("return document.querySelectorAll('#log script, #log [onclick]').length") == 0
    links = page.run("return [...document.querySelectorAll('#log a')].map((link) => [link.href, link.rel])")
    assert ["https://example.com/%22onclick=%22x", "noreferrer noopener"] in links
    assert not [href for href, _ in links if href.startswith("javascript")]
    page.open(f"/?job={job.id}&tab=both")
    wait_for(lambda: len(page.log) > 100, "the rest")
    assert page.complaints() == []


def test_a_lost_connection_is_said_at_the_log_and_recovers(
    start_server: Any, tab: Any, launch: Any, tmp_path: Path
) -> None:
    server = start_server()
    gate = Gate(tmp_path)
    job = launch(f"echo before; {gate.wait}; echo after; {gate.wait}")
    page = Page(tab, server.url).open(f"/?job={job.id}")
    page.wait_text("#log", "before")
    page.run("window.sameDocument = true")
    server.kill()
    page.wait_text("[data-follow-state]", "Connection lost")
    gate.open()
    start_server(port=server.port)
    page.wait_text("#log", "after")
    page.wait_text("[data-follow-state]", lambda text: text == "following")
    assert page.log == ["before", "after"]
    assert page.run("return window.sameDocument") is True
    gate.open()
    assert all("ERR_CONNECTION" in complaint for complaint in page.complaints())


def test_a_hidden_or_folded_log_is_left_alone(page: Page, launch: Any, store: JobStore) -> None:
    wait_for_end(store, launch("true").id)
    page.open("/")
    page.run(
        "window.looks = 0; const ask = window.fetch;"
        "window.fetch = (...args) => { looks += `${args[0]}`.includes('/view'); return ask(...args) }"
    )
    page.wait_text(".room", "slots")
    assert page.run("return window.looks") == 0
    page.click("#changes summary")
    page.wait_text("#changes [data-follow-state]", "following")
    wait_for(lambda: page.run("return window.looks") > 0, "a look")


def test_without_scripts_the_end_is_in_sight_and_links_lead_through_it(
    server: Server, plain_browser: Any, launch: Any, store: JobStore
) -> None:
    job = wait_for_end(store, launch("seq -f 'line %.0f' 1 5000").id)
    page = Page(plain_browser, server.url).open(f"/?job={job.id}")
    assert page.browser.find_elements("css selector", "#log .l")[-1].is_displayed()
    lines = texts(shown_on(page.browser.page_source).lines)
    assert lines[-1] == "line 5000"
    page.follow("a[data-go=earlier]")
    assert texts(shown_on(page.browser.page_source).lines)[-1] == f"line {int(lines[0].split()[1]) - 1}"
    page.follow("a[data-go=start]")
    assert texts(shown_on(page.browser.page_source).lines)[0] == "line 1"
    page.follow("a[data-go=end]")
    assert page.text("#log").endswith("line 5000")
    page.browser.find_element("css selector", ".log-find input[type=search]").send_keys("LINE 2500\n")
    wait_for(lambda: page.text(".l.found") == "line 2500", "the line")
    page.follow("a[data-find=up]")
    assert "Nothing found." in page.text("[data-found]")


# --- staying responsive


STREAM = "import sys, time\nfor at in range(300):\n    sys.stdout.write(''.join(f'line {at * 1000 + i}\\n' for i in range(1000)))\n    sys.stdout.flush(); time.sleep(0.02)"
ONE_LINE = "import sys, time\nfor at in range(100):\n    sys.stdout.write('0123456789' * 50_000)\n    sys.stdout.flush(); time.sleep(0.06)"


@pytest.mark.parametrize(
    "program, last", [(STREAM, "line 299999"), (ONE_LINE, "0123456789")], ids=["lines", "one-line"]
)
def test_the_page_stays_responsive_while_much_comes(
    page: Page, store: JobStore, tmp_path: Path, program: str, last: str
) -> None:
    gate = Gate(tmp_path)
    job_id = page.launch(f"{gate.wait}; {python(program)}; {gate.wait}")
    page.wait_status("active")
    most = 0
    with Trace(page.browser) as trace:
        gate.open()
        size = 300_000 * 5 if program == STREAM else 50_000_000
        out = Path(store.paths.out(job_id))
        while out.stat().st_size < size:
            most = max(most, count(page))
        end = "return document.querySelector('#log').lastChild.lastChild?.textContent.slice(-11) ?? ''"
        wait_for(lambda: last in page.run(end), lambda: f"the end, not {page.run(end)}")
    print(
        f"longest task {trace.longest_ms:.0f} ms ({trace.longest_wall_ms:.0f} ms) of {trace.tasks}, most lines {most}"
    )
    assert trace.tasks > 100
    assert trace.longest_ms < LONGEST_TASK_MS
    assert 0 < most <= MOST_LINES
    gate.open()


@pytest.mark.parametrize("size", ["300,000 lines", "one line of 50 MB"])
def test_the_page_stays_responsive_while_much_is_paged_through(
    page: Page, launch: Any, store: JobStore, size: str
) -> None:
    command = "seq -f 'line %.0f' 1 300000" if "lines" in size else "head -c 50000000 /dev/zero | tr '\\0' x"
    job = wait_for_end(store, launch(command).id)
    with Trace(page.browser) as trace:
        page.open(f"/?job={job.id}")
        for name in ("earlier", "earlier", "earlier", "start", "later", "later", "later", "end"):
            page.run("document.querySelector('#log').scrollTop = 0")
            go(page, name)
            assert count(page) <= MOST_LINES
        page.click("[name=wrap]")
        page.click("[name=numbers]")
    print(f"longest task {trace.longest_ms:.0f} ms ({trace.longest_wall_ms:.0f} ms) of {trace.tasks}")
    assert trace.tasks > 100
    assert trace.longest_ms < LONGEST_TASK_MS
    page.run("localStorage.clear()")
