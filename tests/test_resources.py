"""Bounds on memory, processor and patience, with generous room: long logs, slow readers, many idle jobs."""

from __future__ import annotations

import hashlib
import http.client
import socket
import time
import urllib.request
from pathlib import Path

import psutil

from running_jobs.store import JobStore

from .conftest import Server, dispatcher_of, wait_for, wait_for_end, wait_for_session

LONG = 300_000_000


def test_a_long_log_costs_the_server_no_memory_and_is_sent_byte_for_byte(
    server: Server, launch, store: JobStore
) -> None:
    process = psutil.Process(server.process.pid)
    server.get("/")
    before = process.memory_info().rss
    job = launch(f"yes | head -c {LONG}")
    while not store.get(job.id).is_final:  # the page shows it while it grows
        assert len(server.get(f"/?job={job.id}").body) < 200_000
        assert len(server.get(f"/jobs/{job.id}/out?tail=1000").body) <= 1000
    assert wait_for_end(store, job.id, 60).status == "done"
    assert Path(store.paths.out(job.id)).stat().st_size == LONG
    most = 0
    expected, sent = hashlib.sha256(), hashlib.sha256()
    with urllib.request.urlopen(f"{server.url}/jobs/{job.id}/out?download=1") as answer:
        assert answer.headers["Content-Length"] == str(LONG)
        while part := answer.read(1 << 20):
            sent.update(part)
            most = max(most, process.memory_info().rss)
    with open(store.paths.out(job.id), "rb") as log:
        while part := log.read(1 << 20):
            expected.update(part)
    assert sent.digest() == expected.digest()
    assert len(server.get(f"/jobs/{job.id}/log").json["data"]) == 10_000
    page = server.get(f"/?job={job.id}").text
    assert page.count("\ny") <= 32 << 10
    assert "came before" in page
    assert max(most, process.memory_info().rss) - before < 20_000_000


def test_one_line_of_fifty_megabytes_is_bounded_everywhere(server: Server, launch, store: JobStore) -> None:
    process = psutil.Process(server.process.pid)
    server.get("/")
    before = process.memory_info().rss
    job = wait_for_end(store, launch("head -c 50000000 /dev/zero | tr '\\0' x").id)
    assert len(server.get(f"/?job={job.id}").body) < 120_000
    assert len(server.get(f"/jobs/{job.id}/log").body) < 5_000_000
    assert process.memory_info().rss - before < 60_000_000


def test_slow_readers_do_not_keep_others_waiting(server: Server, launch, store: JobStore) -> None:
    job = wait_for_end(store, launch("head -c 100000000 /dev/zero").id)
    slow = []
    try:
        for number in range(40):  # more than there are threads
            reader = socket.create_connection(("127.0.0.1", server.port))
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            ranged = "Range: bytes=100-\r\n" if number % 2 else ""
            reader.sendall(f"GET /jobs/{job.id}/out HTTP/1.1\r\nHost: 127.0.0.1\r\n{ranged}\r\n".encode())
            assert reader.recv(10)
            slow.append(reader)
        for _ in range(20):  # and some that never finish asking
            sender = socket.create_connection(("127.0.0.1", server.port))
            sender.sendall(b"POST /jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n{")
            slow.append(sender)
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        for _ in range(20):
            connection.request("GET", "/")
            answer = connection.getresponse()
            assert answer.status == 200
            answer.read()
        connection.close()
        assert psutil.Process(server.process.pid).memory_info().rss < 200_000_000
    finally:
        for reader in slow:
            reader.close()


def cpu_s(processes: list[psutil.Process]) -> float:
    return sum(times.user + times.system for times in (process.cpu_times() for process in processes))


def test_two_hundred_idle_jobs_cost_next_to_nothing(configure, start_server, data: Path) -> None:
    actions = configure("slots = 200\n")
    server = start_server()
    jobs = [
        actions.submit({"command": {"type": "exec", "cmd": "exec sleep 1000"}, "start": True}).id for _ in range(200)
    ]
    active = [wait_for_session(actions.store, job_id) for job_id in jobs]
    runners = [psutil.Process(job.pid) for job in active]
    for job in active:
        wait_for(lambda pid=job.session: psutil.Process(pid).name() == "sleep")
    unique = sorted(runner.memory_full_info().uss for runner in runners)
    assert unique[100] <= 2 << 20, f"{unique[100]} bytes"
    assert unique[-1] <= 2.25 * (1 << 20), f"{unique[-1]} bytes"  # a few share less: where in the heap they were forked
    everyone = [*runners, dispatcher_of(data), psutil.Process(server.process.pid)]
    wait_for(lambda: all(process.status() == "sleeping" for process in everyone))
    before, started = cpu_s(everyone), time.monotonic()
    wait_for(lambda: time.monotonic() - started > 11, timeout_s=15)  # longer than anything sleeps
    used = (cpu_s(everyone) - before) / (time.monotonic() - started)
    assert used < 0.02, f"{used:.1%} of a core"
