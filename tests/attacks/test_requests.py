"""Requests that are odd in themselves: headers within values, redirects, forwarded names, huge and deep bodies, ranges."""

from __future__ import annotations

import gzip
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from werkzeug.http import parse_options_header

from running_jobs.settings import load_settings
from running_jobs.web.application import build_app

from ..conftest import Server
from . import raw
from .house import COMMAND, OPERATOR, VIEWER, House

BREAKS = ("\r\n", "\n", "\r", "\u2028", "\x00")
CLAIMED = {
    "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "X-Forwarded-Prefix": "/evil", "X-Forwarded-Port": "99",
    "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Server": "evil.example", "X-Real-IP": "127.0.0.1", "X-Script-Name": "/evil",
    "Forwarded": "for=127.0.0.1;host=evil.example;proto=https", "X-Original-URL": "/evil", "X-Rewrite-URL": "/evil", "X-Host": "evil.example",
    "X-Forwarded-Scheme": "https", "X-Url-Scheme": "https", "Front-End-Https": "on", "X-HTTP-Host-Override": "evil.example",
    "Referer": "https://evil.example/", "Via": "evil.example", "CF-Connecting-IP": "127.0.0.1", "X-Forwarded-User": "olga", "Remote-User": "olga",
}  # fmt: skip


@pytest.fixture
def house(data: Path) -> House:
    """Give a guarded application with something of everything."""
    return House(data)


def own_headers(answer: Any) -> dict[str, str]:
    """Return an answer's headers; see that none was smuggled in and none leads elsewhere."""
    assert answer.status_code < 500
    for name, text in answer.headers:
        assert "\n" not in text, name
        assert "\r" not in text, name
        assert name.lower() not in ("set-cookie", "x-smuggled", "refresh", "link"), name
    to = answer.headers.get("Location", "/")
    assert to.startswith(("/", "http://localhost/")), to
    assert not to.startswith(("//", "/\\")), to
    return dict(answer.headers)


def test_no_name_of_a_result_adds_to_how_it_is_to_be_kept(house: House) -> None:
    folder = Path(house.actions.store.paths.results(house.job.id))
    for name in ('a"; filename="b.html', "a'; filename*=UTF-8''b.html", "a\\", 'a\\"; x="', 'é"; filename="b.html'):
        (folder / name).write_text("x")
        answer = house.ask("GET", f"/jobs/{house.job.id}/files/{quote(name)}?download=1", OPERATOR, {})
        kind, options = parse_options_header(own_headers(answer)["Content-Disposition"])
        assert (kind, set(options) - {"filename"}) == ("attachment", set())
        assert options["filename"] == name


def test_line_ends_in_texts_become_no_headers(house: House) -> None:
    token = {"token": house.tokens[OPERATOR]}
    paths = house.actions.store.paths
    for line_end in BREAKS:
        evil = f"a{line_end}Set-Cookie: x=y{line_end}X-Smuggled: yes"
        job = house.actions.submit(
            {"command": COMMAND, "name": evil.replace("\0", ""), "context": evil.replace("\0", "")}
        )
        folder = Path(paths.results(job.id))
        folder.mkdir()
        name = evil.replace("\0", "").replace("/", "")
        (folder / name).write_text("x")
        for address in (
            f"/jobs/{job.id}/files.zip", f"/jobs/{job.id}/files/{quote(name)}", f"/jobs/{job.id}/files/{quote(name)}?download=1", f"/jobs/{quote(evil)}/out",
            f"/jobs/{job.id}/out?download=1&offset={quote(evil)}", f"/?job={quote(evil)}&said={quote(evil)}", f"/{quote(evil)}", f"/workers/{quote(evil)}/code",
            f"/jobs//{quote(evil)}", f"/static//{quote(evil)}", f"//{quote(evil)}",
        ):  # fmt: skip
            own_headers(house.ask("GET", f"http://localhost{address}", OPERATOR, {}))
        for path in (
            "/pause",
            "/resume",
            "/launch",
            "/selected",
            f"/jobs/{job.id}/set",
            f"/jobs/{job.id}/again",
            f"/jobs/{quote(evil)}/set",
        ):
            for back in (
                f"q={quote(evil)}",
                evil,
                f"job={quote(evil)}&tab={quote(evil)}",
                f"next={quote('//evil.example')}",
            ):
                form = {
                    **token,
                    "back": back,
                    "name": evil,
                    "cmd": "true",
                    "hold": "1",
                    "verb": "stop",
                    "next": "//evil.example",
                    "url": "//evil.example",
                }
                own_headers(house.ask("POST", path, OPERATOR, {}, data=form))


