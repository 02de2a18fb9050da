"""The forms of commands that are kept by name: keeping one, launching it with one click, deleting it."""

from __future__ import annotations

from flask import Blueprint, g
from werkzeug.wrappers import Response as AnyResponse

from running_jobs.errors import JobsError
from running_jobs.job import JobStatus
from running_jobs.saved import NAME_FIELD, read_name
from running_jobs.web.address import back_of, to_page
from running_jobs.web.forms import options_of_launch, read_form
from running_jobs.web.page import render_page
from running_jobs.web.parts import parts
from running_jobs.web.responses import code_of

FILLS = ("like", "kept")  # what the form was filled in from

blueprint = Blueprint("kept_pages", __name__)


@blueprint.post("/saved")
def keep() -> AnyResponse | tuple[str, int]:
    """Keep what the launch form holds if it could be launched; on a mistake show the form again as it was filled in."""
    form = read_form()
    try:
        name = read_name(form.get(NAME_FIELD, ""))
        options = options_of_launch(form, parts())
        parts().actions.check(options, by=g.user)
        parts().saved.keep(name, options)
    except JobsError as error:
        return render_page(back_of(form), error=error, form=form), code_of(error)
    return to_page(_back(form, *FILLS) | {"said": "kept"})


@blueprint.post("/saved/<saved_id>/launch")
def launch(saved_id: str) -> AnyResponse | tuple[str, int]:
    """Launch a command that is kept."""
    form = read_form()
    try:
        job = parts().actions.submit(parts().saved.get(saved_id).options, by=g.user)
    except JobsError as error:
        return render_page(back_of(form), error=error), code_of(error)
    said = "launch" if job.status is JobStatus.QUEUED else "hold"
    return to_page(_back(form, "code") | {"job": job.id, "said": said})


@blueprint.post("/saved/<saved_id>/delete")
def delete(saved_id: str) -> AnyResponse | tuple[str, int]:
    """Forget a command that is kept."""
    form = read_form()
    try:
        parts().saved.delete(saved_id)
    except JobsError as error:
        return render_page(back_of(form), error=error), code_of(error)
    return to_page(_back(form, "kept") | {"said": "kept-deleted"})


def _back(form: dict[str, str], *gone: str) -> dict[str, str]:
    return {name: value for name, value in back_of(form).items() if name not in gone}
