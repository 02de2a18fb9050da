"""Takes a picture of the page with real jobs on it: `python -m tests.take_screenshot examples/page.png`.

Starts a server on a temporary data directory, launches a few jobs, waits until they are where they should be,
photographs the page 1280 pixels wide in light colours, and ends all that it started.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image  # comes with matplotlib
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from running_jobs.actions import Actions
from running_jobs.job import Job
from running_jobs.settings import load_settings

from .conftest import BROWSER_OPTIONS, PROJECT, Server, end_everything, wait_for, wait_for_end, wait_for_status

WIDTH, HEIGHT = 1280, 860
MAX_BYTES = 200_000
EXAMPLES = PROJECT / "examples"
CHECK = "echo checking archive.tar; echo '3 of 41 files differ' >&2; exit 3"


def main() -> None:
    """Take the picture that the command line asks for."""
    if len(sys.argv) != 2:
        sys.exit(f"usage: {Path(sys.argv[0]).name} PICTURE.png")
    with tempfile.TemporaryDirectory() as folder:
        take_screenshot(Path(sys.argv[1]), Path(folder, "data"))


def take_screenshot(picture: Path, data: Path) -> None:
    """Launch jobs in a new data directory, and photograph the page."""
    data.mkdir()
    (data / "config.toml").write_text("slots = 4\nfsync = false\n")
    before = dict(os.environ)
    for name in [name for name in before if name.startswith("JOBS_")]:
        del os.environ[name]
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{before['PATH']}"  # `python` means the one that runs this
    server = Server(data)
    try:
        chosen = launch_jobs(Actions(load_settings(str(data))))
        photograph(f"{server.url}/?job={chosen.id}", picture)
    finally:
        server.kill()
        end_everything(data)
        os.environ.clear()
        os.environ.update(before)


def launch_jobs(actions: Actions) -> Job:
    """Launch one job of each kind; return the one to be looked at, which is active."""

    def launch(cmd: str, name: str, start: bool = True, **more: Any) -> Job:
        options = {"command": {"type": "exec", "cmd": cmd}, "name": name, "start": start, **more}
        return actions.submit(options, cwd=str(EXAMPLES))

    store = actions.store
    wait_for_end(store, launch(CHECK, "check last night's backup").id)
    wait_for_end(store, launch("seq 1 20000 | sort -R | head -3", "draw three winners").id)
    if shutil.which("povray"):
        wait_for_end(store, launch("FRAMES=3 WIDTH=160 HEIGHT=120 sh render.sh", "render the ring of beads").id, 60)
    launch("rsync -a --stats results/ archive:/srv/results/", "copy results to the archive", start=False)
    sleeping = launch("while :; do date; sleep 1; done", "watch the oven")
    wait_for_status(store, sleeping.id, "active")
    if not importlib.util.find_spec("sklearn") or not importlib.util.find_spec("matplotlib"):
        return sleeping
    training = launch("python train.py --epochs 400 --pause 0.1", "train the digits, 400 epochs")
    launch("python report.py", "write the report", after=[training.id])
    wait_for(lambda: "epoch 8: " in Path(store.paths.out(training.id)).read_text(), "the eighth epoch", 60)
    return training


def photograph(address: str, picture: Path) -> None:
    """Save a page as a picture of at most 256 colours, which is small and looks the same."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    with tempfile.TemporaryDirectory() as profile:
        for option in (*BROWSER_OPTIONS.split(), f"--user-data-dir={profile}", "--hide-scrollbars"):
            options.add_argument(option)
        chrome = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        try:
            size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
            chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            light = [{"name": "prefers-color-scheme", "value": "light"}]
            chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": light})
            chrome.get(address)
            wait_for(lambda: chrome.execute_script("return document.readyState") == "complete", "the page")
            if not chrome.save_screenshot(str(picture)):
                raise OSError(f"{picture} could not be written")
        finally:
            chrome.quit()
    with Image.open(picture) as photograph:
        few = photograph.convert("RGB").quantize(256, kmeans=2, dither=Image.Dither.NONE)
    few.save(picture, optimize=True)
    if picture.stat().st_size > MAX_BYTES:
        raise OSError(f"{picture} has {picture.stat().st_size} bytes, more than {MAX_BYTES}")


if __name__ == "__main__":
    main()
