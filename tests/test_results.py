"""What a job left: listed, looked into, sent one by one and as one archive; nothing in it does harm."""

from __future__ import annotations

import contextlib
import html
import io
import os
import re
import socket
import subprocess
import wave
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from running_jobs.actions import Actions
from running_jobs.errors import InvalidJob
from running_jobs.job import Job
from running_jobs.store import JobStore
from running_jobs.web import listing
from running_jobs.web.archive import CHUNK, archive
from running_jobs.web.places import PATIENCE_BYTES, PATIENCE_S, Places

from .conftest import Server, require, wait_for
from .forms import Forms
from .page import Gate, Page
from .test_examples import EXAMPLES

MARKUP = "<img src=x onerror=\"document.title='taken'\">&'.txt"
TAKEN = "document.title = 'taken'; fetch('/taken')"


@pytest.fixture
def job(actions: Actions, store: JobStore) -> Job:
    """Give a job that does not run; its results folder is there and empty."""
    held = actions.submit({"command": {"type": "exec", "cmd": "true"}})
    os.makedirs(store.paths.results(held.id))
    return held


@pytest.fixture
def folder(job: Job, store: JobStore) -> Path:
    """Give the job's results folder."""
    return Path(store.paths.results(job.id))


@pytest.fixture
def shown(forms: Forms, job: Job) -> Callable[..., str]:
    """Give a function that returns what the Files tab shows, as HTML."""

    def show(**query: str) -> str:
        answer = forms.get("/", query_string={"job": job.id, "tab": "files", **query})
        assert answer.code == 200
        return str(answer.body.decode()).split('id="job-tab"')[1].split('<div class="column">')[0]

    return show


def lay(folder: Path, *names: str, first_s: int = 1_000_000_000) -> None:
    """Make files, each a second younger than the one before."""
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
        os.utime(path, (first_s + number, first_s + number))


def thumbnails(page: str) -> list[str]:
    """Return the names in the grid of pictures, in their order."""
    return re.findall(r'<span class="name">([^<]*)<', page)


def rows(page: str) -> list[str]:
    """Return the names in the table of other files, in their order."""
    table = page.partition('<table class="files">')[2].partition("</table>")[0]
    return [html.unescape(found) for found in re.findall(r'<th scope="row">(?:<a [^>]*>)?([^<]*)<', table)]


def links(page: str, label: str) -> list[dict[str, str]]:
    """Return the queries of the links that read so."""
    found = re.findall(rf'<a [^>]*href="/\?([^"]*)"[^>]*>{label}</a>', page)
    return [dict(pair.split("=") for pair in html.unescape(query).split("&")) for query in found]


# --- the list


def test_files_are_listed_newest_first_pictures_apart(shown: Callable[..., str], folder: Path) -> None:
    lay(folder, "a.png", "notes.txt", "deep/b.jpg", "c.csv")
    page = shown()
    assert thumbnails(page) == ["deep/b.jpg", "a.png"]
    assert rows(page) == ["c.csv", "notes.txt"]
    assert "4 files, 29 B" in page
    assert 'datetime="2001-09-09T01:46:43.000Z"' in page
    newest = page.partition('class="newest"')[2].partition("</figure>")[0]
    assert 'alt="The newest picture, deep/b.jpg"' in newest
    assert all(re.search(r'width="\d+" height="\d+"', image) for image in re.findall("<img [^>]*>", page))
    assert page.count('loading="lazy"') == 2


def test_ten_thousand_frames_are_listed_in_parts_that_stay_while_more_come(
    shown: Callable[..., str], folder: Path, forms: Forms, job: Job
) -> None:
    lay(folder, *(f"f{number:05}.png" for number in range(10_100)), "log.txt")
    page = shown()
    assert thumbnails(page) == [f"f{number:05}.png" for number in range(10_099, 10_051, -1)]
    assert rows(page) == ["log.txt"]
    assert "10101 files" in page
    assert "The 101 oldest are not listed; the archive has them." in page
    [older] = links(page, "Older")
    second = shown(pictures=older["pictures"])
    assert thumbnails(second) == [f"f{number:05}.png" for number in range(10_051, 10_003, -1)]
    assert 'class="newest"' not in second
    [newer] = links(second, "Newer")
    assert "pictures" not in newer
    head = forms.job(job).partition('class="pictures"')[2].partition("</ul>")[0]
    assert re.findall('alt="([^"]*)"', head) == [f"f{number:05}.png" for number in range(10_099, 10_093, -1)]


