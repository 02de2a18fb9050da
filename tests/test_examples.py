"""The examples, launched from the page through nginx below a path, watched to the end, their results fetched."""

from __future__ import annotations

import csv
import io
import shlex
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from running_jobs.actions import Actions
from running_jobs.store import JobStore

from .conftest import PROJECT, Client, Nginx, require, wait_for, wait_for_end
from .page import Page

EXAMPLES = PROJECT / "examples"


@pytest.fixture
def page(nginx: Nginx, tab: Any) -> Page:
    """Give the page in a browser, below /jobs-ui/."""
    return Page(tab, f"{nginx.prefixed.url}/jobs-ui").open()


@pytest.fixture
def client(nginx: Nginx) -> Client:
    """Give a client of the page below /jobs-ui/."""
    return Client(f"{nginx.prefixed.url}/jobs-ui")


def size_of_png(content: bytes) -> tuple[int, int]:
    """Return width and height of a picture, which must be a PNG."""
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert content.rstrip().endswith(b"IEND\xaeB`\x82")
    width, height = struct.unpack(">II", content[16:24])
    return width, height


def test_a_scene_is_rendered_watched_and_fetched(page: Page, client: Client, store: JobStore) -> None:
    require("povray")
    job_id = page.launch("sh render.sh", name="render a scene", cwd=str(EXAMPLES), env="FRAMES=4\nWIDTH=120\nHEIGHT=90")
    page.run("window.sameDocument = true")
    page.wait_text("#log", "frame 1/4")
    page.wait_status("done", timeout_s=60)
    page.wait_text("#log", "frame 4/4")
    shown = "return [...document.querySelectorAll('.pictures img')].map((picture) => picture.naturalWidth)"
    wait_for(lambda: page.run(shown) == [120] * 4, "four pictures on the page")
    assert page.run("return window.sameDocument") is True
    files = client.get(f"/jobs/{job_id}/files").json["data"]
    assert [file["name"] for file in files] == [f"frame-000{number}.png" for number in range(1, 5)]
    frames = [client.get(f"/jobs/{job_id}/files/{file['name']}").body for file in files]
    assert [size_of_png(frame) for frame in frames] == [(120, 90)] * 4
    assert len(set(frames)) == 4, "the scene moves"
    log = client.get(f"/jobs/{job_id}/out").text.splitlines()
    assert log == ["rendering 4 frames of 120x90", *(f"frame {number}/4" for number in range(1, 5))]
    assert client.get(f"/jobs/{job_id}/err").text == ""


def test_a_classifier_is_trained_watched_and_fetched(page: Page, client: Client, store: JobStore) -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    command = shlex.join([sys.executable, "train.py", "--epochs", "12", "--pause", "0.1"])
    job_id = page.launch(command, name="train on digits", cwd=str(EXAMPLES))
    page.run("window.sameDocument = true")
    page.wait_text("#log", "epoch 1: ")
    assert page.status == "active", "its lines are seen while it runs"
    page.wait_status("done", timeout_s=60)
    page.wait_text("#log", "final accuracy")
    assert page.run("return window.sameDocument") is True
    rows = list(csv.DictReader(io.StringIO(client.get(f"/jobs/{job_id}/files/metrics.csv").text)))
    assert [row["epoch"] for row in rows] == [str(number) for number in range(1, 13)]
    assert float(rows[-1]["accuracy"]) > 0.9
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert size_of_png(client.get(f"/jobs/{job_id}/files/curve.png").body) == (640, 420)
    log = client.get(f"/jobs/{job_id}/out").body
    assert log.count(b"\r") >= 12 * 20
    assert log.endswith(f"final accuracy {float(rows[-1]['accuracy']):.4f}\n".encode())
    assert client.get(f"/jobs/{job_id}/err").text == ""


def test_a_stopped_rendering_keeps_the_frames_that_are_done(
    launch: Callable[..., Any], actions: Actions, store: JobStore
) -> None:
    require("povray")
    command = ["sh", str(EXAMPLES / "render.sh"), "500", "64", "48"]
    job = launch(shlex.join(command))
    folder = Path(store.paths.results(job.id))
    wait_for(lambda: (folder / "frame-0002.png").exists(), "two frames")
    actions.stop(job.id)
    ended = wait_for_end(store, job.id)
    assert ended.status == "stop"
    assert ended.signal == signal.SIGTERM
    assert {path.suffix for path in folder.iterdir()} == {".png"}
    for path in folder.iterdir():
        assert size_of_png(path.read_bytes()) == (64, 48)


@pytest.mark.parametrize("argument", ["0", "-1", "many", "1.5"])
def test_render_refuses_what_is_no_number(tmp_path: Path, argument: str) -> None:
    done = subprocess.run(
        ["/bin/sh", str(EXAMPLES / "render.sh"), argument], capture_output=True, text=True, cwd=tmp_path, timeout=30
    )
    assert done.returncode == 2
    assert "expected whole numbers" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_render_says_what_is_missing(tmp_path: Path) -> None:
    done = subprocess.run(
        ["/bin/sh", str(EXAMPLES / "render.sh")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PATH": str(tmp_path)},
        timeout=30,
    )
    assert done.returncode == 1
    assert "povray is missing; install it" in done.stderr
