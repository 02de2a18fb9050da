"""Measure the launch path and the page: `python benchmarks/run.py [JOBS]`.

Prints medians of several rounds in one run on one machine, each beside a bare loop of posix_spawn of the same shell
line measured in the same round: only the ratios are worth comparing between machines.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT))

from running_jobs import run_background_job  # noqa: E402 - the line above says where it is
from running_jobs.actions import Actions  # noqa: E402
from running_jobs.settings import load_settings  # noqa: E402

ROUNDS = 5
LINE = "true"
JOB = {"command": {"type": "exec", "cmd": LINE}, "start": True}


def bare_spawns_per_s(count: int) -> float:
    """Run the shell line again and again, one at a time, keeping nothing."""
    started = time.perf_counter()
    for _ in range(count):
        os.waitpid(os.posix_spawn("/bin/sh", ["/bin/sh", "-c", LINE], os.environ), 0)
    return count / (time.perf_counter() - started)


def jobs_per_s(actions: Actions, count: int) -> float:
    """Submit and run jobs until the last end is recorded, logs and exit codes kept."""
    started = time.perf_counter()
    for _ in range(count):
        actions.submit(JOB)
    while os.listdir(actions.store.paths.open):
        time.sleep(0.005)
    return count / (time.perf_counter() - started)


def start_latencies_ms(actions: Actions, count: int) -> list[float]:
    """Return the times from a submission's answer to the command's first instruction, with a free slot."""
    found = []
    for _ in range(count):
        job = actions.submit({"command": {"type": "exec", "cmd": "date +%s.%N"}, "start": True})
        answered = time.time()
        while not actions.store.get(job.id).is_final:
            time.sleep(0.002)
        found.append((float(Path(actions.store.paths.out(job.id)).read_text()) - answered) * 1000)
    return found


def requests_ms(url: str, body: bytes | None, count: int) -> float:
    """Return the median time of a request."""
    times = []
    for _ in range(count):
        started = time.perf_counter()
        with urllib.request.urlopen(urllib.request.Request(url, body), timeout=30) as answer:
            answer.read()
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


def main() -> None:
    """Measure and print a table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    rows: list[tuple[str, str]] = []
    with tempfile.TemporaryDirectory() as folder:
        actions = Actions(load_settings(folder, {"JOBS_SLOTS": "4"}))
        jobs_per_s(actions, 50)  # warm-up: the dispatcher lives from here on
        pairs = [(jobs_per_s(actions, count), bare_spawns_per_s(count)) for _ in range(ROUNDS)]
        rows.append(("no-op jobs a second, 4 slots", f"{statistics.median(pair[0] for pair in pairs):.0f}"))
        rows.append(("  against bare posix_spawn", f"{statistics.median(a / b for a, b in pairs):.2f} x"))
        latencies = sorted(start_latencies_ms(actions, 200))
        rows.append(("answer to first instruction, median", f"{statistics.median(latencies):.1f} ms"))
        rows.append(("  99th percentile", f"{latencies[int(len(latencies) * 0.99)]:.1f} ms"))
        with tempfile.TemporaryDirectory() as other:
            rows.append(("run_background_job, median", f"{background_job_ms(other, 100):.1f} ms"))
            Actions(load_settings(other, {})).pause(True)
        port = "8765"
        server = subprocess.Popen(
            [sys.executable, str(PROJECT / "app.py"), "--data", folder, "serve", "--port", port],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            time.sleep(2)
            rows.append(("POST /jobs (held, durable), median", f"{requests_ms(url + '/jobs', held(), 200):.1f} ms"))
            rows.append(("GET /, median", f"{requests_ms(url + '/', None, 200):.1f} ms"))
            rows.append(("GET /jobs?limit=50, median", f"{requests_ms(url + '/jobs', None, 200):.1f} ms"))
        finally:
            server.kill()
            server.wait()
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, {count} jobs x {ROUNDS}")
    for name, value in rows:
        print(f"{name:<40}{value:>12}")


def background_job_ms(folder: str, count: int) -> float:
    """Return the median time of a call of run_background_job, once the class is imported."""
    Path(folder, "config.toml").write_text('allowed_classes = ["string.Template"]\n')
    times = []
    for _ in range(count):
        started = time.perf_counter()
        run_background_job("string.Template", "substitute", delay=1e6, data_dir=folder)
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


def held() -> bytes:
    """Return the body of a job that is only created."""
    return json.dumps({**JOB, "start": False}).encode()


if __name__ == "__main__":
    main()
