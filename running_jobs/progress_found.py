"""What is found in output about progress, and how its numbers, spans and labels are read. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_NO_LABELS_OF_WORK = re.compile(
    r"\b(?:cpu|gpu|mem|memory|ram|swap|disk|load|battery|usage|used|free|humidity|volume|volt|charge|vram|fan|temp\w*"
    r"|accuracy|acc|loss|score|f1|precision|recall|auc|rating|confidence|coverage|win|hit|rate|health|signal|quota)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Found:
    """What a line says. `label` tells bars of one kind apart, its numbers left out; `eta_s` is the program's own."""

    kind: str
    label: str
    fraction: float
    text: str
    eta_s: float | None = None

    @property
    def is_finished(self) -> bool:
        return self.fraction >= 1


def seconds(text: str | None) -> float | None:
    """Return a span as programs write it (1:02:03, 00:05, 1h2m3s, 2m 5s, 2d3h), or None if it is none."""
    text = (text or "").strip()
    if re.fullmatch(r"\d{1,5}(?::\d{1,2}){1,2}(?:\.\d+)?", text):
        total = 0.0
        for part in text.split(":"):
            total = total * 60 + float(part)
        return total
    parts = re.fullmatch(r"(?:(\d{1,4})d)? ?(?:(\d{1,5})h)? ?(?:(\d{1,5})m)? ?(?:(\d{1,7})s)?", text)
    if not text or parts is None:
        return None
    return sum(int(part or 0) * unit for part, unit in zip(parts.groups(), (86400, 3600, 60, 1), strict=True))


def masked(label: str) -> str:
    """Return a label with its numbers left out."""
    return _NUMBER.sub("#", label).strip(" :\t")


def made(kind: str, label: str, done: float, total: float, text: str, eta_s: float | None = None) -> Found | None:
    """Return what was found, None if the numbers make no sense: no total, or more done than there is."""
    if total <= 0 or done > total or done < 0:
        return None
    return Found(kind, masked(label), done / total, text, eta_s if done < total else None)


def by_percent(kind: str, label: str, percent: str, text: str, eta_s: float | None = None) -> Found | None:
    return made(kind, label, float(percent), 100, text, eta_s)


def is_a_measure(label: str) -> bool:
    """Say whether a label names something measured, not work that is done bit by bit."""
    return _NO_LABELS_OF_WORK.search(label.replace("_", " ")) is not None
