"""Takes the bytes of a log apart into text and control sequences, and has a screen carry them out.

The bytes may be cut anywhere: half a character or sequence waits for the rest. What a sequence holds back is bounded,
so that a broken one (or binary output) swallows no more than that.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable

from running_jobs.web.terminal.screen import Screen
from running_jobs.web.terminal.style import linked, restyled

LARGEST = 9999  # no number in a sequence is taken for more
LONGEST_STRING = 1 << 20  # characters of a string (a title, a picture) that are swallowed; what follows is text again
LONGEST_COMMAND = 4096  # characters of one that are looked at
CHUNK = 64 << 10

_TOKEN = re.compile(
    r"([^\x00-\x09\x0b-\x1f\x7f-\x9f]+)"  # 1: text and line feeds
    r"|(?:\x1b\[|\x9b)([0-9:;]{0,256})m"  # 2: a style
    r"|([\r\x08\t])"  # 3
    r"|(?:\x1b\[|\x9b)([0-?]{0,256}[ -/]{0,4}[@-~])"  # 4: any control sequence
    r"|(\x1b[PX\]^_]|[\x90\x98\x9d-\x9f])"  # 5: the begin of a string
    r"|\x1b([ -/]{0,4}[0-OQ-WYZ\\`-~])"  # 6: an escape sequence
    r"|([\x0b\x0c\x84\x85\x8d])"  # 7: a control character that moves the cursor
    r"|[\x00-\x07\x0e-\x1a\x1c-\x1f\x7f-\x83\x86-\x8c\x8e\x8f\x91-\x97\x99\x9a\x9c]+"  # those that do nothing
)
_UNFINISHED = re.compile(r"(?:\x1b\[|\x9b)[0-?]{0,256}[ -/]{0,4}|\x1b[ -/]{0,4}")
_COMMAND_END = re.compile(r"[\x07\n\x18\x1a\x1b\x9c]")
_STRING_END = re.compile(r"[\x18\x1a\x1b\x9c]")
_COMMANDS = ("\x1b]", "\x9d")
_ALTERNATE = {47, 1047, 1049}


class Parser:
    """Feeds a screen."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self.decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self.pending = ""  # an unfinished sequence
        self.string: str | None = None  # how the string began that is being swallowed
        self.swallowed = 0
        self.command = ""  # what it holds, as far as it is looked at

    def feed(self, data: bytes) -> None:
        """Show more output."""
        for start in range(0, len(data), CHUNK):
            self._take(self.pending + self.decoder.decode(data[start : start + CHUNK]))

    def _take(self, text: str) -> None:
        self.pending = ""
        screen, match = self.screen, _TOKEN.match
        at, end = 0, len(text)
        while at < end:
            if self.string is not None:
                at = self._swallow(text, at)
                continue
            token = match(text, at)
            if token is None:
                at = self._skip_unfinished(text, at)
                continue
            at = token.end()
            kind = token.lastindex
            if kind == 1:
                screen.write(token[1])
            elif kind == 2:
                screen.style = restyled(screen.style, token[2])
            elif kind == 3:
                if token[3] == "\r":
                    screen.x = 0
                elif token[3] == "\t":
                    screen.tab()
                elif screen.x:
                    screen.x -= 1
            elif kind == 4:
                self._control(token[4])
            elif kind == 5:
                self.string, self.swallowed, self.command = token[5], 0, ""
            elif kind is not None and (action := _ESCAPES.get(token[kind])) is not None:
                action(screen)

    def _skip_unfinished(self, text: str, at: int) -> int:
        """Keep a sequence that the end cuts off for later; leave out one that is broken. Return where it ends."""
        found = _UNFINISHED.match(text, at)
        end = found.end() if found else at + 1
        if end == len(text):
            self.pending = text[at:]
        return end

    def _swallow(self, text: str, at: int) -> int:
        """Leave out what belongs to a string; carry it out at its end. Return where that is."""
        is_command = self.string in _COMMANDS
        limit = min(len(text), at + LONGEST_STRING - self.swallowed)
        found = (_COMMAND_END if is_command else _STRING_END).search(text, at, limit)
        end = found.start() if found else limit
        if is_command and len(self.command) < LONGEST_COMMAND:
            self.command += text[at : min(end, at + LONGEST_COMMAND - len(self.command))]
        self.swallowed += end - at
        if found is None:
            if self.swallowed >= LONGEST_STRING:
                self.string = None
            return end
        if found[0] == "\x1b":
            if end + 1 == len(text):
                self.pending = "\x1b"
                return end + 1
            is_ended = text[end + 1] == "\\"
            end += 2 if is_ended else 0  # another sequence begins: the string was broken off
        else:
            is_ended = found[0] in "\x07\x9c"
            end += 0 if found[0] == "\n" else 1
        if is_ended and self.command.startswith("8;") and len(self.command) < LONGEST_COMMAND:
            self.screen.style = linked(self.screen.style, self.command)
        self.string = None
        return end

    def _control(self, sequence: str) -> None:
        """Carry out a control sequence, given without its introducer."""
        final, body = sequence[-1], sequence[:-1]
        prefix = body[:1] if body[:1] in ("<", "=", ">", "?") else ""
        if body and body[-1] in " !\"#$%&'()*+,-./":
            return
        numbers = [min(int(word), LARGEST) if word.isdigit() else 0 for word in body[len(prefix) :].split(";")]
        if prefix == "?" and final in "hl":
            if not _ALTERNATE.isdisjoint(numbers):
                (Screen.show_alternate if final == "h" else Screen.show_main)(self.screen)
        elif prefix in ("", "?"[: final in "JK"]):
            action = _CONTROLS.get(final)
            if action is not None:
                action(self.screen, numbers)


