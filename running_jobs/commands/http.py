"""Sends one HTTP request: `send` for a program, `python -m running_jobs.commands.http REQUEST` by hand or as a job.

REQUEST is a JSON object as http_spec describes it, a bare URL, or `-` to read the JSON from standard input, which
keeps headers out of the list of processes. As a job (JOB_ID and JOB_FILES are set) the answer's body becomes the
job's response file and a line on standard output says how it went; by hand the body goes to standard output and
that line to standard error. Exits 0; 1 for a status of 400 and above or no answer; 2 for what is no request.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from typing import Any, NamedTuple

from running_jobs import files, http_spec
from running_jobs.checks import encode_json
from running_jobs.commands import connection
from running_jobs.commands.connection import PIECE, Deadline, RequestFailed, Stream
from running_jobs.errors import InvalidJob
from running_jobs.paths import response_path
from running_jobs.wording import duration, harmless, printable

USAGE = "usage: python -m running_jobs.commands.http REQUEST   (a JSON object, a URL, or - for JSON on stdin)"
MAX_REDIRECTS = 5
REDIRECTS = (301, 302, 303, 307, 308)
FOR_ALL_ORIGINS = ("accept", "content-", "user-agent")  # how headers begin that are no secrets
EXIT_FAILED, EXIT_USAGE = 1, 2


class Message(NamedTuple):
    """One request on its way; redirects change it."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None


