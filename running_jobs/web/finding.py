"""What the form above the list offers, and the title of the page: how many jobs run and failed."""

from __future__ import annotations

from typing import Any

from running_jobs.clocks import is_day
from running_jobs.web.parts import Parts

SHOWN_CONTEXTS = 50
SHOWN_TITLE = 60  # characters
SPANS = {"1h": "last hour", "24h": "last 24 hours", "7d": "last 7 days", "30d": "last 30 days"}
FILTERS = ("q", "status", "context", "since", "until", "before")


def filter_view(parts: Parts, here: dict[str, str]) -> dict[str, Any]:
    """Return what the form offers and holds; `kept` is what else the address says, and stays."""
    contexts = parts.index.contexts(SHOWN_CONTEXTS)
    chosen, since, until = (here.get(name, "") for name in ("context", "since", "until"))
    if chosen and chosen not in dict(contexts):
        contexts = [(chosen, 0), *contexts]
    spans = dict(SPANS)
    if since and not is_day(since):
        spans.setdefault(since, f"since {since}")
    return {
        "contexts": sorted(name for name, _ in contexts),
        "spans": spans,
        "since_day": since if is_day(since) else "",
        "until": until,
        "until_is_day": not until or is_day(until),
        "is_set": any(name in here for name in FILTERS),
        "kept": {name: value for name, value in here.items() if name not in FILTERS},
    }


def page_title(strip: dict[str, Any], job: dict[str, Any] | None, error: str) -> str:
    """Return the title: a mistake or the chosen job first, then how many jobs run and failed, as the strip tells."""
    counts, words = dict(strip["counts"]), {"active": "running", "error": "failed"}
    more = {status: "+" if status in strip["still_counted"] else "" for status in words}
    told = ", ".join(f"{counts[status]}{more[status]} {word}" for status, word in words.items() if counts[status])
    title = f"({told}) Running Jobs" if told else "Running Jobs"
    if error:
        return f"{_cut(error)} – {title}"
    return f"{_cut(job['title'])} – {job['status']} · {title}" if job else title


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_TITLE else f"{text[: SHOWN_TITLE - 1]}…"
