"""What an HTTP request may be: each key and rule, with the field that an error names; placeholders and labels."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from running_jobs import http_spec
from running_jobs.checks import MAX_TEXT
from running_jobs.errors import InvalidJob

from .conftest import PROJECT

URL = "http://example.com/path"


def checked(**request: Any) -> dict[str, Any]:
    return http_spec.check("command", {"type": "http", "url": URL, **request})


def refusal(**request: Any) -> InvalidJob:
    """Return why a request is refused."""
    with pytest.raises(InvalidJob) as caught:
        checked(**request)
    return caught.value


def nested(depth: int) -> list[Any]:
    """Return lists within lists."""
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_what_was_given_is_returned_and_nothing_else() -> None:
    assert checked() == {"type": "http", "url": URL}
    request = {
        "type": "http", "url": URL, "method": "PATCH", "json": {"a": [1, None]}, "headers": {"X-A": "b"}, "timeout": 0.5,
    }  # fmt: skip
    assert http_spec.check("command", {**request, "method": "patch"}) == request
    assert checked(params={"a": [1, "b", True, None, 2.5]}, body="with GET")["body"] == "with GET"


@pytest.mark.parametrize("key", ["uri", "Method", "auth", "", "x" * 99])
def test_an_unknown_key_is_named(key: str) -> None:
    error = refusal(**{key: 1})
    assert error.field == f"command.{key[:40]}"
    assert "is not known; an http request has type, url, method" in error.problem


def test_the_url_is_required() -> None:
    with pytest.raises(InvalidJob, match=r"callback\.url: is missing"):
        http_spec.check("callback", {"type": "http"})


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        (None, "expected a text"), (7, "expected a text"), (["http://a"], "expected a text"), ("", "http://"),
        ("example.com/x", "http://"), ("//example.com", "http://"), ("ftp://example.com", "http://"),
        ("file:///etc/passwd", "http://"), ("javascript:alert(1)", "http://"), ("http:example.com", "host"),
        ("http://", "host"), ("http:///path", "host"), ("http://:80/", "host"), ("http://?x", "host"),
        ("http://h:0/", "port"), ("http://h:65536/", "port"), ("http://h:99999999/", "port"), ("http://h:x/", "port"),
        ("http://h:-1/", "port"), ("http://h:+1/", "port"), ("http://h:١/", "port"), ("http://h:1:2/", "port"),
        ("http://user:password@h/", "headers"), ("http://user@h/", "headers"), ("http://@h/", "headers"),
        ("http://h/a b", "spaces"), (" http://h/", "spaces"), ("http://h/\n", "spaces"), ("http://h/\r\nX: y", "spaces"),
        ("http://h/\t", "spaces"), ("http://h/\u2028", "spaces"), ("http://h/\x7f", "control"), ("http://h/\x85", "control"),
        ("http://h/\0", "NUL"), ("http://h/\ud800", "UTF-8"), ("http://h/" + "x" * MAX_TEXT, "characters"),
        ("http://a..b/", "valid name"), ("http://.a/", "valid name"), ("http://a\\@b/", "headers"), ("http://a\\b/", "valid name"),
        ("http://a%20b/", "valid name"), ("http://" + "a" * 64 + "/", "valid name"), ("http://" + "a." * 130 + "/", "valid name"),
        ("http://ü" + "ü" * 70 + "/", "valid name"), ("http://[::1/", "URL"), ("http://[x]/", ""), ("http://a[::1]/", ""),
        ("http://h℀/", "URL"),
    ],
)  # fmt: skip
def test_a_url_that_cannot_be_requested_is_refused(url: Any, problem: str) -> None:
    error = refusal(url=url)
    assert error.field == "command.url"
    assert problem in error.problem


@pytest.mark.parametrize(
    ("url", "target", "netloc"),
    [
        ("http://h", ("http", "h", 80, "/"), "h"),
        ("HTTPS://Ex-Am_ple.COM./?q#part", ("https", "ex-am_ple.com.", 443, "/?q"), "ex-am_ple.com."),
        ("http://h:/x", ("http", "h", 80, "/x"), "h"),
        ("https://h:80/x?", ("https", "h", 80, "/x"), "h:80"),
        ("http://127.0.0.1:8000/a;b/%41?x=%20&y=[1]", ("http", "127.0.0.1", 8000, "/a;b/%41?x=%20&y=[1]"), "127.0.0.1:8000"),
        ("http://[::1]:8/", ("http", "::1", 8, "/"), "[::1]:8"),
        ("http://Bücher.example/grüße?ä=<ß>", ("http", "xn--bcher-kva.example", 80, "/gr%C3%BC%C3%9Fe?%C3%A4=%3C%C3%9F%3E"), "xn--bcher-kva.example"),
        ("http://__JOBID__.example/", ("http", "__jobid__.example", 80, "/"), "__jobid__.example"),
    ],
)  # fmt: skip
def test_where_a_url_leads(url: str, target: tuple[str, str, int, str], netloc: str) -> None:
    assert checked(url=url)["url"] == url
    assert http_spec.target("url", url) == target
    assert http_spec.target("url", url).netloc == netloc


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "", "GET ", "get\r\n", "GETS", None, 1, ["GET"], True])
def test_other_methods_are_refused(method: Any) -> None:
    assert refusal(method=method).field == "command.method"


@pytest.mark.parametrize("method", http_spec.METHODS)
def test_methods_in_any_case(method: str) -> None:
    assert checked(method=method)["method"] == checked(method=method.lower())["method"] == method


@pytest.mark.parametrize(
    ("params", "field"),
    [
        (None, "command.params"), ([], "command.params"), ("a=b", "command.params"), ({1: "a"}, "command.params name"),
        ({"a": {}}, "command.params a"), ({"a": ["x", []]}, "command.params a"), ({"a": [{}]}, "command.params a"),
        ({"a": "\0"}, "command.params a"), ({"a": ["\ud800"]}, "command.params a"), ({"\0": 1}, "command.params name"),
        ({"a": "x" * (MAX_TEXT + 1)}, "command.params a"), ({"a": float("nan")}, "command.params"),
        ({"a": b"x"}, "command.params a"), ({str(n): "x" * MAX_TEXT for n in range(11)}, "command.params"),
    ],
)  # fmt: skip
def test_wrong_params_are_refused(params: Any, field: str) -> None:
    assert refusal(params=params).field == field


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "post"])
@pytest.mark.parametrize("key", ["json", "body"])
def test_params_exclude_another_body(method: str, key: str) -> None:
    error = refusal(method=method, params={}, **{key: "x"})
    assert error.field == "command.params"
    assert f"excludes {key}" in error.problem and method.upper() in error.problem
    assert key in checked(method="HEAD", params={}, **{key: "x"})


def test_json_and_body_exclude_each_other() -> None:
    error = refusal(method="POST", json=None, body="")
    assert (error.field, error.problem) == ("command.body", "excludes json; give one of them")


@pytest.mark.parametrize("body", [None, 1, {}, [], b"x", "\0", "\ud800", "x" * (MAX_TEXT + 1)])
def test_a_body_is_a_text(body: Any) -> None:
    assert refusal(method="POST", body=body).field == "command.body"


@pytest.mark.parametrize("value", [None, True, 0, -1.5, "", "x\0y", [], {}, {"ä": [{"": None}]}, nested(100)])
def test_any_json(value: Any) -> None:
    assert checked(method="POST", json=value)["json"] is value


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (nested(101), "nested more than 100"), (nested(100_000), "nested more than 100"), ({"a": {1: 2}}, "as names"),
        ([float("inf")], "is no JSON"), (float("nan"), "is no JSON"), (["\ud800"], "UTF-8"), ({"\ud800": 1}, "UTF-8"),
        ([b"x"], "expected a JSON value"), ({"a": {1, 2}}, "expected a JSON value"), ((1, 2), "expected a JSON value"),
        ("x" * 999_999, "at most 1000000 bytes"), ([0] * 1_000_001, "at most 1000000 bytes"), ("ä" * 500_000, "at most"),
    ],
)  # fmt: skip
def test_what_is_no_json_or_too_much_of_it(value: Any, problem: str) -> None:
    error = refusal(method="POST", json=value)
    assert error.field == "command.json"
    assert problem in error.problem


def test_json_within_itself_is_refused() -> None:
    value: list[Any] = []
    value.extend([value, value])
    assert "nested" in refusal(method="POST", json=value).problem


def test_the_largest_json() -> None:
    assert checked(method="POST", json="x" * 999_998)


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        (None, "command.headers"), ([["X-A", "b"]], "command.headers"), ("X-A: b", "command.headers"),
        ({1: "a"}, "command.headers name"), ({"X-A": 1}, "command.headers X-A"), ({"X-A": None}, "command.headers X-A"),
        ({"X-A": ["b"]}, "command.headers X-A"), ({"X-B": "b", "X-A": "b\r\nX: y"}, "command.headers X-A"),
        ({"X-A": "b\n"}, "command.headers X-A"), ({"X-A": "\r"}, "command.headers X-A"), ({"X-A": "\0"}, "command.headers X-A"),
        ({"X-A": "\x1b[31m"}, "command.headers X-A"), ({"X-A": "\x7f"}, "command.headers X-A"),
        ({"X-A": "\x85"}, "command.headers X-A"), ({"X-A": "€"}, "command.headers X-A"),
        ({"X-A": "\ud800"}, "command.headers X-A"), ({"X-A": "x" * (MAX_TEXT + 1)}, "command.headers X-A"),
        ({"": "a"}, "command.headers "), ({"X A": "a"}, "command.headers X A"), ({"X-A:": "a"}, "command.headers X-A:"),
        ({"X\r\nY": "a"}, "command.headers X\r\nY"), ({"X-A\n": "a"}, "command.headers X-A\n"), ({"Ä": "a"}, "command.headers Ä"),
        ({"Host": "h"}, "command.headers Host"), ({"content-length": "1"}, "command.headers content-length"),
        ({"TRANSFER-ENCODING": "chunked"}, "command.headers TRANSFER-ENCODING"),
        ({"Connection": "close"}, "command.headers Connection"),
        ({f"X-{n}": "x" * MAX_TEXT for n in range(11)}, "command.headers"),
    ],
)  # fmt: skip
def test_wrong_headers_are_refused(headers: Any, field: str) -> None:
    assert refusal(headers=headers).field == field


def test_headers() -> None:
    headers = {"Authorization": "Bearer x", "X-!#$%&'*+.^_`|~9": "a\tb ü", "Empty": ""}
    assert checked(headers=headers)["headers"] == headers


@pytest.mark.parametrize(
    "timeout", [0, 0.0, -1, 1e9 + 1, float("nan"), float("inf"), 10**400, True, "10", None, [], -(10**400)]
)
def test_wrong_timeouts_are_refused(timeout: Any) -> None:
    assert refusal(timeout=timeout).field == "command.timeout"


@pytest.mark.parametrize("timeout", [0.001, 1, 10, 1e9])
def test_timeouts(timeout: float) -> None:
    assert checked(timeout=timeout)["timeout"] == timeout


def test_placeholders_are_filled_in_where_they_may_be() -> None:
    values = {"__JOBID__": "20260101-1", "__STATUS__": 'a b/"?&%', "__EXITCODE__": "__JOBID__"}
    request = {
        "type": "http",
        "url": "http://h/__JOBID__/__STATUS__?code=__EXITCODE__&__NAME__",
        "method": "POST",
        "headers": {"X-A": "__JOBID__"},
        "params": {"__JOBID__": "__JOBID__", "many": ["<__STATUS__>", 1, None]},
        "json": {"__JOBID__": [{"a": "__JOBID__-__EXITCODE__"}, 5, True, None]},
        "body": "__STATUS__, __JOBID",
        "timeout": 5,
    }
    before = json.dumps(request)
    assert http_spec.fill(request, values) == {
        **request,
        "url": "http://h/20260101-1/a%20b%2F%22%3F%26%25?code=__JOBID__&__NAME__",
        "params": {"__JOBID__": "20260101-1", "many": ['<a b/"?&%>', 1, None]},
        "json": {"__JOBID__": [{"a": "20260101-1-__JOBID__"}, 5, True, None]},
        "body": 'a b/"?&%, __JOBID',
    }
    assert json.dumps(request) == before
    assert http_spec.fill(request, {}) == request


def test_the_label_is_method_and_url_as_given() -> None:
    assert http_spec.label(checked(url="http://Host:80/path?x")) == "GET http://Host:80/path?x"
    assert http_spec.label(checked(method="delete")) == f"DELETE {URL}"


def test_nothing_dear_is_imported() -> None:
    program = "import sys; sys.path.insert(0, sys.argv[1]); import running_jobs.http_spec; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", program, str(PROJECT)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert {"urllib", "urllib.parse", "socket", "http", "email"} & set(done.stdout.split()) == set()
