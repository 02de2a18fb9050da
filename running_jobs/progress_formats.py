"""The bars and counters of well-known programs: what one line of output says about how far its program is.

Each format is so particular that one line is enough to be sure of it. Pure; lines are at most `progress_rows.LINE`
characters, and every expression here takes a time linear in a line's length or near to it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from running_jobs.progress_found import Found, by_percent, is_a_measure, made, seconds
from running_jobs.progress_rows import LINE

_TIME = r"\d+:\d\d(?::\d\d)?"
_SIZE = r"\d[\d.,]*"


def recognise(line: str) -> Found | None:
    """Return what a line says about progress, None if it is of no known format."""
    if len(line) > LINE or not _DIGIT.search(line):
        return None
    for needed, expression, read in _FORMATS:
        if needed in line and (match := expression.search(line)):
            found = read(match)
            if found is not None:
                return found
    return None


_DIGIT = re.compile(r"\d")
_UNITS = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15}


def _scaled(text: str) -> float:
    unit = text.rstrip("i")[-1:]
    return float(text.rstrip("iKkMGTP")) * _UNITS.get(unit if unit.isalpha() else "", 1.0)


def _tqdm(match: re.Match[str]) -> Found | None:
    done, total = match["done"], match["total"]
    label, text = match["label"], f"{done}/{total}"
    own = seconds(match["eta"])
    if epoch := _EPOCH_IN_LABEL.match(label):
        return _in_epoch(epoch, _scaled(done) / max(_scaled(total), 1e-9), text)
    return made("tqdm", label, _scaled(done), _scaled(total), text, own)


def _in_epoch(epoch: re.Match[str], within: float, text: str) -> Found | None:
    number, total = int(epoch[1]), int(epoch[2])
    if number < 1 or within > 1:
        return None  # counted from 0: to where, is not said
    return made("epoch", epoch[0], number - 1 + within, total, f"epoch {number}/{total}, {text}")


def _keras(match: re.Match[str]) -> Found | None:
    done, total = int(match["done"]), int(match["total"])
    kind = "keras" if _METRIC.search(match["rest"]) else "keras steps"
    eta = re.search(rf"ETA: ({_TIME}|\d+s)", match["rest"]) or re.match(
        rf"\s*({_TIME}|\d+s) \d+[mun]?s/step", match["rest"]
    )
    return made(kind, "", done, total, f"{done}/{total}", seconds(eta[1]) if eta else None)


def _rich(match: re.Match[str]) -> Found | None:
    label, rest = match["label"], match["rest"]
    if is_a_measure(label):
        return None
    eta = re.search(rf"\beta ({_TIME})", rest)
    own = seconds(eta[1]) if eta else None
    if counted := re.match(rf"({_SIZE})/({_SIZE})( [kKMGT]?i?B\b| bytes\b|(?=\s)|$)", rest):
        if not counted[3] and "." in counted[0]:
            return None  # cut off before its unit
        done, total = (float(counted[number].replace(",", "")) for number in (1, 2))
        text = f"{counted[1]}/{counted[2]}{counted[3] or ''}"
        if (epoch := _EPOCH_IN_LABEL.match(label)) and "it/s" in rest:  # this one counts from 0 to its last
            number, last = int(epoch[1]), int(epoch[2])
            within = done / total if total else 0.0
            return made("epoch", "epoch", number + within, last + 1, f"epoch {number}/{last}, {text}")
        return made("rich", label, done, total, text, own)
    if percent := re.match(r"(\d{1,3})%", rest):
        return by_percent("rich", label, percent[1], percent[0], own)
    return None


def _labelled_percent(kind: str) -> Callable[[re.Match[str]], Found | None]:
    def read(match: re.Match[str]) -> Found | None:
        groups = match.groupdict()
        label = groups.get("label") or ""
        if is_a_measure(label):
            return None
        return by_percent(
            kind, label if kind == "bar" else "", match["percent"], f"{match['percent']}%", seconds(groups.get("eta"))
        )

    return read


def _labelled_count(kind: str, begun: bool = False) -> Callable[[re.Match[str]], Found | None]:
    """`begun`: the number is that of the part that begins, so that it is not done yet."""

    def read(match: re.Match[str]) -> Found | None:
        groups = match.groupdict()
        label, done, total = groups.get("label") or "", int(match["done"]), int(match["total"])
        if is_a_measure(label):
            return None
        text = f"{groups.get('word') or ''} {done}/{total}".strip()
        return made(kind, label, done - begun, total, text, seconds(groups.get("eta")))

    return read


def _worker(match: re.Match[str]) -> Found | None:
    return by_percent("worker", "", match[1], f"{match[1]}% {match[2] or ''}".strip())


def _blender(match: re.Match[str]) -> Found | None:
    done, total = int(match["done"]), int(match["total"])
    left = re.search(r"Remaining: ?([\d:.]+)", match[0])
    what = "sample " if match["what"].endswith("Sample") else ""
    text = f"frame {match['frame']}, {what}{done}/{total}{'' if what else ' tiles'}"
    found = made("blender", match["frame"], done, total, text, seconds(left[1]) if left else None)
    return found and Found("blender", match["frame"], found.fraction, text, found.eta_s)


def _curl(match: re.Match[str]) -> Found | None:
    if match["size"] == "0":
        return None  # its total is not known
    return by_percent("curl", "", match["percent"], f"{match['percent']}% of {match['size']}", seconds(match["eta"]))


def _rclone(match: re.Match[str]) -> Found | None:
    text = f"{match['done']} / {match['total']}, {match['percent']}%"
    return by_percent("rclone", "", match["percent"], text, seconds(match["eta"]))


def _rsync(match: re.Match[str]) -> Found | None:
    """Of several files: whose percentage it is shows only where it stands (`progress_choice`)."""
    if "ir-chk" in match[0]:
        return None  # it still finds more files
    kind = "rsync all" if "xfr#" in match[0] and match["percent"] != "100" else "rsync"
    eta = None if "xfr#" in match[0] and match["percent"] == "100" else seconds(match["eta"])
    return by_percent(kind, "", match["percent"], f"{match['percent']}%", eta)


_EPOCH_IN_LABEL = re.compile(r"(?:\S+ )?[Ee]poch:? ?\[?(\d{1,6})/(\d{1,6})\]?")
_METRIC = re.compile(r" - (?!ETA)\w+: \d")
_BAR = r"[ \u2588-\u258f#=>.\-\u2591-\u2593\u25a0\u25a1|\u28ff\u28c0]"

_FORMATS: tuple[tuple[str, re.Pattern[str], Callable[[re.Match[str]], Found | None]], ...] = tuple(
    (needed, re.compile(expression), read)
    for needed, expression, read in (
        ("progress ", r"^progress (\d{1,3}\.\d)%(?: (.*))?$", _worker),
        (
            "%|",
            rf"^(?P<label>.{{0,300}}?)(?:^|:|\s)\s*\d{{1,3}}%\|[ #0-9\u2588-\u258f]{{0,300}}\| *"
            rf"(?P<done>[\d.]+[kKMGTP]?i?)/(?P<total>[\d.]+[kKMGTP]?i?)[A-Za-z]{{0,12}}"
            rf"(?: \[{_TIME}<(?P<eta>{_TIME}|\?)[,\]]|$)",
            _tqdm,
        ),
        ("/", r"^(?P<done>\d{1,9})/(?P<total>\d{1,9}) (?:\[[=>.]{10,}\]|[\u2501]{10,})(?P<rest>.*)$", _keras),
        (
            "/",
            r"^(?P<done>(?P<total>\d{1,9}))/(?P=total) - (?:\d+s|\d+:\d\d)"
            r"(?P<rest> - (?:\d+[mu]?s/(?:step|epoch)|\w+: \d).*)$",
            _keras,
        ),
        ("\u2501\u2501", r"^(?P<label>[^\u2501]{0,200}?)\s*[\u2501\u2578\u257a]{5,300}\s+(?P<rest>\S.*)$", _rich),
        (" of ", r"^Progress (?P<done>\d{1,15}) of (?P<total>\d{1,15})$", _labelled_count("pip")),
        (
            "% (",
            r"^(?:remote: )?(?P<label>(?:Counting|Compressing|Receiving|Writing|Unpacking|Indexing|Checking) objects"
            r"|Resolving deltas|Updating files|Checking out files|Filtering content|Delta compression|Refresh index"
            r"|Finding huge objects|Checking connectivity|Checking object directories|Computing commit graph.{0,40}"
            r"|Expanding reachable commits.{0,20}|Writing out commit graph.{0,20}): +\d{1,3}% "
            r"\((?P<done>\d{1,12})/(?P<total>\d{1,12})\)",
            _labelled_count("git"),
        ),
        (
            " pixels (",
            r"^Rendered (?P<done>\d{1,12}) of (?P<total>\d{1,12}) pixels \(\d{1,3}%\)",
            lambda match: made("povray", "", int(match[1]), int(match[2]), f"{match[1]} of {match[2]} pixels"),
        ),
        (
            "Fra:",
            r"^Fra:(?P<frame>\d{1,7}) Mem:.*\| ?(?P<what>Rendered|(?:Path Tracing )?Sample)"
            r" (?P<done>\d{1,7})/(?P<total>\d{1,7})\b.*",
            _blender,
        ),
        (
            "%[",
            r"^(?:\S{1,60} +)?(?P<percent>\d{1,3})%\[[=+> <]{5,}\] .*?(?:eta (?P<eta>[\dhms ]+))?$",
            _labelled_percent("wget"),
        ),
        (
            "K ",
            r"^\d{1,12}K [., ]{2,90} (?P<percent>\d{1,3})% +[\d.]+[KMGT]?(?: (?P<eta>[\dhmsd]+)|=\S+)?$",
            _labelled_percent("wget"),
        ),
        (
            ":",
            r"^(?P<percent>\d{1,3}) +(?P<size>[\d.]+[kMGTP]?) +\d{1,3} +[\d.]+[kMGTP]? +\d{1,3} +[\d.]+[kMGTP]?"
            r" +[\d.]+[kMGTP]? +[\d.]+[kMGTP]? +[-\dhd:]+ +[-\dhd:]+ +(?P<eta>[-\dhd:]+) +[\d.]+[kMGTP]?$",
            _curl,
        ),
        ("#", r"^#{1,300} +(?P<percent>\d{1,3}\.\d)%$", _labelled_percent("curl")),
        (
            "ETA",
            r"(?:^|Transferred:|INFO  :)\s+(?P<done>[\d.]+ ?[KMGTP]?i?(?:B|Bytes?)) /"
            r" (?P<total>[\d.]+ ?[KMGTP]?i?(?:B|Bytes?)), (?P<percent>\d{1,3})%, [^,]{1,40}, ETA (?P<eta>\S+)",
            _rclone,
        ),
        (
            "B/s ",
            r"^[\d,.]+[KMGT]? +(?P<percent>\d{1,3})% +[\d.]+[kMGT]?B/s +(?P<eta>\d+:\d\d:\d\d)"
            r"(?: \(xfr#\d+, (?:to|ir)-chk=\d+/\d+\))?$",
            _rsync,
        ),
        (
            "Step ",
            r"^(?P<word>Step) (?P<done>\d{1,4})/(?P<total>\d{1,4}) : [A-Z]+\b",
            _labelled_count("docker", begun=True),
        ),
        ("#", r"^#\d+ \[ ?(?P<done>\d{1,4})/(?P<total>\d{1,4})\] [A-Z]+ ", _labelled_count("docker", begun=True)),
        (
            "%]",
            r"^(?:[^\s:]{1,300}\.py(?:::\S.{0,300}?)?|[.FEsxXR]+)(?: [.FEsxXR]+| [A-Z]+)?\s+"
            r"\[ *(?P<percent>\d{1,3})%\]$",
            _labelled_percent("pytest"),
        ),
        ("%]", r"^\[gw\d+\] \[ *(?P<percent>\d{1,3})%\] [A-Z]+ ", _labelled_percent("pytest")),
        (
            "%]",
            r"^(?:Progress: )?\[ *(?P<percent>\d{1,3})%\](?: (?=(?P<label>\D{0,60})).*)?$",
            _labelled_percent("make"),
        ),
        (
            "[download]",
            r"^\[download\] +(?P<percent>\d{1,3}(?:\.\d)?)% of .{1,40}ETA (?P<eta>\S+)",
            _labelled_percent("download"),
        ),
        ("% [", r"^(?P<percent>\d{1,3})% \[\d+ \S+ .{0,200}\d ?[kMG]?B/\d.{0,40}\]", _labelled_percent("apt")),
        (
            " of ",
            r"^(?P<label>[^%|]{0,100}?)\s*\d{1,3}% \((?P<done>\d{1,12}) of (?P<total>\d{1,12})\) \|.{0,200}\|"
            r".{0,60}ETA: +(?P<eta>[-\d:]+)",
            _labelled_count("bar"),
        ),
        (
            "%] in ",
            r"^(?P<label>[^|]{0,100}?)\s*\|[^|]{5,200}\| .{0,20}?(?P<done>\d{1,12})/(?P<total>\d{1,12}) \[\d{1,3}%\]"
            r" in .{1,20}?(?:\(~(?P<eta>[\dhms: ]+),|$)",
            _labelled_count("bar"),
        ),
        ("% ETA", r"\[[=> ]{8,300}\]\s+(?P<percent>\d{1,3})% ETA (?P<eta>[\d:]+)$", _labelled_percent("pv")),
        (
            "%",
            rf"^(?P<label>[^%|\[]{{0,100}}?)\s*[|\[]{_BAR}{{8,200}}[|\]]\s*(?P<percent>\d{{1,3}}(?:\.\d{{1,2}})?) ?%"
            rf"(?:$|\s+(?:\(?ETA:? )?(?P<eta>{_TIME})?.*$)",
            _labelled_percent("bar"),
        ),
        (
            "%",
            rf"^(?P<label>[^%|\[]{{0,100}}?)\s*\b(?P<percent>\d{{1,3}}(?:\.\d{{1,2}})?)%(?: ?\[| \|)"
            rf"{_BAR}{{8,200}}[|\]](?:\s|$)",
            _labelled_percent("bar"),
        ),
        (
            "/",
            rf"^(?P<label>[^%|\[]{{0,100}}?)\s*[|\[]{_BAR}{{8,200}}[|\]]\s*(?P<done>\d{{1,12}})/(?P<total>\d{{1,12}})(?:[\s:,]|$)",
            _labelled_count("bar"),
        ),
    )
)
