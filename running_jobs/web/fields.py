"""The fields of a launch form, as plain values for the templates: made from a schema, and filled in as they were."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from running_jobs.parameters import Parameter

PARAMETER = "param."  # before a parameter's name: the name of its field
FREE = ("parameters", "params", "cmd")  # fields in which all parameters, or a shell line, are one text
MAX_TOLD = 2000  # characters of what people's code says of itself


def told(text: Any) -> str:
    """Return a text of people's code as long as a page bears it."""
    whole = "" if text is None else str(text)
    return whole if len(whole) <= MAX_TOLD else f"{whole[:MAX_TOLD]}…"


def field_of(parameter: Parameter) -> dict[str, Any]:
    """Return a parameter as a field of a form."""
    has_default = parameter.default is not None
    field: dict[str, Any] = {
        "name": f"{PARAMETER}{parameter.name}",
        "label": parameter.name,
        "hint": told(parameter.description),
        "value": parameter.shown(parameter.default) if has_default else "",
        "required": parameter.required and not has_default,
        "kind": "text",
    }
    if parameter.choices:
        return {**field, "kind": "choice", "choices": [parameter.shown(choice) for choice in parameter.choices]}
    if parameter.type == "boolean":
        return {**field, "kind": "choice", "choices": ["true", "false"]}
    if parameter.type in ("integer", "number"):
        return {**field, **_bounds(parameter), "kind": "number"}
    if parameter.type in ("array", "object"):
        hint = f"{field['hint']} (JSON)".strip()
        value = json.dumps(parameter.default, ensure_ascii=False) if has_default else ""
        return {**field, "kind": "long", "hint": hint, "value": value}
    return {**field, "kind": "long" if "\n" in field["value"] else "text"}


def _bounds(parameter: Parameter) -> dict[str, Any]:
    """Return a number's bounds; those of whole numbers are whole: browsers count steps from the minimum."""
    low, high = parameter.minimum, parameter.maximum
    if parameter.type == "number":
        return {"minimum": low, "maximum": high, "step": "any"}
    return {
        "minimum": None if low is None else math.ceil(low),
        "maximum": None if high is None else math.floor(high),
        "step": "1",
    }


def filled_in(chosen: dict[str, Any], form: Mapping[str, str]) -> dict[str, Any]:
    """Return what is chosen with its fields as a form was filled in.

    A text for which there is no field any more gets one of its own, so that it is not lost.
    """
    free = chosen["free"][0] if chosen.get("free") else None
    typed = {**_by_name(form.get("parameters", "")), **form}
    fields = [
        _with_text(field, typed[field["name"]]) if field["name"] in typed else field for field in chosen["fields"]
    ]
    known = {free, *(field["name"] for field in fields)}
    left = [name for name in form if (name in FREE or name.startswith(PARAMETER)) and form[name].strip()]
    return {**chosen, "fields": fields + [_left_over(name, form[name]) for name in left if name not in known]}


def _by_name(free: str) -> dict[str, str]:
    """Return the texts of fields that an object of parameters means; none if it is no such object."""
    try:
        found = json.loads(free)
    except (ValueError, RecursionError):
        return {}
    values = found.items() if isinstance(found, dict) else ()
    shown = {name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for name, value in values}
    return {f"{PARAMETER}{name}": text for name, text in shown.items()}


def _with_text(field: dict[str, Any], text: str) -> dict[str, Any]:
    kind = field["kind"]
    if kind == "number" and text.strip() and not _is_number(text):
        kind = "text"  # browsers drop what is no number from a field for numbers
    if kind == "text" and "\n" in text:
        kind = "long"
    return {**field, "kind": kind, "value": text}


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _left_over(name: str, text: str) -> dict[str, Any]:
    hint = "typed before; it has no field any more"
    if name in FREE:
        hint = "typed before as one text; fields come first"
    return {
        "name": name,
        "label": name.removeprefix(PARAMETER),
        "hint": hint,
        "value": text,
        "required": False,
        "kind": "long",
    }
