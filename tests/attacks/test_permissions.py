"""Who may read what is written, from the moment it exists: every role works with a umask of 0, watched by the kernel.

Files are watched for changes of their permissions: where there are none, those that a file has are those it was made with.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from running_jobs.store import JobStore

from ..conftest import Server, wait_for, wait_for_end
from .house import WORKER

IN_ATTRIB, IN_MOVED_TO, IN_CREATE, IN_ISDIR = 0x4, 0x80, 0x100, 0x40000000


class Watch:
    """What the kernel says of the files in a directory and in those below it (inotify(7))."""

    def __init__(self, root: Path) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = self._libc.inotify_init1(os.O_CLOEXEC)
        assert self._descriptor >= 0
        self._folders: dict[int, str] = {}
        self.made: dict[str, int | None] = {}  # path to its permissions when it was told of; None: gone by then
        self.changed: list[str] = []
        self._done = os.eventfd(0)
        self._add(str(root))
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _add(self, folder: str) -> None:
        number = self._libc.inotify_add_watch(
            self._descriptor, os.fsencode(folder), IN_ATTRIB | IN_MOVED_TO | IN_CREATE
        )
        if number < 0:
            return  # gone already
        self._folders[number] = folder
        for entry in os.scandir(folder):  # what was made before the watch
            self._see(entry.path, entry.is_dir(follow_symlinks=False))

    def _see(self, path: str, is_folder: bool) -> None:
        try:
            self.made[path] = stat.S_IMODE(os.lstat(path).st_mode)
        except OSError:
            self.made.setdefault(path, None)
        if is_folder and not path.endswith(".files"):  # what a command makes there is the command's
            with contextlib.suppress(OSError):
                self._add(path)

    def _listen(self) -> None:
        import select

        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        poll.register(self._done, select.POLLIN)
        while not any(found == self._done for found, _ in poll.poll()):
            events = os.read(self._descriptor, 1 << 16)
            while events:
                number, mask, _, length = struct.unpack("iIII", events[:16])
                name, events = os.fsdecode(events[16 : 16 + length].rstrip(b"\0")), events[16 + length :]
                if not name:
                    continue  # of the folder itself, which is made private where it was not
                path = f"{self._folders[number]}/{name}"
                if mask & IN_ATTRIB:
                    self.changed.append(path)
                else:
                    self._see(path, bool(mask & IN_ISDIR))

    def end(self) -> None:
        """Stop watching."""
        os.eventfd_write(self._done, 1)
        self._thread.join()
        os.close(self._descriptor)
        os.close(self._done)


@pytest.fixture
def watch(data: Path) -> Iterator[Watch]:
    """Watch the data directory, with a umask that takes nothing away."""
    before = os.umask(0)
    watching = Watch(data)
    yield watching
    os.umask(before)
    watching.end()


def everything(server: Server, app_py: Callable[..., Any], store: JobStore) -> None:
    """Have every role write everything it writes."""
    files = "echo out; echo err >&2; echo r > $JOB_FILES/r; echo 5/10; sleep 0.1"
    callback = {"type": "exec", "cmd": "echo called"}
    jobs = [
        {"command": {"type": "exec", "cmd": files}, "callback_done": callback, "start": True},
        {
            "command": {"type": "exec", "cmd": "false"},
            "callback_failed": callback,
            "retries": 1,
            "retry_delay": 0,
            "start": True,
        },
        {"command": {"type": "http", "url": "http://127.0.0.1:9/"}, "start": True},
        {"command": {"type": "worker", "name": "TestWorker", "parameters": {"count": 1, "sleep": 0}}, "start": True},
    ]
    ids = [server.post("/jobs", job).json["data"][0]["id"] for job in jobs]
    assert server.put("/workers/Mine", WORKER).code == 200
    held = server.post("/jobs", {"worker": "Mine", "after": ids, "start": True}).json["data"][0]["id"]
    assert server.post_form("/saved", {"cmd": "true", "keep_as": "kept"}).code == 303
    assert server.post_form("/pause", {}).code == 303
    assert server.post_form("/resume", {}).code == 303
    ids.append(app_py("run", "echo from the command line").out.strip())
    for job_id in (*ids, held):
        wait_for_end(store, job_id)
    for job_id in ids[:2]:
        wait_for(lambda job_id=job_id: store.get(job_id).callbacks, "the callbacks")
    server.post(f"/jobs/{ids[0]}/log", "an entry")
    server.post(f"/jobs/{ids[0]}/response", "an entry")
    assert server.get("/workers").code == 200
    assert server.get(f"/?job={ids[0]}&tab=chart").code == 200
    assert server.delete(f"/jobs/{ids[1]}").code == 200


def test_every_file_is_private_from_the_moment_it_exists(
    watch: Watch, data: Path, start_server: Callable[..., Server], app_py: Callable[..., Any], store: JobStore
) -> None:
    server = start_server()
    for _ in range(2):  # once more with all folders there and watched
        everything(server, app_py, store)
    wait_for(lambda: any(path.endswith(".json") for path in watch.made), "the watch")
    wrong = {path: oct(mode) for path, mode in watch.made.items() if mode is not None and mode & 0o077}
    wrong.pop(f"{data}/config.toml", None)  # the one file that is not ours
    assert wrong == {}
    assert watch.changed == []
    kinds = {Path(path).suffix or Path(path).name for path in watch.made}
    assert kinds >= {
        ".json",
        ".out",
        ".err",
        ".response",
        ".files",
        ".py",
        ".log",
        "secret",
        "run",
        "logs",
        "saved",
        "workers",
        "wake",
        "lock",
        "open",
    }, kinds
    for path in data.rglob("*"):
        mode = path.lstat().st_mode
        if ".files/" not in str(path) and path.name != "config.toml":
            assert stat.S_IMODE(mode) == (0o700 if stat.S_ISDIR(mode) else 0o600), path


def test_a_folder_that_was_open_is_closed_before_anything_is_put_there(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        for name in ("", "run", "logs"):
            (tmp_path / "data" / name).mkdir(mode=0o777)
        JobStore(str(tmp_path / "data")).prepare()
    finally:
        os.umask(before)
    for name in ("", "run", "logs", "run/open"):
        assert stat.S_IMODE((tmp_path / "data" / name).stat().st_mode) == 0o700, name


def test_a_command_gets_a_usual_umask_and_its_folder_is_private(
    watch: Watch, launch: Callable[..., Any], store: JobStore
) -> None:
    job = wait_for_end(
        store, launch("umask; touch $JOB_FILES/made; mkdir $JOB_FILES/folder; stat -c %a $JOB_FILES $JOB_FILES/*").id
    )
    assert Path(store.paths.out(job.id)).read_text().split() == ["0022", "700", "755", "644"]
