"""Every route of the application's own map, asked by everybody from everywhere; what must be refused leaves no trace.

A route that is new is tried with the others at once. One that changes something also needs, in BODIES, a request that
does so: otherwise nobody knows whether the refused ones would have.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from running_jobs.settings import load_settings
from running_jobs.web.application import build_app

from .house import COMMAND, OPERATOR, VIEWER, WORKER, House

READING = {"GET", "HEAD", "OPTIONS"}
OWN = "http://localhost"
USERS = {"no user": None, "wrong password": ("olga", "wrong"), "viewer": VIEWER, "operator": OPERATOR}
PAGES: dict[str, dict[str, str]] = {
    "own page": {"Origin": OWN, "Sec-Fetch-Site": "same-origin"},
    "own page, older browser": {"Origin": OWN},
    "no browser": {},
    "other origin": {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
    "other origin, older browser": {"Origin": "https://evil.example"},
    "other origin, same site": {"Origin": "http://localhost:81", "Sec-Fetch-Site": "same-site"},
    "other origin, sandboxed": {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
    "other host name": {"Host": "evil.example", "Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"},
    "other host name, no browser": {"Host": "evil.example"},
}

FORM: dict[str, str] = {}
BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/launch"): {"cmd": "true", "hold": "1"},
    ("POST", "/jobs/<job_id>/<any(start,stop,kill,delete,again):verb>"): FORM,
    ("POST", "/jobs/<job_id>/set"): {"name": "changed", "shown.name": "held"},
    ("POST", "/<any(pause,resume):verb>"): FORM,
    ("POST", "/workers/save"): {"name": "New", "code": WORKER.replace("Mine", "New"), "new": "1"},
    ("POST", "/workers/<name>/delete"): FORM,
    ("POST", "/selected"): {"verb": "delete", "sure": "1", "id": "JOB"},
    ("POST", "/saved"): {"cmd": "false", "keep_as": "another"},
    ("POST", "/saved/<saved_id>/launch"): FORM,
    ("POST", "/saved/<saved_id>/delete"): FORM,
    ("POST", "/jobs/add"): {"json": {"command": COMMAND}},
    ("POST", "/jobs"): {"json": {"command": COMMAND}},
    ("PATCH", "/jobs/<job_id>"): {"json": {"name": "changed"}},
    ("DELETE", "/jobs/<job_id>"): {"data": b""},
    ("PUT", "/jobs/<job_id>/status"): {"data": b"stop"},
    ("PUT", "/jobs/<job_id>/pid"): {"data": b"4711"},
    ("POST", "/jobs/<job_id>/log"): {"data": b"an entry"},
    ("POST", "/jobs/<job_id>/response"): {"data": b"an entry"},
    ("PUT", "/workers/<name>"): {"data": WORKER + "\n# changed\n"},
    ("DELETE", "/workers/<name>"): {"data": b""},
}


@pytest.fixture
def house(data: Path) -> House:
    """Give a guarded application with something of everything."""
    return House(data)


def routes(house: House) -> Iterator[tuple[str, str, str]]:
    """Return method, rule and address of all that can be asked for."""
    for rule in house.app.url_map.iter_rules():
        for method in sorted(rule.methods or ()):
            for address in house.addresses(rule):
                yield method, str(rule), address


def request_of(house: House, method: str, rule: str) -> dict[str, Any]:
    """Return what is sent: that which would change something, where there is such."""
    body = BODIES.get((method, rule))
    if method in READING:
        return {}
    assert body is not None, f"say in BODIES what {method} {rule} takes"
    if body.keys() & {"json", "data"}:
        return dict(body)
    texts = {name: house.job.id if text == "JOB" else text for name, text in body.items()}
    return {"data": {"token": house.tokens[OPERATOR], **texts}}  # with the right token: it is not what refuses


def expected(method: str, address: str, user: str, page: str) -> int | None:
    """Return the code with which a request is refused, by a few rules; None if it is let through."""
    if page.startswith("other host name"):
        return 400
    if method not in READING and page.startswith("other origin"):
        return 403
    if user in ("no user", "wrong password"):
        return None if address == "/health" else 401
    if method not in READING and user == "viewer":
        return 403
    return None


def test_everybody_from_everywhere_on_every_route(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("running_jobs.web.auth.WRONG_PER_MINUTE", 100_000)  # test_logins is about these
    before = house.everything()
    asked = refused = 0
    for method, rule, address in routes(house):
        body = request_of(house, method, rule)
        for user, auth in USERS.items():
            for page, headers in PAGES.items():
                code = expected(method, address, user, page)
                if code is None and method not in READING:
                    continue  # the next test's
                answer = house.ask(method, address, auth, headers, **body)
                cell = f"{method} {address}, {user}, {page}: {answer.status_code} {answer.data[:300]!r}"
                if code is None:
                    assert answer.status_code < 400, cell
                else:
                    assert answer.status_code == code, cell
                    assert b"held" not in answer.data, cell  # no word of what is inside
                    assert "Set-Cookie" not in answer.headers, cell
                    refused += 1
                asked += 1
        assert house.everything() == before, f"{method} {address} changed something"
    assert asked > 1000
    assert refused > asked / 2


def changing() -> list[tuple[str, str, str]]:
    """Return method, rule, and one word of those that it has a choice of."""
    words = {"<any(start,stop,kill,delete,again):verb>": ["start", "stop", "kill", "delete", "again"]}
    words["<any(pause,resume):verb>"] = ["pause"]
    found = []
    for method, rule in BODIES:
        choices = next((choices for part, choices in words.items() if part in rule), [""])
        found += [(method, rule, word) for word in choices]
    return found


@pytest.mark.parametrize(("method", "rule", "word"), changing(), ids=lambda part: part or "-")
def test_the_same_request_of_an_operator_changes_something(house: House, method: str, rule: str, word: str) -> None:
    [found] = [known for known in house.app.url_map.iter_rules() if str(known) == rule and method in known.methods]
    [address] = [address for address in house.addresses(found) if not word or address.endswith(f"/{word}")]
    before = house.everything()
    answer = house.ask(method, address, OPERATOR, PAGES["own page"], **request_of(house, method, rule))
    assert answer.status_code < 400, answer.text
    assert house.everything() != before


def test_every_changing_route_has_its_request(house: House) -> None:
    known = {(method, rule) for method, rule, _ in routes(house) if method not in READING}
    assert known == set(BODIES)


def test_only_the_health_of_the_server_is_open_to_all(house: House) -> None:
    opened = {
        rule for method, rule, address in routes(house) if expected(method, address, "no user", "no browser") is None
    }
    assert opened == {"/health"}
    for address in (
        "/health/",
        "/health/../jobs",
        "//health",
        "/health%2f..%2fjobs",
        "/HEALTH",
        "/health;/jobs",
        "/x/health",
    ):
        for headers in ({}, {"X-Original-URL": "/health", "X-Rewrite-URL": "/health", "X-Forwarded-Prefix": "/health"}):
            answer = house.ask("GET", f"http://localhost{address}", None, headers)
            assert answer.status_code in (308, 401), address
            assert answer.status_code == 401 or "dispatcher" not in answer.text


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "FOO", "G E T", "POSTX"])
def test_a_method_that_nobody_knows_is_refused(house: House, method: str) -> None:
    before = house.everything()
    for _, _, address in routes(house):
        assert house.ask(method, address, OPERATOR, {}).status_code == 405, address
        assert house.ask(method, address, VIEWER, {}).status_code in (403, 405), address
        assert house.ask(method, address, OPERATOR, PAGES["other origin"]).status_code in (403, 405), address
    assert house.everything() == before


def test_a_method_cannot_be_named_otherwise(house: House) -> None:
    before = house.everything()
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        for method in ("DELETE", "PUT", "PATCH", "POST"):
            answer = house.ask("GET", f"/jobs/{house.job.id}?_method={method}&method={method}", VIEWER, {name: method})
            assert (answer.status_code, answer.json["total"]) == (200, 1)
            form = {"token": house.tokens[OPERATOR], "_method": method}
            assert house.ask("POST", f"/jobs/{house.job.id}", OPERATOR, {name: method}, data=form).status_code == 405
    assert house.everything() == before


def test_without_any_user_other_pages_and_names_are_refused_too(data: Path) -> None:
    house = House(data)
    (data / "config.toml").write_text("slots = 4\ngrace_seconds = 1\n")
    house.client = build_app(load_settings(str(data))).test_client()
    before = house.everything()
    for method, rule, address in routes(house):
        body = request_of(house, method, rule)
        for page, headers in PAGES.items():
            code = expected(method, address, "operator", page)
            if code is not None:
                assert house.ask(method, address, None, headers, **body).status_code == code, (
                    f"{method} {address} {page}"
                )
    assert house.everything() == before
