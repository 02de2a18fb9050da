"""What Slurm said last: written whole, read whatever somebody did to the file."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from running_jobs import placements
from running_jobs.paths import JobPaths
from running_jobs.placements import MAX_BYTES, Told

NOW = "2026-11-21T20:39:15.123Z"
ENTRY = {"attempt": 1, "id": "12", "state": "PENDING", "why": "Resources", "partition": "main", "node": ""}


@pytest.fixture
def paths(tmp_path: Path) -> JobPaths:
    (tmp_path / "run").mkdir()
    return JobPaths(str(tmp_path))


def test_what_is_written_is_read_again_and_only_its_owner_can(paths: JobPaths) -> None:
    told = Told(NOW, "slurmctld does not answer: größe", NOW, {"20261121-203915-000001": ENTRY})
    placements.write(paths, told)
    assert placements.read(paths) == told
    assert stat.S_IMODE(os.stat(paths.slurm).st_mode) == 0o600
    assert os.listdir(paths.run) == ["slurm.json"]


def test_each_writing_gives_the_file_another_version(paths: JobPaths) -> None:
    versions = [placements.version(paths)]
    for state in ("PENDING", "RUNNING"):
        placements.write(paths, Told(NOW, None, None, {"20261121-203915-000001": {**ENTRY, "state": state}}))
        versions.append(placements.version(paths))
    assert versions[0] == (0, 0)
    assert len(set(versions)) == 3


def test_an_entry_is_of_one_attempt(paths: JobPaths) -> None:
    told = Told(NOW, None, None, {"20261121-203915-000001": ENTRY})
    assert told.of("20261121-203915-000001", 1) == ENTRY
    assert told.of("20261121-203915-000001", 2) is None
    assert told.of("20261121-203915-000002", 1) is None


def test_what_is_held_back_is_not_handed_over(paths: JobPaths) -> None:
    held_back = {**ENTRY, "id": "", "state": "NOT_TAKEN"}
    told = Told(NOW, None, None, {"20261121-203915-000001": ENTRY, "20261121-203915-000002": held_back})
    assert told.handed_over == [ENTRY]


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"jobs": []}', b'{"jobs": {"../../etc": {"attempt": 1}}}',
        b'{"at": 3, "problem": [], "since": "yesterday", "jobs": {"aaaaaaaa": 3, "bbbbbbbb": {}, "cccccccc": {"attempt": "1"}}}',
        b'{"jobs": {"aaaaaaaa": {"attempt": true}}}',
    ],
)  # fmt: skip
def test_what_is_damaged_is_passed_over(paths: JobPaths, content: bytes) -> None:
    Path(paths.slurm).write_bytes(content)
    assert placements.read(paths) == Told(None, None, None, {})


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ({"why": None}, {**ENTRY, "why": ""}),
        ({"why": "x" * 5000}, {**ENTRY, "why": "x" * 1000}),
        ({"node": "\ud800"}, {**ENTRY, "node": "?"}),
        ({"of_a_later_version": 1}, ENTRY),
    ],
)
def test_an_entry_has_its_fields_whatever_it_holds(paths: JobPaths, damage: dict[str, Any], found: Any) -> None:
    placements.write(paths, Told(NOW, None, None, {"aaaaaaaa": ENTRY}))
    Path(paths.slurm).write_text(json.dumps({"at": NOW, "jobs": {"aaaaaaaa": {**ENTRY, **damage}}}))
    assert placements.read(paths) == Told(NOW, None, None, {"aaaaaaaa": found})
    placements.write(paths, placements.read(paths))
    assert placements.read(paths).jobs == {"aaaaaaaa": found}


def test_a_huge_file_a_link_and_a_missing_one_tell_nothing(paths: JobPaths, tmp_path: Path) -> None:
    assert placements.read(paths) == Told()
    with Path(paths.slurm).open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    assert placements.read(paths) == Told()
    os.unlink(paths.slurm)
    (tmp_path / "other").write_text('{"problem": "not ours"}')
    os.symlink(tmp_path / "other", paths.slurm)
    assert placements.read(paths) == Told()
