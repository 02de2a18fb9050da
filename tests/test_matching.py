"""Patterns are matched in a bounded time, whatever they and the texts are."""

from __future__ import annotations

import re
import subprocess
import threading
import time

import pytest

from running_jobs import matching
from running_jobs.errors import InvalidJob
from running_jobs.parameters import check_values, read_schema

SLUG = "([a-z0-9]+[-_]?)+"
EVIL = "a" * 40 + "!"


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        (r"[a-z]+\.pov", "lamp.pov", True), (r"[a-z]+\.pov", "lamp.pov\n", False), (SLUG, "a-b_c", True),
        (SLUG, "a b", False), (r"[a-z0-9]+(-[a-z0-9]+)*", "a-b-c", True), (r"(a|b|c)+", "abc", True),
        (r"\d{4}-\d{2}", "2026-11", True), (r"(?i)yes|no", "YES", True), (r"(.)\1+", "aaa", True), ("", "", True),
        (r"a*b*c*d*", "abcd" * 3000, False), (r"(?P<x>a+)+", "aaa", True), (SLUG, "ü" * 300, False),
    ],
)  # fmt: skip
def test_what_fits(pattern: str, text: str, fits: bool) -> None:
    assert matching.fits(pattern, text) is fits


def test_what_would_take_for_ever_is_given_up() -> None:
    for pattern in (SLUG, r"(a*)*b", r"(a|a)*b", r"(a|aa)+", r"([a-z]{1,10}){1,10}", r"(\w{1,10} ?){1,10}"):
        with pytest.raises(matching.TookTooLong):
            matching.fits(pattern, EVIL)
    with pytest.raises(matching.TookTooLong):
        matching.fits("a*" * 12 + "b", "a" * 5000)
    with pytest.raises(matching.TookTooLong):
        matching.fits(r"(?:){4000000000}", "")


@pytest.mark.parametrize(
    ("pattern", "is_quick"),
    [
        (r"[a-z]+\.pov", True), (r"\d{4}-\d{2}-\d{2}", True), (r"([0-9a-f]{4}:){7}[0-9a-f]{4}", True),
        (r"v?\d{1,3}(\.\d{1,3}){0,2}", True), (r"(?i)yes|no", True), (r"[\w.]{1,64}@[\w.]{1,64}", True),
        ("a?" * 24 + "a" * 24, False), (r"([a-z0-9]{1,10}[-_.]?){1,10}", False), (r"(a{0,9}){9}", False),
        (r"(a|b|ab){1,30}", False), (r"(?=(a?){25})a*", False), (r"(a)(\1?){30}", False), (r"((){9999}){9999}", False),
        (r"(x)?(?(1)(a?){25}|b)", False), (r"(?>(a?){25})", False), (r"(a?){25}+", False), ("a*" + "((((a{10}){10}){10}){10}){10}", False), ("a*(a{30}){0,1}" * 3, False),
        (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", True), (r"([0-9a-f]{2}:){5}[0-9a-f]{2}", True), (r"[0-9a-f]{64}", True),
        (r"(?:)" + "(?:|a)?" * 25 + "(?=b)", False), (r"(?:)" + r"(\w*|\d*|-*)?" * 20 + "(?<=a)", False),
        (r"(?:)(?:a?|b?|c?)*(?:a?|b?|c?)*", True), (r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,200}", True), (r"(\d{1,3}\.){3}\d{1,3}", True), (r"/[\w./-]*\.(png|exr|jpe?g)", True),
    ],
)  # fmt: skip
def test_only_what_is_quick_is_matched_where_others_wait(
    pattern: str, is_quick: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart: list[object] = []

    def run(*args: object, **more: object) -> subprocess.CompletedProcess[bytes]:
        apart.append(args)
        return subprocess.CompletedProcess([], 3)

    try:
        re.compile(pattern)
    except re.error:
        pytest.skip("this version of Python has no such patterns")
    monkeypatch.setattr(subprocess, "run", run)
    matching.fits(pattern, "" if pattern.startswith(r"(?:)") else "a" * 40)
    assert apart == [] if is_quick else len(apart) == 1


def test_meanwhile_other_threads_run() -> None:
    schema = read_schema([{"name": "s", "pattern": SLUG}])
    turns = 0
    is_over = threading.Event()

    def count() -> None:
        nonlocal turns
        while not is_over.is_set():
            turns += 1
            time.sleep(0.001)

    counter = threading.Thread(target=count)
    counter.start()
    try:
        with pytest.raises(InvalidJob, match="takes too long to tell whether it fits"):
            check_values("parameters", schema, {"s": EVIL})
    finally:
        is_over.set()
        counter.join()
    assert turns > 20
