"""As a program: submit so many jobs to rq, wait until all are recorded as finished, print the seconds."""

from __future__ import annotations

import sys
import time

from redis import Redis
from rq import Queue


def main(socket: str, count: int) -> None:
    """Submit and wait."""
    queue = Queue(connection=Redis(unix_socket_path=socket))
    finished = queue.finished_job_registry
    before = finished.count
    named = time.time_ns()  # new files each time, as ours are
    begun = time.perf_counter()
    for number in range(count):
        queue.enqueue("shell_line.run_line", f"{named}-{number}", "true", result_ttl=3600)
    while finished.count < before + count:
        time.sleep(0.005)
    print(time.perf_counter() - begun)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
