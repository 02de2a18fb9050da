"""Other sites' pages: forms, fetch, simple content types, rebound names. Refused by Origin, token and Host together."""

from __future__ import annotations

import html
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from running_jobs.web import auth

from ..conftest import Server, wait_for
from .house import ANOTHER, OPERATOR, VIEWER, House

JSON = b'{"command": {"type": "exec", "cmd": "true"}}'
FORM = "application/x-www-form-urlencoded"
# what a page may send to another origin without asking it first (Fetch standard, 2.2.2)
SIMPLE = (
    "text/plain",
    "text/plain;charset=UTF-8",
    FORM,
    "multipart/form-data; boundary=x",
    "application/json",
    "text/xml",
    "",
    None,
)
MULTIPART = b'--x\r\nContent-Disposition: form-data; name="token"\r\n\r\n%s\r\n--x\r\nContent-Disposition: form-data; name="cmd"\r\n\r\ntrue\r\n--x--\r\n'


@pytest.fixture
def house(data: Path) -> House:
    """Give a guarded application with something of everything."""
    return House(data)


def sent_as(kind: str | None) -> dict[str, str]:
    return {} if kind is None else {"Content-Type": kind}


@pytest.mark.parametrize("kind", SIMPLE)
def test_json_is_read_whatever_its_type_but_from_the_own_page_alone(house: House, kind: str | None) -> None:
    before = house.everything()
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        for path in ("/jobs", "/jobs/add"):
            for body in (
                JSON,
                b'{"command": {"type": "exec", "cmd": "true"}, "x": "=',
                JSON + b"=",
                b"token=&cmd=true",
            ):
                answer = house.ask("POST", path, OPERATOR, {**headers, **sent_as(kind)}, data=body)
                assert answer.status_code == 403, (path, kind)
    assert house.everything() == before
    assert (
        house.ask("POST", "/jobs", OPERATOR, {"Origin": "http://localhost", **sent_as(kind)}, data=JSON).status_code
        == 201
    )


def test_a_form_is_taken_in_its_own_type_with_its_own_token_alone(house: House) -> None:
    before = house.everything()
    token = house.tokens[OPERATOR]
    assert len(house.tokens[ANOTHER]) == len(token)
    for path in ("/launch", "/saved", "/pause", "/selected", "/workers/save", f"/jobs/{house.job.id}/delete"):
        for kind in SIMPLE:
            if kind != FORM:
                for body in (urlencode({"token": token, "cmd": "true"}).encode(), MULTIPART % token.encode(), JSON):
                    assert house.ask("POST", path, OPERATOR, sent_as(kind), data=body).status_code == 400, (path, kind)
        others = [
            house.tokens[ANOTHER],
            house.tokens[VIEWER],
            "",
            "0" * 64,
            token[:-1],
            token.upper(),
            token + "0",
            f" {token}",
            "é" * 64,
            "\0",
            "null",
        ]
        for wrong in others:
            assert house.ask("POST", path, OPERATOR, {}, data={"token": wrong, "cmd": "true"}).status_code == 403, (
                path,
                wrong,
            )
        assert house.ask("POST", path, OPERATOR, {"X-CSRF-Token": token}, data={"cmd": "true"}).status_code == 403
        assert (
            house.ask("POST", f"{path}?token={token}&cmd=true", OPERATOR, {}, data={"cmd": "true"}).status_code == 403
        )
        twice = f"token={token}&cmd=true&token=x"  # the last one counts, as of all fields
        assert house.ask("POST", path, OPERATOR, {"Content-Type": FORM}, data=twice).status_code == 403
    assert house.everything() == before


