"""Takes pictures of the page with real jobs on it.

`python -m tests.take_screenshot examples` takes those that the README shows; `... --all FOLDER` takes every view 360, 800
and 1440 pixels wide, in light and in dark colours, to be looked at. Starts a server on a temporary data directory,
launches a few jobs, waits until they are where they should be, and ends all that it started.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image  # comes with matplotlib
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from running_jobs.actions import Actions
from running_jobs.job import Job
from running_jobs.settings import load_settings

from .conftest import BROWSER_OPTIONS, PROJECT, Server, end_everything, wait_for, wait_for_end, wait_for_status

MAX_BYTES = 200_000
WIDTHS = {1440: 900, 800: 1000, 360: 740}
SCHEMES = ("light", "dark")
VIEWS = {
    "list": "/",
    "output": "/?job={training}",
    "files": "/?job={render}&tab=files",
    "chart": "/?job={training}&tab=chart",
    "details": "/?job={failed}&tab=details",
    "workers": "/?run=worker&of=TestWorker",
}
IN_README = {  # picture: view, width, scheme
    "page.png": ("output", 1440, "light"),
    "results.png": ("files", 1440, "dark"),
    "phone.png": ("chart", 360, "light"),
    "phone-dark.png": ("output", 360, "dark"),
}
EXAMPLES = PROJECT / "examples"
EMBED = "import time, tqdm\nfor _ in tqdm.tqdm(range(4000), desc='embedding'): time.sleep(0.05)"
CHECK = "echo checking archive.tar; echo '3 of 41 files differ' >&2; exit 3"


def main() -> None:
    """Take the pictures that the command line asks for."""
    takes_all, folders = "--all" in sys.argv, [word for word in sys.argv[1:] if word != "--all"]
    if len(folders) != 1:
        sys.exit("usage: python -m tests.take_screenshot [--all] FOLDER")
    every = {
        f"{view}-{width}-{scheme}.png": (view, width, scheme)
        for view in VIEWS
        for width in WIDTHS
        for scheme in SCHEMES
    }
    with tempfile.TemporaryDirectory() as data:
        take_screenshots(every if takes_all else IN_README, Path(folders[0]), Path(data, "data"))


def take_screenshots(pictures: dict[str, tuple[str, int, str]], folder: Path, data: Path) -> None:
    """Launch jobs in a new data directory, and photograph the page."""
    data.mkdir()
    folder.mkdir(exist_ok=True)
    (data / "config.toml").write_text("slots = 4\nfsync = false\n")
    before = dict(os.environ)
    for name in [name for name in before if name.startswith("JOBS_")]:
        del os.environ[name]
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{before['PATH']}"  # `python` means the one that runs this
    server = Server(data)
    try:
        jobs = launch_jobs(Actions(load_settings(str(data))))
        with photographer() as chrome:
            for name, (view, width, scheme) in pictures.items():
                photograph(chrome, server.url + VIEWS[view].format(**jobs), width, scheme, folder / name)
    finally:
        server.kill()
        end_everything(data)
        os.environ.clear()
        os.environ.update(before)


def launch_jobs(actions: Actions) -> dict[str, str]:
    """Launch jobs of many kinds; return the ids of those that are looked at."""

    def launch(cmd: str, name: str, start: bool = True, **more: Any) -> Job:
        options = {"command": {"type": "exec", "cmd": cmd}, "name": name, "start": start, **more}
        return actions.submit(options, cwd=str(EXAMPLES))

    store = actions.store
    failed = launch(CHECK, "check last night's backup")
    wait_for_end(store, failed.id)
    for number in range(1, 4):
        launch(f"echo sent {number * 40} letters", f"letters, batch {number} of 3", context="mailings")
    wait_for_end(store, launch("seq 1 20000 | sort -R | head -3", "draw three winners", context="mailings").id)
    render = launch("FRAMES=5 WIDTH=400 HEIGHT=300 sh render.sh", "render the ring of beads", context="renders")
    wait_for_end(store, render.id, 120)
    launch("rsync -a --stats results/ archive:/srv/results/", "copy results to the archive", start=False)
    corpus = launch(f"python -c {shlex.quote(EMBED)}", "embed the corpus", context="training")
    training = launch("python train.py --epochs 40 --pause 0.2", "train the digits, 40 epochs", context="training")
    launch("python report.py", "write the report", after=[training.id])
    wait_for_status(store, corpus.id, "active")
    wait_for(lambda: "epoch 12: " in Path(store.paths.out(training.id)).read_text(), "the twelfth epoch", 60)
    return {"failed": failed.id, "render": render.id, "training": training.id}


@contextlib.contextmanager
def photographer() -> Iterator[Any]:
    """Run a browser that shows no scroll bars."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    with tempfile.TemporaryDirectory() as profile:
        for option in (*BROWSER_OPTIONS.split(), f"--user-data-dir={profile}", "--hide-scrollbars"):
            options.add_argument(option)
        chrome = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        try:
            yield chrome
        finally:
            chrome.quit()


def photograph(chrome: Any, address: str, width: int, scheme: str, picture: Path) -> None:
    """Save a page as a picture of at most 256 colours, which is small and looks the same."""
    size = {"width": width, "height": WIDTHS[width], "deviceScaleFactor": 1, "mobile": width < 500}
    chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    preferred = [{"name": "prefers-color-scheme", "value": scheme}]
    chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": preferred})
    chrome.get(address)
    wait_for(lambda: chrome.execute_script("return document.readyState") == "complete", "the page")
    pictures_are_there = "return [...document.images].every((image) => image.complete)"
    wait_for(lambda: chrome.execute_script(pictures_are_there), "its pictures")
    if not chrome.save_screenshot(str(picture)):
        raise OSError(f"{picture} could not be written")
    with Image.open(picture) as photograph:
        few = photograph.convert("RGB").quantize(256, kmeans=2, dither=Image.Dither.NONE)
    few.save(picture, optimize=True)
    if picture.stat().st_size > MAX_BYTES:
        raise OSError(f"{picture} has {picture.stat().st_size} bytes, more than {MAX_BYTES}")


if __name__ == "__main__":
    main()
