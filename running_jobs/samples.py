"""The samples of a job in `<id>.stats`: one JSON object a line, bounded in number however long the job runs.

Each has `at`, `attempt`, `cpu_s` (CPU seconds of the attempt until then, it only grows), `rss_bytes`, `processes`,
`out_bytes` and `err_bytes` (how long the logs were at that moment), and `gpu_percent` and `gpu_bytes` where known.
Once there are too many, each two that follow each other become one: the later, with the larger memory of both.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from typing import Any

from running_jobs import files
from running_jobs.job import from_iso, to_iso
from running_jobs.paths import JobPaths
from running_jobs.sampling import Usage

MOST = 240
MAX_BYTES = 1 << 20
PEAKS = ("rss_bytes", "gpu_bytes")
NUMBERS = ("attempt", "cpu_s", "rss_bytes", "processes", "out_bytes", "err_bytes")

Sample = dict[str, Any]


def read(path: str) -> list[Sample]:
    """Return the samples of a file in their order; none if there is no such file. What is no sample is passed over."""
    try:
        lines = files.read_bounded(path, MAX_BYTES).splitlines()
    except OSError:
        return []
    return [sample for line in lines if (sample := _sample_in(line)) is not None]


def taken(paths: JobPaths, job_id: str, attempt: int, usage: Usage, clock: Callable[[], float]) -> Sample:
    """Return what a job's processes use as a sample of this moment."""
    sizes = [files.size_of(path(job_id)) for path in (paths.out, paths.err)]
    return {
        "at": to_iso(clock()),  # after the sizes: what is below them was written by then
        "attempt": attempt,
        "cpu_s": round(usage.cpu_s, 2),
        "rss_bytes": usage.rss_bytes,
        "processes": len(usage.pids),
        "out_bytes": sizes[0],
        "err_bytes": sizes[1],
    }


def append(paths: JobPaths, job_id: str, new: list[Sample], count: int) -> int:
    """Add samples to the `count` that a job has. Return how many it has then; MOST at the most, unless that failed.

    On a full disk they are dropped. Nothing is left of a job that was deleted meanwhile: its files go after its record
    is gone, so that either its deletion removes what was written here, or this sees that there is no record.
    """
    path = paths.stats(job_id)
    try:
        files.append_line(path, "\n".join(json.dumps(sample, separators=(",", ":")) for sample in new))
        count += len(new)
        if count > MOST:
            count = _make_fewer(path)
    except OSError:
        return count
    finally:
        if not os.path.lexists(paths.json(job_id)):
            for left in (path, paths.unfinished_stats(job_id)):
                with contextlib.suppress(OSError):
                    os.unlink(left)
    return count


def thinned(samples: list[Sample]) -> list[Sample]:
    """Return half as many samples: of each attempt the first, and of the others every second."""
    kept: list[Sample] = []
    may_join = False  # whether the last kept is half of a pair
    for sample in samples:
        is_first = not kept or kept[-1]["attempt"] != sample["attempt"]
        if not is_first and may_join:
            kept[-1] = _joined(kept[-1], sample)
            may_join = False
        else:
            kept.append(sample)
            may_join = not is_first
    return kept if len(kept) <= MOST else kept[-MOST // 2 :]


def _joined(earlier: Sample, later: Sample) -> Sample:
    peaks = {name: max(earlier.get(name, 0), later.get(name, 0)) for name in PEAKS if name in earlier or name in later}
    return {**later, **peaks}


def _make_fewer(path: str) -> int:
    kept = thinned(read(path))
    lines = "".join(f"{json.dumps(sample, separators=(',', ':'))}\n" for sample in kept)
    files.write_atomically(path, lines.encode(), sync=False)
    return len(kept)


def _sample_in(line: bytes) -> Sample | None:
    """Return what a line holds, None if it was torn or edited by hand beyond recognition."""
    try:
        sample = json.loads(line)
        from_iso(sample["at"])
        numbers = [sample[name] for name in NUMBERS] + [sample.get(name, 0) for name in ("gpu_percent", "gpu_bytes")]
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError, IndexError):
        return None
    return sample if all(_is_figure(number) for number in numbers) else None


def _is_figure(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e18
