"""The page in a real browser: what a person does and sees, with scripts and without."""

from __future__ import annotations

import re
import shlex
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from running_jobs.store import JobStore

from .conftest import PROJECT, Server, require, wait_for, wait_for_end, wait_for_status
from .page import Gate, Page

DRAW = r"""
import struct, sys, zlib
def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
width = int(sys.argv[1])
header = struct.pack(">IIBBBBB", width, 1, 8, 0, 0, 0, 0)
pixels = zlib.compress(bytes(width + 1))
picture = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
open(sys.argv[2], "wb").write(b"\x89PNG\r\n\x1a\n" + picture)
"""


@pytest.fixture
def page(server: Server, tab: Any) -> Page:
    """Give the page in a browser that runs scripts."""
    return Page(tab, server.url).open()


def test_a_command_is_launched_with_all_that_the_form_offers(page: Page, store: JobStore, tmp_path: Path) -> None:
    job_id = page.launch(
        'pwd; echo "$GREETING"; sleep 60',
        name="greet the folder",
        cwd=str(tmp_path),
        env="GREETING=hello = world\nOTHER=1",
        timeout="1.5",
    )
    assert page.message == "The job was launched."
    assert page.titles == ["greet the folder"]
    page.wait_status("error")
    assert "timed out after 1.5 s" in page.text(".reason")
    job = wait_for_end(store, job_id)
    assert Path(store.paths.out(job_id)).read_text() == f"{tmp_path}\nhello = world\n"
    assert (job.name, job.cwd, job.timeout) == ("greet the folder", str(tmp_path), 1.5)
    assert job.env == {"GREETING": "hello = world", "OTHER": "1"}


