"""Sending an HTTP request, against real servers: what is sent, redirects, bounds of time and memory, the program."""

from __future__ import annotations

import contextlib
import email.message
import http.server
import json
import os
import select
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from running_jobs import http_spec
from running_jobs.commands.http import MAX_REDIRECTS, RequestFailed, send

from .conftest import PROJECT, free_port, require

PROGRAM = PROJECT / "running_jobs" / "commands" / "__main__.py"
BY_PATH = [sys.executable, "-I", "-S", str(PROGRAM), "http"]


class Recorder(http.server.ThreadingHTTPServer):
    """A server that keeps what it was asked and answers by path: a function of the handler, or 200 with `hello`."""

    def __init__(self, certificate: Path | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.requests: list[SimpleNamespace] = []
        self.routes: dict[str, Callable[[Handler], None]] = {}
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self.server_port}"
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self.thread.start()

    def redirect(self, path: str, status: int, location: str | bytes) -> None:
        """Answer a path with a redirect."""
        text = location if isinstance(location, str) else location.decode("latin-1")
        self.routes[path] = lambda handler: handler.answer(status, b"look elsewhere", Location=text)

    def stop(self) -> None:
        """End it."""
        self.stopping.set()
        self.shutdown()
        self.thread.join()
        self.server_close()

    @property
    def last(self) -> SimpleNamespace:
        return self.requests[-1]


class Handler(http.server.BaseHTTPRequestHandler):
    """Keeps each request, then answers it."""

    protocol_version = "HTTP/1.1"
    server: Recorder

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = SimpleNamespace(method=self.command, path=self.path, headers=self.headers, body=body)
        self.server.requests.append(asked)
        route = self.server.routes.get(self.path.partition("?")[0], lambda handler: handler.answer(200, b"hello"))
        with contextlib.suppress(OSError):  # a client that has had enough
            route(self)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = handle_any  # noqa: N815

    def do_CONNECT(self) -> None:
        self.server.requests.append(
            SimpleNamespace(method=self.command, path=self.path, headers=self.headers, body=b"")
        )
        host, port = self.path.split(":")
        if host != "127.0.0.1":
            self.answer(403, b"")
            return
        self.close_connection = True
        with socket.create_connection((host, int(port))) as far:
            self.send_response(200)
            self.end_headers()
            ends = {self.connection: far, far: self.connection}
            while True:
                for end in select.select(list(ends), [], [], 10)[0]:
                    if not (data := end.recv(1 << 16)):
                        return
                    ends[end].sendall(data)

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        """Send an answer whose length is known."""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the tester's own proxies out."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


@pytest.fixture
def start_recorder() -> Iterator[Callable[..., Recorder]]:
    """Give a function that starts a server."""
    started: list[Recorder] = []

    def start(*args: Any) -> Recorder:
        started.append(Recorder(*args))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def server(start_recorder: Callable[..., Recorder]) -> Recorder:
    """Give a server."""
    return start_recorder()


@pytest.fixture
def other(start_recorder: Callable[..., Recorder]) -> Recorder:
    """Give a server on another port, which is another origin."""
    return start_recorder()


