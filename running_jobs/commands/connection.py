"""A connection for one HTTP exchange: names, proxies, TLS, and bytes. Each step of it ends by one deadline.

A timeout of a socket bounds a single operation, so a server that sends a byte now and then would hold us
for ever. Here each operation gets what is left of the whole time.
"""

from __future__ import annotations

import _thread
import io
import os
import sys
import time
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from running_jobs.errors import JobsError
from running_jobs.http_spec import PORTS, Target

if TYPE_CHECKING:
    import socket

PIECE = 1 << 16
LONGEST_S = 2_000_000  # what a socket's timeout can hold


class RequestFailed(JobsError):
    """No answer, or no whole one. The message says why in words for the one who asked."""


class Deadline:
    """The moment at which everything must be over."""

    def __init__(self, seconds: float) -> None:
        self.seconds = min(seconds, LONGEST_S)
        self._end = time.monotonic() + self.seconds

    def left(self) -> float:
        """Return how many seconds are left, more than 0. Raise RequestFailed if none are."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.passed()
        return left

    def passed(self) -> RequestFailed:
        """Return the error that says so."""
        return RequestFailed(f"timed out after {self.seconds:g} s")


class Stream:
    """A connected socket as http.client uses one, with a deadline. Whoever opened it calls `end`."""

    def __init__(self, connected: socket.socket, deadline: Deadline) -> None:
        self._socket = connected
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        """Send all of data. Raise OSError or RequestFailed."""
        view = memoryview(data)
        while view:
            self._socket.settimeout(self._deadline.left())
            view = view[self._socket.send(view[:PIECE]) :]

    def makefile(self, mode: str) -> io.BufferedReader:
        """Return a reader of what comes in."""
        return io.BufferedReader(_Incoming(self._socket, self._deadline), PIECE)

    def close(self) -> None:
        """Do nothing: http.client lets go of its socket while the answer is still to be read."""

    def end(self) -> None:
        """Close the socket."""
        self._socket.close()


class _Incoming(io.RawIOBase):
    def __init__(self, connected: socket.socket, deadline: Deadline) -> None:
        self._socket = connected
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._socket.settimeout(self._deadline.left())
        return self._socket.recv_into(buffer)


class Proxy(NamedTuple):
    """An HTTP proxy, with the value of its Proxy-Authorization if it wants one."""

    scheme: str
    host: str
    port: int
    authorization: str | None


def http_client() -> ModuleType:
    """Return http.client, imported without ssl: a good part of our start, and needed for https alone."""
    if "http.client" not in sys.modules and "ssl" not in sys.modules:
        sys.modules["ssl"] = None  # type: ignore[assignment]
        try:
            import http.client
        finally:
            del sys.modules["ssl"]
    import http.client

    return http.client


def proxy_for(target: Target) -> Proxy | None:
    """Return the proxy that the environment names for a target, by the rules of urllib. Raise RequestFailed."""
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return None  # spares the import
    import urllib.request
    from urllib.parse import unquote, urlsplit

    address = urllib.request.getproxies().get(target.scheme)
    if not address or urllib.request.proxy_bypass(target.netloc):
        return None
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or parts.scheme not in PORTS:
        raise RequestFailed(f"the environment's {target.scheme}_proxy is no address of an HTTP proxy")
    authorization = None
    if parts.username is not None:
        from base64 import b64encode

        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + b64encode(pair.encode()).decode()
    return Proxy(parts.scheme, host, port or PORTS[parts.scheme], authorization)


def connect(target: Target, proxy: Proxy | None, authorization: str | None, deadline: Deadline) -> Stream:
    """Connect to a target, through a proxy if there is one. Raise OSError, HTTPException or RequestFailed.

    `authorization` is told to a proxy that tunnels; one that does not reads it in the request.
    """
    connected = _open(proxy or target, deadline)
    try:
        if proxy and target.scheme == "https":  # asked in plain text whatever the proxy's scheme, as urllib does
            _tunnel(connected, target, authorization, deadline)
        elif proxy and proxy.scheme == "https":
            connected = _encrypt(connected, proxy.host, deadline)
        if target.scheme == "https":
            connected = _encrypt(connected, target.host, deadline)
    except BaseException:
        connected.close()
        raise
    return Stream(connected, deadline)


def explain(error: Exception, deadline: Deadline) -> RequestFailed:
    """Return what a failed step of an exchange means for a person."""
    client = http_client()
    if isinstance(error, RequestFailed):
        return error
    if isinstance(error, OSError):
        if certificate := getattr(error, "verify_message", None):
            return RequestFailed(f"the server's certificate is not trusted: {certificate}")
        if isinstance(error, client.RemoteDisconnected):
            return RequestFailed("the server closed the connection without an answer")
        if isinstance(reason := getattr(error, "reason", None), str):  # an ssl.SSLError, without importing ssl
            return RequestFailed(f"TLS failed: {reason.replace('_', ' ').lower()}")
        if error.errno is None and isinstance(error, (TimeoutError, _socket().timeout)):
            return deadline.passed()
        reason = os.strerror(error.errno) if error.errno else str(error)
        return RequestFailed(reason[:1].lower() + reason[1:])
    if isinstance(error, client.IncompleteRead):
        return RequestFailed("the connection was closed before the answer was complete")
    if isinstance(error, (client.BadStatusLine, client.UnknownProtocol)):
        return RequestFailed("the server's answer is not HTTP")
    if isinstance(error, client.HTTPException):
        return RequestFailed(f"the server's answer is broken: {error}")
    return RequestFailed(str(error))


def _socket() -> Any:
    import socket

    return socket


def _open(place: Target | Proxy, deadline: Deadline) -> socket.socket:
    """Connect to the first address of a host that accepts. Raise OSError or RequestFailed."""
    import socket

    found = _addresses(place.host, place.port, deadline)
    problem = OSError("no address")
    for tried, (family, kind, protocol, _, address) in enumerate(found):
        connected = socket.socket(family, kind, protocol)
        try:
            connected.settimeout(deadline.left() / (len(found) - tried))  # a silent address leaves time for the next
            connected.connect(address)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connected
        except OSError as error:
            connected.close()
            problem = error
        except BaseException:
            connected.close()
            raise
    raise problem


def _addresses(host: str, port: int, deadline: Deadline) -> list[Any]:
    """Resolve a name in a thread that is left behind when it takes too long: nothing can interrupt it."""
    import socket

    found: list[Any] = []
    done = _thread.allocate_lock()
    done.acquire()

    def look_up() -> None:
        try:
            found.append(socket.getaddrinfo(host.encode("ascii"), port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            found.append(error)
        finally:
            done.release()

    _thread.start_new_thread(look_up, ())
    if not done.acquire(timeout=deadline.left()):
        raise RequestFailed(f"the name {host} could not be resolved within {deadline.seconds:g} s")
    result = found[0] if found else None
    if isinstance(result, list) and result:
        return result
    reason = f" ({result.strerror})" if isinstance(result, OSError) and result.strerror else ""
    raise RequestFailed(f"the name {host} cannot be resolved{reason}")


def _encrypt(connected: socket.socket, host: str, deadline: Deadline) -> socket.socket:
    import ssl

    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    connected.settimeout(deadline.left())
    return context.wrap_socket(connected, server_hostname=host.rstrip("."))


def _tunnel(connected: socket.socket, target: Target, authorization: str | None, deadline: Deadline) -> None:
    """Have a proxy pass on bytes to a target. Raise OSError, HTTPException or RequestFailed."""
    host = f"[{target.host}]" if ":" in target.host else target.host
    connection = http_client().HTTPConnection("proxy")
    connection.sock = Stream(connected, deadline)
    place = f"{host}:{target.port}"
    connection.putrequest("CONNECT", place, skip_host=True, skip_accept_encoding=True)
    connection.putheader("Host", place)
    if authorization:
        connection.putheader("Proxy-Authorization", authorization)
    connection.endheaders()
    with connection.getresponse() as answer:
        if answer.status != 200:
            raise RequestFailed(f"the proxy refused to connect: {answer.status} {answer.reason}")