TARGETS = ["//evil.example", "/\\evil.example", "///evil.example", "https://evil.example", "//evil.example/%2f..", "/%09/evil.example",
                                    "javascript:alert(1)", "/.evil.example", "//localhost@evil.example", "%2f%2fevil.example", "/%5cevil.example", "//%0d%0aSet-Cookie:x=y"]  # fmt: skip


def test_no_answer_leads_to_another_site(house: House) -> None:
    for target in TARGETS:
        for name in ("next", "back", "url", "to", "return", "redirect", "job", "q", "said", "part"):
            own_headers(house.ask("GET", f"/?{name}={target}", OPERATOR, {"Referer": target}))
            form = {"token": house.tokens[OPERATOR], name: target, "back": f"{name}={target}"}
            answer = house.ask("POST", "/pause", OPERATOR, {"Referer": target}, data=form)
            assert answer.headers["Location"].startswith("/?"), (name, target)
            own_headers(answer)


def test_what_is_asked_for_as_bytes_leads_to_no_other_site_either(data: Path, server: Server) -> None:
    for target in (b"//evil.example/", b"//evil.example", b"/\\evil.example", b"///evil.example//x", b"http://evil.example/", b"http://evil.example//jobs",
                   b"/jobs//status", b"//jobs", b"/static//page.css", b"/%0d%0aSet-Cookie:x=y//", b"/a//%0d%0aX-Smuggled:y", b"*", b"evil.example:80", b"/\xff//x", b"?", b""):  # fmt: skip
        answer = raw.get(server.port, target)
        location = [line for line in answer.head.split(b"\r\n") if line.lower().startswith(b"location:")]
        assert all(line.lower().startswith((b"location: http://localhost/", b"location: /")) for line in location), (
            answer.head
        )
        assert not any(line.lower().startswith(b"location: //") for line in location), answer.head
        assert b"Set-Cookie" not in answer.head.replace(b"%0D%0ASet-Cookie", b"").replace(b"%0d%0aSet-Cookie", b""), (
            answer.head
        )
        assert b"\nX-Smuggled" not in answer.head


def test_what_a_client_claims_of_its_way_is_not_believed_without_proxies(house: House) -> None:
    plain = house.ask("GET", "/", OPERATOR, {}).text
    for names in ([name] for name in CLAIMED):
        claimed = {name: CLAIMED[name] for name in names}
        assert house.ask("GET", "/", OPERATOR, claimed).text == plain, claimed
        assert house.ask("GET", "/", None, claimed).status_code == 401, claimed
        assert house.ask("POST", "/jobs", VIEWER, claimed, json={"command": COMMAND}).status_code == 403
        for origin in ("https://evil.example", "https://localhost", "http://localhost:99", "http://evil.example"):
            answer = house.ask("POST", "/jobs", OPERATOR, {**claimed, "Origin": origin}, json={"command": COMMAND})
            assert answer.status_code == 403, claimed
        assert house.ask("GET", "/jobs", OPERATOR, {**claimed, "Host": "evil.example"}).status_code == 400
    answer = house.ask("POST", "/pause", OPERATOR, CLAIMED, data={"token": house.tokens[OPERATOR]})
    assert "evil" not in str(answer.headers)


