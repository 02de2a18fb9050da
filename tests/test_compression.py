"""What is compressed on its way, and what is not."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from running_jobs.job import Job
from running_jobs.store import JobStore
from running_jobs.web import compression

from .conftest import PROJECT, LocalClient, Server, wait_for_end

ASKED = {"Accept-Encoding": "gzip, br"}


@pytest.mark.parametrize("path", ["/", "/static/page.css", "/static/live.js"])
def test_text_is_compressed_for_who_takes_it(server: Server, path: str) -> None:
    plain, packed = server.get(path), server.get(path, headers=ASKED)
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert len(packed.body) < len(plain.body)
    assert "Accept-Encoding" in plain.headers["Vary"]
    assert "Accept-Encoding" in packed.headers["Vary"]
    assert int(packed.headers["Content-Length"]) == len(packed.body)


def test_what_is_not_wanted_compressed_is_not(server: Server) -> None:
    for accepted in ("identity", "gzip;q=0", "br"):
        assert "Content-Encoding" not in server.get("/", headers={"Accept-Encoding": accepted}).headers


def test_logs_and_results_are_sent_as_they_are(server: Server, launch: Callable[..., Job], store: JobStore) -> None:
    job = launch('seq 1 5000; seq 1 5000 > "$JOB_FILES/numbers.txt"')
    wait_for_end(store, job.id)
    for path in (f"/jobs/{job.id}/out", f"/jobs/{job.id}/files/numbers.txt"):
        answer = server.get(path, headers=ASKED)
        assert "Content-Encoding" not in answer.headers
        assert answer.text == "".join(f"{number}\n" for number in range(1, 5001))


def test_a_browser_asks_again_for_a_compressed_file_and_hears_that_it_is_the_same(server: Server) -> None:
    first = server.get("/static/page.css", headers=ASKED)
    assert server.get("/static/page.css", headers={**ASKED, "If-None-Match": first.headers["ETag"]}).code == 304
    part = server.get("/static/page.css", headers={**ASKED, "Range": "bytes=0-9"})
    assert (part.code, part.body) == (206, (PROJECT / "static" / "page.css").read_bytes()[:10])


def test_a_file_that_was_changed_is_compressed_anew(tmp_path: Path) -> None:
    file = tmp_path / "x.css"
    file.write_text("old")
    assert gzip.decompress(compression._static_content(str(file), file.stat().st_mtime_ns)) == b"old"
    file.write_text("new")
    assert gzip.decompress(compression._static_content(str(file), file.stat().st_mtime_ns + 1)) == b"new"


def test_the_size_of_a_page_does_not_tell_what_is_in_it(local: LocalClient) -> None:
    sizes = {len(local.get("/", headers=ASKED).body) for _ in range(30)}
    assert len(sizes) > 5
