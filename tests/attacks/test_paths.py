"""Ids and names that lead elsewhere, in every spelling; and links that lie where files of ours should."""

from __future__ import annotations

import io
import os
import re
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest

from running_jobs import folders
from running_jobs.settings import load_settings
from running_jobs.web.application import build_app
from running_jobs.web.listing import Walk

from ..conftest import Server, wait_for
from . import raw
from .house import OPERATOR, WORKER, House, everything_below

SECRET = "geheim"
UP = ("../config.toml", "../../outside.txt", "../../../../../../../../etc/passwd", "../secret", "../run/lock")
STRAIGHT = (
    "/etc/passwd",
    "//etc/passwd",
    "config.toml",
    "secret",
    "run/lock",
    ".",
    "..",
    "~root",
    "-rf",
    "$HOME",
    "%",
    "%zz",
    "",
)


def spellings(path: str) -> list[str]:
    """Return a path as it may be written in an address."""
    dots, whole = path.replace("..", "%2e%2e"), path.replace("..", "%2e%2e").replace("/", "%2f")
    return [
        path, dots, path.replace("/", "%2f"), whole, whole.upper().replace("%2E", "%2e"), whole.replace("%", "%25"),
        whole.replace("%", "%2525"), path.replace("..", "%c0%ae%c0%ae").replace("/", "%c0%af"), path.replace("..", "%e0%80%ae%e0%80%ae"),
        path.replace("/", "\\"), path.replace("/", "%5c"), path.replace("..", "..;"), path.replace("../", "....//"),
        path.replace("..", "%u002e%u002e"), path.replace("..", ".%00."), f"{whole}%00", f"{whole}%00.txt", f"{whole}%0a", f"{whole}%20", f"{whole}.",
        quote(path.replace("..", "‥")), quote(path.replace("..", "．．")), quote(path.replace("/", "∕")), quote(path.replace("/", "／")),
        f"a.txt%2f{whole}", f".%2f{whole}", f"%2f{whole}", f"%09{whole}",
    ]  # fmt: skip


ATTEMPTS = sorted(
    {spelling for path in UP for spelling in spellings(path)}
    | {spelling for path in STRAIGHT for spelling in (path, quote(path, safe=""))}
    | {"../" * 3000 + "etc/passwd", "%2e%2e%2f" * 3000 + "etc%2fpasswd", "a" * 20_000, "%ff" * 300, "a/" * 5000 + "a", "🙂".encode().hex()}
)  # fmt: skip


@pytest.fixture
def house(data: Path) -> House:
    """Give everything of a house, secrets beside it."""
    house = House(data, f"# {SECRET}")
    (data.parent / "outside.txt").write_text(SECRET)
    (data / "secret").write_text(SECRET * 10)
    (data / "run" / "lock").write_text(SECRET)
    return house


def kept(house: House) -> dict[str, tuple[int, bytes]]:
    """Return all that a directory holds but for what its dispatcher needs while it lives."""
    return {path: what for path, what in house.everything().items() if "/run/" not in path}


def addresses(house: House) -> Iterator[tuple[str, str, str]]:
    """Return method, address and attempt: each part of each route in every spelling."""
    for rule in house.app.url_map.iter_rules():
        parts = re.findall(r"<(?:path:)?(\w+)>", str(rule))
        for tried in parts:
            address = re.sub(r"<any\((\w+)[^>]*>", r"\1", str(rule))
            for part in parts:
                if part != tried:
                    address = re.sub(rf"<(path:)?{part}>", house.values[part], address)
            before, _, after = re.sub(rf"<(path:)?{tried}>", "\0", address).partition("\0")
            for attempt in ATTEMPTS if tried in ("job_id", "name", "filename") else ATTEMPTS[::5]:
                for method in sorted((rule.methods or set()) - {"OPTIONS", "HEAD"}):
                    yield method, f"{before}{attempt}{after}", attempt


def check_refused(answer: SimpleNamespace, method: str, target: str) -> None:
    """See that an answer is a refusal, and tells nothing."""
    assert answer.code in (308, 400, 403, 404, 405, 414, 431), (answer.code, method, target[:200])
    for told in (SECRET.encode(), b"root:", b"Traceback"):
        assert told not in answer.body, (method, target[:200])
    assert SECRET not in str(answer.head), target[:200]


