"""Workers, classes and approved commands in a real browser: written, run and followed as a person does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
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
    assert "stopped in time" in page.text("#job-facts")
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
    page.wait_text("#job-facts", '"frames": 4')
    assert '"quality": "draft"' in page.text("#job-facts")
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