@pytest.fixture
def raw_server() -> Iterator[Callable[..., str]]:
    """Give a function that starts a server for one connection, said what to do with it; it returns the address."""
    threads: list[threading.Thread] = []
    listeners: list[socket.socket] = []

    def start(speak: Callable[[socket.socket], Any]) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    speak(connection)

        threads.append(threading.Thread(target=serve))
        threads[-1].start()
        return f"127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for listener in listeners:
        with contextlib.suppress(OSError):  # wakes one that nobody came to
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a certificate of our own for 127.0.0.1, with its key in the same file."""
    require("openssl")
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=nobody"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "-", "-out", "-"]
    path.write_bytes(subprocess.run([*command.split(), *names], check=True, capture_output=True).stdout)
    return path


def request_of(url: str, **more: Any) -> dict[str, Any]:
    """Return a checked request."""
    return http_spec.check("request", {"type": "http", "url": url, **more})


def read(url: str, **more: Any) -> SimpleNamespace:
    """Send a request and return its answer as a whole."""
    with send(request_of(url, **more)) as answer:
        copy = os.memfd_create("body")
        try:
            size = answer.copy_to(copy)
            body = os.pread(copy, size + 1, 0)
        finally:
            os.close(copy)
    assert len(body) == size
    return SimpleNamespace(status=answer.status, reason=answer.reason, url=answer.url, body=body)


def failure(url: str, **more: Any) -> str:
    """Return why a request failed."""
    with pytest.raises(RequestFailed) as caught:
        read(url, **more)
    return str(caught.value)


def names_of(headers: email.message.Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


# What is sent


def test_a_plain_get(server: Recorder) -> None:
    answer = read(f"{server.url}/a%20b/ä?x=1&y=ü#part")
    assert (answer.status, answer.reason, answer.body) == (200, "OK", b"hello")
    assert (server.last.method, server.last.path) == ("GET", "/a%20b/%C3%A4?x=1&y=%C3%BC")
    assert names_of(server.last.headers) == {
        "host": server.url[len("http://") :],
        "user-agent": "running-jobs",
        "accept-encoding": "identity",
        "connection": "close",
    }


@pytest.mark.parametrize("method", http_spec.METHODS)
def test_each_method(server: Recorder, method: str) -> None:
    answer = read(f"{server.url}/", method=method)
    assert answer.body == (b"" if method == "HEAD" else b"hello")
    assert server.last.method == method
    assert server.last.headers["Content-Length"] == ("0" if method in ("POST", "PUT", "PATCH") else None)


PARAMS = {"a b": "ä&=", "n": [1, 2.5, True, False, None, ""], "none": []}
ENCODED = "a+b=%C3%A4%26%3D&n=1&n=2.5&n=true&n=false&n=&n="


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_params_go_in_the_query(server: Recorder, method: str) -> None:
    read(f"{server.url}/p", method=method, params=PARAMS)
    assert server.last.path == f"/p?{ENCODED}"
    read(f"{server.url}/p?z=1#part", method=method, params=PARAMS)
    assert server.last.path == f"/p?z=1&{ENCODED}"
    read(f"{server.url}/p", method=method, params={})
    assert server.last.path == "/p"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_params_are_the_body_otherwise(server: Recorder, method: str) -> None:
    read(f"{server.url}/p?z=1", method=method, params=PARAMS)
    assert (server.last.path, server.last.body) == ("/p?z=1", ENCODED.encode())
    assert server.last.headers["Content-Type"] == "application/x-www-form-urlencoded"


def test_json(server: Recorder) -> None:
    value = {"ä": [1, None, "\0\n€"]}
    read(server.url, method="POST", json=value)
    assert json.loads(server.last.body) == value
    assert server.last.headers["Content-Type"] == "application/json"
    read(server.url, method="PUT", json=None, headers={"content-type": "application/x-ours"})
    assert server.last.body == b"null"
    assert server.last.headers.get_all("Content-Type") == ["application/x-ours"]


def test_a_text_as_body(server: Recorder) -> None:
    read(server.url, method="POST", body="grüße\r\n")
    assert server.last.body == "grüße\r\n".encode()
    assert server.last.headers["Content-Type"] == "text/plain; charset=utf-8"
    read(server.url, body="with GET", params={"a": 1})
    assert (server.last.path, server.last.body) == ("/?a=1", b"with GET")


def test_headers_are_sent_as_given(server: Recorder) -> None:
    read(server.url, headers={"X-A": "b\tc", "x-b": "ü", "USER-AGENT": "mine", "accept-encoding": "gzip"})
    sent = server.last.headers
    assert (sent["X-A"], sent["x-b"], sent.get_all("User-Agent")) == ("b\tc", "ü", ["mine"])
    assert sent.get_all("Accept-Encoding") == ["gzip"]


def test_an_error_status_is_an_answer(server: Recorder) -> None:
    server.routes["/"] = lambda handler: handler.answer(503, b"later")
    answer = read(server.url)
    assert (answer.status, answer.reason, answer.body) == (503, "Service Unavailable", b"later")


def test_a_chunked_answer_and_one_that_ends_with_the_connection(raw_server: Callable[..., str]) -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: t\r\n\r\n"
    assert read(f"http://{raw_server(lambda c: (c.recv(9999), c.sendall(chunked)))}").body == b"abcde"
    endless = b"HTTP/1.0 200\r\n\r\nabc"
    assert read(f"http://{raw_server(lambda c: (c.recv(9999), c.sendall(endless)))}").body == b"abc"


def test_an_answer_ends_with_its_length_though_the_connection_stays(raw_server: Callable[..., str]) -> None:
    def speak(connection: socket.socket) -> None:
        connection.recv(9999)
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        connection.sendall(b"HTTP/1.1 201 Made\r\nContent-Length: 3\r\n\r\nabcde")
        assert connection.recv(9999) == b""  # waits for the client to close

    answer = read(f"http://{raw_server(speak)}")
    assert (answer.status, answer.reason, answer.body) == (201, "Made", b"abc")


def test_an_answer_to_a_body_that_is_not_read(raw_server: Callable[..., str]) -> None:
    answered = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"
    url = (
        f"http://{raw_server(lambda connection: (connection.recv(1), connection.sendall(answered)))}"  # then resets it
    )
    with send({"type": "http", "url": url, "method": "POST", "body": "x" * 20_000_000}) as answer:
        assert answer.status == 413


def test_ipv6(monkeypatch: pytest.MonkeyPatch, server: Recorder) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, port, **_: [
        (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", server.server_port))
    ] if host == b"::1" else [])  # fmt: skip
    read("http://[::1]:81/")
    assert server.last.headers["Host"] == "[::1]:81"


def test_the_next_address_is_tried(monkeypatch: pytest.MonkeyPatch, server: Recorder) -> None:
    ports = [free_port(), server.server_port]
    found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port)) for port in ports]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert read("http://two.example/").body == b"hello"
    assert server.last.headers["Host"] == "two.example"


def test_a_name_of_another_script_is_looked_up_in_ascii(monkeypatch: pytest.MonkeyPatch, server: Recorder) -> None:
    asked = []

    def look_up(host: bytes, port: int, **_: Any) -> list[Any]:
        asked.append((host, port))
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", server.server_port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    read("http://Bücher.example/")
    assert asked == [(b"xn--bcher-kva.example", 80)]
    assert server.last.headers["Host"] == "xn--bcher-kva.example"


# Redirects


@pytest.mark.parametrize(
    ("status", "method", "becomes"),
    [
        (301, "GET", "GET"), (301, "POST", "GET"), (301, "PUT", "PUT"), (301, "DELETE", "DELETE"), (301, "HEAD", "HEAD"),
        (302, "GET", "GET"), (302, "POST", "GET"), (302, "PATCH", "PATCH"),
        (303, "GET", "GET"), (303, "POST", "GET"), (303, "PUT", "GET"), (303, "DELETE", "GET"), (303, "HEAD", "HEAD"),
        (307, "GET", "GET"), (307, "POST", "POST"), (307, "PUT", "PUT"), (308, "POST", "POST"), (308, "DELETE", "DELETE"),
    ],
)  # fmt: skip
def test_redirects(server: Recorder, status: int, method: str, becomes: str) -> None:
    server.redirect("/old/a", status, "../new?x=1")
    more = {"body": "text"} if method != "HEAD" else {}
    answer = read(f"{server.url}/old/a", method=method, headers={"content-language": "de", "X-A": "b"}, **more)
    kept = method == becomes and status != 303
    assert (answer.status, answer.url) == (200, f"{server.url}/new?x=1")
    assert (server.last.method, server.last.path) == (becomes, "/new?x=1")
    assert server.last.body == (b"text" if more and kept else b"")
    assert server.last.headers["X-A"] == "b"
    if more and not kept:
        assert not {"content-length", "content-type", "content-language"} & set(names_of(server.last.headers))


def test_params_are_not_added_again_to_where_a_redirect_leads(server: Recorder) -> None:
    server.redirect("/a", 302, "/b")
    read(f"{server.url}/a", params={"secret": 1})
    assert [asked.path for asked in server.requests] == ["/a?secret=1", "/b"]


@pytest.mark.parametrize("location", ["/grüße x", "/grüße x".encode()])
def test_a_location_that_is_not_encoded(server: Recorder, location: str | bytes) -> None:
    server.redirect("/a", 302, location)
    read(f"{server.url}/a")
    expected = "/gr%FC%DFe%20x" if isinstance(location, str) else "/gr%C3%BC%C3%9Fe%20x"  # bytes as they came
    assert server.last.path == expected


@pytest.mark.parametrize("status", [300, 304, 301, 307])
def test_no_redirect_without_a_place_or_with_another_status(server: Recorder, status: int) -> None:
    headers = {"Location": "/b"} if status in (300, 304) else {}
    server.routes["/a"] = lambda handler: handler.answer(status, b"", **headers)
    assert read(f"{server.url}/a").status == status
    assert len(server.requests) == 1


def test_five_redirects_are_followed_and_the_sixth_is_not(server: Recorder) -> None:
    for number in range(1, 7):
        server.redirect(f"/{number}", 302, f"/{number - 1}")
    assert read(f"{server.url}/{MAX_REDIRECTS}").body == b"hello"
    assert failure(f"{server.url}/6?q") == f"too many redirects (5); redirected to {server.url}/1"


def test_redirects_in_a_circle(server: Recorder) -> None:
    server.redirect("/a", 301, "/b")
    server.redirect("/b", 307, "/a")
    assert failure(f"{server.url}/a").startswith("too many redirects (5), in a circle")
    assert len(server.requests) == 6


@pytest.mark.parametrize(
    ("location", "problem"),
    [
        ("ftp://127.0.0.1/", "http://"), ("file:///etc/passwd", "http://"), ("https:///x", "host"), ("http://[/", "Invalid IPv6"),
        ("http://user:hidden@127.0.0.1/", "user or password"), ("http://127.0.0.1:99999/", "port"),
        ("javascript:alert(1)", "http://"),
    ],
)  # fmt: skip
def test_redirects_to_no_place_to_go(server: Recorder, location: str, problem: str) -> None:
    server.redirect("/", 302, location)
    message = failure(server.url)
    assert message.startswith("a redirect cannot be followed: ") and problem in message
    assert "hidden" not in message


SECRET = {
    "Authorization": "Bearer x", "COOKIE": "a=b", "proxy-authorization": "Basic y", "X-Api-Key": "k", "X-Whatever": "w",
    "Accept": "z/z",
}  # fmt: skip
SECRETS = {name.lower() for name in SECRET} - {"accept"}


def test_secrets_stay_with_their_origin(server: Recorder, other: Recorder) -> None:
    server.redirect("/same", 307, f"{server.url}/away?x")
    server.redirect("/away", 307, f"{other.url}/back")
    other.redirect("/back", 307, f"{server.url}/end")
    read(f"{server.url}/same", method="POST", body="text", headers=SECRET)
    seen = [names_of(asked.headers) for asked in (*server.requests, *other.requests)]
    with_secrets = [set(names) >= SECRETS for names in seen]
    without = [SECRETS.isdisjoint(names) for names in seen]
    assert [asked.path for asked in (*server.requests, *other.requests)] == ["/same", "/away?x", "/end", "/back"]
    assert with_secrets == [True, True, False, False]
    assert without == [False, False, True, True]
    assert [names["accept"] for names in seen] == ["z/z"] * 4
    assert {asked.body for asked in other.requests} == {b"text"}


def test_secrets_are_not_sent_in_plain_text_after_tls(
    start_recorder: Callable[..., Recorder], server: Recorder, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    secure = start_recorder(certificate)
    secure.redirect("/", 302, f"{server.url}/plain")
    assert read(secure.url, headers=SECRET).url == f"{server.url}/plain"
    assert secure.last.headers["Authorization"] == "Bearer x"
    assert set(names_of(server.last.headers)) & {"authorization", "cookie", "proxy-authorization"} == set()


# What goes wrong


def test_a_refused_connection() -> None:
    assert failure(f"http://127.0.0.1:{free_port()}/") == "connection refused"


def test_a_failure_after_a_redirect_says_where(server: Recorder) -> None:
    away = f"http://127.0.0.1:{free_port()}/x"
    server.redirect("/", 302, f"{away}?secret")
    assert failure(server.url) == f"connection refused; redirected to {away}"


def test_a_name_that_nobody_has() -> None:
    assert failure("http://nope.invalid/").startswith("the name nope.invalid cannot be resolved")


def test_a_resolver_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: release.wait(20) and [])
    begin = time.monotonic()
    try:
        assert (
            failure("http://slow.example/", timeout=0.2) == "the name slow.example could not be resolved within 0.2 s"
        )
    finally:
        release.set()
    assert time.monotonic() - begin < 5


def drip(connection: socket.socket, piece: bytes) -> None:
    with contextlib.suppress(OSError):  # until the client hangs up
        for _ in range(400):
            connection.sendall(piece)
            time.sleep(0.05)


HEAD = b"HTTP/1.1 200 OK\r\n"
DRIPPING: dict[str, Callable[[socket.socket], Any]] = {
    "nothing": lambda c: (c.recv(9999), c.recv(9999)),
    "hints": lambda c: drip(c, b"HTTP/1.1 100 Continue\r\n\r\n"),
    "head": lambda c: (c.sendall(HEAD + b"X-Long: "), drip(c, b"x")),
    "body": lambda c: (c.recv(9999), c.sendall(HEAD + b"\r\n"), drip(c, b"x")),
    "length": lambda c: (c.recv(9999), c.sendall(HEAD + b"Content-Length: 99999\r\n\r\n"), drip(c, b"x")),
    "chunks": lambda c: (c.recv(9999), c.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n"), drip(c, b"1\r\nx\r\n")),
}


@pytest.mark.parametrize("kind", DRIPPING)
def test_a_server_that_drips_is_left_in_time(raw_server: Callable[..., str], kind: str) -> None:
    url = f"http://{raw_server(DRIPPING[kind])}/"
    begin = time.monotonic()
    assert failure(url, timeout=0.2) == "timed out after 0.2 s"
    assert 0.15 < time.monotonic() - begin < 5


def test_a_server_that_drips_redirects_is_left_in_time(server: Recorder) -> None:
    def slowly(handler: Handler) -> None:
        server.stopping.wait(0.15)
        handler.answer(302, b"", Location=f"{handler.path}x")

    server.routes.update({"/" + "x" * count: slowly for count in range(6)})
    assert failure(f"{server.url}/", timeout=0.4).startswith("timed out after 0.4 s")


def test_one_who_reads_a_body_slowly_is_left_in_time(raw_server: Callable[..., str]) -> None:
    left = threading.Event()

    def speak(connection: socket.socket) -> None:
        while connection.recv(50_000) and not left.wait(0.02):
            pass

    url = f"http://{raw_server(speak)}"
    body = "x" * 20_000_000  # more than all buffers hold
    begin = time.monotonic()
    try:
        with pytest.raises(RequestFailed, match=r"^timed out after 0\.2 s$"):
            send({"type": "http", "url": url, "method": "POST", "body": body, "timeout": 0.2})
    finally:
        left.set()
    assert time.monotonic() - begin < 3


def test_a_silent_tls_handshake_is_left_in_time(raw_server: Callable[..., str]) -> None:
    url = f"https://{raw_server(lambda c: (c.recv(9999), c.recv(9999)))}/"
    assert failure(url, timeout=0.2) == "timed out after 0.2 s"


def test_an_address_that_does_not_answer() -> None:
    with socket.socket() as deaf, socket.socket() as first:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        first.connect(deaf.getsockname())  # fills the queue of those to be accepted
        assert failure(f"http://127.0.0.1:{deaf.getsockname()[1]}/", timeout=0.2) == "timed out after 0.2 s"


@pytest.mark.parametrize(
    ("bytes_sent", "message"),
    [
        (b"", "the server closed the connection without an answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "the server's answer is not HTTP"),
        (b"HTTP/1.1 abc\r\n\r\n", "the server's answer is not HTTP"),
        (HEAD + b"Content-Length: 9\r\n\r\nabc", "the connection was closed after 3 of 9 bytes of the answer"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "the connection was closed before the answer was complete"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n9\r\nabc", "the connection was closed before the answer was complete"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", "the connection was closed before the answer was complete"),
        (HEAD + b"X: " + b"y" * 70_000 + b"\r\n\r\n", "the server's answer is broken: got more than 65536 bytes"),
        (HEAD + b"X: y\r\n" * 101 + b"\r\n", "the server's answer is broken: got more than 100 headers"),
    ],
)  # fmt: skip
def test_answers_that_are_none(raw_server: Callable[..., str], bytes_sent: bytes, message: str) -> None:
    def speak(connection: socket.socket) -> None:
        connection.recv(9999)
        connection.sendall(bytes_sent)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)

    assert failure(f"http://{raw_server(speak)}").startswith(message)


def test_tls_to_a_plain_port(server: Recorder) -> None:
    assert failure(server.url.replace("http:", "https:")).startswith("TLS failed: ")


def test_plain_text_to_a_tls_port(start_recorder: Callable[..., Recorder], certificate: Path) -> None:
    secure = start_recorder(certificate)
    message = failure(secure.url.replace("https:", "http:"))
    assert message in ("the server closed the connection without an answer", "connection reset by peer")


def test_certificates_are_verified(
    start_recorder: Callable[..., Recorder], certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secure = start_recorder(certificate)
    assert failure(secure.url).startswith("the server's certificate is not trusted: self")
    assert secure.requests == []
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert read(secure.url).body == b"hello"
    message = failure(secure.url.replace("127.0.0.1", "localhost"))
    assert message.startswith("the server's certificate is not trusted: Hostname mismatch")


def test_where_the_answer_cannot_be_stored(server: Recorder) -> None:
    refused = pytest.raises(RequestFailed, match=r"the answer could not be stored: No space left")
    with send(request_of(server.url)) as answer, open("/dev/full", "wb") as full, refused:
        answer.copy_to(full.fileno())


# Proxies


def test_a_proxy_of_the_environment(server: Recorder, other: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://us%65r:pa%3ass@127.0.0.1:{other.server_port}/")
    assert read("http://far.example:81/a?b").body == b"hello"
    assert (other.last.path, other.last.headers["Host"]) == ("http://far.example:81/a?b", "far.example:81")
    assert other.last.headers["Proxy-Authorization"] == "Basic dXNlcjpwYTpzcw=="
    monkeypatch.setenv("no_proxy", "example.com,127.0.0.1")
    read(f"{server.url}/near")
    assert [asked.path for asked in server.requests] == ["/near"]


def test_a_proxy_that_tunnels(
    start_recorder: Callable[..., Recorder], other: Recorder, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{other.server_port}")
    secure = start_recorder(certificate)
    assert read(f"{secure.url}/x", headers={"Proxy-Authorization": "Basic y"}).body == b"hello"
    assert (other.last.method, other.last.path) == ("CONNECT", f"127.0.0.1:{secure.server_port}")
    assert other.last.headers["Proxy-Authorization"] == "Basic y"
    assert (secure.last.path, secure.last.headers["Proxy-Authorization"]) == ("/x", None)
    assert failure("https://far.example/") == "the proxy refused to connect: 403 Forbidden"


@pytest.mark.parametrize("address", ["socks5://127.0.0.1:1", "http://127.0.0.1:99999", "http://", "http://[x"])
def test_what_is_no_http_proxy(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", address)
    assert failure("http://far.example/") == "the environment's http_proxy is no address of an HTTP proxy"


# The program


def run(*arguments: str, text: str | bytes = "", start: list[str] = BY_PATH, **more: Any) -> SimpleNamespace:
    """Run the program to its end."""
    content = text.encode() if isinstance(text, str) else text
    environ = {**os.environ, **more.pop("environ", {})}
    done = subprocess.run([*start, *arguments], input=content, capture_output=True, timeout=30, env=environ, **more)
    return SimpleNamespace(code=done.returncode, out=done.stdout, err=done.stderr.decode())


def as_job(folder: Path, job_id: str = "20260101-000000-000000") -> dict[str, str]:
    """Return the environment of a job's command."""
    return {"JOB_ID": job_id, "JOB_FILES": f"{folder}/{job_id}.files"}