def _next_line(screen: Screen) -> None:
    screen.x = 0
    screen.line_down(is_end=True)


def _move_to(screen: Screen, numbers: list[int]) -> None:
    screen.move_to([*numbers, 0][1] - 1, numbers[0] - 1)


def _move_row(screen: Screen, count: int) -> None:
    screen.move_rows(count)
    screen.x = 0


def _set_margins(screen: Screen, numbers: list[int]) -> None:
    bottom = [*numbers, 0][1] or LARGEST
    screen.set_margins(max(1, numbers[0]) - 1, bottom - 1)


_ESCAPES: dict[str, Callable[[Screen], None]] = {
    "7": Screen.save_cursor,
    "8": Screen.restore_cursor,
    "D": Screen.line_down,
    "E": _next_line,
    "M": Screen.line_up,
    "c": Screen.reset,
    "\x0b": Screen.line_down,
    "\x0c": Screen.line_down,
    "\x84": Screen.line_down,
    "\x85": _next_line,
    "\x8d": Screen.line_up,
}
# With the numbers as given: a missing one is 0, and where a count is meant, 0 stands for 1.
_CONTROLS: dict[str, Callable[[Screen, list[int]], None]] = {
    "@": lambda screen, numbers: screen.insert_characters(numbers[0] or 1),
    "A": lambda screen, numbers: screen.move_rows(-(numbers[0] or 1)),
    "B": lambda screen, numbers: screen.move_rows(numbers[0] or 1),
    "C": lambda screen, numbers: screen.move_to(screen.x + (numbers[0] or 1), screen.y),
    "D": lambda screen, numbers: screen.move_to(screen.x - (numbers[0] or 1), screen.y),
    "E": lambda screen, numbers: _move_row(screen, numbers[0] or 1),
    "F": lambda screen, numbers: _move_row(screen, -(numbers[0] or 1)),
    "G": lambda screen, numbers: screen.move_to(numbers[0] - 1, screen.y),
    "H": _move_to,
    "J": lambda screen, numbers: screen.erase_in_display(numbers[0]),
    "K": lambda screen, numbers: screen.erase_in_line(numbers[0]),
    "L": lambda screen, numbers: screen.insert_lines(numbers[0] or 1),
    "M": lambda screen, numbers: screen.delete_lines(numbers[0] or 1),
    "P": lambda screen, numbers: screen.delete_characters(numbers[0] or 1),
    "S": lambda screen, numbers: screen.scroll_up(numbers[0] or 1),
    "T": lambda screen, numbers: screen.scroll_down(numbers[0] or 1),
    "X": lambda screen, numbers: screen.erase_characters(numbers[0] or 1),
    "d": lambda screen, numbers: screen.move_to(screen.x, numbers[0] - 1),
    "r": _set_margins,
    "s": lambda screen, numbers: screen.save_cursor(),
    "u": lambda screen, numbers: screen.restore_cursor(),
}
_CONTROLS |= {"a": _CONTROLS["C"], "e": _CONTROLS["B"], "f": _move_to, "`": _CONTROLS["G"]}
