"""Schemas of parameters: what declares one, which values fit, what a form's texts mean. Pure."""

from __future__ import annotations

import re
from typing import Any

import pytest

from running_jobs.checks import MAX_TEXT
from running_jobs.errors import InvalidJob
from running_jobs.parameters import (
    MAX_PARAMETERS,
    InvalidSchema,
    Parameter,
    check_values,
    read_schema,
    read_typed,
    with_defaults,
)

HUGE = 10**5000


def parameter(**rules: Any) -> Parameter:
    """Return the only parameter of a schema."""
    [found] = read_schema([{"name": "x", **rules}])
    return found


# --- what is a schema


def test_a_schema_is_a_list_or_an_object_and_types_go_by_two_names() -> None:
    listed = read_schema([{"name": "count", "type": "int", "default": 3}, "note"])
    assert listed == [Parameter("count", "integer", default=3), Parameter("note")]
    named = read_schema({"count": {"type": "integer", "default": 3}, "note": "what to say", "size": "float"})
    assert named == [
        Parameter("count", "integer", default=3), Parameter("note", description="what to say"), Parameter("size", "number"),
    ]  # fmt: skip
    assert read_schema([]) == read_schema({}) == []


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        (None, "a list of parameters"), ("count", "a list of parameters"), (5, "a list of parameters"),
        ([5], "needs a name"), ([{}], "needs a name"), ([{"name": 5}], "needs a name"), ([""], "needs a name"),
        (["a b"], "needs a name"), (["1a"], "needs a name"), (["a\n"], "needs a name"), (["ä"], "needs a name"),
        (["a-b"], "needs a name"), (["x" * 101], "needs a name"), ({"": {}}, "needs a name"), ({5: {}}, "needs a name"),
        ({"a": 5}, "a: expected an object"), ({"a": None}, "a: expected an object"), (["a", "a"], "a is declared twice"),
        ([f"p{n}" for n in range(MAX_PARAMETERS + 1)], "at most 100"),
    ],
)  # fmt: skip
def test_what_is_no_schema_is_refused(schema: Any, problem: str) -> None:
    with pytest.raises(InvalidSchema, match=problem):
        read_schema(schema)


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        ({"colour": 1}, "x: colour is not known"), ({"Type": "string"}, "x: Type is not known"),
        ({"type": "interger"}, "x: type: expected one of"), ({"type": 5}, "x: type"), ({"type": ["string"]}, "x: type"),
        ({"required": 1}, "x: required: expected true or false"), ({"required": "yes"}, "x: required"),
        ({"choices": []}, "x: choices: expected a list"), ({"choices": "ab"}, "x: choices"), ({"choices": {"a": 1}}, "x: choices"),
        ({"pattern": "("}, "x: pattern: expected a regular"), ({"pattern": 5}, "x: pattern"), ({"pattern": b"a"}, "x: pattern"),
        ({"minimum": "1"}, "x: minimum: expected a number"), ({"minimum": True}, "x: minimum"),
        ({"maximum": float("nan")}, "x: maximum"), ({"maximum": float("inf")}, "x: maximum"), ({"maximum": HUGE}, "x: maximum"),
        ({"description": 5}, "x: description: expected a text"),
        ({"type": "integer", "pattern": "5"}, "x: pattern: expected only with type string"),
        ({"type": "string", "minimum": 1}, "x: minimum and maximum: expected only"),
        ({"pattern": "5", "maximum": 1}, "x: minimum and maximum: expected only"),
        ({"minimum": 3, "maximum": 2.5}, "x: minimum: expected at most the maximum, 2.5"),
        ({"type": "integer", "default": "5"}, "default or choices do not fit: expected a whole number"),
        ({"type": "integer", "default": True}, "do not fit"), ({"type": "number", "default": float("nan")}, "do not fit"),
        ({"type": "integer", "default": 9, "maximum": 8}, "do not fit: expected at most 8"),
        ({"choices": ["a"], "default": "b"}, "do not fit"), ({"type": "integer", "choices": [1, "a"]}, "do not fit"),
        ({"pattern": "[a-z]+", "choices": ["a", "B"]}, "do not fit"), ({"type": "string", "default": "a\0"}, "do not fit"),
    ],
)  # fmt: skip
def test_a_wrong_rule_is_named(rules: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidSchema, match=re.escape(problem)):
        parameter(**rules)


