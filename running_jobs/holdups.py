"""What holds up a queued job, in words that the page and the command line share. Pure."""

from __future__ import annotations

from typing import Any

from running_jobs.job import QUEUED
from running_jobs.placements import Told
from running_jobs.settings import Settings
from running_jobs.slurm_options import asked_for
from running_jobs.slurm_words import HELD_BACK, why_waiting
from running_jobs.summaries import Summary

NO_SLURM = "Slurm is not set up here: change it to this machine, or stop it"


def held(is_paused: bool, lacks_room: bool) -> str:
    """Say what keeps all jobs from starting; an empty text if nothing does."""
    if is_paused:
        return "held: paused"
    return "held: disk below min_free_bytes" if lacks_room else ""


def entry_of(told: Told, row: Summary) -> dict[str, Any] | None:
    """Return what Slurm said of the attempt of a job that is to come, None if that was not handed over yet."""
    return told.of(row.id, row.attempt + 1) if row.is_slurms and row.status is QUEUED else None


def in_slurm(told: Told, row: Summary, settings: Settings, held_here: str) -> str:
    """Say why a queued job of Slurm's has not begun, whether it was handed over or not."""
    if not settings.has_slurm:
        return NO_SLURM
    entry = entry_of(told, row)
    is_past = told.problem and entry and entry["state"] in HELD_BACK
    if entry and (entry["id"] or entry["state"]) and not is_past:  # else sbatch has not answered yet
        return why_waiting(entry["state"], entry["why"], asked_for(row.asked_of_slurm or {}, settings))
    return held_here or _not_handed_over(told, row, settings)


def _not_handed_over(told: Told, row: Summary, settings: Settings) -> str:
    if told.problem:
        return "waits until Slurm is back"
    if 0 < settings.slurm.get("slots", 0) <= len(told.handed_over):
        return "waits for a slot of Slurm's"
    if row.context in settings.context_slots:  # nothing else holds it up for longer than a moment
        return "waits for a slot of its context"
    return "is about to be handed over to Slurm"