def response_of(folder: Path) -> Path:
    return folder / "20260101-000000-000000.response"


STARTS = {
    "by path, isolated": BY_PATH,
    "by path": [sys.executable, str(PROGRAM), "http"],
    "as a module": [sys.executable, "-m", "running_jobs.commands.http"],
}


@pytest.mark.parametrize("kind", STARTS)
def test_ways_to_start_it(server: Recorder, tmp_path: Path, kind: str) -> None:
    cwd = PROJECT if kind == "as a module" else tmp_path
    done = run(f"{server.url}/p?secret=1", start=STARTS[kind], cwd=cwd)
    assert (done.code, done.out) == (0, b"hello"), done.err
    assert done.err.startswith(f"GET {server.url}/p: 200 OK, 5 bytes in ")
    assert "secret" not in done.err and done.err.count("\n") == 1


def test_it_starts_in_its_own_folder(server: Recorder) -> None:
    done = run(server.url, start=[sys.executable, PROGRAM.name, "http"], cwd=PROGRAM.parent)
    assert (done.code, done.out) == (0, b"hello"), done.err


@pytest.mark.parametrize("how", ["argument", "stdin"])
def test_a_request_in_json(server: Recorder, how: str) -> None:
    text = json.dumps({"type": "http", "url": server.url, "method": "post", "json": ["ü"], "headers": {"X-A": "b"}})
    done = run(text) if how == "argument" else run("-", text=text)
    assert (done.code, done.out) == (0, b"hello"), done.err
    assert (server.last.method, server.last.body, server.last.headers["X-A"]) == ("POST", '["ü"]'.encode(), "b")


