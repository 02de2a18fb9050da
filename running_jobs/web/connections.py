"""The connections of the server: how many may be open at once, and which are closed for want of use or of room.

Waitress closes those that were silent for two minutes as soon as they take another byte, which one whose client
stopped reading never does; and while as many are open as may be, it lets nobody in. So silent ones are hung up
here, and when few places are left, the idlest much sooner: nobody keeps others out by doing nothing.
"""

from __future__ import annotations

import contextlib
import resource
import socket
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

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
ASKING_S = 25.0  # that a request may take to come in without being called idle


def listen(app: WSGIApplication, host: str, port: int) -> MultiSocketServer | BaseWSGIServer:
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
    crowd = Crowd(most)
    for listening in [found for found in sockets.values() if isinstance(found, BaseWSGIServer)]:
        listening.maintenance = _hanging_up(crowd, sockets)  # type: ignore[method-assign,assignment] # called once a second
    return server


def _most_connections() -> int:
    """Return how many connections may be open: each may need a second descriptor, for the file that it gets."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(50, min(MOST, (soft - 100) // 2))


def _hanging_up(crowd: Crowd, sockets: dict[int, Any]) -> Callable[[float], None]:
    def look(now_s: float) -> None:
        for channel in crowd.to_hang_up([one for one in sockets.values() if isinstance(one, HTTPChannel)], now_s):
            channel.will_close = True
            if channel.socket is not None:
                with contextlib.suppress(OSError):
                    channel.socket.shutdown(socket.SHUT_RDWR)  # alone, will_close waits until the client reads

    return look


class Crowd:
    """Those who are connected, and since when each has been about to ask for something."""

    def __init__(self, most: int) -> None:
        self._uncrowded = int(most * CROWDED_PART)
        self._asking_since_s: dict[HTTPChannel, float] = {}

    def to_hang_up(self, channels: Collection[HTTPChannel], now_s: float) -> list[HTTPChannel]:
        """Return those to be hung up now. Who is being answered by a thread is never among them."""
        asking = [channel for channel in channels if channel.request is not None]
        self._asking_since_s = {channel: self._asking_since_s.get(channel, now_s) for channel in asking}
        idle = {channel: self._idle_s(channel, now_s) for channel in channels if not channel.requests}
        idlest = sorted(idle, key=idle.__getitem__, reverse=True)[: max(0, len(channels) - self._uncrowded)]
        crowding = {channel for channel in idlest if idle[channel] > IDLE_WHEN_CROWDED_S}
        return [channel for channel in idle if channel in crowding or now_s - channel.last_activity > SILENT_S]

    def _idle_s(self, channel: HTTPChannel, now_s: float) -> float:
        """Return for how long nothing came; who sends a request byte by byte is idle too, after some patience."""
        asking_s = now_s - self._asking_since_s.get(channel, now_s)
        return max(now_s - channel.last_activity, asking_s - ASKING_S)
