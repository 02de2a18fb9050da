"""Guessing passwords: counted by who guesses, in bounded memory, and without telling by the work which names there are."""

from __future__ import annotations

import base64
import hmac
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import werkzeug.security
from werkzeug.security import generate_password_hash

from running_jobs.web import auth
from running_jobs.web.auth import REMEMBERED, WRONG_PER_MINUTE, Logins, User, guesser_of

from ..conftest import Server
from .house import CHEAP, OPERATOR, VIEWER, House

USERS = {name: User(name, generate_password_hash(word, CHEAP), "operator") for name, word in (OPERATOR, VIEWER)}


def basic(text: str | bytes) -> dict[str, str]:
    raw = text.encode() if isinstance(text, str) else text
    return {"Authorization": f"Basic {base64.b64encode(raw).decode()}"}


def test_after_five_wrong_ones_a_minute_has_to_pass() -> None:
    logins = Logins(USERS)
    assert [logins.count_wrong("192.0.2.1", 100.0 + turn) for turn in range(7)] == [False] * 5 + [True] * 2
    assert logins.count_wrong("192.0.2.2", 107.0) is False
    assert logins.count_wrong("192.0.2.1", 166.5) is False  # the sixth before it was over a minute ago
    assert [logins.count_wrong("192.0.2.1", 300.0 + turn) for turn in range(6)] == [False] * 5 + [True]


def test_who_changes_name_password_route_or_claimed_address_is_counted_on(data: Path) -> None:
    house = House(data)
    claimed = (
        "X-Forwarded-For",
        "X-Real-IP",
        "Forwarded",
        "Client-IP",
        "X-Client-IP",
        "CF-Connecting-IP",
        "True-Client-IP",
    )
    codes = []
    for turn in range(12):
        headers = dict.fromkeys(claimed, f"203.0.113.{turn}") | {"Forwarded": f"for=203.0.113.{turn}"}
        address = ["/", "/jobs", "/nope", "/static/page.css"][turn % 4]
        codes.append(house.ask("GET", address, (f"user{turn}", f"guess{turn}"), headers).status_code)
    assert codes == [401] * WRONG_PER_MINUTE + [429] * (12 - WRONG_PER_MINUTE)
    assert house.ask("GET", "/jobs", OPERATOR, {}).status_code == 200
    assert house.ask("GET", "/jobs", VIEWER, {}).status_code == 200
    assert house.ask("GET", "/jobs", None, {}).status_code == 401
    before = house.everything()
    assert house.ask("POST", "/jobs", ("olga", "wrong"), {}, json={}).status_code == 429
    assert house.everything() == before


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("192.0.2.1", "192.0.2.2", False), ("192.0.2.1", "::ffff:192.0.2.1", True), ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False), ("", "unix:", False), ("x" * 10_000, "x" * 20_000, True), ("::1", "::2", True),
    ],
)  # fmt: skip
def test_whose_address_is_one_of_a_network_is_counted_by_the_network(one: str, other: str, is_same: bool) -> None:
    assert (guesser_of(one) == guesser_of(other)) == is_same
    assert len(guesser_of(one)) <= 100
    logins = Logins(USERS)
    assert [logins.count_wrong(one, turn / 10) for turn in range(5)] == [False] * 5
    assert logins.count_wrong(other, 0.5) == is_same


def test_what_is_remembered_of_guesses_is_bounded() -> None:
    logins = Logins(USERS)
    for turn in range(3 * REMEMBERED):
        assert not logins.count_wrong(f"10.0.{turn >> 8}.{turn & 255}", float(turn))
    for _ in range(100):
        logins.count_wrong("10.9.9.9", 9999.0)
    assert len(logins._wrong) == REMEMBERED
    assert max(map(len, logins._wrong.values())) == WRONG_PER_MINUTE + 1
    for turn in range(50):
        assert logins.check("olga", f"{turn}" * 10_000) is None
    assert len(logins._right) == 0  # wrong passwords are not remembered, nor anything of them
    assert logins.check(*OPERATOR) is not None
    assert [len(key) for key in logins._right] == [32]
    assert OPERATOR[1].encode() not in b"".join(logins._right)