@pytest.mark.parametrize(
    ("arguments", "text", "problem"),
    [
        ([], "", "usage: "), (["-"], "", "expected JSON"), (["-"], "[" * 100_000, "expected JSON"),
        (["-"], "[]", 'expected {"type"'), (["-"], b"\xff", "expected JSON"), (['{"type": "exec"}'], "", 'expected {"type"'),
        (["ftp://h/"], "", "request.url: expected http"), (["--help"], "", "request.url: expected http"),
        (["http://h/\udcff"], "", "request.url: is not valid UTF-8"),
        (['{"url": "http://h/", "headers": {"X-A": "b\\r\\nX-B: c"}}'], "", "request.headers X-A: must not hold line ends"),
        (['{"url": "http://h/", "\\u001b[1m": 0}'], "", "\\x1b[1m"),
    ],
)  # fmt: skip
def test_wrong_usage(arguments: list[str], text: str | bytes, problem: str) -> None:
    done = run(*arguments, text=text)
    assert (done.code, done.out) == (2, b"")
    assert problem in done.err and "Traceback" not in done.err and done.err.count("\n") == 1


def test_as_a_job_the_answer_is_its_response_file(server: Recorder, tmp_path: Path) -> None:
    server.routes["/p"] = lambda handler: handler.answer(200, b"\0\xff body")
    response_of(tmp_path).write_text("the response of an earlier attempt, which was longer")
    done = run("-", text=json.dumps({"url": f"{server.url}/p?q=secret"}), environ=as_job(tmp_path))
    assert (done.code, done.err) == (0, "")
    assert done.out.decode().startswith(f"GET {server.url}/p: 200 OK, 7 bytes in ")
    assert response_of(tmp_path).read_bytes() == b"\0\xff body"
    assert os.listdir(tmp_path) == [response_of(tmp_path).name]


