"""Schemas of parameters: what a worker or an approved command takes. Values are checked by them, forms made from them.

A schema is a list of objects with `name` and any of `type`, `required`, `default`, `choices`, `pattern`, `minimum`,
`maximum`, `description`; or an object of such objects by name. Types are named as JSON Schema names them (string,
integer, number, boolean, array, object) or as Python does. Pure.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from running_jobs import matching
from running_jobs.checks import json_value, kind, text
from running_jobs.errors import InvalidJob
from running_jobs.wording import harmless

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}
_ALIASES = {
    "str": "string", "text": "string", "int": "integer", "float": "number", "bool": "boolean", "list": "array",
    "dict": "object",
}  # fmt: skip
_WORDS = {"yes": True, "true": True, "on": True, "1": True, "no": False, "false": False, "off": False, "0": False}
_EXPECTED = {
    "string": "a text", "integer": "a whole number", "number": "a number", "boolean": "true or false",
    "array": "a list", "object": "an object",
}  # fmt: skip
MAX_PARAMETERS = 100
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")


class InvalidSchema(ValueError):
    """What was declared is no schema; the text says where and what was expected."""


class Parameter(NamedTuple):
    """One parameter. `type` is None for any JSON value; a `default` of None is none."""

    name: str
    type: str | None = None
    required: bool = False
    default: Any = None
    choices: tuple[Any, ...] = ()
    pattern: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    description: str = ""

    def check(self, field: str, value: Any) -> Any:
        """Return a value that fits. Raise InvalidJob."""
        if self.type is not None and not _is_of_type(self.type, value):
            raise InvalidJob(field, f"expected {_EXPECTED[self.type]}, found {_found(value)}")
        if isinstance(value, str):
            text(field, value)
        if self.choices and not any(self._is_same(value, choice) for choice in self.choices):
            known = ", ".join(json.dumps(choice, ensure_ascii=False) for choice in self.choices)
            raise InvalidJob(field, f"expected one of {known}"[:1000])
        if self.pattern is not None and not (isinstance(value, str) and _fits(field, self.pattern, value)):
            raise InvalidJob(field, f"expected a text that fits {harmless(self.pattern)} as a whole"[:1000])
        if self.minimum is not None and not (_is_number(value) and value >= self.minimum):
            raise InvalidJob(field, f"expected at least {self.minimum}, found {_found(value)}"[:200])
        if self.maximum is not None and not (_is_number(value) and value <= self.maximum):
            raise InvalidJob(field, f"expected at most {self.maximum}, found {_found(value)}"[:200])
        return value

    def _is_same(self, value: Any, choice: Any) -> bool:
        return bool(value == choice) and (type(value) is type(choice) or self.type == "number")

    def read(self, field: str, typed: str) -> Any:
        """Return the value that a text means, as people type it into a form; it is still to be checked."""
        typed = typed.replace("\r\n", "\n")
        for known in (self.default, *self.choices):
            if known is not None and typed == self.shown(known):  # what was shown means what it was shown for
                return known
        if self.type == "boolean":
            return _WORDS.get(typed.strip().lower(), typed)
        if self.type == "string":
            return typed
        try:
            return json.loads(typed)
        except (ValueError, RecursionError):
            if self.type is None:
                return typed
            raise InvalidJob(field, f"expected {_EXPECTED[self.type]}, found {typed[:40]!r}") from None

    def shown(self, value: Any) -> str:
        """Return a value as a form's field, an argument or a variable holds it."""
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _fits(field: str, pattern: str, text: str) -> bool:
    try:
        return matching.fits(pattern, text)
    except matching.TookTooLong:
        problem = f"it takes too long to tell whether it fits {harmless(pattern)}; a simpler pattern would do"
        raise InvalidJob(field, problem[:1000]) from None


def as_json(value: Any) -> Any:
    """Return what somebody's code says of itself as JSON has it: types by their names, ranges and sets as lists.

    Half of a surrogate pair, which nobody could write, becomes a question mark. Raise ValueError, TypeError or
    RecursionError for what cannot be said so.
    """
    return json.loads(json.dumps(value, default=_plain, allow_nan=False, ensure_ascii=False).encode(errors="replace"))


def _plain(value: object) -> Any:
    if isinstance(value, type):
        return value.__name__
    return list(value) if isinstance(value, (set, frozenset, range)) else str(value)


def _is_of_type(name: str, value: Any) -> bool:
    if isinstance(value, bool):  # which Python counts among the whole numbers
        return name == "boolean"
    if isinstance(value, float):
        return name == "number" and math.isfinite(value)
    return isinstance(value, _TYPES[name])


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_bound(value: Any) -> bool:
    try:
        return _is_number(value) and math.isfinite(value)
    except OverflowError:  # hundreds of digits are not worth a message that names them
        return False


def _found(value: Any) -> str:
    """Say what a value is; a number by itself, since "a number" tells nothing where numbers are expected."""
    try:
        return repr(value)[:40] if _is_number(value) else kind(value)
    except ValueError:  # thousands of digits
        return "a huge number"


