"""Behind a real nginx with the shipped deploy/nginx.conf: at the root, below a path, and what a client cannot fake."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from running_jobs.store import JobStore

from .conftest import Client, Nginx, Server, wait_for_end
from .forms import unsealed
from .page import Page

FORM = "application/x-www-form-urlencoded"


@pytest.fixture(params=["", "/jobs-ui"], ids=["root", "sub-path"])
def way(request: pytest.FixtureRequest, nginx: Nginx) -> tuple[Client, str]:
    """Give a client of nginx and the prefix below which it finds the page."""
    return (nginx.prefixed if request.param else nginx.root), request.param


def token_of(client: Client, prefix: str) -> str:
    """Return the token of the page below a prefix."""
    return client.get(f"{prefix}/").text.split('name="token" value="')[1].split('"')[0]


def post_form(client: Client, prefix: str, path: str, fields: dict[str, str], **headers: str) -> Any:
    """Post a form as a browser would."""
    body = urlencode({"token": token_of(client, prefix), **fields})
    return client.post(prefix + path, body, headers={"Content-Type": FORM, **headers})


def test_every_address_on_the_page_stays_below_the_prefix(
    way: tuple[Client, str], launch: Callable[..., Any], store: JobStore
) -> None:
    client, prefix = way
    job = wait_for_end(store, launch("touch $JOB_FILES/a.png; echo here").id)
    for tab in ("log", "files", "details"):
        html = client.get(f"{prefix}/?job={job.id}&tab={tab}").text
        addresses = re.findall(r'(?:href|src|action|data-follow)="([^"]*)"', html)
        assert len(addresses) > 20
        for address in addresses:
            assert address.startswith((f"{prefix}/", "#")), address
            if address.startswith(f"{prefix}/static/"):
                assert client.get(address).code == 200
    assert client.get(f"{prefix}/jobs/{job.id}/out").text == "here\n"
    assert client.get(f"{prefix}/jobs/{job.id}").json["data"][0]["status"] == "done"


def test_the_prefix_without_its_slash_leads_to_the_page(nginx: Nginx) -> None:
    answer = nginx.prefixed.get("/jobs-ui?status=done")
    assert (answer.code, answer.headers["Location"]) == (308, "/jobs-ui/?status=done")
    assert "<title>Running Jobs</title>" in nginx.prefixed.get("/jobs-ui/?status=done").text
    assert nginx.prefixed.get("/").code == 404


def test_a_form_comes_through_and_leads_back_below_the_prefix(way: tuple[Client, str], store: JobStore) -> None:
    client, prefix = way
    headers = {"Origin": client.url, "Sec-Fetch-Site": "same-origin"}
    answer = post_form(client, prefix, "/launch", {"cmd": "echo posted"}, **headers)
    assert answer.code == 303
    assert answer.headers["Location"].startswith(f"{prefix}/?")
    (job_id,) = store.ids()
    wait_for_end(store, job_id)
    assert client.get(f"{prefix}/jobs/{job_id}/out").text == "posted\n"
    # Older browsers send Origin alone: its port must be the one that the client used.
    assert post_form(client, prefix, f"/jobs/{job_id}/delete", {}, Origin=client.url).code == 303
    assert list(store.ids()) == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"},
    ],
    ids=str,
)
def test_a_form_of_another_site_is_refused(way: tuple[Client, str], store: JobStore, headers: dict[str, str]) -> None:
    client, prefix = way
    assert post_form(client, prefix, "/launch", {"cmd": "true"}, **headers).code == 403
    assert client.post(f"{prefix}/jobs", {"command": {"type": "exec", "cmd": "true"}}, headers=headers).code == 403
    assert list(store.ids()) == []


def test_a_get_changes_nothing(way: tuple[Client, str], launch: Callable[..., Any], store: JobStore) -> None:
    client, prefix = way
    job = launch("true", start=False)
    for path in ("launch?cmd=true", "jobs/add", "pause", *(f"jobs/{job.id}/{verb}" for verb in ("start", "delete"))):
        assert client.get(f"{prefix}/{path}").code in (404, 405)
    assert [store.get(job_id) for job_id in store.ids()] == [job]
    assert not store.is_paused


def test_what_a_client_says_of_itself_is_not_believed(nginx: Nginx) -> None:
    faked = {
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Port": "99",
        "X-Forwarded-Prefix": "/evil",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-For": "203.0.113.9",
    }
    for client, prefix in ((nginx.root, ""), (nginx.prefixed, "/jobs-ui")):
        html = client.get(f"{prefix}/", headers=faked).text
        assert "evil" not in html
        assert f'action="{prefix}/launch"' in html
        answer = post_form(client, prefix, "/pause", {}, Origin=client.url, **faked)
        assert (answer.code, unsealed(answer.headers["Location"])) == (303, f"{prefix}/?said=pause")


def test_wrong_passwords_are_counted_by_the_address_that_nginx_saw(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, data: Path
) -> None:
    monkeypatch.setenv("JOBS_USER", "ann")
    monkeypatch.setenv("JOBS_PASSWORD", "right")
    client = request.getfixturevalue("nginx").root
    codes = [
        client.get("/", auth="ann:wrong", headers={"X-Forwarded-For": f"203.0.113.{turn}"}).code for turn in range(7)
    ]
    assert codes == [401] * 5 + [429] * 2
    assert client.get("/", auth="ann:right").code == 200


def test_only_trusted_host_names_are_served(nginx: Nginx) -> None:
    port = nginx.root.url.rpartition(":")[2]
    assert nginx.root.get("/", headers={"Host": f"jobs.example.com:{port}"}).code == 200
    refused = nginx.root.get("/", headers={"Host": f"evil.example:{port}"})
    assert refused.code == 400
    assert "trusted_hosts" in refused.text
    assert nginx.root.get("/", headers={"Host": "evil.example", "X-Forwarded-Host": "jobs.example.com"}).code == 400


def test_a_log_is_sent_whole_in_ranges_and_as_it_grows(
    way: tuple[Client, str], launch: Callable[..., Any], store: JobStore
) -> None:
    client, prefix = way
    job = wait_for_end(store, launch("seq 1 300000; echo end").id)
    path = f"{prefix}/jobs/{job.id}/out"
    whole = client.get(path)
    assert len(whole.body) == int(whole.headers["Content-Length"]) > 1_900_000
    part = client.get(path, headers={"Range": "bytes=-4"})
    assert (part.code, part.text) == (206, "end\n")
    assert part.headers["Content-Range"].startswith(f"bytes {len(whole.body) - 4}-")
    answer = client.get(f"{path}?offset={len(whole.body) - 4}")
    assert (answer.text, answer.headers["X-Next-Offset"]) == ("end\n", str(len(whole.body)))


def test_a_growing_log_comes_through_while_the_job_runs(nginx: Nginx, tab: Any, launch: Callable[..., Any]) -> None:
    page = Page(tab, f"{nginx.prefixed.url}/jobs-ui").open("/")
    page.open("").launch("echo one; sleep 1.2; echo two; sleep 60", name="through nginx")
    assert page.browser.current_url.startswith(f"{page.url}/?")
    page.run("window.sameDocument = true")
    page.wait_text("#log", "two")
    page.wait_status("active")
    assert page.run("return window.sameDocument") is True
    page.press("Kill")
    assert page.message == "The job was killed."
    page.wait_status("stop")
    page.fill(cmd="echo kept", cwd="/does/not/exist")
    page.submit()
    assert page.value("#cmd") == "echo kept"
    assert all("400" in complaint for complaint in page.complaints())


def test_the_setting_url_prefix_does_without_the_header(start_server: Callable[..., Server], store: JobStore) -> None:
    server = start_server(JOBS_URL_PREFIX="/jobs-ui/")
    for path in ("/jobs-ui", "/jobs-ui/", "/"):
        html = server.get(path).text
        assert 'action="/jobs-ui/launch"' in html
        assert 'href="/jobs-ui/static/page.css"' in html
    answer = post_form(server, "/jobs-ui", "/launch", {"cmd": "true"}, Origin=server.url)
    assert answer.code == 303
    assert answer.headers["Location"].startswith("/jobs-ui/?")
    (job_id,) = store.ids()
    wait_for_end(store, job_id)
    assert server.get(f"/jobs-ui/jobs/{job_id}").code == 200
    assert server.get("/jobs-uix/").code == 404