def test_the_response_file_is_private(server: Recorder, tmp_path: Path) -> None:
    run(server.url, environ=as_job(tmp_path), umask=0)
    assert response_of(tmp_path).stat().st_mode & 0o7777 == 0o600


@pytest.mark.parametrize(
    "environ", [{"JOB_ID": "", "JOB_FILES": "/x/.files"}, {"JOB_ID": "a", "JOB_FILES": "/x/b.files"}]
)
def test_without_a_whole_job_it_is_run_by_hand(server: Recorder, environ: dict[str, str]) -> None:
    assert run(server.url, environ=environ).out == b"hello"


def test_a_failure_status_as_a_job(server: Recorder, tmp_path: Path) -> None:
    server.routes["/p"] = lambda handler: handler.answer(404, b"x")
    done = run(f"{server.url}/p", environ=as_job(tmp_path))
    assert done.code == 1
    assert done.out.decode().startswith(f"GET {server.url}/p: 404 Not Found, 1 byte in ")
    assert done.err.startswith(f"GET {server.url}/p: failed: 404 Not Found, 1 byte in ")
    assert response_of(tmp_path).read_bytes() == b"x"


def test_a_failure_status_by_hand(server: Recorder) -> None:
    server.routes["/p"] = lambda handler: handler.answer(500, b"why")
    done = run(f"{server.url}/p")
    assert (done.code, done.out, done.err.count("\n")) == (1, b"why", 1)
    assert "failed: 500 Internal Server Error" in done.err


