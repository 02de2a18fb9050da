"""Logs as a terminal shows them, compared with pyte line by line: what programs write, and thousands of made-up sequences."""

from __future__ import annotations

import json
import random
import re
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pytest

from running_jobs.web.terminal import Run, Style, Terminal, line_to_html, line_to_text, palette_css
from running_jobs.web.terminal.html import classes, luminance, nearest
from running_jobs.web.terminal.parser import LONGEST_STRING
from running_jobs.web.terminal.screen import HEIGHT, WIDEST
from running_jobs.web.terminal.style import BOLD, FAINT, HIDDEN, PLAIN, UNDERLINE, restyled
from running_jobs.web.terminal.widths import is_narrow, width_of

from .conftest import PROJECT
from .pyte_screen import as_shown, shown_by_pyte
from .terminal_samples import SAMPLES, made_up

RECORDED = {path.stem: path.read_bytes() for path in sorted(Path(__file__).parent.glob("terminal_recordings/*.bin"))}
OUTPUTS = RECORDED | SAMPLES


def fed(*parts: bytes | str) -> Terminal:
    terminal = Terminal()
    for part in parts:
        terminal.feed(part.encode() if isinstance(part, str) else part)
    return terminal


def texts(*parts: bytes | str) -> list[str]:
    return [line_to_text(line) for line in fed(*parts).lines]


def html(*parts: bytes | str) -> str:
    return "\n".join(map(line_to_html, fed(*parts).lines))


def cut_up(data: bytes, chance: random.Random) -> list[bytes]:
    places = sorted(chance.sample(range(len(data) + 1), min(len(data), 9)))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)])]


def compare(data: bytes, where: str) -> None:
    terminal = fed(data)
    expected, cursor = shown_by_pyte(data)
    found = as_shown(terminal.lines)
    assert len(found) == len(expected), f"{where}: {data!r}"
    for number, (ours, theirs) in enumerate(zip(found, expected)):
        assert ours == theirs, f"{where}, line {number}: {data!r}"
    assert terminal.cursor == cursor, f"{where}: {data!r}"


def test_there_are_recordings_of_the_programs_people_use() -> None:
    assert {
        "tqdm",
        "tqdm_nested",
        "rich_progress",
        "rich_page",
        "rich_live",
        "git_clone",
        "gcc",
        "watch",
        "povray",
    } <= set(RECORDED)


@pytest.mark.parametrize("name", OUTPUTS)
def test_the_output_of_a_program_looks_as_in_pyte(name: str) -> None:
    compare(OUTPUTS[name], name)


@pytest.mark.parametrize("name", OUTPUTS)
def test_it_makes_no_difference_where_output_is_cut(name: str) -> None:
    data = OUTPUTS[name]
    whole = fed(data)
    single = fed(*(data[at : at + 1] for at in range(len(data))))
    assert (single.lines, single.cursor) == (whole.lines, whole.cursor)


@pytest.mark.parametrize("seed", range(8))
def test_made_up_output_looks_as_in_pyte(seed: int) -> None:
    for number in range(250):
        compare(made_up(random.Random(f"{seed}-{number}")), f"seed {seed}-{number}")


@pytest.mark.parametrize("seed", range(4))
def test_made_up_output_may_be_cut_anywhere_and_kept_as_a_snapshot_between(seed: int) -> None:
    for number in range(150):
        chance = random.Random(f"cut {seed}-{number}")
        data = made_up(chance)
        whole = fed(data)
        terminal, lines = Terminal(), []
        for part in cut_up(data, chance):
            terminal.feed(part)
            lines += terminal.take_finished()
            terminal = Terminal.restored(json.loads(json.dumps(terminal.snapshot())))
        assert lines + terminal.rows == whole.lines, f"seed {seed}-{number}: {data!r}"
        assert terminal.cursor == whole.cursor
        assert terminal.finished_count == whole.finished_count == len(lines)
        assert fed(*(data[at : at + 1] for at in range(len(data)))).lines == whole.lines