def read_schema(found: Any) -> list[Parameter]:
    """Return the parameters that a schema declares. Raise InvalidSchema."""
    if isinstance(found, Mapping):
        found = [_named(name, entry) for name, entry in found.items()]
    if not isinstance(found, (list, tuple)):
        raise InvalidSchema("expected a list of parameters")
    if len(found) > MAX_PARAMETERS:
        raise InvalidSchema(f"expected at most {MAX_PARAMETERS} parameters, found {len(found)}")
    declared = [_parameter(entry) for entry in found]
    names = [parameter.name for parameter in declared]
    for name in names:
        if names.count(name) > 1:
            raise InvalidSchema(f"{name} is declared twice")
    return declared


def _named(name: Any, entry: Any) -> dict[str, Any]:
    if isinstance(entry, str):
        return {"name": name, "type" if entry in (*_TYPES, *_ALIASES) else "description": entry}
    if not isinstance(entry, Mapping):
        raise InvalidSchema(f"{name}: expected an object with type, default ...")
    return {**entry, "name": name}


def _parameter(entry: Any) -> Parameter:
    if isinstance(entry, str):
        entry = {"name": entry}
    if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str) or not _NAME.fullmatch(entry["name"]):
        raise InvalidSchema("each parameter needs a name of letters, digits and _, not beginning with a digit")
    name = entry["name"]
    for key, value in entry.items():
        if key not in Parameter._fields:
            raise InvalidSchema(f"{name}: {key} is not known; known are {', '.join(Parameter._fields)}")
        if value is not None and not _FITS[key](value):
            raise InvalidSchema(f"{name}: {key}: expected {_WANTED[key]}")
    given = {key: value for key, value in entry.items() if value is not None}
    if "type" in given:
        given["type"] = _ALIASES.get(given["type"], given["type"])
    made = Parameter(**{**given, "choices": tuple(given.get("choices", ()))})
    _refuse_what_nothing_fits(made)
    try:
        for value in (*made.choices, *([] if made.default is None else [made.default])):
            made.check(name, json_value(name, value))
    except InvalidJob as error:
        raise InvalidSchema(f"{name}: its own default or choices do not fit: {error.problem}") from None
    return made


def _refuse_what_nothing_fits(declared: Parameter) -> None:
    """Raise InvalidSchema for rules that no value could keep: a schema like that says something else than was meant."""
    if declared.pattern is not None and declared.type not in (None, "string"):
        raise InvalidSchema(f"{declared.name}: pattern: expected only with type string")
    bounds = [bound for bound in (declared.minimum, declared.maximum) if bound is not None]
    if bounds and (declared.type not in (None, "integer", "number") or declared.pattern is not None):
        raise InvalidSchema(f"{declared.name}: minimum and maximum: expected only with type integer or number")
    if bounds != sorted(bounds):
        raise InvalidSchema(f"{declared.name}: minimum: expected at most the maximum, {declared.maximum}")


def _is_pattern(value: Any) -> bool:
    try:
        re.compile(value)
    except (re.error, TypeError, RecursionError, OverflowError):
        return False
    return isinstance(value, str)


_FITS: dict[str, Callable[[Any], bool]] = {
    "name": lambda value: isinstance(value, str),
    "type": lambda value: isinstance(value, str) and value in (*_TYPES, *_ALIASES),
    "required": lambda value: isinstance(value, bool),
    "default": lambda value: True,
    "choices": lambda value: isinstance(value, (list, tuple)) and len(value) > 0,
    "pattern": _is_pattern,
    "minimum": _is_bound,
    "maximum": _is_bound,
    "description": lambda value: isinstance(value, str),
}
_WANTED = {
    "name": "a text", "type": f"one of {', '.join(_TYPES)}", "required": "true or false", "default": "a value",
    "choices": "a list that is not empty", "pattern": "a regular expression", "minimum": "a number",
    "maximum": "a number", "description": "a text",
}  # fmt: skip


def check_values(field: str, schema: Sequence[Parameter], values: Any) -> dict[str, Any]:
    """Return values by name that fit a schema: none undeclared, none required missing. Raise InvalidJob."""
    given = check_object(field, values)
    known = {parameter.name: parameter for parameter in schema}
    for name, value in given.items():
        if name not in known:
            declared = ", ".join(known) or "none"
            raise InvalidJob(harmless(f"{field}.{name}"[:80]), f"is not declared; declared are {declared}"[:1000])
        if value is not None or (known[name].required and known[name].default is None):
            known[name].check(f"{field}.{name}", value)
    for name, parameter in known.items():
        if parameter.required and parameter.default is None and name not in given:
            raise InvalidJob(f"{field}.{name}", "is missing")
    return given


def check_object(field: str, values: Any) -> dict[str, Any]:
    """Return parameters as an object, where no schema says more; null is none. Raise InvalidJob."""
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise InvalidJob(field, f"expected an object of parameters by name, found {kind(values)}")
    checked: dict[str, Any] = json_value(field, dict(values))
    return checked


def with_defaults(schema: Sequence[Parameter], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values with the schema's defaults where none is given."""
    defaults = {parameter.name: parameter.default for parameter in schema if parameter.default is not None}
    return {**defaults, **{name: value for name, value in values.items() if value is not None or name not in defaults}}


def read_typed(field: str, schema: Sequence[Parameter], typed: Mapping[str, str]) -> dict[str, Any]:
    """Return the values that a form's texts mean, still to be checked; an empty text is none. Raise InvalidJob."""
    known = {parameter.name: parameter for parameter in schema}
    return {
        name: known[name].read(f"{field}.{name}", text) if name in known else text
        for name, text in typed.items()
        if text.strip() or (text and name in known and known[name].type == "string")
    }