@pytest.mark.parametrize(
    "origin",
    ["http://localhost:80", "http://localhost.", "https://localhost", "http://LOCALHOST.evil.example", "http://localhost@evil.example",
     "http://evil.example/localhost", "http://evil.example?http://localhost", "http://localhost, https://evil.example", "localhost", "", " ",
     "//localhost", "file://", "chrome-extension://localhost", "http://localhost/", "http://localhost:0", "http://127.0.0.1", "null, http://localhost"],
)  # fmt: skip
def test_an_origin_that_only_looks_like_ours_is_another(house: House, origin: str) -> None:
    before = house.everything()
    assert house.ask("POST", "/jobs", OPERATOR, {"Origin": origin}, data=JSON).status_code == 403
    for site in ("cross-site", "same-site", "", "Same-Origin", "same-origin, none", "x"):
        headers = {"Origin": "http://localhost", "Sec-Fetch-Site": site}
        assert house.ask("POST", "/jobs", OPERATOR, headers, data=JSON).status_code == 403
    assert house.everything() == before


def test_a_name_that_was_rebound_to_our_address_is_refused(house: House) -> None:
    before = house.everything()
    names = ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example", "evil-localhost", "xlocalhost", "localhost@evil.example",
             "evil.example@localhost", "localhost evil.example", "localhost,evil.example", "localhost/evil", "localhost#evil", "localhost?evil", "localhost\\evil",
             "2130706433", "0x7f000001", "127.1", "0177.0.0.1", "[::1", "[::1]evil", "[evil]", "[fe80::1%25evil]", "localhost:evil", "ⓛocalhost", "xn--localhost-", "")  # fmt: skip
    for name in names:
        for method, data in (("GET", b""), ("POST", JSON)):
            headers = {"Host": name, "Origin": f"http://{name}", "Sec-Fetch-Site": "same-origin"}
            try:
                answer = house.ask(method, "/jobs", OPERATOR, headers, data=data)
            except (UnicodeError, ValueError):  # no client can send such a header
                continue
            assert answer.status_code == 400, name
            assert "held" not in answer.text
            assert "<" not in answer.headers.get("Location", "")
    assert house.everything() == before


def test_a_host_name_without_end_is_refused_before_it_is_remembered(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[int] = []
    real = auth.host_is_trusted
    monkeypatch.setattr(
        auth, "host_is_trusted", lambda host, settings: (looked_at.append(len(host)), real(host, settings))[1]
    )
    house = House(data)
    for name in ("a" * 200_000, "a" * 301, "a." * 200 + "localhost", "1" * 500):
        assert house.ask("GET", "/health", None, {"Host": name}).status_code == 400
    assert house.ask("GET", "/health", None, {"Host": "a" * 253 + ".localhost:80"}).status_code in (200, 400)
    assert max(looked_at) <= 300


def test_no_answer_lets_another_origin_read_it(house: House) -> None:
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "DELETE", "Access-Control-Request-Headers": "authorization",
             "Access-Control-Request-Private-Network": "true"}  # fmt: skip
    for rule in house.app.url_map.iter_rules():
        for address in house.addresses(rule):
            for method in ("OPTIONS", "GET", "HEAD", "DELETE"):
                for user in (None, OPERATOR):
                    if (method, user) == ("DELETE", OPERATOR):
                        continue
                    answer = house.ask(method, address, user, asked)
                    assert not [name for name, _ in answer.headers if name.lower().startswith("access-control-")]
                    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
                    assert answer.headers["X-Frame-Options"] == "DENY"
                    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
                    assert "unsafe" not in answer.headers["Content-Security-Policy"]
                    assert "Set-Cookie" not in answer.headers


@pytest.fixture
def site() -> Iterator[Any]:
    """Give another site: a server of pages, told by their texts."""
    pages: dict[str, str] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = pages.get(self.path, "").encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=served.serve_forever, args=(0.05,), daemon=True).start()
    yield pages, served.server_port
    served.shutdown()
    served.server_close()


