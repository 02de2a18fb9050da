"""The page as a person uses it: fields are filled, buttons pressed, and what is shown is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException, WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from .conftest import wait_for


class Gate:
    """Holds a command up where its shell line says `wait`, first, second and so on, until it is opened so often."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waits = self._opened = 0

    @property
    def wait(self) -> str:
        """What the shell line says."""
        self._waits += 1
        return f"until [ -e {self._folder}/gate-{self._waits} ]; do sleep 0.02; done"

    def open(self) -> None:
        """Let the command go on to where it waits next."""
        self._opened += 1
        (self._folder / f"gate-{self._opened}").touch()


class Page:
    """One browser on one server's page. What is looked for may be replaced meanwhile: it is looked for again."""

    def __init__(self, browser: Any, url: str) -> None:
        self.browser = browser
        self.url = url.rstrip("/")

    def open(self, path: str = "/") -> Page:
        """Go to an address of the page."""
        self.browser.get(self.url + path)
        return self

    def shows(self, css: str) -> bool:
        """Say whether something is on the page."""
        return bool(self.browser.find_elements(By.CSS_SELECTOR, css))

    def text(self, css: str) -> str:
        """Return the text as it is seen; empty if the element is not there."""
        try:
            return str(self.browser.find_element(By.CSS_SELECTOR, css).text)
        except (NoSuchElementException, StaleElementReferenceException):
            return ""

    def content(self, css: str) -> str:
        """Return the text that an element holds, seen or not."""
        return str(self.run("return document.querySelector(arguments[0])?.textContent ?? ''", css))

    @property
    def log(self) -> list[str]:
        """The lines of the log that are here, in sight or not."""
        return list(self.run("return [...document.querySelectorAll('#log .l')].map((line) => line.textContent)"))

    def value(self, css: str) -> str:
        """Return what a field holds."""
        return str(self.browser.find_element(By.CSS_SELECTOR, css).get_property("value"))

    def run(self, script: str, *args: Any) -> Any:
        """Run a script in the page."""
        return self.browser.execute_script(script, *args)

    def wait_text(self, css: str, wanted: str | Callable[[str], Any], timeout_s: float = 20) -> None:
        """Wait until an element's text holds what is wanted; nothing is reloaded meanwhile."""
        fits = wanted if callable(wanted) else lambda text: wanted in text
        wait_for(lambda: fits(self.text(css)), lambda: f"{wanted} in {css}, which says: {self.text(css)!r}", timeout_s)

    def click(self, css: str, label: str = "") -> None:
        """Click the first such element that reads so."""

        def clicked() -> bool:
            try:
                for element in self.browser.find_elements(By.CSS_SELECTOR, css):
                    if element.text.strip() == label or not label:
                        element.click()
                        return True
            except StaleElementReferenceException:
                pass
            return False

        wait_for(clicked, lambda: f"{label or css} to click in {self.text('body')}")

    def follow(self, css: str, label: str = "") -> None:
        """Click what leads to another page, and wait until that is there."""
        before = self.browser.find_element(By.TAG_NAME, "html")
        self.click(css, label)
        wait_for(lambda: _is_replaced(before), f"another page after a click on {label or css}")

    def press(self, label: str) -> None:
        """Press one of the chosen job's buttons; deleting is unfolded first."""
        if label == "Delete":
            self.click(".verbs summary", "Delete…")
        self.follow(".verbs button", label)

    def submit(self) -> None:
        """Press the launch form's button."""
        self.follow(".launch button")

    def tab(self, name: str) -> None:
        """Open one of the chosen job's tabs; what stands behind its name is passed over."""
        wait_for(lambda: name in self.text(".tabs"), lambda: f"the tab {name}")
        links = "return [...document.querySelectorAll('.tabs a')].map((link) => [link.textContent.trim(), link.href])"
        self.browser.get(next(address for text, address in self.run(links) if text.split()[0] == name))

    def fill(self, form: str = ".launch", **fields: str) -> None:
        """Fill fields of a form, the launch form if none is named, known by their names."""
        for name, text in fields.items():
            field = self.browser.find_element(By.CSS_SELECTOR, f"{form} [name='{name}']")
            if not field.is_displayed():
                field.find_element(By.XPATH, "ancestor::details[not(@open)][1]/summary").click()
            if field.get_attribute("type") == "datetime-local":  # how one is typed depends on the browser's language
                self.run(
                    "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input', {bubbles: true}))",
                    field,
                    text,
                )
            else:
                field.clear()
                field.send_keys(text)

    def change(self, **fields: str) -> None:
        """Fill fields of the form that changes the chosen job, and save it."""
        self.fill("#change", **fields)
        self.save()

    def save(self) -> None:
        """Press the button of the form that changes the chosen job."""
        self.follow("#change button", "Save")

    def launch(self, cmd: str, hold: bool = False, **fields: str) -> str:
        """Launch a command by the form, and return the job's id."""
        self.fill(cmd=cmd, **fields)
        if hold:
            self.click(".launch input[name=hold][value='1']")
        self.submit()
        assert self.shows("#job-head"), self.text("body")
        return self.job_id

    def search(self, text: str = "", status: str = "") -> None:
        """Use the form above the list."""
        self.run("document.querySelector('#status').value = arguments[0]", status)  # a choice would apply at once
        field = self.browser.find_element(By.ID, "q")
        field.clear()
        before = self.browser.find_element(By.TAG_NAME, "html")
        field.send_keys(text, Keys.ENTER)
        wait_for(lambda: _is_replaced(before), "another page after Enter")

    def choose(self, select: str, value: str) -> None:
        """Choose in one of the lists above the jobs, known by its id, and wait until the page shows what fits."""
        # where a page sends on a reader who did nothing yet, browsers may forget it: nobody could go back to it
        wait_for(lambda: self.run("return document.readyState === 'complete'"), "the page")
        self.click(".room")
        before = self.browser.find_element(By.TAG_NAME, "html")
        Select(self.browser.find_element(By.ID, select)).select_by_value(value)
        wait_for(lambda: _is_replaced(before), f"another page after {value} was chosen")

    @property
    def job_id(self) -> str:
        """The job that the address names."""
        return parse_qs(urlsplit(self.browser.current_url).query)["job"][0]

    @property
    def status(self) -> str:
        """The chosen job's state as it is shown."""
        return self.text("#job-title .chip")

    @property
    def message(self) -> str:
        """What is said at the top: of success, or of a mistake."""
        return self.text(".notice.good") or self.text(".notice.bad:not([hidden])")

    @property
    def titles(self) -> list[str]:
        """The titles in the list, from the top."""
        return list(self.run("return [...document.querySelectorAll('#jobs tbody th a')].map((link) => link.text)"))

    def complaints(self) -> list[str]:
        """Return what the browser's console complained about since it was last asked."""
        return [entry["message"] for entry in self.browser.get_log("browser") if entry["level"] == "SEVERE"]

    def wait_status(self, status: str, timeout_s: float = 20) -> None:
        """Wait until the chosen job's state is shown; nothing is reloaded meanwhile."""
        wait_for(lambda: self.status == status, lambda: f"{status}; the page says: {self.text('body')}", timeout_s)


def _is_replaced(element: Any) -> bool:
    try:
        return not element.tag_name
    except StaleElementReferenceException:
        return True
    except WebDriverException:  # asked in the middle of the change, the driver does not know: ask again
        return False