def test_a_part_of_the_list_stays_what_it_is_while_files_come_in(shown: Callable[..., str], folder: Path) -> None:
    lay(folder, *(f"{number:03}.txt" for number in range(150)))
    [older] = links(shown(), "Older")
    before = rows(shown(files=older["files"]))
    assert before == [f"{number:03}.txt" for number in range(49, -1, -1)]
    lay(folder, "new.txt", "newer.txt", first_s=1_100_000_000)
    assert rows(shown())[:2] == ["newer.txt", "new.txt"]
    assert rows(shown(files=older["files"])) == before


def test_a_part_that_is_not_there_any_more_is_no_error(shown: Callable[..., str], folder: Path) -> None:
    lay(folder, "a.txt", "b.txt")
    for cursor in ("0", "1", "99", "999999999999999", "-1", "x"):
        assert rows(shown(files=cursor)) in (["a.txt"], ["b.txt", "a.txt"])


def test_the_folder_is_walked_once_for_a_page(
    shown: Callable[..., str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay(folder, "a.png", "b.txt")
    walked = []
    walk = listing.Walk
    monkeypatch.setattr(listing, "Walk", lambda place: walked.append(place) or walk(place))
    shown()
    shown(file="a.png")
    assert walked == [str(folder)] * 2


def test_a_listing_that_took_long_is_kept_for_a_moment(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lay(folder, "a.txt")
    monkeypatch.setattr(listing, "SLOW_S", 0)
    monkeypatch.setattr(listing, "KEPT_FOR", 1e9)
    listings = listing.Listings()
    assert listings.of(str(folder)).total == 1
    lay(folder, "b.txt")
    assert listings.of(str(folder)).total == 1
    for number in range(listing.KEPT):
        listings.of(str(tmp_path / f"{number}"))
    assert listings.of(str(folder)).total == 2


def test_more_files_than_are_looked_at_are_said_to_be_more(
    shown: Callable[..., str], folder: Path, forms: Forms, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay(folder, *(f"{number}.txt" for number in range(6)))
    monkeypatch.setattr(listing, "MAX_LOOKED_AT", 5)
    page = shown()
    assert "5 or more files" in page
    assert "files.zip" not in page
    answer = forms.get(f"/jobs/{job.id}/files.zip")
    assert (answer.code, b"for one archive" in answer.body) == (400, True)


def test_a_folder_of_more_folders_than_are_looked_at_is_not_called_empty(
    shown: Callable[..., str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        (folder / str(number)).mkdir()
    assert "No files." in shown()
    monkeypatch.setattr(listing, "MAX_LOOKED_AT", 2)
    assert "0 or more files" in shown()


def test_folders_and_links_count_among_what_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        (tmp_path / f"deep/{number}").mkdir(parents=True)
    (tmp_path / "link").symlink_to("/etc")
    os.mkfifo(tmp_path / "fifo")
    lay(tmp_path, "a.txt", "deep/2/b.txt")  # eight entries
    for bound, total in ((8, 2), (7, 1), (3, None), (0, 0)):  # of three, which ones is the file system's choice
        monkeypatch.setattr(listing, "MAX_LOOKED_AT", bound)
        listed = listing.list_files(str(tmp_path))
        assert total is None or listed.total == total
        assert listed.is_whole == (bound == 8)
    with pytest.raises(InvalidJob):
        list(archive(str(tmp_path), "top"))


def test_a_large_picture_is_not_loaded_by_itself(
    shown: Callable[..., str], folder: Path, forms: Forms, job: Job
) -> None:
    lay(folder, "large.png")
    os.truncate(folder / "large.png", 20_000_001)
    for page in (shown(), shown(file="large.png"), forms.job(job)):
        assert "<img" not in page
    assert "20.0 MB" in shown()
    assert f'href="/jobs/{job.id}/files/large.png?at=' in shown(file="large.png")


# --- one file


def test_a_text_is_shown_escaped_with_what_is_no_utf_8_replaced(shown: Callable[..., str], folder: Path) -> None:
    (folder / "a.txt").write_bytes(b"<script>x</script> \xff gr\xc3\xbcn " + b"and so on " * 10)
    page = shown(file="a.txt")
    assert "&lt;script&gt;x&lt;/script&gt; \ufffd grün" in page
    assert "<script>x" not in page


def test_of_a_long_text_the_first_and_the_last_part_are_shown(shown: Callable[..., str], folder: Path) -> None:
    (folder / "a.log").write_text("".join(f"line {number} ü\n" for number in range(200_000)))
    page = shown(file="a.log")
    first, last = (html.unescape(found) for found in re.findall(r'<pre class="excerpt"[^>]*>\n([^<]*)</pre>', page))
    assert first.startswith("line 0 ü\nline 1 ü\n")
    assert last.endswith("line 199998 ü\nline 199999 ü\n")
    assert 60_000 < len((first + last).encode()) <= 64 << 10
    assert "\ufffd" not in first + last
    assert re.search("[0-9.]+ MB are left out here", page)


def test_a_line_without_end_is_shown_too(shown: Callable[..., str], folder: Path) -> None:
    (folder / "a.txt").write_bytes(b"x" * 5_000_000)
    assert len(shown(file="a.txt")) < 80_000


def test_a_table_is_a_table(shown: Callable[..., str], folder: Path) -> None:
    lines = [
        "name,value",
        '"a ""quoted"", cell",<b>1</b>',
        "short",
        *(f"row {number},{number}" for number in range(60)),
    ]
    (folder / "a.csv").write_text("\r\n".join(lines))
    page = shown(file="a.csv")
    assert '<th scope="col">name</th><th scope="col">value</th>' in page
    assert "<td>a &#34;quoted&#34;, cell</td><td>&lt;b&gt;1&lt;/b&gt;</td>" in page
    assert "<tr><td>short</td><td></td></tr>" in page
    assert page.count("<tr>") == 51
    assert "The first 50 rows" in page


@pytest.mark.parametrize(("name", "sign"), [("a.tsv", "\t"), ("a.csv", ";"), ("a.csv", "\t")])
def test_other_signs_part_cells_too(shown: Callable[..., str], folder: Path, name: str, sign: str) -> None:
    (folder / name).write_text(f"x{sign}y, z\n1{sign}2,5\n")
    assert '<th scope="col">x</th><th scope="col">y, z</th>' in shown(file=name)


def test_a_wide_table_is_cut(shown: Callable[..., str], folder: Path) -> None:
    (folder / "a.csv").write_text(",".join(f"c{number}" for number in range(45)) + "\n" + "x" * 5000 + "\n")
    page = shown(file="a.csv")
    assert page.count('scope="col"') == 20
    assert "20 of 45 columns" in page
    assert "x" * 200 + "…" in page


@pytest.mark.parametrize("content", [b'a,b\n"never closed,1\n', b'a,b\n"x"y,1\n', b'"' + b"x" * 70_000, b"\n"])
def test_a_broken_table_is_shown_as_text(shown: Callable[..., str], folder: Path, content: bytes) -> None:
    (folder / "a.csv").write_bytes(content)
    page = shown(file="a.csv")
    assert "<table" not in page
    assert '<pre class="excerpt"' in page


def test_json_is_indented_unless_it_is_none(shown: Callable[..., str], folder: Path) -> None:
    (folder / "a.json").write_text('{"loss":[1,2],"ü":"<b>"}')
    assert '{\n  "loss": [\n    1,' in html.unescape(shown(file="a.json"))
    assert "&lt;b&gt;" in shown(file="a.json")
    for text in ("{not json", "[" * 20_000, '{"a": 1}\n' * 20_000):
        (folder / "a.json").write_text(text)
        assert text[:100] in html.unescape(shown(file="a.json"))


def test_json_that_would_be_too_long_or_cannot_be_sent_is_shown_as_it_is(
    shown: Callable[..., str], folder: Path
) -> None:
    nested = "[" * 900 + ",".join("1" * 31_000) + "]" * 900
    for text in (nested, '{"a":"\\ud800"}'):
        (folder / "a.json").write_text(text)
        page = html.unescape(shown(file="a.json"))
        assert text in page
        assert len(page) < 80_000


@pytest.mark.parametrize("content", [b"\x7fELF\0\0\1", bytes(range(128, 256)) * 10])
def test_what_is_no_text_can_be_downloaded(shown: Callable[..., str], folder: Path, content: bytes) -> None:
    for name in ("model", "a.csv", "a.txt"):
        (folder / name).write_bytes(content)
        page = shown(file=name)
        assert "It can be downloaded." in page
        assert "<pre" not in page
        assert f"/files/{name}?download=1" in page


@pytest.mark.parametrize(
    ("name", "tag"), [("a.mp4", "video"), ("A.WEBM", "video"), ("a.wav", "audio"), ("a.flac", "audio")]
)
def test_video_and_sound_are_played(
    shown: Callable[..., str], folder: Path, forms: Forms, job: Job, name: str, tag: str
) -> None:
    lay(folder, name)
    assert f'controls preload="metadata" src="/jobs/{job.id}/files/{name}"' in shown(file=name).partition(f"<{tag} ")[2]
    assert "media-src 'self'" in forms.get("/").headers["Content-Security-Policy"]
    part = forms.get(f"/jobs/{job.id}/files/{name}", headers={"Range": "bytes=1-2"})
    assert (part.code, part.body, part.headers["Content-Type"].split("/")[0]) == (206, name[1:3].encode(), tag)


def test_each_file_leads_to_those_before_and_after_it(shown: Callable[..., str], folder: Path) -> None:
    lay(folder, "1.png", "a.txt", "2.png", "b.txt", "3.png")
    page = shown(file="2.png")
    assert [links(page, label)[0]["file"] for label in ("Previous", "Next")] == ["1.png", "3.png"]
    assert "2 of 3" in page
    assert (links(shown(file="1.png"), "Previous"), links(shown(file="3.png"), "Next")) == ([], [])
    assert links(shown(file="a.txt"), "Next")[0]["file"] == "b.txt"
    assert links(shown(file="a.txt"), "×") == [{"job": links(page, "×")[0]["job"], "tab": "files"}]


def test_what_is_no_file_in_there_is_said_to_be_none(shown: Callable[..., str], folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("geheim")
    (folder / "link.txt").symlink_to(tmp_path / "secret")
    (folder / "linked").symlink_to(tmp_path)
    os.mkfifo(folder / "fifo.txt")
    (folder / "sub").mkdir()
    names = (
        "gone.txt",
        "link.txt",
        "linked/secret",
        "fifo.txt",
        "sub",
        "../secret",
        "/etc/passwd",
        "a" * 300,
        ".",
        "a\0b",
    )
    for name in (*names, "x/" * 5000 + "y", "<b>.png"):
        page = shown(file=name)
        assert "There is no such file." in page, name
        assert "geheim" not in page
        assert "<b>.png" not in page


def test_odd_names_do_nothing(shown: Callable[..., str], folder: Path, forms: Forms, job: Job) -> None:
    deep = "/".join(["deep"] * 30) + "/file.txt"
    names = [
        MARKUP,
        "quo\"te'.txt",
        "-rf.txt",
        "..txt",
        "... .txt",
        "a b+c%20d#e?f.txt",
        "ü\u202fx.txt",
        "x" * 251 + ".txt",
        deep,
    ]
    lay(folder, *names)
    page = shown()
    assert rows(page) == names[::-1]
    for name in names:
        assert f"{html.escape(name).replace('&quot;', '&#34;').replace('&#x27;', '&#39;')}</h3>" in shown(file=name), (
            name
        )
    for address in re.findall(r'href="(/jobs/[^"]*download=1)"', "".join(shown(file=name) for name in names)):
        answer = forms.get(html.unescape(address))
        assert answer.code == 200
        assert answer.body.decode() in names
        assert "\n" not in answer.headers["Content-Disposition"]


def test_names_that_no_address_holds_are_shown_and_only_in_the_archive(shown: Callable[..., str], folder: Path) -> None:
    lay(folder, "line\nend.txt", "bell\x07.png")
    (folder / "turned\u202egnp.txt").write_text("")
    with open(os.fsencode(folder) + b"/\xff.txt", "w"):
        pass
    page = shown()
    assert "line\\nend.txt <small>only in the archive" in page
    assert "bell\\x07.png <small>" in page
    assert "\ufffd.txt <small>" in page
    assert "turned\\x202egnp.txt</a>" in page


# --- sending


def test_what_could_run_in_a_page_is_only_ever_saved(folder: Path, forms: Forms, job: Job) -> None:
    lay(folder, "a.html", "a.svg", "a.pdf", "a.xhtml", "a.xml", "a.js", "a", "a.png", "a.txt")
    for name in os.listdir(folder):
        answer = forms.get(f"/jobs/{job.id}/files/{name}")
        assert "sandbox" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert ("attachment" in answer.headers.get("Content-Disposition", "")) == (name not in ("a.png", "a.txt"))


def unpacked(content: bytes) -> zipfile.ZipFile:
    found = zipfile.ZipFile(io.BytesIO(content))
    assert found.testzip() is None
    return found


def test_one_archive_has_all_files_with_their_times(folder: Path, forms: Forms, job: Job, tmp_path: Path) -> None:
    lay(folder, "a.txt", "deep/er/b.png", "empty", "line\nend")
    (folder / "empty").write_bytes(b"")
    (folder / "a.txt").write_text("again and again\n" * 100_000)
    os.utime(folder / "a.txt", (1_000_000_000, 1_000_000_000))
    (folder / "link").symlink_to("/etc/passwd")
    (folder / "linked").symlink_to("/etc")
    os.mkfifo(folder / "fifo")
    answer = forms.get(f"/jobs/{job.id}/files.zip")
    assert answer.headers["Content-Type"] == "application/zip"
    assert f'attachment; filename="job-{job.id}.zip"' in answer.headers["Content-Disposition"]
    assert len(answer.body) < 100_000
    found = unpacked(answer.body)
    top = f"job-{job.id}"
    assert found.namelist() == [f"{top}/{name}" for name in ("a.txt", "empty", "line\nend", "deep/er/b.png")]
    (tmp_path / "all.zip").write_bytes(answer.body)
    require("unzip")
    subprocess.run(["unzip", "-q", "all.zip"], cwd=tmp_path, check=True)
    assert (tmp_path / top / "a.txt").read_text() == "again and again\n" * 100_000
    assert (tmp_path / top / "a.txt").stat().st_mtime == 1_000_000_000
    assert (tmp_path / top / "deep" / "er" / "b.png").read_bytes() == b"deep/er/b.png"


def test_names_in_an_archive_lead_nowhere_else(folder: Path, forms: Forms, job: Job) -> None:
    lay(folder, "..\\..\\evil.txt", "C:\\x", "-rf", MARKUP)
    for name in (b"\xfe.txt", b"\xff.txt"):
        with open(os.fsencode(folder) + b"/" + name, "w"):
            pass
    names = unpacked(forms.get(f"/jobs/{job.id}/files.zip").body).namelist()
    assert len(names) == len(set(names)) == 6
    assert all(name.startswith(f"job-{job.id}/") and "\\" not in name and "/../" not in name for name in names)


def test_names_that_read_alike_are_told_apart_without_trying_all_before(tmp_path: Path) -> None:
    for number in range(600):
        with open(os.fsencode(tmp_path) + bytes((47, 0x80 + number % 60, 0x80 + number // 60)), "w"):
            pass
    (tmp_path / "\ufffd\ufffd_2").touch()
    names = unpacked(b"".join(archive(str(tmp_path), "top"))).namelist()
    assert len(set(names)) == 601
    assert max(map(len, names)) == len("top/??_2_601") - 2


def test_files_that_change_or_vanish_meanwhile_do_not_break_an_archive(tmp_path: Path) -> None:
    for name in ("1", "2", "3", "4", "5"):
        (tmp_path / name).write_bytes(b"x" * 300_000)
    sent = archive(str(tmp_path), "top")
    parts = [next(sent)]
    (tmp_path / "2").unlink()
    (tmp_path / "3").write_bytes(b"short")
    with (tmp_path / "1").open("ab") as growing:
        growing.write(b"y" * 1_000_000)
    (tmp_path / "5").unlink()
    (tmp_path / "5").symlink_to("/etc/passwd")
    found = unpacked(b"".join([*parts, *sent]))
    assert {entry.filename: entry.file_size for entry in found.infolist()} == {
        "top/1": 300_000,
        "top/3": 5,
        "top/4": 300_000,
    }


def test_a_file_that_was_large_when_it_was_opened_has_sizes_of_64_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"x" * 1000)
    monkeypatch.setattr("running_jobs.web.archive.LARGE", 1000)
    content = b"".join(archive(str(tmp_path), "top"))
    assert b"\x01\x00\x10\x00" in content[: 30 + len("top/a") + 9 + 20]
    assert unpacked(content).read("top/a") == b"x" * 1000


def test_an_archive_without_files_is_empty(folder: Path, forms: Forms, job: Job) -> None:
    assert unpacked(forms.get(f"/jobs/{job.id}/files.zip").body).namelist() == []
    assert forms.get("/jobs/20000101-000000-000000/files.zip").code == 404


@contextlib.contextmanager
def slow_client(server: Server, path: str) -> Iterator[socket.socket]:
    """Ask for something and read only its beginning."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.port))
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert client.recv(12) == b"HTTP/1.1 200"
        yield client


def test_two_archives_are_sent_at_once_in_little_memory_while_others_are_served(
    server: Server, folder: Path, job: Job
) -> None:
    for name in ("a", "b"):
        (folder / name).touch()
        os.truncate(folder / name, 300_000_000)
    process = psutil.Process(server.process.pid)
    server.get(f"/?job={job.id}&tab=files")
    before = process.memory_info().rss
    path = f"/jobs/{job.id}/files.zip"
    with slow_client(server, path), slow_client(server, path):
        busy = server.get(path)
        assert (busy.code, busy.json["message"]) == (503, "Two archives are being sent already. Try again soon.")
        assert server.get("/health").code == 200
    wait_for(lambda: server.request("HEAD", path).code == 200, "a place that somebody left")
    assert server.request("HEAD", path).code == server.request("HEAD", path).code == 200, "HEAD keeps no place"
    taken = wait_for(lambda: (answer := server.get(path)).code == 200 and answer, "both places")
    assert len(taken.body) > 600_000_000
    assert process.memory_info().rss - before < 60_000_000, "the server queues up to 16 MB for each"


class Clock:
    """A clock that stands until it is moved on."""

    def __init__(self) -> None:
        self.at_s = 0.0

    def now_s(self) -> float:
        return self.at_s


def test_who_hardly_reads_loses_the_place_to_the_next(folder: Path, forms: Forms, job: Job) -> None:
    (folder / "a").touch()
    os.truncate(folder / "a", 1_000_000)
    clock = Clock()
    places = forms.client.application.extensions["running_jobs"].archive_places = Places(clock.now_s)
    hung_up: list[int] = []

    def ask(number: int = 0) -> Any:
        answer = forms.client.get(f"/jobs/{job.id}/files.zip", buffered=False)
        if answer.status_code == 200:
            next(place for place in places.held if place.hang_up is None).hang_up = lambda: hung_up.append(number)
        return answer

    stalled, reading = ask(1), ask(2)
    stalled_parts, parts = iter(stalled.response), iter(reading.response)
    next(stalled_parts), next(parts)  # made before the answers began
    clock.at_s = PATIENCE_S
    assert ask().status_code == 503
    for _ in range(PATIENCE_BYTES // CHUNK):
        next(parts)
    next(stalled_parts)  # a little now and then is not enough
    clock.at_s += 1
    third = ask(3)
    assert third.status_code == 200
    assert hung_up == [1]
    assert ask().status_code == 503, "the one that reads keeps its place"
    with pytest.raises(ConnectionAbortedError):
        next(stalled_parts)
    stalled.close()
    assert ask().status_code == 503, "a place that is lost is not left as well"
    assert len(b"".join(parts)) > 600_000, "all that was left"
    reading.close()
    assert ask().status_code == 200
    third.close()


def test_what_it_takes_to_make_a_part_is_not_the_clients() -> None:
    clock = Clock()
    places = Places(clock.now_s)
    first, second = places.take(lambda: None), places.take(lambda: None)
    assert first is not None
    assert second is not None
    first.hand(CHUNK)
    first.taken()
    clock.at_s += 10 * PATIENCE_S
    assert places.take(lambda: None) is None
    first.hand(CHUNK)
    clock.at_s += PATIENCE_S + 1
    assert places.take(lambda: None) is not None


# --- in a browser


@pytest.fixture
def page(server: Server, tab: Any) -> Page:
    """Give the page in a browser."""
    return Page(tab, server.url).open()


def test_the_frames_of_an_animation_appear_by_themselves_with_the_newest_large(page: Page, tmp_path: Path) -> None:
    require("povray")
    gate = Gate(tmp_path)
    render = f"sh {EXAMPLES}/render.sh"
    job_id = page.launch(f"{render} 1 64 48; {gate.wait}; {render} 4 64 48", name="animation")
    page.tab("Files")
    widths = "return [...document.querySelectorAll(arguments[0])].map((picture) => picture.naturalWidth)"
    wait_for(lambda: page.run(widths, ".newest img") == [64], "the first frame")
    page.run("document.querySelector('.newest img').kept = 'same'")
    gate.open()
    page.wait_text(".newest figcaption", "frame-0004.png", timeout_s=60)
    wait_for(lambda: page.run(widths, ".thumbnails img") == [64] * 4, "four thumbnails")
    assert not page.shows(".pictures"), "the head does not show once more what the tab shows"
    assert page.run("return document.querySelector('.newest img').kept") == "same", "it was exchanged in place"
    assert "frame-0004" in page.run("return document.querySelector('.newest img').currentSrc")
    page.tab("Output")
    wait_for(lambda: page.run(widths, ".pictures img") == [64] * 4, "four pictures in the head")
    page.tab("Files")
    page.follow(".thumbnails a", "frame-0002.png")
    assert page.text(".preview h3") == "frame-0002.png"
    page.follow(".preview a", "Next")
    assert page.text(".preview h3") == "frame-0003.png"
    wait_for(lambda: page.run(widths, ".preview img") == [64], "the picture")
    page.follow(".preview .close")
    assert page.shows(".newest")
    assert page.job_id == job_id


def test_a_drawing_with_a_script_in_it_is_drawn_and_runs_nothing(
    page: Page, server: Server, folder: Path, job: Job
) -> None:
    (folder / "a.svg").write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="30" onload="{TAKEN}">'
        f'<rect width="40" height="30" style="fill: red"/><script>{TAKEN}</script></svg>'
    )
    (folder / "a.html").write_text(f"<script>{TAKEN}</script>")
    (folder / MARKUP).write_text(f"<script>{TAKEN}</script>")
    page.open(f"/?job={job.id}&tab=files&file=a.svg")
    width = "return document.querySelector('.preview img').naturalWidth"
    wait_for(lambda: page.run(width) == 40, "the drawing")
    red = """
      const canvas = document.createElement("canvas");
      canvas.getContext("2d").drawImage(document.querySelector(".preview img"), 0, 0);
      return [...canvas.getContext("2d").getImageData(5, 5, 1, 1).data];
    """
    assert page.run(red) == [255, 0, 0, 255]
    for query in ("", "&file=a.html", f"&file={MARKUP.replace('&', '%26')}"):
        page.open(f"/?job={job.id}&tab=files{query}")
        assert page.browser.title.endswith("Running Jobs")
    for name in ("a.svg", "a.html"):
        page.browser.get(f"{server.url}/jobs/{job.id}/files/{name}")  # it is saved: the page stays
        assert page.browser.title.endswith("Running Jobs")
    assert "taken" not in server.log.read_text()


def test_sound_is_played_in_the_page(page: Page, folder: Path, job: Job) -> None:
    with wave.open(str(folder / "a tone.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(24_000))
    page.open(f"/?job={job.id}&tab=files&file=a+tone.wav")
    wait_for(lambda: page.run("return document.querySelector('audio').duration") == 1.5, "the sound's length")
