"""What the page's forms hold: read, checked for their token, and turned into options of jobs."""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

from flask import g, request

from running_jobs import approved_commands
from running_jobs.errors import AmbiguousId, InvalidJob, NoSuchJob, NotAllowed
from running_jobs.option_texts import read_option
from running_jobs.parameters import Parameter, read_typed
from running_jobs.settings import Settings
from running_jobs.slurm_options import CHECKS
from running_jobs.store import JobStore
from running_jobs.web.auth import token
from running_jobs.web.launching import PARAMETER
from running_jobs.web.page_view import DEFAULT_CONTEXT, DEFAULT_PRIORITY
from running_jobs.web.parts import Parts, parts

CHANGEABLE = (
    "name", "context", "priority", "delay", "at", "after", "retries", "retry_delay", "timeout", "executor", *CHECKS,
)  # fmt: skip
SHOWN = "shown."  # before a field's name: the text that it held when the form was shown
MAX_FIELDS = 200
MAX_SELECTED = 1000
NO_OPTIONS = (
    "cmd",
    "token",
    "back",
    "hold",
    "worker",
    "parameters",
    "class",
    "method",
    "params",
    "approved",
    "keep_as",
)


def read_form() -> dict[str, str]:
    """Read a posted form and check its token. Raise InvalidJob if it is no form, NotAllowed without the token."""
    return dict(_checked_fields(MAX_FIELDS))


def read_selected() -> tuple[dict[str, str], list[str]]:
    """Read a posted form and the `id` fields in it, each once. Raise as read_form does."""
    fields = _checked_fields(MAX_FIELDS + MAX_SELECTED)
    ids = list(dict.fromkeys(value for name, value in fields if name == "id"))
    if len(ids) > MAX_SELECTED:
        raise InvalidJob("id", f"at most {MAX_SELECTED} jobs can be selected, found {len(ids)}")
    return dict(fields), ids


def _checked_fields(most: int) -> list[tuple[str, str]]:
    if request.mimetype != "application/x-www-form-urlencoded":
        raise InvalidJob("body", "expected a form (application/x-www-form-urlencoded)")
    try:
        body = request.get_data(cache=False).decode()
        fields = parse_qsl(body, keep_blank_values=True, errors="strict", max_num_fields=most)
    except UnicodeDecodeError:
        raise InvalidJob("body", "is not UTF-8") from None
    except ValueError:
        raise InvalidJob("body", "has too many fields") from None
    if not hmac.compare_digest(dict(fields).get("token", "").encode(), token(parts(), g.user).encode()):
        raise NotAllowed("The form's token is missing or old. Reload the page and try again.")
    return fields


def options_of_launch(form: dict[str, str], parts: Parts) -> dict[str, Any]:
    """Turn a launch form's texts into job options. Raise InvalidJob for a field that cannot be read."""
    options: dict[str, Any] = {"command": _command(form, parts)}
    for name, typed in form.items():
        if name not in NO_OPTIONS and not name.startswith(PARAMETER) and typed.strip():
            options[name] = _read(name, typed, parts.store)
    options["start"] = form.get("hold") != "1"
    return options


def _command(form: dict[str, str], parts: Parts) -> dict[str, Any]:
    """Return what is to run: by its fields a worker, a method, an approved command, or else a shell line."""
    if "worker" in form:
        schema = parts.actions.schema_of_worker(form["worker"])  # the same that the parameters are checked by
        return {"type": "worker", "name": form["worker"], "parameters": _parameters(form, schema)}
    if "class" in form:
        params = _json(form.get("params", ""), "params", [])
        return {"type": "method", "class": form["class"], "method": form.get("method", ""), "params": params}
    if "approved" in form:
        name = form["approved"]
        found = approved_commands.find_command(parts.settings.allowed_commands, "approved", name)
        return {"type": "approved", "name": name, "parameters": _parameters(form, found.parameters)}
    return {"type": "exec", "cmd": form.get("cmd", "").replace("\r\n", "\n")}


def _parameters(form: dict[str, str], schema: Sequence[Parameter]) -> Any:
    """Return parameters: those of the free field, and over them those that have fields of their own."""
    typed = {name[len(PARAMETER) :]: text for name, text in form.items() if name.startswith(PARAMETER)}
    free = _json(form.get("parameters", ""), "parameters", {})
    fields = read_typed("parameters", schema, typed)
    return {**free, **fields} if isinstance(free, dict) else free


def _json(typed: str, field: str, empty: Any) -> Any:
    """Return the value that a text means: JSON, or else itself.

    What begins as JSON does, or as a text or a tuple of Python's, and is no JSON is a mistake.
    """
    if not typed.strip():
        return empty
    try:
        return json.loads(typed)
    except (ValueError, RecursionError) as error:
        if typed.lstrip()[0] in "[{(\"'":
            raise InvalidJob(field, f"is not JSON: {str(error)[:200]}") from None
        return typed


def options_of_change(form: dict[str, str], store: JobStore, settings: Settings) -> dict[str, Any]:
    """Turn those fields of the form that changes a job whose texts were changed into options. Raise InvalidJob.

    An emptied field means what it would mean for a new job.
    """
    emptied = {
        "context": DEFAULT_CONTEXT,
        "priority": DEFAULT_PRIORITY,
        "retries": settings.max_retries,
        "retry_delay": settings.retry_delay,
        "timeout": settings.timeout,
        "executor": settings.executor,
    }
    options = {}
    for name in CHANGEABLE:
        typed = form.get(name)
        if typed is None or _plain(typed) == _plain(form.get(SHOWN + name, "")):
            continue
        options[name] = _read(name, typed, store) if typed.strip() else emptied.get(name, read_option(name, ""))
    return options


def _plain(typed: str) -> str:
    """Return a text without what browsers change in it on their own: the seconds of a full minute, outer spaces."""
    text = typed.strip()
    return text.removesuffix(":00") if len(text) == len("2026-11-21T20:30:00") and text[10] == "T" else text


def _read(name: str, typed: str, store: JobStore) -> Any:
    value = read_option(name, typed)
    return [_resolved(store, text) for text in value] if name == "after" else value


def _resolved(store: JobStore, text: str) -> str:
    try:
        return store.resolve(text)
    except (NoSuchJob, AmbiguousId) as error:
        raise InvalidJob("after", str(error)) from None
