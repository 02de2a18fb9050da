"""Dates in headers of conditional requests: those that cannot be read are passed over (RFC 9110, 13.1.3, 13.1.5).

Werkzeug does so for most, but a zone of many digits ends in an OverflowError (as does its standard library's parser).
"""

from __future__ import annotations

from flask import Flask, request
from werkzeug.http import parse_date

_WITH_DATES = ("HTTP_IF_MODIFIED_SINCE", "HTTP_IF_UNMODIFIED_SINCE", "HTTP_IF_RANGE")


def pass_over_wrong_dates(app: Flask) -> None:
    """Have an application see no header with a date that nobody can read."""

    @app.before_request
    def drop() -> None:
        for name in _WITH_DATES:
            if name in request.environ and not _can_be_read(request.environ[name]):
                del request.environ[name]


def _can_be_read(text: str) -> bool:
    try:
        parse_date(text)
    except (OverflowError, ValueError):
        return False
    return True
