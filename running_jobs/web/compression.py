"""Compressing what is sent as text, where the client takes it: pages, style sheets, modules, JSON.

What is streamed (logs, results) is sent as it is. A page holds a token and what somebody typed, so the size of its
compressed form could give the token away bit by bit (BREACH, 2013); a name of random length in the gzip header hides
it, as Palacios and others propose in "HTB: A Very Effective Method to Protect Web Servers Against BREACH Attack to
HTTPS" (IEEE Access, 2022).
"""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import secrets
from functools import lru_cache

from flask import Flask, Response, request

from running_jobs import cores

LEAST_BYTES = 1000
MOST_BYTES = 2 << 20  # above it, compressing would hold up the others
LARGE_BYTES = 64 << 10  # from here on it is worth a processor of its own: the interpreter is not needed meanwhile
LEVEL = 1  # of nine: 60 KB take 0.6 ms and become 9 KB; the slowest level makes them 8 KB in 1.7 ms
STATIC_LEVEL = 9
HIDING_BYTES = 100
_KINDS = ("text/", "application/json", "application/javascript", "image/svg+xml")


def compress(app: Flask) -> None:
    """Have an application compress its answers."""
    folder = app.static_folder or ""

    @app.after_request
    def compressed(response: Response) -> Response:
        is_static = request.endpoint == "static"
        if not (response.mimetype or "").startswith(_KINDS) or (response.direct_passthrough and not is_static):
            return response
        before = response.headers.get("Vary")
        response.headers["Vary"] = f"{before}, Accept-Encoding" if before else "Accept-Encoding"
        if response.status_code not in (200, 201) or request.accept_encodings.quality("gzip") <= 0:
            return response
        if is_static:
            _send_static(response, os.path.join(folder, (request.view_args or {})["filename"]))
        elif LEAST_BYTES <= len(data := response.get_data()) <= MOST_BYTES:
            _become(response, _gzip(data, LEVEL, "a" * secrets.randbelow(HIDING_BYTES)))
        return response


def _send_static(response: Response, path: str) -> None:
    status = os.stat(path)
    content = _static_content(path, status.st_mtime_ns)
    if status.st_size >= LEAST_BYTES:
        response.close()  # the file that it would have sent
        response.direct_passthrough = False
        _become(response, content)


@lru_cache(maxsize=100)
def _static_content(path: str, changed_ns: int) -> bytes:
    with open(path, "rb") as file:
        return _gzip(file.read(), STATIC_LEVEL, "")


def _gzip(data: bytes, level: int, name: str) -> bytes:
    target = io.BytesIO()
    elsewhere = cores.use_all() if len(data) >= LARGE_BYTES else contextlib.nullcontext()
    with elsewhere, gzip.GzipFile(filename=name, mode="wb", compresslevel=level, fileobj=target, mtime=0) as file:
        file.write(data)
    return target.getvalue()


def _become(response: Response, content: bytes) -> None:
    response.set_data(content)
    response.headers["Content-Encoding"] = "gzip"
    etag, _ = response.get_etag()
    if etag:
        response.set_etag(etag, weak=True)  # the same content in other bytes
