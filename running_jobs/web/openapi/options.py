"""JSON Schemas of what may be asked for, by the checks that take it: a job's options, its command, its callbacks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from running_jobs import checks, http_spec, parameters, slurm_options, spec
from running_jobs.clocks import FORM
from running_jobs.job import ID_PATTERN

Schema = dict[str, Any]

NO_NUL = r"[^\u0000]*"
_VISIBLE = r"[^\u0000\s\u001c-\u001f\u0085]"
_IN_LATIN_1 = r"[\t\u0020-\u007e\u00a0-\u00ff]*"


def ref(kind: str, name: str) -> Schema:
    """Return a reference to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}


def whole(pattern: re.Pattern[str] | str) -> str:
    """Return a pattern as JSON Schema has it, where one may match anywhere, for texts that fit as a whole."""
    found = pattern if isinstance(pattern, str) else pattern.pattern
    return f"^(?:{found})$"


def nullable(schema: Schema) -> Schema:
    """Return a schema that also takes null."""
    if isinstance(schema.get("type"), str):
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


TEXT: Schema = {"type": "string", "maxLength": checks.MAX_TEXT, "pattern": whole(NO_NUL)}
FILLED: Schema = {**TEXT, "pattern": whole(f"{NO_NUL}{_VISIBLE}{NO_NUL}")}
SECONDS: Schema = {"type": "number", "minimum": 0, "maximum": int(checks.MAX_SECONDS)}
JOB_ID: Schema = {"type": "string", "pattern": whole(ID_PATTERN)}
MOMENT: Schema = {
    "type": "string",
    "pattern": whole(rf"\s*{FORM.pattern}\s*"),
    "description": "A time in ISO 8601; without a zone it is the server's local time.",
}
ANY: Schema = {"description": f"Any JSON value, of at most {checks.MAX_JSON_BYTES} bytes."}
OBJECT: Schema = {"type": "object", "description": f"Of at most {checks.MAX_JSON_BYTES} bytes of JSON."}

_BY_CHECK: dict[Callable[..., Any], Schema] = {
    checks.text: TEXT,
    checks.seconds: SECONDS,
    checks.directory: {
        "type": "string",
        "maxLength": checks.MAX_TEXT,
        "pattern": whole(f"[/~]{NO_NUL}"),
        "description": "The absolute path of a directory that exists; ~ is the home directory.",
    },
    checks.environment: {
        "type": "object",
        "propertyNames": {"pattern": whole(r"[^=\u0000]+"), "maxLength": checks.MAX_TEXT},
        "additionalProperties": TEXT,
    },
    checks.json_value: ANY,
    parameters.check_object: nullable(OBJECT),
    spec.command: ref("schemas", "Command"),
    spec.callback: ref("schemas", "Callback"),
    spec.shell_line: FILLED,
    spec.callback_timeout: {"type": "number", "exclusiveMinimum": 0, "maximum": spec.MAX_CALLBACK_S},
    spec.class_name: {**FILLED, "description": "The dotted name of an approved class, as module.Class."},
    spec.method_name: {**FILLED, "description": "The name of a public method."},
    spec.context: FILLED,
    spec.moment: MOMENT,
    spec.ids: {
        "type": "array",
        "items": JOB_ID,
        "maxItems": spec.MAX_AFTER,
        "description": "Ids of jobs that exist: it waits until they are done.",
    },
    spec.pattern: {**TEXT, "description": "A regular expression by which the output says how far the job is."},
    spec.executor: {"enum": [*spec.EXECUTORS], "description": "Who runs it; slurm only where the settings have it."},
    slurm_options.arguments_for_sbatch: {
        "type": "array",
        "items": {
            "type": "string",
            "maxLength": slurm_options.MAX_ARG,
            "pattern": "^-",
            "description": "An option with its value in one text, as --nodes=2; none that a job has an option for.",
        },
        "maxItems": slurm_options.MAX_ARGS,
        "description": "Further arguments for sbatch.",
    },
}
_PARAM: Schema = {"anyOf": [TEXT, {"type": ["number", "boolean", "null"]}]}
_OF_A_REQUEST: dict[str, Schema] = {  # whose checks are http_spec's own
    "type": {"const": "http"},
    "url": {**TEXT, "pattern": whole(r"https?://[^\s\u0000-\u001f\u007f-\u009f@]+"), "format": "uri"},
    "method": {"enum": list(http_spec.METHODS)},
    "params": {
        "type": "object",
        "propertyNames": TEXT,
        "additionalProperties": {"anyOf": [_PARAM, {"type": "array", "items": _PARAM}]},
        "description": f"In the query with {' and '.join(http_spec.PARAMS_IN_QUERY)}, else the form-encoded body.",
    },
    "headers": {
        "type": "object",
        "propertyNames": {"pattern": whole(http_spec.TOKEN)},
        "additionalProperties": {"type": "string", "pattern": whole(_IN_LATIN_1)},
        "description": f"Without {', '.join(http_spec.OURS)}, which follow from the request.",
    },
    "timeout": {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": int(checks.MAX_SECONDS),
        "default": http_spec.DEFAULT_TIMEOUT_S,
    },
}


