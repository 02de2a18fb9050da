"""Requests as bytes, just as they are written: no client puts them right on the way."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

from flask import Flask
from waitress.adjustments import Adjustments
from waitress.parser import HTTPRequestParser
from waitress.task import WSGITask
from werkzeug.test import run_wsgi_app

READING = Adjustments(ident=None)
BEHIND: Any = SimpleNamespace(
    addr=("127.0.0.1", 1),
    server=SimpleNamespace(adj=READING, effective_port=80, server_name="localhost"),
    check_client_disconnected=lambda: False,
)


LINES = b"%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n%s\r\n"


def ask(port: int, request: bytes, timeout_s: float = 20) -> SimpleNamespace:
    """Send bytes and read until the server hangs up or has sent one answer: its code, head and body; code 0 for none."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
        connection.sendall(request)
        received = b""
        while not _is_whole(received) and (chunk := connection.recv(1 << 20)):
            received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    return SimpleNamespace(code=int(head.split()[1]) if head else 0, head=head, body=body, received=received)


def get(port: int, target: bytes, headers: bytes = b"", method: bytes = b"GET") -> SimpleNamespace:
    """Ask for a target as it is written, once."""
    return ask(port, LINES % (method, target, headers))


def get_here(app: Flask, target: bytes, method: bytes = b"GET") -> SimpleNamespace:
    """Ask an application in this process for a target as it is written, read as its server would: code and body."""
    request = HTTPRequestParser(READING)
    rest = LINES % (method, target, b"")
    while not request.completed:
        rest = rest[request.received(rest) :]
    if request.error:
        return SimpleNamespace(code=request.error.code, head="", body=request.error.body.encode())
    chunks, status, headers = run_wsgi_app(app, WSGITask(BEHIND, request).get_environment(), buffered=True)
    return SimpleNamespace(code=int(status.split()[0]), head=str(headers), body=b"".join(chunks))


def _is_whole(received: bytes) -> bool:
    head, found, body = received.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    return bool(found) and bool(lengths) and len(body) >= int(lengths[0])
