"""The log's panel as the server makes it: following its end, paging, numbers, times, both together, searching."""

from __future__ import annotations

import html
import json
import os
import random
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from running_jobs import wording
from running_jobs.store import JobStore
from running_jobs.web import log_live, log_numbers, log_parts, log_search
from running_jobs.web.log_live import LiveLogs
from running_jobs.web.log_source import LogSource
from running_jobs.web.terminal import palette_css

from .conftest import PROJECT
from .forms import Forms

HOSTILE = (
    b"<script>document.title = 'taken'</script>\n\x1b]8;;javascript:alert(1)\x07press\x1b]8;;\x07\n"
    b'\x1b]8;;https://example.com/"onclick="x\x07quoted\x1b]8;;\x07\n\x00NUL\xff\xfe\x80\n&amp;</pre></div>\n'
)


class Log:
    """A job's log, written by the test and looked at as a viewer does who keeps what it was sent."""

    def __init__(self, forms: Forms, store: JobStore, job_id: str, name: str = "out") -> None:
        self.forms, self.id, self.name = forms, job_id, name
        self.path = Path(store.paths.out(job_id) if name == "out" else store.paths.err(job_id))
        self.stats = Path(store.paths.stats(job_id))
        self.state = ""

    def write(self, data: bytes | str) -> None:
        with self.path.open("ab") as file:
            file.write(data.encode() if isinstance(data, str) else data)

    def get(self, query: str = "", more: str = "") -> Any:
        return self.forms.get(f"/jobs/{self.id}/view/{self.name}{more}?{query}")

    def poll(self) -> SimpleNamespace | None:
        """Return what is new of the end; None if nothing is."""
        answer = self.get(f"since={self.state}")
        if answer.code == 204:
            assert answer.body == b""
            return None
        part = part_of(answer)
        self.state = part.state
        return part

    def part(self, query: str) -> SimpleNamespace:
        return part_of(self.get(query))

    def find(self, text: str, **place: int) -> SimpleNamespace:
        query = "&".join([f"find={text}", *(f"{name}={offset}" for name, offset in place.items())])
        return SimpleNamespace(**json.loads(self.get(query, "/find").body))


def part_of(answer: Any) -> SimpleNamespace:
    assert answer.code == 200
    text = answer.body.decode()
    head, _, rest = text.partition("<div data-lines>")
    lines, _, rows = rest.partition("<div data-rows>")
    values = {key: int(value) for key, value in re.findall(r'data-(from|to|size)="(\d+)"', head)}
    return SimpleNamespace(
        state=re.search(r'data-state="([^"]*)"', head)[1],
        begins="data-begins" in head,
        start=values["from"],
        end=values["to"],
        size=values["size"],
        lines=lines_of(lines),
        rows=lines_of(rows),
        html=text,
    )


def lines_of(text: str) -> list[SimpleNamespace]:
    found = []
    for attributes, inner in re.findall(r'<div class="l([^>]*)>(.*?)</div>', text, re.S):
        values = dict(re.findall(r'data-(\w)="([^"]*)"', attributes))
        found.append(
            SimpleNamespace(
                text=html.unescape(re.sub(r"<[^>]*>", "", inner)),
                number=int(values["n"]) if "n" in values else None,
                moment=values.get("t"),
                offset=int(values["o"]) if "o" in values else None,
                stream=values.get("s"),
                is_found=attributes.startswith(" found"),
            )
        )
    return found


def texts(lines: list[SimpleNamespace]) -> list[str]:
    return [line.text for line in lines]


def shown_on(page: str) -> SimpleNamespace:
    """Return the log that the page itself shows."""
    head, _, rest = (
        page.replace('data-lines=""', "data-lines").partition('class="log terminal"')[2].partition("<div data-lines>")
    )
    text = rest.split("</section>")[0]
    return SimpleNamespace(head=head, lines=lines_of(text))


def link_on(page: str, name: str) -> str:
    """Return where one of the log's links leads; empty if it is hidden."""
    found = re.search(rf'<a data-(?:go|find)="{name}" href="/\?([^"]*)"([^>]*)>', page)
    assert found
    return "" if "hidden" in found[2] else html.unescape(found[1])


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a step of a search be as long as it may be, also on a machine that is busy."""
    monkeypatch.setattr(log_search, "BUDGET_S", 60)


@pytest.fixture
def log(forms: Forms, store: JobStore, actions: Any) -> Log:
    """Give the log of a job that is not started."""
    job = actions.submit({"command": {"type": "exec", "cmd": "true"}})
    return Log(forms, store, job.id)


@pytest.fixture
def live(tmp_path: Path) -> Callable[..., LogSource]:
    """Give a function that returns a file as a log, without an application."""
    held = LiveLogs()

    def source(name: str = "a.out", data: bytes = b"") -> LogSource:
        path = tmp_path / name
        if data or not path.exists():
            path.write_bytes(data)
        return LogSource(held, str(path), str(tmp_path / "stats"), "out_bytes")

    return source


@pytest.fixture
def bytes_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Give the sizes of all reads from an offset that are made from now on."""
    read: list[int] = []
    pread = os.pread

    def counted(descriptor: int, size: int, offset: int) -> bytes:
        data = pread(descriptor, size, offset)
        read.append(len(data))
        return data

    monkeypatch.setattr(os, "pread", counted)
    return read