def test_many_at_once_guess_no_more_than_one_after_the_other(data: Path) -> None:
    house = House(data)
    codes: list[int] = []

    def guess(turn: int) -> None:
        codes.append(house.app.test_client().get("/jobs", auth=("olga", f"guess{turn}")).status_code)

    threads = [threading.Thread(target=guess, args=(turn,)) for turn in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [401] * WRONG_PER_MINUTE + [429] * (20 - WRONG_PER_MINUTE)


@pytest.mark.parametrize("method", ["scrypt:1024:8:1", "pbkdf2:sha256:7", "pbkdf2:sha512:3"])
def test_a_name_that_does_not_exist_takes_the_work_of_one_that_does(
    monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Seen by what is computed and compared, not by a clock."""
    logins = Logins(
        {name: User(name, generate_password_hash(word, method), "operator") for name, word in (OPERATOR, VIEWER)}
    )
    work: list[Any] = []
    real_hash, real_compare = werkzeug.security._hash_internal, hmac.compare_digest

    def hashing(how: str, salt: str, password: str) -> tuple[str, str]:
        work.append((how, len(salt), len(password)))
        return real_hash(how, salt, password)

    def comparing(one: Any, other: Any) -> bool:
        work.append(("compared", len(one), len(other)))
        return real_compare(one, other)

    monkeypatch.setattr(werkzeug.security, "_hash_internal", hashing)
    monkeypatch.setattr(werkzeug.security.hmac, "compare_digest", comparing)
    done = []
    for name in ("olga", "vera", "nobody", "", "olga ", "OLGA", "x" * 5000):
        work.clear()
        assert logins.check(name, "wrong!!!") is None
        done.append(list(work))
    assert done[0][0][0] == method
    assert done[0][1][0] == "compared"
    assert done == [done[0]] * len(done)


def test_secrets_are_compared_in_constant_time(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house = House(data)
    compared: list[int] = []
    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda one, other: (compared.append(len(other)), real(one, other))[1])
    assert house.ask("POST", "/pause", OPERATOR, {}, data={"token": "0" * 64}).status_code == 403
    assert compared == [64]
    house.ask("GET", "/?said=pause&seal=" + "0" * 32, OPERATOR, {})
    assert compared == [64, 32]


STRANGERS: list[dict[str, str]] = [
    {"Authorization": "Basic"}, {"Authorization": "Basic "}, {"Authorization": "Basic !!!"}, {"Authorization": "Basic \xff"}, {"Authorization": "Basic b2xnYQ=="},
    {"Authorization": "Bearer b2xnYTpvLXNlY3JldA=="}, {"Authorization": "Digest username=olga"}, {"Authorization": "Negotiate abc"},
    {"Authorization": "Basic " + "A" * 100_000}, {"Authorization": "b2xnYTpvLXNlY3JldA=="}, basic(":"), basic("olga"), basic("olga:"),
    basic(":o-secret"), basic("olga:o-secret\0"), basic("olga\0:o-secret"), basic("olga:o-secret\n"), basic(b"\xff:\xff"),
    basic("olga:o-secre"), basic("olga:o-secrett"), basic("OLGA:o-secret"), basic("olga: o-secret"), basic("vera:o-secret"),
    basic(f"olga:{auth.OPEN_TO_ALL}"), {"Cookie": "user=olga; session=olga"}, {"X-Remote-User": "olga", "X-Forwarded-User": "olga"},
    {"Remote-User": "olga", "X-Auth-Request-User": "olga", "X-Forwarded-Email": "olga"},
]  # fmt: skip


def test_what_is_no_user_with_its_password_comes_not_in(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "WRONG_PER_MINUTE", 1000)
    house = House(data)
    for headers in STRANGERS:
        for address in ("/", "/jobs", f"/jobs/{house.job.id}/out"):
            answer = house.ask("GET", address, None, headers)
            assert (answer.status_code, "held" in answer.text) == (401, False), str(headers)[:100]


def test_neither_the_hash_nor_its_setting_is_a_password(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "WRONG_PER_MINUTE", 1000)
    house = House(data)
    for user in auth.users_of(house.actions.settings).values():
        assert house.ask("GET", "/jobs", (user.name, user.hash), {}).status_code == 401
        assert house.ask("GET", "/jobs", (user.name, user.hash.rpartition("$")[2]), {}).status_code == 401


def test_a_password_that_nobody_can_have_meant_is_no_burden(data: Path, start_server: Callable[..., Server]) -> None:
    """Of a real server: a header larger than it takes is refused before anything is computed."""
    House(data)
    server = start_server()
    assert server.get("/jobs", headers=basic(b"olga:" + b"x" * 400_000)).code in (400, 431)
    assert server.get("/jobs", auth="olga:o-secret").code == 200
