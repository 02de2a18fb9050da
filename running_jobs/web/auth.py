"""The guard: who may come in, from which page, under which host name. Sees every request first.

A verified login is remembered in memory, keyed, so that the hash (60 ms of scrypt) is not computed for
each request. Wrong passwords are counted by address; the right one always passes.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

from flask import Flask, Response, g, request
from werkzeug.security import check_password_hash, generate_password_hash

from running_jobs import cores
from running_jobs.setting_checks import looks_hashed
from running_jobs.settings import Settings
from running_jobs.web.parts import Parts
from running_jobs.web.responses import envelope, refusal

WRONG_PER_MINUTE = 5
REMEMBERED = 1000
MAX_HOST = 300  # characters, with the port; names have at most 253
OPEN_TO_ALL = {"/health"}
READING = {"GET", "HEAD", "OPTIONS"}
SEALED = ("said", "counts", "job")  # what a message of the page's address consists of
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers send Origin: null on the page's own posts
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class User(NamedTuple):
    """Somebody who may come in. `hash` is of werkzeug's making."""

    name: str
    hash: str
    role: str


def users_of(settings: Settings) -> dict[str, User]:
    """Return the users that the settings name; none means no guard."""
    users = {name: User(name, entry["hash"], entry.get("role", "operator")) for name, entry in settings.users.items()}
    if settings.user:
        password = settings.password
        hashed = password if looks_hashed(password) else generate_password_hash(password, method="scrypt")
        users[settings.user] = User(settings.user, hashed, "operator")
    return users


class Logins:
    """Checks names and passwords, remembers those that were right, counts those that were wrong."""

    def __init__(self, users: dict[str, User]) -> None:
        self._users = users
        self._key = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._wrong: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()
        methods = [user.hash.partition("$")[0] for user in users.values()]  # the work is the same as for the first
        self._nobody = User("", generate_password_hash(secrets.token_hex(16), methods[0]) if methods else "", "viewer")

    def check(self, name: str, password: str) -> User | None:
        """Return the user if the password is right. An unknown name takes as long as a wrong password."""
        digest = hmac.digest(self._key, f"{len(name)}:{name}:{password}".encode(errors="replace"), hashlib.sha256)
        user = self._users.get(name, self._nobody)
        with self._lock:
            if digest in self._right:
                self._right.move_to_end(digest)
                return user
        with cores.use_all():  # it takes long, and others can be answered meanwhile
            is_right = check_password_hash(user.hash, password)
        is_right = is_right and "\0" not in password  # to HMAC, NULs at an end are none
        if not is_right or user is self._nobody:
            return None
        with self._lock:
            self._right[digest] = None
            if len(self._right) > REMEMBERED:
                self._right.popitem(last=False)
        return user

    def count_wrong(self, address: str, now_s: float) -> bool:
        """Count a wrong password; return whether there were too many from this address within a minute."""
        guesser = guesser_of(address)
        with self._lock:
            times = self._wrong.setdefault(guesser, deque(maxlen=WRONG_PER_MINUTE + 1))
            self._wrong.move_to_end(guesser)
            times.append(now_s)
            if len(self._wrong) > REMEMBERED:
                self._wrong.popitem(last=False)
            return len(times) > WRONG_PER_MINUTE and now_s - times[0] < 60


def guesser_of(address: str) -> str:
    """Return what wrong passwords are counted by: an address, or the network of one of IPv6.

    Whoever has one of those has the 2**64 others of its network as well.
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address[:100]
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    return str(found.ipv4_mapped or ipaddress.ip_address(int(found) >> 64 << 64))


def token(parts: Parts, user: str | None) -> str:
    """Return the token that the page's forms carry for a user."""
    return _signed(parts, f"form:{user or ''}")


def seal(parts: Parts, user: str | None, parameters: Mapping[str, str]) -> str:
    """Return what shows that a message in the page's address comes from us: others can write addresses, too."""
    sealed = [("user", user or ""), *((name, parameters.get(name, "")) for name in SEALED)]
    return _signed(parts, f"said:{urlencode(sealed)}")[:32]


def _signed(parts: Parts, text: str) -> str:
    return hmac.new(parts.secret(), text.encode(), hashlib.sha256).hexdigest()


def guard(app: Flask, parts: Parts) -> None:
    """Have every request of an application checked, and every answer carry the security headers."""
    users = users_of(parts.settings)
    logins = Logins(users)
    defaults = list(HEADERS.items())
    is_trusted = lru_cache(maxsize=REMEMBERED)(partial(host_is_trusted, settings=parts.settings))

    @app.before_request
    def check() -> Response | None:
        g.user, g.may_change = None, True
        if len(request.host) > MAX_HOST or not is_trusted(request.host):  # what is asked for is remembered
            return envelope(400, f"The host name {request.host[:100]!r} is not trusted; add it to trusted_hosts.", [])
        if request.method not in READING and not comes_from_own_page():
            return refusal(403, "This request comes from another site's page. Use this page's own forms.")
        if users and request.path not in OPEN_TO_ALL:
            return _who(logins)
        return None

    @app.after_request
    def add_headers(response: Response) -> Response:
        there = {name.lower() for name, _ in response.headers}
        response.headers.extend([header for header in defaults if header[0].lower() not in there])
        if request.endpoint != "static" and "cache-control" not in there:
            response.headers.add("Cache-Control", "no-store")
        return response


def _who(logins: Logins) -> Response | None:
    try:
        given = request.authorization
    except ValueError:  # what should be base64 holds characters beyond ASCII
        given = None
    if given is None or given.type != "basic" or given.username is None:
        return _unauthorized()
    user = logins.check(given.username, given.password or "")
    if user is None:
        if logins.count_wrong(request.remote_addr or "", time.monotonic()):
            return refusal(429, "Too many wrong passwords from this address. Wait a minute; the right one passes now.")
        return _unauthorized()
    g.user = user.name
    if user.role == "viewer" and request.method not in READING:
        return refusal(403, f"{user.name} may look but change nothing. Ask for the role operator.")
    g.may_change = user.role != "viewer"
    return None


def _unauthorized() -> Response:
    answer = refusal(401, "Give a user and its password (basic auth).")
    answer.headers["WWW-Authenticate"] = 'Basic realm="Running Jobs", charset="UTF-8"'
    return answer


def host_is_trusted(host: str, settings: Settings) -> bool:
    """Say whether a request's host name is one of ours: a page of another name could be rebound to our address."""
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".").lower()
    except ValueError:
        return False
    if name == "localhost" or name.endswith(".localhost") or name == settings.host.lower():
        return True
    if name in (trusted.lower() for trusted in settings.trusted_hosts):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def comes_from_own_page() -> bool:
    """Say whether a request that changes something was made by our own page or by no page at all.

    Browsers send Sec-Fetch-Site or at least Origin with every such request (Fetch standard, section 3.2); other
    clients send neither.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("Origin")
    return origin is None or origin == f"{request.scheme}://{request.host}"