# --- following


def test_a_viewer_is_sent_what_is_new_and_what_changed(log: Log) -> None:
    log.write("one\n 10%")
    first = log.poll()
    assert first.begins
    assert texts(first.lines + first.rows) == ["one", " 10%"]
    assert log.poll() is None
    log.write("\r 20%")
    second = log.poll()
    assert not second.begins
    assert (texts(second.lines), texts(second.rows)) == ([], ["one", " 20%"])
    log.write("\n" + "".join(f"line {number}\n" for number in range(40)))
    third = log.poll()
    assert texts(third.lines + third.rows) == ["one", " 20%", *(f"line {number}" for number in range(40))]
    assert len(third.rows) < 25
    assert [line.number for line in third.lines + third.rows] == list(range(1, 43))
    log.write("last\n")
    fourth = log.poll()
    assert texts(fourth.lines) == [third.rows[0].text]
    assert fourth.lines[0].number == third.rows[0].number
    assert fourth.rows[-1].text == "last"


def test_the_page_shows_the_end_and_the_first_look_finds_nothing_new(log: Log) -> None:
    log.write("one\ntwo\n")
    shown = shown_on(log.forms.page(f"job={log.id}"))
    assert texts(shown.lines) == ["one", "two"]
    log.state = re.search(r'data-state="([^"]+)"', shown.head)[1]
    assert log.poll() is None