def test_a_redirect_is_told(server: Recorder) -> None:
    server.redirect("/a", 302, "/b?token=secret")
    assert run(f"{server.url}/a").err.startswith(f"GET {server.url}/a: 200 OK from {server.url}/b, 5 bytes in ")


def test_a_reason_cannot_act_on_a_terminal(raw_server: Callable[..., str], tmp_path: Path) -> None:
    text = b"HTTP/1.1 200 \x1b[31mfine\x9b\r\nContent-Length: 0\r\n\r\n"
    done = run(f"http://{raw_server(lambda c: (c.recv(9999), c.sendall(text)))}/", environ=as_job(tmp_path))
    assert done.code == 0
    assert b"200 \\x1b[31mfine\\x9b, 0 bytes" in done.out


@pytest.mark.parametrize("kind", ["link", "FIFO", "folder"])
def test_what_lies_in_the_place_of_the_response_is_left(server: Recorder, tmp_path: Path, kind: str) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    path = response_of(tmp_path)
    {"link": lambda: path.symlink_to(mine), "FIFO": lambda: os.mkfifo(path), "folder": path.mkdir}[kind]()
    done = run(server.url, environ=as_job(tmp_path))
    assert (done.code, done.out) == (1, b"")
    assert f"{path} could not be written: " in done.err and "Traceback" not in done.err
    assert mine.read_text() == "mine"
    assert server.requests == []


