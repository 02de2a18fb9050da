"""The page's forms without a browser: posted in this process to an application that is not served."""

from __future__ import annotations

import html
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl

from werkzeug.test import Client, TestResponse

from running_jobs.job import Job
from running_jobs.settings import load_settings
from running_jobs.web.application import build_app
from running_jobs.web.auth import seal


class Forms:
    """The page of one application, asked in this process; nothing is served."""

    def __init__(self, data: Path) -> None:
        self.client: Client = build_app(load_settings(str(data))).test_client()

    def page(self, query: str = "") -> str:
        """Return the page's HTML."""
        answer = self.get(f"/?{query}")
        assert answer.code == 200
        return str(answer.body.decode())

    def get(self, path: str, **more: Any) -> SimpleNamespace:
        """Return an answer, read to its end: code, headers, body."""
        with self.client.get(path, **more) as answer:
            return SimpleNamespace(code=answer.status_code, headers=answer.headers, body=answer.data)

    def job(self, job: Job, more: str = "") -> str:
        """Return the page with a job chosen."""
        return self.page(f"job={job.id}{more}")

    def post(self, path: str, fields: dict[str, str], auth: tuple[str, str] | None = None) -> TestResponse:
        """Post a form with the page's token."""
        found = re.search(r'name="token" value="(\w+)"', self.client.get("/", auth=auth).text)
        token = found[1] if found else ""
        return self.client.post(path, data={"token": token, **fields}, auth=auth)

    def sealed(self, query: str) -> str:
        """Return an address's query with the seal with which the page would take its message for its own."""
        parts = self.client.application.extensions["running_jobs"]
        return f"{query}&seal={seal(parts, None, dict(parse_qsl(query)))}"

    def save(self, job: Job, fields: dict[str, str]) -> TestResponse:
        """Post the form that changes a job as a browser would: all it was shown with, but for some fields."""
        form = self.job(job).split('id="change-form"')[1].split("</form>")[0]
        shown = dict(re.findall(r'name="shown\.(\w+)" value="([^"]*)"', form))
        texts = {name: html.unescape(text) for name, text in shown.items()}
        assert texts.keys() >= fields.keys()
        return self.post(
            f"/jobs/{job.id}/set", {**{f"shown.{name}": text for name, text in texts.items()}, **texts, **fields}
        )


def unsealed(address: str) -> str:
    """Return where an answer leads, without the seal of the message that is shown there."""
    return re.sub(r"&seal=[0-9a-f]{32}$", "", address)


def alerts_of(page: str) -> str:
    return " ".join(html.unescape(found) for found in re.findall(r'role="alert">([^<]*)<', page) if "lost" not in found)