class Answer:
    """An answer whose body is still to be read: use it in a `with` statement, or `close` it."""

    def __init__(self, response: Any, stream: Stream, url: str, deadline: Deadline) -> None:
        self.status: int = response.status
        self.reason: str = response.reason
        self.url = url
        self.location: str | None = response.getheader("Location")
        self._response = response
        self._stream = stream
        self._deadline = deadline

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection, whether or not the body was read."""
        self._response.close()
        self._stream.end()

    def copy_to(self, descriptor: int) -> int:
        """Write the body to a descriptor as it comes in; return its length in bytes. Raise RequestFailed."""
        expected = self._response.length  # None where only the end of it tells
        size = 0
        while expected is None or size < expected:
            try:
                piece = self._response.read1(PIECE if expected is None else min(PIECE, expected - size))
            except (OSError, RequestFailed, connection.http_client().HTTPException) as error:
                raise connection.explain(error, self._deadline) from error
            if not piece:
                break
            try:
                files.write_all(descriptor, piece)
            except OSError as error:
                raise RequestFailed(f"the answer could not be stored: {error.strerror}") from error
            size += len(piece)
        if expected is not None and size < expected:
            raise RequestFailed(f"the connection was closed after {size} of {expected} bytes of the answer")
        return size


def send(request: dict[str, Any]) -> Answer:
    """Send a request that `http_spec.check` has passed, follow redirects, return the answer, whatever its status.

    All of it, including the reading of the answer's body, has the request's timeout. Raise RequestFailed.
    """
    deadline = Deadline(request.get("timeout", http_spec.DEFAULT_TIMEOUT_S))
    message = _first_message(request)
    urls = [message.url]
    while True:
        try:
            answer = _exchange(message, deadline)
            if answer.status not in REDIRECTS or answer.location is None:
                return answer
            answer.close()
            message = _redirected(message, answer.status, answer.location)
            if len(urls) > MAX_REDIRECTS:
                circle = ", in a circle" if message.url in urls else ""
                raise RequestFailed(f"too many redirects ({MAX_REDIRECTS}){circle}")
        except RequestFailed as error:
            if len(urls) == 1:
                raise
            raise RequestFailed(f"{error}; redirected to {shown(urls[-1])}") from error
        urls.append(message.url)


def shown(url: str) -> str:
    """Return a URL without its query, which may hold secrets, for a line that anybody may read."""
    return printable(url.partition("#")[0].partition("?")[0])


def _first_message(request: dict[str, Any]) -> Message:
    from urllib.parse import urlencode

    method, url, headers = request.get("method", "GET"), request["url"], dict(request.get("headers", {}))
    body, content_type = None, ""
    if "params" in request:
        lists = {name: value if isinstance(value, list) else [value] for name, value in request["params"].items()}
        encoded = urlencode([(name, http_spec.text_of(item)) for name, items in lists.items() for item in items])
        if method not in http_spec.PARAMS_IN_QUERY:
            body, content_type = encoded.encode(), "application/x-www-form-urlencoded"
        elif encoded:
            url = url.partition("#")[0]
            url += ("&" if "?" in url else "?") + encoded
    if "json" in request:
        body, content_type = encode_json(request["json"]), "application/json"
    elif "body" in request:
        body, content_type = request["body"].encode(), "text/plain; charset=utf-8"
    given = {name.lower() for name in headers}
    ours = {"User-Agent": "running-jobs", "Accept-Encoding": "identity", "Content-Type": content_type}
    headers.update({name: value for name, value in ours.items() if value and name.lower() not in given})
    return Message(method, url, headers, body)


def _redirected(message: Message, status: int, location: str) -> Message:
    """Return the message for where a redirect leads. Raise RequestFailed if that is no place to go."""
    import string
    from urllib.parse import quote, urljoin

    try:
        url = urljoin(message.url, quote(location.strip(), safe=string.punctuation, encoding="latin-1"))
        place = http_spec.target("Location", url)
    except (ValueError, InvalidJob) as error:
        raise RequestFailed(f"a redirect cannot be followed: {error}") from None
    method, _, headers, body = message
    if (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST"):
        method, body = "GET", None
        headers = {name: value for name, value in headers.items() if not name.lower().startswith("content-")}
    if place.origin != http_spec.target("url", message.url).origin:
        headers = {name: value for name, value in headers.items() if name.lower().startswith(FOR_ALL_ORIGINS)}
    return Message(method, url, headers, body)


def _exchange(message: Message, deadline: Deadline) -> Answer:
    """Send one message and return the head of its answer. Raise RequestFailed."""
    client = connection.http_client()
    stream = None
    try:
        place = http_spec.target("url", message.url)
        headers = dict(message.headers)
        proxy = connection.proxy_for(place)
        tunnel_authorization = None
        if proxy:
            given = next((name for name in headers if name.lower() == "proxy-authorization"), None)
            authorization = headers.pop(given) if given else proxy.authorization
            if place.scheme == "https":
                tunnel_authorization = authorization
            elif authorization:
                headers["Proxy-Authorization"] = authorization
        stream = connection.connect(place, proxy, tunnel_authorization, deadline)
        writer = client.HTTPConnection("host")  # it connects nowhere: the socket is there
        writer.sock = stream
        path = f"http://{place.netloc}{place.path}" if proxy and place.scheme == "http" else place.path
        writer.putrequest(message.method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in {"Host": place.netloc, **headers, "Connection": "close"}.items():
            writer.putheader(name, value)
        if message.body is not None or message.method in ("POST", "PUT", "PATCH"):
            writer.putheader("Content-Length", str(len(message.body or b"")))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # one who refuses a body may still say why
            writer.endheaders(message.body)
        response = writer.getresponse()
        while 101 < response.status < 200:  # hints before the answer; http.client skips 100 alone
            response.headers = None
            response.begin()
        return Answer(response, stream, message.url, deadline)
    except (OSError, ValueError, InvalidJob, RequestFailed, client.HTTPException) as error:
        if stream is not None:
            stream.end()
        raise connection.explain(error, deadline) from error


def main(arguments: list[str]) -> int:
    """Send the request that the arguments give; return the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        if len(arguments) != 1:
            raise ValueError(USAGE)
        request = http_spec.check("request", _read_request(arguments[0]))
    except (ValueError, InvalidJob) as error:
        _say(2, harmless(str(error)))
        return EXIT_USAGE
    what = f"{request.get('method', 'GET')} {shown(request['url'])}"
    deadline = Deadline(request.get("timeout", http_spec.DEFAULT_TIMEOUT_S))
    _end_at_the_latest(deadline.seconds + 1, f"{what}: {deadline.passed()}")
    try:
        path = response_path(os.environ)
        out = 1 if path is None else files.open_private(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    except OSError as error:
        _say(2, f"{what}: {error.filename} could not be written: {error.strerror}")
        return EXIT_FAILED
    begin = time.monotonic()
    try:
        with send(request) as answer:
            size = answer.copy_to(out)
    except RequestFailed as error:
        _say(2, f"{what}: {printable(str(error))}")
        return EXIT_FAILED
    status = f"{answer.status} {printable(answer.reason)}".rstrip()
    via = "" if shown(answer.url) == shown(request["url"]) else f" from {shown(answer.url)}"
    how = f"{status}{via}, {size} byte{'' if size == 1 else 's'} in {duration(time.monotonic() - begin)}"
    if path is not None:
        _say(1, f"{what}: {how}")
    if answer.status >= 400:
        _say(2, f"{what}: failed: {how}")
        return EXIT_FAILED
    if path is None:
        _say(2, f"{what}: {how}")
    return 0


def _read_request(argument: str) -> dict[str, Any]:
    """Return the request that an argument stands for, still to be checked. Raise ValueError."""
    if argument != "-" and not argument.lstrip().startswith("{"):
        return {"type": "http", "url": argument}
    try:
        request = json.loads(sys.stdin.buffer.read() if argument == "-" else argument)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"request: expected JSON: {error}") from None
    if not isinstance(request, dict) or request.setdefault("type", "http") != "http":
        raise ValueError('request: expected {"type": "http", "url": ...}')
    return request


def _end_at_the_latest(seconds: float, last_words: str) -> None:
    """See to it that this process ends even if it hangs where no deadline is looked at, as in writing to a pipe."""

    def end(*_: object) -> None:
        _say(2, last_words)
        os._exit(EXIT_FAILED)

    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _say(descriptor: int, line: str) -> None:
    with contextlib.suppress(OSError):
        files.write_all(descriptor, line.encode(errors="backslashreplace") + b"\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
