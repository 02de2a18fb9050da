"""The page as axe-core sees it: WCAG 2.2 AA on every view of it, wide and narrow, light and dark."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from running_jobs.job import Job
from running_jobs.saved import SavedCommands
from running_jobs.store import JobStore

from .conftest import Server, wait_for, wait_for_end, wait_for_status
from .page import Page
from .test_pages_code import WITH_SCHEMA, lay

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
LOG = (
    r"printf '\033[31mred\033[0m \033[2mfaint\033[0m \033[44mon blue\033[0m\n'; echo oops >&2; "
    'echo "a,b\n1,2" > "$JOB_FILES/table.csv"; echo text > "$JOB_FILES/notes.txt"; '
    "echo \"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>\" | tee \"$JOB_FILES/a.svg\" > \"$JOB_FILES/b.svg\"; "
    'for i in $(seq 150); do echo > "$JOB_FILES/part-$i"; done; '
)


@lru_cache
def axe() -> str:
    """Return axe-core's source, of the version that a package for tests brings."""
    found = importlib.util.find_spec("axe_playwright_python")
    assert found is not None
    assert found.submodule_search_locations
    return Path(found.submodule_search_locations[0], "axe.min.js").read_text()


def findings(page: Page, rules: list[str] = RULES) -> list[str]:
    """Return what axe-core finds wrong, each with where. `rules` are tags, or names of rules.

    It takes text that is not wholly opaque for being on the page's ground, not on the log's: that text is left out.
    """
    if not page.run("return Boolean(window.axe)"):
        page.run(axe())
    found = page.browser.execute_async_script(
        "const done = arguments[arguments.length - 1];"
        "axe.run({exclude: ['.terminal .faint']}, {runOnly: arguments[0]}).then((results) => done(results.violations))",
        rules,
    )
    return [
        f"{violation['impact']} {violation['id']}: {violation['help']}: {node['target']} {node.get('failureSummary')}"
        for violation in found
        for node in violation["nodes"]
    ]


def be_as_wide_as(page: Page, width: int) -> None:
    """Have the browser be a narrow or wide one."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def prefer(page: Page, scheme: str) -> None:
    """Have the browser prefer light or dark."""
    preferred = [{"name": "prefers-color-scheme", "value": scheme}]
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": preferred})


@pytest.fixture
def page(server: Server, tab: Any) -> Any:
    """Give the page in a browser that runs scripts, and have it prefer nothing afterwards."""
    yield Page(tab, server.url).open()
    tab.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def in_both_schemes(page: Page) -> list[str]:
    """Return what is wrong with the page as it is, in light and in dark: only its colours are others then."""
    prefer(page, "light")
    found = findings(page)
    prefer(page, "dark")
    return found + [f"in dark: {finding}" for finding in findings(page, ["color-contrast"])]


@pytest.mark.parametrize("width", [1440, 360])
def test_every_view_meets_wcag(page: Page, launch: Callable[..., Job], store: JobStore, data: Path, width: int) -> None:
    lay(data, "Shrink", WITH_SCHEMA)
    failed = wait_for_end(store, launch(f"{LOG} exit 3", name="a job that failed", context="tests").id)
    active = launch(f"{LOG} echo progress 50%; sleep 60", name="a job that runs", retries=2)
    wait_for_status(store, active.id, "active")
    launch("true", name="a job that waits", after=[active.id])
    for name in ("nightly", "weekly"):
        SavedCommands(store).keep(name, {"command": active.command})
    (data / "saved" / "damaged.json").write_text("{")
    be_as_wide_as(page, width)
    problems = {}
    views = [
        "/", f"/?job={active.id}", f"/?job={failed.id}&tab=err", f"/?job={failed.id}&tab=files",
        f"/?job={failed.id}&tab=both", f"/?job={active.id}&tab=both&panes=1", f"/?job={active.id}&tab=chart",
        *(f"/?job={failed.id}&tab=files&file={name}" for name in ("table.csv", "notes.txt", "a.svg", "gone")),
        f"/?like={failed.id}",
        f"/?job={failed.id}&tab=details", "/?run=worker", "/?run=worker&of=Shrink&code=Shrink", "/?status=stop",
        "/?job=20000101-000000-000000",
    ]  # fmt: skip
    for view in views:
        page.open(view)
        wait_for(lambda: page.run("return document.readyState") == "complete", "the page")
        if found := in_both_schemes(page):
            problems[view] = found
    page.open("/").run("for (const fold of document.querySelectorAll('details')) fold.open = true")
    if found := in_both_schemes(page):
        problems["unfolded"] = found
    assert not problems, "\n".join(f"{view}\n  " + "\n  ".join(found) for view, found in problems.items())


def test_what_does_not_meet_wcag_is_found(page: Page) -> None:
    page.run("document.querySelector('main').append(new Image())")
    page.run(
        "const faint = document.createElement('p'); faint.textContent = 'faint';"
        "faint.style.color = matchMedia('(prefers-color-scheme: dark)').matches ? '#222' : '#000';"
        "matchMedia('(prefers-color-scheme: dark)').onchange = (now) => { faint.style.color = now.matches ? '#222' : '#000' };"
        "document.querySelector('main').append(faint)"
    )
    found = in_both_schemes(page)
    assert any("image-alt" in finding for finding in found)
    assert any(finding.startswith("in dark: ") and "color-contrast" in finding for finding in found)
