"""The files that a job left in its results folder, as its panel shows them."""

from __future__ import annotations

from typing import Any

from running_jobs import wording
from running_jobs.web.results import Results, list_results
from running_jobs.web.sending import is_picture
from running_jobs.web.shown_job import ShownJob

SHOWN_FILES = 1000
SHOWN_PICTURES = 6


def files_tab(shown: ShownJob) -> dict[str, Any]:
    """Return what the tab shows."""
    results = list_results(shown.paths.results(shown.job.id))
    return {"files": [_file_view(file) for file in results.files[:SHOWN_FILES]]}


def files_head(shown: ShownJob) -> dict[str, Any]:
    """Return what the head of the panel shows, whatever the tab: how many files there are, and the newest pictures."""
    results = list_results(shown.paths.results(shown.job.id))
    return {"files_total": results.total, "pictures": _newest_pictures(results)}


def _file_view(file: dict[str, Any]) -> dict[str, Any]:
    # a name with line ends or of no UTF-8 is no address that a link could hold
    reachable = file["name"].isprintable() and "\ufffd" not in file["name"]
    return {**file, "size": wording.size(file["size"]), "reachable": reachable}


def _newest_pictures(results: Results) -> list[dict[str, Any]]:
    pictures = [file for file in results.files if is_picture(file["name"]) and file["name"].isprintable()]
    return sorted(pictures, key=lambda file: (file["modified_at"], file["name"]))[-SHOWN_PICTURES:]