def test_no_spelling_of_an_address_leads_out(
    house: House, start_server: Callable[..., Server], caplog: pytest.LogCaptureFixture
) -> None:
    (house.data / "config.toml").write_text(f"# {SECRET}\n")  # no guard: nothing else refuses
    app = build_app(load_settings(str(house.data)))
    before, asked = kept(house), 0
    for method, target, _ in addresses(house):
        check_refused(raw.get_here(app, target.encode(), method.encode()), method, target)
        asked += 1
    assert kept(house) == before
    assert asked > 2000
    assert not [record for record in caplog.records if record.exc_info]
    server = start_server()
    for method, target, attempt in addresses(house):
        if method == "GET" and target in (
            f"/static/{attempt}",
            f"/jobs/{attempt}",
            f"/jobs/{house.job.id}/files/{attempt}",
        ):
            check_refused(raw.get(server.port, target.encode()), method, target)
            asked += 1
    assert asked > 2400
    assert kept(house) == before
    assert "Traceback" not in server.log.read_text()


def test_no_spelling_in_a_query_leads_out(house: House) -> None:
    names = (
        "job",
        "file",
        "tab",
        "of",
        "code",
        "like",
        "kept",
        "run",
        "before",
        "files",
        "pictures",
        "at",
        "upto",
        "find",
        "q",
        "context",
        "back",
    )
    for attempt in ATTEMPTS:
        if len(attempt) > 15_000:
            continue
        for query in (
            f"job={house.job.id}&tab=files&file={attempt}",
            "&".join(f"{name}={attempt[:400]}" for name in names),
        ):
            answer = house.ask("GET", f"/?{query}", OPERATOR, {})
            assert answer.status_code == 200, query
            assert SECRET not in answer.text, query
            assert "root:" not in answer.text, query
            assert "There is no such file" in answer.text or not attempt or "&context=" in query, query


NAMES = [*UP, *STRAIGHT, "..\\config", "a/b", "a.b", "a\0b", "a\nb", "a" * 300, "ｎame/", "‥/x", "Ｍine", "Mine.py", " Mine", "__init__"]  # fmt: skip


def test_no_name_in_a_body_leads_out(house: House) -> None:
    before = everything_below(house.data.parent)
    for name in NAMES:
        send_name(house, name)
        assert everything_below(house.data.parent) == before, name


def send_name(house: House, name: str) -> None:
    """Send a name in every place of a body where one is taken; see that it is refused."""
    code = WORKER.replace("Mine", name)
    bodies = [
        {"worker": name, "parameters": {}}, {"command": {"type": "worker", "name": name, "parameters": {}}},
        {"command": {"type": "approved", "name": name, "parameters": {}}},
        {"command": {"type": "method", "class": name, "method": "run", "params": []}},
        {"command": {"type": "method", "class": f"os.{name}", "method": name, "params": []}},
        {"command": {"type": "exec", "cmd": "true"}, "after": [name]}, {"command": {"type": name, "cmd": "true"}},
        {"command": {"type": "exec", "cmd": "true"}, "id": name}, {"command": {"type": "exec", "cmd": "true"}, "executor": name},
    ]  # fmt: skip
    for body in bodies:
        answer = house.client.post("/jobs", json=body, auth=OPERATOR)
        assert answer.status_code in (400, 403, 404), body
        assert SECRET not in answer.text
    token = {"token": house.tokens[OPERATOR]}
    for path, form in (
        ("/workers/save", {"name": name, "code": code, "new": "1"}), ("/launch", {"worker": name}), ("/launch", {"approved": name}),
        ("/launch", {"class": name, "method": "run"}), ("/launch", {"cmd": "true", "after": name or "x"}),
        ("/selected", {"verb": "delete", "sure": "1", "id": name}), ("/selected", {"verb": name, "id": house.job.id}),
    ):  # fmt: skip
        answer = house.client.post(path, data={**token, **form}, auth=OPERATOR)
        assert answer.status_code in (400, 403, 404), (path, form)
        assert SECRET not in answer.text


# --- links


def of_a_job(house: House) -> list[str]:
    """Return where the files of the house's job and of the directory are; links in their places are not followed."""
    paths, job_id = house.actions.store.paths, house.job.id
    return [
        paths.json(job_id), paths.out(job_id), paths.err(job_id), paths.response(job_id), paths.stats(job_id), paths.code(job_id),
        paths.results(job_id), f"{paths.results(job_id)}/a.txt", paths.unfinished(job_id), paths.marker(job_id), paths.awaited(job_id),
        paths.journal, paths.errors, paths.secret, paths.paused, f"{paths.saved}/{house.values['saved_id']}.json",
        f"{paths.workers}/Mine.py", f"{paths.workers}/New.py", paths.boot_id, paths.wake, f"{paths.data}/.secret.new",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["file", "nowhere"])
