"""What the editor of workers shows, as plain values for the templates."""

from __future__ import annotations

from typing import Any

from running_jobs.errors import NoSuchWorker
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


def editor_view(
    parts: Parts, name: str | None, form: dict[str, str] | None, wrong_at: tuple[int | None, int | None]
) -> dict[str, Any] | None:
    """Return the editor for a worker of this name, or as its form was filled in; None if there is none to show."""
    is_new = name == NEW
    if form is not None:
        name, code, is_new = form.get("name", ""), form.get("code", "").replace("\r\n", "\n"), form.get("new") == "1"
    elif name is None:
        return None
    elif is_new:
        name, code = "", TEMPLATE
    else:
        try:
            code = parts.workers.code(name)
        except NoSuchWorker:
            return None
    is_fixed = parts.workers.workers.is_built_in(name) and not is_new
    return {
        "name": name,
        "code": code,
        "is_new": is_new,
        "was": form.get("was") if form else parts.workers.digest(name),
        "is_unsaved": form is not None,
        "line": wrong_at[0],
        "column": wrong_at[1],
        "may_edit": not is_fixed and not parts.settings.allowed_commands,
        "is_built_in": is_fixed,
    }