@pytest.mark.parametrize("seed", range(4))
def test_random_bytes_may_be_cut_anywhere(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(50):
        alphabet = (
            b"\x1b\x1b\x1b[[]]PX^_\\;;0123456789mHJKABCDhlr?>! \n\r\b\t\x07\x18\xc2\x9b\x9d\x9c\xe6\x97\xa5\xcc\x81abc"
        )
        data = bytes(chance.choice(alphabet) for _ in range(250))
        whole = fed(data)
        assert fed(*(data[at : at + 1] for at in range(len(data)))).lines == whole.lines, data
        restored = Terminal.restored(json.loads(json.dumps(whole.snapshot())))
        whole.feed(b"\x07\x1b\\ and on\n")
        restored.feed(b"\x07\x1b\\ and on\n")
        assert restored.rows == whole.rows, data


# What pyte does not know, or knows otherwise


@pytest.mark.parametrize(
    ("colons", "semicolons"),
    [
        ("38:5:208", "38;5;208"),
        ("48:2:1:2:3", "48;2;1;2;3"),
        ("38:2::1:2:3", "38;2;1;2;3"),
        ("1;38:2::9:8:7;4", "1;38;2;9;8;7;4"),
        ("4:3", "4"),
        ("4;4:0", "24"),
        ("58:2::1:2:3;1", "1"),
        ("58;5;9;1", "1"),
    ],
)
def test_colours_with_colons_are_those_with_semicolons(colons: str, semicolons: str) -> None:
    assert restyled(PLAIN, colons) == restyled(PLAIN, semicolons)


def test_faint_and_hidden_are_kept_until_they_are_switched_off() -> None:
    line = fed("\x1b[2ma\x1b[22m\x1b[8mb\x1b[28mc").lines[0]
    assert line == [Run("a", Style(attributes=FAINT)), Run("b", Style(attributes=HIDDEN)), Run("c", PLAIN)]


def test_a_style_sequence_of_another_meaning_changes_nothing() -> None:
    assert fed("\x1b[>4;2ma\x1b[?1mb\x1b[1 qc\x1b[1!pd").lines == [[Run("abcd", PLAIN)]]


def test_true_colours_are_kept_exactly_and_shown_as_the_nearest() -> None:
    line = fed("\x1b[38;2;255;136;1;48;2;9;9;9mx").lines[0]
    assert line == [Run("x", Style("#ff8801", "#090909"))]
    assert line_to_html(line) == '<span class="f208 b232">x</span>'


@pytest.mark.parametrize("number", range(16, 256))
def test_the_nearest_colour_of_one_in_the_palette_looks_the_same(number: int) -> None:
    css = palette_css()
    exact = css.split(f" .b{number}{{background:")[1][:7]
    assert f" .b{nearest(exact)}{{background:{exact};" in css


def test_invalid_utf8_is_shown_as_replacements() -> None:
    assert texts(b"a\xffb\xc3(\xe6\x97", b"\xa5\xe6\x97!\n") == ["a�b�(日�!"]


def test_half_a_character_waits_for_the_rest() -> None:
    terminal = fed("日".encode()[:2])
    assert terminal.lines == []
    terminal.feed("日".encode()[2:])
    assert terminal.lines == [[Run("日", PLAIN)]]


def test_c1_controls_are_those_of_seven_bits() -> None:
    assert fed("a\x9b31mb\x85c\x9d0;title\x9cd").lines == fed("a\x1b[31mb\x1bEc\x1b]0;title\x1b\\d").lines


@pytest.mark.parametrize("begin", ["\x1b]0;", "\x1bP1;2q", "\x1b_G", "\x1b^", "\x1bX", "\x90", "\x9f"])
@pytest.mark.parametrize("end", ["\x1b\\", "\x9c", "\x18"])
def test_strings_of_other_protocols_are_swallowed(begin: str, end: str) -> None:
    assert texts(f"a{begin}hidden", f" on{end}b") == ["ab"]


def test_a_string_that_never_ends_swallows_a_bounded_part() -> None:
    terminal = fed("\x1b_", "x" * LONGEST_STRING, "shown")
    assert terminal.lines == [[Run("shown", PLAIN)]]
    assert texts("\x1b]0;a title cut off\nthe next line") == ["", "the next line"]
    assert texts("\x1b]0;broken off\x1b[1mbold") == ["bold"]


def test_only_addresses_of_the_web_and_of_mail_become_links() -> None:
    link = "\x1b]8;id=1;{}\x1b\\<i>text</i>\x1b]8;;\x07 after"
    found = html(link.format('https://example.org/?a=1&b="x"'))
    assert found == (
        '<a rel="noreferrer noopener" target="_blank" href="https://example.org/?a=1&amp;b=&quot;x&quot;">'
        "&lt;i&gt;text&lt;/i&gt;</a> after"
    )
    assert 'href="mailto:a@b.c"' in html(link.format("mailto:a@b.c"))
    for address in ("javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", " https://x.y", "//x.y", "https://a\tb",
                    "https://é.example", "JaVaScRiPt://x", "https://" + "x" * 3000):  # fmt: skip
        assert html(link.format(address)) == "&lt;i&gt;text&lt;/i&gt; after", address


def test_a_link_holds_several_styles() -> None:
    found = html("\x1b]8;;http://x.y\x07a\x1b[1mb\x1b[0mc\x1b]8;;\x07")
    assert found.count("<a ") == 1
    assert found.endswith('>a<span class="bold">b</span>c</a>')


def test_markup_is_shown_as_text() -> None:
    assert html("<script>alert('x')</script> & \x1b[1m<b>\n") == (
        "&lt;script&gt;alert('x')&lt;/script&gt; &amp; <span class=\"bold\">&lt;b&gt;</span>"
    )


def test_inverse_exchanges_colours_also_the_default_ones() -> None:
    assert [classes(restyled(PLAIN, text)) for text in ("7", "7;31", "7;31;44", "1;4;7;42")] == [
        "fi bi", "fi b1", "f4 b1", "f2 bi bold underline",
    ]  # fmt: skip


def test_every_class_has_a_rule() -> None:
    css = palette_css(".log")
    names = {f"{letter}{number}" for letter in "fb" for number in range(256)} | {"fi", "bi"}
    names |= {"bold", "faint", "italic", "underline", "strike", "hidden"}
    for name in names:
        assert f"\n.log .{name}{{" in "\n" + css
    assert len(css) < 24 << 10


def contrast(one: Sequence[float], other: Sequence[float]) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_text_of_every_colour_can_be_read_on_every_ground_of_the_log() -> None:
    log_css, tokens = ((PROJECT / "static" / name).read_text() for name in ("log.css", "tokens.css"))

    def parsed(color: str) -> list[int]:
        return [int(color[at : at + 2], 16) for at in (1, 3, 5)]

    plain = [parsed(color) for color in re.findall(r"--log-ground: (#\w{6})", tokens)]
    mixed = re.findall(r"color-mix\(in srgb, (#\w{6}) (\d+)%, var\(--log-ground\)\)", log_css)
    assert len(plain) == len(mixed) == 2
    grounds = plain + [
        [part * int(percent) / 100 + under * (1 - int(percent) / 100) for part, under in zip(parsed(color), ground)]
        for color, percent in mixed
        for ground in plain
    ]
    css = palette_css()
    texts = re.findall(r" \.f\d+\{color:(?:var\(--ansi-\d+,)?(#\w{6})", css)
    numbers = re.findall(r"\.l::before \{ color: (#\w{6})", log_css)
    assert (len(texts), len(numbers)) == (256, 1)
    for color in texts + numbers:
        assert min(contrast(parsed(color), ground) for ground in grounds) >= 4.5, color
    assert ".b17{background:#00005f;" in css


def test_text_on_a_ground_of_its_own_keeps_its_colour() -> None:
    assert [classes(restyled(PLAIN, text)) for text in ("38;5;17", "38;5;17;43", "7;38;5;226;48;5;17", "38;5;231;44")] == [
        "f17", "e17 b3", "e17 b226", "f231 b4",
    ]  # fmt: skip
    assert "\n.terminal .e17{color:#00005f}" in palette_css()


def test_blanks_written_at_the_end_of_a_line_keep_their_background() -> None:
    assert fed("a\x1b[44m  \n\x1b[41;1m \n").lines == [
        [Run("a", PLAIN), Run("  ", Style(bg=4))],
        [Run(" ", Style(None, 1, BOLD))],
    ]


def test_a_long_line_stays_one_line() -> None:
    line = "x" * 999_999 + "日"
    terminal = fed(line, "\nnext\n")
    assert [line_to_text(found) for found in terminal.lines] == [line, "next"]
    assert terminal.finished_count == 1
    assert len(json.dumps(terminal.snapshot())) < 2000


def test_a_line_beyond_every_measure_goes_on_in_the_next() -> None:
    terminal = Terminal(longest=5000)
    terminal.feed("日x".encode() * 4000 + b"\nend")
    lines = [line_to_text(line) for line in terminal.lines]
    assert "".join(lines) == "日x" * 4000 + "end"
    assert max(map(len, lines)) <= 5000


def test_a_movement_to_the_right_reaches_a_bounded_column() -> None:
    found = texts(
        "\x1b[999999999Cx\n" + "\x1b[9999C" * 100 + "y\n" + "z" * 3000 + "\x1b[9999Cz\n\x1b[99999999999999999999Aq"
    )
    assert [len(line) for line in found[:2]] == [WIDEST, WIDEST]
    assert found[2] == "z" * 3001


def test_lines_off_the_screen_are_finished_and_the_screen_is_what_may_change() -> None:
    terminal = Terminal(height=4)
    terminal.feed(b"".join(b"%d\n" % number for number in range(10)))
    assert [line_to_text(line) for line in terminal.take_finished()] == ["0", "1", "2", "3", "4", "5", "6"]
    terminal.feed(b"\x1b[99Achanged\x1b[99B\nlast")
    assert [line_to_text(line) for line in terminal.take_finished()] == ["changed"]
    assert [line_to_text(line) for line in terminal.rows] == ["8", "9", "", "last"]
    assert terminal.finished_count == 8


def test_only_the_last_finished_lines_are_kept_until_they_are_taken() -> None:
    terminal = Terminal(height=4, kept_lines=5)
    terminal.feed(b"".join(b"%d\n" % number for number in range(1000)))
    assert [line_to_text(line) for line in terminal.lines] == [str(number) for number in range(992, 1000)]
    assert terminal.finished_count == 997


def test_the_alternate_screen_is_shown_until_it_is_left() -> None:
    terminal = fed("before\n\x1b[?1049h\x1b[H\x1b[2Jmenu", "\n" * 99)
    assert "menu" not in [line_to_text(line) for line in terminal.lines]
    terminal.feed(b"\x1b[Hmenu\x1b[?1049lafter\n")
    assert [line_to_text(line) for line in terminal.lines] == ["before", "after"]


def test_characters_that_reorder_text_are_left_out() -> None:
    assert texts("a\u202eb\u2066c\u2028d\u200d") == ["abcd\u200d"]


def test_combining_characters_do_not_pile_up_in_a_cell() -> None:
    terminal = fed("ab\b", "\u0301" * 100_000, "c")
    assert len(line_to_text(terminal.lines[0])) < 40


def test_characters_taken_for_narrow_without_a_look_are() -> None:
    wrong = [c for c in map(chr, range(0x20, 0x11000)) if is_narrow(c) and width_of(c) != 1 and c.isprintable()]
    assert wrong == []
    wide = [c for c in map(chr, range(0x110000)) if unicodedata.east_asian_width(c) in "WF" and c.isprintable()]
    assert not any(map(is_narrow, wide))


@pytest.mark.parametrize("kind", ["program", "random", "controls"])
def test_binary_output_is_survived(kind: str) -> None:
    chance = random.Random(3)
    data = {
        "program": Path(sys.executable).resolve().read_bytes()[: 1 << 20],
        "random": chance.randbytes(1 << 20),
        "controls": b"".join(
            chance.choice([b"\x1b[", b"\xc2\x9b", b"9", b";", b"A", b"C", b"@", b"\n"]) for _ in range(1 << 18)
        ),
    }[kind]
    terminal = fed(data, b"\x18\x1b\\\x1bc\x1b[?1049lstill alive\n")
    assert line_to_text(terminal.rows[0]) == "still alive"
    assert len(json.dumps(terminal.snapshot())) < 4 << 20
    for line in terminal.lines:
        assert "\x1b" not in line_to_html(line)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2}, {"rows": []}, {"rows": [[0]] * 3000}, {"cursor": [0, HEIGHT, 0]}, {"cursor": [-1, 0, 0]},
        {"cursor": [0, 0, 99]}, {"styles": [[999, None, 0, None]]}, {"styles": [["red", None, 0, None]]}, {"margins": [5, 99]},
        {"margins": [9, 3]}, {"finished": "1"}, {"bytes": "zz"}, {"pending": 3}, {"string": ["x"]}, {"longest": 1 << 40},
        {"rows": [[0, ["x", -1]]] * HEIGHT}, {"rows": [[0, [3, 0]]] * HEIGHT}, {"rows": [3] * HEIGHT}, {"main": {"rows": []}},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_snapshot_is_refused(change: dict[str, object]) -> None:
    state = fed("\x1b[1mbold\n").snapshot()
    Terminal.restored(state)
    with pytest.raises(ValueError):
        Terminal.restored(state | change)


def test_a_snapshot_cannot_smuggle_in_a_link() -> None:
    state = fed("x").snapshot()
    state["styles"] = [[None, None, BOLD | UNDERLINE, "javascript:alert(1)"]]
    assert "<a" not in "".join(map(line_to_html, Terminal.restored(state).lines))