HEADS = [
    b"Host: localhost\r\nHost: evil.example\r\n", b"Host: evil.example\r\nHost: localhost\r\n", b"", b"Host:\r\n", b"Host: \xff\r\n", b"Host : localhost\r\n",
    b"Host: localhost\r\n Host: evil.example\r\n", b"Host: evil.example\r\nX-Forwarded-Host: localhost\r\n", b"Host: localhost\x00\r\n",
    b"Host: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n", b"Host: localhost\r\nContent-Length: 4\r\nContent-Length: 5\r\n",
    b"Host: localhost\r\nContent-Length: -1\r\n", b"Host: localhost\r\nContent-Length: +4\r\n", b"Host: localhost\r\nTransfer-Encoding: gzip\r\n",
    b"Host: localhost\r\nTransfer-Encoding: xchunked\r\n", b"Host: localhost\r\nContent-Length: 99999999999999999999\r\n", b"Host: localhost\r\nExpect: nonsense\r\n",
    b"Host: localhost\r\nX: " + b"a" * 300_000 + b"\r\n", b"Host: localhost\r\nbad header\r\n", b"Host: localhost\r\n: empty\r\n", b"Host: localhost\nX: y\r\n",
]  # fmt: skip


def test_a_request_that_two_could_read_differently_makes_nothing_happen(data: Path, server: Server) -> None:
    """What stands behind it would be a request of its own for a server that reads it otherwise."""
    body = (
        b"0\r\n\r\nPOST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 44\r\n\r\n"
        + json.dumps({"command": COMMAND}).encode()
    )
    for head in HEADS:
        request = b"POST /nope HTTP/1.1\r\n" + head + b"Connection: close\r\n\r\n" + body
        answer = raw.ask(server.port, request, timeout_s=3)
        assert answer.code in (0, 400, 403, 404, 411, 413, 417, 431, 501), (head[:200], answer.head)
        assert b"Traceback" not in answer.body, head[:200]
        assert list(data.glob("*.json")) == [], head[:200]
        assert server.get("/health").code == 200, head[:200]


# --- bodies


def nested(depth: int, opening: str, closing: str, inner: str = "1") -> str:
    return opening * depth + inner + closing * depth


HUGE = "9" * 4000
BODIES = {
    "deep lists": nested(50_000, "[", "]"), "deep objects": nested(50_000, '{"a":', "}"), "never closed": "[" * 200_000,
    "deep parameters": '{"worker": "TestWorker", "parameters": ' + nested(5000, '{"a":', "}") + "}",
    "deep command": '{"command": ' + nested(900, "[", "]") + "}", "deep env": '{"command": {"type": "exec", "cmd": "true"}, "env": ' + nested(500, '{"a":', "}") + "}",
    "too many digits": '{"priority": ' + "9" * 100_000 + "}", "NaN": '{"command": {"type": "exec", "cmd": "true"}, "timeout": NaN}',
    "-Infinity": '{"command": {"type": "exec", "cmd": "true"}, "delay": -Infinity}', "1e999": '{"command": {"type": "exec", "cmd": "true"}, "delay": 1e999}',
    "NaN in parameters": '{"worker": "TestWorker", "parameters": {"a": NaN}}', "1e999 in parameters": '{"worker": "TestWorker", "parameters": {"a": 1e999}}',
    **{f"huge {name}": f'{{"command": {{"type": "exec", "cmd": "true"}}, "{name}": {HUGE}}}' for name in ("priority", "delay", "retries", "retry_delay", "timeout", "nice", "at")},
    **{f"negative {name}": f'{{"command": {{"type": "exec", "cmd": "true"}}, "{name}": -{HUGE}}}' for name in ("delay", "retries", "timeout")},
    "a type twice": '{"command": {"type": "exec", "cmd": "true", "type": "nothing"}}', "a surrogate": '{"command": {"type": "exec", "cmd": "\\ud800"}}',
    "NUL": '{"command": {"type": "exec", "cmd": "a\\u0000b"}}', "no text": '{"command": {"type": "exec", "cmd": {"a": 1}}}', "prototype": '{"__proto__": {"a": 1}, "command": {}}',
    "dunder": '{"command": {"type": "exec", "cmd": "true"}, "__class__": "x"}', "its own fields": '{"command": {"type": "exec", "cmd": "true"}, "status": "done", "owner": "root"}',
    "id": '{"command": {"type": "exec", "cmd": "true"}, "id": "20200101-000000-000000"}', "long text": json.dumps({"command": {"type": "exec", "cmd": "x" * 300_000}}),
    "long key": json.dumps({"command": COMMAND, "x" * 100_000: 1}), "many keys": json.dumps({"command": COMMAND, **{f"k{n}": n for n in range(5000)}}),
    "many of env": json.dumps({"command": COMMAND, "env": {"a=b": "c"}}), "text": '"text"', "null": "null", "nothing": "", "two": '{"command": {}} {"command": {}}', "bytes": "\x80\x81",
}  # fmt: skip


