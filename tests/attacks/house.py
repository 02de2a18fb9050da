"""A data directory with something of everything in it, guarded; and all that it holds, to see that nothing changed."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Any

from flask import Flask
from werkzeug.routing import Rule
from werkzeug.security import generate_password_hash
from werkzeug.test import TestResponse

from running_jobs.actions import Actions
from running_jobs.job import Job
from running_jobs.saved import SavedCommands
from running_jobs.settings import load_settings
from running_jobs.web.application import build_app

CHEAP = "pbkdf2:sha256:1"  # a hash that takes no time
OPERATOR, VIEWER, ANOTHER = ("olga", "o-secret"), ("vera", "v-secret"), ("otto", "t-secret")  # another operator
WORKER = "from running_jobs import Worker\n\nclass Mine(Worker):\n    def run(self):\n        self.log('mine')\n"
COMMAND = {"type": "exec", "cmd": "true"}


class House:
    """The directory, the application on it, and what stands for each variable part of an address."""

    def __init__(self, data: Path, config: str = "") -> None:
        users = "".join(
            f'[users.{name}]\nhash = "{generate_password_hash(password, CHEAP)}"\nrole = "{role}"\n'
            for (name, password), role in ((OPERATOR, "operator"), (VIEWER, "viewer"), (ANOTHER, "operator"))
        )
        (data / "config.toml").write_text(f"slots = 4\ngrace_seconds = 1\n{config}\n{users}")
        self.data = data
        settings = load_settings(str(data))
        self.app: Flask = build_app(settings)
        self.client = self.app.test_client()
        self.actions = Actions(settings)
        self.job: Job = self.actions.submit({"command": COMMAND, "name": "held"})
        results = Path(self.actions.store.paths.results(self.job.id))
        results.mkdir()
        (results / "a.txt").write_text("a result")
        Path(self.actions.store.paths.out(self.job.id)).write_text("one line\n")
        (data / "workers").mkdir()
        (data / "workers" / "Mine.py").write_text(WORKER)
        kept = SavedCommands(self.actions.store).keep("kept", {"command": COMMAND})
        self.values = {
            "job_id": self.job.id, "saved_id": kept.id, "name": "Mine", "filename": "page.css",
            ("path", "name"): "a.txt", ("verb",): "", ("key",): "",
        }  # fmt: skip
        self.tokens = {user: self._token(user) for user in (OPERATOR, VIEWER, ANOTHER)}

    def _token(self, user: tuple[str, str]) -> str:
        found = re.search(r'name="token" value="(\w+)"', self.client.get("/", auth=user).text)
        return found[1] if found else ""  # a viewer's page has no forms

    def addresses(self, rule: Rule) -> list[str]:
        """Return the addresses that try a rule of the application: one for each word that it has a choice of."""
        found = [str(rule)]
        for whole, converter, choices, name in re.findall(r"(<(?:(\w+)(?:\(([\w,]+)\))?:)?(\w+)>)", str(rule)):
            if choices:
                words = choices.split(",")
            elif converter == "path" and name == "name":
                words = ["a.txt"]
            else:
                words = [self.values[name]]  # a KeyError: say above what stands for it
            found = [address.replace(whole, word) for address in found for word in words]
        return found

    def ask(self, method: str, address: str, user: Any, headers: dict[str, str], **body: Any) -> TestResponse:
        """Send a request and read all of its answer."""
        with self.client.open(address, method=method, auth=user, headers=headers, **body) as answer:
            answer.get_data()
            return answer

    def everything(self) -> dict[str, tuple[int, bytes]]:
        """Return the kind, permissions and content of all there is, but for what is only remembered of workers' code."""
        found = everything_below(self.data)
        return {path: what for path, what in found.items() if not path.startswith(f"{self.data}/run/known")}


def everything_below(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return the kind, permissions and content of all that is in a folder; where links lead is their content."""
    found = {}
    for place, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(place, name)
            mode = path.lstat().st_mode
            content = os.fsencode(os.readlink(path)) if stat.S_ISLNK(mode) else b""
            found[str(path)] = (mode, path.read_bytes() if stat.S_ISREG(mode) else content)
    return found
