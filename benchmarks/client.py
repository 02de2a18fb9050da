"""A small HTTP client on kept connections: as little as can be beside what it measures."""

from __future__ import annotations

import re
import socket
import threading
import time

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)


class Connection:
    """One kept connection to a server on this machine."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def ask(self, request: bytes) -> bytes:
        """Send a request and return the answer's body. Raise RuntimeError if it was refused."""
        self._socket.sendall(request)
        answer = b""
        while (end := answer.find(b"\r\n\r\n")) < 0:
            answer += self._receive()
        found = _LENGTH.search(answer, 0, end)
        body = bytearray(answer[end + 4 :])
        while len(body) < int(found[1] if found else 0):
            body += self._receive()
        if not answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")):
            raise RuntimeError((answer[:end] + b" " + bytes(body[:500])).decode(errors="replace"))
        return bytes(body)

    def _receive(self) -> bytes:
        received = self._socket.recv(1 << 20)
        if not received:
            raise RuntimeError("the server hung up")
        return received


def get(path: str) -> bytes:
    """Return a request as browsers send it: compressed answers are taken."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n".encode()


def post(path: str, body: bytes) -> bytes:
    """Return a request with a JSON body."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"{head}\r\n\r\n".encode() + body


def requests_per_s(port: int, request: bytes, connections: int, count: int) -> float:
    """Ask again and again on several connections at once, and return the rate."""
    clients = [Connection(port) for _ in range(connections)]
    failed: list[BaseException] = []

    def ask_all(client: Connection) -> None:
        try:
            for _ in range(count // connections):
                client.ask(request)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=ask_all, args=(client,)) for client in clients]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took_s = time.perf_counter() - started
    for client in clients:
        client.close()
    if failed:
        raise failed[0]
    return count // connections * connections / took_s


def request_ms(port: int, request: bytes, count: int) -> float:
    """Ask one after the other on one connection, and return the median time."""
    client = Connection(port)
    times = []
    for _ in range(count):
        started = time.perf_counter()
        client.ask(request)
        times.append((time.perf_counter() - started) * 1000)
    client.close()
    return sorted(times)[len(times) // 2]
