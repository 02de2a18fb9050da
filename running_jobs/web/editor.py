"""What the editor of workers shows, as plain values for the templates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from running_jobs.errors import InvalidWorker, JobsError, NoSuchWorker, WorkerInUse
from running_jobs.web.parts import Parts

NEW = "+"  # in place of a worker's name: none yet
TEMPLATE = '''from running_jobs import Worker


class MyWorker(Worker):
    """What it does, in a sentence: it is shown on the page."""

    def run(self):
        count = self.get_parameter("count")
        for i in range(count):
            if not self.is_active():  # somebody asked it to stop
                break
            self.log(f"at {i}")
            self.progress((i + 1) / count)

    def get_information(self):
        parameters = [{"name": "count", "type": "integer", "default": 10, "description": "how often"}]
        return {**super().get_information(), "parameters": parameters}
'''


class Draft(NamedTuple):
    """A worker's code as the editor's form held it, and why it was refused."""

    name: str
    code: str
    is_new: bool
    was: str | None  # the digest of the code that it is to take the place of
    problem: str = ""
    line: int | None = None
    column: int | None = None
    is_misnamed: bool = False

    def refused(self, error: JobsError, was: str | None = None) -> Draft:
        """Return it with the reason; `was` is the digest of the code that is there now, if it was found another."""
        if was is not None:
            return self._replace(problem=str(error), was=was)
        if isinstance(error, InvalidWorker) and error.line is not None:
            return self._replace(problem=str(error), line=error.line, column=error.column)
        return self._replace(problem=str(error), is_misnamed=isinstance(error, (InvalidWorker, WorkerInUse)))


def read_draft(form: Mapping[str, str]) -> Draft:
    """Return what the editor's form holds."""
    code = form.get("code", "").replace("\r\n", "\n")
    return Draft(form.get("name", "").strip(), code, form.get("new") == "1", form.get("was"))


def editor_view(parts: Parts, name: str | None, draft: Draft | None) -> dict[str, Any] | None:
    """Return the editor for a worker of this name, or for a draft that was refused; None if there is none to show.

    `code` is None where it cannot be shown, and `problem` says why; `wrong` is the id of the field that is wrong.
    """
    shown = draft or _draft_of(parts, name)
    if shown is None:
        return None
    is_built_in = parts.workers.workers.is_built_in(shown.name) and not shown.is_new
    wrong = "code" if shown.line else "worker-name" if shown.is_misnamed and shown.is_new else None
    return {
        **shown._asdict(),
        "code": None if shown.problem and not draft else shown.code,
        "is_unsaved": draft is not None,
        "may_save": not is_built_in and parts.workers.may_change,
        "is_built_in": is_built_in,
        "wrong": wrong,
    }


def _draft_of(parts: Parts, name: str | None) -> Draft | None:
    """Return the code that is there, or for a new worker what it begins with."""
    if name is None:
        return None
    if name == NEW:
        return Draft("", TEMPLATE, is_new=True, was=None)
    try:
        return Draft(name, parts.workers.code(name), is_new=False, was=parts.workers.digest(name))
    except InvalidWorker as error:  # too large, laid there by hand
        return Draft(name, "", is_new=False, was=None, problem=str(error))
    except NoSuchWorker:
        return None