def test_a_link_in_place_of_a_file_is_neither_shown_nor_written_through(
    data: Path, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_processes(*_: Any, **__: Any) -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "posix_spawn", no_processes)  # nothing else works on these directories
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept.txt").write_text(SECRET)
    (outside / "record.json").write_text(f'{{"name": "{SECRET}", "id": 3}}')
    targets = {
        "file": outside / "record.json",
        "folder": outside,
        "nowhere": outside / "none",
        "device": Path("/dev/zero"),
    }
    before = everything_below(outside)
    for number in range(21):
        directory = tmp_path / f"data{number}"
        directory.mkdir()
        house = House(directory)
        path = of_a_job(house)[number]
        if os.path.lexists(path):
            os.rename(path, tmp_path / f"aside{number}")
        Path(path).parent.mkdir(exist_ok=True)
        os.symlink(targets[kind], path)
        for rule in house.app.url_map.iter_rules() if kind == "file" else ():
            if "GET" in (rule.methods or ()) and rule.endpoint not in ("static", "workers.list_workers"):
                for address in house.addresses(rule):
                    if address == "/workers/Mine" and "/workers/" not in path:
                        continue  # it starts an interpreter
                    assert SECRET.encode() not in house.ask("GET", address, OPERATOR, {}).data, (path, address)
        for method, address, body in (
            ("POST", f"/jobs/{house.job.id}/log", b"written"), ("POST", f"/jobs/{house.job.id}/response", b"written"),
            ("PATCH", f"/jobs/{house.job.id}", b'{"name": "changed"}'), ("PUT", "/workers/New", WORKER.replace("Mine", "New").encode()),
            ("PUT", "/workers/Mine", WORKER.encode() + b"#"), ("POST", "/jobs", b'{"command": {"type": "exec", "cmd": "true"}}'),
            ("DELETE", "/workers/New", b""), ("DELETE", f"/jobs/{house.job.id}", b""),
        ):  # fmt: skip
            if "/workers/" in address and "/workers/" not in path:
                continue  # it starts an interpreter
            answer = house.ask(method, address, OPERATOR, {}, data=body)
            assert SECRET.encode() not in answer.data, (path, address)
        assert everything_below(outside) == before, path
    assert number == len(of_a_job(house)) - 1
    assert os.path.exists("/dev/zero")


def results_of(house: House) -> Path:
    """Return the job's results folder."""
    return Path(house.actions.store.paths.results(house.job.id))


@pytest.fixture
def odd(house: House, tmp_path: Path) -> Iterator[list[str]]:
    """Lay into the results what is no file: links of all kinds, a FIFO, a socket, devices. Give their names."""
    folder, outside = results_of(house), tmp_path / "beside"
    outside.mkdir()
    (outside / "kept.txt").write_text(SECRET)
    for name, target in {
        "to_file.txt": outside / "kept.txt", "to_folder": outside, "to_itself": folder / "to_itself", "to_root": Path("/"),
        "to_device.txt": Path("/dev/zero"), "to_proc.txt": Path("/proc/self/environ"), "to_config.txt": house.data / "config.toml",
        "up": Path(".."), "to_link.txt": folder / "to_file.txt", "to_fd.txt": Path("/dev/fd/0"),
    }.items():  # fmt: skip
        (folder / name).symlink_to(target)
    os.mkfifo(folder / "fifo.txt")
    listening = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(folder)  # the path of a socket is short
    listening.bind("socket.txt")
    os.chdir(here)
    names = sorted(set(os.listdir(folder)) - {"a.txt"})
    try:
        os.mknod(folder / "device.txt", 0o20666, os.makedev(1, 5))
        names.append("device.txt")
    except PermissionError:
        pass  # only root makes devices
    yield [*names, "to_folder/kept.txt", "to_root/etc/passwd", "up/config.toml", "to_itself/x"]
    listening.close()


