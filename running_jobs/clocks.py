"""Time on two clocks: the one that people and machines set, and the one that counts since boot, which nobody can.

A moment that somebody named ("at") is on the first; a wait of so many seconds ("delay", the pause before another
attempt) is on the second for as long as the machine is not restarted, so that no jump of the first makes it
longer or shorter. Both go on while the machine sleeps (CLOCK_BOOTTIME, clock_gettime(2)).
"""

from __future__ import annotations

import re
import time
from typing import Any, NamedTuple

from running_jobs.errors import InvalidJob
from running_jobs.job import MAX_NUMBER, from_iso, to_iso
from running_jobs.processes import boot_id

FORM = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?\s*(?:([Zz])|([+-])(\d\d):?([0-5]\d)?)?",
    re.ASCII,
)


SPAN = re.compile(r"([1-9]\d{0,4})([mhd])", re.ASCII)
_SPAN_S = {"m": 60, "h": 3600, "d": 86400}
DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class Moment(NamedTuple):
    """One moment on both clocks, in seconds: since the epoch, and since the boot of this id."""

    wall_s: float
    boot_id: str
    boottime_s: float


def moment(wall_s: float | None = None) -> Moment:
    """Return the present moment; `wall_s` is what the settable clock shows, if somebody looked already."""
    shown = time.time() if wall_s is None else wall_s
    return Moment(shown, boot_id(), time.clock_gettime(time.CLOCK_BOOTTIME))


def wait_of(seconds: float, now: Moment) -> dict[str, Any]:
    """Return the fields of a job that has to wait so many seconds from now on."""
    if seconds <= 0:
        return {"not_before": None, "timer": None}
    timer = {"boot_id": now.boot_id, "boottime_s": round(now.boottime_s + seconds, 3)}
    return {"not_before": to_iso(now.wall_s + seconds), "timer": timer}


def due_on_boot_clock(timer: dict[str, Any] | None, boot: str) -> float | None:
    """Return when a wait is over on this boot's clock, in its seconds; None if only the settable clock can tell."""
    if timer and timer.get("boot_id") == boot and isinstance(due := timer.get("boottime_s"), (int, float)):
        return float(due) if abs(due) < MAX_NUMBER else None  # edited by hand: such a whole number is no float
    return None


def seconds_left(not_before: str | None, timer: dict[str, Any] | None, now: Moment) -> float:
    """Return for how many seconds a job still has to wait for its time, 0 if it has come."""
    if not_before is None:
        return 0.0
    due = due_on_boot_clock(timer, now.boot_id)
    return max(0.0, from_iso(not_before) - now.wall_s if due is None else due - now.boottime_s)


def read_time(field: str, text: str) -> str:
    """Return a moment given in ISO 8601 in the form that jobs keep; without a zone it is this machine's local time.

    A local time that occurs twice when clocks are put back means the first; one that is left out when they are put
    forward is as much later as they are (PEP 495, fold=0). Raise InvalidJob.
    """
    found = FORM.fullmatch(text.strip())
    if found is None:
        raise InvalidJob(
            field, f"expected a time like 2026-11-21T20:30 or 2026-11-21T20:30:00+01:00, found {text[:60]!r}"
        )
    from datetime import datetime, timedelta, timezone  # rarely needed, and 2 ms of every start

    year, month, day, hour, minute, second, fraction, utc, sign, zone_hours, zone_minutes = found.groups()
    micro = int((fraction or "0")[:6].ljust(6, "0"))
    try:
        local = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second or 0), micro)
        if utc:
            local = local.replace(tzinfo=timezone.utc)
        elif sign:
            offset = timedelta(hours=int(zone_hours), minutes=int(zone_minutes or 0))
            local = local.replace(tzinfo=timezone(offset if sign == "+" else -offset))
        kept = to_iso(local.timestamp())
        from_iso(kept)  # a year of less or more than four digits could not be read again
        return kept
    except (ValueError, OverflowError) as error:
        raise InvalidJob(field, f"{text[:60]!r} is no time: {error}") from None


def read_since(field: str, text: str, now_s: float) -> str:
    """Return the moment from which on something is meant: so long ago (`15m`, `24h`, `7d`), a day's begin or a time.

    The form is that of read_time, and a day is one of this machine's local time. Raise InvalidJob.
    """
    span = SPAN.fullmatch(text)
    if span is not None:
        return to_iso(max(0.0, now_s - int(span[1]) * _SPAN_S[span[2]]))
    return read_time(field, f"{text}T00:00" if is_day(text) else text)


def read_until(field: str, text: str) -> str:
    """Return the moment up to which something is meant: a day's end or a time. Raise InvalidJob."""
    return read_time(field, f"{text}T23:59:59.999" if is_day(text) else text)


def is_day(text: str) -> bool:
    """Say whether a text has the form of a date without a time."""
    return DAY.fullmatch(text) is not None


def local_zone(wall_s: float) -> str:
    """Name the zone of this machine's local time at a moment: `CET, UTC+01:00`."""
    there = time.localtime(wall_s)
    sign, minutes = "-" if there.tm_gmtoff < 0 else "+", abs(there.tm_gmtoff) // 60
    offset = f"UTC{sign}{minutes // 60:02d}:{minutes % 60:02d}"
    return offset if there.tm_zone in (None, "UTC") else f"{there.tm_zone}, {offset}"
