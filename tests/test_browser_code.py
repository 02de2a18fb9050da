"""Workers, classes and approved commands in a real browser: written, run and followed as a person does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from running_jobs.store import JobStore

from .conftest import Server, wait_for
from .page import Gate, Page
from .test_browser_queue import refuse_to_scroll_sideways, set_width
from .test_pages_code import APPROVED, CLASSES, PLAIN, WITH_SCHEMA, lay


@pytest.fixture
def page(server: Server, tab: Any) -> Page:
    """Give the page in a browser that runs scripts."""
    return Page(tab, server.url).open()


def type_code(page: Page, code: str) -> None:
    """Put code in the editor as if it were pasted."""
    field = page.browser.find_element(By.ID, "code")
    page.run("arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))", field, code)


def asks_before_leaving(page: Page) -> bool:
    """Say whether the page would have the browser ask (which the driver would answer before anyone sees it)."""
    leaving = "const leaving = new Event('beforeunload', {cancelable: true}); dispatchEvent(leaving);"
    return bool(page.run(f"{leaving} return leaving.defaultPrevented"))


def test_a_worker_is_written_mended_run_and_stopped(page: Page, store: JobStore, tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    page.follow(".kinds a", "Workers")
    page.follow(".launch a.button", "New worker")
    page.fill(".editor", name="Steps")
    wrong = (
        "import os\nfrom running_jobs import Worker\n\n\nclass Steps(Worker):\n    '''Goes step by step.'''\n\n"
        "    def run(self:\n        pass\n"
    )
    type_code(page, wrong)
    page.follow(".editor button.primary", "Save")
    assert "line 8, column 12: " in page.message
    assert all("400" in complaint for complaint in page.complaints())
    assert asks_before_leaving(page)
    assert page.value("#code") == wrong
    assert page.value("#worker-name") == "Steps"
    selected = "const c = document.querySelector('#code'); return c.value.slice(c.selectionStart, c.selectionEnd)"
    assert page.run(selected) == "    def run(self:"

    body = (
        "    def run(self):\n"
        "        self.log('begun with ' + self.get_parameter('word', 'nothing'))\n"
        "        while self.is_active():\n"
        f"            os.system({gate.wait!r})\n"
        "            self.log('a step')\n"
        "        self.response('stopped in time')\n"
    )
    right = wrong[: wrong.index("    def run")] + body
    type_code(page, right)
    page.follow(".editor button.primary", "Save")
    assert "The worker was saved" in page.message
    assert "Goes step by step." in page.text(".launch")

    page.fill(parameters=json.dumps({"word": "<b>bold</b>"}))
    page.submit()
    page.wait_status("active")
    page.wait_text("#log", "begun with <b>bold</b>")
    gate.open()
    page.wait_text("#log", "a step")
    page.press("Stop")
    gate.open()
    page.wait_status("done")
    page.tab("Response")
    assert "stopped in time" in page.text("#job-tab")
    assert "asked to stop" in page.text("#job-head")


def test_an_unsaved_text_is_not_left_unasked_and_keys_help(page: Page, data: Path) -> None:
    path = lay(data, "Mine", PLAIN)
    page.open("/?run=worker&of=Mine&code=Mine")
    assert not asks_before_leaving(page)
    field = page.browser.find_element(By.ID, "code")
    field.send_keys(Keys.CONTROL, Keys.END)
    field.send_keys(Keys.BACKSPACE, Keys.ENTER, "if True:", Keys.ENTER, "self.log('more')")
    assert page.value("#code").endswith("\n        self.log('mine')\n        if True:\n            self.log('more')")
    assert asks_before_leaving(page)
    before = page.browser.find_element(By.TAG_NAME, "html")
    page.browser.find_element(By.ID, "code").send_keys(Keys.CONTROL, "s")
    wait_for(lambda: "more" in path.read_text())
    wait_for(lambda: before != page.browser.find_element(By.TAG_NAME, "html") and "saved" in page.message)


def active(page: Page) -> str:
    """Return the id of what has the focus, or else its kind."""
    return str(page.run("return document.activeElement.id || document.activeElement.tagName"))


def press_save(page: Page, *keys: str) -> None:
    """Press keys where the focus is, and wait for the page that a save leads to."""
    before = page.browser.find_element(By.TAG_NAME, "html")
    ActionChains(page.browser).key_down(Keys.CONTROL).send_keys(*keys).key_up(Keys.CONTROL).perform()
    wait_for(lambda: before != page.browser.find_element(By.TAG_NAME, "html") and page.message)


def test_whoever_saves_by_the_keys_finds_their_place_again(page: Page, data: Path) -> None:
    path = lay(data, "Mine", PLAIN + "# end\n" * 200)
    page.open("/?run=worker&of=Mine&code=Mine")
    begin = len(PLAIN) + 6 * 150
    place = "const c = document.querySelector('#code'); return [c.selectionStart, c.selectionEnd, c.scrollTop]"
    page.run(f"const c = document.querySelector('#code'); c.focus(); c.setSelectionRange({begin}, {begin + 5});"
        "c.scrollTop = 1500")  # fmt: skip
    page.run("document.activeElement.setRangeText('# middle\\n', 0, 0, 'preserve')")
    before = page.run(place)
    assert before[2] > 1000
    html = page.browser.find_element(By.TAG_NAME, "html")
    pressed = "new KeyboardEvent('keydown', {key: 'S', ctrlKey: true, bubbles: true, cancelable: true})"  # CapsLock
    page.run(f"document.activeElement.dispatchEvent({pressed})")
    wait_for(lambda: html != page.browser.find_element(By.TAG_NAME, "html") and page.message)
    assert "saved" in page.message and path.read_text().startswith("# middle\n")
    assert (page.run(place), active(page)) == (before, "code")
    page.browser.find_element(By.CSS_SELECTOR, ".delete summary").send_keys("")
    page.run("document.querySelector('.delete summary').focus()")
    press_save(page, "s")
    assert active(page) == "code"
    page.run("document.querySelector('#parameters').focus()")  # another form's text would be lost
    page.run("window.passedOver = 0; document.addEventListener('submit', () => { window.passedOver += 1; })")
    ActionChains(page.browser).key_down(Keys.CONTROL).send_keys("s").key_up(Keys.CONTROL).perform()
    assert page.run("return window.passedOver") == 0
    page.open("/?run=worker&of=Mine&code=Mine")
    assert active(page) == "BODY"  # only a save leads back


def test_keys_that_are_held_down_save_once(page: Page, data: Path) -> None:
    lay(data, "Mine", PLAIN)
    page.open("/?run=worker&of=Mine&code=Mine")
    page.run(
        "window.sent = 0;"
        "document.addEventListener('submit', (event) => { if (!event.defaultPrevented) window.sent += 1;"
        " event.preventDefault(); })"
    )
    press = "document.querySelector('#code').dispatchEvent(new KeyboardEvent('keydown', {key: 's', ctrlKey: true,"
    for repeat in ("false", "true", "true"):
        page.run(f"{press} bubbles: true, cancelable: true, repeat: {repeat}}}))")
    page.run(f"{press} bubbles: true, cancelable: true}}))")
    assert page.run("return window.sent") == 1


def test_a_new_line_begins_as_its_code_asks(page: Page, data: Path) -> None:
    lay(data, "Mine", PLAIN)
    page.open("/?code=Mine")
    field = page.browser.find_element(By.ID, "code")
    for line, begin in (
        ("if x:", "    "),
        ("\tif x:", "\t\t"),
        ("    # a note:", "    "),
        ("for x in y:  # it's why", "    "),
        ("if x == '#':", "    "),
        ("x = '#:", ""),
        ("  x = 1", "  "),
    ):
        page.run("const c = document.querySelector('#code'); c.value = arguments[0]; c.focus()", line)
        field.send_keys(Keys.CONTROL, Keys.END)
        field.send_keys(Keys.ENTER)
        assert page.value("#code") == f"{line}\n{begin}"


def test_two_clicks_launch_one_job(page: Page, store: JobStore) -> None:
    page.fill(cmd="echo once")
    page.run(
        "const b = document.querySelector('.launch button.primary'); b.click(); b.click(); setTimeout(() => b.click())"
    )
    page.wait_text(".notice.good", "launched")
    page.wait_status("done")
    assert len(store.ids()) == 1
    page.browser.back()
    page.wait_text("#launch-title", "Launch")
    page.fill(cmd="echo again")
    page.submit()
    page.wait_status("done")
    assert len(store.ids()) == 2


def test_whoever_stays_on_the_page_can_launch_after_all(page: Page, data: Path, store: JobStore) -> None:
    lay(data, "Mine", PLAIN)
    page.open("/?code=Mine")
    type_code(page, "# not saved")
    page.fill(cmd="echo stayed")
    page.run(
        "document.addEventListener('submit', (event) => event.preventDefault(), {once: true});"
        "document.querySelector('.launch form').requestSubmit()"
    )
    assert asks_before_leaving(page)  # and whoever is asked stays
    type_code(page, PLAIN)
    page.submit()
    page.wait_status("done")
    assert len(store.ids()) == 1


def test_a_mistake_is_where_the_reader_begins(page: Page, data: Path) -> None:
    lay(data, "Render", WITH_SCHEMA)
    page.fill(cmd="true", after="nobody")
    page.submit()
    assert active(page) == "after"
    assert page.browser.title.startswith("after: ")
    page.open("/?run=worker&code=%2B")
    page.fill(".editor", name="json")
    page.follow(".editor button.primary", "Save")
    assert active(page) == "worker-name"
    page.open("/?run=worker&of=Render")
    page.fill(**{"param.scene": "x"})
    (data / "workers" / "Render.py").unlink()
    page.submit()
    assert active(page) == "error"
    assert page.value("[name='param.scene']") == "x"
    assert all("40" in complaint for complaint in page.complaints())


@pytest.mark.parametrize("width", [360, 800, 1440])
def test_long_names_and_the_editor_fit_a_window(page: Page, data: Path, store: JobStore, width: int) -> None:
    declared = [{"name": "a" * 100, "type": kind, "description": "b" * 300} for kind in ("string", "integer")]
    declared[1]["name"] = "c" * 100
    declared.append({"name": "d" * 60, "choices": ["e" * 200]})
    name = "L" * 80
    lay(data, name, PLAIN.replace("Mine", name) + f"\n    def get_information(self):\n"
        f"        return {{'description': 'f' * 3000, 'parameters': {declared!r}}}\n")  # fmt: skip
    set_width(page, width)
    for query in ("run=worker", f"run=worker&of={name}", f"run=worker&of={name}&code={name}", "code=Nothing"):
        page.open(f"/?{query}")
        refuse_to_scroll_sideways(page, width)
    page.open("/?run=worker")
    told = "return document.querySelector('.entries .told').getBoundingClientRect().height"
    assert page.run(told) < 100
    page.open(f"/?run=worker&of={name}&code={name}")
    assert page.run("return document.querySelector('.told.whole').getBoundingClientRect().height") < 200
    top = page.run("return document.querySelector('.editor').getBoundingClientRect().top")
    assert top < 400


def test_the_form_of_a_schema_in_a_narrow_window(page: Page, data: Path, store: JobStore) -> None:
    lay(data, "Render", WITH_SCHEMA)
    set_width(page, 360)
    for query in ("run=worker", "run=worker&of=Render", "run=worker&of=Render&code=Render", "run=worker&code=%2B"):
        page.open(f"/?{query}")
        refuse_to_scroll_sideways(page, 360)
    page.open("/?run=worker")
    page.follow(".entries a", "Render")
    page.fill(**{"param.scene": "tea.pov", "param.frames": "4"})
    page.submit()
    page.wait_status("done")
    page.tab("Response")
    page.wait_text("#job-tab", '"frames": 4')
    assert '"quality": "draft"' in page.text("#job-tab")
    assert page.value("[name='param.frames']") == "3"  # the form is there for the next


def test_a_worker_is_deleted_after_a_second_look(page: Page, data: Path) -> None:
    path = lay(data, "Mine", PLAIN)
    page.open("/?run=worker&of=Mine&code=Mine")
    assert not page.browser.find_element(By.CSS_SELECTOR, ".delete button").is_displayed()
    page.click(".delete summary")
    page.follow(".delete button")
    assert "The worker was deleted." in page.message
    assert not path.exists()
    assert "Mine" not in page.text(".launch")


def test_without_scripts_everything_works(server: Server, plain_browser: Any, data: Path, store: JobStore) -> None:
    page = Page(plain_browser, server.url).open("/?run=worker&code=%2B")
    page.fill(".editor", name="MyWorker")
    page.follow(".editor button.primary", "Save")
    assert "The worker was saved" in page.message
    page.fill(**{"param.count": "2"})
    page.submit()
    wait_for(lambda: page.open(f"/?job={store.ids()[-1]}").status == "done")
    assert "at 1\nprogress 100.0%\nENDED" in page.text("#log")


def test_a_method_and_an_approved_command_are_run(
    start_server: Callable[..., Server], tab: Any, data: Path, store: JobStore
) -> None:
    folder = data.parent / "code"
    folder.mkdir()
    (folder / "app_jobs.py").write_text(CLASSES)
    settings = f'python_path = ["{folder}"]\nallowed_classes = ["app_jobs.Report"]\n{APPROVED}'
    (data / "config.toml").write_text(f"slots = 4\n{settings}")
    page = Page(tab, start_server().url).open()
    assert not page.shows("#cmd")
    page.follow(".entries a", "greet")
    page.fill(**{"param.whom": "nobody"})
    page.submit()
    page.wait_text("#log", "hello to nobody")
    page.follow(".kinds a", "Classes")
    assert "Reports of <i>months</i>." in page.text(".launch")
    page.follow(".entries a", "make(month: str, copies: int = 1) -> dict")
    page.fill(params='["2026-11", 2]')
    page.submit()
    page.wait_text("#log", '["2026-11", 2]')
    page.wait_status("done")
