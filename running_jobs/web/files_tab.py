"""The files that a job left in its results folder, as its panel shows them: listed, or one of them looked into."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

from running_jobs import wording
from running_jobs.web.file_kinds import PICTURE, is_picture, kind_of
from running_jobs.web.listing import ResultFile
from running_jobs.web.preview import preview_of
from running_jobs.web.shown_job import ShownJob

SHOWN_FILES = 100
SHOWN_PICTURES = 48
NEWEST_PICTURES = 6
LOADED_BYTES = 20_000_000  # a larger picture is only loaded when somebody asks for it


def files_tab(shown: ShownJob) -> dict[str, Any]:
    """Return what the tab shows: the file that the page's address names, or what files there are."""
    listing = shown.results
    if shown.here.get("file"):
        return {"preview": _preview(shown, shown.here["file"]), "listed": None}
    in_grid = _part(listing.pictures, shown.here.get("pictures"), SHOWN_PICTURES)
    newest = listing.pictures[0] if listing.pictures and not in_grid["newer"] else None
    listed = {
        "size": wording.size(listing.total_bytes),
        "is_whole": listing.is_whole,
        "left_out": listing.total - len(listing.files),
        "newest": _file_view(newest) if newest else None,
        "pictures": in_grid,
        "others": _part(listing.others, shown.here.get("files"), SHOWN_FILES),
    }
    return {"preview": None, "listed": listed}


def files_head(shown: ShownJob) -> dict[str, Any]:
    """Return what the head of the panel shows, whatever the tab: the number of files, and the newest pictures."""
    loaded = (file for file in shown.results.pictures if file.size <= LOADED_BYTES)
    pictures = [_file_view(file) for file in islice(loaded, NEWEST_PICTURES)]
    return {"files_total": shown.results.total, "pictures": pictures}


def _file_view(file: ResultFile) -> dict[str, Any]:
    return {
        "name": file.name,
        "shown": file.shown,
        "size": wording.size(file.size),
        "modified_at": file.modified_at,
        "reachable": file.is_reachable,
        "kind": kind_of(file.name).shown_as,
        "is_loaded": file.size <= LOADED_BYTES,
    }


def _part(files: Sequence[ResultFile], cursor: str | None, limit: int) -> dict[str, Any]:
    """Return a part of the files, newest first, and the cursors of the parts beside it.

    A cursor counts from the oldest file: while new ones come in, a part that somebody reads stays what it is.
    """
    count = len(files)
    end = min(int(cursor or 0) or count, count)
    begin = max(0, end - limit)
    return {
        "files": [_file_view(file) for file in files[count - end : count - begin]],
        "first": count - end + 1,
        "last": count - begin,
        "total": count,
        "older": str(begin) if begin else None,
        "newer": str(end + limit) if end < count else None,
    }


def _preview(shown: ShownJob, name: str) -> dict[str, Any]:
    """Return one file looked into, and those of its like before and after it."""
    listing = shown.results
    alike = listing.pictures if is_picture(name) else [file for file in listing.others if file.is_reachable]
    place = next((number for number, file in enumerate(alike) if file.name == name), None)
    found = preview_of(shown.paths.results(shown.job.id), name)
    around: dict[str, Any] = {"previous": None, "next": None, "place": ""}
    if place is not None:
        around["previous"] = _file_view(alike[place + 1]) if place + 1 < len(alike) else None
        around["next"] = _file_view(alike[place - 1]) if place else None
        around["place"] = f"{len(alike) - place} of {len(alike)}"
    if found.get("kind") == PICTURE:
        around["is_loaded"] = found["bytes"] <= LOADED_BYTES
    return {**found, **around}
