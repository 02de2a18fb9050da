"""How much of everything is measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """The counts of one run; `waiting` jobs are queued, `running` ones run, `many` and `few` are kept."""

    rounds: int = 5
    slots: int = 4
    jobs: int = 500
    latencies: int = 300
    cold_latencies: int = 50
    requests: int = 1000
    connections: int = 8
    commands: int = 10
    many: int = 100_000
    few: int = 100
    pages: int = 50
    waiting: int = 100_000
    running: int = 200
    reused: int = 20
    log_bytes: int = 1 << 30
    log_rounds: int = 15
    settle_s: float = 20
    idle_s: float = 30


QUICK = Scale(
    rounds=1,
    jobs=5,
    latencies=5,
    cold_latencies=1,
    requests=16,
    connections=2,
    commands=1,
    many=60,
    few=10,
    pages=2,
    waiting=100,
    running=3,
    reused=1,
    log_bytes=1 << 20,
    log_rounds=1,
    settle_s=0.2,
    idle_s=0.3,
)