def test_what_is_no_file_among_results_is_never_sent_listed_or_packed(house: House, odd: list[str]) -> None:
    base = f"/jobs/{house.job.id}/files"
    for name in odd:
        for address in (f"{base}/{name}", f"{base}/{name}?download=1"):
            assert house.ask("GET", address, OPERATOR, {}).status_code == 404, name
        page = house.ask("GET", f"/?job={house.job.id}&tab=files&file={name}", OPERATOR, {}).text
        assert "There is no such file" in page, name
        assert SECRET not in page
    assert [entry["name"] for entry in house.ask("GET", base, OPERATOR, {}).json["data"]] == ["a.txt"]
    packed = zipfile.ZipFile(io.BytesIO(house.ask("GET", f"{base}.zip", OPERATOR, {}).data))
    assert [name.partition("/")[2] for name in packed.namelist()] == ["a.txt"]
    assert 'download="' not in house.ask("GET", f"/?job={house.job.id}&tab=files", OPERATOR, {}).text.replace(
        "a.txt", ""
    )


def test_deleting_a_job_removes_links_and_not_what_they_lead_to(house: House, odd: list[str], tmp_path: Path) -> None:
    assert house.ask("DELETE", f"/jobs/{house.job.id}", OPERATOR, {}).status_code == 200
    assert not results_of(house).exists()
    assert (tmp_path / "beside" / "kept.txt").read_text() == SECRET


def test_a_results_folder_that_is_a_link_is_empty(house: House, tmp_path: Path) -> None:
    outside = tmp_path / "beside"
    outside.mkdir()
    (outside / "kept.txt").write_text(SECRET)
    results_of(house).joinpath("a.txt").unlink()
    results_of(house).rmdir()
    results_of(house).symlink_to(outside)
    base = f"/jobs/{house.job.id}/files"
    assert house.ask("GET", base, OPERATOR, {}).json["data"] == []
    assert house.ask("GET", f"{base}/kept.txt", OPERATOR, {}).status_code == 404
    assert zipfile.ZipFile(io.BytesIO(house.ask("GET", f"{base}.zip", OPERATOR, {}).data)).namelist() == []
    assert house.ask("DELETE", f"/jobs/{house.job.id}", OPERATOR, {}).status_code == 200
    assert (outside / "kept.txt").read_text() == SECRET


def test_a_folder_that_becomes_a_link_while_it_is_walked_is_not_entered(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "results"
    (outside / "deep").mkdir(parents=True)
    (outside / "secret.txt").write_text(SECRET)
    (outside / "deep" / "secret.txt").write_text(SECRET)
    for inner in ("one/deep", "two"):
        (folder / inner).mkdir(parents=True)
    (folder / "z.txt").write_text("")
    (folder / "one" / "y.txt").write_text("")
    walk = iter(Walk(str(folder)))
    assert next(walk).name == "z.txt"  # both folders are known to be folders by now
    (folder / "two").rmdir()
    (folder / "two").symlink_to(outside)
    assert next(walk).name == "one/y.txt"
    (folder / "one").rename(tmp_path / "aside")
    (folder / "one").symlink_to(outside)
    assert list(walk) == []


SWAP = """
import os
while True:
    for one, other in (("inner", "aside"), ("link", "inner"), ("inner", "link"), ("aside", "inner")):
        os.rename(one, other)
"""


def test_a_name_that_changes_between_file_and_link_never_shows_the_other_side(house: House, tmp_path: Path) -> None:
    folder, outside = results_of(house), tmp_path / "beside"
    outside.mkdir()
    (outside / "b.txt").write_text(SECRET)
    (folder / "inner").mkdir()
    (folder / "inner" / "b.txt").write_text("harmless")
    (folder / "link").symlink_to(outside)
    swapping = subprocess.Popen([sys.executable, "-S", "-c", SWAP], cwd=folder)  # a thread would wait for us
    try:
        seen: dict[str, int] = {"nothing": 0, "harmless": 0}

        def look() -> bool:
            try:
                descriptor = folders.open_beneath(str(folder), "inner/b.txt")
            except FileNotFoundError:
                seen["nothing"] += 1
            else:
                with open(descriptor) as file:
                    seen[file.read()] += 1  # a KeyError for anything else
            return min(seen.values()) > 100

        wait_for(look, lambda: f"both sides: {seen}")
        base = f"/jobs/{house.job.id}/files"
        for _ in range(60):
            for address in (
                f"{base}/inner/b.txt",
                base,
                f"{base}.zip",
                f"/?job={house.job.id}&tab=files&file=inner/b.txt",
            ):
                assert SECRET.encode() not in house.ask("GET", address, OPERATOR, {}).data
    finally:
        swapping.kill()
        swapping.wait()
