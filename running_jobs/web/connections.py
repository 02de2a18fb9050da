"""The connections of the server: how many may be open at once, and which are closed for want of use or of room.

Waitress closes those that were silent for two minutes as soon as they take another byte, which one whose client
stopped reading never does; and while as many are open as may be, it lets nobody in. So silent ones are hung up
here, and when few places are left, the idlest much sooner: nobody keeps others out by doing nothing. Who asks for
several answers at once and leaves the first unread would hold a thread, and is hung up at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import resource
import socket
import struct
import termios
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, NamedTuple

from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer, MultiSocketServer, create_server

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

THREADS = 16
MOST = 1000
MAX_RECEIVED_BYTES = 64 << 20  # beyond it waitress hangs up; below, whoever sent too much is told so
BUFFERED_BYTES = 256 << 10  # of an answer or a request in memory; what is longer waits for its client in a file
LOOK_EVERY_S = 1
SILENT_S = 120.0
CROWDED_PART = 0.75  # of the connections that may be open; from there on
IDLE_WHEN_CROWDED_S = 5.0
ASKING_S = 25.0  # that a request may take to come in without being called idle, and
ASKING_BYTES_PER_S = 16 << 10  # a second more for each so many that came


def listen(
    app: WSGIApplication, host: str, port: int, now_s: Callable[[], float] = time.monotonic
) -> MultiSocketServer | BaseWSGIServer:
    """Return a server that takes connections. Raise OSError, or ValueError for a name that does not resolve."""
    most = _most_connections()
    sockets: dict[int, Any] = {}
    server = create_server(
        app,
        map=sockets,
        host=host,
        port=port,
        threads=THREADS,
        connection_limit=most,
        max_request_body_size=MAX_RECEIVED_BYTES,
        inbuf_overflow=BUFFERED_BYTES,
        outbuf_overflow=BUFFERED_BYTES,
        cleanup_interval=LOOK_EVERY_S,
        clear_untrusted_proxy_headers=False,  # ProxyFix decides whom to believe
        asyncore_use_poll=True,  # select() takes no descriptor above 1023; a slow download holds two
        ident=None,
    )
    crowd = Crowd(most, now_s)
    for listening in [found for found in sockets.values() if isinstance(found, BaseWSGIServer)]:
        listening.maintenance = crowd.looking(listening, sockets)  # type: ignore[method-assign,assignment]
    return server


def _most_connections() -> int:
    """Return how many connections may be open: each may need a second descriptor, for the file that it gets."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(50, min(MOST, (soft - 100) // 2))


class _Seen(NamedTuple):
    """What was last seen of a connection; the moments are of our own clock, which nobody sets."""

    last_activity: float  # of the wall clock, only good to be compared with another
    unread_bytes: int
    quiet_since_s: float
    asking_since_s: float | None


class Crowd:
    """Those who are connected, since when each has been quiet, and since when about to ask for something."""

    def __init__(self, most: int, now_s: Callable[[], float] = time.monotonic) -> None:
        self._uncrowded = int(most * CROWDED_PART)
        self._now_s = now_s
        self._look_at_s = 0.0
        self._seen: dict[HTTPChannel, _Seen] = {}

    def looking(self, listening: BaseWSGIServer, sockets: dict[int, Any]) -> Callable[[float], None]:
        """Return what a server is to call as its maintenance: it looks once a second, whatever the wall clock does."""

        def maintain(_: float) -> None:
            listening.next_channel_cleanup = 0  # at the next turn: of when that is, waitress would ask the wall clock
            now_s = self._now_s()
            if now_s >= self._look_at_s:
                self._look_at_s = now_s + LOOK_EVERY_S
                channels = [found for found in sockets.values() if isinstance(found, HTTPChannel)]
                for channel in self.to_hang_up(channels, now_s):
                    _hang_up(channel)

        return maintain

    def to_hang_up(self, channels: Collection[HTTPChannel], now_s: float) -> list[HTTPChannel]:
        """Return those to be hung up now. Who is being answered by a thread is not among them, unless it is stuck."""
        self._seen = {channel: _look_at(channel, self._seen.get(channel), now_s) for channel in channels}
        idle = {channel: self._idle_s(channel, now_s) for channel in channels if not channel.requests}
        idlest = sorted(idle, key=idle.__getitem__, reverse=True)[: max(0, len(channels) - self._uncrowded)]
        crowding = {channel for channel in idlest if idle[channel] > IDLE_WHEN_CROWDED_S}
        silent = {channel for channel in idle if now_s - self._seen[channel].quiet_since_s > SILENT_S}
        return [channel for channel in channels if channel in crowding | silent or _holds_a_thread(channel)]

    def _idle_s(self, channel: HTTPChannel, now_s: float) -> float:
        """Return for how long nothing happened; who sends a request byte by byte is idle too, after some patience."""
        seen = self._seen[channel]
        if seen.asking_since_s is None or channel.request is None:
            return now_s - seen.quiet_since_s
        patience_s = ASKING_S + channel.request.body_bytes_received / ASKING_BYTES_PER_S
        return max(now_s - seen.quiet_since_s, now_s - seen.asking_since_s - patience_s)


def _look_at(channel: HTTPChannel, before: _Seen | None, now_s: float) -> _Seen:
    unread_bytes = channel.total_outbufs_len + _sent_but_not_taken(channel)
    asking_since_s = None if channel.request is None else now_s
    if before is None:
        return _Seen(channel.last_activity, unread_bytes, now_s, asking_since_s)
    is_same = channel.last_activity == before.last_activity and unread_bytes >= before.unread_bytes
    is_quiet = is_same and not channel.requests
    if asking_since_s is not None and before.asking_since_s is not None:
        asking_since_s = before.asking_since_s
    return _Seen(channel.last_activity, unread_bytes, before.quiet_since_s if is_quiet else now_s, asking_since_s)


def _sent_but_not_taken(channel: HTTPChannel) -> int:
    """Return how many bytes the system still holds for a client (tcp(7), SIOCOUTQ).

    One that reads slowly takes of these for minutes before the system wants more from us.
    """
    if channel.socket is None:
        return 0
    with contextlib.suppress(OSError, ValueError):  # ValueError: it was closed
        return int(struct.unpack("i", fcntl.ioctl(channel.socket, termios.TIOCOUTQ, bytes(4)))[0])
    return 0


def _holds_a_thread(channel: HTTPChannel) -> bool:
    """Say whether a thread waits for the client to read one answer before the next that it asked for is made."""
    return len(channel.requests) > 1 and channel.total_outbufs_len > channel.adj.outbuf_high_watermark


def _hang_up(channel: HTTPChannel) -> None:
    channel.will_close = True
    if channel.socket is not None:
        with contextlib.suppress(OSError):
            channel.socket.shutdown(socket.SHUT_RDWR)  # alone, will_close waits until the client reads