def option_schemas() -> dict[str, Schema]:
    """Return the schema of each option of a job."""
    may_be_null = (*spec.NULLABLE, *spec.DEFAULTED)
    found = {name: schema_of(check) for name, check in spec.OPTIONS.items()}
    return {name: nullable(schema) if name in may_be_null else schema for name, schema in found.items()}


def schema_of(check: Callable[..., Any]) -> Schema:
    """Return the schema of what a check takes. Raise KeyError for one that is not known here yet."""
    if isinstance(check, checks.WholeNumber):
        return {"type": "integer", "minimum": check.low, "maximum": check.high}
    if isinstance(check, slurm_options.Pattern):
        form: Schema = {"type": "string", "pattern": whole(check.pattern), "description": f"{check.expected}."}
        most = slurm_options.MAX_NUMBER
        return {"anyOf": [form, {"type": "integer", "minimum": 0, "maximum": most}]} if check.numbers else form
    return _BY_CHECK[check]


def request_schemas() -> dict[str, Schema]:
    """Return the components for what is asked for, by name: options, commands, callbacks."""
    options = option_schemas()
    command = options.pop("command")
    start = {"type": "boolean", "default": False, "description": "Whether it is queued at once."}
    worker = {
        "worker": {**TEXT, "description": "A worker's name, in place of `command`."},
        "parameters": {**nullable(OBJECT), "description": "Of that worker."},
    }
    new_job = {
        **_object({"command": command, **worker, **options, "start": start}),
        "oneOf": [{"required": ["command"]}, {"required": ["worker"]}],
        "dependentRequired": {"parameters": ["worker"]},
        "description": "A job's options. Of `delay` and `at` one may be given.",
    }
    return {
        "NewJob": new_job,
        "JobChanges": {**_object(options), "minProperties": 1},
        **_kinds("Command", spec.COMMANDS),
        **_kinds("Callback", spec.CALLBACKS),
        "HttpRequest": _http_request(),
    }


def _kinds(what: str, kinds: Mapping[str, Mapping[str, Any]]) -> dict[str, Schema]:
    """Return the components for all that a command or a callback may be, and for any of them."""
    names = {kind: "HttpRequest" if kind == "http" else f"{kind.title()}{what}" for kind in kinds}
    found = {names[kind]: _kind(kind, fields) for kind, fields in kinds.items() if kind != "http"}
    refs = {kind: ref("schemas", name) for kind, name in names.items()}
    mapping = {kind: schema["$ref"] for kind, schema in refs.items()}
    any_of_them = {"oneOf": [*refs.values()], "discriminator": {"propertyName": "type", "mapping": mapping}}
    return {what: any_of_them, **found}


def _kind(kind: str, fields: Mapping[str, Any]) -> Schema:
    required = ["type", *(name for name in fields if name in spec.REQUIRED)]
    properties = {name: schema_of(check) for name, check in fields.items()}
    return {**_object({"type": {"const": kind}, **properties}), "required": required}


def _http_request() -> Schema:
    properties = {name: _OF_A_REQUEST.get(name) or schema_of(check) for name, check in http_spec.CHECKS.items()}
    return {
        **_object(properties),
        "required": [*http_spec.REQUIRED],
        "not": {"required": ["json", "body"]},
        "description": "An HTTP request. `params` excludes `json` and `body` where they would be the body as well.",
    }


def _object(properties: dict[str, Schema]) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False}