def test_a_look_without_anything_new_does_not_even_open_the_log(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    log.write("one\n")
    log.poll()
    opened: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(log_live.files, "open_private", lambda path, flags: opened.append(path))
        assert [log.poll() for _ in range(20)] == [None] * 20
    assert opened == []


def test_all_viewers_share_what_is_rendered(live: Callable[..., LogSource], bytes_read: list[int]) -> None:
    source = live(data=b"line\n" * 5000)
    states = {source.end().state for _ in range(10)}
    assert len(states) == 1
    fed = sum(bytes_read)
    assert fed < 5 * (64 << 10)


def test_two_viewers_that_saw_different_amounts_get_what_each_lacks(log: Log) -> None:
    log.write("".join(f"line {number}\n" for number in range(100)))
    first = log.poll()
    other = Log(log.forms, SimpleNamespace(paths=SimpleNamespace(out=lambda _: log.path, stats=lambda _: "")), log.id)
    log.write("a\n" * 30)
    assert len(log.poll().lines) == 30
    other.state = first.state
    log.write("b\n" * 30)
    late, early = other.poll(), log.poll()
    assert (len(late.lines), len(early.lines)) == (60, 30)
    assert texts(late.rows) == texts(early.rows)


@pytest.mark.parametrize("state", ["", "x", "x.1", "x.1.y", "00000000.0.0", "-1.0.0", ".".join("123456789")])
def test_a_viewer_that_has_nothing_of_ours_begins_again(log: Log, state: str) -> None:
    log.write("one\n")
    log.state = state
    assert log.poll().begins


def test_a_log_that_ran_far_ahead_begins_again_at_its_end(log: Log) -> None:
    log.write("begin\n")
    log.poll()
    log.write("x" * 99 + "\n")
    log.write(("y" * 99 + "\n") * 20_000)
    log.write("end\n")
    part = log.poll()
    assert part.begins
    assert part.start > 1_900_000
    assert (part.end, part.size) == (log.path.stat().st_size,) * 2
    assert part.rows[-1].text == "end"
    assert part.lines[0].number == part.start // 100 + 2


def test_one_that_is_a_little_behind_catches_up_step_by_step(log: Log) -> None:
    log.write("begin\n")
    log.poll()
    log.write(("y" * 999 + "\n") * 1000)
    seen = []
    while (part := log.poll()) is not None:
        assert part.end - (seen[-1] if seen else 6) <= log_live.FED_BYTES
        seen.append(part.end)
    assert len(seen) == 4
    assert seen[-1] == log.path.stat().st_size


def test_a_viewer_that_lacks_too_many_lines_begins_again(log: Log) -> None:
    log.write("begin\n")
    log.poll()
    log.write("y\n" * 3000)
    part = log.poll()
    assert part.begins
    assert 900 < len(part.lines) <= log_parts.MOST_LINES
    assert part.lines[0].offset == part.start
    assert part.lines[0].number == (part.start - 6) // 2 + 2


@pytest.mark.parametrize("change", ["cut", "replaced"])
def test_a_log_that_is_another_one_now_begins_again(log: Log, change: str) -> None:
    log.write("old line\n")
    log.poll()
    if change == "replaced":
        log.path.rename(log.path.with_suffix(".old"))
        log.write("new line, and longer\n")
    else:
        log.path.write_bytes(b"new\n")
    part = log.poll()
    assert part.begins
    assert part.rows[0].text.startswith("new")


def test_a_deleted_log_is_said_to_be_gone_and_one_that_is_not_there_yet_is_waited_for(log: Log, actions: Any) -> None:
    log.path.unlink(missing_ok=True)
    assert log.poll() is None
    log.write("one\n")
    assert log.poll().begins
    actions.stop(log.id)
    actions.delete(log.id)
    for query in (f"since={log.state}", "at=0", "around=0"):
        assert log.get(query).code == 404
    assert log.get("find=x", "/find").code == 404
    assert log.get("at=0", "/number").code == 404
    assert log.forms.get("/jobs/nothing-of-this-name/view/both").code == 404
    assert log.forms.get("/jobs/../view/out").code == 404


def test_no_link_is_followed(log: Log, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("geheim\n")
    log.path.unlink(missing_ok=True)
    log.path.symlink_to(secret)
    for query in ("since=", "at=0", "upto=9", "around=1"):
        assert log.get(query).code == 404
    page = log.forms.page(f"job={log.id}")
    assert "The log cannot be read" in page
    assert "geheim" not in page + log.forms.page(f"job={log.id}&tab=both") + log.forms.page(f"job={log.id}&at=0")


def test_what_is_held_is_bounded(live: Callable[..., LogSource]) -> None:
    for number in range(log_live.HELD_LOGS + 5):
        live(f"{number}.out", b"line\n").end()
    held = live("0.out").held
    assert len(held._held) == log_live.HELD_LOGS
    source = live("large.out", b"x\n")
    source.end()
    for _ in range(8):
        with open(source.path, "ab") as file:
            file.write(b"<" * 100_000 + b"\n" + b"y\n" * 1000)
        source.end()
    log = held._held[source.path]
    assert len(log._finished) <= log_live.KEPT_LINES
    assert sum(len(line.html) for line in log._finished) <= log_live.KEPT_CHARACTERS


def test_a_long_line_goes_on_in_the_next(live: Callable[..., LogSource]) -> None:
    part = live(data=b"x" * 50_000_000).end()
    assert sum(len(line.html) for line in (*part.lines, *part.rows)) == 64 << 10
    assert part.start == 50_000_000 - (64 << 10)


def test_half_a_character_waits_for_the_rest(log: Log) -> None:
    log.write("é".encode()[:1])
    assert texts(log.poll().rows) == []
    log.write("é".encode()[1:])
    assert texts(log.poll().rows) == ["é"]


def test_hostile_output_is_shown_as_text(log: Log) -> None:
    log.write(HOSTILE)
    part = log.poll()
    assert texts(part.rows) == [
        "<script>document.title = 'taken'</script>",
        "press",
        "quoted",
        "NUL���",
        "&amp;</pre></div>",
    ]
    for page in (part.html, log.forms.page(f"job={log.id}"), log.part("at=0").html):
        assert "<script>d" not in page
        assert "javascript:" not in page
        assert "</pre>" not in page.partition("data-rows")[2]
        assert 'href="https://example.com/&quot;onclick=&quot;x"' in page


def test_binary_output_is_survived(log: Log) -> None:
    chance = random.Random(4)
    for _ in range(10):
        log.write(chance.randbytes(20_000))
        part = log.poll()
        assert part is not None
        assert "<script" not in part.html


def test_many_viewers_at_once_all_see_the_whole_log(live: Callable[..., LogSource]) -> None:
    source = live(data=b"line 0\n")
    written = 3000
    failures: list[BaseException] = []
    seen: list[list[str]] = []

    def watch() -> None:
        state, finished, rows = None, [], []
        try:
            while f"line {written - 1}" not in rows:
                part = source.live(state)
                if part is None:
                    continue
                finished = [] if part.begins else finished
                finished += [line.html for line in part.lines]
                rows = [line.html for line in part.rows]
                state = log_live.seen_of(part.state)
            seen.append(finished + rows)
        except BaseException as error:
            failures.append(error)

    viewers = [threading.Thread(target=watch) for _ in range(4)]
    for viewer in viewers:
        viewer.start()
    with open(source.path, "ab", buffering=0) as file:
        for number in range(1, written):
            file.write(f"line {number}\n".encode())
    for viewer in viewers:
        viewer.join(30)
    assert failures == []
    whole = [f"line {number}" for number in range(written)]
    assert len(seen) == 4
    for lines in seen:
        assert lines == whole[-len(lines) :]
        assert len(lines) > 900


def test_the_logs_of_all_jobs_are_followed_too(log: Log, store: JobStore) -> None:
    first = part_of(log.forms.get("/logs/changes/view"))
    assert log.forms.get(f"/logs/changes/view?since={first.state}").code == 204
    assert log.forms.get("/logs/failures/view").code == 204
    store.note_error("it <b>failed</b>")
    assert "it <b>failed</b>" in texts(part_of(log.forms.get("/logs/failures/view")).rows)[0]


# --- parts


def random_log(chance: random.Random) -> bytes:
    lines = []
    for _ in range(chance.randrange(5, 400)):
        size = chance.choice([0, 1, 20, 80, 300, 5000])
        lines.append("".join(chance.choice("abc äß€😀") for _ in range(chance.randrange(size + 1))))
    if chance.random() < 0.6:
        lines.insert(len(lines) // 2, "€" * 60_000)
    return "\n".join(lines).encode()


@pytest.mark.parametrize("seed", range(10))
def test_parts_one_after_the_other_are_the_whole_log(live: Callable[..., LogSource], seed: int) -> None:
    data = random_log(random.Random(seed))
    source = live(data=data)
    at, forwards = 0, b""
    while at < len(data):
        part = source.part(log_parts.part_from, at)
        assert part.start == at < part.end <= at + log_parts.PART_BYTES
        assert part.number == data[:at].count(b"\n") + 1
        forwards += data[part.start : part.end]
        data[part.start : part.end].decode()  # no character is cut
        at = part.end
    assert forwards == data
    at, backwards = len(data), b""
    while at > 0:
        part = source.part(log_parts.part_up_to, at)
        assert at - log_parts.PART_BYTES <= part.start < part.end == at
        assert part.number == data[: part.start].count(b"\n") + 1
        data[part.start : part.end].decode()
        backwards = data[part.start : part.end] + backwards
        at = part.start
    assert backwards == data


def test_parts_hold_whole_lines_and_not_too_many(live: Callable[..., LogSource]) -> None:
    source = live(data=b"".join(b"%d\n" % number for number in range(100_000)))
    part = source.part(log_parts.part_from, 0)
    assert (len(part.lines), part.lines[-1].html) == (2000, "1999")
    part = source.part(log_parts.part_up_to, part.end)
    assert (part.start, part.lines[0].html, part.lines[-1].html) == (0, "0", "1999")
    part = source.part(log_parts.part_up_to, 10**15)
    assert (len(part.lines), part.lines[-1].html) == (2000, "99999")
    assert source.part(log_parts.part_from, 10**15).lines == []


def test_the_lines_whose_offsets_are_sent_begin_there(live: Callable[..., LogSource]) -> None:
    data = random_log(random.Random(99)) + b"end\n" * 500
    source = live(data=data)
    part = source.part(log_parts.part_from, 0)
    known = [(line.offset, line.html) for line in part.lines if line.offset is not None]
    assert len(known) >= 10
    for offset, text in known:
        assert data[offset:].split(b"\n", 1)[0].decode().startswith(text)


def test_a_time_within_a_line_makes_no_line_begin_there(log: Log) -> None:
    log.write(("x" * 99 + "\n") * 60)
    log.stats.write_text("".join(sample(f"20:{second:02}", 150 + 500 * second) for second in range(12)))
    offsets = [line.offset for line in log.part("at=0").lines if line.offset is not None]
    assert len(offsets) == 3
    assert [offset % 100 for offset in offsets] == [0] * len(offsets)


def test_a_part_of_a_log_without_lines_begins_with_a_whole_character(live: Callable[..., LogSource]) -> None:
    source = live(data="€".encode() * 100_000)
    for offset in (100_001, 100_002, 100_003):
        part = source.part(log_parts.part_from, offset)
        assert "\ufffd" not in "".join(line.html for line in part.lines)


def test_wrong_offsets_are_refused(log: Log) -> None:
    log.write("one\n")
    for query in ("at=-1", "upto=x", "around=1e3", "at=" + "9" * 16):
        assert log.get(query).code == 400
    assert log.forms.page(f"job={log.id}&at=-1&upto=x").count('class="l"') >= 1  # the page passes them over


def test_without_scripts_the_parts_are_pages(log: Log) -> None:
    log.write("".join(f"line {number}\n" for number in range(20_000)))
    page = log.forms.page(f"job={log.id}")
    assert link_on(page, "later") == ""
    assert "<noscript><a" in page
    shown = [texts(shown_on(page).lines)]
    while earlier := link_on(page, "earlier"):
        page = log.forms.page(earlier)
        shown.append(texts(shown_on(page).lines))
    assert [line for part in reversed(shown) for line in part] == [f"line {number}" for number in range(20_000)]
    page = log.forms.page(link_on(page, "end"))
    page = log.forms.page(link_on(page, "start"))
    assert shown_on(page).lines[0].text == "line 0"
    page = log.forms.page(link_on(page, "later"))
    assert shown_on(page).lines[0].text == "line 2000"
    assert "came before." in page
    assert "come after." in page
    assert "data-end" not in shown_on(page).head


def test_another_tab_or_job_is_not_shown_from_there(log: Log) -> None:
    log.write("one\n" * 9)
    page = log.forms.page(f"job={log.id}&tab=log&at=4&upto=8&find=one&panes=1&status=idle")
    tabs = page.split('class="tabs"')[1].split("</nav>")[0]
    assert "tab=both" in tabs
    assert not re.search("at=|upto=|find=|panes=", tabs)
    assert "status=idle" in tabs


# --- numbers


def test_a_huge_log_opens_at_its_end_and_its_numbers_come_later(
    log: Log, bytes_read: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 1 << 30
    with log.path.open("wb") as file:
        file.write(b"first\nsecond\n")
        file.truncate(size)
        file.seek(size)
        file.write(b"\nand\nthe\nend\n")
    log.forms.page()  # its templates are compiled
    bytes_read.clear()
    began = time.perf_counter()
    page = log.forms.page(f"job={log.id}")
    print(f"a log of 1 GiB: {1000 * (time.perf_counter() - began):.0f} ms, {sum(bytes_read)} bytes read")
    assert sum(bytes_read) <= log_numbers.MOST_BYTES + (1 << 20)
    shown = shown_on(page)
    assert texts(shown.lines)[-3:] == ["and", "the", "end"]
    assert {line.number for line in shown.lines} == {None}
    start = int(re.search(r'data-from="(\d+)"', shown.head)[1])
    steps, number = 0, None
    while number is None:
        bytes_read.clear()
        number = json.loads(log.get(f"at={start}", "/number").body)["number"]
        assert sum(bytes_read) <= log_numbers.MOST_BYTES + log_numbers.STEP_BYTES
        steps += 1
    assert number == 4
    assert steps >= 1
    bytes_read.clear()
    assert json.loads(log.get(f"at={start}", "/number").body)["number"] == 4
    assert sum(bytes_read) <= log_numbers.STEP_BYTES
    shown = shown_on(log.forms.page(f"job={log.id}"))
    assert [line.number for line in shown.lines] == [4, 5, 6]


def test_numbers_are_counted_in_steps_and_again_for_another_file(
    live: Callable[..., LogSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_numbers, "MOST_BYTES", log_numbers.STEP_BYTES)
    data = b"line\n" * 4_000_000
    source = live(data=data)
    found = []
    while not found or found[-1] is None:
        found.append(source.number(len(data)))
    assert found[-1] == 4_000_001
    assert 3 <= found.count(None) <= 30
    Path(source.path).write_bytes(b"short\n" * 3)
    assert source.number(12) == 3
    Path(source.path).write_bytes(b"a longer line\n" * 400_000)
    while (number := source.number(14 * 400_000)) is None:
        pass
    assert number == 400_001


# --- times


def sample(at: str, out: Any = 0, err: Any = 0) -> str:
    return json.dumps({"at": f"2026-11-22T07:{at}.500Z", "cpu_s": 1.0, "out_bytes": out, "err_bytes": err}) + "\n"


def test_lines_have_the_time_of_the_first_sample_that_covers_them(log: Log) -> None:
    log.write("one\ntwo\nthree\nfour\nfive\n")
    log.stats.write_text(sample("20:00", 4) + sample("20:10", 6) + sample("20:20", 14) + sample("20:30", 24))
    expected = ["07:20:00", "07:20:20", "07:20:20", "07:20:30", "07:20:30"]
    for shown in (log.poll().rows, log.part("at=0").lines, log.part("upto=24").lines):
        assert texts(shown) == ["one", "two", "three", "four", "five"]
        assert [line.moment for line in shown] == [f"2026-11-22 {moment}Z" for moment in expected]
    assert [line.moment[11:19] for line in log.part("at=8").lines] == expected[2:]


def test_a_line_that_was_overwritten_has_the_time_of_its_last_change(log: Log) -> None:
    log.write("before\n 10%\r 20%\r 30%\nafter\n")
    log.stats.write_text(sample("20:00", 7) + sample("20:10", 12) + sample("20:20", 17) + sample("20:30", 100))
    assert [line.moment[14:19] for line in log.poll().rows] == ["20:00", "20:30", "20:30"]


@pytest.mark.parametrize(
    "stats",
    ["", "nonsense\n{", '{"at": 5, "out_bytes": 3}\n', '{"at": "x", "out_bytes": 3}', "[]\n1\nnull", "[" * 99_999],
)
def test_damaged_samples_tell_no_times(log: Log, stats: str) -> None:
    log.write("one\n")
    log.stats.write_text(stats)
    assert [line.moment for line in log.poll().rows] == [None]


def test_what_is_sound_among_damaged_samples_is_taken(log: Log) -> None:
    log.write("one\ntwo\nthree\n")
    sound, back = sample("20:00", 4), sample("20:05", 2)
    log.stats.write_text(f"{sample('19:00', True)}{sound}{{broken\n{sample('20:02', 'x')}{back}{sample('20:10', 14)}")
    assert [line.moment[14:19] for line in log.poll().rows] == ["20:00", "20:10", "20:10"]


def test_what_came_while_one_looked_has_the_time_of_the_last_write(log: Log) -> None:
    log.write("before\n")
    assert log.poll().rows[0].moment is None, "it may be older than the file's last change by any time"
    log.write("seen\n")
    os.utime(log.path, (1_800_000_000, 1_800_000_000))
    assert [line.moment for line in log.poll().rows] == [None, "2027-01-15 08:00:00Z"]


def test_an_empty_log_tells_of_the_other_one_that_is_not(log: Log, store: JobStore) -> None:
    err = Log(log.forms, store, log.id, "err")

    def said(tab: str, query: str = "") -> str:
        shown = re.search(
            r'<p[^>]* id="log-other"[^>]*>(.*?)</p>', log.forms.page(f"job={log.id}&tab={tab}{query}"), re.S
        )
        assert shown
        return shown[1].strip()

    assert said("log") == said("err") == ""
    err.write("x" * 54_700)
    for query in ("", "&part=live"):
        assert re.fullmatch(
            r'Nothing in the output so far\. <a href="[^"]*tab=err[^"]*">The errors have 54\.7 kB</a>',
            said("log", query),
        )
        assert said("err", query) == ""
    log.write("one\n")
    assert said("log", "&part=live") == ""
    err.path.write_bytes(b"")
    assert "The output has 4 B" in said("err")


# --- both


def both(log: Log, state: str = "") -> Any:
    return log.forms.get(f"/jobs/{log.id}/view/both?since={state}")


def test_both_logs_are_merged_by_time(log: Log, store: JobStore) -> None:
    err = Log(log.forms, store, log.id, "err")
    log.write("out 1\nout 2\nout 3\n")
    err.write("err 1\nerr 2\n")
    log.stats.write_text(
        sample("20:00", 6, 0) + sample("20:10", 6, 6) + sample("20:20", 12, 6) + sample("20:30", 18, 12)
    )
    expected = ["out 1", "err 1", "out 2", "out 3", "err 2"]
    page = log.forms.page(f"job={log.id}&tab=both")
    shown = shown_on(page).lines
    assert texts(shown) == expected
    assert [line.stream for line in shown] == ["out", "err", "out", "out", "err"]
    assert "within the same second or so, output stands before errors" in page
    assert "Lines whose time is not known" not in page
    part = part_of(both(log))
    assert texts(part.rows) == expected
    assert both(log, part.state).code == 204
    err.write("err 3\n")
    assert texts(part_of(both(log, part.state)).rows) == [*expected, "err 3"]


def test_of_both_it_is_said_what_came_before_and_where_all_of_it_is(log: Log, store: JobStore) -> None:
    err = Log(log.forms, store, log.id, "err")
    log.write("out\n" * 5_000)
    err.write("err\n" * 10)
    page = log.forms.page(f"job={log.id}&tab=both")
    shown = [line.stream for line in shown_on(page).lines]
    before = (5_000 - shown.count("out")) * 4
    assert (950 < shown.count("out") <= 1000, shown.count("err")) == (True, 10)
    assert f">{wording.size(before)} came before.</span>" in page.replace(' data-skipped=""', "")
    part = part_of(both(log))
    assert (part.start, part.end, part.size) == (before, 20_040, 20_040)
    for tab, name in (("log", "Output"), ("err", "Errors")):
        assert re.search(rf'<a href="/\?[^"]*tab={tab}[^"]*">{name}</a>', page)
    for name in ("out", "err"):
        assert re.search(rf'<a href="/jobs/{log.id}/{name}[^"]*download=1"', page)


def test_of_both_nothing_is_said_to_be_missing_where_all_is_shown(log: Log, store: JobStore) -> None:
    log.write("out\n")
    Log(log.forms, store, log.id, "err").write("err\n")
    page = log.forms.page(f"job={log.id}&tab=both")
    assert "came before" not in page
    assert "come after" not in page


def test_without_times_the_output_stands_before_the_errors(log: Log, store: JobStore) -> None:
    err = Log(log.forms, store, log.id, "err")
    err.write("err 1\nerr 2\n")
    log.write("out 1\n")
    page = log.forms.page(f"job={log.id}&tab=both")
    assert texts(shown_on(page).lines) == ["out 1", "err 1", "err 2"]
    assert "Lines whose time is not known stand first" in page


def test_one_of_both_that_is_not_there_yet_is_as_an_empty_one(log: Log, store: JobStore) -> None:
    err = Log(log.forms, store, log.id, "err")
    err.path.unlink(missing_ok=True)
    log.write("out 1\n")
    part = part_of(both(log))
    assert texts(part.rows) == ["out 1"]
    assert both(log, part.state).code == 204
    err.write("err 1\n")
    assert texts(part_of(both(log, part.state)).rows) == ["out 1", "err 1"]


def test_both_logs_are_shown_side_by_side_too(log: Log, store: JobStore) -> None:
    Log(log.forms, store, log.id, "err").write("bad\n")
    log.write("good\n")
    page = log.forms.page(f"job={log.id}&tab=both&panes=1")
    assert re.findall(r'data-follow="(/jobs/[^"]*)"', page) == [
        f"/jobs/{log.id}/view/{name}" for name in ("out", "err")
    ]
    assert page.count("good</div>") == page.count("bad</div>") == 1
    assert len(set(re.findall(r' id="([^"]*)"', page))) == len(re.findall(r' id="([^"]*)"', page))


# --- searching


def test_a_text_is_found_from_the_end_upwards_and_from_match_to_match(log: Log) -> None:
    log.write("".join(f"line {number}\n" for number in range(20_000)))
    found = log.find("LINE 1999")
    assert found.line == log.path.read_bytes().index(b"line 19999\n")
    up = log.find("line 1999", upto=found.line)
    assert up.line == log.path.read_bytes().index(b"line 19998\n")
    down = log.find("line 1999", at=up.end)
    assert down.line == found.line
    assert vars(log.find("line 1999", at=down.end)) == {"line": None, "match": None, "end": 0, "next": None}
    assert log.find("line 0", upto=3).line is None
    shown = [line for line in log.part(f"around={up.line}").lines if line.is_found]
    assert texts(shown) == ["line 19998"]
    assert shown[0].number == 19_999


@pytest.mark.parametrize(
    "text, data",
    [
        ("two words", b"one two words three"),
        ("TWO", b"\x1b[31mt\x1b[0mw\x1b[1;38;5;9mo\x1b[0m"),
        ("link", b"\x1b]8;;https://example.com\x07li\x1b]8;;\x07nk"),
        ("a.c", b"abc a.c"),
        ("(x[", b"f(X["),
        ("\\d+", b"5 \\d+"),
        ("ÄRGER", "so ein ärger".encode()),
        ("straße", "die STRAßE".encode()),
        ("straße", b"die STRASSE"),
        ("größe", "ẞß \u0130 \xff \x1b[1mGRÖ\x1b[0mẞE".encode()),
        ("é", b"\xff\xc3 \xc3\x89"),
    ],
)
def test_a_text_is_found_as_it_is_whatever_its_case_and_colours(
    live: Callable[..., LogSource], text: str, data: bytes
) -> None:
    source = live(data=b"nothing\n" * 1000 + b"here: " + data + b"\nmore\n" * 10)
    for start in (0, None):
        found = source.find(text, start, None)
        assert found.line == 8000
        assert found.match is not None
        assert found.match > 8000


@pytest.mark.parametrize("text", ["a.e", ".*", "one two", "linet", "x"])
def test_what_is_not_there_is_not_found(live: Callable[..., LogSource], text: str) -> None:
    source = live(data=b"abe\none\ntwo\nline\x1b[31m\nt\n")
    assert source.find(text, 0, None) == source.find(text, None, None) == log_search.Found()


@pytest.mark.parametrize("letter", ["a", "é"])
@pytest.mark.parametrize("text", ["{199}x", "x{199}", "{1}x{198}", "{100}x{99}"])
def test_no_text_takes_long_to_look_for(letter: str, text: str) -> None:
    text = re.sub(r"\{(\d+)\}", lambda found: letter * int(found[1]), text)
    data = (letter * log_search.CHUNK + text + letter * 1000).encode()
    wanted, place = log_search.Wanted(text), data.index(text.encode())
    began_s = time.thread_time()
    found = [find(part) for find in (wanted.first, wanted.last) for part in (data, data[:place])]
    assert time.thread_time() - began_s < 1, "a pattern takes ten times as long"
    assert found == [place, -1, place, -1]


def test_the_first_and_the_last_of_many_are_found_where_they_are() -> None:
    data = "ẞ É\x1b[0m ".encode() * 3 + b"ss"
    assert (log_search.Wanted("É").first(data), log_search.Wanted("é").last(data)) == (4, 2 * 11 + 4)
    assert (log_search.Wanted("ß").first(data), log_search.Wanted("ß").last(data)) == (0, 33)
    assert log_search.Wanted("s").first(data) == 33


@pytest.mark.parametrize("distance", [-5, -4, -1, 0, 1])
@pytest.mark.parametrize("escape", [b"", b"\x1b[31m"])
def test_what_lies_across_two_steps_is_found(live: Callable[..., LogSource], distance: int, escape: bytes) -> None:
    needle = b"nee" + escape + b"dle"
    before = b"." * (log_search.CHUNK + distance)
    source = live(data=before + needle + b"." * (log_search.CHUNK - len(needle) - distance))
    assert source.find("needle", 0, None).match == source.find("needle", None, None).match == len(before)


def test_a_search_goes_on_where_the_request_before_ended(
    live: Callable[..., LogSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_search, "MOST_BYTES", log_search.CHUNK)
    data = b"needle\n" + b"." * (5 << 20)
    source = live(data=data)
    places = [source.find("needle", None, None)]
    while places[-1].next is not None:
        places.append(source.find("needle", None, places[-1].next))
    assert 4 <= len(places) <= 7
    assert places[-1].match == 0
    steps, at = 0, 7
    while at is not None:
        at = source.find("needle", at, None).next
        steps += 1
    assert 4 <= steps <= 7


def test_a_match_within_a_long_line_is_found_and_marked(live: Callable[..., LogSource]) -> None:
    source = live(data=b"x" * 3_000_000 + b"needle" + b"x" * 3_000_000)
    found = source.find("needle", None, None)
    assert found.line == found.match == 3_000_000
    part = source.part(log_parts.part_around, 3_000_000, 3_000_000)
    marked = [line.html for line in part.lines if line.is_found]
    assert len(marked) == 1
    assert "needle" in marked[0]


def test_without_scripts_a_search_is_a_form_and_its_answer_a_page(log: Log) -> None:
    log.write("".join(f"line {number}\n" for number in range(20_000)))
    page = log.forms.page(f"job={log.id}&find=Line+123")
    assert [line.text for line in shown_on(page).lines if line.is_found] == ["line 12399"]
    assert '<input type="hidden" name="job"' in page.split("data-find aria-label")[1]
    page = log.forms.page(link_on(page, "up"))
    assert [line.text for line in shown_on(page).lines if line.is_found] == ["line 12398"]
    page = log.forms.page(link_on(page, "down"))
    assert [line.text for line in shown_on(page).lines if line.is_found] == ["line 12399"]
    assert link_on(page, "down") != ""
    page = log.forms.page(link_on(page, "down"))
    assert "Nothing found." in page
    assert texts(shown_on(page).lines)[-1] == "line 19999", "the end is shown then"
    assert "Nothing found" not in log.forms.page(f"job={log.id}&find=+")


def test_a_search_without_scripts_says_where_to_go_on(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_search, "MOST_BYTES", log_search.CHUNK)
    log.write(b"needle\n" + b".\n" * (2 << 20))
    page = log.forms.page(f"job={log.id}&find=needle")
    pages = 0
    while found := re.search(r'Nothing found so far. <a href="/\?([^"]*)"', page):
        page = log.forms.page(html.unescape(found[1]))
        pages += 1
    assert pages >= 3
    assert [line.text for line in shown_on(page).lines if line.is_found] == ["needle"]


# --- looks


def test_the_style_sheet_is_the_terminals_own() -> None:
    assert (PROJECT / "static" / "terminal.css").read_text() == palette_css()
