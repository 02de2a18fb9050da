"""What is done to several jobs at once: those that are ticked in the list. Deleting asks first, and says what goes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any

from flask import Blueprint, g
from werkzeug.wrappers import Response as AnyResponse

from running_jobs.errors import InvalidJob, JobsError, NoSuchJob, UnreadableJob, WrongState
from running_jobs.job import ACTIVE, is_job_id
from running_jobs.web.address import back_of, to_page
from running_jobs.web.deletion import what_goes
from running_jobs.web.forms import read_selected
from running_jobs.web.page import render_page
from running_jobs.web.parts import Parts, parts
from running_jobs.web.responses import code_of

SHOWN_TITLES = 10
_SAID = {  # of none, of one, of several; and why one or several could not
    "stop": (
        "was asked to stop",
        "was asked to stop",
        "were asked to stop",
        "it had ended already",
        "they had ended already",
    ),
    "kill": ("was killed", "was killed", "were killed", "it had ended already", "they had ended already"),
    "delete": (
        "was deleted",
        "was deleted with its logs and results",
        "were deleted with their logs and results",
        "it is active; stop it first",
        "they are active; stop them first",
    ),
}
_COUNTS = re.compile(r"\d{1,4}(?:-\d{1,4}){3}", re.ASCII)

blueprint = Blueprint("selection", __name__)


@dataclass
class _Counts:
    """To how many jobs it was done, and how many were in the wrong state, gone, and unreadable."""

    done: int = 0
    refused: int = 0
    gone: int = 0
    unreadable: int = 0


@blueprint.post("/selected")
def act() -> AnyResponse | tuple[str, int] | str:
    """Stop, kill or delete the jobs that were selected: those that can be, and say of how many that is."""
    form, ids = read_selected()
    verb, back = form.get("verb", ""), back_of(form)
    if verb not in _SAID or not all(map(is_job_id, ids)):
        raise InvalidJob("verb or id", "expected stop, kill or delete, and the ids of jobs")
    if not ids:
        return to_page(back | {"said": "none-selected"})
    counts = _Counts()
    try:
        if verb == "delete" and form.get("sure") != "1":
            question = question_of(parts(), ids)
            if question["jobs"]:
                return render_page(back, question=question)
        _do(verb, ids, counts)
    except JobsError as error:  # the disk, a lock: what was done stays done, and is said
        return render_page(back, _sentence(verb, counts) if counts != _Counts() else None, error), code_of(error)
    if verb == "delete" and back.get("job") in ids:
        back.pop("job")
    return to_page(back | {"said": f"selected-{verb}", "counts": "-".join(map(str, astuple(counts)))})


def question_of(parts: Parts, ids: list[str]) -> dict[str, Any]:
    """Return what is asked before jobs are deleted: which go and what of them, and how many stay because they run."""
    going, active = [], 0
    for job_id in ids:
        try:
            job = parts.store.get(job_id)
        except JobsError:
            continue
        if job.status is ACTIVE:
            active += 1
        else:
            going.append((job_id, job.name if job.name and job.name.strip() else job.what))
    gone_ids = [job_id for job_id, _ in going]
    return {
        "ids": gone_ids,
        "jobs": len(going),
        "titles": [" ".join(title.split())[:200] for _, title in going[:SHOWN_TITLES]],
        "more": max(0, len(going) - SHOWN_TITLES),
        "active": active,
        "goes": what_goes(parts.store.paths, gone_ids).text,
    }


def said_of_selected(args: Mapping[str, str]) -> str | None:
    """Return what a page that was come to from here says: the address holds nothing of it but the verb and numbers."""
    said, counts = args.get("said", ""), args.get("counts", "")
    verb = said.removeprefix("selected-")
    if said == "none-selected":
        return "No job was selected: nothing was done."
    if verb == said or verb not in _SAID or not _COUNTS.fullmatch(counts):
        return None
    return _sentence(verb, _Counts(*map(int, counts.split("-"))))


def _sentence(verb: str, counts: _Counts) -> str:
    done, refused, gone, unreadable = astuple(counts)
    none, one, many, why_one, why_many = _SAID[verb]
    first = f"{done} jobs {many}" if done > 1 else (f"1 job {one}" if done else f"No job {none}")
    could_not = [
        f"{refused} could not: {why_one if refused == 1 else why_many}" if refused else "",
        f"{gone} {'was' if gone == 1 else 'were'} gone already" if gone else "",
        f"{unreadable} cannot be read" if unreadable else "",
    ]
    return "; ".join([first, *filter(None, could_not)]) + "."


def _do(verb: str, ids: list[str], counts: _Counts) -> None:
    for job_id in ids:
        try:
            getattr(parts().actions, verb)(job_id, by=g.user)
            counts.done += 1
        except WrongState:
            counts.refused += 1
        except NoSuchJob:
            counts.gone += 1
        except UnreadableJob:
            counts.unreadable += 1
