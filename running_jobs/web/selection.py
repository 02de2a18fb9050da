"""What is done to several jobs at once: those that are ticked in the list. Deleting asks first, and says what goes."""

from __future__ import annotations

import re
from collections.abc import Mapping
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
_SAID = {
    "stop": ("was asked to stop", "were asked to stop", "it had ended already", "they had ended already"),
    "kill": ("was killed", "were killed", "it had ended already", "they had ended already"),
    "delete": (
        "was deleted with its logs and results",
        "were deleted with their logs and results",
        "it is active; stop it first",
        "they are active; stop them first",
    ),
}
_COUNTS = re.compile(r"\d{1,4}(?:-\d{1,4}){3}", re.ASCII)

blueprint = Blueprint("selection", __name__)


@blueprint.post("/selected")
def act() -> AnyResponse | tuple[str, int] | str:
    """Stop, kill or delete the jobs that were selected: those that can be, and say of how many that is."""
    form, ids = read_selected()
    verb, back = form.get("verb", ""), back_of(form)
    if verb not in _SAID or not all(map(is_job_id, ids)):
        raise InvalidJob("verb or id", "expected stop, kill or delete, and the ids of jobs")
    if not ids:
        return to_page(back | {"said": "none-selected"})
    try:
        if verb == "delete" and form.get("sure") != "1":
            question = question_of(parts(), ids)
            if question["jobs"]:
                return render_page(back, question=question)
        counts = _do(verb, ids)
    except JobsError as error:  # the disk, a lock: what was done stays done
        return render_page(back, error=error), code_of(error)
    if verb == "delete" and back.get("job") in ids:
        back.pop("job")
    return to_page(back | {"said": f"selected-{verb}", "counts": "-".join(map(str, counts))})


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
    done, refused, gone, unreadable = map(int, counts.split("-"))
    one, many, why_one, why_many = _SAID[verb]
    could_not = [
        f"{refused} could not: {why_one if refused == 1 else why_many}" if refused else "",
        f"{gone} {'was' if gone == 1 else 'were'} gone" if gone else "",
        f"{unreadable} cannot be read" if unreadable else "",
    ]
    first = f"{done} {'job' if done == 1 else 'jobs'} {one if done == 1 else many}"
    return "; ".join([first, *filter(None, could_not)]) + "."


def _do(verb: str, ids: list[str]) -> tuple[int, int, int, int]:
    """Return how many jobs it was done to, how many were in the wrong state, gone, and unreadable."""
    done = refused = gone = unreadable = 0
    for job_id in ids:
        try:
            getattr(parts().actions, verb)(job_id, by=g.user)
            done += 1
        except WrongState:
            refused += 1
        except NoSuchJob:
            gone += 1
        except UnreadableJob:
            unreadable += 1
    return done, refused, gone, unreadable