def test_log_state_and_counts_change_without_a_reload(page: Page, tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    page.launch(f"echo first; {gate.wait}; echo second a; {gate.wait}", name="step by step")
    page.run("window.sameDocument = true")
    page.wait_status("active")
    page.wait_text("#log", "first")
    assert "1 active" in page.text("#strip").replace("\n", " ")
    page.run("window.stopButton = document.querySelector('.verbs button')")
    duration = page.text(".summary")
    page.wait_text(".summary", lambda text: text != duration)
    assert page.run("return window.stopButton.isConnected"), "it can be pressed while the rest changes"
    gate.open()
    page.wait_text("#log", "second a")
    assert page.text("[data-follow-state]") == "following"
    gate.open()
    page.wait_status("done")
    page.wait_text("#strip .counts", lambda text: "1 done" in text and "0 active" in text)
    page.wait_text("#jobs tbody td:first-child", "done")
    page.wait_text("[data-follow-state]", lambda text: text == "")
    assert page.run("return window.sameDocument") is True
    assert not page.run("return window.stopButton.isConnected"), "it does not become another button"


def test_a_job_launched_elsewhere_shows_up_by_itself(page: Page, launch: Any) -> None:
    page.run("window.sameDocument = true")
    assert "Nothing here yet" in page.text("#jobs")
    launch("true", name="from elsewhere")
    page.wait_text("#jobs", "from elsewhere")
    page.wait_text(".counts", "1 done")
    page.run("document.querySelector('#jobs tbody a').focus()")
    launch("true", name="and another")
    wait_for(lambda: page.titles == ["and another", "from elsewhere"], "the newer above the older")
    assert page.browser.switch_to.active_element.text == "from elsewhere", "the focus stays where it was"
    assert page.run("return window.sameDocument") is True


def test_a_held_job_is_started_run_again_and_deleted_from_the_page(page: Page, store: JobStore) -> None:
    held = page.launch("echo $((6 * 7))", hold=True)
    assert page.message == "The job was created. It waits until it is started."
    assert page.status == "idle"
    page.press("Start")
    assert page.message == "The job was queued."
    page.wait_status("done")
    page.wait_text("#log", "42")
    page.press("Run again")
    assert page.message == "A copy of the job was launched."
    copy = page.job_id
    assert copy != held
    page.wait_status("done")
    page.press("Delete")
    assert page.message == "The job was deleted with its logs and results."
    assert len(page.titles) == 1
    assert not page.shows("#job-head")
    assert [path.name for path in Path(store.paths.data).glob(f"{copy}*")] == []
    assert store.get(held).status == "done"


def test_stop_lets_a_job_clean_up_and_kill_does_not(page: Page, store: JobStore) -> None:
    stopped = page.launch("trap 'echo cleaned up; exit 3' TERM; echo ready; while :; do sleep 0.05; done")
    page.wait_text("#log", "ready")
    page.press("Stop")
    assert page.message == "The job was asked to stop."
    page.wait_status("stop")
    page.wait_text("#log", "cleaned up")
    assert wait_for_end(store, stopped).exit_code == 3

    killed = page.launch("trap 'echo cleaned up; exit 3' TERM; echo ready; while :; do sleep 0.05; done")
    page.wait_text("#log", "ready")
    page.press("Kill")
    assert page.message == "The job was killed."
    page.wait_status("stop")
    assert wait_for_end(store, killed).signal == 9
    assert page.text("#log") == "ready"


def test_a_wrong_form_comes_back_as_it_was_filled_in(page: Page, store: JobStore) -> None:
    page.fill(cmd="echo first\necho second", name="mine", cwd="/does/not/exist", env="A=1", timeout="5")
    page.click(".launch input[name=hold][value='1']")
    page.submit()
    page.wait_text("[role=alert]", "/does/not/exist")
    assert page.value("#cmd") == "echo first\necho second"
    assert [page.value(f"#{name}") for name in ("name", "cwd", "env", "timeout")] == [
        "mine",
        "/does/not/exist",
        "A=1",
        "5",
    ]
    assert page.run("return document.querySelector('[name=hold]:checked').value") == "1"
    assert page.shows(".launch details[open]")
    assert list(store.ids()) == []
    assert all("400" in complaint for complaint in page.complaints())
    page.fill(cwd="/", env="no equals sign")
    page.submit()
    page.wait_text("[role=alert]", "NAME=VALUE")
    page.fill(env="A=1", timeout="soon")
    page.submit()
    page.wait_text("[role=alert]", "expected a number")
    page.fill(timeout="5")
    page.submit()
    assert page.message == "The job was created. It waits until it is started."
    assert page.text("#job-title .title") == "mine"
    page.complaints()


def test_a_verb_that_comes_too_late_is_refused_with_a_reason(page: Page, store: JobStore, actions: Any) -> None:
    job_id = page.launch("true", hold=True)
    page.run("window.stop(); document.querySelector('#job-head').removeAttribute('data-live')")
    actions.stop(job_id)
    page.press("Stop")
    assert "has ended already" in page.message
    assert page.status == "stop"
    assert all("409" in complaint for complaint in page.complaints())


def test_after_a_refusal_the_page_goes_on_by_itself(page: Page, store: JobStore, launch: Any, actions: Any) -> None:
    held = actions.submit({"command": {"type": "exec", "cmd": "true"}})
    page.open(f"/?job={held.id}")
    actions.stop(held.id)
    page.run("document.querySelector('.verbs form').submit()")  # pressed a moment too late
    page.wait_text(".notice.bad", "only idle jobs can be started")
    launch("true", name="launched meanwhile")
    page.wait_text("#jobs", "launched meanwhile")
    assert not page.run("return [...document.querySelectorAll('[data-lost]')].some((notice) => !notice.hidden)")
    assert all("409" in complaint for complaint in page.complaints())


def test_files_and_details_follow_by_themselves(page: Page, tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    page.launch(f"touch $JOB_FILES/one.txt; {gate.wait}; touch $JOB_FILES/two.txt; {gate.wait}; exit 4", name="files")
    page.wait_status("active")
    page.follow(".tabs a", "Files 1")
    gate.open()
    page.wait_text(".files", "two.txt")
    page.follow(".tabs a", "Details")
    gate.open()
    page.wait_text(".facts", "exit code 4")


def test_a_log_that_was_jumped_or_cut_says_so(page: Page, tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    page.launch(f"echo first; {gate.wait}; yes | head -c 40000000; echo END; {gate.wait}", name="long")
    page.wait_text("#log", "first")
    assert page.text("[data-skipped]") == ""
    gate.open()
    page.wait_text("#log", "END")
    page.wait_text("[data-skipped]", "40.0 MB came before.")
    assert len(page.log) <= 4000
    gate.open()


def test_errors_files_and_details_have_tabs_of_their_own(page: Page, store: JobStore) -> None:
    job_id = page.launch('echo good; echo bad >&2; echo 1,2 > "$JOB_FILES/table one.csv"; exit 4', env="TOKEN=geheim")
    page.wait_status("error")
    assert "exit code 4" in page.text(".reason")
    page.wait_text("#log", "good")
    page.wait_text(".tabs", "4 B")
    page.tab("Errors")
    assert page.text("#log") == "bad"
    page.tab("Files")
    assert "table one.csv" in page.text(".files")
    page.follow(".files a", "table one.csv")
    assert page.text(".sheet th") == "1"
    page.open(f"/jobs/{job_id}/files/table%20one.csv")
    assert page.text("body") == "1,2"
    page.browser.back()
    page.tab("Details")
    assert "exit 4" in page.text(".command")
    assert job_id in page.text(".facts")
    assert "geheim" not in page.browser.page_source


def test_the_list_is_searched_and_filtered(page: Page, launch: Any, store: JobStore) -> None:
    for cmd, name in (("exit 1", "train forest"), ("true", "train tree"), ("true # forest", "render")):
        wait_for_end(store, launch(cmd, name=name).id)
    page.open()
    assert page.titles == ["render", "train tree", "train forest"]
    page.search("forest")
    assert page.titles == ["render", "train forest"]
    page.search("forest", "error")
    assert page.titles == ["train forest"]
    page.search("nowhere")
    assert "No job fits." in page.text("#jobs")
    page.follow(".filter a", "show all")
    assert len(page.titles) == 3
    page.follow(".counts .error")
    assert page.titles == ["train forest"]
    page.follow(".counts .error")
    assert len(page.titles) == 3


def test_a_picture_that_is_drawn_anew_is_loaded_anew(page: Page, tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    draw = shlex.join([sys.executable, "-c", DRAW])
    page.launch(f'{draw} 3 "$JOB_FILES/a curve.png"; {gate.wait}; {draw} 5 "$JOB_FILES/a curve.png"')
    widths = "return [...document.querySelectorAll('.pictures img')].map((picture) => picture.naturalWidth)"
    wait_for(lambda: page.run(widths) == [3], "the first picture")
    gate.open()
    wait_for(lambda: page.run(widths) == [5], "the second picture")


def test_markup_in_names_commands_and_logs_does_nothing(page: Page, store: JobStore) -> None:
    markup = "<script>document.title = 'taken'</script><img src=x onerror=\"document.title = 'taken'\">"
    job_id = page.launch(f"cat <<'END'\n{markup}\nEND\nsleep 1.2; cat <<'END'\n&amp;</pre>{markup}\nEND", name=markup)
    page.wait_text("#log", "&amp;</pre>")
    wait_for_end(store, job_id)
    page.open(f"/?job={job_id}")
    assert page.log == [markup, f"&amp;</pre>{markup}"]
    assert page.text("#job-title .title") == markup
    assert page.browser.title.endswith("Running Jobs")
    assert page.run("return document.querySelectorAll('main img, main script').length") == 0
    page.open(f"/jobs/{job_id}/out")
    assert page.browser.title == ""
    assert all("/favicon.ico" in complaint for complaint in page.complaints())


def test_a_result_that_is_a_page_is_no_page_of_ours(page: Page, store: JobStore) -> None:
    job_id = page.launch('echo \'<script>document.title = "taken"</script>\' > "$JOB_FILES/page.html"')
    wait_for_end(store, job_id)
    answer = page.run(
        "return fetch(arguments[0]).then((answer) => Object.fromEntries(answer.headers))",
        f"/jobs/{job_id}/files/page.html",
    )
    assert answer["content-type"] == "application/octet-stream"
    assert answer["content-disposition"].startswith("attachment")


def test_of_a_long_log_only_the_end_is_in_the_page_at_first(page: Page, launch: Any, store: JobStore) -> None:
    job = wait_for_end(store, launch("seq 1 200000").id)
    page.open(f"/?job={job.id}")
    assert page.log == [str(number) for number in range(200001 - len(page.log), 200001)]
    assert 1900 < len(page.log) <= 2025
    assert "1.3 MB came before" in page.text(".log-bar")
    assert page.run("const log = document.querySelector('#log'); return log.scrollHeight - log.scrollTop") < 1000


def test_a_progress_bar_is_one_line_that_changes(page: Page, tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    page.launch(rf"printf 'start\n1/4\r2/4\r'; {gate.wait}; printf '3/4'; {gate.wait}; printf '\r4/4\r\nend\n'")
    page.wait_text("#log", "2/4")
    assert page.log == ["start", "2/4"]
    page.browser.refresh()
    assert page.log == ["start", "2/4"]
    gate.open()
    page.wait_text("#log", "3/4")
    assert page.log == ["start", "3/4"]
    gate.open()
    page.wait_text("#log", "end")
    assert page.log == ["start", "4/4", "end"]
    page.browser.refresh()
    assert page.log == ["start", "4/4", "end"]


def test_a_reader_who_scrolled_up_is_left_there(page: Page, tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    page.launch(f"seq 1 500; {gate.wait}; echo the end; {gate.wait}")
    page.wait_text("#log", "500")
    page.run("document.querySelector('#log').scrollTop = 0")
    gate.open()
    wait_for(lambda: "the end" in page.content("#log"), "what came since")
    assert page.run("return document.querySelector('#log').scrollTop") == 0
    page.run("const log = document.querySelector('#log'); log.scrollTop = log.scrollHeight")
    gate.open()
    page.wait_status("done")


def test_a_narrow_screen_needs_no_scrolling_sideways(page: Page, launch: Any, store: JobStore) -> None:
    job = launch(f"echo {'x' * 400}; touch $JOB_FILES/{'y' * 100}", name="n" * 300)
    wait_for_end(store, job.id)
    wait_for_end(store, launch("exit 1", name="a name of ordinary length").id)
    page.browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    )
    for path in ("/", *(f"/?job={job.id}&tab={tab}" for tab in ("log", "err", "files", "details"))):
        page.open(path)
        assert page.run("return window.innerWidth") == 400
        wide = page.run(
            "return [...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > 401"
            " && !e.closest('.skip, .visually-hidden')).map((e) => e.outerHTML.slice(0, 120))"
        )
        assert page.run("return document.documentElement.scrollWidth") <= 400, wide


def test_the_page_is_used_by_the_keyboard_alone(page: Page) -> None:
    page.run("document.querySelector('#cmd').focus()")
    active = page.browser.switch_to.active_element
    active.send_keys("echo typed")
    active.send_keys(Keys.TAB, Keys.TAB)
    page.browser.switch_to.active_element.send_keys("by keyboard", Keys.ENTER)
    page.wait_text("#job-title .title", "by keyboard")
    page.wait_status("done")


def test_a_server_that_is_gone_is_said_and_found_again(start_server: Any, tab: Any) -> None:
    server = start_server()
    page = Page(tab, server.url).open()
    page.run("window.sameDocument = true")
    server.kill()
    page.wait_text("[data-lost]", "connection is lost")
    start_server(port=server.port)
    wait_for(lambda: not page.text("[data-lost]"), "the notice to go")
    assert page.run("return window.sameDocument") is True
    assert all("ERR_CONNECTION" in complaint for complaint in page.complaints())


def test_a_page_that_is_about_to_be_left_asks_for_nothing(page: Page) -> None:
    page.launch("while :; do date; sleep 0.2; done")
    page.wait_status("active")
    page.run(
        "window.asked = []; const before = fetch;"
        "window.fetch = (...words) => { asked.push(performance.now()); return before(...words); };"
    )
    wait_for(lambda: page.run("return asked.length") > 2, "the page to follow")
    page.run(
        "document.querySelector('form[method=post]').dispatchEvent(new SubmitEvent('submit', { bubbles: true }));"
        "asked.length = 0; window.left = performance.now();"
    )
    wait_for(lambda: page.run("return performance.now() - left") > 2500, "twice what it waits for")
    assert page.run("return asked") == []
    page.run("dispatchEvent(new PageTransitionEvent('pageshow'))")
    wait_for(lambda: page.run("return asked.length") > 2, "the page to follow again")


def test_everything_works_without_scripts(server: Server, plain_browser: Any, store: JobStore, tmp_path: Path) -> None:
    page = Page(plain_browser, server.url).open()
    gate = Gate(tmp_path)
    job_id = page.launch(f"echo started; {gate.wait}; echo and on; sleep 60", name="no scripts", timeout="50")
    assert page.message == "The job was launched."
    wait_for_status(store, job_id, "active")
    wait_for(lambda: "started" in Path(store.paths.out(job_id)).read_text(), "its first line")
    page.browser.refresh()
    assert (page.status, page.text("#log")) == ("active", "started")
    gate.open()
    wait_for(lambda: "and on" in Path(store.paths.out(job_id)).read_text(), "its next line")
    assert page.text("#log") == "started", "the page ran a script"
    page.browser.refresh()
    assert page.text("#log") == "started\nand on"
    page.press("Stop")
    assert page.message == "The job was asked to stop."
    wait_for_end(store, job_id)
    page.browser.refresh()
    assert page.status == "stop"
    page.press("Delete")
    assert page.message == "The job was deleted with its logs and results."
    assert "Nothing here yet" in page.text("#jobs")
    held = page.launch("true", hold=True)
    page.press("Start")
    wait_for_end(store, held)
    page.browser.refresh()
    page.press("Run again")
    assert page.job_id != held
    page.fill(cmd="echo kept", cwd="/does/not/exist")
    page.submit()
    assert "/does/not/exist" in page.message
    assert page.value("#cmd") == "echo kept"


def test_the_newest_line_is_in_sight_beside_the_list(page: Page, launch: Any, store: JobStore) -> None:
    job = wait_for_end(store, launch("seq 1 500").id)
    for tab in ("log", "details"):
        page.open(f"/?job={job.id}&tab={tab}")
        assert page.run("return document.querySelector('.job').getBoundingClientRect().bottom <= window.innerHeight")


def test_an_inline_script_would_not_run(page: Page) -> None:
    page.run(
        "const inline = document.createElement('script'); inline.text = 'window.ran = 1';document.body.append(inline)"
    )
    assert page.run("return window.ran") is None
    assert all("Content Security Policy" in complaint for complaint in page.complaints())


def test_the_pictures_of_the_readme_are_taken(tmp_path: Path) -> None:
    require("chromium", "chromedriver", "povray")
    command = [sys.executable, "-m", "tests.take_screenshot", str(tmp_path / "pictures")]
    subprocess.run(command, check=True, cwd=PROJECT, timeout=110)
    shown = set(re.findall(r"\(examples/([\w-]+\.png)\)", (PROJECT / "README.md").read_text()))
    assert shown == {path.name for path in (tmp_path / "pictures").iterdir()}
    for picture in (tmp_path / "pictures").iterdir():
        content = picture.read_bytes()
        assert content.startswith(b"\x89PNG")
        assert struct.unpack(">I", content[16:20]) == (360 if "phone" in picture.name else 1440,)
        assert len(content) < 200_000


def test_what_was_said_is_said_once(page: Page, store: JobStore) -> None:
    page.launch("true", hold=True)
    assert page.message == "The job was created. It waits until it is started."
    wait_for(lambda: "said=" not in page.browser.current_url, "an address that can be kept")
    page.browser.refresh()
    assert page.message == ""


def test_a_job_that_is_gone_is_not_said_to_have_been_killed(
    page: Page, server: Server, launch: Any, store: JobStore
) -> None:
    job = launch("true", start=False)
    killed = server.post_form(f"/jobs/{job.id}/kill", {})
    store.delete(job.id)
    page.open(killed.headers["Location"])
    assert page.message.startswith(f"Job {job.id} does not exist.")
