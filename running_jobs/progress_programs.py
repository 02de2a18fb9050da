"""Programs that take more than one line to understand: what ffmpeg converts has its length far above, POV-Ray and
Blender render frame after frame, rsync says the same of one file and of all, Keras counts steps within epochs.

Pure; `text` is raw output, `head` its begin if that is known.
"""

from __future__ import annotations

import re

from running_jobs.progress_found import Found, made, seconds
from running_jobs.progress_rows import LOOKED_AT, Row

_LINES_BACK = 4
LINES_OF_AN_EPOCH = 4  # of which the last may say no more than its number

_DURATION = re.compile(r"^ {2,4}Duration: (\d{2,5}:\d\d:\d\d\.\d\d),", re.MULTILINE)
_INPUT = re.compile(r"^Input #0,", re.MULTILINE)
_FFMPEG_TIME = re.compile(r"(?:^|\r)(?:frame=|size=)[^\r\n]{0,160} time=(\d{2,5}:\d\d:\d\d\.\d\d) [^\r\n]{0,60}")
_FFMPEG_PROGRESS = re.compile(r"^out_time=(\d{2,5}:\d\d:\d\d)\.\d{6}\r?$", re.MULTILINE)
_SPEED = re.compile(r"speed= ?([\d.]+)x")
_POVRAY_FRAME = re.compile(r"^Rendering frame (\d{1,7}) of (\d{1,7})(?: \(#-?\d+\))?\s*$", re.MULTILINE)
_POVRAY_PIXELS = re.compile(r"Rendered (\d{1,12}) of (\d{1,12}) pixels")
_BLENDER_FRAME = re.compile(r"^Fra:(\d{1,7}) Mem:", re.MULTILINE)


def ffmpeg(text: str, head: str) -> Found | None:
    """Return how far ffmpeg is: its time against the only length that it read."""
    if "time=" not in text[-4096:]:
        return None
    now = [*_FFMPEG_TIME.finditer(text, max(0, len(text) - 4096))] or [
        *_FFMPEG_PROGRESS.finditer(text, max(0, len(text) - 4096))
    ]
    if not now or text.count("\n", now[-1].end()) > _LINES_BACK + 12:
        return None
    both = head + "\n" + text if head and not text.startswith(head) else text
    lengths = set(_DURATION.findall(both))
    if len(lengths) != 1 or len(_INPUT.findall(both)) > (2 if head else 1) or "Input #1," in both:
        return None
    done, total = seconds(now[-1][1]), seconds(lengths.pop())
    if done is None or not total or done > total * 1.01 or "progress=end" in text[now[-1].end() :]:
        return None
    speed = _SPEED.search(text, now[-1].start())
    eta_s = (total - done) / float(speed[1]) if speed and float(speed[1]) > 0 else None
    text_of = f"{now[-1][1].split('.')[0]} of {_clock(total)}"
    return made("ffmpeg", "", min(done, total), total, text_of, eta_s)


def povray_animation(text: str) -> Found | None:
    """Return how far an animation is, from its last frame's number and the pixels of that."""
    if "Rendering frame " not in text:
        return None
    frames = _POVRAY_FRAME.findall(text)
    if not frames:
        return None
    number, total = (int(value) for value in frames[-1])
    if not 1 <= number <= total or any(int(before) > number for before, _ in frames):
        return None
    *_, last = _POVRAY_FRAME.finditer(text)
    pixels = _POVRAY_PIXELS.findall(text, last.end())
    within = int(pixels[-1][0]) / max(int(pixels[-1][1]), 1) if pixels else 0.0
    return made("povray", "", number - 1 + min(within, 1.0), total, f"frame {number} of {total}")


def is_an_animation(text: str, head: str) -> bool:
    """Say whether Blender renders more than one frame, so that one frame's tiles say little about the whole."""
    seen = set(_BLENDER_FRAME.findall(text)) | set(_BLENDER_FRAME.findall(head))
    return len(seen) > 1


def is_of_all_files(row: Row, above: Row | None) -> bool:
    """Say whether rsync's percentage in a row is that of all files, not of one: they look alike.

    Of all, it says that a file is through while the percentage goes on; of one, the file's name stands above.
    """
    if any("(xfr#" in state and "100%" not in state for state in row.states):
        return True
    return above is None or above.shown.startswith(
        ("sending incremental", "receiving incremental", "created directory")
    )


def within_epoch(found: Found, epoch: tuple[int, int, float]) -> Found | None:
    """Return a bar's fraction as that of all epochs. The bar's own estimate is of its epoch: left out."""
    number, total, done = epoch
    if done >= 1:  # printed at the end of that epoch: the bar is the next one's
        if found.is_finished or number >= total:
            return made("epoch", "", number, total, f"epoch {number}/{total}")
        number, done = number + 1, 0.0
    return made("epoch", "", number - 1 + found.fraction, total, f"epoch {number}/{total}, {found.text}")


def last_epochs(text: str) -> list[str]:
    """Return the last lines of the text that could name an epoch, the last first, far above the rows perhaps."""
    left = text[-LOOKED_AT:]
    found: list[str] = []
    while len(found) < LINES_OF_AN_EPOCH and (position := max(left.rfind("Epoch "), left.rfind("epoch "))) >= 0:
        start = max(left.rfind("\n", 0, position), left.rfind("\r", 0, position)) + 1
        end = left.find("\n", position)
        found.append(left[start : end if end >= 0 else None].strip())
        left = left[:start]
    return found


def _clock(span_s: float) -> str:
    minutes, second = divmod(int(span_s), 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{second:02d}"