def test_from_another_origin_in_a_real_browser_nothing_gets_through(
    data: Path, one_chromium: Any, start_server: Callable[..., Server], site: Any
) -> None:
    """No user is set: the browser is let in, as one that has logged in would be. The page on evil.localhost is hostile."""
    server, (pages, port) = start_server(), site
    job = server.post("/jobs", JSON).json["data"][0]["id"]
    token = server.token()
    before = sorted(data.glob("*.json"))
    one_chromium.get(f"{server.url}/")  # whoever is attacked has the page open, too
    tried = []
    fields = f'<input name="token" value="{token}"><input name="cmd" value="true">'  # even if the token were known
    for path in ("/launch", f"/jobs/{job}/delete", "/pause"):
        for kind in (FORM, "multipart/form-data", "text/plain"):
            pages["/form"] = (
                f'<form method="post" enctype="{kind}" action="{server.url}{path}">{fields}</form><script>document.forms[0].submit()</script>'
            )
            one_chromium.get(f"http://evil.localhost:{port}/form")
            wait_for(lambda: one_chromium.current_url.startswith(server.url), "the form to be posted")
            wait_for(lambda: one_chromium.execute_script("return document.readyState") == "complete", "the answer")
            assert (
                one_chromium.execute_script("return performance.getEntriesByType('navigation')[0].responseStatus")
                == 403
            )
            tried.append(path)
    smuggled = html.escape(JSON.decode()[:-1] + ', "x": "')
    pages["/json"] = (
        f'<form method="post" enctype="text/plain" action="{server.url}/jobs"><input name="{smuggled}" value="&quot;}}"></form>'
        "<script>document.forms[0].submit()</script>"
    )
    one_chromium.get(f"http://evil.localhost:{port}/json")
    wait_for(lambda: one_chromium.current_url.startswith(server.url), "the form to be posted")
    pages["/fetch"] = "<p>nothing</p>"
    one_chromium.get(f"http://evil.localhost:{port}/fetch")
    outcome = one_chromium.execute_async_script(
        """
        const [url, job, done] = arguments, found = [];
        const body = '{"command": {"type": "exec", "cmd": "true"}}';
        const attempt = async (name, ask) => {
          try { const answer = await ask(); found.push([name, answer.type, answer.status, (await answer.text()).length]); }
          catch (error) { found.push([name, "error", 0, 0]); }
        };
        for (const mode of ["no-cors", "cors"]) {
          const more = {mode, credentials: "include"};
          for (const type of ["text/plain", "application/json", "application/x-www-form-urlencoded"])
            await attempt(`${mode} POST ${type}`, () => fetch(`${url}/jobs`, {...more, method: "POST", body, headers: {"Content-Type": type}}));
          await attempt(`${mode} blob`, () => fetch(`${url}/jobs/add`, {...more, method: "POST", body: new Blob([body])}));
          for (const method of ["DELETE", "PUT", "PATCH"])
            await attempt(`${mode} ${method}`, () => fetch(`${url}/jobs/${job}`, {...more, method, body: "{}"}));
          for (const path of ["/", "/jobs", `/jobs/${job}/out`, "/health"])
            await attempt(`${mode} GET ${path}`, () => fetch(url + path, more));
        }
        navigator.sendBeacon(`${url}/jobs`, body);
        const loaded = [];
        for (const [tag, path] of [["script", `/jobs/${job}`], ["img", "/static/icon.svg"], ["iframe", "/"], ["link", "/static/page.css"]]) {
          const element = document.createElement(tag);
          if (tag === "link") element.rel = "stylesheet";
          element[tag === "link" ? "href" : "src"] = url + path;
          loaded.push(new Promise((settle) => { element.onload = () => settle([tag, "loaded"]); element.onerror = () => settle([tag, "error"]); }));
          document.body.append(element);
        }
        const elements = await Promise.all(loaded);
        const opened = document.querySelector("iframe").contentDocument;
        done({found, elements, framed: opened ? opened.body.innerText : ""});
        """,
        server.url,
        job,
    )
    assert len(outcome["found"]) == 22
    for name, kind, status, length in outcome["found"]:
        assert kind in ("error", "opaque"), name
        assert (status, length) == (0, 0), name
    assert [state for tag, state in outcome["elements"] if tag != "iframe"] == ["error"] * 3, outcome
    assert outcome["framed"] == ""
    assert len(tried) == 9
    assert sorted(data.glob("*.json")) == before
    assert not (data / "paused").exists()
    assert server.get(f"/jobs/{job}").json["data"][0]["status"] == "idle"
    one_chromium.get("about:blank")
    one_chromium.get_log("browser")  # what was refused is said there
