"""What a browser has to load before the page is there: how much, and from where."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from running_jobs.actions import Actions

from .conftest import Server, wait_for
from .page import Page

MOST_BYTES = 60_000
LOADED = """
    const all = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
    return all.map(({ name, transferSize }) => [name, transferSize]);
"""


def test_the_page_with_a_full_list_and_a_job_loads_less_than_60_kilobytes(
    actions: Actions, server: Server, tab: Any
) -> None:
    command = {"type": "exec", "cmd": "python render.py --frame 17 --samples 512 scenes/living_room.blend"}
    names = [f"render the living room, frame {number}" for number in range(50)]
    jobs = [actions.submit({"command": command, "name": name, "context": "renders"}) for name in names]
    tab.execute_cdp_cmd("Network.clearBrowserCache", {})
    page = Page(tab, server.url).open(f"/?job={jobs[-1].id}")
    wait_for(lambda: page.run("return document.readyState") == "complete", "the page")
    assert len(page.titles) == 50
    loaded = page.run(LOADED)
    assert {urlsplit(name).netloc for name, _ in loaded} == {urlsplit(server.url).netloc}
    assert len(loaded) > 5, loaded
    assert all(size > 0 for _, size in loaded), f"something came from the cache: {loaded}"
    total = sum(size for _, size in loaded)
    assert total < MOST_BYTES, (total, loaded)
