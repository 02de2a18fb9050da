"""What the launch card shows, as plain values for the templates: the kinds of jobs, what there is of the chosen kind to
choose from, and the fields of what is chosen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from running_jobs import approved_commands, looking
from running_jobs.admission import schema_in
from running_jobs.errors import NoSuchWorker
from running_jobs.parameters import Parameter
from running_jobs.web.parts import Parts

KINDS = {"command": "Command", "approved": "Approved commands", "worker": "Workers", "class": "Classes"}
PARAMETER = "param."  # before a parameter's name: the name of its field
WAIT_S = 3.0


def launch_view(parts: Parts, kind: str | None, of: str | None) -> dict[str, Any]:
    """Return the kinds that may be launched, and of the chosen kind the chosen one or what there is."""
    kinds = _kinds(parts)
    kind = kind if kind in kinds else kinds[0]
    chosen, groups = None, []
    if kind == "worker":
        chosen = _worker(parts, of) if of else None
        groups = [] if chosen else _workers(parts)
    elif kind == "class":
        classes = _classes(parts)
        chosen = _method(classes, of) if of else None
        groups = [] if chosen else classes
    elif kind == "approved":
        chosen = _approved(parts, of) if of in parts.settings.allowed_commands else None
        groups = [] if chosen else [{"entries": [_entry_of_approved(parts, name) for name in _names(parts)]}]
    return {
        "kinds": [(key, KINDS[key]) for key in kinds],
        "kind": kind,
        "chosen": chosen,
        "groups": groups,
        "may_edit": not parts.settings.allowed_commands,
    }


def _kinds(parts: Parts) -> list[str]:
    first = "approved" if parts.settings.allowed_commands else "command"
    return [first, "worker", *(["class"] if parts.settings.allowed_classes else [])]


# --- workers


def worker_answers(parts: Parts, names: Sequence[str], wait_s: float | None = None) -> list[dict[str, Any]]:
    """Return workers as WorkerActions.show does; that one takes longer than wait_s to import is its `problem`."""
    paths = {name: parts.workers.workers.path(name) for name in names}
    keys = {name: f"worker {name} {looking.version(path)}" for name, path in paths.items()}
    looks = {keys[name]: looking.at_worker(parts.settings, name, path) for name, path in paths.items()}
    answers = parts.described.all(looks, WAIT_S if wait_s is None else wait_s)
    return [parts.workers.describe(name, answers[keys[name]]) for name in names]


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
    try:
        parts.workers.code(name)
    except NoSuchWorker:
        return None
    [worker] = worker_answers(parts, [name])
    schema = schema_in(worker["information"])
    return {
        "of": name,
        "title": name,
        "text": _description(worker["information"]),
        "problem": worker.get("problem"),
        "hidden": {"worker": name},
        "fields": [_field(parameter) for parameter in schema],
        "free": None if schema else ("parameters", "Parameters, a JSON object", '{"name": "value"}'),
        "code": name,
    }


def _description(information: Any) -> str:
    if isinstance(information, dict):
        return str(information.get("description") or "")
    return "" if information is None else str(information)


# --- approved classes


def _classes(parts: Parts) -> list[dict[str, Any]]:
    entries = parts.settings.allowed_classes
    answers = parts.described.all(
        {f"class {entry}": looking.at_class(parts.settings, entry) for entry in entries}, WAIT_S
    )
    groups: dict[str, dict[str, Any]] = {}
    for entry in entries:
        answer = answers[f"class {entry}"]
        name = answer.get("class", entry)
        group = groups.setdefault(name, {"title": name, "text": answer.get("doc", ""), "entries": []})
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
    return {"signature": method["signature"], "text": method["doc"]}


def _method(classes: list[dict[str, Any]], of: str) -> dict[str, Any] | None:
    for group in classes:
        for method in group["entries"]:
            if method["of"] == of:
                label = "Parameters, in JSON: a list, an object of named ones, or one value"
                return {
                    **method,
                    "title": f"{group['title']}::{method['title']}",
                    "hidden": {"class": group["title"], "method": method["title"]},
                    "fields": [],
                    "free": ("params", label, method["signature"]),
                }
    return None


# --- approved commands


def _names(parts: Parts) -> list[str]:
    return list(parts.settings.allowed_commands)


def _entry_of_approved(parts: Parts, name: str) -> dict[str, Any]:
    command = approved_commands.read_command(name, parts.settings.allowed_commands[name])
    return {"of": name, "title": name, "text": command.description}


def _approved(parts: Parts, name: str) -> dict[str, Any]:
    command = approved_commands.read_command(name, parts.settings.allowed_commands[name])
    shown = command.template if isinstance(command.template, str) else " ".join(command.template)
    return {
        **_entry_of_approved(parts, name),
        "signature": shown,
        "hidden": {"approved": name},
        "fields": [_field(parameter) for parameter in command.parameters],
    }


# --- fields


def _field(parameter: Parameter) -> dict[str, Any]:
    """Return a parameter as a field of a form."""
    has_default = parameter.default is not None
    field: dict[str, Any] = {
        "name": f"{PARAMETER}{parameter.name}",
        "label": parameter.name,
        "hint": parameter.description,
        "value": parameter.shown(parameter.default) if has_default else "",
        "required": parameter.required and not has_default,
        "kind": "text",
    }
    if parameter.choices:
        return {**field, "kind": "choice", "choices": [parameter.shown(choice) for choice in parameter.choices]}
    if parameter.type == "boolean":
        return {**field, "kind": "choice", "choices": ["true", "false"]}
    if parameter.type in ("integer", "number"):
        bounds = {"minimum": parameter.minimum, "maximum": parameter.maximum}
        return {**field, **bounds, "kind": "number", "step": "1" if parameter.type == "integer" else "any"}
    if parameter.type in ("array", "object"):
        hint = f"{field['hint']} (JSON)".strip()
        value = json.dumps(parameter.default, ensure_ascii=False) if has_default else ""
        return {**field, "kind": "long", "hint": hint, "value": value}
    return {**field, "kind": "long" if "\n" in field["value"] else "text"}
