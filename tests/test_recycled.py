"""Files written over in place of new ones: never under anybody's eyes, and never twice in use."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from running_jobs import recycled
from running_jobs.actions import Actions
from running_jobs.files import make_private_file
from running_jobs.job import Job

from .conftest import dispatcher_of, kill_and_wait, wait_for, wait_for_end, wait_for_status


@pytest.fixture
def private(tmp_path: Path) -> Iterator[Path]:
    """A file of our own, on a file system that tells who has it open."""
    path = tmp_path / "private"
    os.close(make_private_file(str(path)))
    with recycled.lease_signals_ignored():
        if recycled.write_over(str(path), b"what was there before", sync=False) is None:
            pytest.skip("this file system does not tell who has a file open")
        yield path


def submit(actions: Actions, cmd: str) -> Job:
    return actions.submit({"command": {"type": "exec", "cmd": cmd}, "start": True})


def test_a_file_that_is_ours_alone_is_written_over(private: Path) -> None:
    inode = private.stat().st_ino
    version = recycled.write_over(str(private), b"short", sync=True)
    assert private.read_bytes() == b"short"
    found = private.stat()
    assert version == (inode, found.st_mtime_ns, 5)


def test_one_that_somebody_has_open_is_left(private: Path) -> None:
    with private.open("rb") as reader:
        assert recycled.write_over(str(private), b"new", sync=False) is None
        assert reader.read() == b"what was there before"
    assert recycled.write_over(str(private), b"new", sync=False)


def test_one_that_another_process_has_open_is_left(private: Path) -> None:
    with private.open("rb") as reader:
        other = subprocess.Popen(["sleep", "1000"], stdin=reader)
    with other:
        assert recycled.write_over(str(private), b"new", sync=False) is None
        other.kill()
    assert recycled.write_over(str(private), b"new", sync=False)


def test_one_with_two_names_or_for_others_is_left(private: Path) -> None:
    os.link(private, f"{private}.too")
    assert recycled.write_over(str(private), b"new", sync=False) is None
    os.unlink(f"{private}.too")
    private.chmod(0o644)
    assert recycled.write_over(str(private), b"new", sync=False) is None
    assert private.read_bytes() == b"what was there before"


def test_what_is_no_file_is_an_error(private: Path) -> None:
    with pytest.raises(FileNotFoundError):
        recycled.write_over(f"{private}.gone", b"new", sync=False)
    os.symlink(private, f"{private}.link")
    with pytest.raises(OSError, match="symbolic"):
        recycled.write_over(f"{private}.link", b"new", sync=False)
    assert private.read_bytes() == b"what was there before"


def test_somebody_who_opens_it_meanwhile_ends_nobody(private: Path) -> None:
    """The kernel tells the holder of a lease with SIGIO, whose default is to end the process."""
    writer = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from running_jobs import recycled\n"
        "with recycled.lease_signals_ignored():\n"
        "    for _ in range(20000):\n"
        "        recycled.write_over(sys.argv[1], b'new', sync=False)\n"
    )
    project = str(Path(recycled.__file__).parent.parent)
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", writer, str(private), project]) as process:
        while process.poll() is None:
            private.read_bytes()
    assert process.returncode == 0
    assert signal.getsignal(signal.SIGIO) is signal.SIG_IGN  # within the fixture


def test_who_reads_a_record_sees_it_as_it_was_when_it_was_opened(configure, tmp_path: Path) -> None:
    """A runner writes over what it replaced; not under the eyes of who opened that before."""
    actions = configure("slots = 1\n")
    actions.pause(True)
    jobs = [submit(actions, f"while [ ! -e {tmp_path}/go{number} ]; do sleep 0.01; done") for number in range(3)]
    opened = [(job, "queued", os.open(actions.store.paths.json(job.id), os.O_RDONLY)) for job in jobs]
    actions.pause(False)
    for number, job in enumerate(jobs):
        wait_for_status(actions.store, job.id, "active")
        opened.append((job, "active", os.open(actions.store.paths.json(job.id), os.O_RDONLY)))
        (tmp_path / f"go{number}").touch()
        wait_for_end(actions.store, job.id)
    for job, status, descriptor in opened:
        assert Job.from_json(job.id, os.read(descriptor, 10000)).status == status
        os.close(descriptor)


def test_a_runner_makes_no_new_file_for_its_next_job(configure, private: Path) -> None:
    actions = configure("slots = 1\n")
    actions.pause(True)
    jobs = [submit(actions, "true") for _ in range(4)]
    queued = [os.stat(actions.store.paths.json(job.id)).st_ino for job in jobs]
    actions.pause(False)
    ended = [wait_for_end(actions.store, job.id) for job in jobs]
    assert [os.stat(actions.store.paths.json(job.id)).st_ino for job in jobs] == queued
    spares = list(Path(actions.store.paths.run).glob("spare-*"))
    assert [path.name for path in spares] in ([], [f"spare-{ended[-1].pid}"])
    wait_for(lambda: not list(Path(actions.store.paths.run).glob("spare-*")))  # it leaves, and takes it along


def test_what_a_killed_runner_kept_is_removed(configure, private: Path) -> None:
    actions = configure("slots = 1\n")
    actions.pause(True)
    jobs = [submit(actions, "true"), submit(actions, "sleep 1000")]
    actions.pause(False)
    runner = wait_for_end(actions.store, jobs[0].id).pid
    wait_for_status(actions.store, jobs[1].id, "active")
    spare = Path(actions.store.paths.spare(runner))
    spare.write_text("as it is between two jobs")
    kill_and_wait(psutil.Process(runner))
    wait_for_end(actions.store, jobs[1].id)
    wait_for(lambda: not spare.exists())


def test_a_dispatcher_removes_what_is_kept_by_nobody(configure, private: Path) -> None:
    actions = configure("slots = 1\n")
    wait_for_end(actions.store, submit(actions, "true").id)
    kill_and_wait(dispatcher_of(actions.settings.data))
    spare = Path(actions.store.paths.spare(1))
    spare.write_text("of a runner that was killed")
    wait_for_end(actions.store, submit(actions, "true").id)
    assert not spare.exists()


def test_a_copy_of_the_directory_by_links_keeps_what_it_holds(configure, tmp_path: Path) -> None:
    """Some back up so: the copy's records are the same files, and must not change with the jobs."""
    actions = configure("slots = 1\n")
    actions.pause(True)
    job = submit(actions, "true")
    copied = tmp_path / "copied.json"
    os.link(actions.store.paths.json(job.id), copied)
    actions.pause(False)
    wait_for_end(actions.store, job.id)
    assert Job.from_json(job.id, copied.read_bytes()).status == "queued"
