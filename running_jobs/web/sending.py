"""Sending files to clients: whole, in ranges, from an offset; never read into memory whole.

The server's own file wrapper does the sending where it has one: a slow client then holds no thread.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from typing import IO, Any
from urllib.parse import quote

from flask import Flask, Response, request
from werkzeug.wsgi import wrap_file

from running_jobs import files
from running_jobs.errors import InvalidJob
from running_jobs.web.connections import BUFFERED_BYTES
from running_jobs.web.file_kinds import kind_of
from running_jobs.web.responses import envelope

CHUNK = 256 << 10
SANDBOX = "sandbox; default-src 'none'; frame-ancestors 'none'"


class Part:
    """A part of an open file as a file of its own: what is appended meanwhile is not in it."""

    def __init__(self, file: IO[bytes], start: int, end: int) -> None:
        self._file, self._start, self._end = file, start, end
        file.seek(start)

    def read(self, size: int = -1) -> bytes:
        """Read up to the part's end."""
        left = max(0, self._end - self._file.tell())
        return self._file.read(left if size < 0 else min(size, left))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move within the part."""
        base = {os.SEEK_SET: self._start, os.SEEK_CUR: self._file.tell(), os.SEEK_END: self._end}[whence]
        return self._file.seek(min(max(base + offset, self._start), self._end)) - self._start

    def tell(self) -> int:
        """Return the position within the part."""
        return self._file.tell() - self._start

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def send_log(descriptor: int, name: str) -> Response:
    """Send a log as raw text: all, from `?offset=`, the last `?tail=` bytes, or a `Range`; closes the descriptor.

    Every answer says in X-Next-Offset where to go on. Raise InvalidJob for a wrong number.
    """
    try:
        offset, tail = number_from_query("offset"), number_from_query("tail")
    except InvalidJob:
        os.close(descriptor)
        raise
    size = os.fstat(descriptor).st_size
    start = min(offset, size) if offset is not None else max(0, size - tail) if tail is not None else None
    answer = _send(descriptor, size, start, "text/plain; charset=utf-8")
    if request.args.get("download") == "1":
        answer.headers["Content-Disposition"] = attachment(name)
    return answer


def send_result(descriptor: int, name: str) -> Response:
    """Send a result file such that nothing in it can act on the page; closes the descriptor."""
    kind = kind_of(name)
    answer = _send(descriptor, os.fstat(descriptor).st_size, None, kind.content_type)
    if not kind.is_inline or request.args.get("download") == "1":
        answer.headers["Content-Disposition"] = attachment(name)
    answer.headers["Content-Security-Policy"] = SANDBOX
    return answer


def send_from_a_file(answer: Response) -> Response:
    """Have a long answer wait in a file of our own until its client has taken it. Raise OSError if there is no room."""
    with contextlib.ExitStack() as closing:
        file = closing.enter_context(tempfile.TemporaryFile(buffering=0))
        content = answer.get_data()
        files.write_all(file.fileno(), content)
        file.seek(0)
        closing.pop_all()  # whoever sends it closes it
    answer.response, answer.content_length = wrap_file(request.environ, file, CHUNK), len(content)
    answer.direct_passthrough = True
    return answer


def send_long_answers_from_files(app: Flask) -> None:
    """Have an application's long answers wait in files, and refuse those for which there is no room.

    The server would keep them in files, too; but with no room for that it would send a part of them, and hang.
    """

    @app.after_request
    def sent(response: Response) -> Response:
        if response.direct_passthrough or not response.is_sequence or len(response.get_data()) <= BUFFERED_BYTES:
            return response
        try:
            return send_from_a_file(response)
        except OSError as error:
            return envelope(507, f"No room for a long answer: {error.strerror}. Make room, then try again.", [])


def number_from_query(name: str) -> int | None:
    """Return a whole number, 0 or more, from the query, or None if it is not there. Raise InvalidJob."""
    text = request.args.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise InvalidJob(name, f"expected a whole number, 0 or more, found {text[:40]!r}")
    return int(text)


def _send(descriptor: int, size: int, start: int | None, content_type: str) -> Response:
    file = os.fdopen(descriptor, "rb")
    code, end = 200, size
    headers: dict[str, Any] = {"Accept-Ranges": "bytes", "Content-Type": content_type}
    is_whole = start is not None or "If-Range" in request.headers  # nothing we sent can match it (RFC 9110, 13.1.5)
    wanted = None if is_whole else request.range
    if wanted is not None and wanted.units == "bytes" and len(wanted.ranges) == 1:
        first = wanted.ranges[0][0]
        whole = first is not None and -first > size > 0  # the last N bytes of fewer: all (RFC 9110, 14.1.2)
        found = (0, size) if whole else wanted.range_for_length(size)
        if found is None:
            file.close()
            return _out_of_range(size)
        start, end = found[0], min(found[1], size)
        code, headers["Content-Range"] = 206, f"bytes {start}-{end - 1}/{size}"
    begin = start or 0
    headers["X-Next-Offset"] = str(end)
    headers["Content-Length"] = str(end - begin)
    body = wrap_file(request.environ, Part(file, begin, end), CHUNK)  # type: ignore[arg-type] # has what it needs of IO
    return Response(body, code, headers, direct_passthrough=True)


def _out_of_range(size: int) -> Response:
    answer = envelope(416, f"The file has {size} bytes.", [])
    answer.headers["Content-Range"] = f"bytes */{size}"
    return answer


def attachment(name: str) -> str:
    """Return the header that has a browser save what it gets under a name."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