def test_a_body_that_is_too_much_is_refused_and_nothing_is_stored(house: House) -> None:
    before = house.everything()
    for name in BODIES:
        send_body(house, name)
        assert house.everything() == before, name


def send_body(house: House, name: str) -> None:
    """Send a body wherever one is taken; see that it is refused."""
    body = BODIES[name].encode("latin-1" if name == "bytes" else "utf-8")
    for method, path in (("POST", "/jobs"), ("POST", "/jobs/add"), ("PATCH", f"/jobs/{house.job.id}")):
        answer = house.ask(method, path, OPERATOR, {}, data=body)
        assert answer.status_code == 400, (path, name, answer.text[:300])
        assert len(answer.data) < 10_000, (path, name)
        assert "Traceback" not in answer.text, (path, name)
    for path in ("status", "pid"):
        assert house.ask("PUT", f"/jobs/{house.job.id}/{path}", OPERATOR, {}, data=body).status_code == 400, (
            path,
            name,
        )
    form = {
        "token": house.tokens[OPERATOR],
        "worker": "TestWorker",
        "parameters": body,
        "params": body,
        "priority": body,
    }
    if body:
        assert house.ask("POST", "/launch", OPERATOR, {}, data=form).status_code in (400, 413), name


def test_a_body_beyond_the_limit_is_refused_before_it_is_read(house: House) -> None:
    before = house.everything()
    for method, path in (
        ("POST", "/jobs"),
        ("POST", "/launch"),
        ("PUT", "/workers/Mine"),
        ("POST", f"/jobs/{house.job.id}/log"),
    ):
        for kind in ("application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            answer = house.ask(method, path, OPERATOR, {"Content-Type": kind}, data=b"a" * (5 << 20))
            assert answer.status_code in (400, 413), (path, kind)
    assert house.everything() == before


def test_a_compressed_body_is_not_unpacked(house: House) -> None:
    bomb = gzip.compress(b"[" * 50_000_000)
    assert len(bomb) < 100_000
    for encoding in ("gzip", "deflate", "br", "zstd"):
        assert house.ask("POST", "/jobs", OPERATOR, {"Content-Encoding": encoding}, data=bomb).status_code == 400


# --- downloads

RANGES = [
    "bytes=0-0,1-1,2-2", "bytes=0-,0-,0-", "bytes=0-9,5-15,-3", "bytes=" + ",".join(["0-"] * 3000), "bytes=" + ",".join(f"{n}-{n}" for n in range(3000)),
    "bytes=0-" + "9" * 5000, "bytes=" + "9" * 5000 + "-", "bytes=-" + "9" * 5000, "bytes=5-1", "bytes=-1--1", "bytes=--5", "bytes=-", "bytes=", "bytes", "",
    "bytes=0-18446744073709551616", "bytes=18446744073709551615-18446744073709551616", "bytes=-0", "bytes=0x1-0x2", "bytes=1.5-2", "bytes=٣-٤", "bytes=1_0-2_0",
    "bytes=\t0-1", "lines=0-1", "bytes=0-1;bytes=2-3", "bytes 0-1/2", "none", "bytes=0-1\x00", "bytes=99999-",
]  # fmt: skip


def test_no_range_gets_more_than_there_is(house: House) -> None:
    content = bytes(range(256)) * 4
    paths = house.actions.store.paths
    Path(paths.out(house.job.id)).write_bytes(content)
    Path(paths.results(house.job.id), "a.txt").write_bytes(content)
    for address in (
        f"/jobs/{house.job.id}/out",
        f"/jobs/{house.job.id}/files/a.txt",
        f"/jobs/{house.job.id}/out?offset=1000",
        f"/jobs/{house.job.id}/out?tail=24",
    ):
        for wanted in RANGES:
            for more in ({}, {"If-Range": '"x"'}, {"If-Range": "Sat, 01 Jan 2000 00:00:00 GMT"}):
                answer = house.ask(
                    "GET", address, OPERATOR, {"Range": wanted.replace("٣", "3\xa0").replace("٤", "4"), **more}
                )
                assert answer.status_code in (200, 206, 416), (wanted[:40], answer.status_code)
                if answer.status_code == 206:
                    first, last = answer.headers["Content-Range"].split()[1].split("/")[0].split("-")
                    assert answer.data == content[int(first) : int(last) + 1]
                elif answer.status_code == 200:
                    assert content.endswith(answer.data)
                assert len(answer.data) <= len(content)
                assert "multipart" not in answer.headers["Content-Type"]
    for query in (
        "offset=-1",
        "offset=1e3",
        "offset=0x10",
        "offset=" + "9" * 5000,
        "offset=٣",
        "tail=-5",
        "tail=NaN",
        "offset=%00",
        "offset=1%0d%0a",
    ):
        assert house.ask("GET", f"/jobs/{house.job.id}/out?{query}", OPERATOR, {}).status_code == 400
    for query in (
        "limit=0",
        "limit=-1",
        "limit=1001",
        "limit=" + "9" * 5000,
        "before=../../x",
        "before=%00",
        "status=x",
        "since=x",
        "until=9" + "9" * 500,
    ):
        assert house.ask("GET", f"/jobs?{query}", OPERATOR, {}).status_code == 400, query
    for query in (
        "at=" + "9" * 15,
        "upto=" + "9" * 15,
        "around=" + "9" * 15,
        "at=" + "9" * 16,
        "since=" + "9" * 300,
        "since=1-2-3-4-5",
        "since=-",
        "around=-1",
    ):
        assert house.ask("GET", f"/jobs/{house.job.id}/view/out?{query}", OPERATOR, {}).status_code in (
            200,
            204,
            400,
        ), query


def test_an_archive_holds_names_that_stay_below_its_folder(house: House, tmp_path: Path) -> None:
    folder = Path(house.actions.store.paths.results(house.job.id))
    names = [
        "..\\..\\evil",
        "C:\\evil",
        "\\\\host\\share",
        "...",
        "..evil",
        "a\nb",
        "a\x00b".replace("\x00", "␀"),
        "-rf",
        "~",
        "%2e%2e%2fevil",
        "‥∕evil",
        "\u202eevil",
        "CON",
        " ",
        "a:b",
    ]
    for name in names:
        (folder / name).write_text(name)
    (folder / os.fsdecode(b"\xff\xfe..")).write_text("x")
    (folder / "deep" / "..evil").mkdir(parents=True)
    (folder / "deep" / "..evil" / "x").write_text("x")
    job_ids = [house.job.id]
    for name in ("../../evil", "/etc", "..", "a/../../b", "\\\\evil", "\r\nX: y", "C:"):
        named = house.actions.submit({"command": COMMAND, "name": name}).id
        results = Path(house.actions.store.paths.results(named))
        results.mkdir()
        (results / "a").write_text("a")
        job_ids.append(named)
    for job_id in job_ids:
        packed = zipfile.ZipFile(io.BytesIO(house.ask("GET", f"/jobs/{job_id}/files.zip", OPERATOR, {}).data))
        [top] = {name.partition("/")[0] for name in packed.namelist()}
        assert job_id in top
        assert set(top) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
        for entry in packed.infolist():
            assert "\\" not in entry.filename
            assert not entry.filename.startswith("/")
            assert ".." not in entry.filename.split("/")
            assert entry.external_attr >> 28 == 0o10, "only regular files"
        packed.extractall(tmp_path / "unpacked" / job_id)
    assert {path.name for path in (tmp_path / "unpacked").iterdir()} == set(job_ids)
    assert not list(tmp_path.glob("evil*"))


def test_a_packed_bomb_among_results_is_sent_as_it_is(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(house.actions.store.paths.results(house.job.id))
    with zipfile.ZipFile(folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("zeros", bytes(50 << 20))
    (folder / "bomb.svg").write_bytes(gzip.compress(bytes(10 << 20)))
    (folder / "bomb.json").write_bytes(gzip.compress(bytes(10 << 20)))
    opened = []
    for name in ("decompress", "decompressobj"):
        monkeypatch.setattr(f"zlib.{name}", lambda *_, name=name, **__: opened.append(name))
    for name in ("bomb.zip", "bomb.svg", "bomb.json"):
        size = (folder / name).stat().st_size
        answer = house.ask("GET", f"/jobs/{house.job.id}/files/{name}", OPERATOR, {"Accept-Encoding": "gzip"})
        assert (len(answer.data), answer.headers.get("Content-Encoding")) == (size, None)
        page = house.ask("GET", f"/?job={house.job.id}&tab=files&file={name}", OPERATOR, {})
        assert len(page.data) < 300_000
    assert opened == []


# --- what errors tell


def test_an_error_tells_nothing_of_the_inside(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("geheim in /srv/inside")

    monkeypatch.setattr("running_jobs.index.JobIndex.page", fails)
    monkeypatch.setattr("running_jobs.store.JobStore.get", fails)
    house.app.config["PROPAGATE_EXCEPTIONS"] = False
    for address in ("/", "/jobs", f"/jobs/{house.job.id}", f"/jobs/{house.job.id}/out"):
        for headers in ({}, {"Accept": "text/html"}, {"Accept": "text/html", "X-Debug": "1", "Cookie": "debug=1"}):
            answer = house.ask("GET", f"{address}?debug=1&__debugger__=yes", OPERATOR, headers)
            assert answer.status_code == 500
            for word in ("geheim", "Traceback", "RuntimeError", str(house.data), "/srv", ".py", "Werkzeug"):
                assert word not in answer.text, word


def test_a_log_of_the_server_holds_no_line_of_a_clients_making(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr("running_jobs.store.JobStore.get", fails)
    house.ask("GET", f"/jobs/{quote(chr(10))}ERROR a line of its own{quote(chr(27))}[31m/files", OPERATOR, {})
    [record] = [record for record in caplog.records if record.exc_info]
    assert "\n" not in record.getMessage()
    assert "\x1b" not in record.getMessage()
    assert "a line of its own" in record.getMessage()


def test_a_journal_holds_no_line_of_a_submitters_making(house: House) -> None:
    evil = "a\n2026-11-21T20:39:15.123Z 20261121-203915-123456 evil - done - exit 0\r\x1b]0;title\x07\x1b[2J\u2028\x85\x9b31m"
    for options in ({"name": evil}, {"context": evil}, {"command": {"type": "exec", "cmd": evil}}):
        house.actions.submit({"command": COMMAND, **options})
    house.ask("POST", f"/jobs/{house.job.id}/kill", ("olga", "o-secret"), {}, data={"token": house.tokens[OPERATOR]})
    house.actions.stop(house.actions.submit({"command": COMMAND}).id, by=evil)
    lines = Path(house.actions.store.paths.journal).read_bytes().split(b"\n")
    for line in lines[:-1]:
        text = line.decode()
        assert text[:4].isdigit()
        assert len(text.splitlines()) == 1, text
        assert not [sign for sign in text if ord(sign) < 32 or 127 <= ord(sign) < 160], text


def test_settings_are_of_no_use_to_a_client(house: House) -> None:
    app = build_app(load_settings(str(house.data)))
    assert not app.debug
    assert not app.testing
    assert app.secret_key is None  # no cookie is ever signed or believed
