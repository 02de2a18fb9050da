"""The launch form filled in: as a job was launched, or with a command that is kept by name.

Values of `env` are filled in as they are, though they are masked wherever a job is shown: without them the same job
would not run, and whoever has the form may run a command that reads them from the job's file. Where only approved
commands run that is not so, and no callback with credentials is filled in there; viewers have no forms.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from running_jobs import approved_commands, checks, spec
from running_jobs.admission import CALLBACKS, schema_in
from running_jobs.errors import InvalidJob, JobsError, NotAllowed
from running_jobs.job import Job, from_iso
from running_jobs.option_texts import read_option
from running_jobs.parameters import Parameter
from running_jobs.records import public_record
from running_jobs.saved import MAX_NAME, NAME_FIELD
from running_jobs.web.fields import PARAMETER
from running_jobs.web.job_view import change_texts
from running_jobs.web.launching import has_form, worker_answers
from running_jobs.web.page_view import DEFAULT_CONTEXT, DEFAULT_PRIORITY
from running_jobs.web.parts import Parts


class Filled(NamedTuple):
    """A form as it was filled in, what `like` it is, and a `note` on what is missing in it."""

    form: dict[str, str]
    like: str
    note: str


def filled_form(parts: Parts, here: Mapping[str, str]) -> tuple[Filled | None, JobsError | None]:
    """Return the form that the page's address wants filled in, or why it cannot be; None twice if it wants none."""
    try:
        if "kept" in here:
            return _kept(parts, here["kept"]), None
        if "like" in here:
            return _like(parts, here["like"]), None
    except JobsError as error:
        return None, error
    return None, None


def _kept(parts: Parts, saved_id: str) -> Filled:
    saved = parts.saved.get(saved_id)
    settings = parts.settings
    usual = {"timeout": settings.timeout, "retries": settings.max_retries, "retry_delay": settings.retry_delay}
    job = spec.new_job(saved.options, **usual, executor=settings.executor)
    hold = "1" if saved.options.get("start") is False else "0"
    form = {**form_of(parts, job), NAME_FIELD: saved.name, "hold": hold}
    return Filled(form, f"the kept command “{saved.name}”", _note(parts, job))


def _like(parts: Parts, job_id: str) -> Filled:
    job = parts.store.get(job_id)
    if not has_form(parts, job.command):
        raise NotAllowed(f"The page has no form for what job {job_id} runs. 'Run again' queues a copy as it is.")
    title = " ".join((job.name or "").split())
    form = {**form_of(parts, job), NAME_FIELD: title if title.isprintable() and len(title) <= MAX_NAME else ""}
    return Filled(form, f"the job {title[:MAX_NAME] or job_id}", _note(parts, job))


def kept_view(parts: Parts) -> dict[str, Any]:
    """Return the commands that are kept, as their list shows them: no values of any environment."""
    found, problems = parts.saved.all()
    return {
        "entries": [
            {"id": saved.id, "name": saved.name, "what": " ".join(saved.what.split())[:300]} for saved in found
        ],
        "problems": problems,
    }


def form_of(parts: Parts, job: Job) -> dict[str, str]:
    """Return the texts of a form that, sent as it is, makes a job like this one; what is as usual is left empty."""
    settings = parts.settings
    usual = {
        "context": DEFAULT_CONTEXT,
        "priority": str(DEFAULT_PRIORITY),
        "timeout": f"{settings.timeout:.15g}",
        "retries": str(settings.max_retries),
        "retry_delay": f"{settings.retry_delay:.15g}",
    }
    texts = change_texts(job, settings)
    if settings.allowed_commands:
        texts.pop("slurm_args", None)
    if not settings.has_slurm:
        texts.pop("executor", None)
    form = {name: "" if usual.get(name) == text else text for name, text in texts.items()}
    if form["at"] and job.not_before and from_iso(job.not_before) <= time.time():
        form["at"] = ""  # the moment is over
    form["after"] = " ".join(other for other in job.after if any(parts.store.version(other)))
    form["cwd"] = "" if job.cwd in (None, checks.directory("cwd", "~")) else str(job.cwd)
    form["nice"] = "" if job.nice is None else str(job.nice)
    form["progress_pattern"] = job.progress_pattern or ""
    form["env"] = _environment_text(job.env)
    for name in CALLBACKS:
        form[name] = "" if _is_withheld(parts, job, name) else _callback_text(name, getattr(job, name))
    return {**form, **_fields_of_command(parts, job.command)}


def _is_withheld(parts: Parts, job: Job, name: str) -> bool:
    return bool(parts.settings.allowed_commands) and public_record(job)[name] != getattr(job, name)


def _note(parts: Parts, job: Job) -> str:
    withheld = any(_is_withheld(parts, job, name) for name in CALLBACKS)
    notes = ["Its callback is left out: it holds credentials."] if withheld else []
    if job.is_slurms and not parts.settings.has_slurm:
        notes.append("It was for Slurm, which is not set up here any more: this one will run on this machine.")
    if job.slurm_args and parts.settings.allowed_commands:
        notes.append("Its further options of sbatch are left out: only approved commands run here.")
    return " ".join(notes)


def _environment_text(env: Mapping[str, str]) -> str:
    """Return variables a line each, or as JSON where lines could not hold them."""
    lines = "\n".join(f"{name}={value}" for name, value in env.items())
    try:
        holds = read_option("env", lines) == dict(env)
    except InvalidJob:
        holds = False
    return lines if holds else json.dumps(dict(env), ensure_ascii=False)


def _callback_text(name: str, callback: Mapping[str, Any] | None) -> str:
    if callback is None:
        return ""
    address = str(callback.get("url", ""))
    if address and read_option(name, address) == dict(callback):
        return address
    return json.dumps(dict(callback), ensure_ascii=False)


def _fields_of_command(parts: Parts, command: Mapping[str, Any]) -> dict[str, str]:
    name, kind = str(command.get("name", "")), command.get("type")
    given = command.get("parameters") or {}
    if kind == "worker":
        [worker] = worker_answers(parts, [name]) if parts.workers.workers.exists(name) else [{"information": None}]
        return {"worker": name, **_spread(given, schema_in(worker["information"]))}
    if kind == "approved":
        known = parts.settings.allowed_commands
        schema = approved_commands.read_command(name, known[name]).parameters if name in known else ()
        return {"approved": name, **_spread(given, schema)}
    if kind == "method":
        params = json.dumps(command.get("params", []), ensure_ascii=False)
        return {"class": str(command.get("class")), "method": str(command.get("method")), "params": params}
    return {"cmd": str(command.get("cmd", ""))}


def _spread(given: Any, schema: Sequence[Parameter]) -> dict[str, str]:
    """Return parameters as texts of the fields that a schema has; what these cannot say goes to the free field.

    A field for what was not given is empty, whatever its default is.
    """
    rest = dict(given) if isinstance(given, dict) else {}
    form = {}
    for parameter in schema:
        text = _text_of(parameter, rest[parameter.name]) if parameter.name in rest else None
        form[PARAMETER + parameter.name] = text or ""
        if text is not None:
            del rest[parameter.name]
    return {**form, "parameters": json.dumps(rest, ensure_ascii=False)} if rest else form


def _text_of(parameter: Parameter, value: Any) -> str | None:
    """Return the text that a field would read as this very value; None if there is none."""
    meant = json.dumps(value)
    for text in (parameter.shown(value), meant):
        try:
            if text.strip() and json.dumps(parameter.read(parameter.name, text)) == meant:
                return text
        except InvalidJob:
            continue
    return None
