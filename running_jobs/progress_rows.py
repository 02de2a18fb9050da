"""What raw output shows as rows: carriage returns, cursor movements and escape sequences carried out as far as telling
a job's progress needs it. Keeps for each row what stood in it before, since only what grows is progress.

Pure, and of bounded cost: at most the end of the text is looked at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

LOOKED_AT = 32 << 10  # characters
ROWS = 50
STATES = 60  # of one row
LINE = 500  # characters of one state; a longer one is no bar

_CONTROL = re.compile(
    r"\x1b\[(?P<parameters>[0-?]{0,32})[ -/]{0,4}(?P<final>[@-~])"
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"
    r"|\x1b[()*+][0-9A-Z]"
    r"|\x1b[ -/]?[0-~]"
    r"|(?P<new>[\n\r])"
    r"|(?P<back>\x08+)"
    r"|[\x00-\x07\x0b\x0c\x0e-\x1f\x7f]"
)


@dataclass
class Row:
    """A row of a terminal, by its number from an arbitrary first one; `states` is what it held, the shown one last.

    `is_open`: the text ends in it, so that its last state may be half written.
    """

    number: int
    states: list[str] = field(default_factory=list)
    is_open: bool = False

    @property
    def shown(self) -> str:
        """Return what it shows in the end, without spaces around it."""
        return self.states[-1]


class _Screen:
    def __init__(self) -> None:
        self.rows: dict[int, Row] = {}
        self.number = 0
        self.lowest = 0
        self.parts: list[str] = []

    def write(self, text: str) -> None:
        self.parts.append(text)

    def back(self, count: int) -> None:
        while self.parts and count:
            last = self.parts.pop()
            if len(last) > count:
                self.parts.append(last[:-count])
            count -= min(count, len(last))

    def end_state(self, erased: bool = False) -> None:
        """What follows is written over the row, or elsewhere."""
        text = "".join(self.parts)
        if text or erased:
            row = self.rows.setdefault(self.number, Row(self.number))
            row.states.append(text.strip())
            self.lowest = max(self.lowest, self.number)
            if len(row.states) > 2 * STATES:
                del row.states[:STATES]
            self.parts.clear()

    def control(self, parameters: str, final: str) -> None:
        """Carry out an escape sequence that moves or erases, as far as it matters here."""
        count = int(parameters) if parameters.isdecimal() and len(parameters) < 5 else 1
        if final in "AF":
            self.end_state()
            self.number -= count
        elif final in "BE":
            self.end_state()
            self.number += count
        elif final == "K" and parameters in ("1", "2"):
            self.end_state()
            self.end_state(erased=True)
        elif final in "HfJ":  # placed anywhere on the screen: a row of its own
            self.end_state()
            if self.rows:
                self.number = self.lowest + 1
        elif final == "C":
            self.write(" ")


def rows_of(text: str) -> list[Row]:
    """Return the last rows that show something, at most ROWS of them, the uppermost first."""
    text = text[-LOOKED_AT:]
    screen = _Screen()
    position = 0
    for found in _CONTROL.finditer(text):
        if found.start() > position:
            screen.write(text[position : found.start()])
        position = found.end()
        if new := found["new"]:
            screen.end_state()
            screen.number += new == "\n"
        elif found["final"]:
            screen.control(found["parameters"], found["final"])
        elif found["back"]:
            screen.back(len(found["back"]))
    screen.write(text[position:])
    screen.end_state()
    if screen.number in screen.rows:
        screen.rows[screen.number].is_open = True
    numbers = sorted(number for number, row in screen.rows.items() if row.shown)[-ROWS:]
    return [screen.rows[number] for number in numbers]
