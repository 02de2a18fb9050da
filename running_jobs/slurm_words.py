"""Why a job that was handed over has not begun: Slurm's states and reasons in words. Pure.

The reasons are those of https://slurm.schedmd.com/job_reason_codes.html; one that is not known here is said as Slurm
says it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from running_jobs.wording import harmless

NOT_TAKEN = "NOT_TAKEN"  # in place of a state of Slurm's: it does not take the job for now,
FAILED_START = "FAILED_START"  # or its runner ended before the job began, and is to be started again
HELD_BACK = (NOT_TAKEN, FAILED_START)
_STATES = {
    "CONFIGURING": "its nodes are being made ready",
    "RUNNING": "is about to begin",
    "COMPLETING": "is being cleared away",
    "SUSPENDED": "is suspended in Slurm",
    "STOPPED": "is suspended in Slurm",
    "REQUEUED": "was put back into the queue in Slurm",
    "REQUEUE_HOLD": "is held in Slurm; scontrol release lets it go on",
    "REQUEUE_FED": "was put back into the queue in Slurm",
    "SPECIAL_EXIT": "is held in Slurm; scontrol release lets it go on",
    "RESV_DEL_HOLD": "is held in Slurm: its reservation was deleted",
}
_WAITS = {
    "": "waits in Slurm",
    "None": "waits in Slurm, which has not looked at it yet",
    "Resources": "waits for free resources",
    "Priority": "waits: others come first",
    "BeginTime": "waits for its time",
    "Dependency": "waits for another job of Slurm",
    "Licenses": "waits for a licence",
    "Reservation": "waits for its reservation",
    "Prolog": "its nodes are being made ready",
    "Cleaning": "waits until what is left of its last run is cleared away",
    "DeadLine": "will never start: its deadline is over",
    "DependencyNeverSatisfied": "will never start: what it depends on in Slurm cannot come true",
    "JobHeldUser": "is held in Slurm; scontrol release lets it go on",
    "JobHeldAdmin": "is held in Slurm by its administrator",
    "JobHoldMaxRequeue": "is held in Slurm: it was put back too often",
    "PartitionDown": "waits: its partition is down",
    "PartitionInactive": "waits: its partition takes no jobs now",
    "NodeDown": "waits: a node that it needs is down",
    "FrontEndDown": "waits: no front end of Slurm is up",
    "InvalidAccount": "will never start: Slurm does not know its account",
    "InvalidQOS": "will never start: Slurm does not know its QOS",
    "AccountNotAllowed": "will never start: its account may not use this partition",
    "QOSNotAllowed": "will never start: its QOS may not be used in this partition or by this account",
    "QOSUsageThreshold": "waits: its QOS was used more than it may be",
    "AccountingPolicy": "held back by a limit of Slurm's accounting",
    "ReservationDeleted": "is held in Slurm: its reservation was deleted",
    "RequiresReservation": "will never start: this partition takes only jobs with a reservation",
    "JobLaunchFailure": "could not be started on its node",
    "SystemFailure": "Slurm failed; its administrator can tell more",
}
_NEVER = {
    "PartitionConfig": ("cpus", "mem", "gpus", "time", "slurm_args"),
    "PartitionNodeLimit": ("cpus", "gpus", "slurm_args"),
    "PartitionMinNodes": ("slurm_args",),
    "PartitionMaxNodes": ("slurm_args",),
    "PartitionTimeLimit": ("time",),
    "BadConstraints": ("cpus", "mem", "gpus", "slurm_args"),
    "MaxMemPerLimit": ("mem",),
}
_MAX_SHOWN = 200


def why_waiting(state: str, why: str, asked: Mapping[str, Any]) -> str:
    """Say why a job has not begun, by the state and the reason that Slurm has for it.

    `asked` is what it asks for by the names of job options, with the defaults of the settings.
    """
    if state == FAILED_START:
        return f"could not start and is tried again: {_shown(why)}"
    if state == NOT_TAKEN:
        return _by_form(why, why) or f"Slurm does not take it for now: {_shown(why)}"
    if state not in ("PENDING", ""):
        return _STATES.get(state, f"is {_shown(state)} in Slurm")
    reason = why.partition(",")[0].strip()
    if reason in _NEVER:
        return _never(reason, asked)
    if reason in _WAITS:
        known = _WAITS[reason]
        return known if reason in ("", "None", "Resources", "Priority", "BeginTime") else f"{known} ({reason})"
    return _by_form(reason, why) or f"waits in Slurm: {_shown(why)}"


def _by_form(reason: str, why: str) -> str | None:
    """Say what a family of reasons means, None if it is of none."""
    if reason == "ReqNodeNotAvail":
        return f"waits: the nodes that it needs are down, drained or reserved ({_shown(why)})"
    if reason.startswith("Nodes") and "DOWN" in reason:
        return "waits: the nodes that it needs are down, drained or reserved"
    if reason.startswith("QOS"):
        return f"held back by a limit of its QOS ({_shown(reason)})"
    if reason.startswith("Assoc") or reason.endswith("PerAccount"):
        return f"held back by a limit of its account ({_shown(reason)})"
    if reason.startswith("BurstBuffer"):
        return f"waits for its burst buffer ({_shown(reason)})"
    if "launch failed requeued held" in why.replace("_", " "):
        return "is held in Slurm: it could not be started on its node; scontrol release tries again"
    return None


def _never(reason: str, asked: Mapping[str, Any]) -> str:
    wishes = [_WISHES[name](asked[name]) for name in _NEVER[reason] if asked.get(name)]
    what = f"asks for {', '.join(wishes)}" if wishes else "its partition does not take it"
    return f"will never start as asked: {what} ({reason})"


_WISHES: dict[str, Callable[[Any], str]] = {
    "cpus": lambda count: "1 CPU" if count == 1 else f"{count} CPUs",
    "mem": lambda size: f"{size if size[-1:].isalpha() else f'{size}M'} of memory",
    "gpus": lambda count: "1 GPU" if count == "1" else f"{count} GPUs",
    "time": lambda limit: f"a time limit of {limit if set(limit) & set(':-') else f'{limit} min'}",
    "slurm_args": lambda items: _shown(" ".join(items)),
}


def _shown(text: str) -> str:
    """Return what came from outside so that it fits on a line."""
    said = harmless(text)
    return said if len(said) <= _MAX_SHOWN else f"{said[: _MAX_SHOWN - 1]}…"
