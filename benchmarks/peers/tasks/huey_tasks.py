"""The task of huey's workers, and as a program: submit so many, wait for their results, print the seconds."""

from __future__ import annotations

import sys
import time

from huey import SqliteHuey
from shell_line import FOLDER, run_line

huey = SqliteHuey(filename=f"{FOLDER}/huey.db")
run = huey.task()(run_line)


def main(count: int) -> None:
    """Submit and wait; the results stay out of the way of the next run."""
    named = time.time_ns()  # new files each time, as ours are
    begun = time.perf_counter()
    for number in range(count):
        run(f"{named}-{number}", "true")
    while huey.result_count() < count:
        time.sleep(0.005)
    print(time.perf_counter() - begun)
    huey.storage.flush_results()


if __name__ == "__main__":
    from huey_tasks import main as main_of_the_module_that_workers_know

    main_of_the_module_that_workers_know(int(sys.argv[1]))
