"""What jobs leave in their results folder that is no ordinary file: nothing hangs on it, nothing is followed."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from running_jobs import folders
from running_jobs.actions import Actions
from running_jobs.job import IDLE, Job
from running_jobs.store import JobStore

from ..conftest import PROJECT, LocalClient, wait_for_end

DEEP = 5000
NOBODY = 65534
ODD = """
import os, socket, stat
os.chdir(os.environ["JOB_FILES"])
for name in ("fifo.txt", "fifo.png", "fifo.csv"):
    os.mkfifo(name)
socket.socket(socket.AF_UNIX).bind("socket.txt")
os.symlink(OUTSIDE, "link.txt"); os.symlink(os.path.dirname(OUTSIDE), "folder"); os.symlink("loop", "loop")
os.symlink("/dev/zero", "zero.txt"); os.symlink("/proc/self/environ", "environ.txt"); os.symlink("gone", "gone.txt")
os.mkdir("closed"); open("closed/inner.txt", "w").write("inner"); os.chmod("closed", 0)
os.mkdir("read-only"); open("read-only/inner.txt", "w").write("inner"); os.chmod("read-only", 0o555)
open("unreadable.txt", "w").write("unreadable"); os.chmod("unreadable.txt", 0)
if os.geteuid() == 0:
    os.mknod("zeros.txt", stat.S_IFCHR | 0o666, os.makedev(1, 5)); os.mknod("disk.png", stat.S_IFBLK | 0o666, os.makedev(7, 99))
open("ordinary.txt", "w").write("ordinary")
"""


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Give a folder that nobody may touch."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret.txt").write_text("secret")
    return folder


@pytest.fixture
def odd(launch: Callable[..., Job], store: JobStore, tmp_path: Path, outside: Path) -> Job:
    """Give an ended job that left everything that a folder can hold."""
    program = tmp_path / "odd.py"
    program.write_text(f"OUTSIDE = {str(outside / 'secret.txt')!r}\n{ODD}")
    job = wait_for_end(store, launch(f"{sys.executable} {program}").id)
    assert job.status == "done", Path(store.paths.err(job.id)).read_text()
    return job


def odd_names(folder: str) -> list[str]:
    return [entry.name for entry in os.scandir(folder) if not stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode)]


def test_only_ordinary_files_are_listed_shown_and_sent(odd: Job, local: LocalClient, store: JobStore) -> None:
    folder = store.paths.results(odd.id)
    listed = {file["name"] for file in local.get(f"/jobs/{odd.id}/files").json["data"]}
    assert "ordinary.txt" in listed
    assert listed <= {"ordinary.txt", "unreadable.txt", "closed/inner.txt", "read-only/inner.txt"}
    page = local.get(f"/?job={odd.id}&tab=files").text
    assert "ordinary.txt" in page
    assert "fifo" not in page
    names = odd_names(folder)
    assert len(names) >= 11
    for name in [*names, "folder/secret.txt", "environ.txt/x", "fifo.txt/x", "."]:
        assert local.get(f"/jobs/{odd.id}/files/{name}").code == 404, name
        shown = local.get(f"/?job={odd.id}&tab=files&file={name}")
        assert (shown.code, "There is no such file" in shown.text) == (200, True), name
    sent = local.get(f"/jobs/{odd.id}/files.zip")
    packed = zipfile.ZipFile(io.BytesIO(sent.body))
    inside = {name.partition("/")[2] for name in packed.namelist()}
    assert "ordinary.txt" in inside
    assert inside <= listed
    assert b"secret" not in sent.body


def test_all_of_it_is_deleted_and_nothing_outside(odd: Job, actions: Actions, store: JobStore, outside: Path) -> None:
    assert actions.delete(odd.id) is None
    assert [name for name in os.listdir(store.paths.data) if name.startswith(odd.id)] == []
    assert (outside / "secret.txt").read_text() == "secret"


def test_all_of_it_is_pruned(odd: Job, app_py: Callable[..., Any], store: JobStore, outside: Path) -> None:
    pruned = app_py("prune", "--keep-jobs", "0")
    assert (pruned.code, pruned.err) == (0, "")
    assert store.ids() == []
    assert not os.path.exists(store.paths.results(odd.id))
    assert (outside / "secret.txt").read_text() == "secret"


@contextlib.contextmanager
def deep_folder(path: str, levels: int = DEEP) -> Iterator[None]:
    """Make a folder in which others are nested deeper than a path can say, with a file in every hundredth."""
    os.mkdir(path)
    try:
        inner = os.open(path, os.O_DIRECTORY)
        for level in range(levels):
            os.mkdir("d", dir_fd=inner)
            deeper = os.open("d", os.O_DIRECTORY, dir_fd=inner)
            os.close(inner)
            inner = deeper
            if level % 100 == 0:
                os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=inner))
        os.close(inner)
        yield
    finally:
        subprocess.run(["rm", "-rf", path], check=True)  # what is left of it, nobody's clean-up gets rid of


def test_folders_nested_thousands_deep_are_looked_at_and_deleted(
    local: LocalClient, actions: Actions, store: JobStore
) -> None:
    job = store.create(Job(id="", status=IDLE, command={"type": "exec", "cmd": "true"}))
    folder = store.paths.results(job.id)
    with deep_folder(folder):
        Path(folder, "z").touch()
        assert local.get(f"/?job={job.id}&tab=files").code == 200
        listed = [file["name"] for file in local.get(f"/jobs/{job.id}/files").json["data"]]
        assert "z" in listed
        assert 10 < len(listed) < DEEP // 100 + 1
        answer = local.get(f"/jobs/{job.id}/files.zip")
        assert (answer.code, "too deep" in answer.json["message"]) == (400, True), "it would not be whole"
        assert local.delete(f"/jobs/{job.id}").code == 200
    assert os.listdir(store.paths.open) == []
    assert not os.path.lexists(folder)


def test_a_tree_is_removed_with_few_descriptors(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    program = (
        "import resource, sys; sys.path.insert(0, sys.argv[1]); from running_jobs import folders\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80)); folders.remove_tree(sys.argv[2])\n"
    )
    with deep_folder(str(tree), 300):
        subprocess.run([sys.executable, "-c", program, str(PROJECT), str(tree)], check=True, timeout=60)
        assert not tree.exists()


def test_a_tree_that_is_a_link_is_left_alone(tmp_path: Path, outside: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(outside)
    with pytest.raises(OSError, match=r"link"):
        folders.remove_tree(str(link))
    assert (outside / "secret.txt").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_folders_closed_by_their_owner_are_removed_by_that_owner() -> None:
    place = tempfile.mkdtemp(prefix="faults-", dir="/tmp")  # where another user gets to
    try:
        os.chown(place, NOBODY, NOBODY)
        child = os.fork()
        if child == 0:
            try:
                _close_and_remove(place)
            finally:
                os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        assert os.listdir(place) == []
    finally:
        folders.remove_tree(place)


def _close_and_remove(place: str) -> None:
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    tree = f"{place}/tree"
    os.makedirs(f"{tree}/closed/inner")
    os.mkdir(f"{tree}/read-only")
    for path in ("closed/inner/a", "read-only/b"):
        Path(tree, path).touch()
    for path, mode in (("closed/inner", 0), ("closed", 0), ("read-only", 0o555), (".", 0o555)):
        os.chmod(f"{tree}/{path}", mode)
    folders.remove_tree(tree)
    os._exit(0)
