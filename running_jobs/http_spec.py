"""What an HTTP request may be that is a job's command or a callback. Pure: no network, no clock.

A request is `{"type": "http", "url": ...}` with maybe method, params, json, headers, body, timeout (seconds).
Raises InvalidJob that names the exact field.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from running_jobs.checks import json_value, kind, seconds, text
from running_jobs.errors import InvalidJob

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PARAMS_IN_QUERY = ("GET", "HEAD")  # for all others they are the body, form-encoded
DEFAULT_TIMEOUT_S = 10
REQUIRED = ("type", "url")
PORTS = {"http": 80, "https": 443}

OURS = ("host", "content-length", "transfer-encoding", "connection")  # how a message is framed is for the sender
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_NETLOC = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^][:]*)(?::([0-9]{0,5}))?")
_HOST = re.compile(r"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?")
_KEEP = "!$%&'()*+,/:;=?@[]~"  # what has a meaning in a URL, or is percent-encoded already


class Target(NamedTuple):
    """Where a request goes: host in ASCII without brackets, path with its query, percent-encoded."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def origin(self) -> tuple[str, str, int]:
        """Return what must be the same for a secret to be sent on."""
        return self.scheme, self.host, self.port

    @property
    def netloc(self) -> str:
        """Return the host, and the port unless it is the scheme's own, as a Host header holds them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


def check(field: str, value: dict[str, Any]) -> dict[str, Any]:
    """Return a request with the keys given, its method in capitals. Raise InvalidJob."""
    for key in value:
        if key not in CHECKS:
            raise InvalidJob(f"{field}.{str(key)[:40]}", f"is not known; an http request has {', '.join(CHECKS)}")
    if "url" not in value:
        raise InvalidJob(f"{field}.url", "is missing; expected http://... or https://...")
    checked = {key: CHECKS[key](f"{field}.{key}", content) for key, content in value.items()}
    method = checked.get("method", "GET")
    if "json" in checked and "body" in checked:
        raise InvalidJob(f"{field}.body", "excludes json; give one of them")
    for key in ("json", "body"):
        if key in checked and "params" in checked and method not in PARAMS_IN_QUERY:
            raise InvalidJob(f"{field}.params", f"excludes {key}: with {method} both would be the body")
    return checked


def target(field: str, url: str) -> Target:
    """Say where a URL leads. Raise InvalidJob if it is none that can be requested."""
    from urllib.parse import quote, urlsplit  # here, since the dispatcher does without it

    if _CONTROL.search(url) or any(character.isspace() for character in url):
        raise InvalidJob(field, "must not hold spaces or control characters; write a space as %20")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InvalidJob(field, f"is no URL: {error}") from None
    if parts.scheme not in PORTS:
        raise InvalidJob(field, "expected http://... or https://...")
    if "@" in parts.netloc:
        raise InvalidJob(field, "must not hold a user or password; send them in headers, as Authorization")
    match = _NETLOC.fullmatch(parts.netloc)
    if match is None:
        raise InvalidJob(field, "has no valid host and port")
    port = int(match[2] or PORTS[parts.scheme])
    if not 1 <= port <= 65535:
        raise InvalidJob(field, f"expected a port of 1 to 65535, found {port}")
    path = quote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""), safe=_KEEP)
    return Target(parts.scheme, _host(field, match[1]), port, path)


def fill(request: dict[str, Any], values: dict[str, str]) -> dict[str, Any]:
    """Return a copy with placeholders replaced by their texts, in url (percent-encoded), params, json and body.

    `values` are the texts by placeholder, as `{"__JOBID__": ...}`. Keys and headers stay as they are.
    """
    from urllib.parse import quote

    placeholder = re.compile("|".join(map(re.escape, values)) or "(?!)")

    def filled(value: Any) -> Any:
        if isinstance(value, str):
            return placeholder.sub(lambda match: values[match[0]], value)
        if isinstance(value, list):
            return [filled(item) for item in value]
        if isinstance(value, dict):
            return {name: filled(item) for name, item in value.items()}
        return value

    copy = {key: filled(item) if key in ("params", "json", "body") else item for key, item in request.items()}
    copy["url"] = placeholder.sub(lambda match: quote(values[match[0]], safe=""), request["url"])
    return copy


def label(request: dict[str, Any]) -> str:
    """Say what a request is in one line, method and URL as given."""
    return f"{request.get('method', 'GET')} {request['url']}"


def text_of(value: str | float | bool | None) -> str:
    """Return a parameter's value as it is sent."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _host(field: str, host: str) -> str:
    if host.startswith("["):
        return host[1:-1].lower()  # an IPv6 address, which urlsplit or else the connection looks at
    if not host:
        raise InvalidJob(field, "has no host")
    try:
        if not host.isascii():
            host = host[:254].encode("idna").decode("ascii")
    except UnicodeError:
        raise InvalidJob(field, "has a host that is no valid name") from None
    if len(host) > 253 or not _HOST.fullmatch(host):
        raise InvalidJob(field, "has a host that is no valid name")
    return host.lower()


def _as_given(field: str, value: Any) -> Any:
    return value


def _url(field: str, value: object) -> str:
    url = text(field, value)
    target(field, url)
    return url


def _method(field: str, value: object) -> str:
    method = text(field, value).upper()
    if method not in METHODS:
        raise InvalidJob(field, f"expected one of {', '.join(METHODS)}, found {text(field, value)[:20]!r}")
    return method


def _params(field: str, value: object) -> dict[str, Any]:
    for name, content in _names(field, value).items():
        for item in content if isinstance(content, list) else [content]:
            if isinstance(item, str):
                text(f"{field} {name[:40]}", item)
            elif item is not None and not isinstance(item, (bool, int, float)):
                expected = "a text, a number, true, false, null or a list of these"
                raise InvalidJob(f"{field} {name[:40]}", f"expected {expected}, found {kind(item)}")
    return dict(json_value(field, value))


def _headers(field: str, value: object) -> dict[str, str]:
    for name, content in _names(field, value).items():
        if not TOKEN.fullmatch(name):
            raise InvalidJob(f"{field} {name[:40]}", "is no name of a header")
        if name.lower() in OURS:
            raise InvalidJob(f"{field} {name[:40]}", "cannot be given; it follows from the request")
        try:
            held = text(f"{field} {name[:40]}", content).encode("latin-1")
        except UnicodeEncodeError:
            raise InvalidJob(f"{field} {name[:40]}", "holds characters outside of Latin-1") from None
        if _CONTROL.search(held.decode("latin-1").replace("\t", "")):
            raise InvalidJob(f"{field} {name[:40]}", "must not hold line ends or other control characters")
    return dict(json_value(field, value))


def _names(field: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidJob(field, f"expected an object of names with values, found {kind(value)}")
    for name in value:
        text(f"{field} name", name)
    return value


def _timeout(field: str, value: object) -> float:
    if seconds(field, value) == 0:
        raise InvalidJob(field, f"must be more than 0; leave it out for {DEFAULT_TIMEOUT_S} seconds")
    return seconds(field, value)


CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "type": _as_given,
    "url": _url,
    "method": _method,
    "params": _params,
    "json": json_value,
    "headers": _headers,
    "body": text,
    "timeout": _timeout,
}
