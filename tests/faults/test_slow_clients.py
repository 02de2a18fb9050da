"""Clients that send or read slowly, or not at all: others are answered meanwhile, and no place is kept by silence."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import socket
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from running_jobs.job import Job
from running_jobs.settings import load_settings
from running_jobs.store import JobStore
from running_jobs.web import connections
from running_jobs.web.application import build_app
from running_jobs.web.connections import (
    ASKING_BYTES_PER_S,
    ASKING_S,
    IDLE_WHEN_CROWDED_S,
    SILENT_S,
    THREADS,
    Crowd,
    listen,
)
from running_jobs.web.places import COUNT, PATIENCE_S, Places

from ..conftest import Client, Server, wait_for, wait_for_end

ARCHIVE_BYTES = 100_000_000  # far more than the server and the sockets hold for a client that does not read


@contextlib.contextmanager
def connected(port: int, count: int, said: bytes = b"") -> Iterator[list[socket.socket]]:
    """Connect so many clients, each of which says something and then nothing more."""
    with contextlib.ExitStack() as clients:
        found = []
        for _ in range(count):
            client = clients.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(20)
            client.connect(("127.0.0.1", port))
            client.sendall(said)
            found.append(client)
        yield found


def is_hung_up(client: socket.socket) -> bool:
    """Say whether the server has ended a connection on which nothing is to be read."""
    client.setblocking(False)
    try:
        return client.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def asks_for(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


@pytest.fixture
def with_results(launch: Callable[..., Job], store: JobStore) -> Job:
    """Give an ended job that left much."""
    job = wait_for_end(store, launch("touch $JOB_FILES/1.bin $JOB_FILES/2.bin").id)
    for path in (store.paths.out(job.id), *(f"{store.paths.results(job.id)}/{n}.bin" for n in (1, 2))):
        os.truncate(path, ARCHIVE_BYTES)
    return job


class Clock:
    """A clock that stands until it is moved on."""

    def __init__(self) -> None:
        self.at_s = 0.0

    def now_s(self) -> float:
        return self.at_s


@contextlib.contextmanager
def served(data: Any) -> Iterator[SimpleNamespace]:
    """Run the server as it is, but in this process, and with clocks for its connections and its archives' places."""
    app = build_app(load_settings(str(data)))
    clock = Clock()
    later = Clock()
    app.extensions["running_jobs"].archive_places = Places(clock.now_s)
    server = listen(app, "127.0.0.1", 0, lambda: time.monotonic() + later.at_s)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    port = int(server.effective_port)
    try:
        client = Client(f"http://127.0.0.1:{port}")
        yield SimpleNamespace(clock=clock, later=later, client=client, port=port, server=server)
    finally:
        server.task_dispatcher.shutdown()
        server.close()
        thread.join(20)


