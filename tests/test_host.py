"""What the host uses, as the strip at the top says it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from running_jobs.web.host import Host

from .conftest import Server, wait_for
from .forms import Forms
from .page import Page


def test_the_host_says_no_cpu_before_it_can_compare(data: Path) -> None:
    now = [100.0]
    host = Host(str(data), lambda: now[0])
    assert [figure["name"] for figure in host.figures()] == ["memory", "disk"]
    now[0] += 1
    first = host.figures()
    assert [figure["name"] for figure in first] == ["memory", "disk"], "measured too soon"
    now[0] += 10

    def compared() -> Any:
        now[0] += 10
        return next((figure for figure in host.figures() if figure["name"] == "CPU"), None)

    cpu = wait_for(compared)
    assert 0 <= cpu["percent"] <= 100
    assert cpu["percent"] % 5 == 0


def test_the_strip_says_what_the_host_uses(forms: Forms) -> None:
    strip = forms.page().split('id="host"')[1].split("</p>")[0]
    assert re.search(
        r'aria-label="memory: [\d.]+ \w+ of [\d.]+ \w+ used">\d+ %</meter> [\d.]+[ \w]* of [\d.]+ \w+<', strip
    )
    assert re.search(r'aria-label="disk: [^"]+ used">\d+ %</meter> [\d.]+ [kMGT]?B free<', strip)


def test_the_hosts_figures_do_not_keep_the_page_asking(server: Server, tab) -> None:
    page = Page(tab, server.url).open("/")
    page.run(
        """window.asked = []; const real = window.fetch; window.fetch = async (...args) => {
            asked.push(performance.now());
            window.text ??= await (await real(...args)).text(); // so that nothing else changes
            const host = `<p class="host" id="host" data-key="host" data-restless>ask ${asked.length}`;
            return new Response(text.replace(/<p class="host"[^]*?(?=<.p>)/, host));
        }"""
    )
    page.wait_text("#host", "ask 5")
    asked = page.run("return asked")
    assert asked[4] - asked[3] > 1.4 * (asked[1] - asked[0]), asked
