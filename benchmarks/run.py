"""Measure what the project promises of its speed, beside its peers: `python benchmarks/run.py [NAME...]`.

Prints a table of figures and ratios, and writes it to RESULTS.md if all was measured; NOTES.md, written by hand, says
what stands behind them and goes in below. Peers that are not installed are named as such. `--quick` measures too little
to tell anything, and only shows that all of it can be measured.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[0] = str(HERE.parent)  # instead of our own folder, whose names would be found before others

from benchmarks import command_line, idle, latency, launching, listing, logs, machine, memory, submission  # noqa: E402
from benchmarks.directories import remove  # noqa: E402
from benchmarks.peers import Peer, gnu_parallel, huey_workers, nq, python_environment, rq_workers, task_spooler  # noqa: E402
from benchmarks.results import Row, table  # noqa: E402
from benchmarks.scale import QUICK, Scale  # noqa: E402

PARTS: dict[str, Callable[..., list[Row]]] = {
    "launching": launching.measure,
    "submission": submission.measure,
    "latency": latency.measure,
    "command-line": command_line.measure,
    "listing": listing.measure,
    "memory": memory.measure,
    "logs": logs.measure,
    "idle": idle.measure,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is asked for, print it, write it."""
    asked = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started is ended then, too
    names = asked.names or list(PARTS)
    with contextlib.ExitStack() as stack:
        below = Path(tempfile.mkdtemp(prefix="running-jobs-", dir=asked.folder))
        stack.callback(remove, below)
        peers = _peers(_environment(asked, below, names))
        about = machine.described(below, peers)
        rows: list[Row] = []
        for name in names:
            print(f"{name} ...", file=sys.stderr, flush=True)
            more = {"peers": peers} if name == "launching" else {}
            rows += PARTS[name](QUICK if asked.quick else Scale(), below, **more)
    text = _report(about, rows)
    print(text)
    if asked.output or (not asked.quick and not asked.names):
        Path(asked.output or HERE / "RESULTS.md").write_text(f"{text}\n{_notes()}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to measure; default: all of {', '.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="measure next to nothing, install nothing")
    parser.add_argument("--folder", metavar="DIR", help="where to make data directories; the disk there is measured")
    parser.add_argument("--peers", metavar="DIR", type=Path, help="an environment to keep huey and rq in")
    parser.add_argument("--output", metavar="FILE", help="write there; default: RESULTS.md, if all is measured")
    return parser


def _environment(asked: argparse.Namespace, below: Path, names: Sequence[str]) -> Path | None:
    """Return where the peers that are Python packages are, installed there unless nothing is to be installed."""
    wanted: Path | None = asked.peers
    if "launching" in names and not asked.quick:
        wanted = wanted or below / "peers"
        python_environment.make(wanted)
    return wanted


def _peers(environment: Path | None) -> list[Peer]:
    programs = [task_spooler.found(), nq.found(), gnu_parallel.found()]
    return [*programs, huey_workers.found(environment), rq_workers.found(environment)]


def _report(about: Sequence[str], rows: Sequence[Row]) -> str:
    lines = [
        "# Results",
        "",
        "Made by `python benchmarks/run.py`; medians of several rounds in turns. A ratio is the median of",
        "the rounds' own ratios, with their spread, and not that of the two medians beside it. Only ratios",
        "are worth comparing between machines.",
        "",
        *(f"- {line}" for line in about),
        "",
    ]
    return "\n".join([*lines, table(rows)])


def _notes() -> str:
    notes = HERE / "NOTES.md"
    return f"\n{notes.read_text()}" if notes.exists() else ""


if __name__ == "__main__":
    main()