@pytest.fixture
def here(data: Any) -> Iterator[SimpleNamespace]:
    """Give a server in this process."""
    with served(data) as running:
        yield running


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Give a list that gets longer with each look at who is connected."""
    found: list[int] = []
    really_look = Crowd.to_hang_up

    def look(crowd: Crowd, channels: Any, now_s: float) -> Any:
        hung_up = really_look(crowd, channels, now_s)
        found.append(len(hung_up))
        return hung_up

    monkeypatch.setattr(Crowd, "to_hang_up", look)
    return found


def wait_until_stalled(here: SimpleNamespace, clients: list[socket.socket]) -> None:
    """Wait until the server has sent these clients as much as it does without their reading, and waits for them."""
    for client in clients:
        assert client.recv(12) == b"HTTP/1.1 200"
    most = here.server.adj.outbuf_high_watermark
    ours = {client.getsockname() for client in clients}
    wait_for(
        lambda: (
            ours
            == {one.addr for one in list(here.server.active_channels.values()) if one.total_outbufs_len > most} & ours
        ),
        "them to be stalled",
    )


def test_clients_that_never_read_an_archive_keep_nobody_from_theirs(here: SimpleNamespace, with_results: Job) -> None:
    path = f"/jobs/{with_results.id}/files.zip"
    with contextlib.ExitStack() as clients:
        for _ in range(4):  # each pair takes the places of the pair before
            stalled = clients.enter_context(connected(here.port, COUNT, asks_for(path)))
            wait_until_stalled(here, stalled)
            assert here.client.get(path).code == 503
            here.clock.at_s += PATIENCE_S + 1
            wait_for(lambda: here.server.task_dispatcher.active_count == COUNT, "no more threads to be held")
        answer = here.client.get(path)
        assert (answer.code, len(answer.body) > 2 * ARCHIVE_BYTES) == (200, True)


def test_a_byte_now_and_then_keeps_no_place(here: SimpleNamespace, with_results: Job) -> None:
    path = f"/jobs/{with_results.id}/files.zip"
    with connected(here.port, COUNT, asks_for(path)) as slow:
        wait_until_stalled(here, slow)
        assert here.client.get(path).code == 503
        for _ in range(100):
            here.clock.at_s += 1
            for client in slow:
                assert client.recv(1)
        answer = here.client.get(path)
        assert (answer.code, len(answer.body) > 2 * ARCHIVE_BYTES) == (200, True)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"G",
        b"GET / HTTP/1.1\r\nHost: loc",
        b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000000\r\n\r\n{",
        b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1",
        b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n",
    ],
    ids=["silent", "a letter", "half a header", "half a body", "half a chunk", "waits to be told to go on"],
)
def test_who_never_finishes_asking_keeps_nobody_waiting(here: SimpleNamespace, said: bytes) -> None:
    with connected(here.port, 60, said) as clients:
        for client in clients[:20]:
            client.shutdown(socket.SHUT_WR)  # closed by half
        for _ in range(5):
            for client in clients[20:]:
                client.sendall(b"a")
            assert here.client.get("/").code == 200


def test_who_reads_nothing_of_what_is_large_keeps_nobody_waiting(server: Server, with_results: Job) -> None:
    process = psutil.Process(server.process.pid)
    server.get(f"/?job={with_results.id}&tab=files")
    before = process.memory_info().rss
    paths = [
        f"/jobs/{with_results.id}/out",
        f"/jobs/{with_results.id}/files/1.bin",
        f"/jobs/{with_results.id}/log?tail=100000",
        f"/jobs/{with_results.id}/out?tail=90000000",
    ]
    with contextlib.ExitStack() as clients:
        for path in paths:
            clients.enter_context(connected(server.port, 40, asks_for(path)))
        for _ in range(10):
            assert server.get("/").code == 200
        assert process.memory_info().rss - before < 200_000_000, "more than one answer of 24 MB at once"
    wait_for(lambda: process.num_fds() < 60, lambda: f"descriptors given back: {process.num_fds()}")


def test_more_silent_connections_than_are_let_in_keep_nobody_out(data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (220, 220))  # of which 60 connections need at most 120
    monkeypatch.setattr(connections, "IDLE_WHEN_CROWDED_S", 0.5)
    with served(data) as here:
        seen = []
        accept = here.server.handle_accept
        monkeypatch.setattr(
            here.server, "handle_accept", lambda: (accept(), seen.append(len(here.server.active_channels)))
        )
        with connected(here.port, 30), connected(here.port, 60, b"GET / HT"):
            assert here.client.get("/").code == 200  # the client waits for 30 s at most
            assert here.client.get("/health").code == 200
        assert 50 < max(seen) <= 60


def test_a_download_that_nobody_reads_is_given_up_after_two_minutes(
    here: SimpleNamespace, with_results: Job, looks: list[int]
) -> None:
    with connected(here.port, 3, asks_for(f"/jobs/{with_results.id}/out")) as stalled:
        for client in stalled:
            assert client.recv(12) == b"HTTP/1.1 200"
        channels = list(here.server.active_channels.values())
        wait_for(lambda: not any(channel.requests for channel in channels), "the answers to be under way")
        del looks[:]
        wait_for(lambda: len(looks) > 1, "their being still to be seen")
        assert len(here.server.active_channels) == 3
        here.later.at_s += SILENT_S
        wait_for(lambda: not here.server.active_channels, "them to be hung up")


def test_who_asks_for_several_answers_at_once_and_reads_none_holds_no_thread(
    here: SimpleNamespace, with_results: Job
) -> None:
    small = connected(here.port, 1, 2 * asks_for("/health"))
    with small as honest, connected(here.port, THREADS, 2 * asks_for(f"/jobs/{with_results.id}/out")):
        wait_for(lambda: len(here.server.active_channels) == len(honest), "the others to be hung up")
        assert here.client.get("/health").code == 200
        assert not is_hung_up(honest[0])


@pytest.mark.parametrize("by_s", [-3600, 3600])
def test_a_wall_clock_that_is_set_neither_hangs_up_nor_keeps_from_it(
    here: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, looks: list[int], by_s: float
) -> None:
    with connected(here.port, 1, b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n12"):
        wait_for(lambda: len(here.server.active_channels) == 1, "it to be let in")
        really_now_s = time.time
        monkeypatch.setattr(time, "time", lambda: really_now_s() + by_s)
        del looks[:]
        wait_for(lambda: looks, "a look at it")
        assert len(here.server.active_channels) == 1
        here.later.at_s += SILENT_S + 1
        wait_for(lambda: not here.server.active_channels, "it to be hung up")


def channel(is_asking: bool = False, is_answered: bool = False, sock: socket.socket | None = None) -> Any:
    """Give what the crowd looks at of a connection."""
    return _Hashed(
        last_activity=1000.0,
        request=SimpleNamespace(body_bytes_received=0) if is_asking else None,
        requests=[1] if is_answered else [],
        total_outbufs_len=0 if sock is None else ARCHIVE_BYTES,
        adj=SimpleNamespace(outbuf_high_watermark=16 << 20),
        socket=sock,
    )


class _Hashed(SimpleNamespace):
    __hash__ = object.__hash__


def test_when_it_is_crowded_the_idlest_make_room_and_no_more_than_are_too_many() -> None:
    crowd = Crowd(8)
    answered, *idle = [channel(is_answered=number == 0) for number in range(7)]
    silent_s = [500, IDLE_WHEN_CROWDED_S + 3, 30, 1, 20, 4, 2]
    for now_s in range(1000):
        for one, its_s in zip([answered, *idle], silent_s, strict=True):
            one.last_activity += now_s == 1000 - its_s
        assert crowd.to_hang_up(idle, now_s) == [] or now_s > SILENT_S
    assert crowd.to_hang_up(idle, 1000.0) == []
    assert crowd.to_hang_up([answered, *idle], 1000.0) == [idle[1]]


def test_who_asks_byte_by_byte_is_idle_after_some_patience_and_who_sends_much_is_not() -> None:
    crowd = Crowd(8)
    *quick, slow = asking = [channel(is_asking=True) for _ in range(7)]
    for now_s in range(int(ASKING_S + IDLE_WHEN_CROWDED_S) + 2):
        for one in asking:
            one.last_activity += 1
        for one in quick:
            one.request.body_bytes_received += ASKING_BYTES_PER_S
        hung_up = crowd.to_hang_up(asking, now_s)
        assert hung_up == ([slow] if now_s > ASKING_S + IDLE_WHEN_CROWDED_S else [])


def test_who_reads_slowly_what_the_system_holds_for_it_is_not_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, connected(listening.getsockname()[1], 1) as (reader,):
        sender, _ = listening.accept()
        with sender:
            sender.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while sender.send(bytes(1 << 16)):
                    pass
            crowd, one = Crowd(8), channel(sock=sender)
            assert crowd.to_hang_up([one], 0) == []
            before = held_by_the_system(sender)
            wait_for(lambda: reader.recv(1 << 16) and held_by_the_system(sender) < before, "some of it to be taken")
            assert crowd.to_hang_up([one], SILENT_S) == []
            assert crowd.to_hang_up([one], 2 * SILENT_S) == []
            assert crowd.to_hang_up([one], 2 * SILENT_S + 1) == [one]


def held_by_the_system(sender: socket.socket) -> int:
    return int(struct.unpack("i", fcntl.ioctl(sender, termios.TIOCOUTQ, bytes(4)))[0])
