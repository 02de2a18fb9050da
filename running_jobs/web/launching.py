"""What the launch card shows, as plain values for the templates: the kinds of jobs, what there is of the chosen kind to
choose from, and the fields of what is chosen."""

from __future__ import annotations

import ast
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from running_jobs import approved_commands, looking
from running_jobs.admission import schema_in
from running_jobs.web.fields import PARAMETER as PARAMETER
from running_jobs.web.fields import field_of, filled_in, told
from running_jobs.web.parts import Parts

WAIT_S = 3.0
PARAMS = "Parameters, in JSON: a list, an object of named ones, or one value"
LIST_EXAMPLE = '["first", 2]'


def launch_view(
    parts: Parts, kind: str | None, of: str | None, form: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the kinds that may be launched, and of the chosen kind the chosen one or what there is.

    `form` is one to show again as it was filled in, also if what it is for cannot be had any more.
    """
    kinds = _kinds(parts)
    posted = _posted(form or {}, kinds)
    if posted:
        kind, of = posted["kind"], posted["of"]
    if not posted and kind not in kinds:
        kind, of = kinds[0], None
    found = KINDS[kind or ""]
    chosen = (found.find(parts, of) if of and kind in kinds else None) or posted
    return {
        "kinds": [(key, KINDS[key].title) for key in kinds],
        "kind": kind,
        "all": found.title.lower() if kind in kinds and kind != "command" else None,
        "chosen": filled_in(chosen, form or {}) if chosen else None,
        "groups": [] if chosen else found.groups(parts),
        "problem": None if chosen or not of else f"There is no {found.noun} {of[:100]}.",
        "may_edit": parts.workers.may_change,
        "is_free": "command" in kinds,
    }


def has_form(parts: Parts, command: Mapping[str, Any]) -> bool:
    """Say whether the page has a form that such a command could be launched with."""
    forms = {"exec": "command", "worker": "worker", "method": "class", "approved": "approved"}
    return forms.get(str(command.get("type"))) in _kinds(parts)


def _kinds(parts: Parts) -> list[str]:
    first = "approved" if parts.settings.allowed_commands else "command"
    return [first, "worker", *(["class"] if parts.settings.allowed_classes else [])]


def _posted(form: Mapping[str, str], kinds: Sequence[str]) -> dict[str, Any] | None:
    """Return what a form is for, as far as the form says; None for a shell line that may be given."""
    free: tuple[str, str, str] | None = None
    if form.get("worker"):
        kind, of, hidden = "worker", form["worker"], {"worker": form["worker"]}
    elif form.get("class"):
        hidden = {name: form.get(name, "") for name in ("class", "method")}
        kind, of, free = "class", ".".join(hidden.values()), ("params", PARAMS, "")
    elif form.get("approved"):
        kind, of, hidden = "approved", form["approved"], {"approved": form["approved"]}
    elif form.get("cmd") and "command" not in kinds:
        kind, of, hidden = "command", "", {}
    else:
        return None
    return {
        "kind": kind,
        "of": of,
        "title": (of or KINDS[kind].title)[:200],
        "problem": f"There is no {KINDS[kind].noun} {of[:100]} now. What was typed is kept." if of else None,
        "hidden": hidden,
        "fields": [],
        "free": free,
    }


# --- workers


def worker_answers(parts: Parts, names: Sequence[str], wait_s: float | None = None) -> list[dict[str, Any]]:
    """Return workers as WorkerActions.show does; that one takes longer than wait_s to import is its `problem`."""
    problems = {name: problem for name in names if (problem := parts.workers.problem_with_file(name))}
    paths = {name: parts.workers.workers.path(name) for name in names if name not in problems}
    keys = {name: f"worker {name} {looking.version(path)}" for name, path in paths.items()}
    looks = {keys[name]: looking.at_worker(parts.settings, name, path) for name, path in paths.items()}
    answers = parts.described.all(looks, WAIT_S if wait_s is None else wait_s)
    found = {name: {"problem": problems[name]} if name in problems else answers[keys[name]] for name in names}
    return [parts.workers.describe(name, found[name]) for name in names]


def _workers(parts: Parts) -> list[dict[str, Any]]:
    entries = [
        {
            "of": worker["name"],
            "title": worker["name"],
            "text": _description(worker["information"]),
            "problem": worker.get("problem"),
        }
        for worker in worker_answers(parts, parts.workers.workers.names())
    ]
    return [{"entries": entries}]


def _worker(parts: Parts, name: str) -> dict[str, Any] | None:
    if not parts.workers.workers.exists(name):
        return None
    [worker] = worker_answers(parts, [name])
    schema = schema_in(worker["information"])
    return {
        "of": name,
        "title": name,
        "text": _description(worker["information"]),
        "problem": worker.get("problem"),
        "hidden": {"worker": name},
        "fields": [field_of(parameter) for parameter in schema],
        "free": None if schema else ("parameters", "Parameters, a JSON object", '{"name": "value"}'),
        "code": name,
    }


def _description(information: Any) -> str:
    return told(information.get("description") or "" if isinstance(information, dict) else information)


# --- approved classes


def _classes(parts: Parts, of: str | None = None) -> list[dict[str, Any]]:
    """Return the approved classes with their methods; with `of` only those that this may be a method of."""
    entries = [entry for entry in parts.settings.allowed_classes if of is None or f"{of}.".startswith(f"{entry}.")]
    answers = parts.described.all(
        {f"class {entry}": looking.at_class(parts.settings, entry) for entry in entries}, WAIT_S
    )
    groups: dict[str, dict[str, Any]] = {}
    for entry in entries:
        answer = answers[f"class {entry}"]
        name = answer.get("class", entry)
        group = groups.setdefault(name, {"title": name, "text": told(answer.get("doc", "")), "entries": []})
        if "problem" in answer:
            group["problem"] = answer["problem"]
        known = {method["of"] for method in group["entries"]}
        methods = [
            {"of": f"{name}.{method['name']}", "title": method["name"], **_of_method(method)}
            for method in answer.get("methods", [])
        ]
        group["entries"] += [method for method in methods if method["of"] not in known]
    return list(groups.values())


def _of_method(method: dict[str, str]) -> dict[str, str]:
    return {"signature": told(method["signature"]), "text": told(method["doc"])}


def _method(parts: Parts, of: str) -> dict[str, Any] | None:
    for group in _classes(parts, of):
        for method in group["entries"]:
            if method["of"] == of:
                return {
                    **method,
                    "title": f"{group['title']}::{method['title']}",
                    "hidden": {"class": group["title"], "method": method["title"]},
                    "fields": [],
                    "free": ("params", PARAMS, example_of(method["signature"])),
                }
    return None


def example_of(signature: str) -> str:
    """Return parameters in JSON that a method with this signature would take; a list where names do not say it."""
    try:
        [found] = ast.parse(f"def method{signature}: pass").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # a default that shows itself as <object>
        return LIST_EXAMPLE
    if not isinstance(found, ast.FunctionDef):
        return LIST_EXAMPLE
    positional = [*found.args.posonlyargs, *found.args.args]
    defaults = [None] * (len(positional) - len(found.args.defaults)) + found.args.defaults
    values = dict(zip((each.arg for each in positional), map(_example, positional, defaults), strict=True))
    if found.args.posonlyargs or (found.args.vararg and not values):
        return json.dumps([*values.values()], ensure_ascii=False) if values else LIST_EXAMPLE
    values |= dict(
        zip(
            (each.arg for each in found.args.kwonlyargs),
            map(_example, found.args.kwonlyargs, found.args.kw_defaults),
            strict=True,
        )
    )
    return json.dumps(values, ensure_ascii=False) if values else "[]"


def _example(argument: ast.arg, default: ast.expr | None) -> Any:
    if isinstance(default, ast.Constant) and isinstance(default.value, (str, int, float)):
        return default.value
    kind = argument.annotation.id if isinstance(argument.annotation, ast.Name) else ""
    return {"int": 1, "float": 0.5, "bool": True, "list": [], "dict": {}}.get(kind, "text")


# --- approved commands


def _approved_list(parts: Parts) -> list[dict[str, Any]]:
    return [{"entries": [_entry_of_approved(parts, name) for name in parts.settings.allowed_commands]}]


def _entry_of_approved(parts: Parts, name: str) -> dict[str, Any]:
    command = approved_commands.read_command(name, parts.settings.allowed_commands[name])
    return {"of": name, "title": name, "text": command.description}


def _approved(parts: Parts, name: str) -> dict[str, Any] | None:
    if name not in parts.settings.allowed_commands:
        return None
    command = approved_commands.read_command(name, parts.settings.allowed_commands[name])
    return {
        **_entry_of_approved(parts, name),
        "template": command.template if isinstance(command.template, str) else shlex.join(command.template),
        "hidden": {"approved": name},
        "fields": [field_of(parameter) for parameter in command.parameters],
    }


# --- kinds


class Kind(NamedTuple):
    """A kind of jobs: what it is called, how one is found by its name, and what there is to choose from."""

    title: str
    noun: str
    find: Callable[[Parts, str], dict[str, Any] | None]
    groups: Callable[[Parts], list[dict[str, Any]]]


KINDS = {
    "command": Kind("Command", "command", lambda parts, of: None, lambda parts: []),
    "approved": Kind("Approved commands", "approved command", _approved, _approved_list),
    "worker": Kind("Workers", "worker", _worker, _workers),
    "class": Kind("Classes", "approved method", _method, _classes),
}