def test_a_network_error_is_one_line(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}/p"
    done = run(f"{url}?secret", environ=as_job(tmp_path))
    assert (done.code, done.out, done.err) == (1, b"", f"GET {url}: connection refused\n")


def test_the_program_leaves_a_dripping_server_in_time(raw_server: Callable[..., str], tmp_path: Path) -> None:
    url = f"http://{raw_server(DRIPPING['body'])}/"
    done = run(json.dumps({"url": url, "timeout": 0.5}), environ=as_job(tmp_path))
    assert (done.code, done.out, done.err) == (1, b"", f"GET {url}: timed out after 0.5 s\n")
    assert set(response_of(tmp_path).read_bytes()) == {ord("x")}  # what had come


def test_it_ends_in_time_though_nobody_reads_what_it_writes(server: Recorder) -> None:
    server.routes["/"] = lambda handler: handler.answer(200, b"x" * 2_000_000)
    request = json.dumps({"url": f"{server.url}/", "timeout": 0.1})
    with subprocess.Popen([*BY_PATH, request], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.wait(20) == 1
        assert process.stderr.read().decode() == f"GET {server.url}/: timed out after 0.1 s\n"


def test_nobody_reads_on(server: Recorder) -> None:
    server.routes["/"] = lambda handler: handler.answer(200, b"x" * 2_000_000)
    with subprocess.Popen([*BY_PATH, server.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read().decode() == f"GET {server.url}: the answer could not be stored: Broken pipe\n"
        assert process.wait(20) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_once(raw_server: Callable[..., str], number: int) -> None:
    asked = threading.Event()
    url = raw_server(lambda connection: (connection.recv(9999), asked.set(), connection.recv(1)))
    with subprocess.Popen([*BY_PATH, f"http://{url}/"], stderr=subprocess.PIPE) as process:
        assert asked.wait(20)
        process.send_signal(number)
        assert process.wait(20) == -number
        assert process.stderr.read() == b""


def test_a_large_answer_needs_no_memory(server: Recorder, tmp_path: Path) -> None:
    size = 64_000_000

    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(size))
        handler.end_headers()
        for _ in range(64):
            handler.wfile.write(bytes(1_000_000))

    server.routes["/"] = answer
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); from running_jobs.commands.http import main; print(main(sys.argv[2:]));"
        "print(*[line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')])"
    )
    start = [sys.executable, "-I", "-S", "-c", program, str(PROJECT)]
    done = run(server.url, start=start, environ=as_job(tmp_path))
    line, code, peak_kb = done.out.decode().splitlines()
    assert (code, response_of(tmp_path).stat().st_size) == ("0", size), done.err
    assert f"{size} bytes" in line
    assert int(peak_kb) < 50_000


def test_plain_http_needs_no_tls_and_no_proxies(server: Recorder) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); from running_jobs.commands.http import main; main(sys.argv[2:]);"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = run(server.url, start=[sys.executable, "-I", "-S", "-c", program, str(PROJECT)])
    modules = set(done.err.split())
    assert "http.client" in modules
    assert {"ssl", "_ssl", "urllib.request", "threading", "subprocess", "dataclasses", "logging"} & modules == set()


def test_tls_in_the_program(start_recorder: Callable[..., Recorder], certificate: Path) -> None:
    secure = start_recorder(certificate)
    assert run(secure.url).err.startswith(f"GET {secure.url}: the server's certificate is not trusted: ")
    done = run(secure.url, environ={"SSL_CERT_FILE": str(certificate)})
    assert (done.code, done.out) == (0, b"hello"), done.err


def test_a_proxy_in_the_program(other: Recorder) -> None:
    done = run("http://far.example/x", environ={"HTTP_PROXY": other.url})
    assert (done.code, done.out) == (0, b"hello"), done.err
    assert other.last.path == "http://far.example/x"