# --- which values fit


@pytest.mark.parametrize(
    ("rules", "fitting"),
    [
        ({}, ["a", "", 5, 1.5, True, [1], {"a": None}]),
        ({"type": "string"}, ["", "a", "$(rm -rf /)", "a\nb", "日本", "-x", "{x}", "x" * MAX_TEXT]),
        ({"type": "integer"}, [0, -5, 10**30]),
        ({"type": "number"}, [0, -5, 1.5, 1.0, 1e300]),
        ({"type": "boolean"}, [True, False]),
        ({"type": "array"}, [[], [1, "a", [None]]]),
        ({"type": "object"}, [{}, {"a": 1}]),
        ({"choices": ["a", 1, 1.5, True]}, ["a", 1, 1.5, True]),
        ({"pattern": "[a-z]+"}, ["a", "abc"]),
        ({"pattern": "a$"}, ["a"]),
        ({"pattern": "a|ab"}, ["a", "ab"]),
        ({"type": "integer", "minimum": 1, "maximum": 3}, [1, 2, 3]),
        ({"type": "number", "minimum": 0.5}, [0.5, 10**400]),
    ],
)  # fmt: skip
def test_a_value_that_fits_is_returned_as_it_is(rules: dict[str, Any], fitting: list[Any]) -> None:
    for value in fitting:
        found = parameter(**rules).check("x", value)
        assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("rules", "wrong", "problem"),
    [
        ({"type": "string"}, [5, True, None, ["a"], {}], "expected a text, found"),
        ({"type": "string"}, ["a\0b"], "NUL"), ({"type": "string"}, ["\ud800"], "UTF-8"),
        ({"type": "string"}, ["x" * (MAX_TEXT + 1)], "characters"), ({}, ["a\0"], "NUL"),
        ({"type": "integer"}, [True, False, "1", None, [1]], "expected a whole number, found"),
        ({"type": "integer"}, [1.0], "expected a whole number, found 1.0"),
        ({"type": "number"}, [True, "1", None], "expected a number, found"),
        ({"type": "number"}, [float("nan")], "expected a number, found nan"), ({"type": "number"}, [float("-inf")], "-inf"),
        ({"type": "boolean"}, [0, 1, "true", None, 1.0], "expected true or false"),
        ({"type": "array"}, [{}, "[]", None], "expected a list"), ({"type": "object"}, [[], "{}", None], "expected an object"),
        ({"choices": ["a", 1, True]}, ["b", "A", "a ", 1.0, 0, False, "1", None, ["a"]], 'expected one of "a", 1, true'),
        ({"choices": [1]}, [True, 1.0, "1"], "expected one of 1"), ({"choices": [1.5, 2.0]}, [2], "expected one of 1.5, 2.0"),
        ({"pattern": "[a-z]+"}, ["", "a1", "1a", "a\n", "\na", "a b", 5, None, ["a"]], "fits [a-z]+ as a whole"),
        ({"pattern": "^a$"}, ["a\n", "b\na", "aa"], "as a whole"), ({"pattern": "(?m)^a$"}, ["a\nb", "a\n"], "as a whole"),
        ({"pattern": "(?x)\n[0-9]\\d"}, ["a"], "fits (?x)\\n[0-9]\\d as a whole"), ({"pattern": "a" * 9999}, ["b"], "fits aaa"),
        ({"type": "integer", "minimum": 1, "maximum": 3}, [0, -1, -HUGE], "expected at least 1, found"),
        ({"type": "integer", "minimum": 1, "maximum": 3}, [4, HUGE], "expected at most 3, found"),
        ({"minimum": 10_000_000}, [9_999_999], "expected at least 10000000, found 9999999"),
        ({"minimum": 1}, ["2", True, None, [2]], "expected at least 1"),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_refused(rules: dict[str, Any], wrong: list[Any], problem: str) -> None:
    for value in wrong:
        with pytest.raises(InvalidJob, match=re.escape(problem)) as caught:
            parameter(**rules).check("parameters.x", value)
        assert caught.value.field == "parameters.x"
        assert len(str(caught.value)) < 1100


def test_values_must_be_declared_and_required_ones_there() -> None:
    schema = read_schema(
        {"must": {"type": "integer", "required": True}, "may": "string", "has": {"required": True, "default": 1}}
    )
    assert check_values("p", schema, {"must": 1}) == {"must": 1}
    assert check_values("p", schema, {"must": 1, "may": None}) == {"must": 1, "may": None}
    for values, problem in (
        ({}, "p.must: is missing"), (None, "p.must: is missing"), ({"must": None}, "p.must: expected a whole number, found null"),
        ({"must": 1, "mad": 2}, "p.mad: is not declared; declared are must, may, has"), ([1], "p: expected an object"),
        ("must", "p: expected an object"), ({"must": 1, "may": {"a": "b"}}, "p.may: expected a text, found an object"),
        ({"must": 1, "x" * 500: 2}, "is not declared"), ({"a\nb\x1b": 1}, "p.a\\nb\\x1b: is not declared"), ({5: 1}, "p: expected texts as names"),
        ({"must": float("nan")}, "p: is no JSON"), ({"must": 1, "may": object()}, "p: expected a JSON value"),
    ):  # fmt: skip
        with pytest.raises(InvalidJob, match=re.escape(problem)):
            check_values("p", schema, values)
    with pytest.raises(InvalidJob, match="declared are none"):
        check_values("p", [], {"a": 1})


def test_defaults_stand_where_nothing_is_given() -> None:
    schema = read_schema([{"name": "a", "default": 1}, {"name": "b", "default": False}, "c"])
    assert with_defaults(schema, {}) == {"a": 1, "b": False}
    assert with_defaults(schema, {"a": None, "b": True, "c": None}) == {"a": 1, "b": True, "c": None}


# --- what people type


@pytest.mark.parametrize(
    ("rules", "typed", "value"),
    [
        ({"type": "string"}, "5", "5"), ({"type": "string"}, "a\r\nb", "a\nb"), ({"type": "string"}, " a ", " a "),
        ({"type": "integer"}, "5", 5), ({"type": "integer"}, " -5 ", -5), ({"type": "number"}, "1e3", 1000.0),
        ({"type": "boolean"}, "on", True), ({"type": "boolean"}, "FALSE", False), ({"type": "boolean"}, "perhaps", "perhaps"),
        ({"type": "array"}, "[1]", [1]), ({"type": "object"}, '{"a": 1}', {"a": 1}), ({}, "no JSON", "no JSON"), ({}, "[1]", [1]),
        ({"choices": ["1", 2]}, "1", "1"), ({"choices": ["1", 2]}, "2", 2), ({}, "[" * 100_000, "[" * 100_000),
    ],
)  # fmt: skip
def test_what_a_form_holds_is_read_by_type(rules: dict[str, Any], typed: str, value: Any) -> None:
    found = read_typed("p", [parameter(**rules)], {"x": typed})
    assert found == {"x": value}
    assert type(found["x"]) is type(value)


@pytest.mark.parametrize("typed", ["five", "5,", "", "0x5"])
def test_an_empty_field_is_none_and_no_number_is_refused(typed: str) -> None:
    if not typed:
        assert read_typed("p", [parameter(type="integer")], {"x": "  "}) == {}
        return
    with pytest.raises(InvalidJob, match=r"p\.x: expected a whole number, found"):
        read_typed("p", [parameter(type="integer")], {"x": typed})


@pytest.mark.parametrize(
    ("value", "shown"),
    [("a b", "a b"), (5, "5"), (1.5, "1.5"), (True, "true"), (False, "false"), (["ä"], '["ä"]'), ("", "")],
)
def test_a_value_is_shown_as_an_argument_holds_it(value: Any, shown: str) -> None:
    assert parameter().shown(value) == shown
