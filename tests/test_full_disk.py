"""A disk that is full: nothing that was there is damaged, the job that filled it can be ended, deleting makes room."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from running_jobs.actions import Actions
from running_jobs.errors import StorageFailed
from running_jobs.settings import load_settings

from .conftest import end_everything, wait_for, wait_for_end


@pytest.fixture
def small(tmp_path: Path, data: Path) -> Iterator[Actions]:
    """Give actions on a data directory of one megabyte."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted: {mounted.stderr}")
    try:
        yield Actions(load_settings(str(place / "data"), {"JOBS_GRACE_SECONDS": "1"}))
    finally:
        end_everything(place / "data")
        subprocess.run(["umount", "-l", str(place)], check=True)


def run(actions: Actions, cmd: str, **options: Any) -> str:
    return actions.submit({"command": {"type": "exec", "cmd": cmd}, "start": True, **options}).id


def free_bytes(actions: Actions) -> int:
    disk = os.statvfs(actions.store.paths.data)
    return disk.f_bavail * disk.f_frsize


@pytest.mark.parametrize("verb", ["stop", "kill"])
def test_the_job_that_filled_it_can_be_ended_and_deleting_makes_room(small: Actions, verb: str) -> None:
    store = small.store
    before = wait_for_end(store, run(small, "echo before"))
    filling = run(small, "trap '' PIPE; cat /dev/zero 2>/dev/null; exec sleep 1000")
    wait_for(lambda: free_bytes(small) == 0)
    with pytest.raises(StorageFailed, match="No space left"):
        run(small, "echo one too many")
    assert store.ids() == [before.id, filling]
    getattr(small, verb)(filling)
    assert wait_for_end(store, filling).status == "stop"
    assert Path(store.paths.out(before.id)).read_text() == "before\n"
    for path in Path(store.paths.data).glob("*.json"):
        json.loads(path.read_text())
    small.delete(filling)
    assert wait_for_end(store, run(small, "echo after")).status == "done"
    lines = Path(store.paths.journal).read_text().splitlines()
    assert len([line for line in lines if f" {filling} " in line and " - stop - " in line]) == 1


def test_a_job_that_fills_it_again_and_again_can_be_killed(small: Actions) -> None:
    hog = run(small, "while :; do head -c 65536 /dev/zero 2>/dev/null || sleep 0.005; done")
    wait_for(lambda: free_bytes(small) == 0)
    small.kill(hog)
    assert wait_for_end(small.store, hog).status == "stop"
    small.delete(hog)
    assert wait_for_end(small.store, run(small, "true")).status == "done"


def test_an_end_that_cannot_be_written_is_written_as_soon_as_it_can(small: Actions) -> None:
    store = small.store
    ending = run(small, "while [ ! -e $JOB_FILES/go ]; do sleep 0.02; done; exit 7")
    wait_for(lambda: store.get(ending).status == "active")
    Path(store.paths.results(ending), "go.not").touch()
    for reserve in store.paths.reserves:
        os.unlink(reserve)
    filler = Path(store.paths.data, "filler")
    with open(filler, "wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(4096))
    Path(store.paths.results(ending), "go").touch()
    runner = store.get(ending).pid
    wait_for(
        lambda: (
            len(os.listdir(f"/proc/{runner}/task/{runner}/"))
            and not Path(f"/proc/{runner}/task/{runner}/children").read_text()
        )
    )
    assert store.get(ending).status == "active"
    filler.unlink()
    ended = wait_for_end(store, ending)
    assert (ended.status, ended.exit_code) == ("error", 7)
