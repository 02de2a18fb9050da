"""What the peers that have Python workers share: a program that submits and waits, and the end of all by pid."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil

from benchmarks.directories import clean_environment

TASKS = Path(__file__).parent / "tasks"


@contextlib.contextmanager
def processes(commands: list[list[str]], folder: Path) -> Iterator[None]:
    """Run programs in a folder, with our tasks to import; end them and all that they started."""
    running: list[subprocess.Popen[bytes]] = []
    try:
        with open(folder / "workers.log", "wb") as log:
            running.extend(_start(command, folder, log.fileno()) for command in commands)
        yield
    finally:
        for process in reversed(running):
            below = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            process.send_signal(signal.SIGKILL)
            process.wait()
            for child in below:
                with contextlib.suppress(psutil.Error):
                    child.kill()


def _start(command: list[str], folder: Path, log: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, cwd=folder, env=environment(folder), stdin=subprocess.DEVNULL, stdout=log, stderr=log
    )


def environment(folder: Path) -> dict[str, str]:
    """Return an environment in which our tasks can be imported and know their folder."""
    return {**clean_environment(), "PYTHONPATH": str(TASKS), "PEER_FOLDER": str(folder)}


def submit(python: str, module: str, folder: Path, *arguments: str | int) -> float:
    """Have a program submit jobs, the last argument says how many, and wait; return how many that is a second."""
    *_, count = arguments
    command = [python, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{module}: {done.stderr[-1000:]}")
    return int(count) / float(done.stdout)
