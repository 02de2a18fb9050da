"""The document itself: each rule of the application's URL map with what it reads, answers and refuses."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from flask import Flask
from werkzeug.routing import Rule

import running_jobs
from running_jobs.web.openapi.operations import OPERATIONS, Operation
from running_jobs.web.openapi.options import Schema, request_schemas
from running_jobs.web.openapi.parameters import RANGE, of_page, of_path, of_query
from running_jobs.web.openapi.records import answer_schemas
from running_jobs.web.openapi.responses import error, error_responses

AUTOMATIC = {"HEAD", "OPTIONS"}  # each GET can be asked for its HEAD, each path for its OPTIONS
NOT_DESCRIBED = ("static",)  # files of the page
PAGE = "pages.show_page"

_VARIABLE = re.compile(r"<(?:(?P<kind>\w+)(?:\((?P<choices>[^)]*)\))?:)?(?P<name>\w+)>")
_ABOUT = (
    "Launches shell commands that run for hours, and follows them. Bodies of JSON routes are read as JSON whatever "
    "their content type. What is no HTTP (400), has too large a head (431) or far too large a body (413) is refused in "
    "plain text before it gets here. For whatever changes something: `Sec-Fetch-Site`, if sent, must be `same-origin` "
    "or `none`, otherwise `Origin`, if sent, the server's own; clients that are no browsers send neither. Forms carry "
    "the page's token."
)


class Path(NamedTuple):
    """A path that a rule stands for: `words` are those that it was chosen by, `variables` those that are left."""

    text: str
    words: tuple[str, ...]
    variables: tuple[str, ...]


def document_of(app: Flask, has_users: bool, open_to_all: set[str]) -> dict[str, Any]:
    """Describe an application, but for the servers it is reached by. Raise KeyError for a route nobody described."""
    paths: dict[str, Any] = {}
    for rule in app.url_map.iter_rules():
        if rule.endpoint in NOT_DESCRIBED:
            continue
        operation = OPERATIONS[rule.endpoint]
        said = app.view_functions[rule.endpoint].__doc__ or ""
        for path in paths_of(rule):
            for method in sorted((rule.methods or set()) - AUTOMATIC):
                described = _operation(rule, path, method, operation, said)
                if has_users and path.text not in open_to_all:
                    described["responses"] |= {str(code): error(code) for code in (401, 429)}
                    described["security"] = [{"basic": []}]
                paths.setdefault(path.text, {})[method.lower()] = described
    components: dict[str, Any] = {
        "schemas": {**request_schemas(), **answer_schemas()},
        "responses": error_responses(),
    }
    if has_users:
        components["securitySchemes"] = {"basic": {"type": "http", "scheme": "basic"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Running Jobs", "version": running_jobs.__version__, "description": _ABOUT},
        "paths": dict(sorted(paths.items())),
        "components": components,
    }


def paths_of(rule: Rule) -> Iterator[Path]:
    """Return the paths that a rule stands for: one for each word where it takes some words alone."""
    found = list(_VARIABLE.finditer(rule.rule))
    chosen = [match for match in found if match["kind"] == "any"]
    variables = tuple(match["name"] for match in found if match["kind"] != "any")
    for words in itertools.product(*(match["choices"].split(",") for match in chosen)):
        word_of = {match["name"]: word.strip() for match, word in zip(chosen, words, strict=True)}
        text = _VARIABLE.sub(lambda match, known=word_of: known.get(match["name"], f"{{{match['name']}}}"), rule.rule)  # type: ignore[misc]
        yield Path(text, words, variables)


def _operation(rule: Rule, path: Path, method: str, operation: Operation, said: str) -> dict[str, Any]:
    summary = " ".join(said.partition("\n\n")[0].split())
    described: dict[str, Any] = {
        "operationId": "_".join((rule.endpoint.replace(".", "_"), *path.words)),
        "summary": f"{summary.rstrip('.')}: {', '.join(path.words)}." if path.words else summary,
        "tags": ["forms" if operation.is_form else path.text.split("/")[1] or "page"],
        "responses": _responses(path, method, operation),
    }
    parameters = [of_path(path.text, name) for name in path.variables] + [of_query(name) for name in operation.query]
    if rule.endpoint == PAGE:
        parameters += of_page()
    if operation.has_ranges:
        parameters.append(RANGE)
    if parameters:
        described["parameters"] = parameters
    if operation.body is not None:
        described["requestBody"] = {"required": not operation.may_be_empty, "content": operation.body}
    return described


def _responses(path: Path, method: str, operation: Operation) -> Schema:
    codes = {400, 500, 503, 507}
    if path.variables:
        codes |= {404, 409}
    if method != "GET":
        codes |= {403, 409, 413}
    if operation.is_form:
        codes |= {404}
    answers = {**{code: error(code) for code in codes}, **operation.answers}
    return {str(code): answers[code] for code in sorted(answers)}
