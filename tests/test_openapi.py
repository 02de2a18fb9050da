"""The description of the API: no route is forgotten, it is valid, it is true of what the server answers and takes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from running_jobs import http_spec, spec
from running_jobs.actions import Actions
from running_jobs.errors import JobsError
from running_jobs.job import Job
from running_jobs.settings import load_settings
from running_jobs.store import JobStore
from running_jobs.web.application import build_app
from running_jobs.web.openapi.document import AUTOMATIC, NOT_DESCRIBED, paths_of
from running_jobs.web.openapi.operations import OPERATIONS
from running_jobs.web.openapi.options import option_schemas
from running_jobs.web.openapi.responses import error_responses
from running_jobs.web.responses import CODES

from .conftest import Answer, LocalClient, Server, wait_for_end

CODE = b'from running_jobs import Worker\n\nclass Mine(Worker):\n    """Does nothing."""\n    def run(self):\n        pass\n'


@pytest.fixture
def document(local: LocalClient) -> Any:
    """Give the description, as it is sent."""
    return local.get("/openapi.json").json


# --- no route is forgotten


def routes_of(data: Path) -> set[tuple[str, str, str]]:
    """Return the application's endpoints, methods and rules, but for the page's files."""
    return {
        (rule.endpoint, method, str(rule))
        for rule in build_app(load_settings(str(data))).url_map.iter_rules()
        for method in (rule.methods or set()) - AUTOMATIC
        if rule.endpoint not in NOT_DESCRIBED
    }


def test_every_route_is_described_and_nothing_else(data: Path, document: Any) -> None:
    endpoints = {endpoint for endpoint, _, _ in routes_of(data)}
    assert endpoints - OPERATIONS.keys() == set(), "say in web/openapi/operations.py what it reads and answers"
    assert OPERATIONS.keys() - endpoints == set(), "the application has no such route any more"
    adapter = build_app(load_settings(str(data))).url_map.bind("localhost")
    examples = {"job_id": "20261121-203915-000001", "saved_id": "abc", "name": "Name"}
    described = set()
    for path, operations in document["paths"].items():
        for method in operations:
            rule, _ = adapter.match(path.format(**examples), method.upper(), return_rule=True)
            described.add((rule.endpoint, method.upper(), str(rule)))
    assert described == routes_of(data)


def test_a_rule_of_some_words_alone_is_a_path_for_each(data: Path, document: Any) -> None:
    for verb in ("start", "stop", "kill", "delete", "again"):
        assert document["paths"][f"/jobs/{{job_id}}/{verb}"]["post"]["summary"] == f"Do one thing to a job: {verb}."
    rules = build_app(load_settings(str(data))).url_map.iter_rules()
    assert sum(len([*paths_of(rule)]) for rule in rules) > len(OPERATIONS)


def test_the_description_is_valid(document: Any) -> None:
    assert document["openapi"] == "3.1.0"
    validate(document)
    ids = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids))


def test_every_error_that_there_is_has_a_description() -> None:
    assert {str(code) for code in CODES.values()} <= error_responses().keys()


# --- it is sent


def test_it_is_made_once_and_not_sent_again_to_who_has_it(local: LocalClient) -> None:
    answer = local.get("/openapi.json")
    assert (answer.code, answer.headers["Content-Type"]) == (200, "application/json")
    assert local.get("/openapi.json", headers={"If-None-Match": answer.headers["ETag"]}).code == 304
    packed = local.get("/openapi.json", headers={"Accept-Encoding": "gzip"})
    again = local.get("/openapi.json", headers={"If-None-Match": packed.headers["ETag"]})
    assert (packed.headers["Content-Encoding"], again.code) == ("gzip", 304)


@pytest.mark.parametrize("path", ["/openapi.json", "/static/page.js", "/?part=live"])
@pytest.mark.parametrize("name", ["If-Modified-Since", "If-Unmodified-Since", "If-Range"])
def test_a_date_that_cannot_be_read_is_passed_over(local: LocalClient, path: str, name: str) -> None:
    odd = "Sun, 22 Nov 2026 10:00:00 999999999999999999999999"
    assert local.get(path, headers={name: odd, "Range": "bytes=0-1"}).code in (200, 206)
    dated = local.get("/static/page.js").headers["Last-Modified"]
    assert local.get("/static/page.js", headers={"If-Modified-Since": dated}).code == 304


def test_it_says_below_which_path_the_server_is(data: Path, configure: Callable[..., Actions]) -> None:
    assert LocalClient(data).get("/openapi.json").json["servers"] == [{"url": "/"}]
    configure('url_prefix = "/jobs-ui"\n')
    client = LocalClient(data)
    for path in ("/openapi.json", "/jobs-ui/openapi.json"):  # whether the proxy strips it or not
        assert client.get(path).json["servers"] == [{"url": "/jobs-ui"}]
    configure("trusted_proxies = 1\n")
    client = LocalClient(data)
    for prefix in (*(f"/made-up-{number}" for number in range(10)), "/a"):
        told = client.get("/openapi.json", headers={"X-Forwarded-Prefix": prefix}).json
        assert told["servers"] == [{"url": prefix}]


def test_it_needs_the_user_and_says_so(data: Path, configure: Callable[..., Actions]) -> None:
    without = LocalClient(data).get("/openapi.json").json
    assert "securitySchemes" not in without["components"]
    configure('user = "alice"\npassword = "secret"\n')
    client = build_app(load_settings(str(data))).test_client()
    assert client.get("/openapi.json").status_code == 401
    found = client.get("/openapi.json", auth=("alice", "secret")).json
    validate(found)
    assert found["components"]["securitySchemes"]["basic"] == {"type": "http", "scheme": "basic"}
    for path, operations in found["paths"].items():
        for operation in operations.values():
            assert ("security" in operation, "401" in operation["responses"]) == (path != "/health",) * 2
            reached = client.get(path.replace("{", "").replace("}", "")).status_code
            assert (reached == 401) == (path != "/health")


# --- it is true of what is taken


def validator_of(schema: Any, document: Any) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": document["components"]})


EXEC: dict[str, Any] = {"type": "exec", "cmd": "true"}
HTTP: dict[str, Any] = {"type": "http", "url": "http://127.0.0.1/"}
ODD: list[Any] = [
    None, True, False, 0, 1, -1, 0.5, -0.5, 1e300, "", " ", "\n", "a", "a\nb", "\0", "a\0b", "x" * 100_001, [], ["a"], {},
    {"a": "b"}, {"a": 1}, {"": "b"}, {"a=b": "c"}, {"a": "\0"}, "/tmp", "~", "tmp", "local", "elsewhere", 19, 20, -20, -21,
    1000, 1001, 1_000_000, 1_000_001, -1_000_001, 1_000_000_000, 1_000_000_001, 10**400, "2026-11-21T20:30",
    "2026-11-21t20:30:00,5z", "2026-11-21 20:30:00.123+01:00", "2026-11-21", "20:30", ["20261121-203915-000001"],
    ["short"], ["20261121-203915-000001"] * 1001, [1], EXEC, {"type": "exec"}, {"type": "exec", "cmd": " "},
    {"type": "exec", "cmd": 1}, {**EXEC, "timeout": 1}, {**EXEC, "timeout": 0}, {**EXEC, "timeout": 3601}, {**EXEC, "x": 1},
    {"type": "worker", "name": "TestWorker"}, {"type": "worker", "name": "TestWorker", "parameters": None},
    {"type": "worker"}, {"type": "worker", "name": "A", "parameters": []}, {"type": "worker", "name": "A", "more": 1},
    {"type": "method", "class": "a.B", "method": "c"}, {"type": "method", "class": "a.B", "method": "c", "params": 5},
    {"type": "method", "class": "a.B"}, {"type": "method", "class": "a.B", "method": "c", "cmd": "true"},
    {"type": "approved", "name": "a", "parameters": {"b": 1}}, {"type": "approved", "name": 5}, {"type": "other"}, {"type": ["exec"]},
    HTTP, {"type": "http"}, {**HTTP, "url": "ftp://a"}, {**HTTP, "url": "http://a b"}, {**HTTP, "url": "http://u:p@a/"},
    {**HTTP, "method": "PUT", "body": "a"}, {**HTTP, "method": "TRACE"}, {**HTTP, "method": 1}, {**HTTP, "json": None, "body": ""},
    {**HTTP, "params": {"a": [1, "b", None, True]}}, {**HTTP, "params": {"a": {}}}, {**HTTP, "params": []},
    {**HTTP, "headers": {"X-A": "b"}}, {**HTTP, "headers": {"X A": "b"}}, {**HTTP, "headers": {"X-A": "b\nc"}},
    {**HTTP, "headers": {"X-A": "\u20ac"}}, {**HTTP, "timeout": 0}, {**HTTP, "timeout": 0.5}, {**HTTP, "more": 1},
]  # fmt: skip


def is_taken(name: str, value: Any) -> bool:
    try:
        spec.check_options({name: value})
    except JobsError:
        return False
    return True


@pytest.mark.parametrize("name", spec.OPTIONS)
def test_an_option_is_described_as_it_is_taken(document: Any, name: str) -> None:
    valid = validator_of(option_schemas()[name], document)
    values = [value for value in ODD if not (name == "progress_pattern" and isinstance(value, str))]
    differ = [repr(value)[:80] for value in values if valid.is_valid(value) != is_taken(name, value)]
    assert differ == []
    assert any(is_taken(name, value) for value in values)
    assert not all(is_taken(name, value) for value in values)


def test_every_field_of_a_command_is_described(document: Any) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["HttpRequest"]["properties"].keys() == http_spec.CHECKS.keys()
    assert {*schemas["NewJob"]["properties"]} == {*spec.OPTIONS, "start", "worker", "parameters"}
    assert {*schemas["JobChanges"]["properties"]} == {*spec.OPTIONS} - {"command"}


def test_what_a_new_job_may_be_is_described(local: LocalClient, document: Any) -> None:
    valid = validator_of({"$ref": "#/components/schemas/NewJob"}, document)
    bodies: list[Any] = [
        {"command": EXEC}, {"command": EXEC, "start": False, "priority": 1}, {"worker": "TestWorker"},
        {"worker": "TestWorker", "parameters": {"count": 1, "sleep": 0}}, {}, {"command": EXEC, "worker": "TestWorker"},
        {"parameters": {}}, {"command": EXEC, "parameters": {}}, {"command": EXEC, "more": 1}, {"command": EXEC, "start": 1},
        [], None, {"worker": None}, {"command": None},
    ]  # fmt: skip
    for body in bodies:
        answer = local.post("/jobs", json.dumps(body))
        assert (answer.code == 201) == valid.is_valid(body), (body, answer.text)


# --- it is true of what is answered


def check(document: Any, path: str, method: str, answer: Answer) -> None:
    """See that an answer is one of those that are described for an operation."""
    described = document["paths"][path][method.lower()]["responses"]
    assert str(answer.code) in described, (path, method, answer.code, answer.body[:300])
    found = described[str(answer.code)]
    if "$ref" in found:
        found = document["components"]["responses"][found["$ref"].rpartition("/")[2]]
    for name, header in found.get("headers", {}).items():
        assert not header["required"] or name in answer.headers, (path, method, name)
    content = found.get("content")
    if content is None:
        assert answer.body == b"" or answer.code == 303
        return
    kind = answer.headers["Content-Type"].partition(";")[0]
    assert kind in content or "*/*" in content, (path, method, kind)
    if kind == "application/json" and kind in content:
        validator_of(content[kind]["schema"], document).validate(answer.json)


def asked(client: LocalClient | Server, ids: dict[str, str]) -> Iterator[tuple[str, str, Answer]]:
    """Ask for each operation in at least one way that works, and in some that do not."""
    job, idle, gone, broken = ids["job"], ids["idle"], "20000101-000000-000000", ids["broken"]

    def ask(method: str, path: str, body: Any = None, **values: Any) -> tuple[str, str, Answer]:
        query, headers = values.pop("query", ""), values.pop("headers", None)
        return path, method, client.request(method, path.format(**values) + query, body, headers=headers)

    for query in (
        "",
        "?limit=1",
        "?status=done&q=e&context=default",
        "?status=none",
        "?limit=0",
        "?since=7d&until=1",
        "?before=!",
    ):
        yield ask("GET", "/jobs", query=query)
    for path in (
        "/workers", "/health", "/metrics", "/openapi.json", "/jobs/status", "/", "/logs/background_jobs.log",
        "/logs/background_jobs_errors.log", "/logs/changes/view", "/logs/failures/view",
    ):  # fmt: skip
        yield ask("GET", path)
    for name in (
        "",
        "/status",
        "/log",
        "/response",
        "/out",
        "/err",
        "/stats",
        "/files",
        "/files.zip",
        "/view/out",
        "/view/both",
    ):
        for job_id in (job, idle, gone, broken, "no id"):
            yield ask("GET", f"/jobs/{{job_id}}{name}", job_id=job_id.replace(" ", "%20"))
    for query in ("?tail=1", "?tail=x"):
        yield ask("GET", "/jobs/{job_id}/log", job_id=job, query=query)
    for bounds in ("bytes=0-1", "bytes=99999-", "bytes=-1", "bytes=x", "bytes=0-0,2-3", "lines=0-1", "bytes=5-2"):
        yield ask("GET", "/jobs/{job_id}/out", job_id=job, headers={"Range": bounds})
        yield ask("GET", "/jobs/{job_id}/files/{name}", job_id=job, name="made.txt", headers={"Range": bounds})
        yield ask("GET", "/logs/background_jobs.log", headers={"Range": bounds})
    for name in ("made.txt", "sub/made.png", "../secret", "none", "%00"):
        yield ask("GET", "/jobs/{job_id}/files/{name}", job_id=job, name=name)
    for part in ("number", "find"):
        for query in ("", "?at=0&find=out", "?upto=9&find=out&at=0", "?at=x&find=out"):
            for job_id in (job, idle, gone):
                yield ask("GET", f"/jobs/{{job_id}}/view/out/{part}", job_id=job_id, query=query)
    for job_id in (job, idle, gone, broken):
        yield ask("GET", "/jobs/status/{job_id}", job_id=job_id)
        yield ask("PUT", "/jobs/{job_id}/pid", "12", job_id=job_id)
        yield ask("PATCH", "/jobs/{job_id}", {"priority": 5}, job_id=job_id)
        yield ask("POST", "/jobs/{job_id}/log", "a line", job_id=job_id)
        yield ask("POST", "/jobs/{job_id}/response", "a line", job_id=job_id)
        yield ask("PUT", "/jobs/{job_id}/status", "stop", job_id=job_id)
    yield ask("PUT", "/jobs/{job_id}/status", b"\xff", job_id=job)
    yield ask("DELETE", "/jobs/{job_id}", job_id=idle)
    for body in ({"command": EXEC}, {"command": 5}, "{", '"' + "\\ud800" + '"', "[" * 100_000, b"\xff"):
        yield ask("POST", "/jobs", body)
        yield ask("POST", "/jobs/add", body)
    yield ask("POST", "/jobs/add", [{"command": EXEC, "start": False}] * 2)
    for name in ("TestWorker", "Mine", "None", "os", "1"):
        yield ask("PUT", "/workers/{name}", CODE, name=name)
        yield ask("GET", "/workers/{name}", name=name)
        yield ask("GET", "/workers/{name}/code", name=name)
        yield ask("DELETE", "/workers/{name}", name=name)
    yield from forms_asked(client, ask)


def forms_asked(
    client: LocalClient | Server, ask: Callable[..., tuple[str, str, Answer]]
) -> Iterator[tuple[str, str, Answer]]:
    """Post each form with and without its token."""
    token, headers = client.token(), {"Content-Type": "application/x-www-form-urlencoded"}
    for path, operations in client.get("/openapi.json").json["paths"].items():
        if operations.get("post", {}).get("tags") == ["forms"]:
            idle = client.post("/jobs", {"command": EXEC}).json["data"][0]["id"]
            made = {"job_id": idle, "name": "None", "saved_id": "none"}
            fields = {
                "/launch": "cmd=true&hold=1",
                "/saved": "cmd=true&keep_as=it",
                "/selected": f"verb=delete&id={idle}",
            }
            yield ask("POST", path, "", headers=headers, **made)
            yield ask("POST", path, f"token={token}&{fields.get(path, '')}", headers=headers, **made)
            yield ask("POST", path, "{}", **made)


def test_what_is_answered_is_described(
    local: LocalClient, document: Any, launch: Callable[..., Job], store: JobStore
) -> None:
    made = launch(
        "echo out; mkdir $JOB_FILES/sub; tee $JOB_FILES/made.txt $JOB_FILES/sub/made.png < /dev/null",
        name="e",
        env={"A": "b"},
    )
    ended = wait_for_end(store, made.id)
    broken = "20000101-000000-000001"
    Path(store.paths.json(broken)).write_text("{")
    idle = local.post("/jobs", {"worker": "TestWorker", "after": [ended.id], "callback_done": HTTP}).json["data"][0][
        "id"
    ]
    seen = set()
    for path, method, answer in asked(local, {"job": ended.id, "idle": idle, "broken": broken}):
        check(document, path, method, answer)
        seen.add((path, method.lower(), answer.code < 400))
    known = {(path, method) for path, operations in document["paths"].items() for method in operations}
    twins = {(path, "get") for path, _ in known if "/view/err" in path}
    assert {(path, method) for path, method, _ in seen} == known - twins
    works = {(path, method) for path, method, is_fine in seen if is_fine}
    of_what_is_missing = {path for path, _ in known if "{saved_id}" in path} | {
        "/workers/{name}/delete",
        "/workers/save",
    }
    assert {path for path, _ in known - twins - works} == of_what_is_missing
